"""Compressed RLE turned inside out, character by character, against pycocotools' pixels."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pycocotools import mask as coco_mask

from posemodel.data.annotations.segmentation import complement


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
