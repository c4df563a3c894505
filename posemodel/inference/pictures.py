"""Read pictures of any size and format as network inputs: decoded once, letterboxed at each requested size."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from posemodel.config import Exif
from posemodel.data.augment import letterbox
from posemodel.data.images.files import UNDECODABLE, FileFault, decode_image, decode_reduced, header_size
from posemodel.errors import DataError

SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff", ".jp2", ".ppm", ".pgm", ".pbm")
"""File name suffixes of pictures, in any case, for the formats that every build of OpenCV reads."""


class Picture(NamedTuple):
    """A picture as network inputs.

    ``inputs``: RGB (S, S, 3) uint8, one for each size; ``width`` and ``height`` of the picture in pixels.
    """

    inputs: tuple[NDArray[np.uint8], ...]
    width: int
    height: int


def pictures_below(folder: Path, *, leave_out: Path | None = None) -> list[Path]:
    """List the picture files below a folder, sorted; hidden ones are skipped, and so is the folder ``leave_out``."""
    pictures = []
    left_out = leave_out.resolve() if leave_out is not None else None
    if left_out is not None and folder.resolve() not in left_out.parents:
        left_out = None
    for path in sorted(folder.rglob("*")):
        hidden = any(part.startswith(".") for part in path.relative_to(folder).parts)
        if hidden or path.suffix.lower() not in SUFFIXES or not path.is_file():
            continue
        if left_out is None or left_out not in path.resolve().parents:
            pictures.append(path)
    return pictures


def read_picture(
    source: Path | str | NDArray[np.uint8], sizes: Sequence[int], *, name: str = "image", exif: Exif = "ignore"
) -> Picture:
    """Letterbox a picture into squares of the given sides.

    Args:
        source: An image file (grey levels become RGB, opacity is dropped, 16 bits become 8), or RGB pixels (height,
            width, 3) uint8.
        sizes: Sides in pixels.
        name: Name of an array in error messages; a file has its own.
        exif: ``follow`` turns a file's pixels by its EXIF orientation, ``ignore`` takes them as stored.

    Raises:
        DataError: the file is missing, not an image, truncated, or too large for OpenCV; or the array is not an RGB
            image.
    """
    if isinstance(source, np.ndarray):
        if source.dtype != np.uint8 or source.ndim != 3 or source.shape[2] != 3 or 0 in source.shape:
            raise DataError(
                f"{name}: must be RGB, uint8 (height, width, 3), is {source.dtype} {source.shape}. Convert it first."
            )
        return _letterboxed(
            np.asarray(cv2.cvtColor(source, cv2.COLOR_RGB2BGR), np.uint8), 1, source.shape[1], source.shape[0], sizes
        )
    path = Path(source)
    stated = header_size(path, exif=exif)
    if isinstance(stated, FileFault):
        raise DataError(f"{path}: {stated.text}.")
    # Decoding a quarter of the pixels takes less than half the time, and the letterbox would discard the others anyway.
    reduction = letterbox(*stated, max(sizes)).reduction() if stated is not None else 1
    image, reduction = decode_reduced(path, reduction, exif=exif)
    if image is None:
        raise DataError(f"{path}: {UNDECODABLE.text}.")
    width, height = stated if stated is not None else (image.shape[1], image.shape[0])
    if image.shape[:2] != (-(-height // reduction), -(-width // reduction)):  # the header states another size
        image, reduction = decode_image(path, exif=exif), 1
        if image is None:
            raise DataError(f"{path}: {UNDECODABLE.text}.")
        height, width = image.shape[:2]
    return _letterboxed(image, reduction, width, height, sizes)


def _letterboxed(image: NDArray[np.uint8], reduction: int, width: int, height: int, sizes: Sequence[int]) -> Picture:
    """Letterbox an image (BGR) that was decoded ``reduction`` times smaller than ``width`` x ``height``."""
    inputs = []
    for size in sizes:
        shrink = max(width, height) / size
        further = max(int(shrink / reduction), 1)
        smaller = _shrunk(image, further)
        inputs.append(letterbox(width, height, size).image(smaller, size, reduction * further))
    return Picture(tuple(inputs), width, height)


def _shrunk(image: NDArray[np.uint8], factor: int) -> NDArray[np.uint8]:
    """Shrink an image to the means of its blocks of ``factor`` x ``factor`` pixels; border pixels fill the last blocks.

    A warp alone would skip most pixels, and OpenCV's warp takes no sides above 2^15.
    """
    if factor == 1:
        return image
    height, width = image.shape[:2]
    below, beside = -height % factor, -width % factor
    filled = cv2.copyMakeBorder(image, 0, below, 0, beside, cv2.BORDER_REPLICATE) if below or beside else image
    size = filled.shape[1] // factor, filled.shape[0] // factor
    return np.asarray(cv2.resize(filled, size, interpolation=cv2.INTER_AREA), np.uint8)
