"""Network `openpose_2019`: PAF stages before heatmap stages, with dense blocks of 3x3 convolutions instead of 7x7 ones.

Source: Cao et al., "OpenPose: Realtime Multi-Person 2D Pose Estimation using Part Affinity Fields", TPAMI 2019,
section 3.2, with four PAF and two heatmap stages.
"""

import torch
from torch import nn

from posemodel.network.backbones import vgg19_first_ten
from posemodel.network.base import Maps, PoseNetwork
from posemodel.network.initial_weights import NoMaps, init_convolutions, init_map_head
from posemodel.skeleton import COCO_PERSON, Skeleton

FEATURES = 128
"""Channels of the features that all stages see."""
PAF_STAGES = 4
HEATMAP_STAGES = 2
BLOCKS = 5
"""Dense blocks in a stage."""
FIRST_WIDTHS = (96, 256)
"""Channels inside a block and of the layer before the maps, in the first PAF stage and the first heatmap stage."""
LATER_WIDTHS = (128, 512)
"""Channels inside a block and of the layer before the maps, in the later stages."""
SLOPE = 0.25
"""Initial slope of every PReLU for negative inputs (He et al., 2015)."""


def _rectified(channels_in: int, channels_out: int, kernel: int) -> nn.Sequential:
    """Build a convolution with a PReLU (a slope for each channel) that keeps height and width."""
    convolution = nn.Conv2d(channels_in, channels_out, kernel, padding=kernel // 2)
    return nn.Sequential(convolution, nn.PReLU(channels_out, init=SLOPE))


class DenseBlock(nn.Sequential):
    """Three chained 3x3 convolutions with concatenated outputs, with the receptive field of one 7x7 convolution."""

    def __init__(self, channels_in: int, width: int) -> None:
        super().__init__(_rectified(channels_in, width, 3), _rectified(width, width, 3), _rectified(width, width, 3))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(B, channels_in, H, W) -> (B, 3 * width, H, W)."""
        outputs = []
        for convolution in self:
            x = convolution(x)
            outputs.append(x)
        return torch.cat(outputs, dim=1)


def _stage(channels_in: int, widths: tuple[int, int], channels_out: int, *, heatmaps: bool) -> nn.Module:
    """Build five dense blocks, then two 1x1 convolutions to the maps."""
    if not channels_out:
        return NoMaps()
    inner, before_maps = widths
    blocks = [DenseBlock(3 * inner if number else channels_in, inner) for number in range(BLOCKS)]
    hidden, maps = _rectified(3 * inner, before_maps, 1), nn.Conv2d(before_maps, channels_out, 1)
    stage = nn.Sequential(*blocks, hidden, maps)
    init_convolutions(stage, slope=SLOPE)
    init_map_head(maps, heatmaps=heatmaps)
    return stage


def _stages(channels_in: list[int], channels_out: int, *, heatmaps: bool) -> nn.ModuleList:
    """Build a stage for each number of input channels; the first one is narrower."""
    widths = [FIRST_WIDTHS] + [LATER_WIDTHS] * (len(channels_in) - 1)
    return nn.ModuleList(
        _stage(channels, width, channels_out, heatmaps=heatmaps)
        for channels, width in zip(channels_in, widths, strict=True)
    )


class Openpose2019(PoseNetwork):
    """OpenPose of 2019, 26,050,878 parameters for COCO's people; its four outputs are PAFs, PAFs, both, both.

    Later PAF stages and the first heatmap stage see [features, PAFs], the second heatmap stage [features, heatmaps,
    PAFs]. The four PAF stages and two heatmap stages give four ``Maps``: the last two PAF outputs are paired with the
    two heatmap outputs, so that the loss counts each output once.
    """

    stride = 8
    size_multiple = 8
    default_size = 368

    def __init__(self, skeleton: Skeleton = COCO_PERSON) -> None:
        super().__init__(skeleton)
        self.backbone = vgg19_first_ten(last_rectifier=False)
        slopes = nn.PReLU(512, init=SLOPE)  # after conv4_2: VGG has a ReLU there, so it is not part of the backbone
        self.adapt = nn.Sequential(slopes, *_rectified(512, 256, 3), *_rectified(256, FEATURES, 3))
        init_convolutions(self.adapt, slope=SLOPE)
        with_pafs = FEATURES + skeleton.num_pafs
        with_both = with_pafs + skeleton.num_heatmaps
        self.paf_stages = _stages([FEATURES] + [with_pafs] * (PAF_STAGES - 1), skeleton.num_pafs, heatmaps=False)
        self.heatmap_stages = _stages(
            [with_pafs] + [with_both] * (HEATMAP_STAGES - 1), skeleton.num_heatmaps, heatmaps=True
        )

    def later_stages(self) -> list[nn.Module]:
        """Return all PAF and heatmap stages except the first of each kind."""
        return [*self.paf_stages[1:], *self.heatmap_stages[1:]]

    def stages(self, images: torch.Tensor) -> list[Maps]:
        """Return four ``Maps`` (B, channels, S/8, S/8) for normalized images (B, 3, S, S): PAFs, PAFs, both, both."""
        features = self.adapt(self.backbone(images))
        inputs, pafs, heatmaps = features, [], []
        for stage in self.paf_stages:
            pafs.append(stage(inputs))
            inputs = torch.cat([features, pafs[-1]], dim=1)
        for stage in self.heatmap_stages:
            heatmaps.append(stage(inputs))
            inputs = torch.cat([features, heatmaps[-1], pafs[-1]], dim=1)
        # Paired from the end: the last stage must have both.
        absent = [None] * (PAF_STAGES - HEATMAP_STAGES)
        return [Maps(*both) for both in zip([*absent, *heatmaps], pafs, strict=True)]
