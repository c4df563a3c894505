"""Validation during training: the loss over a split and, if requested, its COCO scores."""

import contextlib
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch.utils.data import DataLoader

from posemodel.config import InputSettings
from posemodel.data.batch import Batch, to_device
from posemodel.data.open_split import PackedSplit
from posemodel.network import PoseNetwork
from posemodel.scoring.evaluation import PeopleFinder, split_scorer
from posemodel.scoring.scorer import Scores
from posemodel.training.loss import background_maps, pose_loss


class Validation(NamedTuple):
    """Loss over a split (mean over its images) and, if requested, its scores and the loss of a baseline.

    ``reference_loss`` is the loss of maps that show no people anywhere (`posemodel.training.loss.background_maps`). It
    does not depend on the weights, so that it can be the baseline of a skill score, 1 - loss / reference_loss.
    """

    loss: float
    scores: Scores | None
    reference_loss: float | None = None


def validate(
    network: PoseNetwork,
    loader: DataLoader[Batch],
    split: PackedSplit,
    geometry: InputSettings,
    device: torch.device,
    *,
    foreground_weight: float = 1.0,
    with_scores: bool = False,
    with_reference: bool = False,
) -> Validation:
    """Pass a split through the network in evaluation mode, and restore the network's mode.

    Args:
        network: The network, on ``device``.
        loader: Batches of ``split``, from `posemodel.data.loader.validation_loader`.
        split: The split, with the true people to score against.
        geometry: Input size and stride of the network.
        device: Device of the network.
        foreground_weight: See `posemodel.training.loss.pose_loss`.
        with_scores: Also decode the maps and compute COCO's metrics.
        with_reference: Also compute the loss of maps that show no people, as a baseline.
    """
    finder = PeopleFinder(split_scorer(split), geometry) if with_scores else None
    losses, references, counts = [], [], []
    was_training = network.training
    network.eval()
    try:
        with torch.inference_mode(), finder or contextlib.nullcontext():
            for batch in loader:
                moved = to_device(batch, device, geometry, network.skeleton)
                stages = network(moved.images)
                loss, _ = pose_loss(stages, moved, foreground_weight=foreground_weight)
                losses.append(loss)  # kept as a tensor: reading its value would wait for the device
                if with_reference:
                    references.append(pose_loss(background_maps(stages), moved, foreground_weight=foreground_weight)[0])
                counts.append(len(batch.images))
                if finder is not None:
                    finder.put(stages[-1], batch)
    finally:
        network.train(was_training)
    return Validation(
        _mean_over_images(losses, counts),
        finder.scorer.stats() if finder is not None else None,
        _mean_over_images(references, counts) if with_reference else None,
    )


def _mean_over_images(losses: Sequence[torch.Tensor], counts: Sequence[int]) -> float:
    """Return the mean of the batches' losses, weighted by their numbers of images."""
    total: float = sum(loss.item() * count for loss, count in zip(losses, counts, strict=True))
    return total / max(sum(counts), 1)
