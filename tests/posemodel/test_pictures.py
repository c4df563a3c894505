"""Pictures of every kind as the network's input: decoded alike, letterboxed alike, and refused in words."""

import struct
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest

from posemodel.data.augment import BORDER_RGB, letterbox
from posemodel.data.images.files import decode_image
from posemodel.errors import DataError
from posemodel.inference.pictures import pictures_below, read_picture

RNG = np.random.default_rng(0)


def scene(height: int, width: int) -> np.ndarray:
    """A smooth BGR picture."""
    return cv2.resize(RNG.integers(0, 256, (5, 6, 3), np.uint8), (width, height), interpolation=cv2.INTER_CUBIC)


def written(path: Path, image: np.ndarray) -> Path:
    assert cv2.imwrite(str(path), image)
    return path


@pytest.mark.parametrize("suffix", ["png", "bmp", "webp", "tif", "ppm"])
@pytest.mark.parametrize(("height", "width"), [(40, 64), (64, 40), (16, 16), (100, 31)])
def test_any_format_becomes_its_letterbox(tmp_path: Path, suffix: str, height: int, width: int) -> None:
    path = written(tmp_path / f"a.{suffix}", scene(height, width))
    picture = read_picture(path, [64, 128])
    assert (picture.width, picture.height) == (width, height)
    for size, found in zip((64, 128), picture.inputs, strict=True):
        expected = letterbox(width, height, size).image(np.asarray(decode_image(path)), size)
        assert found.shape == (size, size, 3)
        if max(height, width) < 2 * size:
            np.testing.assert_array_equal(found, expected)


def test_grey_opacity_and_sixteen_bits_become_rgb(tmp_path: Path) -> None:
    colour = scene(40, 40)
    plain = read_picture(written(tmp_path / "rgb.png", colour), [40]).inputs[0]
    np.testing.assert_array_equal(plain, colour[..., ::-1])
    alpha = np.dstack([colour, RNG.integers(0, 256, (40, 40), np.uint8)])
    np.testing.assert_array_equal(read_picture(written(tmp_path / "rgba.png", alpha), [40]).inputs[0], plain)
    deep = colour.astype(np.uint16) * 257
    np.testing.assert_array_equal(read_picture(written(tmp_path / "deep.png", deep), [40]).inputs[0], plain)
    grey = read_picture(written(tmp_path / "grey.png", colour[..., 0]), [40]).inputs[0]
    np.testing.assert_array_equal(grey, np.repeat(colour[..., :1], 3, axis=2))


def test_a_picture_is_not_turned_as_its_camera_says(tmp_path: Path) -> None:
    image = scene(30, 50)
    path = written(tmp_path / "turned.jpg", image)
    data = path.read_bytes()
    tags = b"Exif\0\0II*\0\x08\0\0\0\x01\0" + struct.pack("<HHIHH", 0x0112, 3, 1, 6, 0) + bytes(4)
    path.write_bytes(data[:2] + b"\xff\xe1" + struct.pack(">H", len(tags) + 2) + tags + data[2:])
    assert cv2.imread(str(path)).shape[:2] == (50, 30), "OpenCV would turn it"
    picture = read_picture(path, [64])
    assert (picture.width, picture.height) == (50, 30)


@pytest.mark.parametrize("suffix", ["png", "jpg"])
@pytest.mark.parametrize(("height", "width"), [(1, 1), (1, 300), (300, 1), (3, 2000), (5000, 40)])
def test_the_thinnest_pictures_work(tmp_path: Path, suffix: str, height: int, width: int) -> None:
    picture = read_picture(written(tmp_path / f"thin.{suffix}", np.full((height, width, 3), 200, np.uint8)), [64, 32])
    assert (picture.width, picture.height) == (width, height)
    assert [each.shape for each in picture.inputs] == [(64, 64, 3), (32, 32, 3)]


@pytest.mark.parametrize(("height", "width"), [(20, 40000), (70000, 10)])
def test_sides_beyond_what_opencv_warps_at_once(tmp_path: Path, height: int, width: int) -> None:
    picture = read_picture(written(tmp_path / "long.png", np.full((height, width, 3), 200, np.uint8)), [64])
    assert (picture.width, picture.height) == (width, height)


@pytest.mark.parametrize("suffix", ["png", "jpg"])
@pytest.mark.parametrize("side", [200, 900, 1500, 1601])
def test_a_large_picture_is_its_own_mean_where_it_should_be(tmp_path: Path, suffix: str, side: int) -> None:
    """Half black, half white, with stripes of a pixel: no stripe is left, and the edge is in the middle."""
    image = np.full((side, side, 3), 128, np.uint8)
    image[:, : side // 2] = 20
    image[::2] = np.clip(image[::2].astype(int) + 20, 0, 255).astype(np.uint8)
    (found,) = read_picture(written(tmp_path / f"big.{suffix}", image), [64]).inputs
    grey = found.mean(axis=2)
    assert np.abs(grey[:, :29] - 30).max() < 12
    assert np.abs(grey[:, 35:] - 138).max() < 12
    if side > 128 or suffix == "jpg":
        edge = (grey.mean(axis=0) > 84).argmax()
        assert abs(edge - 32) <= 1


def test_arrays_are_what_their_file_is(tmp_path: Path) -> None:
    image = scene(70, 90)
    from_file = read_picture(written(tmp_path / "a.png", image), [64])
    from_array = read_picture(np.ascontiguousarray(image[..., ::-1]), [64])
    np.testing.assert_array_equal(from_file.inputs[0], from_array.inputs[0])
    view = read_picture(image[..., ::-1], [64])  # a view with a negative stride, as people make them
    np.testing.assert_array_equal(from_file.inputs[0], view.inputs[0])
    assert tuple(from_array.inputs[0][0, 0]) == BORDER_RGB


def png_that_states(width: int, height: int) -> bytes:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(100))) + chunk(b"IEND", b"")
    )


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "the file is empty"),
        (b"hello", "not an image"),
        (b"\xff\xd8\xff\xe0", "truncated"),
        (png_that_states(100_000, 100_000), "not an image that OpenCV can decode"),
        (None, "no such file"),
    ],
    ids=["empty", "text", "torn", "a bomb", "missing"],
)
def test_what_is_no_picture_is_refused_by_name(tmp_path: Path, content: bytes | None, words: str) -> None:
    path = tmp_path / "bad.jpg"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(DataError, match=words) as fault:
        read_picture(path, [64])
    assert str(path) in str(fault.value)
    with pytest.raises(DataError, match="is a folder"):
        read_picture(tmp_path, [64])


@pytest.mark.parametrize("shape", [(4, 4), (4, 4, 4), (4, 4, 1), (0, 4, 3), (4,)], ids=str)
def test_arrays_of_other_shapes_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(DataError, match="picture 7: must be RGB"):
        read_picture(np.zeros(shape, np.uint8), [64], name="picture 7")
    with pytest.raises(DataError, match="float64"):
        read_picture(np.zeros((4, 4, 3)), [64])


def test_a_folder_is_searched_with_all_below_it(tmp_path: Path) -> None:
    for name in ("b.jpg", "a.PNG", "deep/er/c.webp", ".hidden/d.jpg", "._e.jpg", "notes.txt", "drawn/f.jpg"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    (tmp_path / "folder.jpg").mkdir()
    names = [path.relative_to(tmp_path).as_posix() for path in pictures_below(tmp_path)]
    assert names == ["a.PNG", "b.jpg", "deep/er/c.webp", "drawn/f.jpg"]
    assert len(pictures_below(tmp_path, leave_out=tmp_path / "drawn")) == 3
    for not_below in (tmp_path, tmp_path.parent):
        assert len(pictures_below(tmp_path, leave_out=not_below)) == 4
