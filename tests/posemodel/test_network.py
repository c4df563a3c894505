import copy
from pathlib import Path

import pytest
import torch
from torch import nn

from posemodel.config import LoaderSettings
from posemodel.data.dataset import PoseDataset
from posemodel.data.loader import build_loader
from posemodel.data.open_split import open_split
from posemodel.errors import CheckpointError, SettingsError
from posemodel.network import NETWORKS, build_network, input_geometry
from posemodel.network.backbones import load_vgg19_weights, vgg19_first_ten
from posemodel.network.cost import network_cost
from posemodel.network.input_format import CAFFE, IMAGENET
from posemodel.network.rtpose_vgg import RtposeVgg
from posemodel.skeleton import COCO_PERSON
from posemodel.training.loss import pose_loss
from tests.support.long_tests import long

VGG_CONVOLUTIONS = (0, 2, 5, 7, 10, 12, 14, 16, 19, 21)
"""Numbers of VGG19's first ten convolutions in torchvision's `features`."""
RTPOSE_VGG_GMACS = 135.9
"""Multiply-accumulates at 368, in 10^9 (Cao et al., 2017)."""


def images(number: int, size: int) -> torch.Tensor:
    return torch.randint(0, 256, (number, 3, size, size), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


# --- size and cost --------------------------------------------------------------------------------------------------


def test_rtpose_vgg_has_the_published_size_and_cost() -> None:
    cost = network_cost("rtpose_vgg", 368)
    assert cost["parameters"] == 52_311_446
    assert cost["gmacs"] == pytest.approx(RTPOSE_VGG_GMACS, abs=0.05)
    assert (cost["network"], cost["size"], cost["stride"]) == ("rtpose_vgg", 368, 8)


@pytest.mark.parametrize(
    ("name", "parameters", "gmacs"),
    [
        ("openpose_2019", 26_050_878, 80.3),
        ("lightweight", 4_091_698, 8.88),
        ("lightweight_2", 5_700_331, None),
        ("lightweight_3", 7_308_964, None),
    ],
)
def test_the_other_public_networks_have_their_size_and_cost(name: str, parameters: int, gmacs: float | None) -> None:
    cost = network_cost(name, 368)
    assert cost["parameters"] == parameters
    assert (cost["network"], cost["size"], cost["stride"]) == (name, 368, 8)
    if gmacs is not None:
        assert cost["gmacs"] == pytest.approx(gmacs, abs=0.5 * 10 ** (-2 if gmacs < 10 else -1))


def test_small_is_small() -> None:
    cost = network_cost("small")
    assert cost["parameters"] < 1e6
    assert cost["size"] == 256
    assert cost["gmacs"] == pytest.approx(4 * network_cost("small", 128)["gmacs"], rel=1e-6), "cost goes by the area"


def test_cost_counts_what_a_convolution_costs() -> None:
    """VGG's first layer alone: 368^2 x 3 x 3 x 3 x 64 = 0.234 GMACs is in the sum, and stays below it."""
    assert network_cost("rtpose_vgg", 64)["gmacs"] == pytest.approx(RTPOSE_VGG_GMACS * (64 / 368) ** 2, rel=1e-3)


# --- outputs --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "stages", "stride", "without_heatmaps"),
    [
        ("rtpose_vgg", 6, 8, 0),
        ("openpose_2019", 4, 8, 2),
        ("lightweight", 2, 8, 0),
        ("lightweight_2", 3, 8, 0),
        ("lightweight_3", 4, 8, 0),
        ("small", 2, 4, 0),
    ],
)
def test_output_shapes(name: str, stages: int, stride: int, without_heatmaps: int) -> None:
    with torch.device("meta"):
        network = build_network(name)
        maps = network(torch.zeros(2, 3, 96, 96, dtype=torch.uint8))
    assert network.stride == stride
    assert len(maps) == stages
    assert maps[-1].complete() == tuple(maps[-1])
    for number, stage in enumerate(maps):
        if number < without_heatmaps:
            assert stage.heatmaps is None
            with pytest.raises(ValueError, match="has no heatmaps"):
                stage.complete()
        else:
            assert stage.heatmaps.shape == (2, 19, 96 // stride, 96 // stride)
        assert stage.pafs.shape == (2, 38, 96 // stride, 96 // stride)


def test_small_computes_finite_maps_that_depend_on_the_image() -> None:
    network = build_network("small", seed=0).eval()
    with torch.inference_mode():
        first, other = network(images(2, 64))[-1].heatmaps
    assert torch.isfinite(first).all()
    assert not torch.equal(first, other)


@pytest.mark.parametrize("name", ["small", long("openpose_2019"), "lightweight"])
def test_a_new_network_begins_with_an_empty_picture(name: str) -> None:
    """Before its first step nobody is there: all maps near zero, the background near one."""
    network = build_network(name, seed=0).eval()
    with torch.inference_mode():
        found = network(images(2, 64))
    for maps in found:
        assert maps.pafs.abs().max() < 0.1
        if maps.heatmaps is None:
            continue
        assert (maps.heatmaps[:, COCO_PERSON.background] - 1).abs().max() < 0.1
        assert maps.heatmaps[:, : COCO_PERSON.num_parts].abs().max() < 0.1


def test_bf16_computes_in_bfloat16_and_keeps_weights_in_float32() -> None:
    network = build_network("small", seed=0).eval()
    exact = network(images(2, 64))[-1]
    network.precision = "bf16"
    rough = network(images(2, 64))[-1]
    assert (exact.heatmaps.dtype, rough.heatmaps.dtype) == (torch.float32, torch.bfloat16)
    torch.testing.assert_close(rough.pafs.float(), exact.pafs, rtol=0.1, atol=0.01)
    assert not torch.equal(rough.pafs.float(), exact.pafs)
    rough.heatmaps.float().sum().backward()
    assert all(
        p.dtype == torch.float32 and p.grad.dtype == torch.float32 for p in network.parameters() if p.grad is not None
    )


def test_images_are_normalised_by_imagenets_statistics() -> None:
    network = build_network("small", seed=0)
    grey = torch.tensor([124, 116, 104], dtype=torch.uint8).view(1, 3, 1, 1).expand(1, 3, 32, 32)
    assert network.normalize(grey).abs().max() < 0.01
    white = network.normalize(torch.full((1, 3, 32, 32), 255, dtype=torch.uint8))[0, :, 0, 0]
    assert white.tolist() == pytest.approx([(1 - 0.485) / 0.229, (1 - 0.456) / 0.224, (1 - 0.406) / 0.225], rel=1e-5)


def test_caffes_input_is_bgr_from_minus_a_half_to_a_half() -> None:
    network = build_network("small", seed=0)
    network.input_format = CAFFE
    pixel = torch.tensor([0, 64, 192], dtype=torch.uint8).view(1, 3, 1, 1).expand(2, 3, 32, 32)  # red, green, blue
    found = network.normalize(pixel)
    assert found[1, :, 5, 7].tolist() == [192 / 256 - 0.5, 64 / 256 - 0.5, -0.5]
    assert found.is_contiguous(memory_format=torch.channels_last)
    network.input_format = IMAGENET
    assert network.normalize(pixel)[1, :, 5, 7].tolist() == pytest.approx(
        [(0 - 123.675) / 58.395, (64 - 116.28) / 57.12, (192 - 103.53) / 57.375], rel=1e-5
    )


def test_the_input_format_reaches_the_maps_and_follows_the_network() -> None:
    network = build_network("small", seed=0).eval()
    network.input_format = CAFFE
    copied = copy.deepcopy(network)
    rgb = images(1, 64)
    with torch.inference_mode():
        found = copied(rgb)[-1].heatmaps
        by_hand = network.stages((rgb.flip(1).float() - 128) / 256)[-1].heatmaps
    assert copied.input_format == CAFFE
    torch.testing.assert_close(found, by_hand, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", list(NETWORKS))
def test_networks_are_built_for_imagenets_statistics(name: str) -> None:
    with torch.device("meta"):
        assert build_network(name).input_format == IMAGENET


@pytest.mark.parametrize("name", list(NETWORKS))
def test_every_parameter_gets_a_gradient(name: str) -> None:
    with torch.device("meta"):
        stages = (network := build_network(name).train())(torch.zeros(1, 3, 32, 32, dtype=torch.uint8))
        sum(maps.sum() for stage in stages for maps in stage if maps is not None).backward()
    assert [key for key, parameter in network.named_parameters() if parameter.grad is None] == []


@pytest.mark.parametrize(
    "name",
    ["lightweight", *map(long, ("openpose_2019", "lightweight_3"))],
)
def test_from_its_initial_weights_a_network_learns_a_batch(tiny_set: Path, name: str) -> None:
    """Every output that is supervised gets nearer; without batch norm the way there is not smooth, hence the lowest."""
    geometry = input_geometry(name, 48)
    dataset = PoseDataset(open_split(tiny_set, "train"), geometry)
    batch = next(iter(build_loader(dataset, LoaderSettings(batch_size=2), training=False)[0]))
    network = build_network(name, seed=0).to(memory_format=torch.channels_last).train()
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-4)
    losses = []
    for _ in range(8):
        loss, terms = pose_loss(network(batch.images), batch)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append({"sum": loss.item(), **{key: term.item() for key, term in terms.items()}})
    lowest = {key: min(each[key] for each in losses) / first for key, first in losses[0].items()}
    assert max(lowest.values()) < 0.9, lowest
    assert lowest["sum"] < 0.8


# --- weights from a seed --------------------------------------------------------------------------------------------


def test_the_same_seed_gives_the_same_weights_whatever_was_drawn_before() -> None:
    torch.manual_seed(1)
    first = build_network("small", seed=5).state_dict()
    assert not {"mean", "std"} & {*first}, "the input's format belongs to no weights"
    torch.randn(17)
    again = build_network("small", seed=5).state_dict()
    other = build_network("small", seed=6).state_dict()
    assert all(torch.equal(first[key], again[key]) for key in first)
    assert any(not torch.equal(first[key], other[key]) for key in first)


def test_building_with_a_seed_leaves_the_global_generator_alone() -> None:
    torch.manual_seed(1)
    expected = torch.randn(3)
    torch.manual_seed(1)
    build_network("small", seed=5)
    assert torch.equal(torch.randn(3), expected)


# --- names and sizes ------------------------------------------------------------------------------------------------


def test_unknown_networks_get_a_suggestion() -> None:
    with pytest.raises(SettingsError, match="Did you mean small"):
        build_network("smal")
    with pytest.raises(
        SettingsError, match="rtpose_vgg, openpose_2019, lightweight, lightweight_2, lightweight_3, small"
    ):
        input_geometry("zzz")


def test_sizes_that_do_not_fit_get_the_nearest_that_does() -> None:
    assert (input_geometry("small").size, input_geometry("rtpose_vgg").size) == (256, 368)
    with pytest.raises(SettingsError, match=r"multiple of 16, got 100. Try 96"):
        input_geometry("small", 100)
    with pytest.raises(SettingsError, match=r"multiple of 8, got 370. Try 368"):
        input_geometry("rtpose_vgg", 370)
    assert input_geometry("rtpose_vgg", 376).cells == 47
    for name in ("small", "rtpose_vgg"):
        with pytest.raises(SettingsError, match=r"got 3\. Try 32\."):
            input_geometry(name, 3)
        with pytest.raises(SettingsError, match=r"^size: must be at least 32 pixels, got 16\.$"):
            input_geometry(name, 16)
        assert input_geometry(name, 32).size == 32


# --- freezing -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", list(NETWORKS))
def test_freezing_stops_all_of_the_backbone_and_nothing_else(name: str) -> None:
    with torch.device("meta"):
        network = build_network(name).train()
    inside = {f"backbone.{key}" for key, _ in network.backbone.named_parameters()}
    assert inside
    network.freeze_backbone(True)
    for key, parameter in network.named_parameters():
        assert parameter.requires_grad == (key not in inside), key
    network.freeze_backbone(False)
    assert all(parameter.requires_grad for parameter in network.parameters())


def test_freezing_keeps_batch_norm_statistics_until_released() -> None:
    network = build_network("small", seed=0).train()
    network.freeze_backbone(True)
    before = {key: value.clone() for key, value in network.state_dict().items()}
    network.eval()
    network.train()  # a validation in between must not thaw it
    network(images(2, 32))
    after = network.state_dict()
    statistics = [key for key in before if "running" in key or "num_batches" in key]
    frozen = [key for key in statistics if key.startswith("backbone.")]
    assert frozen
    assert all(torch.equal(before[key], after[key]) for key in frozen)
    assert any(not torch.equal(before[key], after[key]) for key in set(statistics) - set(frozen))
    network.freeze_backbone(False)
    assert all(module.training for module in network.modules())
    network(images(2, 32))
    assert all(not torch.equal(before[key], network.state_dict()[key]) for key in frozen if "running_mean" in key)


def test_freezing_in_evaluation_mode_stays_in_evaluation_mode() -> None:
    network = build_network("small", seed=0).eval()
    network.freeze_backbone(True)
    network.freeze_backbone(False)
    assert not any(module.training for module in network.modules())


# --- ImageNet weights -----------------------------------------------------------------------------------------------


def imagenet_like() -> dict[str, torch.Tensor]:
    """Entries of torchvision's VGG19 state dict that matter here, and some that do not."""
    generator = torch.Generator().manual_seed(3)
    shapes = {key: value.shape for key, value in vgg19_first_ten().state_dict().items()}
    state = {f"features.{key}": torch.randn(shape, generator=generator) for key, shape in shapes.items()}
    return state | {"features.23.weight": torch.zeros(512, 512, 3, 3), "classifier.6.bias": torch.zeros(1000)}


@pytest.fixture(scope="module")
def state() -> dict[str, torch.Tensor]:
    return imagenet_like()


def test_backbone_layers_are_numbered_as_in_torchvision() -> None:
    layers = vgg19_first_ten()
    assert tuple(i for i, layer in enumerate(layers) if isinstance(layer, nn.Conv2d)) == VGG_CONVOLUTIONS
    assert [layers[i].out_channels for i in VGG_CONVOLUTIONS] == [64, 64, 128, 128, 256, 256, 256, 256, 512, 512]


def test_torchvisions_weights_are_loaded(tmp_path: Path, state: dict[str, torch.Tensor]) -> None:
    torch.save(state, tmp_path / "vgg19.pth")
    with torch.device("meta"):
        network = RtposeVgg()
    network.backbone.to_empty(device="cpu")
    load_vgg19_weights(network.backbone, tmp_path / "vgg19.pth")
    for number in VGG_CONVOLUTIONS:
        for kind in ("weight", "bias"):
            assert torch.equal(getattr(network.backbone[number], kind), state[f"features.{number}.{kind}"])


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("features.10.weight", None, "has no entry features.10.weight"),
        ("features.21.bias", torch.zeros(256), r"features.21.bias has shape \(256,\), VGG19's is \(512,\)"),
        ("features.0.weight", torch.zeros(64, 3, 7, 7), "features.0.weight has shape"),
        ("features.0.weight", "text", "features.0.weight"),
    ],
)
def test_weights_that_do_not_fit_are_named(
    tmp_path: Path, state: dict[str, torch.Tensor], key: str, value: object, said: str
) -> None:
    spoilt = {k: v for k, v in state.items() if k != key} | ({} if value is None else {key: value})
    torch.save(spoilt, tmp_path / "vgg19.pth")
    backbone = vgg19_first_ten()
    before = {k: v.clone() for k, v in backbone.state_dict().items()}
    with pytest.raises(CheckpointError, match=said) as caught:
        load_vgg19_weights(backbone, tmp_path / "vgg19.pth")
    assert str(tmp_path / "vgg19.pth") in str(caught.value)
    assert all(torch.equal(before[k], v) for k, v in backbone.state_dict().items()), "all or nothing"


def test_what_torchvisions_vgg19_has_not_is_refused(tmp_path: Path, state: dict[str, torch.Tensor]) -> None:
    torch.save(state | {"avgpool.weight": torch.zeros(1)}, tmp_path / "vgg19.pth")
    with pytest.raises(CheckpointError, match=r"has avgpool\.weight, which torchvision's VGG19 does not have"):
        load_vgg19_weights(vgg19_first_ten(), tmp_path / "vgg19.pth")


def test_openpose_2019_takes_the_same_front(tmp_path: Path, state: dict[str, torch.Tensor]) -> None:
    torch.save(state, tmp_path / "vgg19.pth")
    with torch.device("meta"):
        backbone = build_network("openpose_2019").backbone
    load_vgg19_weights(backbone.to_empty(device="cpu"), tmp_path / "vgg19.pth")
    assert torch.equal(backbone[21].weight, state["features.21.weight"])
    assert isinstance(vgg19_first_ten()[-1], nn.ReLU)
    assert isinstance(backbone[-1], nn.Conv2d), "what follows conv4_2 has a slope, which is not VGG's"


@pytest.mark.parametrize(
    ("content", "said"), [(None, "no such file"), (b"", "is empty"), (b"not a state dict", "is a text")]
)
def test_files_that_are_no_state_dict(tmp_path: Path, content: bytes | None, said: str) -> None:
    path = tmp_path / "weights.pth"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(CheckpointError, match=said):
        load_vgg19_weights(vgg19_first_ten(), path)


def test_a_list_instead_of_a_state_dict(tmp_path: Path) -> None:
    torch.save([1, 2], tmp_path / "weights.pth")
    with pytest.raises(CheckpointError, match=r"holds a list, no state dict"):
        load_vgg19_weights(vgg19_first_ten(), tmp_path / "weights.pth")
