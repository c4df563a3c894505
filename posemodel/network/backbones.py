"""Feature extractors: the part of a network that may come with ImageNet weights and may stay frozen."""

from pathlib import Path

import torch
from torch import nn

from posemodel.errors import CheckpointError

VGG19_FIRST_TEN = (64, 64, "pool", 128, 128, "pool", 256, 256, 256, 256, "pool", 512, 512)
"""conv1_1 to conv4_2 of VGG19 (Simonyan and Zisserman, 2014), the front of the 2017 network."""


def vgg19_first_ten() -> nn.Sequential:
    """VGG19's first ten convolutions: (B, 3, H, W) -> (B, 512, H/8, W/8); layers are numbered as in torchvision."""
    layers: list[nn.Module] = []
    channels = 3
    for width in VGG19_FIRST_TEN:
        if width == "pool":
            layers.append(nn.MaxPool2d(2, 2))
        else:
            convolution = nn.Conv2d(channels, int(width), 3, padding=1)
            nn.init.kaiming_normal_(convolution.weight, mode="fan_out", nonlinearity="relu")
            nn.init.zeros_(convolution.bias)
            layers += [convolution, nn.ReLU(inplace=True)]
            channels = int(width)
    return nn.Sequential(*layers)


def load_vgg19_weights(backbone: nn.Sequential, path: Path) -> None:
    """Load torchvision's VGG19 state dict (`features.N.weight`); CheckpointError if it does not fit."""
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        raise CheckpointError(f"{path}: cannot be read as a PyTorch state dict ({type(error).__name__}).") from error
    own = backbone.state_dict()
    for key, value in own.items():
        foreign = state.get(f"features.{key}") if isinstance(state, dict) else None
        if not isinstance(foreign, torch.Tensor):
            raise CheckpointError(f"{path}: has no entry features.{key}; expected torchvision's VGG19 (without norms).")
        if foreign.shape != value.shape:
            raise CheckpointError(
                f"{path}: features.{key} has shape {tuple(foreign.shape)}, VGG19's is {tuple(value.shape)}."
            )
    backbone.load_state_dict({key: state[f"features.{key}"] for key in own})


def conv_norm(
    channels_in: int, channels_out: int, *, kernel: int = 3, stride: int = 1, dilation: int = 1
) -> nn.Sequential:
    """Convolution, batch norm, ReLU; keeps H, W at stride 1."""
    convolution = nn.Conv2d(
        channels_in,
        channels_out,
        kernel,
        stride=stride,
        padding=dilation * (kernel // 2),
        dilation=dilation,
        bias=False,
    )
    nn.init.kaiming_normal_(convolution.weight, mode="fan_out", nonlinearity="relu")
    return nn.Sequential(convolution, nn.BatchNorm2d(channels_out), nn.ReLU(inplace=True))


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions beside a shortcut (He et al., 2015); keeps the shape (B, C, H, W)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = conv_norm(channels, channels)
        self.second = conv_norm(channels, channels)[:2]
        # Starts as the identity: any optimizer's first steps see an unbroken path.
        nn.init.zeros_(self.second[1].weight)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(B, C, H, W) -> (B, C, H, W)."""
        return torch.relu(x + self.second(self.first(x)))
