"""The figure of a skeleton: numbers in the annotations' order, colours by side, and any number of points."""

import cv2
import numpy as np
import pytest
from matplotlib.figure import Figure

from bench.report.skeleton_figure import (
    LEFT,
    MARGIN,
    MIDDLE,
    RIGHT,
    _object,
    draw_skeleton,
    limb_sides,
    part_numbers,
    part_sides,
)
from posemodel.data.annotations.skeletons import build_skeleton
from posemodel.skeleton import COCO_KEYPOINTS, COCO_PERSON
from tests.support.long_tests import long


def test_numbers_are_those_of_the_annotations_and_derived_parts_come_last():
    numbers = dict(zip(COCO_PERSON.parts, part_numbers(COCO_PERSON), strict=True))
    assert [numbers[name] for name in COCO_KEYPOINTS] == [*range(1, 18)]
    assert numbers["neck"] == 18


def test_colours_say_left_and_right():
    sides = dict(zip(COCO_PERSON.parts, part_sides(COCO_PERSON), strict=True))
    assert (sides["left_eye"], sides["right_eye"], sides["neck"]) == (LEFT, RIGHT, MIDDLE)
    hand = build_skeleton("hand", ["left_a", "right_a", "nose"], [[1, 3], [2, 3], [1, 2]])
    assert limb_sides(hand) == [LEFT, RIGHT, LEFT], "as in drawings of predictions"


@pytest.mark.parametrize("points", [1, *(long(many) for many in (21, 68, 294))])
def test_any_number_of_points(tmp_path, points):
    rng = np.random.default_rng(points)
    person = np.c_[rng.uniform(20, 180, (points, 2)), np.full(points, 2)]
    person[1::3] = 0
    skeleton = build_skeleton("thing", [f"point_{number}" for number in range(points)], None, person[None])
    image = np.full((200, 200, 3), 90, np.uint8)
    files = []
    for name in ("a.png", "b.png"):
        draw_skeleton(image, skeleton.to_parts(person[None])[0], skeleton, tmp_path / name, title="train 0")
        files.append((tmp_path / name).read_bytes())
    assert files[0] == files[1], "the same bytes each time"
    drawn = cv2.imread(str(tmp_path / "a.png"))
    assert drawn.shape[0] > 1000
    yellow = np.array([0x42, 0xE4, 0xF0])
    assert (np.abs(drawn.astype(int) - yellow) < 12).all(axis=2).any()


def test_an_object_at_the_border_of_its_picture(tmp_path):
    person = np.array([[0, 0, 2], [3, 3, 2], [0, 199, 2]], float)
    skeleton = build_skeleton("thing", ["a", "b", "c"], [[1, 2], [2, 3]])
    draw_skeleton(np.zeros((200, 4, 3), np.uint8), person, skeleton, tmp_path / "a.png", title="train 0")
    assert (tmp_path / "a.png").is_file()


@pytest.mark.parametrize(("height", "drawn"), [(300, 900), (1000, 1000)])
def test_a_small_object_is_enlarged_by_its_longer_side(height, drawn):
    """A picture 40 wide, which the object fills from top to bottom."""
    person = np.array([[20, 0, 2], [20, height - 1, 2], [0, 0, 0]], float)
    skeleton = build_skeleton("thing", ["a", "b", "c"], [[1, 2], [2, 3]])
    figure = Figure()
    axis = figure.subplots()
    _object(axis, np.zeros((height, 40, 3), np.uint8), person, skeleton)
    (picture,) = axis.images
    assert picture.get_array().shape == (drawn, 40 * drawn // height, 3)
    assert picture.get_extent() == [-0.5, 39.5, height - 0.5, -0.5]
    half = (height - 1) * (0.5 + MARGIN)
    assert axis.get_xlim() == pytest.approx((20 - half, 20 + half)), "the object is in the middle"
    assert axis.get_ylim() == pytest.approx(((height - 1) / 2 + half, (height - 1) / 2 - half))
    assert len(axis.lines) == 1, "a limb with a point that is not labelled is not drawn"
