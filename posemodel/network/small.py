"""`small`: under a million parameters, for CPUs: a residual encoder-decoder at stride 4 with two supervised stages."""

import torch
from torch import nn
from torch.nn import functional

from posemodel.network.backbones import ResidualBlock, conv_norm
from posemodel.network.base import Maps, PoseNetwork
from posemodel.skeleton import NUM_HEATMAPS, NUM_PAFS

WIDTHS = (24, 48, 80, 128)
"""Channels at strides 2, 4, 8 and 16."""
FEATURES = 64


class _Encoder(nn.Module):
    """(B, 3, S, S) -> features at strides 4, 8, 16."""

    def __init__(self) -> None:
        super().__init__()
        two, four, eight, sixteen = WIDTHS
        self.stride4 = nn.Sequential(conv_norm(3, two, stride=2), conv_norm(two, four, stride=2), ResidualBlock(four))
        self.stride8 = nn.Sequential(conv_norm(four, eight, stride=2), ResidualBlock(eight))
        self.stride16 = nn.Sequential(conv_norm(eight, sixteen, stride=2), ResidualBlock(sixteen))

    def forward(self, images: torch.Tensor) -> list[torch.Tensor]:
        """(B, 3, S, S) -> [(B, 48, S/4, S/4), (B, 80, S/8, S/8), (B, 128, S/16, S/16)]."""
        four = self.stride4(images)
        eight = self.stride8(four)
        return [four, eight, self.stride16(eight)]


class Small(PoseNetwork):
    """Features of three resolutions are summed at stride 4; the second stage sees them beside the first one's maps."""

    stride = 4
    size_multiple = 16
    default_size = 256

    def __init__(self) -> None:
        super().__init__()
        self.backbone = _Encoder()
        self.lateral = nn.ModuleList(nn.Conv2d(width, FEATURES, 1) for width in WIDTHS[1:])
        self.merge8 = conv_norm(FEATURES, FEATURES)
        self.merge4 = conv_norm(FEATURES, FEATURES)
        maps = NUM_HEATMAPS + NUM_PAFS
        self.first = nn.Sequential(conv_norm(FEATURES, FEATURES), nn.Conv2d(FEATURES, maps, 1))
        self.second = nn.Sequential(
            conv_norm(FEATURES + maps, FEATURES),
            conv_norm(FEATURES, FEATURES, dilation=2),
            nn.Conv2d(FEATURES, maps, 1),
        )
        for head in (self.first[-1], self.second[-1]):
            # Maps are nearly empty: starting near zero spares the first steps.
            nn.init.normal_(head.weight, std=0.01)
            nn.init.zeros_(head.bias)

    def stages(self, images: torch.Tensor) -> list[Maps]:
        """Normalised images (B, 3, S, S), S a multiple of 16 -> two stages of maps (B, ., S/4, S/4)."""
        four, eight, sixteen = self.backbone(images)
        top = functional.interpolate(self.lateral[2](sixteen), scale_factor=2, mode="nearest")
        top = self.merge8(self.lateral[1](eight) + top)
        top = functional.interpolate(top, scale_factor=2, mode="nearest")
        features = self.merge4(self.lateral[0](four) + top)
        first = self.first(features)
        second = self.second(torch.cat([features, first], dim=1))
        return [Maps(maps[:, :NUM_HEATMAPS], maps[:, NUM_HEATMAPS:]) for maps in (first, second)]
