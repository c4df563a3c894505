import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from posemodel.config import InputSettings
from posemodel.data.device_targets import make_targets
from posemodel.data.targets import make_heatmaps, make_pafs, sigma_cells, to_cells, to_pixels
from posemodel.skeleton import COCO_PERSON
from tests.support.examples import few
from tests.support.plain_targets import plain_heatmaps, plain_pafs

GEOMETRY = InputSettings(size=64, stride=4)
NECK_NOSE = COCO_PERSON.limbs.index((1, 0))
NECK, NOSE = 1, 0


def person(**parts: tuple[float, float]) -> np.ndarray:
    """One person with the named parts at the given *cells* of GEOMETRY, (1, 18, 3) in pixels."""
    people = np.zeros((1, 18, 3), np.float32)
    for name, cell in parts.items():
        people[0, COCO_PERSON.parts.index(name)] = *to_pixels(np.array(cell), GEOMETRY.stride), 2
    return people


def limb(pafs: np.ndarray, number: int) -> np.ndarray:
    """(cells, cells, 2): the vectors of one limb."""
    return np.moveaxis(pafs[2 * number : 2 * number + 2], 0, -1)


# --- geometry -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("stride", "centre"), [(1, 0), (4, 1.5), (8, 3.5)])
def test_cells_are_centred_on_their_pixels(stride: int, centre: float) -> None:
    assert to_pixels(np.array([0.0]), stride).tolist() == [centre]
    assert to_cells(np.array([centre + 5 * stride]), stride).tolist() == [5]


@few(66, of=200)
@given(st.floats(-1000, 1000), st.integers(1, 16))
def test_cells_and_pixels_are_inverse(value: float, stride: int) -> None:
    assert to_pixels(to_cells(np.array([value]), stride), stride)[0] == pytest.approx(value, abs=1e-9)
    assert to_cells(to_pixels(np.array([value]), stride), stride)[0] == pytest.approx(value, abs=1e-9)


@pytest.mark.parametrize(
    ("size", "stride", "sigma"),
    [(368, 8, 7 / 8), (736, 8, 14 / 8), (256, 4, 7 * 256 / 368 / 4), (128, 8, 0.8), (64, 4, 0.8)],
)
def test_sigma_scales_with_the_input_and_has_a_floor(size: int, stride: int, sigma: float) -> None:
    assert sigma_cells(InputSettings(size=size, stride=stride)) == pytest.approx(sigma)


# --- heatmaps -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [0, 1, 3])
def test_shapes_and_types(number: int) -> None:
    people = np.random.default_rng(0).uniform(0, 64, (number, 18, 3))
    heatmaps, pafs = make_heatmaps(people, GEOMETRY), make_pafs(people, GEOMETRY)
    assert (heatmaps.shape, heatmaps.dtype) == ((19, 16, 16), np.float32)
    assert (pafs.shape, pafs.dtype) == ((38, 16, 16), np.float32)


def test_nobody_is_all_background() -> None:
    nobody = np.zeros((0, 18, 3))
    heatmaps = make_heatmaps(nobody, GEOMETRY)
    assert not heatmaps[:18].any()
    assert (heatmaps[18] == 1).all()
    assert not make_pafs(nobody, GEOMETRY).any()


def test_peak_is_one_at_the_centre_of_a_cell_and_falls_as_a_gaussian() -> None:
    heatmaps = make_heatmaps(person(nose=(5, 9)), GEOMETRY)
    assert heatmaps[NOSE, 9, 5] == 1, "row is y, column is x"
    sigma = sigma_cells(GEOMETRY)
    for dx, dy in ((1, 0), (0, -1), (2, 1)):
        expected = math.exp(-(dx**2 + dy**2) / (2 * sigma**2))
        assert heatmaps[NOSE, 9 + dy, 5 + dx] == pytest.approx(expected, abs=1e-6)
    assert not heatmaps[1:18].any(), "only the labelled part has a peak"


def test_two_people_are_combined_by_the_maximum_not_the_sum() -> None:
    people = np.concatenate([person(nose=(5, 5)), person(nose=(6.5, 5))])
    both = make_heatmaps(people, GEOMETRY)
    each = np.maximum(*(make_heatmaps(people[i : i + 1], GEOMETRY) for i in (0, 1)))
    np.testing.assert_array_equal(both[:18], each[:18])
    assert both.max() <= 1


@few(33, of=100)
@given(st.integers(0, 2**32 - 1), st.integers(0, 4))
def test_background_is_one_minus_the_maximum(seed: int, number: int) -> None:
    rng = np.random.default_rng(seed)
    people = rng.uniform(-20, 84, (number, 18, 3))
    people[..., 2] = rng.integers(0, 3, (number, 18))
    heatmaps = make_heatmaps(people, GEOMETRY)
    np.testing.assert_allclose(heatmaps[18], 1 - heatmaps[:18].max(axis=0), atol=1e-6)
    assert heatmaps.min() >= 0
    assert heatmaps.max() <= 1


def test_a_part_just_outside_leaves_its_slope_inside() -> None:
    heatmaps = make_heatmaps(person(nose=(-1, 8)), GEOMETRY)
    assert heatmaps[NOSE, 8, 0] == pytest.approx(math.exp(-0.5 / sigma_cells(GEOMETRY) ** 2), abs=1e-6)


# --- part affinity fields -------------------------------------------------------------------------------------------


def test_vectors_are_unit_and_point_from_the_first_part_to_the_second() -> None:
    pafs = limb(make_pafs(person(neck=(3, 10), nose=(9, 2)), GEOMETRY), NECK_NOSE)
    on = np.hypot(pafs[..., 0], pafs[..., 1])
    assert set(np.unique(on.round(5))) == {0, 1}
    np.testing.assert_allclose(pafs[on > 0], np.tile([0.6, -0.8], (int(on.sum().round()), 1)), atol=1e-6)


def test_one_limb_occupies_its_own_two_channels() -> None:
    for number, (start, end) in enumerate(COCO_PERSON.limbs):
        people = person(**{COCO_PERSON.parts[start]: (4, 4), COCO_PERSON.parts[end]: (10, 4)})
        found = make_pafs(people, GEOMETRY)
        assert np.flatnonzero(found.any(axis=(1, 2))).tolist() == [2 * number], "x only: the limb is level"


def test_width_includes_a_distance_of_exactly_one_cell() -> None:
    """A level limb from (4, 8) to (10, 8): 3 rows of 7 cells, and one cell beyond each end."""
    on = limb(make_pafs(person(neck=(4, 8), nose=(10, 8)), GEOMETRY), NECK_NOSE)[..., 0]
    expected = np.zeros((16, 16), np.float32)
    expected[7:10, 4:11] = 1
    expected[8, 3] = expected[8, 11] = 1
    np.testing.assert_array_equal(on, expected)


def test_width_excludes_more_than_one_cell() -> None:
    on = limb(make_pafs(person(neck=(4, 8.01), nose=(10, 8.01)), GEOMETRY), NECK_NOSE)[..., 0]
    assert not on[7, 4:11].any()
    assert on[8:10, 4:11].all()


def test_a_slanted_limb_covers_what_is_within_one_cell_of_its_segment() -> None:
    start, end = np.array([3.3, 12.1]), np.array([11.7, 4.4])
    on = limb(make_pafs(person(neck=tuple(start), nose=tuple(end)), GEOMETRY), NECK_NOSE).any(axis=-1)
    for y in range(16):
        for x in range(16):
            share = np.clip(np.dot([x, y] - start, end - start) / np.dot(end - start, end - start), 0, 1)
            distance = math.dist((x, y), start + share * (end - start))
            assert on[y, x] == (distance <= 1), (x, y)


def test_overlapping_limbs_of_two_people_are_averaged() -> None:
    across = person(neck=(3, 8), nose=(12, 8))
    down = person(neck=(8, 3), nose=(8, 12))
    pafs = limb(make_pafs(np.concatenate([across, down]), GEOMETRY), NECK_NOSE)
    np.testing.assert_allclose(pafs[8, 8], [0.5, 0.5])
    np.testing.assert_allclose(pafs[8, 4], [1, 0])
    np.testing.assert_allclose(pafs[4, 8], [0, 1])


def test_equal_limbs_stay_unit_vectors() -> None:
    one = person(neck=(3, 8), nose=(12, 8))
    np.testing.assert_array_equal(make_pafs(np.concatenate([one] * 3), GEOMETRY), make_pafs(one, GEOMETRY))


def test_two_limbs_of_one_person_do_not_dilute_each_other() -> None:
    people = person(neck=(8, 8), right_hip=(8, 14), left_hip=(8.5, 14))
    pafs = make_pafs(people, GEOMETRY)
    for parts in ((1, 8), (1, 11)):
        length = np.linalg.norm(limb(pafs, COCO_PERSON.limbs.index(parts)), axis=-1)
        assert set(np.unique(length.round(5))) == {0, 1}


@pytest.mark.parametrize("outside", [(-6.0, 8.0), (22.0, 8.0)])
def test_a_limb_over_the_border_keeps_its_inside_part(outside: tuple[float, float]) -> None:
    on = limb(make_pafs(person(neck=(8, 8), nose=outside), GEOMETRY), NECK_NOSE)[..., 0]
    inner = on[8, :9] if outside[0] < 0 else on[8, 8:]
    np.testing.assert_array_equal(inner, np.sign(outside[0] - 8))


def test_a_limb_between_two_outside_joints_crosses_the_inside() -> None:
    on = limb(make_pafs(person(neck=(-4, 5), nose=(20, 5)), GEOMETRY), NECK_NOSE)[..., 0]
    assert on[4:7].all()
    assert on.sum() == 3 * 16


def test_a_limb_wholly_outside_leaves_nothing() -> None:
    assert not make_pafs(person(neck=(-9, -9), nose=(-4, -5)), GEOMETRY).any()


def test_no_limb_without_both_parts_and_none_without_length() -> None:
    assert not make_pafs(person(neck=(5, 5), left_knee=(9, 9)), GEOMETRY).any()
    assert not make_pafs(person(neck=(5, 5), nose=(5, 5)), GEOMETRY).any()


@few(33, of=100)
@given(st.integers(0, 2**32 - 1), st.integers(1, 4))
def test_no_vector_is_longer_than_one(seed: int, number: int) -> None:
    rng = np.random.default_rng(seed)
    people = rng.uniform(-30, 94, (number, 18, 3))
    people[..., 2] = rng.integers(0, 3, (number, 18))
    pafs = make_pafs(people, GEOMETRY).reshape(19, 2, 16, 16)
    assert np.isfinite(pafs).all()
    assert np.linalg.norm(pafs, axis=1).max() <= 1 + 1e-5


# --- against the plain reference -------------------------------------------------------------------------------------


@st.composite
def crowds(draw: st.DrawFn) -> np.ndarray:
    """People (N, 18, 3) in and around a 64-pixel input: fractional, whole-cell and level positions, parts missing."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    number = draw(st.integers(0, 4))
    people = rng.uniform(-30, 94, (number, 18, 3))
    if draw(st.booleans()):
        people[..., :2] = to_pixels(np.round(to_cells(people[..., :2], 4)), 4)  # distances of exactly one cell
    if draw(st.booleans()):
        people[..., 1] = people[:, :1, 1]  # everything level
    if draw(st.booleans()) and number > 1:
        people[1:] = people[0] + rng.uniform(-3, 3, 3)  # one upon the other
    people[..., 2] = rng.integers(0, 3, (number, 18))
    return people


@few(50, of=150)
@given(crowds(), st.sampled_from([2, 4, 8]))
def test_fast_maps_are_the_plain_ones(people: np.ndarray, stride: int) -> None:
    geometry = InputSettings(size=64, stride=stride)
    np.testing.assert_allclose(make_heatmaps(people, geometry), plain_heatmaps(people, geometry), atol=1e-4)
    expected = plain_pafs(people, geometry)
    np.testing.assert_allclose(make_pafs(people, geometry), expected, atol=1e-6)
    np.testing.assert_allclose(make_pafs(people, geometry, dtype=np.float16), expected, atol=1e-3)


@few(33, of=100)
@given(st.lists(crowds(), min_size=1, max_size=3), st.sampled_from([4, 8]))
def test_maps_made_on_a_device_are_the_plain_ones(groups: list[np.ndarray], stride: int) -> None:
    geometry = InputSettings(size=64, stride=stride)
    batch = np.zeros((len(groups), max(map(len, groups)), 18, 3), np.float32)
    for row, people in zip(batch, groups, strict=True):
        row[: len(people)] = people
    heatmaps, pafs = make_targets(torch.from_numpy(batch), geometry, COCO_PERSON)
    assert heatmaps.dtype == pafs.dtype == torch.float16
    for row, (heat, fields) in enumerate(zip(heatmaps.numpy(), pafs.numpy(), strict=True)):
        np.testing.assert_allclose(heat, plain_heatmaps(batch[row], geometry), atol=1e-3)
        np.testing.assert_allclose(fields, plain_pafs(batch[row], geometry), atol=1e-3)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="skipped: no CUDA device")
def test_maps_made_on_a_gpu_are_those_of_the_cpu() -> None:
    people = torch.rand((4, 5, 18, 3), generator=torch.Generator().manual_seed(0)) * 64
    on_gpu, on_cpu = (make_targets(each, GEOMETRY, COCO_PERSON) for each in (people.cuda(), people))
    for there, here in zip(on_gpu, on_cpu, strict=True):
        torch.testing.assert_close(there.cpu(), here, rtol=0, atol=1e-3)
