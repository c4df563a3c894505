"""A network over a split: its validation loss and the people that it finds, scored."""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch.utils.data import DataLoader

from posemodel.config import InputSettings, LoaderSettings
from posemodel.data.augment import Warp
from posemodel.data.coco import PackedSplit
from posemodel.data.loader import Batch, PoseDataset, build_loader
from posemodel.decode import Detections, decode
from posemodel.evaluate import KeypointScorer, Scores
from posemodel.loss import pose_loss
from posemodel.network import PoseNetwork


class Validation(NamedTuple):
    """Loss over a split (mean over its images) and, when asked for, its scores."""

    loss: float
    scores: Scores | None


def to_device(batch: Batch, device: torch.device) -> Batch:
    """The batch on the device; from pinned memory the copies overlap with the CPU's work."""
    return Batch(
        *(tensor.to(device, non_blocking=True) if tensor.dtype != torch.float64 else tensor for tensor in batch)
    )


def validation_loader(split: PackedSplit, geometry: InputSettings, settings: LoaderSettings) -> DataLoader[Batch]:
    """Letterboxed, in order, every image once."""
    loader, _ = build_loader(PoseDataset(split, geometry), settings, training=False)
    return loader


def validate(
    network: PoseNetwork,
    loader: DataLoader[Batch],
    split: PackedSplit,
    geometry: InputSettings,
    device: torch.device,
    *,
    foreground_weight: float = 1.0,
    with_scores: bool = False,
) -> Validation:
    """One pass over a split in evaluation mode; the network's mode is put back."""
    scorer = split_scorer(split) if with_scores else None
    total, images = 0.0, 0
    was_training = network.training
    network.eval()
    with torch.inference_mode():
        for batch in loader:
            moved = to_device(batch, device)
            stages = network(moved.images)
            loss, _ = pose_loss(stages, moved, foreground_weight=foreground_weight)
            total += loss.item() * len(batch.images)
            images += len(batch.images)
            if scorer is not None:
                for image_id, found in find_people(stages[-1].heatmaps, stages[-1].pafs, batch, geometry):
                    scorer.add(image_id, found.people, found.scores)
    network.train(was_training)
    return Validation(total / max(images, 1), scorer.stats() if scorer is not None else None)


def find_people(
    heatmaps: torch.Tensor, pafs: torch.Tensor, batch: Batch, geometry: InputSettings
) -> Iterator[tuple[int, Detections]]:
    """Image id and people, in the image's own pixels, for every map (B, 19, C, C), (B, 38, C, C) of a batch."""
    heat, fields = heatmaps.float().cpu().numpy(), pafs.float().cpu().numpy()
    for row, (image_id, matrix) in enumerate(zip(batch.image_ids.tolist(), batch.warps.numpy(), strict=True)):
        if not (np.isfinite(heat[row]).all() and np.isfinite(fields[row]).all()):
            continue  # a diverged network finds nobody
        found = decode(heat[row], fields[row], geometry)
        yield image_id, Detections(Warp(matrix).people_back(found.people), found.scores)


def split_scorer(split: PackedSplit) -> KeypointScorer:
    """A scorer of exactly the images of a split."""
    image_ids = [split.image_id(p) for p in range(len(split))]
    return KeypointScorer(Path(split.annotations), image_ids=image_ids, skip_bad=bool(split.left_out))


def predict_split(
    network: PoseNetwork,
    split: PackedSplit,
    geometry: InputSettings,
    device: torch.device,
    settings: LoaderSettings,
) -> KeypointScorer:
    """Find the people in every image of a split; the scorer holds them, ready for stats or a results file."""
    scorer = split_scorer(split)
    network.eval()
    with torch.inference_mode():
        for batch in validation_loader(split, geometry, settings):
            maps = network(to_device(batch, device).images)[-1]
            for image_id, found in find_people(maps.heatmaps, maps.pafs, batch, geometry):
                scorer.add(image_id, found.people, found.scores)
    return scorer
