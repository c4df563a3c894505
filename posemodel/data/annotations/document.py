"""Annotation files as they are parsed: by `json`, which words every error, or quickly where nothing is out of the way.

A file of a hundred thousand people is millions of lists and numbers. Python's collector of cycles would walk through
all of them again and again while they are made, for half of the time; JSON has no cycles, so it is paused.
"""

import ctypes
import gc
import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import orjson

from posemodel.errors import DataError


@contextmanager
def paused_collector() -> Iterator[None]:
    """Python's collector of cycles rests meanwhile, and is afterwards as it was."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def read_document(path: Path) -> dict[str, Any]:
    """The parsed annotation file; DataError names the file and the line where it is not valid JSON."""
    try:
        with paused_collector():
            document = json.loads(path.read_bytes())
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}).") from error
    except RecursionError as error:
        raise DataError(f"{path}: is no annotation file (its JSON is nested too deeply).") from error
    except ValueError as error:
        raise DataError(f"{path}: {_other_kind(path) or f'is not valid JSON ({error})'}.") from error
    if not isinstance(document, dict):
        raise DataError(
            f"{path}: must hold a JSON object with images, annotations and categories, "
            f"holds a {type(document).__name__}."
        )
    return document


_OTHER_KINDS = {
    b"version https://git-lfs.github.com/spec": "is a pointer of Git LFS, no JSON: `git lfs pull` fetches the file",
    b"<": "is a web page or XML, no JSON: fetch the annotations themselves, or export them as COCO keypoints",
    b"\x1f\x8b": "is a gzip archive: unpack it first",
    b"PK\x03\x04": "is a zip archive: unpack it first",
}
"""What stands where annotations should, by its first bytes."""


def _other_kind(path: Path) -> str:
    """What a file is that is no JSON; empty where nobody can say."""
    with path.open("rb") as file:
        start = file.read(64).removeprefix(b"\xef\xbb\xbf").lstrip()
    if not start:
        return "is not valid JSON (the file is empty)"
    return next((said for first, said in _OTHER_KINDS.items() if start.startswith(first)), "")


def parsed_quickly(raw: bytes) -> Any:
    """The document in the bytes of a file, several times as fast as by `json`; None where this parser refuses it.

    What it refuses (NaN, a byte order mark, half of a surrogate pair) may be valid for `read_document`, and whole
    numbers beyond 64 bits come as float. So this serves only documents that then prove sound: those hold no such number
    where one is read, or one that is held as float anyway.
    """
    try:
        return orjson.loads(raw)
    except (ValueError, RecursionError):
        return None


def give_back_memory() -> None:
    """Return what a large document has left unused to the system, where that is Linux with glibc.

    Its longer lists lie between what lives on (in a file as large as COCO's: hundreds of megabytes in small pieces);
    glibc would keep them for this process, whose forked workers would inherit them.
    """
    if sys.platform == "linux":
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # musl has none
        if trim is not None:
            trim(0)
