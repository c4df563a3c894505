"""Statistics of batch norm for weights that were not trained with them, computed from some training images."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import torch
from torch import nn

from posemodel.config import InputSettings, LoaderSettings
from posemodel.data.loader import validation_loader
from posemodel.data.open_split import PackedSplit

IMAGES = 64
"""Maximum number of images that the statistics are computed from; each gives thousands of values of a channel."""

_Norm = nn.modules.batchnorm._BatchNorm


class NormImages:
    """Images to compute statistics from: some of a split, spread evenly over it, as validation reads them.

    They are decoded once, on first use, and kept as uint8 batches in memory (26 MB at 368 pixels).
    """

    def __init__(self, split: PackedSplit, geometry: InputSettings, batch_size: int) -> None:
        """Choose up to `IMAGES` of ``split``, in batches as large as those of the training."""
        number = min(IMAGES, len(split))
        number -= number % batch_size if number > batch_size else 0  # each batch has the same weight
        positions = np.linspace(0, len(split) - 1, number).round().astype(np.int64)
        self._split, self._geometry, self._batch_size = split.subset(positions), geometry, batch_size
        self._batches: list[torch.Tensor] | None = None

    def batches(self) -> Sequence[torch.Tensor]:
        """Return the batches, each (B, 3, S, S) uint8 RGB on the CPU. Raises DataError if an image cannot be read."""
        if self._batches is None:
            settings = LoaderSettings(batch_size=self._batch_size)
            loader = validation_loader(self._split, self._geometry, settings, with_targets=False)
            self._batches = [batch.images for batch in loader]
        return self._batches


def tracking_norms(network: nn.Module) -> list[_Norm]:
    """Return the batch norms of a network that keep running statistics."""
    return [each for each in network.modules() if isinstance(each, _Norm) and each.running_mean is not None]


@torch.no_grad()
def recompute_statistics(network: nn.Module, norms: Sequence[_Norm], batches: Sequence[torch.Tensor]) -> None:
    """Replace running statistics by their means over the batches, at the present weights.

    Args:
        network: The network; it is left in evaluation mode.
        norms: Those of its batch norms whose statistics are replaced; the others keep theirs.
        batches: Images (B, 3, S, S) uint8.
    """
    network.eval()
    with averaging(norms):
        for images in batches:
            network(images.to(next(network.parameters()).device))


@contextmanager
def averaging(norms: Sequence[_Norm]) -> Iterator[None]:
    """Within the block the norms track the mean over all batches (momentum None), from an empty beginning."""
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None
        norm.train()
    try:
        yield
    finally:
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum
            norm.eval()
