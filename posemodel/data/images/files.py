"""Image files: whether one is what its annotation says (present, whole, of the annotated size), and its pixels.

The quick look reads a few hundred bytes (header and end marker; 118,000 files take seconds), the thorough one decodes.
What is out of the ordinary in its header is decoded by either, so that a quick look passes little that OpenCV refuses.

Pixels are as stored, or turned as the EXIF orientation says (``exif="follow"``): in every format alike, and sizes are
compared after turning. They have 8 bits a sample. Of 16 the upper 8 are taken; a picture of which no value reaches
4096 holds 12 bits, as cameras write them, and one of which none reaches 256 holds 8: these are read as such. Three
fixed depths, so that the pictures of one camera stay comparable; a stretch to each picture's own range would not.
"""

import os
import stat
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np

from posemodel.config import Exif
from posemodel.data.images.headers import JPEG, SIDES_SWAPPED, UPRIGHT, Header, is_tiff, look, orientation_of

READ_FLAGS = cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION
"""OpenCV turns no picture by these, but TIFFs, which it always turns: those are turned back."""
_REDUCED_FLAGS = {
    1: READ_FLAGS,
    2: cv2.IMREAD_REDUCED_COLOR_2 | cv2.IMREAD_IGNORE_ORIENTATION,
    4: cv2.IMREAD_REDUCED_COLOR_4 | cv2.IMREAD_IGNORE_ORIENTATION,
    8: cv2.IMREAD_REDUCED_COLOR_8 | cv2.IMREAD_IGNORE_ORIENTATION,
}
REDUCTIONS = tuple(_REDUCED_FLAGS)
"""How many times smaller JPEGs can be decoded."""
MISSING, UNREADABLE, TRUNCATED, NOT_AN_IMAGE, OTHER_SIZE = (
    "missing",
    "unreadable",
    "truncated",
    "not an image",
    "of another size",
)
_HEAD = 2048
"""Bytes read at once: most JPEGs have their whole header in them."""
_DEPTHS = (8, 12)
"""Bits that are recognised in pictures of 16: no value needs more."""
_TURNS = {
    2: lambda image: cv2.flip(image, 1),
    3: lambda image: cv2.rotate(image, cv2.ROTATE_180),
    4: lambda image: cv2.flip(image, 0),
    5: cv2.transpose,
    6: lambda image: cv2.rotate(image, cv2.ROTATE_90_CLOCKWISE),
    7: lambda image: cv2.rotate(cv2.transpose(image), cv2.ROTATE_180),
    8: lambda image: cv2.rotate(image, cv2.ROTATE_90_COUNTERCLOCKWISE),
}
"""From the pixels as stored to the picture as shown, by EXIF orientation (CIPA DC-008, 4.6.4)."""
_BACK = {6: 8, 8: 6}
"""The orientation that undoes another; the others undo themselves."""


class FileFault(NamedTuple):
    """Why an image cannot be used: in a word that is counted, and in words for the person who reads it."""

    reason: str
    text: str


UNDECODABLE = FileFault(NOT_AN_IMAGE, "not an image that OpenCV can decode")


class Examined(NamedTuple):
    """What was found out about an image file."""

    fault: FileFault | None = None
    orientation: int = UPRIGHT
    """EXIF's, 1 to 8, followed or not; 1 where the file has none."""
    bits: int | None = None
    """Of a picture of 16 bits that holds fewer (see ``_DEPTHS``), and was decoded."""


class _Decoded(NamedTuple):
    """``image`` is None where OpenCV cannot decode the file; ``reduction``: how many times smaller its sides are."""

    image: cv2.typing.MatLike | None
    reduction: int = 1
    bits: int | None = None


def image_path(folder: Path | str, name: str) -> Path:
    """A file by its name in an annotation file, whatever encoding the system's file names are said to have."""
    return Path(folder, name if name.isascii() else os.fsdecode(name.encode(errors="surrogatepass")))


def file_fault(path: Path, width: int, height: int, *, decode: bool, exif: Exif = "ignore") -> FileFault | None:
    """What is wrong with an image file that is annotated as ``width`` x ``height`` pixels; None if nothing is.

    ``decode``: decode it too, instead of believing its header.
    """
    return examine(path, width, height, decode=decode, exif=exif).fault


def examine(path: Path, width: int, height: int, *, decode: bool, exif: Exif = "ignore") -> Examined:
    """As ``file_fault``, with what else was seen of the file on the way."""
    header = _quick_look(path)
    if isinstance(header, FileFault):
        return Examined(header)
    orientation, bits = header.orientation, None
    size = _as_read(header, exif)
    if size is None or (decode and size == (width, height)):
        found = _decode(path, 1, exif)
        if found.image is None:
            return Examined(UNDECODABLE, orientation)
        size, bits = (found.image.shape[1], found.image.shape[0]), found.bits
    fault = None if size == (width, height) else FileFault(OTHER_SIZE, _other_size(size, width, height, header, exif))
    return Examined(fault, orientation, bits)


def stated_size(path: Path, *, exif: Exif = "ignore") -> tuple[int, int] | FileFault | None:
    """(width, height) that the header of an image file states, None where only decoding can tell, or its fault."""
    header = _quick_look(path)
    return header if isinstance(header, FileFault) else _as_read(header, exif)


def decoded(path: Path, *, exif: Exif = "ignore") -> cv2.typing.MatLike | None:
    """BGR pixels (height, width, 3) uint8, as stored unless ``exif`` is `follow`; None where OpenCV cannot decode."""
    return _decode(path, 1, exif).image


def decoded_smaller(path: Path, reduction: int, *, exif: Exif = "ignore") -> tuple[cv2.typing.MatLike | None, int]:
    """As ``decoded``, and how many times smaller both sides are (rounded up): ``reduction``, or 1 if it is no JPEG.

    ``reduction``: 1, 2, 4 or 8. libjpeg leaves out work for it; of other formats OpenCV would decode every pixel.
    """
    found = _decode(path, reduction, exif)
    return found.image, found.reduction


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
            image, bits = _eight_bits(data)
        else:
            image, bits = cv2.imdecode(data, _REDUCED_FLAGS[reduction]), None
            if reduction > 1 and orientation != UPRIGHT and image is not None and _ends_in_part(data, reduction):
                # The part of a block at the end of a side would come to stand at its beginning.
                image, reduction = cv2.imdecode(data, READ_FLAGS), 1
    except cv2.error:  # sizes beyond OpenCV's limits, or an empty file
        return _Decoded(None, reduction)
    turn = orientation if exif == "follow" else UPRIGHT
    if tiff:  # OpenCV has turned it already
        turn = UPRIGHT if exif == "follow" else _BACK.get(orientation, orientation)
    if image is not None and turn in _TURNS:
        image = _TURNS[turn](image)
    return _Decoded(image, reduction, bits)


def _ends_in_part(data: np.ndarray, reduction: int) -> bool:
    """Whether a JPEG's sides are no multiples of the reduction, or are not known."""
    raw = data.data
    size = look(lambda offset, count: bytes(raw[offset : offset + count]), bytes(raw[:4]), len(raw)).size
    return size is None or any(side % reduction for side in size)


def _eight_bits(data: np.ndarray) -> tuple[cv2.typing.MatLike | None, int | None]:
    """BGR uint8 of a file that is no JPEG, and the bits that a picture of 16 holds, where those are fewer."""
    image = cv2.imdecode(data, READ_FLAGS | cv2.IMREAD_ANYDEPTH)
    if image is None or image.dtype == np.uint8:
        return image, None
    if image.dtype == np.uint16:
        largest = int(image.max(initial=0))
        for bits in _DEPTHS:
            if 0 < largest < 1 << bits:
                return (image >> (bits - 8)).astype(np.uint8), bits
        return cv2.imdecode(data, READ_FLAGS), None
    # OpenCV rounds floats to whole numbers: from 0 to 1 they would be black. Those of Radiance's HDR it scales.
    return (cv2.imdecode(data, READ_FLAGS), None) if data[:2].tobytes() == b"#?" else (None, None)


def _as_read(header: Header, exif: Exif) -> tuple[int, int] | None:
    """The size that a picture has once it is read."""
    turned = exif == "follow" and header.orientation in SIDES_SWAPPED
    return header.size[::-1] if turned and header.size is not None else header.size


def _other_size(size: tuple[int, int], width: int, height: int, header: Header, exif: Exif) -> str:
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


def _quick_look(path: Path) -> Header | FileFault:
    """What the header of a file says, or what is wrong with the file."""
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):  # opening a pipe would wait for ever
            return FileFault(UNREADABLE, "is a folder" if stat.S_ISDIR(status.st_mode) else "is no regular file")
        if status.st_size == 0:
            return FileFault(NOT_AN_IMAGE, "not an image: the file is empty")
        with path.open("rb", buffering=0) as file:
            start = file.read(_HEAD)

            def read(offset: int, count: int) -> bytes:
                if offset + count <= len(start):
                    return start[offset : offset + count]
                file.seek(offset)
                return file.read(count)

            header = look(read, start, status.st_size)
    except (FileNotFoundError, NotADirectoryError):
        return FileFault(MISSING, "no such file")
    except OSError as error:
        return FileFault(UNREADABLE, f"cannot be read ({error.strerror})")
    return FileFault(TRUNCATED, "the image is truncated: it has no end marker") if header.truncated else header
