"""Headers of image files, byte by byte: what is read from each, and where a file counts as cut off."""

import struct

import pytest

from posemodel.data.images.headers import Header, read_header
from tests.support.tagged import tiff_block

START, END = b"\xff\xd8", b"\xff\xd9"


def segment(marker: int, content: bytes = b"") -> bytes:
    return bytes([0xFF, marker]) + struct.pack(">H", len(content) + 2) + content


def frame(marker: int = 0xC0, *, bits: int = 8, width: int = 300, height: int = 200, components: int = 3) -> bytes:
    return segment(marker, struct.pack(">BHHB", bits, height, width, components) + bytes(9))


def exif(orientation: int) -> bytes:
    return segment(0xE1, b"Exif\0\0" + tiff_block(orientation))


TABLES = segment(0xDB, bytes(65)) + segment(0xC4, bytes(20))
SCAN = segment(0xDA, bytes(10)) + b"pixels"
WHOLE = START + TABLES + frame() + SCAN + END
PREVIEW = segment(0xE2, b"preview" + END)
CUT = Header(truncated=True)


def header(data: bytes) -> Header:
    return read_header(lambda offset, count: data[offset : offset + count], data[:64], len(data))


JPEGS = {
    "whole": (WHOLE, Header((300, 200))),
    "extended": (START + TABLES + frame(0xC1) + SCAN + END, Header((300, 200))),
    "progressive": (START + TABLES + frame(0xC2) + SCAN + END, Header((300, 200))),
    "lossless": (START + TABLES + frame(0xC3) + SCAN + END, Header()),
    "grey": (START + TABLES + frame(components=1) + SCAN + END, Header((300, 200))),
    "two components": (START + TABLES + frame(components=2) + SCAN + END, Header()),
    "print colours": (START + TABLES + frame(components=4) + SCAN + END, Header()),
    "twelve bits": (START + TABLES + frame(0xC1, bits=12) + SCAN + END, Header()),
    "height in a later segment": (START + TABLES + frame(height=0) + SCAN + END, Header()),
    "no frame": (START + TABLES + SCAN + END, Header()),
    "frame of five bytes": (START + TABLES + segment(0xC0, frame()[4:9]) + SCAN + END, Header()),
    "frame of six bytes": (START + TABLES + segment(0xC0, frame()[4:10]) + SCAN + END, Header((300, 200))),
    "no quantization": (START + segment(0xC4, bytes(20)) + frame() + SCAN + END, Header()),
    "no Huffman table": (START + segment(0xDB, bytes(65)) + frame() + SCAN + END, Header()),
    "padding between segments": (START + TABLES + b"\xff\xff" + frame() + SCAN + END, Header((300, 200))),
    "length of an empty segment left out": (START + b"\xff\xe0\0\0" + WHOLE[2:], Header((300, 200))),
    "a marker without length": (START + exif(6) + b"\xff\x01\0\0" + WHOLE[2:], Header(orientation=6)),
    "first restart marker": (START + b"\xff\xd0" + WHOLE[2:], Header()),
    "end before any scan": (START + exif(6) + TABLES + frame() + END + SCAN + END, Header(orientation=6)),
    "arithmetic coding": (START + segment(0xCF) + WHOLE[2:], Header((300, 200))),
    "no marker": (START + exif(6) + b"\0\0\0\0" + WHOLE[2:], Header(orientation=6)),
    "turned": (START + exif(6) + WHOLE[2:], Header((300, 200), orientation=6)),
    "turned, then tagged once more": (START + exif(6) + exif(8) + WHOLE[2:], Header((300, 200), orientation=6)),
    "upright, then tagged once more": (START + exif(1) + exif(8) + WHOLE[2:], Header((300, 200), orientation=8)),
    "another block of that marker": (
        START + segment(0xE1, b"http:/" + tiff_block(8)) + exif(3) + WHOLE[2:],
        Header((300, 200), orientation=3),
    ),
    "EXIF under another marker": (START + b"\xff\xe2" + exif(6)[2:] + WHOLE[2:], Header((300, 200))),
    "data behind its end": (WHOLE + bytes(100), Header((300, 200))),
    "much data behind its end": (WHOLE + bytes(9000), Header((300, 200))),
    "cut in its last marker": (WHOLE[:-1], CUT),
    "cut in its pixels": (WHOLE[:-5], CUT),
    "cut, with a preview that has an end": (START + PREVIEW + WHOLE[2:-2], CUT),
    "cut late, with a preview that has an end": (START + PREVIEW + WHOLE[2:-2] + bytes(3900), CUT),
    "cut very late, with a preview that has an end": (START + PREVIEW + WHOLE[2:-2] + bytes(9000), CUT),
    "cut in a segment": (START + TABLES + frame() + segment(0xE0, bytes(50))[:-3], CUT),
    "cut in a segment's length": (START + TABLES + b"\xff\xda\0", CUT),
    "nothing but its first bytes": (START, CUT),
}


@pytest.mark.parametrize(("data", "wanted"), JPEGS.values(), ids=JPEGS.keys())
def test_what_a_jpeg_tells_before_it_is_decoded(data: bytes, wanted: Header) -> None:
    assert header(data) == wanted


def chunk(kind: bytes, content: bytes = b"") -> bytes:
    return struct.pack(">I", len(content)) + kind + content + bytes(4)


SIGNATURE = b"\x89PNG\r\n\x1a\n"
IHDR, IDAT, IEND = chunk(b"IHDR", struct.pack(">II", 300, 200) + bytes(5)), chunk(b"IDAT", b"pixels"), chunk(b"IEND")
TURNED = chunk(b"eXIf", tiff_block(6))
PNGS = {
    "whole": (SIGNATURE + IHDR + IDAT + IEND, Header((300, 200))),
    "turned": (SIGNATURE + IHDR + TURNED + IDAT + IEND, Header((300, 200), orientation=6)),
    "turned, behind its pixels": (SIGNATURE + IHDR + IDAT + TURNED + IEND, Header((300, 200), orientation=6)),
    "prefixed as in a JPEG": (
        SIGNATURE + IHDR + chunk(b"eXIf", b"Exif\0\0" + tiff_block(8)) + IEND,
        Header((300, 200), orientation=8),
    ),
    "tagged behind its end": (SIGNATURE + IHDR + IDAT + IEND + TURNED, Header((300, 200))),
    "tagged behind what is no chunk": (SIGNATURE + IHDR + chunk(b"ID4T") + TURNED + IEND, Header((300, 200))),
    "data behind its end": (SIGNATURE + IHDR + IDAT + IEND + bytes(4000), Header((300, 200))),
    "cut": (SIGNATURE + IHDR + IDAT, Header((300, 200), truncated=True)),
    "end only in its middle": (SIGNATURE + IHDR + IEND + bytes(4200), Header((300, 200), truncated=True)),
    "no size first": (SIGNATURE + IDAT + IHDR + IEND, Header()),
    "another file's signature": (b"\x89PNG\r\n\x1a\r" + IHDR + IDAT + IEND, Header()),
}


@pytest.mark.parametrize(("data", "wanted"), PNGS.values(), ids=PNGS.keys())
def test_what_a_png_tells_before_it_is_decoded(data: bytes, wanted: Header) -> None:
    assert header(data) == wanted


def riff(*chunks: tuple[bytes, bytes]) -> bytes:
    """A WebP file; odd chunks are filled up to even offsets."""
    body = b"".join(kind + struct.pack("<I", len(data)) + data + bytes(len(data) % 2) for kind, data in chunks)
    return b"RIFF" + struct.pack("<I", len(body) + 4) + b"WEBP" + body


OTHERS = {
    "WebP": (riff((b"VP8 ", b"even"), (b"EXIF", tiff_block(6))), 6),
    "WebP with a chunk of odd length": (riff((b"VP8 ", b"odd"), (b"EXIF", tiff_block(6))), 6),
    "WebP, prefixed as in a JPEG": (riff((b"EXIF", b"Exif\0\0" + tiff_block(7))), 7),
    "WebP without a tag": (riff((b"VP8 ", b"even"), (b"XMP ", tiff_block(6))), 1),
    "another RIFF file": (riff((b"EXIF", tiff_block(6))).replace(b"WEBP", b"WAVE"), 1),
    "TIFF": (tiff_block(5), 5),
    "TIFF in the other order": (tiff_block(5, order=">"), 5),
    "TIFF with other entries": (tiff_block(2, before=[(0x0100, 3, 1, 8), (0x0101, 3, 1, 8)]), 2),
    "TIFF without the tag": (tiff_block(5).replace(b"\x12\x01", b"\x13\x01"), 1),
    "TIFF with an orientation of 0": (tiff_block(0), 1),
    "TIFF with an orientation of 8": (tiff_block(8), 8),
    "TIFF with an orientation of 9": (tiff_block(9), 1),
    "TIFF cut in its entry": (tiff_block(5)[:-6], 1),
    "TIFF cut after its entry": (tiff_block(5)[:-4], 5),
    "TIFF of seven bytes": (tiff_block(5)[:7], 1),
    "neither": (b"GIF89a" + tiff_block(6), 1),
}


@pytest.mark.parametrize(("data", "orientation"), OTHERS.values(), ids=OTHERS.keys())
def test_of_other_files_only_the_orientation_is_read(data: bytes, orientation: int) -> None:
    assert header(data) == Header(orientation=orientation)
