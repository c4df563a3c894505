"""The masked squared error of every stage and branch."""

from collections import OrderedDict
from collections.abc import Sequence
from typing import Any

import torch
from torch.autograd.function import once_differentiable

from posemodel.data.batch import Batch
from posemodel.network.base import Maps
from posemodel.skeleton import BACKGROUND


def pose_loss(
    stages: Sequence[Maps], batch: Batch, *, foreground_weight: float = 1.0
) -> tuple[torch.Tensor, "OrderedDict[str, torch.Tensor]"]:
    """Total loss and its terms by name (`stage1_heatmaps`, `stage1_pafs`, ...), all scalars.

    For each stage and branch the squared error is summed over channels and unmasked cells and divided by
    2 x batch x cells; then the terms are summed (Cao et al., CVPR 2017, equations 5 and 6, with means over the cells).
    A branch that a stage leaves None has no term: `openpose_2019` counts each of its six outputs once.
    ``foreground_weight`` w > 1 multiplies a cell's error by 1 + (w - 1) * t, t in 0..1 being how far the map is on.
    """
    mask = batch.mask.float()
    targets = Maps(batch.heatmaps.float(), batch.pafs.float())
    weights = Maps(mask, mask)
    if foreground_weight > 1:
        weights = Maps(*(mask * (1 + (foreground_weight - 1) * on) for on in _foreground(targets)))
    scale = 1 / (2 * mask.numel())
    terms: OrderedDict[str, torch.Tensor] = OrderedDict()
    for number, maps in enumerate(stages, start=1):
        for branch in Maps._fields:
            found, target, weight = (getattr(each, branch) for each in (maps, targets, weights))
            if found is None:
                continue
            terms[f"stage{number}_{branch}"] = _WeightedSquares.apply(found, target, weight) * scale
    return torch.stack(list(terms.values())).sum(), terms


def with_nobody(stages: Sequence[Maps]) -> list[Maps]:
    """Maps like these with nobody in them, all background: a forecast that has learned nothing of the images."""
    empty = []
    for heatmaps, pafs in stages:
        background = None
        if heatmaps is not None:
            background = torch.zeros_like(heatmaps)
            background[:, BACKGROUND] = 1
        empty.append(Maps(background, None if pafs is None else torch.zeros_like(pafs)))
    return empty


class _WeightedSquares(torch.autograd.Function):
    """Sum of weight * (maps - target)^2; differentiable in the maps alone.

    Written out because autograd would keep and walk through every intermediate: on a CPU that is a tenth of a step.
    """

    @staticmethod
    def forward(ctx: Any, maps: torch.Tensor, target: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
        # Maps come channels last, targets do not: operations over two layouts take five times as long on a CPU.
        error = maps.contiguous().float() - target
        weighted = error * weight
        ctx.save_for_backward(weighted)
        ctx.dtype = maps.dtype
        return (weighted * error).sum()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor, None, None]:
        (weighted,) = ctx.saved_tensors
        return (weighted * (2 * gradient)).to(ctx.dtype), None, None


def _foreground(targets: Maps) -> Maps:
    """How far each map is on, 0..1: the Gaussian's height (background: its complement), the PAF vector's length."""
    heat = targets.heatmaps.clone()
    heat[:, BACKGROUND] = 1 - heat[:, BACKGROUND]
    x, y = targets.pafs[:, 0::2], targets.pafs[:, 1::2]
    length = torch.sqrt(x * x + y * y)  # torch.linalg.vector_norm over two entries takes 20 times as long on a CPU
    return Maps(heat, length.repeat_interleave(2, dim=1))
