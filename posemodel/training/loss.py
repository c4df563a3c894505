"""The training loss: masked squared errors of the maps of every stage."""

from collections import OrderedDict
from collections.abc import Sequence
from typing import Any

import torch

from posemodel.data.batch import Batch
from posemodel.network.base import Maps


def pose_loss(
    stages: Sequence[Maps], batch: Batch, *, foreground_weight: float = 1.0
) -> tuple[torch.Tensor, "OrderedDict[str, torch.Tensor]"]:
    """Compute the total loss and its terms by name (`stage1_heatmaps`, `stage1_pafs`, ...), all scalars.

    For each stage and branch the squared error is summed over channels and unmasked cells and divided by 2 x batch x
    cells; then the terms are summed (Cao et al., CVPR 2017, equations 5 and 6, with means over the cells). A branch
    that is None in a stage has no term, so that each of the six outputs of `openpose_2019` counts once.

    Args:
        stages: The network's maps, a pair for each stage.
        batch: Targets and mask, on the same device.
        foreground_weight: w > 1 multiplies a cell's error by 1 + (w - 1) * t; t in 0..1 is the Gaussian's height or the
            PAF vector's length in the target.

    Raises:
        ValueError: the batch has no target maps (`posemodel.data.batch.to_device` makes them).
    """
    mask = batch.mask.float()
    if batch.heatmaps is None or batch.pafs is None:
        raise ValueError("the batch has no target maps: move it with posemodel.data.batch.to_device, which makes them")
    heatmaps, pafs = batch.heatmaps.float(), batch.pafs.float()
    targets = Maps(heatmaps, pafs)
    weights = Maps(mask, mask)
    if foreground_weight > 1:
        weights = Maps(*(mask * (1 + (foreground_weight - 1) * share) for share in _foreground(heatmaps, pafs)))
    scale = 1 / (2 * mask.numel())
    terms: OrderedDict[str, torch.Tensor] = OrderedDict()
    for number, maps in enumerate(stages, start=1):
        for branch in Maps._fields:
            predicted, target, weight = (getattr(each, branch) for each in (maps, targets, weights))
            if predicted is None:
                continue
            squares = _WeightedSquares.apply(predicted, target, weight)  # type: ignore[no-untyped-call]  # PyTorch's
            terms[f"stage{number}_{branch}"] = squares * scale
    return torch.stack(list(terms.values())).sum(), terms


def background_maps(stages: Sequence[Maps]) -> list[Maps]:
    """Return maps of the same shapes that show no people: the prediction of a network that has learned nothing."""
    empty = []
    for heatmaps, pafs in stages:
        background = None
        if heatmaps is not None:
            background = torch.zeros_like(heatmaps)
            background[:, -1] = 1
        empty.append(Maps(background, None if pafs is None else torch.zeros_like(pafs)))
    return empty


class _WeightedSquares(torch.autograd.Function):
    """Sum of weight * (maps - target)^2; differentiable in the maps alone, any number of times.

    Its backward pass is written out because autograd would store every intermediate: a tenth of a step on a CPU. With
    `create_graph` it computes the error again, from which products with the Hessian follow.
    """

    @staticmethod
    def forward(ctx: Any, maps: torch.Tensor, target: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
        # Maps are channels last, targets are not; operations over two layouts take five times as long on a CPU.
        error = maps.contiguous().float() - target
        weighted = error * weight
        ctx.save_for_backward(weighted, maps, target, weight)
        ctx.dtype = maps.dtype
        return (weighted * error).sum()

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor, None, None]:
        weighted, maps, target, weight = ctx.saved_tensors
        if torch.is_grad_enabled():  # create_graph
            weighted = (maps.contiguous().float() - target) * weight
        return (weighted * (2 * gradient)).to(ctx.dtype), None, None


def _foreground(heatmaps: torch.Tensor, pafs: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the foreground share of each cell, 0..1: in heatmaps the Gaussian's height, in PAFs the vector's length.

    In the background's heatmap, the last, it is 1 minus the value.
    """
    heights = heatmaps.clone()
    heights[:, -1] = 1 - heights[:, -1]
    x, y = pafs[:, 0::2], pafs[:, 1::2]
    lengths = torch.sqrt(x * x + y * y)  # torch.linalg.vector_norm over two entries takes 20 times as long on a CPU
    return heights, lengths.repeat_interleave(2, dim=1)
