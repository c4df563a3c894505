"""Initial weights of networks that are trained from scratch: activations keep their size, the first maps are empty."""

from torch import nn

from posemodel.skeleton import BACKGROUND

HEAD_STD = 0.001
"""Maps are nearly empty: starting near zero spares the first steps (docs/decisions.md)."""


def keep_activations(module: nn.Module, *, slope: float = 0.0) -> None:
    """Kaiming weights (He et al., 2015) and zero biases in every convolution of ``module``.

    ``slope``: of the rectifier below zero: 0 for ReLU, 0.25 for a PReLU at its start.
    """
    for part in module.modules():
        if isinstance(part, nn.Conv2d):
            nn.init.kaiming_normal_(part.weight, a=slope, nonlinearity="leaky_relu")
            if part.bias is not None:
                nn.init.zeros_(part.bias)


def begin_empty(head: nn.Conv2d, *, heatmaps: bool) -> None:
    """Weights of the convolution that gives the maps, for an answer of nobody: zeros, and ones in the background."""
    nn.init.normal_(head.weight, std=HEAD_STD)
    nn.init.zeros_(head.bias)
    if heatmaps:
        # Nearly every cell is background: learned from zero, it would fill the first steps' gradients.
        head.bias.data[BACKGROUND] = 1
