"""What every network has: a backbone that can be frozen, stages of maps, an input format, a stride."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import torch
from torch import nn

from posemodel.config import Exif, Precision
from posemodel.network.input_format import IMAGENET, InputFormat

_SIZE = "trained_size"
"""In the metadata of a state dict, beside PyTorch's own versions of modules."""


class Maps(NamedTuple):
    """One stage's output: heatmaps (B, 19, C, C) and pafs (B, 38, C, C).

    A stage that refines only one of the two leaves the other None; a network's last stage has both.
    """

    heatmaps: torch.Tensor | None
    pafs: torch.Tensor | None

    def complete(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Heatmaps and pafs of a stage that has both, as a network's last has; ValueError if one is missing."""
        if self.heatmaps is None or self.pafs is None:
            raise ValueError(f"this stage has no {'heatmaps' if self.heatmaps is None else 'pafs'}: not the last one?")
        return self.heatmaps, self.pafs


class PoseNetwork(nn.Module, ABC):
    """Base of the networks: ``backbone`` first, then whatever turns its features into stages of maps."""

    stride: int
    """Input pixels per cell."""
    size_multiple: int
    """The input's side must be a multiple of this."""
    default_size: int
    """Input side that the network is meant for."""
    trained_size: int | None = None
    """Input side that its weights were trained at, in pixels; None: not trained, or not known. It travels with copies,
    checkpoints and state dicts (in their metadata, not as an entry)."""
    trained_exif: Exif = "ignore"
    """How the pictures that it was trained on were read; it travels with copies and checkpoints."""
    backbone: nn.Module
    precision: Precision
    """What the convolutions compute in: a property of a run, not of the weights."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("mean", torch.empty(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.empty(1, 3, 1, 1), persistent=False)
        self.input_format = IMAGENET
        self._backbone_frozen = False
        self.precision: Precision = "fp32"

    @property
    def input_format(self) -> InputFormat:
        """What the first convolution's weights expect: ImageNet's statistics, unless foreign weights say otherwise."""
        return self._input_format

    @input_format.setter
    def input_format(self, wanted: InputFormat) -> None:
        self._input_format = wanted
        for buffer, values in ((self.mean, wanted.mean), (self.std, wanted.std)):
            buffer.copy_(torch.tensor(values).view(1, 3, 1, 1))

    def normalize(self, images: torch.Tensor) -> torch.Tensor:
        """RGB (B, 3, S, S) uint8 -> float32 as ``input_format`` says, channels last (faster: docs/decisions.md)."""
        if self._input_format.channels == "BGR":
            images = images.flip(1)
        pixels = images.to(torch.float32, memory_format=torch.channels_last)
        return (pixels - self.mean) / self.std

    @abstractmethod
    def stages(self, images: torch.Tensor) -> list[Maps]:
        """Normalised images (B, 3, S, S) -> the maps of every stage; the last has heatmaps and pafs."""

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

    def _save_to_state_dict(self, destination: dict[str, Any], prefix: str, keep_vars: bool) -> None:
        super()._save_to_state_dict(destination, prefix, keep_vars)
        metadata = getattr(destination, "_metadata", None)
        if metadata is not None and self.trained_size is not None:
            metadata[prefix[:-1]][_SIZE] = self.trained_size

    def _load_from_state_dict(
        self, state_dict: Mapping[str, Any], prefix: str, local_metadata: Mapping[str, Any], *arguments: Any
    ) -> None:
        super()._load_from_state_dict(state_dict, prefix, local_metadata, *arguments)
        if isinstance(size := local_metadata.get(_SIZE), int):
            self.trained_size = size

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
