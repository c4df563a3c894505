"""Image files: check that one is what its annotation says (present, complete, of the annotated size), and decode it.

The quick check reads a few hundred bytes (header and end marker; 118,000 files take seconds), the thorough one decodes
the file. Files with an unusual header are decoded in both, so that the quick check accepts few files that OpenCV
refuses.

Pixels are as stored, or turned by the EXIF orientation (``exif="follow"``), in every format alike; sizes are compared
after turning. Decoded pixels have 8 bits a channel. Of a 16-bit picture the upper 8 of the bits used are taken: it is
taken to use 8 bits if all values are below 256, 12 bits (as many cameras write) if all are below 4096, else 16. Three
fixed depths keep the pictures of one camera comparable; scaling each picture to its own range would not.
"""

import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from posemodel.config import Exif
from posemodel.data.images.headers import JPEG, SIDES_SWAPPED, UPRIGHT, Header, is_tiff, orientation_of, read_header

READ_FLAGS = cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION
"""With these flags OpenCV does not turn pictures, except TIFFs, which it always turns; those are turned back here."""
_REDUCED_FLAGS = {
    1: READ_FLAGS,
    2: cv2.IMREAD_REDUCED_COLOR_2 | cv2.IMREAD_IGNORE_ORIENTATION,
    4: cv2.IMREAD_REDUCED_COLOR_4 | cv2.IMREAD_IGNORE_ORIENTATION,
    8: cv2.IMREAD_REDUCED_COLOR_8 | cv2.IMREAD_IGNORE_ORIENTATION,
}
REDUCTIONS = tuple(_REDUCED_FLAGS)
"""Factors by which JPEGs can be decoded smaller."""
MISSING, UNREADABLE, TRUNCATED, NOT_AN_IMAGE, OTHER_SIZE = (
    "missing",
    "unreadable",
    "truncated",
    "not an image",
    "of another size",
)
_HEAD = 2048
"""Bytes at the beginning of a file that are read at once; they contain the whole header of most JPEGs."""
_DEPTHS = (8, 12)
"""Smaller depths that are recognised in 16-bit pictures, by their largest value."""
_TURNS: dict[int, Callable[[cv2.typing.MatLike], cv2.typing.MatLike]] = {
    2: lambda image: cv2.flip(image, 1),
    3: lambda image: cv2.rotate(image, cv2.ROTATE_180),
    4: lambda image: cv2.flip(image, 0),
    5: cv2.transpose,
    6: lambda image: cv2.rotate(image, cv2.ROTATE_90_CLOCKWISE),
    7: lambda image: cv2.rotate(cv2.transpose(image), cv2.ROTATE_180),
    8: lambda image: cv2.rotate(image, cv2.ROTATE_90_COUNTERCLOCKWISE),
}
"""EXIF orientation -> function from the pixels as stored to the picture as shown (CIPA DC-008, 4.6.4)."""
_INVERSE_ORIENTATION = {6: 8, 8: 6}
"""Orientation that undoes another; the others undo themselves."""


class FileFault(NamedTuple):
    """Why an image cannot be used: ``reason`` is a short phrase, used for counting; ``text`` is the message."""

    reason: str
    text: str


UNDECODABLE = FileFault(NOT_AN_IMAGE, "not an image that OpenCV can decode")


class Examined(NamedTuple):
    """Result of checking an image file."""

    fault: FileFault | None = None
    orientation: int = UPRIGHT
    """EXIF orientation 1 to 8, followed or not; 1 if the file has none."""
    bits: int | None = None
    """Bits used by a 16-bit picture that was decoded, if fewer (see ``_DEPTHS``)."""


class _Decoded(NamedTuple):
    """A decoded file: ``image`` (None if OpenCV cannot decode it), whose sides are ``reduction`` times smaller."""

    image: NDArray[np.uint8] | None
    reduction: int = 1
    bits: int | None = None


def image_path(folder: Path | str, name: str) -> Path:
    """Return the path of a file from its name in an annotation file, with any encoding of the file system."""
    return Path(folder, name if name.isascii() else os.fsdecode(name.encode(errors="surrogatepass")))


def file_fault(path: Path, width: int, height: int, *, decode: bool, exif: Exif = "ignore") -> FileFault | None:
    """Return what is wrong with an image file annotated as ``width`` x ``height`` pixels; None if nothing is.

    ``decode``: decode the file instead of trusting its header.
    """
    return examine(path, width, height, decode=decode, exif=exif).fault


def examine(path: Path, width: int, height: int, *, decode: bool, exif: Exif = "ignore") -> Examined:
    """Check an image file like ``file_fault``, and return its orientation and depth too."""
    header = _check_header(path)
    if isinstance(header, FileFault):
        return Examined(header)
    orientation, bits = header.orientation, None
    size = _size_after_turning(header, exif)
    if size is None or (decode and size == (width, height)):
        decoded_file = _decode(path, 1, exif)
        if decoded_file.image is None:
            return Examined(UNDECODABLE, orientation)
        size, bits = (decoded_file.image.shape[1], decoded_file.image.shape[0]), decoded_file.bits
    fault = (
        None if size == (width, height) else FileFault(OTHER_SIZE, _size_mismatch(size, width, height, header, exif))
    )
    return Examined(fault, orientation, bits)


def header_size(path: Path, *, exif: Exif = "ignore") -> tuple[int, int] | FileFault | None:
    """Return (width, height) from the header of an image file, None if only decoding can tell, or the file's fault."""
    header = _check_header(path)
    return header if isinstance(header, FileFault) else _size_after_turning(header, exif)


def decode_image(path: Path, *, exif: Exif = "ignore") -> NDArray[np.uint8] | None:
    """Decode a file to BGR pixels (height, width, 3) uint8, turned if ``exif`` is `follow`.

    None if OpenCV cannot decode it, or if its pixels are floating-point numbers (but for Radiance HDR).
    """
    return _decode(path, 1, exif).image


def decode_reduced(path: Path, reduction: int, *, exif: Exif = "ignore") -> tuple[NDArray[np.uint8] | None, int]:
    """Decode a file like ``decode_image``, smaller by ``reduction`` (1, 2, 4 or 8), and return the factor used.

    Sides are rounded up. Only JPEGs are decoded smaller, which saves work; OpenCV would decode every pixel of other
    formats, so their factor is 1. So is that of a JPEG to be turned whose sides are not multiples of ``reduction``.
    """
    decoded_file = _decode(path, reduction, exif)
    return decoded_file.image, decoded_file.reduction


def _decode(path: Path, reduction: int, exif: Exif) -> _Decoded:
    try:
        # Faster than imread, which reads in small pieces; and on Windows imread cannot open every name.
        data = np.fromfile(path, np.uint8)
    except OSError:
        return _Decoded(None, reduction)
    start = data[:4].tobytes()
    jpeg, tiff = start.startswith(JPEG), is_tiff(start)
    orientation = orientation_of(data.data) if tiff or exif == "follow" else UPRIGHT
    reduction = reduction if jpeg else 1
    try:
        if not jpeg:
            image, bits = _decode_to_8_bits(data)
        else:
            image, bits = cv2.imdecode(data, _REDUCED_FLAGS[reduction]), None
            if reduction > 1 and orientation != UPRIGHT and image is not None and _has_partial_blocks(data, reduction):
                # After turning, the partial block at the end of a side would be at its beginning.
                image, reduction = cv2.imdecode(data, READ_FLAGS), 1
    except cv2.error:  # sizes beyond OpenCV's limits, or an empty file
        return _Decoded(None, reduction)
    turn = orientation if exif == "follow" else UPRIGHT
    if tiff:  # OpenCV has turned it already
        turn = UPRIGHT if exif == "follow" else _INVERSE_ORIENTATION.get(orientation, orientation)
    if image is not None and turn in _TURNS:
        image = _TURNS[turn](image)
    return _Decoded(None if image is None else np.asarray(image, np.uint8), reduction, bits)


def _has_partial_blocks(data: NDArray[np.uint8], reduction: int) -> bool:
    """Return whether a JPEG's sides are not multiples of the reduction, or are not known."""
    raw = data.data
    size = read_header(lambda offset, count: bytes(raw[offset : offset + count]), bytes(raw[:4]), len(raw)).size
    return size is None or any(side % reduction for side in size)


def _decode_to_8_bits(data: NDArray[np.uint8]) -> tuple[cv2.typing.MatLike | None, int | None]:
    """Decode a file that is not a JPEG to BGR uint8, and return the bits that a 16-bit picture uses, if fewer."""
    image = cv2.imdecode(data, READ_FLAGS | cv2.IMREAD_ANYDEPTH)
    if image is None or image.dtype == np.uint8:
        return image, None
    if image.dtype == np.uint16:
        largest = int(image.max(initial=0))
        for bits in _DEPTHS:
            if 0 < largest < 1 << bits:
                return np.right_shift(np.asarray(image, np.uint16), bits - 8).astype(np.uint8), bits
        return cv2.imdecode(data, READ_FLAGS), None
    # OpenCV rounds floats to integers, so pictures with values from 0 to 1 would be black; only Radiance HDR is scaled.
    return (cv2.imdecode(data, READ_FLAGS), None) if data[:2].tobytes() == b"#?" else (None, None)


def _size_after_turning(header: Header, exif: Exif) -> tuple[int, int] | None:
    """Return the size of a picture as read, after turning."""
    turned = exif == "follow" and header.orientation in SIDES_SWAPPED
    return header.size[::-1] if turned and header.size is not None else header.size


def _size_mismatch(size: tuple[int, int], width: int, height: int, header: Header, exif: Exif) -> str:
    text = f"is {size[0]}x{size[1]} pixels, annotated as {width}x{height}"
    if header.orientation not in SIDES_SWAPPED or size != (height, width):
        return text
    if exif == "follow":
        return (
            f"{text}: EXIF orientation {header.orientation} was followed, and whoever annotated the picture did not: "
            "leave --exif follow out"
        )
    return (
        f"{text}: its EXIF orientation is {header.orientation}, and the tool that annotated it has turned it. Give "
        "--exif follow, or turn the files themselves (exiftran -ai, jpegtran)"
    )


def _check_header(path: Path) -> Header | FileFault:
    """Return the header of a file, or what is wrong with the file."""
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):  # opening a pipe would wait for ever
            return FileFault(UNREADABLE, "is a folder" if stat.S_ISDIR(status.st_mode) else "is not a regular file")
        if status.st_size == 0:
            return FileFault(NOT_AN_IMAGE, "not an image: the file is empty")
        with path.open("rb", buffering=0) as file:
            start = file.read(_HEAD)

            def read(offset: int, count: int) -> bytes:
                if offset + count <= len(start):
                    return start[offset : offset + count]
                file.seek(offset)
                return file.read(count)

            header = read_header(read, start, status.st_size)
    except (FileNotFoundError, NotADirectoryError):
        return FileFault(MISSING, "no such file")
    except OSError as error:
        return FileFault(UNREADABLE, f"cannot be read ({error.strerror})")
    return FileFault(TRUNCATED, "the image is truncated: it has no end marker") if header.truncated else header
