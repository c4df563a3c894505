"""Feature extractors: the part of a network that may come with ImageNet weights and may stay frozen."""

from pathlib import Path

import torch
from torch import nn

from posemodel.errors import CheckpointError, SettingsError
from posemodel.network.state_files import read_state

VGG19_FIRST_TEN = (64, 64, "pool", 128, 128, "pool", 256, 256, 256, 256, "pool", 512, 512)
"""conv1_1 to conv4_2 of VGG19 (Simonyan and Zisserman, 2014), the front of the 2017 network."""


class Vgg19Front(nn.Sequential):
    """VGG19's first ten convolutions: (B, 3, H, W) -> (B, 512, H/8, W/8); layers are numbered as in torchvision."""


def vgg19_first_ten(*, last_rectifier: bool = True) -> Vgg19Front:
    """The front with initial weights; ``last_rectifier`` False leaves the ReLU after conv4_2 to the caller."""
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
    return Vgg19Front(*(layers if last_rectifier else layers[:-1]))


def read_vgg19_front(path: Path) -> dict[str, torch.Tensor]:
    """The front's entries (`features.N.weight`, `features.N.bias`) of torchvision's VGG19 state dict.

    Also of the file that `posebench weights import` makes of one; CheckpointError if it does not fit.
    """
    with torch.device("meta"):
        own = {f"features.{key}": value for key, value in vgg19_first_ten().state_dict().items()}
    state = read_state(path)
    for key, value in own.items():
        if key not in state.tensors:
            raise CheckpointError(
                f"{path}: has no entry {state.named(key)}; expected torchvision's VGG19 (without norms)."
            )
        found = state.tensors[key].shape
        if found != value.shape:
            raise CheckpointError(
                f"{path}: {state.named(key)} has shape {tuple(found)}, VGG19's is {tuple(value.shape)}."
            )
    surplus = next((key for key in state.tensors if not key.startswith(("features.", "classifier."))), None)
    if surplus is not None:
        raise CheckpointError(f"{path}: has {state.named(surplus)}, which torchvision's VGG19 has not.")
    return {key: state.tensors[key] for key in own}


def load_vgg19_weights(backbone: nn.Module, path: Path) -> None:
    """Load torchvision's VGG19 state dict, or an imported one; CheckpointError if it does not fit.

    SettingsError for the backbone of a network that is not built on VGG19.
    """
    if not isinstance(backbone, Vgg19Front):
        raise SettingsError("backbone_weights: the backbone of this network is not VGG19.")
    front = read_vgg19_front(path)
    backbone.load_state_dict({key: front[f"features.{key}"] for key in backbone.state_dict()})


def conv_norm(
    channels_in: int, channels_out: int, *, kernel: int = 3, stride: int = 1, dilation: int = 1, bias: bool = False
) -> nn.Sequential:
    """Convolution, batch norm, ReLU; keeps H, W at stride 1."""
    convolution = nn.Conv2d(
        channels_in,
        channels_out,
        kernel,
        stride=stride,
        padding=dilation * (kernel // 2),
        dilation=dilation,
        bias=bias,
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
