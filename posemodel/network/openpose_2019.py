"""`openpose_2019`: PAFs first, heatmaps from them; dense blocks of 3x3 convolutions in place of 7x7 ones.

Source: Cao et al., "OpenPose: Realtime Multi-Person 2D Pose Estimation using Part Affinity Fields", TPAMI 2019,
section 3.2, with four PAF and two heatmap stages.
"""

import torch
from torch import nn

from posemodel.network.backbones import vgg19_first_ten
from posemodel.network.base import Maps, PoseNetwork
from posemodel.network.initial_weights import begin_empty, keep_activations
from posemodel.skeleton import NUM_HEATMAPS, NUM_PAFS

FEATURES = 128
PAF_STAGES = 4
HEATMAP_STAGES = 2
BLOCKS = 5
FIRST_WIDTHS = (96, 256)
"""Channels inside a block and before the maps, in the first stage of either kind."""
LATER_WIDTHS = (128, 512)
SLOPE = 0.25
"""Where every PReLU starts below zero (He et al., 2015)."""


def _rectified(channels_in: int, channels_out: int, kernel: int) -> nn.Sequential:
    """Convolution and a PReLU with a slope for each channel; keeps H, W."""
    convolution = nn.Conv2d(channels_in, channels_out, kernel, padding=kernel // 2)
    return nn.Sequential(convolution, nn.PReLU(channels_out, init=SLOPE))


class DenseBlock(nn.Sequential):
    """Three 3x3 convolutions in a chain, all three of their outputs kept: the reach of a 7x7 one, and its depth."""

    def __init__(self, channels_in: int, width: int) -> None:
        super().__init__(_rectified(channels_in, width, 3), _rectified(width, width, 3), _rectified(width, width, 3))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(B, channels_in, H, W) -> (B, 3 * width, H, W)."""
        kept = []
        for convolution in self:
            x = convolution(x)
            kept.append(x)
        return torch.cat(kept, dim=1)


def _stage(channels_in: int, widths: tuple[int, int], channels_out: int) -> nn.Sequential:
    """Five dense blocks, then two 1x1 convolutions to the maps."""
    inner, before_maps = widths
    blocks = [DenseBlock(3 * inner if number else channels_in, inner) for number in range(BLOCKS)]
    stage = nn.Sequential(*blocks, _rectified(3 * inner, before_maps, 1), nn.Conv2d(before_maps, channels_out, 1))
    keep_activations(stage, slope=SLOPE)
    begin_empty(stage[-1], heatmaps=channels_out == NUM_HEATMAPS)
    return stage


def _stages(channels_in: list[int], channels_out: int) -> nn.ModuleList:
    """A stage for each number of channels that one sees, the first a narrower one."""
    widths = [FIRST_WIDTHS] + [LATER_WIDTHS] * (len(channels_in) - 1)
    return nn.ModuleList(_stage(seen, width, channels_out) for seen, width in zip(channels_in, widths, strict=True))


class Openpose2019(PoseNetwork):
    """26,050,878 parameters; of its four stages of maps the first two are PAFs alone, so that each output counts once.

    A PAF stage sees [features, PAFs of the one before]; the first heatmap stage the same, the second
    [features, heatmaps, PAFs].
    """

    stride = 8
    size_multiple = 8
    default_size = 368

    def __init__(self) -> None:
        super().__init__()
        self.backbone = vgg19_first_ten(last_rectifier=False)
        slopes = nn.PReLU(512, init=SLOPE)  # of conv4_2: not VGG's, hence not in the backbone
        self.adapt = nn.Sequential(slopes, *_rectified(512, 256, 3), *_rectified(256, FEATURES, 3))
        keep_activations(self.adapt, slope=SLOPE)
        with_pafs = FEATURES + NUM_PAFS
        with_both = with_pafs + NUM_HEATMAPS
        self.paf_stages = _stages([FEATURES] + [with_pafs] * (PAF_STAGES - 1), NUM_PAFS)
        self.heatmap_stages = _stages([with_pafs] + [with_both] * (HEATMAP_STAGES - 1), NUM_HEATMAPS)

    def later_stages(self) -> list[nn.Module]:
        """All but the first of either kind."""
        return [*self.paf_stages[1:], *self.heatmap_stages[1:]]

    def stages(self, images: torch.Tensor) -> list[Maps]:
        """Normalised images (B, 3, S, S) -> four stages of maps (B, ., S/8, S/8): PAFs, PAFs, both, both."""
        features = self.adapt(self.backbone(images))
        seen, pafs, heatmaps = features, [], []
        for stage in self.paf_stages:
            pafs.append(stage(seen))
            seen = torch.cat([features, pafs[-1]], dim=1)
        for stage in self.heatmap_stages:
            heatmaps.append(stage(seen))
            seen = torch.cat([features, heatmaps[-1], pafs[-1]], dim=1)
        # Aligned at the end: the last stage has both answers.
        absent = [None] * (PAF_STAGES - HEATMAP_STAGES)
        return [Maps(*both) for both in zip([*absent, *heatmaps], pafs, strict=True)]
