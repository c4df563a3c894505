"""Source of users' network classes, for tests of `--network my_package:MyNet`."""

HEAD = """
import torch
from torch import nn
from posemodel import Maps, PoseNetwork
"""
TINY = (
    HEAD
    + """

class Tiny(PoseNetwork):
    stride = 8
    size_multiple = 16
    default_size = 64

    def __init__(self, skeleton):
        super().__init__(skeleton)
        self.backbone = nn.Sequential(nn.Conv2d(3, 8, 8, stride=8), nn.BatchNorm2d(8), nn.ReLU(), nn.Dropout(0.1))
        self.head = nn.Conv2d(8, skeleton.num_heatmaps + skeleton.num_pafs, 1)

    def stages(self, images):
        maps = self.head(self.backbone(images))
        return [Maps(maps[:, : self.skeleton.num_heatmaps], maps[:, self.skeleton.num_heatmaps :])]


class Package:
    class Inner(Tiny):
        pass
"""
)
"""Module with the class `Tiny`: one stage, at stride 8."""
