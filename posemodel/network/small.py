"""Network `small`, for CPUs: under a million parameters, features at strides 8 and 16, two stages at stride 4."""

import torch
from torch import nn
from torch.nn import functional

from posemodel.network.backbones import ResidualBlock, conv_norm
from posemodel.network.base import Maps, PoseNetwork
from posemodel.network.initial_weights import HEAD_STD, zero_bias
from posemodel.skeleton import COCO_PERSON, Skeleton

WIDTHS = (16, 32, 64, 96)
"""Channels of the features at strides 2, 4, 8 and 16."""
UPSAMPLING = 2
"""Map cells per feature cell and axis, from stride 8 to 4 (sub-pixel convolution; Shi et al., 2016)."""


class _Encoder(nn.Module):
    """Encoder from (B, 3, S, S) to features at strides 8 and 16."""

    def __init__(self) -> None:
        super().__init__()
        two, four, eight, sixteen = WIDTHS
        self.stem = nn.Sequential(conv_norm(3, two, stride=2), conv_norm(two, four, stride=2))
        self.stride8 = nn.Sequential(conv_norm(four, eight, stride=2), ResidualBlock(eight))
        self.stride16 = nn.Sequential(
            conv_norm(eight, sixteen, stride=2), ResidualBlock(sixteen), ResidualBlock(sixteen)
        )

    def forward(self, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """(B, 3, S, S) -> (B, 64, S/8, S/8), (B, 96, S/16, S/16)."""
        eight = self.stride8(self.stem(images))
        return eight, self.stride16(eight)


class Small(PoseNetwork):
    """Small network: features of two strides are summed at stride 8; the second stage also sees the first's maps."""

    stride = 8 // UPSAMPLING
    size_multiple = 16
    default_size = 256

    def __init__(self, skeleton: Skeleton = COCO_PERSON) -> None:
        super().__init__(skeleton)
        width, top = WIDTHS[2], WIDTHS[3]
        maps = (skeleton.num_heatmaps + skeleton.num_pafs) * UPSAMPLING**2
        self.backbone = _Encoder()
        self.top = conv_norm(top, width, kernel=1)
        self.merge = ResidualBlock(width)
        self.first = nn.Conv2d(width, maps, 1)
        hidden = (conv_norm(width + maps, width, kernel=1), ResidualBlock(width))
        second_head = nn.Conv2d(width, maps, 1)
        self.second = nn.Sequential(*hidden, second_head)
        for head in (self.first, second_head):
            nn.init.normal_(head.weight, std=HEAD_STD)
            zero_bias(head)
            assert head.bias is not None
            # Nearly every cell is background; if its map started at 0, it would dominate the first steps' gradients.
            head.bias.data.view(-1, UPSAMPLING**2)[skeleton.background] = 1

    def later_stages(self) -> list[nn.Module]:
        """Return the second stage."""
        return [self.second]

    def stages(self, images: torch.Tensor) -> list[Maps]:
        """Return two stages of maps (B, channels, S/4, S/4) for normalized images (B, 3, S, S), S a multiple of 16."""
        eight, sixteen = self.backbone(images)
        features = self.merge(eight + functional.interpolate(self.top(sixteen), scale_factor=2, mode="nearest"))
        first = self.first(features)
        second = self.second(torch.cat([features, first], dim=1))
        shuffled = (functional.pixel_shuffle(maps, UPSAMPLING) for maps in (first, second))
        heatmaps = self.skeleton.num_heatmaps
        return [Maps(maps[:, :heatmaps], maps[:, heatmaps:]) for maps in shuffled]
