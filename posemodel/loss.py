"""The masked squared error of every stage and branch."""

from collections import OrderedDict
from collections.abc import Sequence

import torch

from posemodel.data.loader import Batch
from posemodel.network.base import Maps
from posemodel.skeleton import BACKGROUND


def pose_loss(
    stages: Sequence[Maps], batch: Batch, *, foreground_weight: float = 1.0
) -> tuple[torch.Tensor, "OrderedDict[str, torch.Tensor]"]:
    """Total loss and its terms by name (`stage1_heatmaps`, `stage1_pafs`, ...), all scalars.

    For each stage and branch the squared error is summed over channels and unmasked cells and divided by
    2 x batch x cells; then the terms are summed (Cao et al., CVPR 2017, equations 5 and 6, with means over the cells).
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
            error = getattr(maps, branch).float() - getattr(targets, branch)
            terms[f"stage{number}_{branch}"] = (error.square() * getattr(weights, branch)).sum() * scale
    return torch.stack(list(terms.values())).sum(), terms


def _foreground(targets: Maps) -> Maps:
    """How far each map is on, 0..1: the Gaussian's height (background: its complement), the PAF vector's length."""
    heat = targets.heatmaps.clone()
    heat[:, BACKGROUND] = 1 - heat[:, BACKGROUND]
    x, y = targets.pafs[:, 0::2], targets.pafs[:, 1::2]
    length = torch.sqrt(x * x + y * y)  # torch.linalg.vector_norm over two entries takes 20 times as long on a CPU
    return Maps(heat, length.repeat_interleave(2, dim=1))
