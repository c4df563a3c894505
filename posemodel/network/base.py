"""What every network has: a backbone that can be frozen, stages of maps, an input format, a stride."""

from abc import ABC, abstractmethod
from collections.abc import Iterable
from typing import NamedTuple

import torch
from torch import nn

from posemodel.config import Precision

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
"""RGB statistics of ImageNet, as torchvision's weights expect."""


class Maps(NamedTuple):
    """One stage's output: heatmaps (B, 19, C, C) and pafs (B, 38, C, C)."""

    heatmaps: torch.Tensor
    pafs: torch.Tensor


class PoseNetwork(nn.Module, ABC):
    """Base of the networks: ``backbone`` first, then whatever turns its features into stages of maps."""

    stride: int
    """Input pixels per cell."""
    size_multiple: int
    """The input's side must be a multiple of this."""
    default_size: int
    """Input side that the network is meant for."""
    backbone: nn.Module
    precision: Precision
    """What the convolutions compute in: a property of a run, not of the weights."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor(IMAGENET_MEAN).view(1, 3, 1, 1) * 255, persistent=False)
        self.register_buffer("std", torch.tensor(IMAGENET_STD).view(1, 3, 1, 1) * 255, persistent=False)
        self._backbone_frozen = False
        self.precision: Precision = "fp32"

    def normalize(self, images: torch.Tensor) -> torch.Tensor:
        """RGB (B, 3, S, S) uint8 -> normalised float32, channels last (faster: docs/decisions.md)."""
        pixels = images.to(torch.float32, memory_format=torch.channels_last)
        return (pixels - self.mean) / self.std

    @abstractmethod
    def stages(self, images: torch.Tensor) -> list[Maps]:
        """Normalised images (B, 3, S, S) -> the maps of every stage."""

    def later_stages(self) -> Iterable[nn.Module]:
        """The modules that only the stages after the first have: some recipes train them faster."""
        return ()

    def forward(self, images: torch.Tensor) -> list[Maps]:
        """RGB uint8 (B, 3, S, S) -> maps of every stage; the last is the answer.

        With ``precision`` bf16 the convolutions run in bfloat16 (autocast); weights and the loss stay float32.
        """
        pixels = self.normalize(images)
        if self.precision == "fp32":
            return self.stages(pixels)
        with torch.autocast(pixels.device.type, torch.bfloat16):
            return self.stages(pixels)

    def freeze_backbone(self, frozen: bool) -> None:
        """Stop (or take up again) training all of the backbone: its parameters and its batch-norm statistics."""
        self._backbone_frozen = frozen
        self.backbone.requires_grad_(not frozen)
        self.train(self.training)

    def train(self, mode: bool = True) -> "PoseNetwork":
        """As nn.Module.train, but a frozen backbone stays in evaluation mode."""
        super().train(mode)
        if self._backbone_frozen:
            self.backbone.eval()
        return self
