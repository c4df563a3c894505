import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from posemodel.config import InputSettings
from posemodel.data.targets import make_heatmaps, make_pafs, sigma_cells, to_pixels
from posemodel.inference.decoder import DecodeSettings, Detections, decode, decode_batch, with_torch
from posemodel.inference.decoder.candidates import Candidates, Limbs, Peaks
from posemodel.inference.decoder.grouping import group, join
from posemodel.inference.decoder.with_numpy import find_limbs, find_peaks
from posemodel.skeleton import COCO_PERSON
from tests.support import plain_decode
from tests.support.coco_builder import STANDING
from tests.support.examples import few

NECK = COCO_PERSON.parts.index("neck")
SHOULDERS = [COCO_PERSON.parts.index(f"{side}_shoulder") for side in ("right", "left")]
GEOMETRY = InputSettings(size=96, stride=4)
"""24 x 24 cells."""
EXACT = 0.1 * GEOMETRY.stride
"""A tenth of a cell, in pixels."""


def standing(x: float, y: float, width: float, height: float) -> np.ndarray:
    """A standing person (18, 3) with its neck, in a box in pixels."""
    person = np.full((18, 3), 2.0)
    for name, (across, down) in STANDING.items():
        person[COCO_PERSON.parts.index(name), :2] = x + across * width, y + down * height
    person[NECK, :2] = person[SHOULDERS, :2].mean(axis=0)
    return person


def targets(people: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return make_heatmaps(people, GEOMETRY), make_pafs(people, GEOMETRY)


def found(people: np.ndarray) -> Detections:
    return decode(*targets(people), GEOMETRY)


def assert_same_people(detections: Detections, people: np.ndarray, tolerance: float = EXACT) -> None:
    """The same people in any order, each part within the tolerance, nothing added."""
    assert len(detections.people) == len(people)
    left = list(detections.people)
    for person in people:
        labelled = person[:, 2] > 0
        distance = [
            np.abs(other[labelled, :2] - person[labelled, :2]).max()
            if np.array_equal(other[:, 2] > 0, labelled)
            else np.inf
            for other in left
        ]
        best = int(np.argmin(distance))
        assert distance[best] <= tolerance
        left.pop(best)


@few(100, of=300)
@given(st.integers(0, 2**32 - 1), st.integers(1, 2))
def test_targets_of_separate_people_decode_to_a_tenth_of_a_cell(seed: int, number: int) -> None:
    rng = np.random.default_rng(seed)
    people = []
    for column in range(number):
        width = 95 / number
        person = standing(column * width + 1, rng.uniform(1, 6), width - 6, rng.uniform(76, 88))
        person[:, :2] += rng.uniform(-1, 1, (18, 2))  # every part at its own place within a cell
        person[NECK, :2] = person[SHOULDERS, :2].mean(axis=0)
        people.append(person)
    assert_same_people(found(np.array(people)), np.array(people))


@few(100, of=300)
@given(st.floats(0, 95), st.floats(0, 95), st.integers(0, 17))
def test_a_single_point_anywhere_inside_is_found_where_it_is(x: float, y: float, part: int) -> None:
    """Border cells included: pixels 0 and 95 lie half a cell outside of the outer cells' centres."""
    people = np.zeros((1, 18, 3))
    people[0, part] = x, y, 2
    assert_same_people(found(people), people)


@pytest.mark.parametrize("cell", [(0, 0), (23, 0), (0, 23), (23, 23), (0, 11), (11, 23)])
def test_points_at_the_centres_of_border_cells(cell: tuple[int, int]) -> None:
    people = np.zeros((1, 18, 3))
    people[0, 0] = *to_pixels(np.array(cell, float), GEOMETRY.stride), 2
    result = found(people)
    np.testing.assert_allclose(result.people[0, 0, :2], people[0, 0, :2], atol=1e-3)
    assert result.people[0, 0, 2] == pytest.approx(1, abs=1e-3)


@pytest.mark.parametrize("cell", [(7.5, 9), (7, 9.5), (7.5, 9.5)])
def test_a_plateau_between_cells_is_one_peak_in_its_middle(cell: tuple[float, float]) -> None:
    people = np.zeros((1, 18, 3))
    people[0, 0] = *to_pixels(np.array(cell), GEOMETRY.stride), 2
    heatmaps, pafs = targets(people)
    at = heatmaps[0] == heatmaps[0].max()
    assert at.sum() in (2, 4), "the case is one of equal neighbours"
    result = decode(heatmaps, pafs, GEOMETRY)
    assert_same_people(result, people, tolerance=0.01)
    assert result.people[0, 0, 2] == pytest.approx(1, abs=1e-3), "the score is that of the top, not of the cells"


def test_a_large_flat_area_is_one_peak() -> None:
    maps = np.zeros((18, 24, 24), np.float32)
    maps[0, 5:9, 6:12] = 0.7
    peaks = find_peaks(maps, sigma_cells(GEOMETRY), DecodeSettings())
    assert len(peaks.plane) == 1
    assert peaks.score[0] <= 1


def test_empty_maps_hold_nobody() -> None:
    for value in (0.0, -3.0, 0.05):
        heatmaps = np.full((19, 24, 24), value, np.float32)
        result = decode(heatmaps, np.zeros((38, 24, 24), np.float32), GEOMETRY)
        assert result.people.shape == (0, 18, 3)
        assert result.scores.shape == (0,)


def test_the_background_channel_is_not_a_part() -> None:
    heatmaps = np.zeros((19, 24, 24), np.float32)
    heatmaps[18, 5, 5] = 1
    assert len(decode(heatmaps, np.zeros((38, 24, 24), np.float32), GEOMETRY).people) == 0


def test_peaks_without_any_field_are_people_of_one_part() -> None:
    heatmaps, pafs = targets(standing(4, 4, 88, 88)[None])
    result = decode(heatmaps, np.zeros_like(pafs), GEOMETRY)
    assert len(result.people) == 18
    assert ((result.people[..., 2] > 0).sum(axis=1) == 1).all()


def test_two_people_side_by_side_are_not_mixed() -> None:
    people = np.stack([standing(2, 4, 42, 86), standing(51, 8, 42, 80)])
    assert_same_people(found(people), people)


def test_crossed_arms_of_two_people_are_not_mixed() -> None:
    """Only the fields tell whose wrist is whose: each is nearer to the other's elbow."""
    people = np.zeros((2, 18, 3))
    elbow, wrist = COCO_PERSON.parts.index("left_elbow"), COCO_PERSON.parts.index("left_wrist")
    people[0, elbow], people[0, wrist] = (20, 30, 2), (70, 60, 2)
    people[1, elbow], people[1, wrist] = (70, 30, 2), (20, 60, 2)
    assert_same_people(found(people), people)


def test_a_missing_shoulder_leaves_two_fragments_and_nothing_lost() -> None:
    """No shoulder, no neck: what the limbs do not connect is not glued together by guessing."""
    person = standing(4, 4, 88, 88)
    for part in (NECK, COCO_PERSON.parts.index("left_shoulder")):
        person[part] = 0
    result = found(person[None])
    assert (result.people[..., 2] > 0).sum() == 16
    parts = {frozenset(np.flatnonzero(p[:, 2])) for p in result.people}
    right_leg = {COCO_PERSON.parts.index(f"right_{name}") for name in ("hip", "knee", "ankle")}
    assert frozenset(right_leg) in parts
    together = next(p for p in parts if COCO_PERSON.parts.index("nose") in p)
    assert {COCO_PERSON.parts.index(n) for n in ("right_ear", "right_shoulder", "right_wrist")} <= together
    for person_found in result.people:
        labelled = person_found[:, 2] > 0
        np.testing.assert_allclose(person_found[labelled, :2], person[labelled, :2], atol=EXACT)


def test_a_limb_that_closes_a_cycle_adds_nothing() -> None:
    """Neck, shoulder, ear, eye and nose form rings: all 19 limbs are accepted, 18 parts remain one person."""
    people = standing(4, 4, 88, 88)[None]
    heatmaps, pafs = targets(people)
    peaks = find_peaks(heatmaps[:18], sigma_cells(GEOMETRY), DecodeSettings())
    assert len(find_limbs(peaks, pafs[None], DecodeSettings(), COCO_PERSON).score) == 19
    result = decode(heatmaps, pafs, GEOMETRY)
    assert len(result.people) == 1
    assert result.scores[0] == pytest.approx(result.people[0, :, 2].sum() / 18)


def test_a_limb_between_people_who_both_have_a_part_is_dropped() -> None:
    """The shoulder of one and the ear of another agree weakly; both people have a nose, so they stay two."""
    noses, neck, shoulder, eye, ear = (0, 1), 2, 3, 4, 5
    peaks = Peaks(np.array([0, 0, 1, 2, 14, 16]), np.arange(12.0).reshape(6, 2), np.full(6, 0.9))
    joined = [(neck, noses[0]), (neck, shoulder), (noses[1], eye), (eye, ear), (shoulder, ear)]
    start, end = (np.array(side) for side in zip(*joined, strict=True))
    kind = [COCO_PERSON.limbs.index((int(peaks.plane[a]), int(peaks.plane[b]))) for a, b in joined]
    limbs = Limbs(np.array(kind), start, end, np.array([0.9, 0.8, 0.7, 0.6, 0.2]))
    found = join(Candidates(peaks, limbs, COCO_PERSON))
    assert found.tolist() == [neck, noses[1], neck, neck, noses[1], noses[1]]


def test_a_reversed_field_connects_nothing() -> None:
    heatmaps, pafs = targets(standing(4, 4, 88, 88)[None])
    assert len(decode(heatmaps, -pafs, GEOMETRY).people) == 18


def test_parts_not_found_are_zero() -> None:
    people = np.zeros((1, 18, 3))
    people[0, 1], people[0, 0] = (40, 40, 2), (40, 20, 2)
    assert not found(people).people[0, 2:].any()


@pytest.mark.parametrize("seed", range(3))
def test_noise_gives_bounded_sorted_scores_and_the_same_answer_twice(seed: int) -> None:
    rng = np.random.default_rng(seed)
    heatmaps = rng.normal(0.3, 0.4, (19, 24, 24)).astype(np.float32)
    pafs = rng.normal(0, 0.7, (38, 24, 24)).astype(np.float32)
    result, again = decode(heatmaps, pafs, GEOMETRY), decode(heatmaps.copy(), pafs.copy(), GEOMETRY)
    np.testing.assert_array_equal(result.people, again.people)
    np.testing.assert_array_equal(result.scores, again.scores)
    assert len(result.people) > 20
    assert (np.diff(result.scores) <= 0).all()
    for values in (result.scores, result.people[..., 2]):
        assert values.min() >= 0
        assert values.max() <= 1
    assert np.isfinite(result.people).all()


def test_input_maps_are_left_as_they_were() -> None:
    heatmaps, pafs = targets(standing(4, 4, 88, 88)[None])
    before = heatmaps.copy(), pafs.copy()
    decode(heatmaps, pafs, GEOMETRY)
    np.testing.assert_array_equal(heatmaps, before[0])
    np.testing.assert_array_equal(pafs, before[1])


def test_the_strongest_peaks_are_kept() -> None:
    maps = np.zeros((18, 24, 24), np.float32)
    strengths = np.linspace(0.2, 0.9, 36).reshape(6, 6)
    maps[3, 1:24:4, 1:24:4] = strengths
    peaks = find_peaks(maps, sigma_cells(GEOMETRY), DecodeSettings(max_peaks=5))
    assert (peaks.plane == 3).all()
    np.testing.assert_allclose(peaks.score, np.sort(strengths.ravel())[::-1][:5], atol=1e-6)


def test_half_precision_maps_as_a_loader_gives_them() -> None:
    people = np.stack([standing(2, 4, 42, 86), standing(51, 8, 42, 80)])
    heatmaps, pafs = targets(people)
    assert_same_people(decode(heatmaps.astype(np.float16), pafs.astype(np.float16), GEOMETRY), people)


# --- against the plain decoder ---------------------------------------------------------------------------------------

Maps = tuple[np.ndarray, np.ndarray]
GPU_KINDS = ("noise", "ties", "people", "noisy people", "nothing")
KINDS = (*GPU_KINDS, "even fields")
"""Along even fields many limbs agree equally well, and the last bit decides: it differs between NumPy and PyTorch."""


def maps_of(kind: str, rng: np.random.Generator, images: int, height: int, width: int) -> Maps:
    """Heatmaps (B, 19, h, w) and PAFs (B, 38, h, w) float32."""
    heat = rng.normal(0.3, 0.4, (images, 19, height, width))
    fields = rng.normal(0, 0.7, (images, 38, height, width))
    if kind == "ties":  # a few values only: plateaus, equal peaks, equal limbs
        heat, fields = np.round(heat * 4) / 4, np.round(fields * 2) / 2
    elif kind == "even fields":
        heat = np.clip(heat, 0, 1) * (rng.random(heat.shape) < 0.1)
        fields = np.broadcast_to(rng.integers(-1, 2, (images, 38, 1, 1)), fields.shape)
    elif "people" in kind:
        spread = 0.02 * ("noisy" in kind)
        for image in range(images):
            people = [standing(*rng.uniform(-10, 60, 2), *rng.uniform(20, 90, 2)) for _ in range(rng.integers(1, 6))]
            for maps, made in zip((heat[image], fields[image]), targets(np.array(people)), strict=True):
                maps[:] = made[:, :height, :width] + rng.normal(0, spread, maps.shape)
    elif kind == "nothing":
        heat[:] = rng.choice([0.0, -3.0, 0.1])
    return heat.astype(np.float32), fields.astype(np.float32)


def drawn_maps(kinds: tuple[str, ...]) -> st.SearchStrategy[Maps]:
    return st.builds(
        lambda kind, seed, images, height, width: maps_of(kind, np.random.default_rng(seed), images, height, width),
        st.sampled_from(kinds),
        st.integers(0, 2**32 - 1),
        st.integers(1, 3),
        st.integers(2, 24),
        st.integers(2, 24),
    )


settings_drawn = st.builds(
    DecodeSettings,
    max_peaks=st.sampled_from([1, 2, 7, 64]),
    limb_samples=st.sampled_from([1, 5, 10]),
    limb_share=st.sampled_from([0.3, 0.6, 1.0]),
    peak_threshold=st.sampled_from([0.1, 0.5]),
)


def assert_equal(found: Detections, expected: Detections) -> None:
    assert found.people.shape == expected.people.shape
    np.testing.assert_allclose(found.people, expected.people, atol=1e-6, rtol=0)
    np.testing.assert_allclose(found.scores, expected.scores, atol=1e-6, rtol=0)


@few(50, of=150)
@given(drawn_maps(KINDS), settings_drawn)
def test_the_same_people_as_the_plain_decoder(maps: Maps, decoding: DecodeSettings) -> None:
    batch = decode_batch(*map(torch.from_numpy, maps), GEOMETRY, decoding)
    assert len(batch) == len(maps[0])
    for heatmaps, pafs, of_batch in zip(*maps, batch, strict=True):
        expected = plain_decode.decode(heatmaps, pafs, GEOMETRY, decoding)
        assert_equal(decode(heatmaps, pafs, GEOMETRY, decoding), expected)
        assert_equal(of_batch, expected)


@few(33, of=100)
@given(drawn_maps(GPU_KINDS), settings_drawn)
def test_what_runs_on_a_gpu_finds_the_same(maps: Maps, decoding: DecodeSettings) -> None:
    """On the CPU's memory here: the calls are the same."""
    heatmaps, pafs = map(torch.from_numpy, maps)
    found = with_torch.find_candidates(heatmaps[:, :18], pafs, sigma_cells(GEOMETRY), decoding, COCO_PERSON)
    people = group(found, len(heatmaps), GEOMETRY.stride)
    for on_gpu, on_cpu in zip(people, decode_batch(heatmaps, pafs, GEOMETRY, decoding), strict=True):
        assert_equal(on_gpu, on_cpu)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("kind", GPU_KINDS)
def test_a_cuda_device_finds_the_same(kind: str) -> None:
    heatmaps, pafs = map(torch.from_numpy, maps_of(kind, np.random.default_rng(1), 8, 24, 24))
    on_gpu = decode_batch(heatmaps.cuda(), pafs.cuda(), GEOMETRY)
    for found, expected in zip(on_gpu, decode_batch(heatmaps, pafs, GEOMETRY), strict=True):
        assert_equal(found, expected)


@pytest.mark.parametrize("pairs_at_a_time", [1, 7])
def test_however_many_pairs_are_scored_at_a_time(pairs_at_a_time: int, monkeypatch: pytest.MonkeyPatch) -> None:
    maps = maps_of("people", np.random.default_rng(3), 2, 24, 24)
    expected = decode_batch(*map(torch.from_numpy, maps), GEOMETRY)
    assert any(len(found.people) > 1 for found in expected)
    for module in ("with_numpy", "with_torch"):
        monkeypatch.setattr(f"posemodel.inference.decoder.{module}.BLOCK", pairs_at_a_time)
    again = decode_batch(*map(torch.from_numpy, maps), GEOMETRY)
    heatmaps, pafs = map(torch.from_numpy, maps)
    on_gpu = with_torch.find_candidates(heatmaps[:, :18], pafs, sigma_cells(GEOMETRY), DecodeSettings(), COCO_PERSON)
    for one, two, wanted in zip(again, group(on_gpu, 2, GEOMETRY.stride), expected, strict=True):
        assert_equal(one, wanted)
        assert_equal(two, wanted)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("of_pafs", [False, True])
def test_maps_of_a_diverged_network_hold_nobody_and_their_neighbours_all(value: float, of_pafs: bool) -> None:
    maps = maps_of("people", np.random.default_rng(5), 3, 24, 24)
    expected = decode_batch(*map(torch.from_numpy, maps), GEOMETRY)
    assert all(len(found.people) for found in expected)
    maps[of_pafs][1, 18, 3, 4] = value
    found = decode_batch(*map(torch.from_numpy, maps), GEOMETRY)
    assert found[1].people.shape == (0, 18, 3)
    assert found[1].scores.shape == (0,)
    for image in (0, 2):
        assert_equal(found[image], expected[image])


def test_batches_of_none_and_of_diverged_maps_only() -> None:
    assert decode_batch(torch.zeros(0, 19, 24, 24), torch.zeros(0, 38, 24, 24), GEOMETRY) == []
    (found,) = decode_batch(torch.full((1, 19, 24, 24), torch.nan), torch.zeros(1, 38, 24, 24), GEOMETRY)
    assert len(found.people) == 0


def test_maps_as_a_network_leaves_them() -> None:
    """In bfloat16, channels last, with a gradient."""
    heatmaps, pafs = map(torch.from_numpy, maps_of("people", np.random.default_rng(7), 2, 24, 24))
    as_left = [maps.bfloat16().contiguous(memory_format=torch.channels_last) for maps in (heatmaps, pafs)]
    found = decode_batch(*(maps.requires_grad_() for maps in as_left), GEOMETRY)
    expected = decode_batch(*(maps.detach().float().contiguous() for maps in as_left), GEOMETRY)
    assert sum(len(people.people) for people in expected) > 1
    for one, two in zip(found, expected, strict=True):
        assert_equal(one, two)
