"""Files of `posebench predict`: the pictures to read and the drawings to write."""

from collections import deque
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple, Self

import cv2
import numpy as np
from numpy.typing import NDArray

from bench.cli.output import log
from posemodel.atomic_write import atomic_path
from posemodel.config import Exif
from posemodel.data.images.files import decode_image
from posemodel.errors import DataError, SettingsError
from posemodel.inference.decoder import Detections
from posemodel.inference.drawing import draw_to_scale
from posemodel.inference.pictures import SUFFIXES, pictures_below
from posemodel.skeleton import Skeleton

JPEG = (".jpg", ".jpeg")
JPEG_QUALITY = 92
WAITING = 4
"""Maximum number of drawings that wait for the drawing thread; each may hold a large picture."""


class Picture(NamedTuple):
    """A picture to read: its file, and its path below the folder argument (for a file argument, just its name)."""

    file: Path
    name: Path


def requested_pictures(arguments: Sequence[Path], *, leave_out: Path | None = None) -> list[Picture]:
    """Return every picture of the arguments once, searching folders with their subfolders except ``leave_out``.

    DataError for an argument that does not exist, or if there is no picture at all.
    """
    pictures: dict[Path, Picture] = {}
    for argument in arguments:
        if not argument.exists():
            raise DataError(f"{argument}: no such file or folder.")
        files = pictures_below(argument, leave_out=leave_out) if argument.is_dir() else [argument]
        for file in files:
            name = file.relative_to(argument) if argument.is_dir() else Path(file.name)
            pictures.setdefault(file.resolve(), Picture(file, name))
    if not pictures:
        where = ", ".join(map(str, arguments))
        raise DataError(f"{where}: no pictures there (looked for: {' '.join(SUFFIXES)}).")
    return list(pictures.values())


def check_json_file(path: Path) -> None:
    """Raise SettingsError if the results file exists or its folder does not."""
    if path.exists():
        raise SettingsError(f"--json {path}: exists; it is not overwritten. Give another name, or remove it.")
    if not path.parent.is_dir():
        raise SettingsError(f"--json {path}: {path.parent} is not a folder; make it first.")


def drawings(requested: Sequence[Picture], folder: Path) -> list[Path]:
    """Return the path of each drawing in the folder, named after its picture; JPEGs stay JPEGs, all others become PNGs.

    SettingsError if one exists, or if two pictures would get the same file.
    """
    if folder.exists() and not folder.is_dir():
        raise SettingsError(f"--draw {folder}: is a file; give a folder.")
    targets: dict[Path, Path] = {}
    for file, name in requested:
        target = folder / name
        if name.suffix.lower() not in JPEG:
            target = target.with_name(name.name if name.suffix.lower() == ".png" else f"{name.name}.png")
        if target.exists():
            raise SettingsError(f"--draw {folder}: {target} exists; it is not overwritten. Give another folder.")
        if target in targets:
            raise SettingsError(
                f"--draw {folder}: {targets[target]} and {file} would both be drawn to {target}; use separate runs."
            )
        targets[target] = file
    return list(targets)


class Drawing:
    """Draws pictures in a thread; a context manager whose end waits until all are written."""

    def __init__(self, min_score: float, min_parts: int, skeleton: Skeleton, *, exif: Exif = "ignore") -> None:
        """Do not draw people below either threshold.

        ``skeleton``: the network's; ``exif``: how the pictures were read for prediction.
        """
        self.skeleton = skeleton
        self.min_score, self.min_parts, self.exif = min_score, min_parts, exif
        self.people = 0
        """Number of people drawn so far."""
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="draw")
        self._pending: deque[Future[int]] = deque()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._thread.shutdown(cancel_futures=kind is not None)
        while kind is None and self._pending:
            self.people += self._pending.popleft().result()

    def put(self, file: Path, target: Path, detections: Detections) -> None:
        """Queue the drawing of a picture's people; waits if `WAITING` drawings are queued already."""
        while len(self._pending) >= WAITING:
            self.people += self._pending.popleft().result()
        self._pending.append(self._thread.submit(self._draw, file, target, detections))

    def _draw(self, file: Path, target: Path, detections: Detections) -> int:
        parts = (detections.people[..., 2] > 0).sum(axis=1)
        people = detections.people[(detections.scores >= self.min_score) & (parts >= self.min_parts)]
        pixels = decode_image(file, exif=self.exif)
        encoded = None
        if pixels is not None:
            encoded = _encoded(draw_to_scale(np.asarray(pixels), people, skeleton=self.skeleton), target.suffix)
        if encoded is None:
            log(f"not drawn: {file} ({'the file is gone' if pixels is None else f'too large for {target.suffix}'})")
            return 0
        with atomic_path(target) as temporary:
            temporary.write_bytes(encoded)
        return len(people)


def _encoded(image: NDArray[np.uint8], suffix: str) -> bytes | None:
    """Return the bytes of a picture file; None if the format cannot hold the picture."""
    options = [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY] if suffix.lower() in JPEG else []
    try:
        done, encoded = cv2.imencode(suffix, image, options)
    except cv2.error:
        return None
    return encoded.tobytes() if done else None
