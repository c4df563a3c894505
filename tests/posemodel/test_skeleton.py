import numpy as np
import pytest
from pycocotools.cocoeval import Params

from posemodel import skeleton
from posemodel.data.open_split import people_from_coco, people_to_coco

DESIGN_LIMBS = "1-8 8-9 9-10 1-11 11-12 12-13 1-2 2-3 3-4 2-16 1-5 5-6 6-7 5-17 1-0 0-14 0-15 14-16 15-17"


def test_counts_of_parts_limbs_and_channels() -> None:
    assert (skeleton.NUM_PARTS, skeleton.NUM_LIMBS) == (18, 19)
    assert (skeleton.NUM_HEATMAPS, skeleton.NUM_PAFS, skeleton.BACKGROUND) == (19, 38, 18)
    assert len(set(skeleton.PARTS)) == 18


def test_limbs_are_the_documented_ones_in_order() -> None:
    assert " ".join(f"{a}-{b}" for a, b in skeleton.LIMBS) == DESIGN_LIMBS
    assert [(a, b) for a, b in zip(skeleton.LIMB_FROM, skeleton.LIMB_TO, strict=True)] == list(skeleton.LIMBS)


@pytest.mark.parametrize(
    ("number", "name"),
    [(0, "nose"), (1, "neck"), (2, "right_shoulder"), (4, "right_wrist"), (5, "left_shoulder"), (7, "left_wrist"),
     (8, "right_hip"), (10, "right_ankle"), (11, "left_hip"), (13, "left_ankle"), (14, "right_eye"), (15, "left_eye"),
     (16, "right_ear"), (17, "left_ear")],
)  # fmt: skip
def test_part_ids_are_the_documented_ones(number: int, name: str) -> None:
    assert skeleton.PARTS[number] == name


def test_every_part_is_reached_by_the_limbs_from_the_neck() -> None:
    reached, grew = {skeleton.NECK}, True
    while grew:
        more = {part for limb in skeleton.LIMBS for part in limb if reached & set(limb)}
        grew = not more <= reached
        reached |= more
    assert reached == set(range(18))


def test_flip_swaps_left_and_right_names_and_undoes_itself() -> None:
    flipped = [skeleton.PARTS[part] for part in skeleton.FLIPPED_PARTS]
    swap = {"left": "right", "right": "left"}
    for name, other in zip(skeleton.PARTS, flipped, strict=True):
        side, _, rest = name.partition("_")
        assert other == (f"{swap[side]}_{rest}" if side in swap else name)
    assert skeleton.FLIPPED_PARTS[skeleton.FLIPPED_PARTS].tolist() == list(range(18))


def test_limbs_are_symmetric_under_the_flip() -> None:
    flipped = {frozenset((skeleton.FLIPPED_PARTS[a], skeleton.FLIPPED_PARTS[b])) for a, b in skeleton.LIMBS}
    assert flipped == {frozenset(limb) for limb in skeleton.LIMBS}


def test_coco_order_maps_names_to_names_and_leaves_out_the_neck() -> None:
    assert [skeleton.PARTS[part] for part in skeleton.PART_OF_COCO] == list(skeleton.COCO_KEYPOINTS)
    assert skeleton.NECK not in skeleton.PART_OF_COCO


def test_coco_order_round_trip_keeps_every_keypoint() -> None:
    keypoints = np.arange(2 * 17 * 3, dtype=np.float32).reshape(2, 17, 3)
    keypoints[..., 2] = 1
    np.testing.assert_array_equal(people_to_coco(people_from_coco(keypoints)), keypoints)


def test_oks_sigmas_are_pycocotools_own() -> None:
    np.testing.assert_allclose(skeleton.OKS_SIGMAS, Params("keypoints").kpt_oks_sigmas)


def test_coco_skeleton_names_keypoints_from_one() -> None:
    assert len(skeleton.COCO_SKELETON) == 19
    assert {k for limb in skeleton.COCO_SKELETON for k in limb} == set(range(1, 18))
