"""Base class of all networks: freezable backbone, stages of maps, input format and stride."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import torch
from torch import nn

from posemodel.config import Exif, Precision
from posemodel.network.input_format import IMAGENET, InputFormat
from posemodel.skeleton import COCO_PERSON, Skeleton

_SIZE_KEY = "trained_size"
"""Key in the metadata of a state dict, beside PyTorch's own version numbers of modules."""


class Maps(NamedTuple):
    """Output of one stage: heatmaps (B, P + 1, C, C) of P parts and PAFs (B, 2L, C, C) of L limbs, with C cells a side.

    A stage that refines only one of the two leaves the other None; a network's last stage has both.

    Example:
        heatmaps, pafs = network(images)[-1].complete()
    """

    heatmaps: torch.Tensor | None
    pafs: torch.Tensor | None

    def complete(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Return heatmaps and PAFs of a stage that has both, such as a network's last; ValueError if one is missing."""
        if self.heatmaps is None or self.pafs is None:
            missing = "heatmaps" if self.heatmaps is None else "pafs"
            raise ValueError(f"this stage has no {missing}: use the network's last stage")
        return self.heatmaps, self.pafs


class PoseNetwork(nn.Module, ABC):
    """Base class of the networks: a ``backbone``, then layers that turn its features into stages of maps.

    A network of one's own (docs/guide/own-network.md) sets ``stride``, ``size_multiple`` and ``default_size``, passes
    the skeleton on, takes its numbers of channels from it, and defines ``stages``.

    Example:
        network = build_network("small").eval()
        maps = network(torch.zeros(1, 3, 256, 256, dtype=torch.uint8))[-1]  # heatmaps (1, 19, 64, 64)
    """

    stride: int
    """Input pixels per cell of the maps."""
    size_multiple: int
    """Number of pixels of which the input's side must be a multiple."""
    default_size: int
    """Side of the input, in pixels, that the network is meant for."""
    trained_size: int | None = None
    """Side of the input, in pixels, at which the weights were trained; None: not trained, or unknown. Copies,
    checkpoints and state dicts keep it (in their metadata, not as an entry)."""
    trained_exif: Exif = "ignore"
    """Treatment of EXIF orientation in the training images; copies and checkpoints keep it."""
    skeleton: Skeleton
    """Parts and limbs that the maps show."""
    backbone: nn.Module
    """Feature extractor, the part that can be frozen."""
    precision: Precision
    """Number format of the convolutions: a property of a run, not of the weights."""
    mean: torch.Tensor
    """Mean of ``input_format`` as a buffer (1, 3, 1, 1)."""
    std: torch.Tensor
    """Standard deviation of ``input_format`` as a buffer (1, 3, 1, 1)."""

    def __init__(self, skeleton: Skeleton = COCO_PERSON) -> None:
        super().__init__()
        self.skeleton = skeleton
        self.register_buffer("mean", torch.empty(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.empty(1, 3, 1, 1), persistent=False)
        self.input_format = IMAGENET
        self._backbone_frozen = False
        self.precision: Precision = "fp32"

    @property
    def input_format(self) -> InputFormat:
        """Pixel format that the first convolution expects: ImageNet's statistics, unless imported weights differ."""
        return self._input_format

    @input_format.setter
    def input_format(self, input_format: InputFormat) -> None:
        self._input_format = input_format
        for buffer, values in ((self.mean, input_format.mean), (self.std, input_format.std)):
            buffer.copy_(torch.tensor(values).view(1, 3, 1, 1))

    def normalize(self, images: torch.Tensor) -> torch.Tensor:
        """Convert RGB (B, 3, S, S) uint8 to ``input_format`` in float32, channels last (faster: docs/decisions.md)."""
        if self._input_format.channels == "BGR":
            images = images.flip(1)
        pixels = images.to(torch.float32, memory_format=torch.channels_last)
        return (pixels - self.mean) / self.std

    @abstractmethod
    def stages(self, images: torch.Tensor) -> list[Maps]:
        """Return the maps of every stage for normalized images (B, 3, S, S); the last has heatmaps and PAFs."""

    def later_stages(self) -> Iterable[nn.Module]:
        """Return the modules that belong to the stages after the first alone; some recipes train them faster."""
        return ()

    def forward(self, images: torch.Tensor) -> list[Maps]:
        """Return the maps of every stage for RGB uint8 images (B, 3, S, S); the last stage is the result.

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
            metadata[prefix[:-1]][_SIZE_KEY] = self.trained_size

    def _load_from_state_dict(
        self, state_dict: Mapping[str, Any], prefix: str, local_metadata: Mapping[str, Any], *arguments: Any
    ) -> None:
        super()._load_from_state_dict(state_dict, prefix, local_metadata, *arguments)
        if isinstance(size := local_metadata.get(_SIZE_KEY), int):
            self.trained_size = size

    def freeze_backbone(self, frozen: bool) -> None:
        """Stop (or resume) the training of the backbone: its parameters and its batch-norm statistics."""
        self._backbone_frozen = frozen
        self.backbone.requires_grad_(not frozen)
        self.train(self.training)

    def train(self, mode: bool = True) -> "PoseNetwork":
        """Set the training mode as nn.Module.train does; a frozen backbone stays in evaluation mode."""
        super().train(mode)
        if self._backbone_frozen:
            self.backbone.eval()
        return self
