"""Backbones: VGG19's front with its ImageNet weights, and convolution blocks that several networks share."""

from pathlib import Path

import torch
from torch import nn

from posemodel.errors import CheckpointError, SettingsError
from posemodel.network.initial_weights import zero_bias
from posemodel.network.state_files import read_state

VGG19_FIRST_TEN = (64, 64, "pool", 128, 128, "pool", 256, 256, 256, 256, "pool", 512, 512)
"""Widths of conv1_1 to conv4_2 of VGG19 (Simonyan and Zisserman, 2014), the backbone of the 2017 network."""


class Vgg19Front(nn.Sequential):
    """First ten convolutions of VGG19: (B, 3, H, W) -> (B, 512, H/8, W/8); layers are numbered as in torchvision."""


def vgg19_first_ten(*, last_rectifier: bool = True) -> Vgg19Front:
    """Build the front with initial weights; without ``last_rectifier`` the ReLU after conv4_2 is left out."""
    layers: list[nn.Module] = []
    channels = 3
    for width in VGG19_FIRST_TEN:
        if width == "pool":
            layers.append(nn.MaxPool2d(2, 2))
        else:
            convolution = nn.Conv2d(channels, int(width), 3, padding=1)
            nn.init.kaiming_normal_(convolution.weight, mode="fan_out", nonlinearity="relu")
            zero_bias(convolution)
            layers += [convolution, nn.ReLU(inplace=True)]
            channels = int(width)
    return Vgg19Front(*(layers if last_rectifier else layers[:-1]))


def read_vgg19_front(path: Path) -> dict[str, torch.Tensor]:
    """Read the front's entries (`features.N.weight`, `features.N.bias`) from torchvision's VGG19 state dict.

    A file that `posebench weights import` wrote is accepted too. Raises CheckpointError if the file does not fit.
    """
    with torch.device("meta"):
        own = {f"features.{key}": value for key, value in vgg19_first_ten().state_dict().items()}
    state = read_state(path)
    for key, value in own.items():
        if key not in state.tensors:
            raise CheckpointError(
                f"{path}: has no entry {state.original_key(key)}; expected torchvision's VGG19 (without batch norm)."
            )
        shape = state.tensors[key].shape
        if shape != value.shape:
            raise CheckpointError(
                f"{path}: {state.original_key(key)} has shape {tuple(shape)}, VGG19's is {tuple(value.shape)}."
            )
    surplus = next((key for key in state.tensors if not key.startswith(("features.", "classifier."))), None)
    if surplus is not None:
        raise CheckpointError(f"{path}: has {state.original_key(surplus)}, which torchvision's VGG19 does not have.")
    return {key: state.tensors[key] for key in own}


def load_vgg19_weights(backbone: nn.Module, path: Path) -> None:
    """Load torchvision's VGG19 state dict, or an imported one, into a backbone.

    Raises:
        CheckpointError: The file does not fit.
        SettingsError: The backbone is not VGG19's front.
    """
    if not isinstance(backbone, Vgg19Front):
        raise SettingsError("backbone_weights: the backbone of this network is not VGG19.")
    front = read_vgg19_front(path)
    backbone.load_state_dict({key: front[f"features.{key}"] for key in backbone.state_dict()})


def conv_norm(
    channels_in: int, channels_out: int, *, kernel: int = 3, stride: int = 1, dilation: int = 1, bias: bool = False
) -> nn.Sequential:
    """Build convolution, batch norm and ReLU; at stride 1 height and width stay the same."""
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
    """Two 3x3 convolutions with a shortcut around them (He et al., 2015); keeps the shape (B, C, H, W)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = conv_norm(channels, channels)
        convolution, norm, _ = conv_norm(channels, channels)
        self.second = nn.Sequential(convolution, norm)
        # The block starts as the identity, so that the first steps of any optimizer see an unbroken path.
        assert isinstance(norm, nn.BatchNorm2d)
        nn.init.zeros_(norm.weight)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(B, C, H, W) -> (B, C, H, W)."""
        return torch.relu(x + self.second(self.first(x)))
