"""Network `rtpose_vgg`: two branches in six stages on VGG19's first ten convolutions.

Source: Cao et al., "Realtime Multi-Person 2D Pose Estimation using Part Affinity Fields", CVPR 2017, section 2.1.
"""

import torch
from torch import nn

from posemodel.network.backbones import vgg19_first_ten
from posemodel.network.base import Maps, PoseNetwork
from posemodel.network.initial_weights import NoMaps, zero_bias
from posemodel.skeleton import COCO_PERSON, Skeleton

FEATURES = 128
"""Channels of the features that all stages see."""
STAGES = 6
INITIAL_STD = 0.01
"""Standard deviation of initial weights outside VGG19, as published."""


def _branch(channels_in: int, widths: list[tuple[int, int]], channels_out: int) -> nn.Module:
    """Build a chain of (kernel, width) convolutions with ReLU, then a 1x1 convolution to the maps."""
    if not channels_out:
        return NoMaps()
    layers: list[nn.Module] = []
    for kernel, width in widths:
        layers += [nn.Conv2d(channels_in, width, kernel, padding=kernel // 2), nn.ReLU(inplace=True)]
        channels_in = width
    layers.append(nn.Conv2d(channels_in, channels_out, 1))
    return nn.Sequential(*layers)


class RtposeVgg(PoseNetwork):
    """OpenPose of 2017, 52,311,446 parameters for COCO's people; later stages refine [PAFs, heatmaps, features]."""

    stride = 8
    size_multiple = 8
    default_size = 368

    def __init__(self, skeleton: Skeleton = COCO_PERSON) -> None:
        super().__init__(skeleton)
        self.backbone = vgg19_first_ten()
        self.adapt = nn.Sequential(
            nn.Conv2d(512, 256, 3, padding=1),
            nn.ReLU(inplace=True),
            nn.Conv2d(256, FEATURES, 3, padding=1),
            nn.ReLU(inplace=True),
        )
        first = [(3, 128)] * 3 + [(1, 512)]
        later = [(7, 128)] * 5 + [(1, 128)]
        channels_in = FEATURES + skeleton.num_pafs + skeleton.num_heatmaps
        self.paf_branches = nn.ModuleList(
            _branch(FEATURES if stage == 0 else channels_in, later if stage else first, skeleton.num_pafs)
            for stage in range(STAGES)
        )
        self.heatmap_branches = nn.ModuleList(
            _branch(FEATURES if stage == 0 else channels_in, later if stage else first, skeleton.num_heatmaps)
            for stage in range(STAGES)
        )
        for part in (self.adapt, self.paf_branches, self.heatmap_branches):
            for module in part.modules():
                if isinstance(module, nn.Conv2d):
                    nn.init.normal_(module.weight, std=INITIAL_STD)
                    zero_bias(module)

    def later_stages(self) -> list[nn.Module]:
        """Return both branches of stages 2 to 6."""
        return [*self.paf_branches[1:], *self.heatmap_branches[1:]]

    def stages(self, images: torch.Tensor) -> list[Maps]:
        """Return six stages of maps (B, channels, S/8, S/8) for normalized images (B, 3, S, S)."""
        features = self.adapt(self.backbone(images))
        inputs, maps = features, []
        for paf_branch, heatmap_branch in zip(self.paf_branches, self.heatmap_branches, strict=True):
            heatmaps, pafs = heatmap_branch(inputs), paf_branch(inputs)
            maps.append(Maps(heatmaps, pafs))
            inputs = torch.cat([pafs, heatmaps, features], dim=1)
        return maps
