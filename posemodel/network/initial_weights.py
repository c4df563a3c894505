"""Initial weights for training from scratch: activations keep their variance, and the first maps are nearly empty."""

from torch import nn

from posemodel.skeleton import BACKGROUND

HEAD_STD = 0.001
"""Standard deviation of the map heads' weights: as maps are nearly empty, a start near zero saves steps
(docs/decisions.md)."""


def zero_bias(convolution: nn.Conv2d) -> None:
    """Set the biases of a convolution to zero, if it has any."""
    if convolution.bias is not None:
        nn.init.zeros_(convolution.bias)


def init_convolutions(module: nn.Module, *, slope: float = 0.0) -> None:
    """Give every convolution in ``module`` Kaiming weights (He et al., 2015) and zero biases.

    ``slope`` is the rectifier's below zero: 0 for ReLU, 0.25 for a PReLU at its start.
    """
    for part in module.modules():
        if isinstance(part, nn.Conv2d):
            nn.init.kaiming_normal_(part.weight, a=slope, nonlinearity="leaky_relu")
            zero_bias(part)


def init_map_head(head: nn.Conv2d, *, heatmaps: bool) -> None:
    """Initialize the convolution that gives the maps so that they show nobody: near 0, and near 1 in the background."""
    nn.init.normal_(head.weight, std=HEAD_STD)
    zero_bias(head)
    if heatmaps and head.bias is not None:
        # Nearly every cell is background: learned from zero, it would dominate the first steps' gradients.
        head.bias.data[BACKGROUND] = 1
