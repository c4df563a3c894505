"""Parse the header of an image file without decoding it: size, EXIF orientation, and whether the file is complete."""

from collections.abc import Callable
from typing import Literal, NamedTuple

UPRIGHT = 1
"""EXIF orientation of a picture that is stored as it is shown."""
SIDES_SWAPPED = (5, 6, 7, 8)
"""EXIF orientations that turn a picture by 90 degrees."""
_TAIL = 4096
"""Bytes at the end of a file that are searched first for the end marker: some cameras and tools append data after it.
"""
JPEG = b"\xff\xd8"
_PNG = b"\x89PNG\r\n\x1a\n"
_TIFF = (b"II*\0", b"MM\0*")
_END_OF_IMAGE = b"\xff\xd9"
_SCAN, _TABLES, _EXIF_SEGMENT = 0xDA, {0xC4, 0xDB}, 0xE1
_FRAMES = (0xC0, 0xC1, 0xC2)
"""Baseline, extended and progressive Huffman coding: the kinds that every decoder reads."""
_STANDALONE = {0x01, *range(0xD0, 0xDA)}
"""JPEG markers without a length; none belongs in a header."""
_EXIF = b"Exif\0\0"
_ORIENTATION_TAG, _ENTRY_BYTES = 0x0112, 12
"""Number of the orientation tag, and bytes per entry of a TIFF directory (TIFF 6.0, section 8)."""

ReadBytes = Callable[[int, int], bytes]
"""Function (offset, count) -> that many bytes of the file, or fewer at its end."""


class Header(NamedTuple):
    """``size``: (width, height) as stored, None if only decoding can tell; ``orientation``: of EXIF, 1 to 8."""

    size: tuple[int, int] | None = None
    truncated: bool = False
    orientation: int = UPRIGHT


def read_header(read: ReadBytes, start: bytes, length: int) -> Header:
    """Parse the header of a file of ``length`` bytes; ``start``: its first bytes."""
    if start.startswith(JPEG):
        return _jpeg_header(read, length)
    if start.startswith(_PNG) and start[12:16] == b"IHDR":
        size = int.from_bytes(start[16:20], "big"), int.from_bytes(start[20:24], "big")
        truncated = b"IEND" not in read(max(0, length - _TAIL), _TAIL)
        return Header(size, truncated, _png_orientation(read, length))
    if start.startswith(b"RIFF") and start[8:12] == b"WEBP":
        return Header(orientation=_webp_orientation(read, length))
    if is_tiff(start):
        return Header(orientation=_tiff_orientation(read, 0))
    return Header()


def is_tiff(start: bytes) -> bool:
    """Return whether a file begins like a TIFF."""
    return start.startswith(_TIFF)


def orientation_of(data: memoryview) -> int:
    """Return the EXIF orientation of an image file in memory."""
    return read_header(
        lambda offset, count: bytes(data[offset : offset + count]), bytes(data[:64]), len(data)
    ).orientation


def _jpeg_header(read: ReadBytes, length: int) -> Header:
    """Walk the header's segments (ITU T.81, annex B) up to the first scan, then look for the end marker.

    libjpeg fills the missing part of a truncated file with grey and only warns. The search begins after the header,
    since an embedded preview has an end marker of its own.
    """
    offset, size, tables, orientation = len(JPEG), None, set(), UPRIGHT
    while True:
        head = read(offset, 4)
        if len(head) < 4:
            return Header(truncated=True)
        if head[0] != 0xFF or head[1] in _STANDALONE:
            return Header(orientation=orientation)
        marker, segment = head[1], int.from_bytes(head[2:4], "big")
        if marker == 0xFF:  # padding
            offset += 1
            continue
        if marker == _SCAN:
            break
        if marker == _EXIF_SEGMENT and orientation == UPRIGHT and read(offset + 4, len(_EXIF)) == _EXIF:
            orientation = _tiff_orientation(read, offset + 4 + len(_EXIF))
        if marker in _FRAMES:
            frame = read(offset + 4, 6)
            if len(frame) == 6 and frame[0] == 8 and frame[5] in (1, 3):  # bits a sample; components
                size = int.from_bytes(frame[3:5], "big"), int.from_bytes(frame[1:3], "big")
        tables.add(marker)
        offset += 2 + max(segment, 2)
    if read(length - 2, 2) != _END_OF_IMAGE:
        tail = max(offset, length - _TAIL)
        if _END_OF_IMAGE not in read(tail, length - tail) and _END_OF_IMAGE not in read(offset, length - offset):
            return Header(truncated=True)
    known = size is not None and bool(size[1]) and tables >= _TABLES
    return Header(size if known else None, orientation=orientation)


def _png_orientation(read: ReadBytes, length: int) -> int:
    """Read the `eXIf` chunk, wherever it is; of each other chunk 8 bytes are read."""
    offset = len(_PNG)
    while offset + 8 <= length:
        head = read(offset, 8)
        kind = head[4:8]
        if not kind.isalpha() or kind == b"IEND":
            break
        if kind == b"eXIf":
            return _exif_orientation(read, offset + 8)
        offset += 12 + int.from_bytes(head[:4], "big")
    return UPRIGHT


def _webp_orientation(read: ReadBytes, length: int) -> int:
    """Read the `EXIF` chunk of a RIFF file; chunks begin at even offsets."""
    offset = 12
    while offset + 8 <= length:
        head = read(offset, 8)
        if head[:4] == b"EXIF":
            return _exif_orientation(read, offset + 8)
        size = int.from_bytes(head[4:8], "little")
        offset += 8 + size + size % 2
    return UPRIGHT


def _exif_orientation(read: ReadBytes, offset: int) -> int:
    """Read an EXIF block, which may begin with JPEG's prefix, because some tools write that into other formats too."""
    return _tiff_orientation(read, offset + len(_EXIF) if read(offset, len(_EXIF)) == _EXIF else offset)


def _tiff_orientation(read: ReadBytes, base: int) -> int:
    """Read the first directory of a TIFF structure at ``base``; 1 if it has no valid orientation."""
    head = read(base, 8)
    if len(head) < 8 or not is_tiff(head):
        return UPRIGHT
    order: Literal["little", "big"] = "little" if head[:2] == b"II" else "big"
    directory = base + int.from_bytes(head[4:8], order)
    entries = read(directory + 2, _ENTRY_BYTES * int.from_bytes(read(directory, 2), order))
    for entry in range(0, len(entries) - _ENTRY_BYTES + 1, _ENTRY_BYTES):
        if int.from_bytes(entries[entry : entry + 2], order) == _ORIENTATION_TAG:
            value = int.from_bytes(entries[entry + 8 : entry + 10], order)
            return value if value in range(1, 9) else UPRIGHT
    return UPRIGHT
