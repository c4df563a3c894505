"""Weights before the first step: as wide as keeps the activations', no biases, and maps that show nobody."""

import math

import pytest
import torch
from torch import nn

from posemodel.network import build_network, openpose_2019, rtpose_vgg
from posemodel.network.backbones import ResidualBlock, conv_norm
from posemodel.network.initial_weights import NoMaps
from posemodel.skeleton import COCO_PERSON

HEADS = (19, 38, 4 * (19 + 38))
"""Channels of what gives maps; `small` makes four cells of each."""


def spread(name: str, key: str, layer: nn.Conv2d) -> float:
    """Standard deviation of a convolution's first weights: published, or He et al.'s for its rectifier."""
    inputs, outputs = layer.weight[0].numel(), layer.out_channels * layer.weight[0, 0].numel()
    if key.startswith("backbone."):
        return math.sqrt(2 / (inputs if layer.groups > 1 else outputs))
    if name == "rtpose_vgg":
        return 0.01
    if layer.out_channels in HEADS:
        return 0.001
    if name == "openpose_2019":
        return math.sqrt(2 / (1 + 0.25**2) / inputs)
    return math.sqrt(2 / (outputs if name == "small" else inputs))


@pytest.mark.parametrize("name", ["small", "lightweight", "openpose_2019", "rtpose_vgg"])
def test_weights_are_spread_as_published_and_biases_are_zero(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of the large networks with two stages: the others are like the second."""
    monkeypatch.setattr(rtpose_vgg, "STAGES", 2)
    monkeypatch.setattr(openpose_2019, "PAF_STAGES", 2)
    monkeypatch.setattr(openpose_2019, "HEATMAP_STAGES", 1)
    network = build_network(name, seed=0)
    seen = 0
    for key, layer in network.named_modules():
        if isinstance(layer, nn.PReLU):
            assert set(layer.weight.tolist()) == {0.25}, key
        if not isinstance(layer, nn.Conv2d):
            continue
        if layer.weight.numel() > 2000:
            seen += 1
            assert layer.weight.std().item() == pytest.approx(spread(name, key, layer), rel=0.05), key
            assert abs(layer.weight.mean().item()) < 0.1 * layer.weight.std().item(), key
        if layer.bias is not None:
            bias = layer.bias.detach().clone()
            if name == "small":
                bias.view(-1, 4)[COCO_PERSON.background] -= 1
            elif layer.out_channels == COCO_PERSON.num_heatmaps and name != "rtpose_vgg":
                bias[-1] -= 1
            assert not bias.any(), key
    assert seen > 10


def test_a_residual_block_begins_as_nothing_but_its_rectifier() -> None:
    block, images = ResidualBlock(3), torch.randn(2, 3, 5, 5)
    assert torch.equal(block(images), images.relu())
    assert block.second[0].weight.any(), "its norm alone is zero, so that it can learn"


def test_a_convolution_with_its_norm_has_a_bias_only_if_asked() -> None:
    convolution, norm, _ = conv_norm(3, 4)
    assert (convolution.bias, norm.bias.shape) == (None, (4,))
    assert conv_norm(3, 4, bias=True)[0].bias.shape == (4,)
    images = torch.zeros(1, 3, 9, 9)
    for options, side in (({}, 9), ({"kernel": 1}, 9), ({"dilation": 2}, 9), ({"stride": 2}, 5)):
        assert conv_norm(3, 4, **options)(images).shape == (1, 4, side, side), options


def test_without_limbs_there_are_no_maps_of_them() -> None:
    features = torch.ones(2, 5, 3, 4, dtype=torch.float16)
    assert NoMaps()(features).shape == (2, 0, 3, 4)
    assert NoMaps()(features).dtype == torch.float16
