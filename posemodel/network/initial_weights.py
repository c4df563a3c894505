"""Initial weights for training from scratch: layers keep the variance of activations; initial maps are nearly empty."""

import torch
from torch import nn

HEAD_STD = 0.001
"""Standard deviation of the map heads' weights: target maps are nearly empty, so a start near zero saves steps
(docs/decisions.md)."""


class NoMaps(nn.Module):
    """Head of a skeleton without limbs: features (B, C, H, W) -> PAFs (B, 0, H, W)."""

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Return no channel of the features: an empty tensor of their type, with their height and width."""
        return features[:, :0]


def zero_bias(convolution: nn.Conv2d) -> None:
    """Set the biases of a convolution to zero, if it has any."""
    if convolution.bias is not None:
        nn.init.zeros_(convolution.bias)


def init_convolutions(module: nn.Module, *, slope: float = 0.0) -> None:
    """Give every convolution in ``module`` Kaiming weights (He et al., 2015) and zero biases.

    ``slope`` is the rectifier's slope for negative inputs: 0 for ReLU, 0.25 for a PReLU with its initial weights.
    """
    for part in module.modules():
        if isinstance(part, nn.Conv2d):
            nn.init.kaiming_normal_(part.weight, a=slope, nonlinearity="leaky_relu")
            zero_bias(part)


def init_map_head(head: nn.Conv2d, *, heatmaps: bool) -> None:
    """Initialize the convolution that gives the maps so that they show no people: parts near 0, background near 1."""
    nn.init.normal_(head.weight, std=HEAD_STD)
    zero_bias(head)
    if heatmaps and head.bias is not None:
        # Nearly every cell is background; if its map started at 0, it would dominate the first steps' gradients.
        head.bias.data[-1] = 1
