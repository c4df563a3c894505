"""Targets, decoder, mirror images, loss and augmentation for any skeleton, down to a single point without limbs."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from posemodel.config import AugmentSettings, InputSettings, LoaderSettings
from posemodel.data.augment import Warp
from posemodel.data.batch import Batch, collate, to_device
from posemodel.data.dataset import PoseDataset
from posemodel.data.device_targets import make_targets
from posemodel.data.loader import validation_loader
from posemodel.data.open_split import open_split
from posemodel.data.targets import make_heatmaps, make_pafs, sigma_cells
from posemodel.errors import SettingsError
from posemodel.inference.averaging import Averaging, averaged_maps, flipped_maps
from posemodel.inference.decoder import DecodeSettings, Detections, decode, decode_batch, with_torch
from posemodel.inference.decoder.grouping import MOST_PEOPLE, group
from posemodel.network import Maps, build_network
from posemodel.scoring.oracle import connected_fragments
from posemodel.skeleton import Skeleton
from posemodel.training.loss import background_maps, pose_loss
from posemodel.training.step import gradient_factors
from tests.support import plain_decode
from tests.support.coco_builder import CocoBuilder
from tests.support.examples import few
from tests.support.plain_targets import plain_heatmaps, plain_pafs
from tests.support.random_skeletons import crowd, skeletons

GEOMETRY = InputSettings(size=64, stride=4)
SEED = st.integers(0, 2**32 - 1)


def numbered(points: int, limbs: tuple[tuple[int, int], ...] = (), **fields: object) -> Skeleton:
    names = tuple(f"p{number}" for number in range(points))
    return Skeleton("thing", names, limbs=limbs, sigmas=(0.05,) * points, **fields)


POINT = numbered(1)
HAND = numbered(
    21,
    tuple(
        (0 if joint == 0 else 4 * finger + joint, 4 * finger + joint + 1) for finger in range(5) for joint in range(4)
    ),
)
"""The wrist and five fingers of four joints, as in the usual hand data sets."""
FACE = numbered(68, tuple((number, number + 1) for number in range(67)))
"""68 points of a face as a chain."""
SIDED = numbered(4, ((0, 1), (0, 2), (2, 1), (3, 1)), mirror=(("p1", "p2"),))
"""A nose, a left and a right eye, an ear: limb 2 is its own mirror image and runs back, limb 3 has none."""


def targets(
    people: np.ndarray, skeleton: Skeleton, geometry: InputSettings = GEOMETRY
) -> tuple[np.ndarray, np.ndarray]:
    return make_heatmaps(people, geometry), make_pafs(people, geometry, skeleton)


def maps_of(people: np.ndarray, skeleton: Skeleton) -> Maps:
    return Maps(*(torch.from_numpy(each)[None] for each in targets(people, skeleton)))


# --- targets --------------------------------------------------------------------------------------------------------


@few(20, of=60)
@given(skeletons(most=12), SEED, st.integers(0, 3))
def test_maps_are_the_plain_ones(skeleton: Skeleton, seed: int, number: int) -> None:
    people = crowd(np.random.default_rng(seed), skeleton, number, GEOMETRY.size)
    heatmaps, pafs = targets(people, skeleton)
    assert (len(heatmaps), len(pafs)) == (skeleton.num_heatmaps, skeleton.num_pafs)
    np.testing.assert_allclose(heatmaps, plain_heatmaps(people, GEOMETRY), atol=1e-4)
    np.testing.assert_allclose(pafs, plain_pafs(people, GEOMETRY, skeleton), atol=1e-6)
    of_batch = make_targets(torch.from_numpy(people)[None], GEOMETRY, skeleton)
    for made, expected in zip(of_batch, (heatmaps, pafs), strict=True):
        assert made.dtype == torch.float16
        np.testing.assert_allclose(made[0], expected, atol=1e-3)


def test_an_object_without_limbs_has_fields_of_no_channel() -> None:
    people = np.array([[[20.0, 30, 2]]])
    assert make_pafs(people, GEOMETRY, POINT).shape == (0, 16, 16)
    assert make_pafs(people, GEOMETRY, POINT, dtype=np.float16).dtype == np.float16
    heatmaps, pafs = make_targets(torch.from_numpy(people)[None], GEOMETRY, POINT)
    assert (heatmaps.shape, pafs.shape) == ((1, 2, 16, 16), (1, 0, 16, 16))


# --- decoder --------------------------------------------------------------------------------------------------------


def assert_equal(found: Detections, expected: Detections) -> None:
    assert found.people.shape == expected.people.shape
    np.testing.assert_allclose(found.people, expected.people, atol=1e-6, rtol=0)
    np.testing.assert_allclose(found.scores, expected.scores, atol=1e-6, rtol=0)


@few(20, of=60)
@given(skeletons(), SEED, st.integers(1, 2), st.sampled_from([0.02, 0.4]))
def test_both_decoders_find_what_the_plain_one_finds(skeleton: Skeleton, seed: int, images: int, noise: float) -> None:
    """On perfect maps with a little noise, and on maps that are mostly noise."""
    rng = np.random.default_rng(seed)
    made = [targets(crowd(rng, skeleton, int(rng.integers(0, 4)), GEOMETRY.size), skeleton) for _ in range(images)]
    heatmaps, pafs = (
        np.stack(maps) + rng.normal(0, noise, (images, *maps[0].shape)).astype(np.float32)
        for maps in zip(*made, strict=True)
    )
    decoding = DecodeSettings(max_peaks=7)
    batch = decode_batch(*map(torch.from_numpy, (heatmaps, pafs)), GEOMETRY, decoding, skeleton=skeleton)
    tensors = torch.from_numpy(heatmaps[:, :-1]), torch.from_numpy(pafs)
    candidates = with_torch.find_candidates(*tensors, sigma_cells(GEOMETRY), decoding, skeleton)
    on_gpu = group(candidates, images, GEOMETRY.stride)
    for image in range(images):
        expected = plain_decode.decode(heatmaps[image], pafs[image], GEOMETRY, decoding, skeleton)
        assert_equal(decode(heatmaps[image], pafs[image], GEOMETRY, decoding, skeleton=skeleton), expected)
        assert_equal(batch[image], expected)
        assert_equal(on_gpu[image], expected)


def test_maps_of_another_skeleton_are_refused() -> None:
    heatmaps, pafs = targets(np.zeros((0, 21, 3)), HAND)
    with pytest.raises(ValueError, match=r"22 heatmaps and 40 PAF channels .* 'person', which has 19 and 38"):
        decode(heatmaps, pafs, GEOMETRY)
    with pytest.raises(ValueError, match="22 heatmaps"):
        decode_batch(torch.from_numpy(heatmaps)[None], torch.from_numpy(pafs)[None], GEOMETRY)


@pytest.mark.parametrize("points", [63, 64, 133, 294])
def test_a_chain_of_many_parts_is_one_object(points: int) -> None:
    """More parts and limbs than an integer of 64 bits can tell apart; each part on a map of its own, on a spiral."""
    skeleton = numbered(points, tuple((number, number + 1) for number in range(points - 1)))
    turn = np.arange(points) * 0.3
    people = np.full((1, points, 3), 2.0)
    people[0, :, 0], people[0, :, 1] = 32 + 28 * np.cos(turn), 32 + 28 * np.sin(turn)
    (found,) = decode(*targets(people, skeleton), GEOMETRY, skeleton=skeleton).people
    np.testing.assert_allclose(found[:, :2], people[0, :, :2], atol=0.4)


def test_points_without_limbs_are_objects_of_their_own() -> None:
    people = np.array([[[10.0, 12, 2]], [[50, 40, 1]], [[30, 55, 2]]])
    found = decode(*targets(people, POINT), GEOMETRY, skeleton=POINT)
    assert found.scores.tolist() == pytest.approx([1, 1, 1], abs=1e-3)
    order = np.argsort(found.people[:, 0, 1])
    np.testing.assert_allclose(found.people[order, 0, :2], people[:, 0, :2], atol=0.1)


def test_the_best_people_of_noise_are_kept() -> None:
    """Noise on the maps of many parts gives thousands of single points, each a person with places for all parts."""
    rng = np.random.default_rng(0)
    skeleton = numbered(200)
    heatmaps = rng.uniform(0, 1, (2, 201, 24, 24)).astype(np.float32)
    heatmaps[1, 3:] = 0
    noisy, quiet = decode_batch(torch.from_numpy(heatmaps), torch.zeros(2, 0, 24, 24), GEOMETRY, skeleton=skeleton)
    everything = plain_decode.decode(heatmaps[0], np.zeros((0, 24, 24)), GEOMETRY, skeleton=skeleton)
    assert len(everything.people) > 2 * MOST_PEOPLE
    np.testing.assert_allclose(noisy.scores, everything.scores[:MOST_PEOPLE], atol=1e-9)
    assert (noisy.people[..., 2] > 0).sum() == MOST_PEOPLE
    assert_equal(quiet, plain_decode.decode(heatmaps[1], np.zeros((0, 24, 24)), GEOMETRY, skeleton=skeleton))


# --- the oracle -----------------------------------------------------------------------------------------------------


def hand(rng: np.random.Generator, x: float, y: float, side: float) -> np.ndarray:
    """A spread hand (21, 3) in a box: fingers of four joints away from the wrist."""
    points = np.full((21, 3), 2.0)
    points[0, :2] = x + side / 2, y + side
    for finger in range(5):
        angle = math.radians(-150 + 30 * finger + rng.uniform(-6, 6))
        for joint in range(4):
            reach = side * (0.24 + 0.1 * joint)
            points[4 * finger + joint + 1, :2] = points[0, :2] + reach * np.array([math.cos(angle), math.sin(angle)])
    return points


def face(rng: np.random.Generator, x: float, y: float, side: float) -> np.ndarray:
    """Points (68, 3) along a winding line that fills a box row by row: neighbours are a ninth of the side apart."""
    points = np.full((68, 3), 2.0)
    for number in range(68):
        row, column = divmod(number, 9)
        column = column if row % 2 == 0 else 8 - column
        points[number, :2] = x + side * (column + 0.5) / 9, y + side * (row + 0.5) / 9
    points[:, :2] += rng.uniform(-0.1, 0.1, (68, 2)) * side / 9
    return points


def similarity(found: np.ndarray, true: np.ndarray, skeleton: Skeleton) -> float:
    """OKS of an object whose points are all labelled; its area is that of the box of its points."""
    area = np.prod(np.ptp(true[:, :2], axis=0))
    squares = ((found[:, :2] - true[:, :2]) ** 2).sum(axis=1)
    return float((np.exp(-squares / (2 * area * (2 * skeleton.oks_sigmas) ** 2)) * (found[:, 2] > 0)).mean())


@pytest.mark.parametrize(("skeleton", "shape"), [(HAND, hand), (FACE, face)], ids=["hand", "face"])
@pytest.mark.parametrize("number", [1, 2])
def test_perfect_maps_give_the_objects_back(skeleton: Skeleton, shape: object, number: int) -> None:
    """Every object at the strictest OKS threshold of the AP, 0.95, in an input of 368 pixels with cells of 8."""
    geometry = InputSettings(size=368, stride=8)
    similarities = []
    for seed in range(10):
        rng = np.random.default_rng(seed)
        side = 340 / number
        people = np.stack([shape(rng, 14 + side * column, 14 + side * column, side * 0.9) for column in range(number)])
        found = decode(*targets(people, skeleton, geometry), geometry, skeleton=skeleton)
        similarities += [max(similarity(other, person, skeleton) for other in found.people) for person in people]
        assert len(found.people) == number
    assert min(similarities) >= 0.95


def test_fragments_follow_the_limbs_of_the_skeleton() -> None:
    person = np.ones((21, 3))
    person[6] = 0
    pieces = sorted(np.flatnonzero(piece[:, 2]).tolist() for piece in connected_fragments(person, HAND))
    assert pieces == [[number for number in range(21) if number not in (6, 7, 8)], [7, 8]]
    assert len(list(connected_fragments(np.ones((1, 3)), POINT))) == 1


# --- mirror images --------------------------------------------------------------------------------------------------


@few(33, of=100)
@given(skeletons(most=12), SEED, st.integers(0, 3))
def test_flipped_maps_are_the_maps_of_the_mirrored_people(skeleton: Skeleton, seed: int, number: int) -> None:
    people = crowd(np.random.default_rng(seed), skeleton, number, GEOMETRY.size)
    mirrored = people[:, skeleton.flipped_parts].copy()
    mirrored[..., 0] = np.where(mirrored[..., 2] > 0, GEOMETRY.size - 1 - mirrored[..., 0], 0)
    flipped = flipped_maps(maps_of(people, skeleton), skeleton)
    expected = maps_of(mirrored, skeleton)
    np.testing.assert_allclose(flipped.heatmaps, expected.heatmaps, atol=1e-5)
    known = np.repeat([image >= 0 for image, _ in skeleton.flipped_limbs], 2).astype(bool)
    np.testing.assert_allclose(flipped.pafs[:, known], expected.pafs[:, known], atol=1e-5)
    assert not flipped.pafs[:, ~known].any()


def test_signs_by_hand() -> None:
    """Of limbs nose-left, nose-right, right-left and ear-left: the third runs back in the mirror, the last is none."""
    fields = torch.arange(1.0, 9).view(1, 8, 1, 1).expand(1, 8, 2, 2)
    flipped = flipped_maps(Maps(torch.zeros(1, 5, 2, 2), fields), SIDED)
    assert flipped.pafs[0, :, 0, 0].tolist() == [-3, 4, -1, 2, 5, -6, 0, 0]


class Linear(torch.nn.Module):
    """Stands for a network of the skeleton: maps that depend on the picture, in no symmetric way."""

    size_multiple = 1

    def __init__(self, skeleton: Skeleton) -> None:
        super().__init__()
        self.skeleton = skeleton
        generator = torch.Generator().manual_seed(0)
        channels = skeleton.num_heatmaps + skeleton.num_pafs
        self.weight = torch.randn((channels, 3, 3, 3), generator=generator)

    def forward(self, images: torch.Tensor) -> list[Maps]:
        maps = torch.nn.functional.conv2d(images.float(), self.weight, padding=1)
        return [Maps(maps[:, : self.skeleton.num_heatmaps], maps[:, self.skeleton.num_heatmaps :])]


def test_a_mirror_image_has_the_mirrored_maps_but_for_limbs_without_one(one_thread: None) -> None:
    network = Linear(SIDED)
    images = torch.randint(0, 256, (2, 3, 8, 8), generator=torch.Generator().manual_seed(1), dtype=torch.uint8)
    maps = averaged_maps(network, [images], flip=True)
    of_mirror = averaged_maps(network, [images.flip(-1)], flip=True)
    heatmaps, pafs = flipped_maps(maps, SIDED)
    assert torch.equal(heatmaps, of_mirror.heatmaps)
    assert torch.equal(pafs[:, :6], of_mirror.pafs[:, :6])
    assert torch.equal(maps.pafs[:, 6:], network(images)[-1].pafs[:, 6:]), "the last limb keeps its own map"
    assert not torch.equal(maps.pafs[:, :6], network(images)[-1].pafs[:, :6])


def test_a_flip_is_refused_where_nothing_is_mirrored() -> None:
    network = build_network("small", seed=0)
    network.skeleton = HAND
    with pytest.raises(SettingsError, match=r"flip: the skeleton 'thing' .* no mirror pairs"):
        Averaging(flip=True).geometries(GEOMETRY, network)
    assert Averaging(flip=False).geometries(GEOMETRY, network) == (GEOMETRY,)


# --- loss -----------------------------------------------------------------------------------------------------------


def batch_of(skeleton: Skeleton) -> Batch:
    people = torch.from_numpy(crowd(np.random.default_rng(0), skeleton, 2, GEOMETRY.size))
    sample = Batch(
        images=torch.zeros(3, 64, 64, dtype=torch.uint8),
        heatmaps=None,
        pafs=None,
        mask=torch.ones(1, 16, 16, dtype=torch.uint8),
        people=people,
        warps=torch.zeros(2, 3, dtype=torch.float64),
        image_ids=torch.tensor(1),
    )
    return to_device(collate([sample, sample]), torch.device("cpu"), GEOMETRY, skeleton)


@pytest.mark.parametrize("weight", [1.0, 4.0])
def test_fields_of_no_channel_cost_nothing(weight: float) -> None:
    batch = batch_of(POINT)
    heatmaps, pafs = torch.zeros(2, 2, 16, 16).requires_grad_(), torch.zeros(2, 0, 16, 16).requires_grad_()
    loss, terms = pose_loss([Maps(heatmaps, pafs)], batch, foreground_weight=weight)
    assert terms["stage1_pafs"].item() == 0
    assert loss.item() == terms["stage1_heatmaps"].item() > 0
    factors = gradient_factors("mean", GEOMETRY, POINT)
    sum(term * factors[name.rpartition("_")[2]] for name, term in terms.items()).backward()
    assert heatmaps.grad.isfinite().all()
    assert heatmaps.grad.any()


def test_the_mean_is_over_the_skeletons_channels() -> None:
    assert gradient_factors("mean", GEOMETRY, HAND) == {"heatmaps": 2 / 22, "pafs": 2 / 40}


def test_the_background_is_the_last_heatmap() -> None:
    (maps,) = background_maps([Maps(torch.rand(2, 22, 4, 4), torch.rand(2, 40, 4, 4))])
    assert (maps.heatmaps[:, -1] == 1).all()
    assert not maps.heatmaps[:, :-1].any()
    batch = batch_of(HAND)
    loss, _ = pose_loss([Maps(batch.heatmaps.float(), batch.pafs.float())], batch, foreground_weight=3)
    assert loss.item() == 0


# --- samples --------------------------------------------------------------------------------------------------------


def test_a_flip_exchanges_the_mirror_pairs_of_the_skeleton() -> None:
    people = np.array([[[1.0, 1, 2], [2, 2, 2], [3, 3, 2], [4, 4, 2]]])
    flipped = Warp(np.eye(2, 3), flipped=True).people(people, SIDED)
    assert flipped[0, :, 0].tolist() == [1, 3, 2, 4]


def test_pictures_without_mirror_pairs_are_never_flipped(coco_builder: CocoBuilder) -> None:
    """All else is drawn as before: with the flip, the sample is the mirror image of the one without."""
    coco_builder.image("train", 1, 96, 96)
    coco_builder.person("train", 1, box=(10, 10, 60, 70))
    split = open_split(coco_builder.write(), "train")
    always = AugmentSettings(flip=1)
    flipped, still = (
        PoseDataset(each, GEOMETRY, augment=always)[0]
        for each in (split, replace(split, skeleton=replace(split.skeleton, mirror=())))
    )
    assert np.linalg.det(still.warps[:, :2].numpy()) > 0 > np.linalg.det(flipped.warps[:, :2].numpy())
    labelled = still.people[..., 2] > 0
    mirrored = flipped.people[:, split.skeleton.flipped_parts]
    torch.testing.assert_close(GEOMETRY.size - 1 - mirrored[labelled][:, 0], still.people[labelled][:, 0])
    torch.testing.assert_close(mirrored[labelled][:, 1:], still.people[labelled][:, 1:])
    torch.testing.assert_close(flipped.images.flip(-1), still.images, atol=2, rtol=0)


def test_a_worker_delivers_fields_of_no_channel(coco_builder: CocoBuilder) -> None:
    for image in (1, 2):
        coco_builder.image("train", image, 96, 96)
        coco_builder.person("train", image, box=(10, 10, 60, 70))
    split = open_split(coco_builder.write(), "train")
    without_limbs = replace(split, skeleton=replace(split.skeleton, limbs=()))
    settings = LoaderSettings(batch_size=2, num_workers=1, start_method="fork")
    (batch,) = validation_loader(without_limbs, GEOMETRY, settings)
    assert batch.pafs.shape == (2, 0, 16, 16)
    assert batch.heatmaps.shape == (2, 19, 16, 16)
