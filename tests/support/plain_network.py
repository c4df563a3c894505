"""A two-stage network without batch norm (45,000 weights), for comparing gradients of split batches.

A batch's mean gradient is then the mean of its parts' gradients, even if several processes computed them.
"""

import torch
from torch import nn

from posemodel.network import Maps, PoseNetwork
from posemodel.skeleton import COCO_PERSON, Skeleton

PLAIN = "plain"
"""Its name, once it stands in `posemodel.network.NETWORKS`."""


class Plain(PoseNetwork):
    """A front of three convolutions at stride 8, and two heads; the second one sees the first one's maps."""

    stride = 8
    size_multiple = 8
    default_size = 32

    def __init__(self, skeleton: Skeleton = COCO_PERSON) -> None:
        super().__init__(skeleton)
        maps = skeleton.num_heatmaps + skeleton.num_pafs
        self.backbone = nn.Sequential(
            *(nn.Conv2d(3, 16, 3, 2, 1), nn.ReLU()),
            *(nn.Conv2d(16, 32, 3, 2, 1), nn.ReLU()),
            *(nn.Conv2d(32, 32, 3, 2, 1), nn.ReLU()),
        )
        self.first = nn.Conv2d(32, maps, 1)
        self.second = nn.Sequential(nn.Conv2d(32 + maps, 32, 3, 1, 1), nn.ReLU(), nn.Conv2d(32, maps, 1))

    def later_stages(self) -> list[nn.Module]:
        """The second head."""
        return [self.second]

    def stages(self, images: torch.Tensor) -> list[Maps]:
        """Normalised images (B, 3, S, S) -> two stages of maps (B, ., S/8, S/8)."""
        features = self.backbone(images)
        first = self.first(features)
        second = self.second(torch.cat([features, first], dim=1))
        heatmaps = self.skeleton.num_heatmaps
        return [Maps(maps[:, :heatmaps], maps[:, heatmaps:]) for maps in (first, second)]
