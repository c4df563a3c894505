"""Drawn skeletons: the right colour at the right pixel, and nothing else changed."""

import numpy as np
import pytest

from posemodel.inference.drawing import (
    INNER,
    LEFT,
    MIDDLE,
    OUTLINE,
    PAPER,
    RIGHT,
    draw_people,
    draw_to_scale,
    scale_people,
    sheet,
    side_colours,
)
from posemodel.skeleton import COCO_PERSON, Skeleton

GREY = 90


def canvas(height=100, width=120):
    return np.full((height, width, 3), GREY, np.uint8)


def person(**parts):
    """A person with the named parts at (x, y)."""
    found = np.zeros((COCO_PERSON.num_parts, 3))
    for name, (x, y) in parts.items():
        found[COCO_PERSON.parts.index(name)] = x, y, 1
    return found


def colour_at(image, x, y):
    return tuple(int(value) for value in image[y, x])


def test_each_limb_has_the_colour_of_its_side():
    colours = {
        tuple(COCO_PERSON.parts[part] for part in limb): colour
        for limb, colour in zip(COCO_PERSON.limbs, side_colours(COCO_PERSON).limbs, strict=True)
    }
    assert colours["right_elbow", "right_wrist"] == colours["neck", "right_hip"] == RIGHT
    assert colours["left_hip", "left_knee"] == colours["nose", "left_eye"] == LEFT
    assert colours["neck", "nose"] == MIDDLE


def test_the_colours_are_those_that_everybody_can_tell_apart():
    """Sky blue, vermilion and yellow as Okabe and Ito list them (RGB); OpenCV wants blue first."""
    assert [colour[::-1] for colour in (LEFT, RIGHT, MIDDLE)] == [(86, 180, 233), (213, 94, 0), (240, 228, 66)]


def test_a_predicted_limb_is_drawn_where_it_is():
    people = person(left_elbow=(20, 30), left_wrist=(80, 30), right_knee=(50, 60), right_ankle=(50, 90))[None]
    drawn = draw_people(canvas(), people)
    assert colour_at(drawn, 50, 30) == LEFT
    assert colour_at(drawn, 50, 75) == RIGHT
    assert colour_at(drawn, 50, 45) == (GREY,) * 3
    assert (drawn[:20] == GREY).all()


def test_a_true_limb_is_white_with_a_black_rim_and_coloured_where_it_was_found():
    people = person(left_elbow=(20, 30), left_wrist=(80, 30))[None]
    missed = draw_people(canvas(), true=people)
    assert min(colour_at(missed, 50, 30)) > 220  # smoothed white
    assert max(colour_at(missed, 50, 32)) < 60
    assert colour_at(missed, 20, 30) == INNER
    found = draw_people(canvas(), people, people)
    assert min(colour_at(found, 50, 30)) > 220
    assert colour_at(found, 50, 32) == LEFT


def test_a_limb_without_both_ends_and_a_lone_part():
    drawn = draw_people(canvas(), person(left_elbow=(20, 30), nose=(70, 70))[None])
    assert colour_at(drawn, 20, 30) == LEFT
    assert colour_at(drawn, 70, 70) == MIDDLE
    assert colour_at(drawn, 45, 50) == (GREY,) * 3


@pytest.mark.parametrize("end", [(1000, 30), (-500, 30), (1e12, 30), (-1e12, 30)])
def test_what_lies_outside_is_cut_off_at_the_border(end):
    drawn = draw_people(canvas(), person(left_elbow=(60, 30), left_wrist=end)[None])
    inside = 119 if end[0] > 0 else 0
    assert colour_at(drawn, inside, 30) == LEFT
    assert drawn.shape == (100, 120, 3)


def test_a_person_wholly_outside_leaves_the_image_as_it_was():
    people = person(left_elbow=(-60, 30), left_wrist=(-20, 30))[None]
    assert (draw_people(canvas(), people, people) == GREY).all()


def test_the_image_itself_is_not_changed():
    image = canvas()
    people = person(left_elbow=(20, 30), left_wrist=(80, 30))[None]
    assert draw_people(image, people, people) is not image
    assert (image == GREY).all()
    assert (draw_people(image) == image).all()


def test_people_are_scaled_about_pixel_centres():
    people = person(nose=(-0.5, 9.5), neck=(4, 4))[None]
    scaled = scale_people(people, 2)
    nose, neck, ear = (COCO_PERSON.parts.index(name) for name in ("nose", "neck", "left_ear"))
    assert scaled[0, nose].tolist() == [-0.5, 19.5, 1]
    assert scaled[0, neck].tolist() == [8.5, 8.5, 1]
    assert scaled[0, ear].tolist() == [0, 0, 0]


def test_a_sheet_has_every_tile_centred_in_its_row():
    tiles = [
        np.full((height, width, 3), value, np.uint8) for height, width, value in ((10, 20, 1), (6, 8, 2), (4, 20, 3))
    ]
    found = sheet(tiles, columns=2, gap=2)
    assert found.shape == (10 + 2 + 4, 20 + 2 + 20, 3)
    assert (found[:10, :20] == 1).all()
    assert (found[2:8, 22 + 6 : 22 + 14] == 2).all()
    assert (found[12:, :20] == 3).all()
    assert colour_at(found, 23, 5) == PAPER
    assert sum(int((found == value).all(axis=-1).sum()) for value in (1, 2, 3)) == 200 + 48 + 80


def test_a_sheet_is_no_wider_than_its_tiles():
    assert sheet([canvas()], columns=4).shape == canvas().shape
    with pytest.raises(ValueError, match="at least one tile"):
        sheet([], columns=4)


def test_lines_are_as_wide_as_suits_the_image_and_the_person():
    def width(side, length):
        people = person(left_elbow=(side / 2, 20), left_wrist=(side / 2, 20 + length))[None]
        drawn = draw_to_scale(canvas(side, side), people)
        row = drawn[20 + length // 2]
        return int((np.abs(row.astype(int) - LEFT).sum(axis=1) < 90).sum())

    # OpenCV's smoothed lines are up to two pixels wider than asked for.
    assert 5 <= width(600, 400) <= 7
    assert 20 <= width(2400, 1600) <= 22
    assert 2 <= width(600, 120) <= 4
    assert width(2400, 60) == width(60, 30) <= 2


def section(pixels):
    """A letter for each pixel of a line: untouched, coloured, black, white, or smoothed between two of these."""
    letters = {(GREY,) * 3: ".", LEFT: "L", OUTLINE: "k", INNER: "w"}
    return "".join(letters.get(tuple(pixel), "+") for pixel in pixels.tolist())


def test_lines_and_joints_across():
    people = person(left_elbow=(20, 30), left_wrist=(80, 30))[None]
    found, true = draw_people(canvas(), people), draw_people(canvas(), true=people)
    assert [section(found[22:39, x]) for x in (50, 80)] == ["....+LLLLLLL+....", "...+LLLLLLLLL+..."]
    assert [section(true[25:36, x]) for x in (50, 80)] == ["..+k+++k+..", "..+kwwwk+.."]
    assert OUTLINE == (0, 0, 0)


@pytest.mark.parametrize(
    ("height", "width", "length", "across", "joint"),
    [
        (1200, 1200, 600, ".+k+LLLLLLLLLLL+k+.", "+k+LLLLLLLLLLLLLLLLL+k+"),
        (600, 600, 400, "....++LLLLLLL++....", "++LLLLLLLLL++"),
        (250, 600, 400, "....++LLLLLLL++....", "++LLLLLLLLL++"),
        (600, 600, 240, ".....++LLLLL++.....", None),
        (600, 600, 120, "......++LLL++......", None),
        (600, 600, 60, "........+++........", None),
    ],
)
def test_a_person_to_scale_across(height, width, length, across, joint):
    """By the image's longer side; the rim is at least a pixel wide, but none around a line of one pixel."""
    middle, start = height // 2, (width - length) // 2
    people = person(left_elbow=(start, middle), left_wrist=(start + length, middle))[None]
    drawn = draw_to_scale(canvas(height, width), people)
    assert section(drawn[middle - 9 : middle + 10, width // 2]) == across
    assert joint in (None, section(drawn[:, start + length]).strip("."))


def test_a_person_found_has_a_black_rim_and_the_image_stays_as_it_was():
    image = canvas(600, 600)
    drawn = draw_to_scale(image, person(left_elbow=(300, 100), left_wrist=(300, 500))[None])
    assert colour_at(drawn, 300, 300) == LEFT
    assert min(max(colour_at(drawn, x, 300)) for x in range(302, 307)) < 60
    assert (image == GREY).all()
    assert (draw_to_scale(image, np.zeros((0, 18, 3))) == GREY).all()


def test_small_people_are_drawn_over_large_ones():
    large = person(left_elbow=(300, 100), left_wrist=(300, 500))
    small = person(right_elbow=(280, 300), right_wrist=(320, 300))
    for people in ([large, small], [small, large]):
        found = colour_at(draw_to_scale(canvas(600, 600), np.array(people)), 300, 300)
        assert np.abs(np.subtract(found, RIGHT)).max() < 40


HAND = Skeleton(
    "hand",
    ("wrist", "Lthumb", "Rthumb", "tip"),
    limbs=((0, 1), (0, 2), (1, 2), (0, 3)),
    sigmas=(0.05,) * 4,
    mirror=(("Lthumb", "Rthumb"),),
)


def test_sides_are_those_of_the_mirror_pairs_whatever_their_names():
    assert side_colours(HAND) == ((LEFT, RIGHT, LEFT, MIDDLE), (MIDDLE, LEFT, RIGHT, MIDDLE))
    lone = Skeleton("dot", ("left_eye",), limbs=(), sigmas=(0.05,))
    assert side_colours(lone) == ((), (MIDDLE,)), "without mirror pairs there are no sides"


@pytest.mark.parametrize("draw", [draw_people, draw_to_scale])
def test_people_of_another_skeleton(draw):
    people = np.array([[(20, 30, 1), (80, 30, 1), (20, 80, 1), (0, 0, 0)]], float)
    drawn = draw(canvas(), people, skeleton=HAND)
    assert (np.abs(np.subtract(colour_at(drawn, 50, 30), LEFT)) < 100).all()
    assert (drawn[:, 100:] == GREY).all()
    with pytest.raises(ValueError, match="people have 4 parts, the skeleton 'person' 18: give theirs"):
        draw(canvas(), people)


def test_a_skeleton_of_one_part_is_a_dot():
    dot = Skeleton("dot", ("centre",), limbs=(), sigmas=(0.05,))
    people = np.array([[(20, 30, 1)], [(0, 0, 0)]], float)
    drawn = draw_people(canvas(), people, people[:0], skeleton=dot)
    assert colour_at(drawn, 20, 30) == MIDDLE
    assert (drawn != GREY).any(axis=-1).sum() < 150


def test_lone_points_are_as_large_as_suits_the_image():
    dot = Skeleton("dot", ("centre",), limbs=(), sigmas=(0.05,))
    drawn = draw_to_scale(canvas(600, 600), np.array([[(300, 300, 1)]], float), skeleton=dot)
    assert colour_at(drawn, 303, 300) == MIDDLE
    assert colour_at(drawn, 310, 300) == (GREY,) * 3
