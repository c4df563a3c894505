import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from pycocotools.cocoeval import Params

from posemodel.data.open_split import people_from_coco, people_to_coco
from posemodel.skeleton import COCO_KEYPOINTS, COCO_PERSON, COCO_SKELETON, Skeleton

NECK = COCO_PERSON.parts.index("neck")
DESIGN_LIMBS = "1-8 8-9 9-10 1-11 11-12 12-13 1-2 2-3 3-4 2-16 1-5 5-6 6-7 5-17 1-0 0-14 0-15 14-16 15-17"


def test_counts_of_parts_limbs_and_channels() -> None:
    assert (COCO_PERSON.num_parts, COCO_PERSON.num_limbs) == (18, 19)
    assert (COCO_PERSON.num_heatmaps, COCO_PERSON.num_pafs, COCO_PERSON.background) == (19, 38, 18)
    assert len(set(COCO_PERSON.parts)) == 18


def test_limbs_are_the_documented_ones_in_order() -> None:
    assert " ".join(f"{a}-{b}" for a, b in COCO_PERSON.limbs) == DESIGN_LIMBS
    assert [(a, b) for a, b in zip(COCO_PERSON.limb_from, COCO_PERSON.limb_to, strict=True)] == list(COCO_PERSON.limbs)


@pytest.mark.parametrize(
    ("number", "name"),
    [(0, "nose"), (1, "neck"), (2, "right_shoulder"), (4, "right_wrist"), (5, "left_shoulder"), (7, "left_wrist"),
     (8, "right_hip"), (10, "right_ankle"), (11, "left_hip"), (13, "left_ankle"), (14, "right_eye"), (15, "left_eye"),
     (16, "right_ear"), (17, "left_ear")],
)  # fmt: skip
def test_part_ids_are_the_documented_ones(number: int, name: str) -> None:
    assert COCO_PERSON.parts[number] == name


def test_every_part_is_reached_by_the_limbs_from_the_neck() -> None:
    reached, grew = {NECK}, True
    while grew:
        more = {part for limb in COCO_PERSON.limbs for part in limb if reached & set(limb)}
        grew = not more <= reached
        reached |= more
    assert reached == set(range(18))


def test_flip_swaps_left_and_right_names_and_undoes_itself() -> None:
    flipped = [COCO_PERSON.parts[part] for part in COCO_PERSON.flipped_parts]
    swap = {"left": "right", "right": "left"}
    for name, other in zip(COCO_PERSON.parts, flipped, strict=True):
        side, _, rest = name.partition("_")
        assert other == (f"{swap[side]}_{rest}" if side in swap else name)
    assert COCO_PERSON.flipped_parts[COCO_PERSON.flipped_parts].tolist() == list(range(18))


def test_limbs_are_symmetric_under_the_flip() -> None:
    flipped = {frozenset((COCO_PERSON.flipped_parts[a], COCO_PERSON.flipped_parts[b])) for a, b in COCO_PERSON.limbs}
    assert flipped == {frozenset(limb) for limb in COCO_PERSON.limbs}


def test_coco_order_maps_names_to_names_and_leaves_out_the_neck() -> None:
    assert [COCO_PERSON.parts[part] for part in COCO_PERSON.part_of_keypoint] == list(COCO_KEYPOINTS)
    assert NECK not in COCO_PERSON.part_of_keypoint


def test_coco_order_round_trip_keeps_every_keypoint() -> None:
    keypoints = np.arange(2 * 17 * 3, dtype=np.float32).reshape(2, 17, 3)
    keypoints[..., 2] = 1
    np.testing.assert_array_equal(people_to_coco(people_from_coco(keypoints)), keypoints)


def test_oks_sigmas_are_pycocotools_own() -> None:
    np.testing.assert_allclose(COCO_PERSON.oks_sigmas, Params("keypoints").kpt_oks_sigmas)


def test_coco_skeleton_names_keypoints_from_one() -> None:
    assert len(COCO_SKELETON) == 19
    assert {k for limb in COCO_SKELETON for k in limb} == set(range(1, 18))


HAND = Skeleton("hand", ("wrist", "thumb", "index"), limbs=((0, 1), (0, 2)), sigmas=(0.05, 0.04, 0.03))


@pytest.mark.parametrize("skeleton", [COCO_PERSON, HAND])
def test_a_skeleton_is_the_same_after_a_document(skeleton: Skeleton) -> None:
    read = Skeleton.from_document(json.loads(json.dumps(skeleton.as_document())))
    assert read == skeleton
    assert hash(read) == hash(skeleton)


def test_remarks_make_no_other_skeleton_but_all_else_does() -> None:
    assert replace(HAND, remarks=("said",)) == HAND
    for other in (replace(HAND, limbs=((0, 1),)), replace(HAND, sigmas=(0.05, 0.04, 0.02)), replace(HAND, name="paw")):
        assert other != HAND


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"keypoints": (), "sigmas": (), "parts": (), "limbs": ()}, "no keypoints"),
        ({"keypoints": ("wrist", "wrist", "index")}, "a name stands for two points"),
        ({"sigmas": (0.05, 0.04)}, "3 keypoints need as many sigmas"),
        ({"sigmas": (0.05, 0.04, 0.0)}, "all above 0"),
        ({"parts": ("wrist", "thumb")}, "its parts are not"),
        ({"limbs": ((0, 3),)}, "a limb joins no two parts"),
        ({"limbs": ((1, 1),)}, "a limb joins no two parts"),
        ({"limbs": ((0, 1), (1, 0))}, "two limbs join the same parts"),
        ({"mirror": (("thumb", "palm"),)}, "a mirror pair names an unknown part"),
        ({"mirror": (("thumb", "index"), ("wrist", "index"))}, "a part twice"),
    ],
)
def test_fields_that_contradict_each_other_are_refused(changes: dict[str, Any], fault: str) -> None:
    with pytest.raises(ValueError, match=fault):
        replace(HAND, **changes)


def test_a_derived_part_of_three_is_their_mean_where_all_are_labelled() -> None:
    centred = Skeleton(
        "hand", HAND.keypoints, limbs=(), sigmas=HAND.sigmas, derived=(("palm", ("wrist", "thumb", "index")),)
    )
    people = centred.to_parts(np.array([[(0, 3, 2), (6, 3, 1), (3, 9, 2)], [(0, 3, 2), (6, 3, 0), (3, 9, 2)]]))
    assert people[0, 3].tolist() == [3, 5, 1]
    assert people[1, 3].tolist() == [0, 0, 0]
    assert centred.to_keypoints(people).shape == (2, 3, 3)


def test_a_limb_between_mirror_images_runs_back_and_one_without_an_image_has_none() -> None:
    face = Skeleton("face", ("l", "r", "nose"), limbs=((0, 1), (0, 2)), sigmas=(0.05, 0.05, 0.05), mirror=(("l", "r"),))
    assert face.flipped_limbs == ((0, -1), (-1, 1))
