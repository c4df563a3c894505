"""Segmentations: their faults, what is read of them, and compressed RLE turned inside out against pycocotools."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pycocotools import mask as coco_mask

from posemodel.data.annotations.segmentation import (
    Mask,
    box_polygon,
    complement,
    in_fractions,
    mask_area,
    mask_box,
    packed_segments,
    read_mask,
    segmentation_faults,
)


def outside(mask: np.ndarray) -> np.ndarray:
    rle = coco_mask.encode(np.asfortranarray(mask))
    return coco_mask.decode(rle | {"counts": complement(rle["counts"])})


@settings(max_examples=300, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 60), st.integers(1, 60), st.sampled_from([0.0, 0.02, 0.5, 0.98, 1.0]))
def test_the_complement_of_noise_is_every_other_pixel(seed: int, height: int, width: int, share: float) -> None:
    mask = (np.random.default_rng(seed).random((height, width)) < share).astype(np.uint8)
    np.testing.assert_array_equal(outside(mask), 1 - mask)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.integers(1, 9000), min_size=1, max_size=8), st.sampled_from([0, 1]))
def test_the_complement_of_long_runs_is_every_other_pixel(runs: list[int], first: int) -> None:
    values = np.concatenate([np.full(length, (number + first) % 2, np.uint8) for number, length in enumerate(runs)])
    mask = values.reshape(-1, 1, order="F")
    np.testing.assert_array_equal(outside(mask), 1 - mask)
    rle = coco_mask.encode(np.asfortranarray(mask))
    assert complement(complement(rle["counts"])) == rle["counts"]


@pytest.mark.parametrize("value", [0, 1])
def test_the_complement_of_nothing_is_everything(value: int) -> None:
    mask = np.full((480, 640), value, np.uint8)
    np.testing.assert_array_equal(outside(mask), 1 - mask)


# --- what is wrong with a segmentation, and what is read of it --------------------------------------------------------

SQUARE = [10, 20, 30, 20, 30, 40, 10, 40]
PAIRED = [[10, 20], [30, 20], [30, 40], [10, 40]]
FAR = "a polygon reaches far outside the image of 100x80 pixels"
UNIT = "a polygon lies between 0 and 1: fractions of the image's sides? COCO's are pixels"
ODD = "a polygon must hold an even number of finite numbers"
RUNS = "RLE `counts` must be a list or a compressed string of runs that sum to 8000"
FAULTS = {
    "sound": ([SQUARE, SQUARE], []),
    "no polygon": ([], ["`segmentation` has no polygon (the four corners of the box are enough)"]),
    "each polygon": (
        [SQUARE[:5], [], SQUARE, SQUARE[:4]],
        [ODD, "a polygon is empty", "a polygon has fewer than 3 points"],
    ),
    "three points": ([SQUARE[:6]], []),
    "not finite": ([[*SQUARE[:7], float("nan")]], [ODD]),
    "as far as an image's side outside": ([[-100, -80, 200, -80, 200, 160]], []),
    "farther left": ([[-101, 0, 10, 0, 10, 10]], [FAR]),
    "farther up": ([[0, -81, 10, 0, 10, 10]], [FAR]),
    "farther right": ([[0, 0, 201, 0, 10, 10]], [FAR]),
    "farther down": ([[0, 0, 10, 161, 10, 10]], [FAR]),
    "fractions": ([[0, 0, 1, 0, 1, 1]], [UNIT]),
    "one coordinate of pixels": ([[0, 0, 1.5, 0, 1, 1]], []),
    "one coordinate outside": ([[-0.5, 0, 1, 0, 1, 1]], []),
    "neither": ("10 20 30", ["`segmentation` must be polygons or RLE"]),
    "runs": ({"size": [80, 100], "counts": [0, 8000]}, []),
    "runs of another size": (
        {"size": [100, 80], "counts": [8000]},
        ["RLE `size` is [100, 80], the image's height and width are [80, 100]"],
    ),
    "too few pixels": ({"size": [80, 100], "counts": [7999]}, [RUNS]),
    "a negative run": ({"size": [80, 100], "counts": [8001, -1]}, [RUNS]),
    "true for a run": ({"size": [80, 100], "counts": [7999, True]}, [RUNS]),
    "no runs": ({"size": [80, 100]}, [RUNS]),
    "a character outside the code": ({"size": [80, 100], "counts": "\x7f"}, [RUNS]),
    "cut in a run": ({"size": [80, 100], "counts": "P"}, [RUNS]),
}


@pytest.mark.parametrize(("segmentation", "faults"), FAULTS.values(), ids=FAULTS.keys())
def test_every_fault_of_a_segmentation_is_named(segmentation: Any, faults: list[str]) -> None:
    assert list(segmentation_faults(segmentation, 100, 80)) == faults


NESTED = "the points of a polygon are pairs, not one list of numbers"
READ = {
    "sound": ([SQUARE], Mask([SQUARE])),
    "missing": (None, Mask(None, "missing", "`segmentation` is missing or empty")),
    "empty": ([], Mask(None, "missing", "`segmentation` is missing or empty")),
    "flat": (SQUARE, Mask([SQUARE], "flat-list", "`segmentation` is one flat list of numbers, not a list of polygons")),
    "one polygon of pairs": (PAIRED, Mask([SQUARE], "pairs", NESTED)),
    "polygons of pairs": ([PAIRED, PAIRED], Mask([SQUARE, SQUARE], "pairs", NESTED)),
    "some of pairs": ([SQUARE, PAIRED], Mask([SQUARE, SQUARE], "pairs", NESTED)),
    "pairs far outside": ([[10, 20], [30, 20], [999, 40]], Mask(None, "broken", NESTED)),
    "two pairs": (PAIRED[:2], Mask(None, "broken", "a polygon has fewer than 3 points")),
    "a sliver": ([SQUARE, SQUARE[:4]], Mask([SQUARE], "slivers", "a polygon has fewer than 3 points")),
    "only slivers": ([SQUARE[:4]], Mask(None, "broken", "a polygon has fewer than 3 points")),
    "a sliver and another fault": ([SQUARE[:4], SQUARE[:7]], Mask(None, "broken", "a polygon has fewer than 3 points")),
    "half a point": ([SQUARE, SQUARE[:3]], Mask(None, "broken", ODD)),
    "no polygon": ("x", Mask(None, "broken", "`segmentation` must be polygons or RLE")),
    "runs": ({"size": [80, 100], "counts": [8000]}, Mask({"size": [80, 100], "counts": [8000]})),
    "runs of swapped sides": (
        {"size": [100, 80], "counts": [8000]},
        Mask(None, "swapped-sides", "RLE `size` is [100, 80], width and height swapped: COCO's is [80, 100]"),
    ),
    "bad runs": ({"size": [80, 100], "counts": [1]}, Mask(None, "broken", RUNS)),
}


@pytest.mark.parametrize(("segmentation", "mask"), READ.values(), ids=READ.keys())
def test_what_is_read_of_a_segmentation(segmentation: Any, mask: Mask) -> None:
    assert read_mask(segmentation, 100, 80) == mask


@pytest.mark.parametrize(
    ("values", "width", "height", "fractions"),
    [
        ([0, 1, 0.5, 0.5], 17, 17, True),
        ([0, 1, 0.5, 0.5], 16, 99, False),
        ([0, 1, 0.5, 0.5], 99, 16, False),
        ([0, 1.01, 0.5, 0.5], 99, 99, False),
        ([-0.01, 1, 0.5, 0.5], 99, 99, False),
        ([0, 1, 0.5], 99, 99, False),
    ],
)
def test_numbers_from_0_to_1_are_fractions_of_the_sides(
    values: list[float], width: int, height: int, *, fractions: bool
) -> None:
    """Unless there are few of them, or few pixels."""
    assert in_fractions(values, width, height) is fractions
    assert not in_fractions(values, width, height, least=5)


def test_the_box_and_the_area_of_a_mask() -> None:
    """Of polygons that overlap nothing is taken off, and the box ends at the image's border."""
    polygons = [[-10, 20, 30, 20, 30, 90], [40, 10, 60.5, 10, 60.5, 30, 40, 30]]
    assert mask_box(polygons, 100, 80) == [0, 10, 60.5, 70]
    assert mask_area(polygons, 100, 80) == 40 * 70 / 2 + 20.5 * 20
    assert mask_box([[110, 20, 130, 20, 130, 90]], 100, 80) == [100, 20, 0, 60]
    pixels = np.zeros((80, 100), np.uint8, order="F")
    pixels[10:30, 40:60] = 1
    encoded = coco_mask.encode(pixels)["counts"].decode()
    for counts in (encoded, [40 * 80 + 10, *[20, 60] * 19, 20, 39 * 80 + 60 - 10]):
        runs = {"size": [80, 100], "counts": counts}
        assert (mask_box(runs, 100, 80), mask_area(runs, 100, 80)) == ([40, 10, 20, 20], 400)
    assert box_polygon([10, 20, 20, 20]) == [SQUARE]


def test_segmentations_are_packed_end_to_end() -> None:
    runs = {"size": [80, 100], "counts": "PJj7"}
    packed = packed_segments([[SQUARE, SQUARE[:6]], runs, [SQUARE]], [(100, 80)] * 3)
    assert packed["region_polygon_start"].tolist() == [0, 2, 2, 3]
    assert packed["polygon_start"].tolist() == [0, 4, 7, 11]
    assert packed["points"].tolist() == [*PAIRED, *PAIRED[:3], *PAIRED]
    assert packed["region_rle_start"].tolist() == [0, 0, 4, 4]
    assert packed["rle"].tobytes() == b"PJj7"
