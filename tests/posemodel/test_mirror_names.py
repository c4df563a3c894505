"""Mirror pairs by names: ways to write a side, and names that only look like one."""

import pytest

from posemodel.data.annotations.mirror_names import mirror_pairs
from posemodel.skeleton import COCO_KEYPOINTS, COCO_PERSON


@pytest.mark.parametrize(
    ("left", "right"),
    [
        ("left_eye", "right_eye"),
        ("Left Eye", "Right Eye"),
        ("l_eye", "r_eye"),
        ("eye_L", "eye_R"),
        ("eye_left", "eye_right"),
        ("LKnee", "RKnee"),
        ("leftKnee", "rightKnee"),
        ("kneeL", "kneeR"),
        ("L.Knee", "R.Knee"),
        ("left-front-paw", "right-front-paw"),
        ("front_left_paw", "front_right_paw"),
        ("L1", "R1"),
        ("left", "right"),
        ("lefteye", "righteye"),
        ("frontleftpaw", "frontrightpaw"),
        ("lknee", "rknee"),
        ("Lx", "Rx"),
        ("LEYE", "REYE"),
        ("top_left_corner_left_door", "top_right_corner_right_door"),
    ],
)
def test_ways_to_write_a_side(left: str, right: str) -> None:
    assert mirror_pairs(["nose", right, left]) == (((left, right),), ())


def test_coco() -> None:
    assert mirror_pairs(COCO_KEYPOINTS) == (COCO_PERSON.mirror, ())


@pytest.mark.parametrize(
    "names",
    [
        ["lower_lip", "upper_lip", "lip", "right_hand"],
        [str(number) for number in range(68)],
        [*"ABCDEFGHIJKLMNOPQRSTUVWXYZ"],
        ["bright", "left_over"],
        ["L5", "rib"],
        [],
    ],
)
def test_names_without_partners(names: list[str]) -> None:
    assert mirror_pairs(names) == ((), ())


def test_a_side_glued_to_a_word_does_not_count_beside_sides_that_are_words() -> None:
    names = ["left_eye", "right_eye", "lip", "rip", "lear", "rear"]
    assert mirror_pairs(names) == ((("left_eye", "right_eye"),), ())


def test_a_name_that_two_could_mirror_has_no_partner() -> None:
    pairs, remarks = mirror_pairs(["left_eye", "right_eye", "right-eye", "left_ear", "right_ear"])
    assert pairs == (("left_ear", "right_ear"),)
    assert len(remarks) == 1
    assert "left_eye" in remarks[0]
    assert "mirror" in remarks[0]
