"""A batch of training samples: its tensors, how samples are stacked, and the move to the device."""

from typing import NamedTuple

import torch
from torch.nn import functional
from torch.utils.data import default_collate

from posemodel.config import InputSettings
from posemodel.data.device_targets import make_targets
from posemodel.skeleton import Skeleton


class Batch(NamedTuple):
    """One batch of a loader: B samples of input side S, with C cells a side.

    images (B, 3, S, S) uint8 RGB, channels last in memory; heatmaps (B, P + 1, C, C) and pafs (B, 2L, C, C) float16 for
    P parts and L limbs, None if they are still to be made from the people on the device; mask (B, 1, C, C) uint8, 1
    where a cell counts; people (B, N, P, 3) float32 in input pixels, N being the largest number of people in an image
    of the batch, with rows of zeros for images with fewer; warps (B, 2, 3) float64 (image pixels -> input pixels);
    image_ids (B,) int64. A sample has the same fields without the leading B.
    """

    images: torch.Tensor
    heatmaps: torch.Tensor | None
    pafs: torch.Tensor | None
    mask: torch.Tensor
    people: torch.Tensor
    warps: torch.Tensor
    image_ids: torch.Tensor


def collate(samples: list[Batch]) -> Batch:
    """Stack samples into a batch; images stay channels last, people are padded to the same number."""
    most = max(len(sample.people) for sample in samples)
    images: torch.Tensor = default_collate([sample.images.permute(1, 2, 0) for sample in samples])
    return Batch(
        images=images.permute(0, 3, 1, 2),
        heatmaps=_stack_maps([sample.heatmaps for sample in samples]),
        pafs=_stack_maps([sample.pafs for sample in samples]),
        mask=default_collate([sample.mask for sample in samples]),
        people=default_collate(
            [functional.pad(sample.people, (0, 0, 0, 0, 0, most - len(sample.people))) for sample in samples]
        ),
        warps=default_collate([sample.warps for sample in samples]),
        image_ids=default_collate([sample.image_ids for sample in samples]),
    )


def _stack_maps(maps: list[torch.Tensor | None]) -> torch.Tensor | None:
    if maps[0] is None:
        return None
    stacked: torch.Tensor = default_collate(maps)
    return stacked


def to_device(batch: Batch, device: torch.device, geometry: InputSettings, skeleton: Skeleton) -> Batch:
    """Move the batch to the device and make missing targets; copies from pinned memory overlap with the CPU's work."""
    moved = Batch._make(
        tensor if tensor is None or tensor.dtype == torch.float64 else tensor.to(device, non_blocking=True)
        for tensor in batch
    )
    if moved.heatmaps is None:
        heatmaps, pafs = make_targets(moved.people, geometry, skeleton)
        moved = moved._replace(heatmaps=heatmaps, pafs=pafs)
    return moved
