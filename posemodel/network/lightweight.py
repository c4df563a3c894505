"""Networks `lightweight`, `lightweight_2`, `lightweight_3` for CPUs: MobileNet's front and 1 to 3 refinement stages.

Source: Osokin, "Real-time 2D Multi-Person Pose Estimation on CPU: Lightweight OpenPose", ICPRAM 2019, section 3; the
front is that of Howard et al., "MobileNets", 2017, at stride 8 with a dilated convolution.
"""

import torch
from torch import nn

from posemodel.network.backbones import conv_norm
from posemodel.network.base import Maps, PoseNetwork
from posemodel.network.initial_weights import NoMaps, init_convolutions, init_map_head
from posemodel.skeleton import COCO_PERSON, Skeleton

FEATURES = 128
"""Channels of the features that all stages see, and of the convolutions inside a stage."""
INITIAL_HEAD = 512
"""Channels of the layer before the maps in the initial stage; in a refinement stage it has ``FEATURES`` channels."""
REFINEMENT_BLOCKS = 5
"""Blocks in a refinement stage."""
FRONT = ((64, 1, 1), (128, 2, 1), (128, 1, 1), (256, 2, 1), (256, 1, 1), (512, 1, 1), (512, 1, 2)) + ((512, 1, 1),) * 4
"""Width, stride and dilation of MobileNet's separable convolutions up to conv5_5, after a first one to 32 channels."""


def _separable_norm(channels_in: int, channels_out: int, stride: int, dilation: int) -> nn.Sequential:
    """Build a depthwise 3x3 and a pointwise 1x1 convolution, each with batch norm and ReLU."""
    depthwise = nn.Conv2d(
        channels_in, channels_in, 3, stride, padding=dilation, dilation=dilation, groups=channels_in, bias=False
    )
    nn.init.kaiming_normal_(depthwise.weight, nonlinearity="relu")
    pointwise = conv_norm(channels_in, channels_out, kernel=1)
    return nn.Sequential(depthwise, nn.BatchNorm2d(channels_in), nn.ReLU(inplace=True), *pointwise)


def _separable_elu(channels: int) -> nn.Sequential:
    """Build a depthwise 3x3 and a pointwise 1x1 convolution, each with ELU."""
    depthwise = nn.Conv2d(channels, channels, 3, padding=1, groups=channels, bias=False)
    pointwise = nn.Conv2d(channels, channels, 1, bias=False)
    return nn.Sequential(depthwise, nn.ELU(inplace=True), pointwise, nn.ELU(inplace=True))


def _rectified(channels_in: int, channels_out: int, kernel: int) -> nn.Sequential:
    """Build a convolution with ReLU that keeps height and width."""
    return nn.Sequential(nn.Conv2d(channels_in, channels_out, kernel, padding=kernel // 2), nn.ReLU(inplace=True))


def _head(width: int, channels_out: int, *, heatmaps: bool) -> nn.Module:
    """Build the two 1x1 convolutions from features to maps."""
    if not channels_out:
        return NoMaps()
    hidden, maps = _rectified(FEATURES, width, 1), nn.Conv2d(width, channels_out, 1)
    head = nn.Sequential(*hidden, maps)
    init_convolutions(head)
    init_map_head(maps, heatmaps=heatmaps)
    return head


class Alignment(nn.Module):
    """Reduces the front's features to the width of the stages: (B, 512, H, W) -> (B, 128, H, W)."""

    def __init__(self, channels_in: int) -> None:
        super().__init__()
        self.align = _rectified(channels_in, FEATURES, 1)
        self.trunk = nn.Sequential(*(_separable_elu(FEATURES) for _ in range(3)))
        self.merge = _rectified(FEATURES, FEATURES, 3)
        init_convolutions(self)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(B, 512, H, W) -> (B, 128, H, W)."""
        x = self.align(x)
        merged: torch.Tensor = self.merge(x + self.trunk(x))
        return merged


class RefinementBlock(nn.Module):
    """A 1x1 convolution and a residual branch of two 3x3 ones, the second dilated: a cheap 7x7 receptive field."""

    def __init__(self, channels_in: int) -> None:
        super().__init__()
        self.initial = _rectified(channels_in, FEATURES, 1)
        self.trunk = nn.Sequential(
            conv_norm(FEATURES, FEATURES, bias=True), conv_norm(FEATURES, FEATURES, dilation=2, bias=True)
        )
        init_convolutions(self)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(B, channels_in, H, W) -> (B, 128, H, W)."""
        x = self.initial(x)
        refined: torch.Tensor = x + self.trunk(x)
        return refined


class Stage(nn.Module):
    """A trunk with two heads, one for heatmaps and one for PAFs."""

    def __init__(self, trunk: nn.Sequential, head_width: int, skeleton: Skeleton) -> None:
        super().__init__()
        self.trunk = trunk
        self.heatmaps = _head(head_width, skeleton.num_heatmaps, heatmaps=True)
        self.pafs = _head(head_width, skeleton.num_pafs, heatmaps=False)

    def forward(self, x: torch.Tensor) -> Maps:
        """Return the maps for features, which are concatenated with the earlier stage's maps if there is one."""
        features = self.trunk(x)
        return Maps(self.heatmaps(features), self.pafs(features))


def _initial_stage(skeleton: Skeleton) -> Stage:
    trunk = nn.Sequential(*(_rectified(FEATURES, FEATURES, 3) for _ in range(3)))
    init_convolutions(trunk)
    return Stage(trunk, INITIAL_HEAD, skeleton)


def _refinement_stage(skeleton: Skeleton) -> Stage:
    channels_in = FEATURES + skeleton.num_heatmaps + skeleton.num_pafs
    blocks = (RefinementBlock(FEATURES if number else channels_in) for number in range(REFINEMENT_BLOCKS))
    return Stage(nn.Sequential(*blocks), FEATURES, skeleton)


class Lightweight(PoseNetwork):
    """Lightweight OpenPose, 4,091,698 parameters for COCO's people; refinement sees [features, heatmaps, PAFs]."""

    stride = 8
    size_multiple = 8
    default_size = 368
    refinements = 1

    def __init__(self, skeleton: Skeleton = COCO_PERSON) -> None:
        super().__init__(skeleton)
        front, channels = [conv_norm(3, 32, stride=2)], 32
        for width, stride, dilation in FRONT:
            front.append(_separable_norm(channels, width, stride, dilation))
            channels = width
        self.backbone = nn.Sequential(*front)
        self.adapt = Alignment(channels)
        self.initial_stage = _initial_stage(skeleton)
        self.refinement_stages = nn.ModuleList(_refinement_stage(skeleton) for _ in range(self.refinements))

    def later_stages(self) -> list[nn.Module]:
        """Return the refinement stages."""
        return list(self.refinement_stages)

    def stages(self, images: torch.Tensor) -> list[Maps]:
        """Return the initial and the refined maps (B, channels, S/8, S/8) for normalized images (B, 3, S, S)."""
        features = self.adapt(self.backbone(images))
        maps: list[Maps] = [self.initial_stage(features)]
        for stage in self.refinement_stages:
            maps.append(stage(torch.cat([features, *maps[-1].complete()], dim=1)))
        return maps


class Lightweight2(Lightweight):
    """Lightweight OpenPose with two refinement stages and 5,700,331 parameters for COCO's people."""

    refinements = 2


class Lightweight3(Lightweight):
    """Lightweight OpenPose with three refinement stages and 7,308,964 parameters for COCO's people."""

    refinements = 3
