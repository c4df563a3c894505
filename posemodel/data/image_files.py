"""Whether an image file is what its annotation says: present, whole, and of the annotated size.

The quick look reads a few hundred bytes (header and end marker; 118,000 files take seconds), the thorough one decodes.
What is out of the ordinary in its header is decoded by either, so that a quick look passes little that OpenCV refuses.
"""

import stat
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np

READ_FLAGS = cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION
"""Images are read without EXIF rotation: annotations are in the pixels as stored."""
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
_TAIL = 4096
"""Bytes at the end that are searched for the end marker first: some cameras and tools append padding or notes."""
_JPEG, _PNG = b"\xff\xd8", b"\x89PNG\r\n\x1a\n"
_END_OF_IMAGE = b"\xff\xd9"
_SCAN, _TABLES = 0xDA, {0xC4, 0xDB}
_FRAMES = (0xC0, 0xC1, 0xC2)
"""Baseline, extended and progressive Huffman coding: what every decoder reads."""
_STANDALONE = {0x01, *range(0xD0, 0xDA)}
"""JPEG markers without a length; none belongs into a header."""

Read = Callable[[int, int], bytes]
"""(offset, count) -> bytes of the file, fewer at its end."""


class FileFault(NamedTuple):
    """Why an image cannot be used: in a word that is counted, and in words for the person who reads it."""

    reason: str
    text: str


UNDECODABLE = FileFault(NOT_AN_IMAGE, "not an image that OpenCV can decode")


class _Header(NamedTuple):
    """What a quick look found. ``size``: (width, height), None where only decoding can tell."""

    size: tuple[int, int] | None = None
    truncated: bool = False


def file_fault(path: Path, width: int, height: int, *, decode: bool) -> FileFault | None:
    """What is wrong with an image file that is annotated as ``width`` x ``height`` pixels; None if nothing is.

    ``decode``: decode it too, instead of believing its header.
    """
    header = _quick_look(path)
    if isinstance(header, FileFault):
        return header
    size = header.size
    if size is None or (decode and size == (width, height)):
        pixels = decoded(path)
        if pixels is None:
            return UNDECODABLE
        size = (pixels.shape[1], pixels.shape[0])
    if size != (width, height):
        return FileFault(OTHER_SIZE, f"is {size[0]}x{size[1]} pixels, annotated as {width}x{height}")
    return None


def stated_size(path: Path) -> tuple[int, int] | FileFault | None:
    """(width, height) that the header of an image file states, None where only decoding can tell, or its fault."""
    header = _quick_look(path)
    return header if isinstance(header, FileFault) else header.size


def _quick_look(path: Path) -> _Header | FileFault:
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

            header = _look(read, start, status.st_size)
    except (FileNotFoundError, NotADirectoryError):
        return FileFault(MISSING, "no such file")
    except OSError as error:
        return FileFault(UNREADABLE, f"cannot be read ({error.strerror})")
    return FileFault(TRUNCATED, "the image is truncated: it has no end marker") if header.truncated else header


def decoded(path: Path) -> cv2.typing.MatLike | None:
    """BGR pixels (height, width, 3) uint8 without EXIF rotation; None where OpenCV cannot decode the file."""
    return decoded_smaller(path, 1)[0]


def decoded_smaller(path: Path, reduction: int) -> tuple[cv2.typing.MatLike | None, int]:
    """As ``decoded``, and how many times smaller both sides are (rounded up): ``reduction``, or 1 if it is no JPEG.

    ``reduction``: 1, 2, 4 or 8. libjpeg leaves out work for it; of other formats OpenCV would decode every pixel.
    """
    try:
        # Faster than imread, which reads in small pieces; and on Windows imread cannot open every name.
        data = np.fromfile(path, np.uint8)
        reduction = reduction if data[:2].tobytes() == _JPEG else 1
        return cv2.imdecode(data, _REDUCED_FLAGS[reduction]), reduction
    except OSError:
        return None, reduction
    except cv2.error:  # sizes beyond OpenCV's limits, or an empty file
        return None, reduction


def _look(read: Read, start: bytes, length: int) -> _Header:
    if start.startswith(_JPEG):
        return _look_at_jpeg(read, length)
    if start.startswith(_PNG) and start[12:16] == b"IHDR":
        size = int.from_bytes(start[16:20], "big"), int.from_bytes(start[20:24], "big")
        return _Header(size, truncated=b"IEND" not in read(max(0, length - _TAIL), _TAIL))
    return _Header()


def _look_at_jpeg(read: Read, length: int) -> _Header:
    """Walk the segments of the header (ITU T.81, annex B) up to the first scan, then look for the end marker.

    libjpeg fills what a truncated file lacks with grey and only warns. The search begins behind the header, since an
    embedded preview has an end marker of its own.
    """
    offset, size, tables = len(_JPEG), None, set()
    while True:
        head = read(offset, 4)
        if len(head) < 4:
            return _Header(truncated=True)
        if head[0] != 0xFF or head[1] in _STANDALONE:
            return _Header()
        marker, segment = head[1], int.from_bytes(head[2:4], "big")
        if marker == 0xFF:  # padding
            offset += 1
            continue
        if marker == _SCAN:
            break
        if marker in _FRAMES:
            frame = read(offset + 4, 6)
            if len(frame) == 6 and frame[0] == 8 and frame[5] in (1, 3):  # bits a sample; components
                size = int.from_bytes(frame[3:5], "big"), int.from_bytes(frame[1:3], "big")
        tables.add(marker)
        offset += 2 + max(segment, 2)
    if read(length - 2, 2) != _END_OF_IMAGE:
        tail = max(offset, length - _TAIL)
        if _END_OF_IMAGE not in read(tail, length - tail) and _END_OF_IMAGE not in read(offset, length - offset):
            return _Header(truncated=True)
    return _Header(size if size is not None and size[1] and tables >= _TABLES else None)
