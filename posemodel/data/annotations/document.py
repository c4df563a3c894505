"""Parse annotation files: with `json`, whose errors name the line, or with the faster `orjson`.

A file of 100,000 people becomes millions of lists and numbers. Python's garbage collector would traverse them again
and again while they are created, for half of the time; JSON has no reference cycles, so the collector is paused.
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
    """Pause Python's garbage collector within the context, and restore its state afterwards."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def read_document(path: Path) -> dict[str, Any]:
    """Parse an annotation file; raise DataError with the file, and the line if it is not valid JSON."""
    try:
        with paused_collector():
            document = json.loads(path.read_bytes())
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}).") from error
    except RecursionError as error:
        raise DataError(f"{path}: is not an annotation file (its JSON is nested too deeply).") from error
    except ValueError as error:
        raise DataError(f"{path}: {_other_format(path) or f'is not valid JSON ({error})'}.") from error
    if not isinstance(document, dict):
        raise DataError(
            f"{path}: must hold a JSON object with images, annotations and categories, "
            f"but holds a {type(document).__name__}."
        )
    return document


_OTHER_FORMATS = {
    b"version https://git-lfs.github.com/spec": "is a Git LFS pointer, not JSON: `git lfs pull` fetches the file",
    b"<": "is a web page or XML, not JSON: fetch the annotations themselves, or export them as COCO keypoints",
    b"\x1f\x8b": "is a gzip archive: unpack it first",
    b"PK\x03\x04": "is a zip archive: unpack it first",
}
"""First bytes of files that are found in place of annotations -> what such a file is, and what to do about it."""


def _other_format(path: Path) -> str:
    """Say what kind of file it is, if not JSON; return an empty text if its first bytes are not known."""
    with path.open("rb") as file:
        start = file.read(64).removeprefix(b"\xef\xbb\xbf").lstrip()
    if not start:
        return "is not valid JSON (the file is empty)"
    return next((description for prefix, description in _OTHER_FORMATS.items() if start.startswith(prefix)), "")


def parse_fast(raw: bytes) -> Any:
    """Parse the bytes of a file several times faster than `json` does; return None if the parser refuses them.

    It refuses some files that ``read_document`` accepts (NaN, a byte order mark, half of a surrogate pair), and turns
    integers beyond 64 bits into floats. Use the result only if ``soundness.proven_sound`` accepts it: a document that
    it accepts has no such integer in a field that is read as an integer.
    """
    try:
        return orjson.loads(raw)
    except (ValueError, RecursionError):
        return None


def release_unused_memory() -> None:
    """Return memory that a large document has freed to the system, on Linux with glibc.

    The freed memory lies between objects that are still in use (for a file of COCO's size: hundreds of megabytes in
    small pieces); glibc would keep it for this process, and forked workers would inherit it.
    """
    if sys.platform == "linux":
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # musl has none
        if trim is not None:
            trim(0)
