"""Maps made by hand: crowds, people who touch and cross, borders and corners; on both ways of decoding."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from posemodel.config import InputSettings
from posemodel.data.targets import make_heatmaps, make_pafs, sigma_cells, to_pixels
from posemodel.inference.decoder import DecodeSettings, Detections, decode, decode_batch, with_torch
from posemodel.inference.decoder.grouping import group
from posemodel.skeleton import COCO_PERSON
from tests.support.coco_builder import STANDING
from tests.support.examples import few

NECK = COCO_PERSON.parts.index("neck")
SHOULDERS = [COCO_PERSON.parts.index(f"{side}_shoulder") for side in ("right", "left")]
GEOMETRY = InputSettings(size=192, stride=4)
CELLS = GEOMETRY.cells
EXACT = 0.1 * GEOMETRY.stride
"""A tenth of a cell, in pixels."""


def part(name: str) -> int:
    return COCO_PERSON.parts.index(name)


def standing(x: float, y: float, width: float, height: float) -> np.ndarray:
    """A standing person (18, 3) in a box in pixels."""
    person = np.full((18, 3), 2.0)
    for name, (across, down) in STANDING.items():
        person[part(name), :2] = x + across * width, y + down * height
    person[NECK, :2] = person[SHOULDERS, :2].mean(axis=0)
    return person


def lone(**points: tuple[float, float]) -> np.ndarray:
    """A person (18, 3) of the named parts."""
    person = np.zeros((18, 3))
    for name, xy in points.items():
        person[part(name)] = *xy, 2
    return person


def found_in(heatmaps: np.ndarray, pafs: np.ndarray, geometry: InputSettings = GEOMETRY) -> Detections:
    """The people of maps, the same whichever way they are decoded."""
    found = decode(heatmaps, pafs, geometry)
    tensors = torch.from_numpy(heatmaps)[None], torch.from_numpy(pafs)[None]
    sigma = sigma_cells(geometry)
    candidates = with_torch.find_candidates(tensors[0][:, :18], tensors[1], sigma, DecodeSettings(), COCO_PERSON)
    for other in (decode_batch(*tensors, geometry)[0], group(candidates, 1, geometry.stride)[0]):
        np.testing.assert_allclose(other.people, found.people, atol=1e-6, rtol=0)
        np.testing.assert_allclose(other.scores, found.scores, atol=1e-6, rtol=0)
    return found


def found_of(*people: np.ndarray, geometry: InputSettings = GEOMETRY) -> Detections:
    return found_in(make_heatmaps(np.array(people), geometry), make_pafs(np.array(people), geometry), geometry)


def assert_same_people(found: Detections, people: list[np.ndarray], tolerance: float = EXACT) -> None:
    """Each of the people once, in any order, with all of its parts and no other; nobody else."""
    assert len(found.people) == len(people)
    left = list(found.people)
    for person in people:
        there = person[:, 2] > 0
        fits = [
            np.array_equal(other[:, 2] > 0, there) and np.abs(other[there] - person[there])[:, :2].max() <= tolerance
            for other in left
        ]
        assert sum(fits) == 1, f"a person at {person[there, :2].mean(axis=0)} is found {sum(fits)} times"
        left.pop(fits.index(True))


# --- several people -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shift", [(20, 0), (0, 16), (22, 14), (-24, 10)])
def test_people_who_overlap(shift: tuple[float, float]) -> None:
    """One stands before the other: their boxes share more than half of their area, no part is hidden."""
    front = standing(50, 20, 80, 140)
    behind = front.copy()
    behind[:, :2] += shift
    assert_same_people(found_of(front, behind), [front, behind])


def test_people_who_hold_hands() -> None:
    """The wrist of one where the other's is: another part, and so a peak of its own."""
    one, other = standing(4, 20, 80, 150), standing(104, 20, 80, 150)
    meeting = (one[part("left_wrist"), :2] + other[part("right_wrist"), :2]) / 2
    one[part("left_wrist"), :2] = other[part("right_wrist"), :2] = meeting
    assert_same_people(found_of(one, other), [one, other])


def test_people_whose_same_part_is_in_one_place_stay_two() -> None:
    """There is one peak for both wrists; one of them gets it, the other is found without."""
    one, other = standing(4, 20, 80, 150), standing(104, 20, 80, 150)
    one[part("right_wrist"), :2] = other[part("right_wrist"), :2] = (94, 100)
    found = found_of(one, other)
    assert len(found.people) == 2
    assert sorted((found.people[..., 2] > 0).sum(axis=1)) == [17, 18]
    assert (found.people[:, part("right_wrist"), 2] > 0).sum() == 1


def test_people_who_stand_foot_to_head() -> None:
    upper, lower = standing(60, 2, 60, 92), standing(62, 98, 60, 92)
    assert_same_people(found_of(upper, lower), [upper, lower])


@pytest.mark.parametrize("crossing", [("left_elbow", "left_wrist"), ("right_knee", "right_ankle"), ("neck", "nose")])
def test_limbs_of_two_people_that_cross(crossing: tuple[str, str]) -> None:
    """Only the fields tell: each part is nearer to the other's."""
    start, end = crossing
    one, other = lone(**{start: (60, 60), end: (120, 130)}), lone(**{start: (120, 60), end: (60, 130)})
    assert_same_people(found_of(one, other), [one, other])


def test_one_person_s_crossed_legs_and_arms() -> None:
    person = standing(40, 10, 100, 170)
    for name in ("wrist", "ankle"):
        left, right = part(f"left_{name}"), part(f"right_{name}")
        person[[left, right]] = person[[right, left]]
    assert_same_people(found_of(person), [person])


def test_thirty_people() -> None:
    geometry = InputSettings(size=640, stride=4)
    people = [standing(4 + 106 * column, 2 + 128 * row, 96, 120) for row in range(5) for column in range(6)]
    assert_same_people(found_of(*people, geometry=geometry), people)


def test_nobody_joins_people_who_are_whole() -> None:
    """A field between the shoulder of one and the ear of the other is nearly as strong as their own."""
    one, other = standing(4, 20, 80, 150), standing(104, 20, 80, 150)
    limb = COCO_PERSON.limbs.index((part("left_shoulder"), part("left_ear")))
    bridge = lone(left_shoulder=tuple(one[5, :2]), left_ear=tuple(other[17, :2]))
    pafs = make_pafs(np.array([one, other]), GEOMETRY)
    bridged = make_pafs(bridge[None], GEOMETRY)
    empty = (pafs[2 * limb : 2 * limb + 2] == 0).all(axis=0)
    pafs[2 * limb : 2 * limb + 2] += 0.9 * bridged[2 * limb : 2 * limb + 2] * empty
    assert_same_people(found_in(make_heatmaps(np.array([one, other]), GEOMETRY), pafs), [one, other])


@pytest.mark.parametrize("side", ["left", "right"])
def test_the_limb_from_shoulder_to_ear_joins_and_closes(side: str) -> None:
    """With neck and nose it closes a ring, which makes nobody new; without them it alone joins."""
    whole = lone(**{f"{side}_shoulder": (60, 90), f"{side}_ear": (80, 40), "neck": (90, 90), "nose": (95, 50)})
    whole[part(f"{side}_eye")] = 88, 42, 2
    assert_same_people(found_of(whole), [whole])
    pair = lone(**{f"{side}_shoulder": (60, 90), f"{side}_ear": (80, 40)})
    assert_same_people(found_of(pair), [pair])


# --- few parts ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("side", ["left", "right"])
def test_a_missing_shoulder_takes_the_neck_with_it(side: str) -> None:
    """What is labelled is found, in the pieces that the limbs leave: nothing is glued by guessing."""
    person = standing(40, 10, 100, 170)
    person[[NECK, part(f"{side}_shoulder")]] = 0
    found = found_of(person)
    there = found.people[..., 2] > 0
    assert there.sum() == 16
    assert (there.sum(axis=0) <= 1).all()
    np.testing.assert_allclose(found.people.max(axis=0)[:, :2], person[:, :2], atol=EXACT)
    legs = {frozenset(part(f"{s}_{name}") for name in ("hip", "knee", "ankle")) for s in ("left", "right")}
    arm = frozenset(part(f"{side}_{name}") for name in ("elbow", "wrist"))
    assert {*legs, arm} <= {frozenset(np.flatnonzero(each).tolist()) for each in there}


@pytest.mark.parametrize("number", range(18))
def test_one_labelled_point(number: int) -> None:
    person = np.zeros((18, 3))
    person[number] = 77.3, 101.9, 2
    found = found_of(person)
    assert_same_people(found, [person])
    assert found.scores[0] == pytest.approx(1 / 18, abs=1e-3)


# --- corners and borders --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("corner", [(0, 0), (CELLS - 1, 0), (0, CELLS - 1), (CELLS - 1, CELLS - 1)])
@pytest.mark.parametrize("limb", range(COCO_PERSON.num_limbs))
def test_a_limb_from_a_corner_cell_is_a_person_of_two(corner: tuple[int, int], limb: int) -> None:
    """Peak number 0, in cell 0 of plane 0, is a peak like any other; so is it as the end of a limb."""
    for first, second in (COCO_PERSON.limbs[limb], COCO_PERSON.limbs[limb][::-1]):
        person = np.zeros((18, 3))
        person[first] = *to_pixels(np.array(corner, float), GEOMETRY.stride), 2
        person[second] = 97, 88, 2
        assert_same_people(found_of(person), [person])


@few(33, of=100)
@given(st.floats(-0.5, 191.5), st.sampled_from(["left", "right", "top", "bottom"]), st.floats(0, 2))
def test_points_up_to_the_outer_edge_of_the_border_pixels(along: float, edge: str, inwards: float) -> None:
    across = -0.5 + inwards if edge in ("left", "top") else 191.5 - inwards
    person = lone(nose=(across, along) if edge in ("left", "right") else (along, across), neck=(96.0, 96.0))
    assert_same_people(found_of(person), [person])


@pytest.mark.parametrize("part_outside", ["left_ankle", "nose"])
def test_a_limb_that_leaves_the_picture_ends_at_its_inside_part(part_outside: str) -> None:
    person = standing(40, 10, 100, 170)
    person[part(part_outside), :2] = (150, 260) if part_outside == "left_ankle" else (90, -60)
    inside = person.copy()
    inside[part(part_outside)] = 0
    assert_same_people(found_of(person), [inside])


@pytest.mark.parametrize("cell", [(0, 0), (30, 20), (0, 20), (CELLS - 1, CELLS - 1)])
@pytest.mark.parametrize("beside", [0.0, 0.49])
def test_the_score_of_what_is_no_gaussian_stays_near_its_cell_s(cell: tuple[int, int], beside: float) -> None:
    """The logarithm's parabola through a lone cell, or through two beside nothing, would be as high as one likes."""
    heatmaps, pafs = np.zeros((19, CELLS, CELLS), np.float32), np.zeros((38, CELLS, CELLS), np.float32)
    x, y = cell
    heatmaps[0, y, x] = 0.5
    heatmaps[0, y, x + 1 if x == 0 else x - 1] = beside
    found = found_in(heatmaps, pafs)
    assert len(found.people) == 1
    highest = 0.5 * np.exp(2 * 0.5**2 / (2 * sigma_cells(GEOMETRY) ** 2))
    assert 0.5 <= found.people[0, 0, 2] <= highest + 1e-6, "half a cell off on both axes, a Gaussian is so much higher"
    np.testing.assert_allclose(found.people[0, 0, :2], to_pixels(np.array(cell, float), 4), atol=2 + 1e-6)


# --- the same whatever the order ------------------------------------------------------------------------------------


@few(20, of=60)
@given(st.integers(0, 2**32 - 1), st.integers(2, 8))
def test_the_order_of_the_people_who_made_the_maps_makes_no_difference(seed: int, number: int) -> None:
    rng = np.random.default_rng(seed)
    people = np.array([standing(*rng.uniform(-20, 120, 2), *rng.uniform(30, 110, 2)) for _ in range(number)])
    people[rng.random((number, 18)) < 0.15] = 0
    found = found_of(*people)
    again = found_of(*people[rng.permutation(number)])
    assert len(found.people) == len(again.people)
    np.testing.assert_allclose(found.scores, again.scores, atol=1e-5)
    # Equally scored people may change places where a sum's last bit did; as sets they are the same.
    rounded = [sorted(np.round(each.people, 2).reshape(len(each.people), -1).tolist()) for each in (found, again)]
    np.testing.assert_allclose(rounded[0], rounded[1], atol=0.02)


def test_people_who_score_the_same_come_in_reading_order() -> None:
    """Copies, a whole number of cells apart: their maps are equal to the bit."""
    tile = InputSettings(size=64, stride=4)
    one = lone(nose=(30, 20), neck=(33, 40))
    heatmaps, pafs = make_heatmaps(one[None], tile), make_pafs(one[None], tile)
    found = found_in(np.tile(heatmaps, (1, 3, 3)), np.tile(pafs, (1, 3, 3)))
    assert len(found.people) == 9
    assert len(set(found.scores.tolist())) == 1
    expected = [one[0, :2] + 64 * np.array([column, row]) for row in range(3) for column in range(3)]
    np.testing.assert_allclose(found.people[:, 0, :2], expected, atol=EXACT)
