"""Write image files with an EXIF orientation tag, byte by byte, in the form in which cameras and phones store them."""

import struct
import zlib
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

TAGGED_FORMATS = ("jpg", "png", "webp", "tiff")
_SHORT = 3


def tiff_block(orientation: int, *, order: str = "<", before: Sequence[tuple[int, int, int, int]] = ()) -> bytes:
    """A TIFF header and one directory; ``before``: other entries (tag, kind, count, value) in front of the tag."""
    entries = [*before, (0x0112, _SHORT, 1, orientation)]
    head = (b"II" if order == "<" else b"MM") + struct.pack(f"{order}HI", 42, 8)
    body = b"".join(struct.pack(f"{order}HHIHH", tag, kind, count, value, 0) for tag, kind, count, value in entries)
    return head + struct.pack(f"{order}H", len(entries)) + body + struct.pack(f"{order}I", 0)


def with_orientation(
    path: Path, stored: NDArray[np.uint8], orientation: int, *, order: str = "<", quality: int = 95
) -> Path:
    """Write BGR pixels as they are stored, with the tag that says how they are shown; returns the path."""
    kind = path.suffix[1:]
    options = {"jpg": [cv2.IMWRITE_JPEG_QUALITY, quality], "webp": [cv2.IMWRITE_WEBP_QUALITY, 101]}.get(kind, [])
    if kind == "tiff":
        path.write_bytes(_tiff(stored, orientation, order))
        return path
    done, encoded = cv2.imencode(path.suffix, stored, options)
    assert done
    data, block = encoded.tobytes(), tiff_block(orientation, order=order)
    if kind == "jpg":
        body = b"Exif\0\0" + block
        data = data[:2] + b"\xff\xe1" + struct.pack(">H", len(body) + 2) + body + data[2:]
    elif kind == "png":
        body = b"eXIf" + block
        data = data[:33] + struct.pack(">I", len(block)) + body + struct.pack(">I", zlib.crc32(body)) + data[33:]
    else:
        data = _webp(data, stored.shape[1], stored.shape[0], block)
    path.write_bytes(data)
    return path


def _webp(data: bytes, width: int, height: int, block: bytes) -> bytes:
    """A simple WebP file as an extended one that has a chunk `EXIF`."""
    has_exif = 0x08
    extended = struct.pack("<I", has_exif) + struct.pack("<I", width - 1)[:3] + struct.pack("<I", height - 1)[:3]
    chunks = b"VP8X" + struct.pack("<I", len(extended)) + extended + data[12:]
    chunks += b"EXIF" + struct.pack("<I", len(block)) + block + b"\0" * (len(block) % 2)
    return b"RIFF" + struct.pack("<I", len(chunks) + 4) + b"WEBP" + chunks


def _tiff(stored: NDArray[np.uint8], orientation: int, order: str) -> bytes:
    """An uncompressed RGB TIFF of one strip."""
    height, width = stored.shape[:2]
    pixels = np.ascontiguousarray(stored[..., ::-1]).tobytes()
    bits = struct.pack(f"{order}HHH", 8, 8, 8)
    count = 10
    after = 8 + 2 + 12 * count + 4
    long, short = 4, _SHORT
    entries = [
        (0x0100, long, 1, width),
        (0x0101, long, 1, height),
        (0x0102, short, 3, after),
        (0x0103, short, 1, 1),
        (0x0106, short, 1, 2),
        (0x0111, long, 1, after + len(bits)),
        (0x0112, short, 1, orientation),
        (0x0115, short, 1, 3),
        (0x0116, long, 1, height),
        (0x0117, long, 1, len(pixels)),
    ]
    body = b""
    for tag, kind, number, value in entries:
        one_short = kind == short and number == 1
        packed = struct.pack(f"{order}HH", value, 0) if one_short else struct.pack(f"{order}I", value)
        body += struct.pack(f"{order}HHI", tag, kind, number) + packed
    head = (b"II" if order == "<" else b"MM") + struct.pack(f"{order}HI", 42, 8)
    return head + struct.pack(f"{order}H", count) + body + struct.pack(f"{order}I", 0) + bits + pixels
