"""The files of `posebench predict`: the pictures that were asked for, and the drawings that are made of them."""

from collections import deque
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple, Self

import cv2
import numpy as np
from numpy.typing import NDArray

from bench.cli.output import log
from posemodel.atomic_write import replacing
from posemodel.config import Exif
from posemodel.data.images.files import decoded
from posemodel.errors import DataError, SettingsError
from posemodel.inference.decoder import Detections
from posemodel.inference.drawing import draw_to_scale
from posemodel.inference.pictures import SUFFIXES, pictures_below

JPEG = (".jpg", ".jpeg")
JPEG_QUALITY = 92
WAITING = 4
"""Drawings behind the network at most: each may hold a large picture."""


class Asked(NamedTuple):
    """A picture to look at: its file, and its name below the folder that was given (just its name if itself was)."""

    file: Path
    name: Path


def asked_for(arguments: Sequence[Path], *, leave_out: Path | None = None) -> list[Asked]:
    """Every picture of the arguments once, folders with all that is below them, without what is in ``leave_out``.

    DataError for an argument that is not there, and where there is no picture at all.
    """
    found: dict[Path, Asked] = {}
    for argument in arguments:
        if not argument.exists():
            raise DataError(f"{argument}: no such file or folder.")
        files = pictures_below(argument, leave_out=leave_out) if argument.is_dir() else [argument]
        for file in files:
            name = file.relative_to(argument) if argument.is_dir() else Path(file.name)
            found.setdefault(file.resolve(), Asked(file, name))
    if not found:
        where = ", ".join(map(str, arguments))
        raise DataError(f"{where}: no picture is below it (looked for: {' '.join(SUFFIXES)}).")
    return list(found.values())


def check_json_file(path: Path) -> None:
    """SettingsError if the results cannot be written there, or would replace something."""
    if path.exists():
        raise SettingsError(f"--json {path}: exists; it is not overwritten. Give another name, or remove it.")
    if not path.parent.is_dir():
        raise SettingsError(f"--json {path}: {path.parent} is no folder; make it first.")


def drawings(asked: Sequence[Asked], folder: Path) -> list[Path]:
    """Where each picture is drawn: below the folder by its name; JPEGs stay JPEGs, all others become PNGs.

    SettingsError if one exists, or if two would be one file.
    """
    if folder.exists() and not folder.is_dir():
        raise SettingsError(f"--draw {folder}: is a file; give a folder.")
    targets: dict[Path, Path] = {}
    for file, name in asked:
        target = folder / name
        if name.suffix.lower() not in JPEG:
            target = target.with_name(name.name if name.suffix.lower() == ".png" else f"{name.name}.png")
        if target.exists():
            raise SettingsError(f"--draw {folder}: {target} exists; it is not overwritten. Give another folder.")
        if target in targets:
            raise SettingsError(
                f"--draw {folder}: {targets[target]} and {file} would both be {target}; draw them apart."
            )
        targets[target] = file
    return list(targets)


class Drawing:
    """Draws pictures in a thread of its own; a context manager: once it is left, all are written."""

    def __init__(self, min_score: float, min_parts: int, *, exif: Exif = "ignore") -> None:
        """People below either threshold are not drawn; ``exif``: how the pictures were read in which they are."""
        self.min_score, self.min_parts, self.exif = min_score, min_parts, exif
        self.people = 0
        """Who was drawn so far."""
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="draw")
        self._pending: deque[Future[int]] = deque()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._thread.shutdown(cancel_futures=kind is not None)
        while kind is None and self._pending:
            self.people += self._pending.popleft().result()

    def put(self, file: Path, target: Path, found: Detections) -> None:
        """Draw the people of a picture; waits where the thread is far behind."""
        while len(self._pending) >= WAITING:
            self.people += self._pending.popleft().result()
        self._pending.append(self._thread.submit(self._draw, file, target, found))

    def _draw(self, file: Path, target: Path, found: Detections) -> int:
        parts = (found.people[..., 2] > 0).sum(axis=1)
        people = found.people[(found.scores >= self.min_score) & (parts >= self.min_parts)]
        pixels = decoded(file, exif=self.exif)
        encoded = None if pixels is None else _encoded(draw_to_scale(np.asarray(pixels), people), target.suffix)
        if encoded is None:
            log(f"not drawn: {file} ({'gone meanwhile' if pixels is None else f'too large for {target.suffix}'})")
            return 0
        with replacing(target) as temporary:
            temporary.write_bytes(encoded)
        return len(people)


def _encoded(image: NDArray[np.uint8], suffix: str) -> bytes | None:
    """A picture file's bytes; None where the format cannot hold the picture."""
    options = [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY] if suffix.lower() in JPEG else []
    try:
        done, encoded = cv2.imencode(suffix, image, options)
    except cv2.error:
        return None
    return encoded.tobytes() if done else None
