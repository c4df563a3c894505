"""Pictures of every format and depth: read as what they hold, or refused by name."""

from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from posemodel.data.check import check
from posemodel.data.images.files import decode_image, examine
from posemodel.data.open_split import open_split
from posemodel.errors import DataError
from posemodel.inference.pictures import read_picture
from tests.support.coco_builder import CocoBuilder

GREY = np.add.outer(np.arange(24), 3 * np.arange(40)).astype(np.uint8)
"""A ramp from 0 to 140."""
COLOUR = np.stack([GREY, GREY[::-1], GREY[:, ::-1]], axis=2)


def written(path: Path, image: NDArray[np.generic]) -> Path:
    assert cv2.imwrite(str(path), image)
    return path


@pytest.mark.parametrize("suffix", ["png", "tiff", "ppm"])
@pytest.mark.parametrize(("bits", "shift"), [(8, 0), (12, 4)])
def test_sixteen_bits_that_hold_fewer_are_read_as_those(tmp_path: Path, suffix: str, bits: int, shift: int) -> None:
    deep = COLOUR.astype(np.uint16) << shift
    path = written(tmp_path / f"a.{suffix}", deep)
    np.testing.assert_array_equal(decode_image(path), COLOUR)
    assert examine(path, 40, 24, decode=True) == (None, 1, bits)


@pytest.mark.parametrize("suffix", ["png", "pgm"])
def test_grey_of_twelve_bits_is_no_black_picture(tmp_path: Path, suffix: str) -> None:
    path = written(tmp_path / f"a.{suffix}", GREY.astype(np.uint16) << 4)
    np.testing.assert_array_equal(decode_image(path), np.repeat(GREY[..., None], 3, axis=2))
    np.testing.assert_array_equal(
        read_picture(path, [40]).inputs[0], read_picture(written(tmp_path / "b.png", GREY), [40]).inputs[0]
    )


@pytest.mark.parametrize("suffix", ["png", "tiff", "ppm"])
def test_sixteen_bits_of_full_range_are_read_as_ever(tmp_path: Path, suffix: str) -> None:
    path = written(tmp_path / f"a.{suffix}", COLOUR.astype(np.uint16) * 257)
    np.testing.assert_array_equal(decode_image(path), COLOUR)
    assert examine(path, 40, 24, decode=True).bits is None


@given(largest=st.integers(1, 65535))
def test_brightness_never_hangs_on_the_picture_beyond_its_depth(
    tmp_path_factory: pytest.TempPathFactory, largest: int
) -> None:
    """Three depths, each with one factor: two frames of one camera stay comparable."""
    path = written(tmp_path_factory.mktemp("d") / "a.png", np.array([[0, largest // 2], [largest, 0]], np.uint16))
    found = decode_image(path)
    assert found is not None
    shift = 0 if largest < 256 else 4 if largest < 4096 else 8
    assert found[..., 0].tolist() == [[0, largest // 2 >> shift], [largest >> shift, 0]]


def test_all_black_is_no_special_depth(tmp_path: Path) -> None:
    path = written(tmp_path / "a.png", np.zeros((24, 40), np.uint16))
    assert examine(path, 40, 24, decode=True) == (None, 1, None)


def test_floats_are_refused_by_name(tmp_path: Path) -> None:
    """From 0 to 1 they would be rounded to black."""
    path = written(tmp_path / "a.pfm", COLOUR.astype(np.float32) / 255)
    assert decode_image(path) is None
    with pytest.raises(DataError, match=r"a\.pfm: not an image"):
        read_picture(path, [32])


def test_eight_bits_of_every_format_are_what_they_were(tmp_path: Path) -> None:
    for suffix in ("png", "bmp", "tiff", "ppm"):
        np.testing.assert_array_equal(decode_image(written(tmp_path / f"a.{suffix}", COLOUR)), COLOUR)
    opaque = np.dstack([COLOUR, np.full_like(GREY, 90)])
    np.testing.assert_array_equal(decode_image(written(tmp_path / "b.png", opaque)), COLOUR)
    progressive = tmp_path / "p.jpg"
    assert cv2.imwrite(str(progressive), COLOUR, [cv2.IMWRITE_JPEG_PROGRESSIVE, 1, cv2.IMWRITE_JPEG_QUALITY, 99])
    found = decode_image(progressive)
    assert found is not None
    assert np.abs(found.astype(int) - COLOUR).mean() < 6


@pytest.mark.parametrize(
    ("count", "hold"), [(1, "1 image of 16 bits uses"), (2, "2 images of 16 bits use"), (3, "3 images of 16 bits use")]
)
def test_data_check_counts_them(coco_builder: CocoBuilder, count: int, hold: str) -> None:
    for image_id in range(1, count + 2):
        path = coco_builder.image("train", image_id)
        coco_builder.person("train", image_id)
        if image_id > 1:
            deep = cv2.imread(str(path)).astype(np.uint16) << 4
            path.unlink()
            written(path.with_suffix(".png"), deep)
            coco_builder.split("train")["images"][-1]["file_name"] = path.with_suffix(".png").name
    root = coco_builder.write()
    result = check(root)
    assert result.problems == []
    (note,) = [note for note in result.notes if note.kind == "fewer-bits"]
    assert note.count == count
    assert note.text == f"{hold} fewer (000000000002.png: 12): read at that depth, or they would be black"
    assert open_split(root, "train").read_image(1).max() > 100
