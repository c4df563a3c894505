"""A batch of training samples: its arrays, how samples are stacked, and the move to the device."""

from typing import Any, NamedTuple

import torch
from torch.nn import functional
from torch.utils.data import default_collate

from posemodel.config import InputSettings
from posemodel.data.device_targets import make_targets


class Batch(NamedTuple):
    """What a loader yields: B samples of input side S, with C cells a side.

    images (B, 3, S, S) uint8 RGB, channels last in memory; heatmaps (B, 19, C, C) and pafs (B, 38, C, C) float16, None
    where they are still to be made from the people on the device; mask (B, 1, C, C) uint8 with 1 where a cell counts;
    people (B, P, 18, 3) float32 in input pixels, P being the most that an image of the batch has, the others' rows
    zero; warps (B, 2, 3) float64 (image pixels -> input pixels); image_ids (B,) int64.
    A sample is the same without the leading B.
    """

    images: torch.Tensor
    heatmaps: torch.Tensor | None
    pafs: torch.Tensor | None
    mask: torch.Tensor
    people: torch.Tensor
    warps: torch.Tensor
    image_ids: torch.Tensor


def collate(samples: list[Batch]) -> Batch:
    """Samples -> their batch; images stay channels last, people are filled up to the same number."""
    most = max(len(sample.people) for sample in samples)
    columns: dict[str, tuple[Any, ...]] = dict(zip(Batch._fields, zip(*samples, strict=True), strict=True))
    columns["images"] = tuple(image.permute(1, 2, 0) for image in columns["images"])
    columns["people"] = tuple(
        functional.pad(people, (0, 0, 0, 0, 0, most - len(people))) for people in columns["people"]
    )
    stacked = {name: None if column[0] is None else default_collate(column) for name, column in columns.items()}
    return Batch(**stacked | {"images": stacked["images"].permute(0, 3, 1, 2)})


def to_device(batch: Batch, device: torch.device, geometry: InputSettings) -> Batch:
    """The batch on the device, with its targets; from pinned memory the copies overlap with the CPU's work."""
    moved = Batch(
        *(
            tensor if tensor is None or tensor.dtype == torch.float64 else tensor.to(device, non_blocking=True)
            for tensor in batch
        )
    )
    if moved.heatmaps is None:
        heatmaps, pafs = make_targets(moved.people, geometry)
        moved = moved._replace(heatmaps=heatmaps, pafs=pafs)
    return moved
