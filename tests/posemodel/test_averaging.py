"""Maps averaged over mirror images and sizes: exactly symmetric, and people stay where they are."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from posemodel.config import InputSettings
from posemodel.data.targets import make_heatmaps, make_pafs
from posemodel.errors import SettingsError
from posemodel.inference.averaging import Averaging, averaged_maps, flipped_maps, resized_maps
from posemodel.inference.decoder import decode
from posemodel.network import Maps, build_network
from posemodel.skeleton import COCO_PERSON
from tests.support.coco_builder import STANDING
from tests.support.examples import few
from tests.support.long_tests import long

NECK = COCO_PERSON.parts.index("neck")
SHOULDERS = [COCO_PERSON.parts.index(f"{side}_shoulder") for side in ("right", "left")]
GEOMETRY = InputSettings(size=128, stride=4)


def people_in(rng: np.random.Generator, size: int) -> np.ndarray:
    """One or two people (N, 18, 3) beside each other, each part at its own place within a cell."""
    count = int(rng.integers(1, 3))
    people = np.full((count, 18, 3), 2.0)
    for column, person in enumerate(people):
        width = size / count
        for name, (across, down) in STANDING.items():
            place = column * width + 4 + across * (width - 8), 4 + down * (size - 8)
            person[COCO_PERSON.parts.index(name), :2] = place
        person[:, :2] += rng.uniform(-2, 2, (18, 2))
        person[NECK, :2] = person[SHOULDERS, :2].mean(axis=0)
    return people


def targets(people: np.ndarray, geometry: InputSettings) -> Maps:
    maps = make_heatmaps(people, geometry), make_pafs(people, geometry)
    return Maps(*(torch.from_numpy(each)[None] for each in maps))


def mirrored(people: np.ndarray, size: int) -> np.ndarray:
    found = people[:, COCO_PERSON.flipped_parts].copy()
    found[..., 0] = size - 1 - found[..., 0]
    return found


def a_network():
    """The small network with lively weights: initial ones give nearly empty maps."""
    network = build_network("small", seed=3).eval()
    with torch.no_grad():
        for head in (network.first, network.second[-1]):
            head.weight.normal_(std=0.3, generator=torch.Generator().manual_seed(1))
    return network


class Answers(torch.nn.Module):
    """Stands for a network that finds exactly these people in every input, drawn at the input's own size."""

    def __init__(self, people: np.ndarray, geometry: InputSettings) -> None:
        super().__init__()
        self.people, self.geometry = people, geometry

    def forward(self, images: torch.Tensor) -> list[Maps]:
        factor = images.shape[-1] / self.geometry.size
        moved = self.people.copy()
        moved[..., :2] = (moved[..., :2] + 0.5) * factor - 0.5
        return [targets(moved, InputSettings(size=images.shape[-1], stride=self.geometry.stride))]


@few(16, of=50)
@given(st.integers(0, 2**32 - 1))
def test_flipped_maps_are_the_maps_of_the_mirrored_people(seed: int) -> None:
    people = people_in(np.random.default_rng(seed), GEOMETRY.size)
    flipped = flipped_maps(targets(people, GEOMETRY), COCO_PERSON)
    expected = targets(mirrored(people, GEOMETRY.size), GEOMETRY)
    np.testing.assert_allclose(flipped.heatmaps, expected.heatmaps, atol=1e-5)
    np.testing.assert_allclose(flipped.pafs, expected.pafs, atol=1e-5)


def test_flipping_twice_gives_the_maps_back() -> None:
    maps = Maps(torch.randn(2, 19, 6, 6), torch.randn(2, 38, 6, 6))
    for own, twice in zip(maps, flipped_maps(flipped_maps(maps, COCO_PERSON), COCO_PERSON), strict=True):
        assert torch.equal(own, twice)


@pytest.mark.parametrize("sizes", [(64,), (96, 64, 32)])
@pytest.mark.parametrize("seed", range(3))
def test_a_symmetric_scene_has_exactly_symmetric_maps(sizes: tuple[int, ...], seed: int, one_thread: None) -> None:
    network = a_network()
    generator = torch.Generator().manual_seed(seed)
    halves = [torch.randint(0, 256, (2, 3, size, size // 2), generator=generator, dtype=torch.uint8) for size in sizes]
    inputs = [torch.cat([half, half.flip(-1)], -1) for half in halves]
    with torch.inference_mode():
        maps = averaged_maps(network, inputs, flip=True)
        single = averaged_maps(network, inputs)
    for own, flipped in zip(maps, flipped_maps(maps, COCO_PERSON), strict=True):
        assert torch.equal(own, flipped)
    assert not torch.equal(single.pafs, flipped_maps(single, COCO_PERSON).pafs), "the network itself is not symmetric"


@pytest.mark.parametrize("sizes", [(64,), (96, 64)])
def test_the_mirror_image_has_exactly_the_mirrored_maps(sizes: tuple[int, ...], one_thread: None) -> None:
    network = a_network()
    generator = torch.Generator().manual_seed(0)
    inputs = [torch.randint(0, 256, (2, 3, size, size), generator=generator, dtype=torch.uint8) for size in sizes]
    with torch.inference_mode():
        maps = averaged_maps(network, inputs, flip=True)
        of_mirror = averaged_maps(network, [images.flip(-1) for images in inputs], flip=True)
    for own, other in zip(flipped_maps(maps, COCO_PERSON), of_mirror, strict=True):
        assert torch.equal(own, other)


def test_without_options_the_maps_are_the_network_s_own(one_thread: None) -> None:
    network, images = a_network(), torch.randint(0, 256, (2, 3, 64, 64), dtype=torch.uint8)
    with torch.inference_mode():
        for own, averaged in zip(network(images)[-1], averaged_maps(network, [images]), strict=True):
            assert torch.equal(own, averaged)


@pytest.mark.parametrize("stride", [4, 8])
@pytest.mark.parametrize("scales", [(1.0, 0.5), (1.0, 1.5), long((0.5, 1.0, 1.5)), long((2.0, 1.0, 0.75))], ids=str)
def test_people_found_at_several_sizes_are_where_they_are(stride: int, scales: tuple[float, ...]) -> None:
    """Within a quarter of a cell of the size asked for, and without a bias to any side."""
    geometry = InputSettings(size=256, stride=stride)
    differences = []
    for seed in range(12):
        people = people_in(np.random.default_rng(seed), geometry.size)
        sizes = Averaging(scales=scales).geometries(geometry, a_network())
        inputs = [torch.zeros(1, 3, each.size, each.size, dtype=torch.uint8) for each in sizes]
        maps = averaged_maps(Answers(people, geometry), inputs)
        found = decode(maps.heatmaps[0].numpy(), maps.pafs[0].numpy(), sizes[0]).people
        assert len(found) == len(people)
        assert (found[..., 2] > 0).all()
        xy = (found[..., :2] + 0.5) * geometry.size / sizes[0].size - 0.5
        order = np.argsort(xy[:, NECK, 0])
        differences.append((xy[order] - people[..., :2]).reshape(-1, 2))
    difference = np.concatenate(differences) / stride
    assert np.abs(difference).max() < 0.25
    assert np.abs(difference.mean(axis=0)).max() < 0.02


def test_a_resize_is_about_pixel_centres() -> None:
    """A ramp over the square stays the same ramp, whatever the grid; half a cell of shift would be 0.017 and more."""

    def ramp(cells: int) -> torch.Tensor:
        return ((torch.arange(cells) + 0.5) / cells).expand(1, 1, cells, cells)

    resized = resized_maps(Maps(ramp(12), ramp(12).transpose(2, 3)), 30)
    inside = slice(4, -4)
    for found, axis in zip(resized, (-1, -2), strict=True):
        difference = (found.transpose(axis, -1) - ramp(30))[..., inside]
        assert difference.abs().max() < 0.004, "PyTorch's cubic does not keep ramps to the bit"
        assert difference.mean().abs() < 1e-5


def test_sides_are_what_the_network_takes_and_the_largest_comes_first() -> None:
    network = a_network()
    geometries = Averaging(scales=(0.5, 1.0, 1.5)).geometries(InputSettings(size=160, stride=4), network)
    sizes = [each.size for each in geometries]
    assert sizes == [240, 160, 80]
    assert [each.size for each in Averaging(scales=(0.01,)).geometries(GEOMETRY, network)] == [32]
    with pytest.raises(SettingsError, match=r"1 and 1.02 of 128 pixels are both 128"):
        Averaging(scales=(1.0, 1.02)).geometries(GEOMETRY, network)


@pytest.mark.parametrize("scales", [(), (0.0,), (-1.0,), (float("nan"),), (float("inf"),), (1.0, 1.0)], ids=str)
def test_scales_that_make_no_sense_are_refused(scales: tuple[float, ...]) -> None:
    with pytest.raises(ValidationError):
        Averaging(scales=scales)


def test_the_swap_of_limbs_follows_from_the_parts() -> None:
    for limb, (start, end) in enumerate(COCO_PERSON.limbs):
        other, direction = COCO_PERSON.flipped_limbs[limb]
        assert direction == 1
        assert COCO_PERSON.limbs[other] == (COCO_PERSON.flipped_parts[start], COCO_PERSON.flipped_parts[end])
