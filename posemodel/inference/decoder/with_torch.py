"""Peaks and candidate limbs of maps on a GPU, computed there with PyTorch.

The results are those of `with_numpy`: coordinates and scores are float64 here too, and a property test compares both
(tests/posemodel/test_decode.py).
"""

import torch
from torch.nn.functional import max_pool2d, pad

from posemodel.inference.decoder.candidates import (
    FAINTEST_NEIGHBOUR,
    SHORTEST_LIMB,
    Candidates,
    DecodeSettings,
    Peaks,
    ranked,
    sample_positions,
)
from posemodel.skeleton import Skeleton

BLOCK = 2**17
"""Pairs scored at a time: limits the memory on noisy maps to about 100 MB."""


def find_candidates(
    heatmaps: torch.Tensor, pafs: torch.Tensor, sigma: float, settings: DecodeSettings, skeleton: Skeleton
) -> Candidates:
    """Compute peaks and candidate limbs of heatmaps (B, P, h, w) and PAFs (B, 2L, h, w), and return them on the CPU.

    Maps are float32; ``sigma`` is the standard deviation of the heatmaps' Gaussians, in cells.
    """
    plane, xy, score = _find_peaks(heatmaps.flatten(0, 1), sigma, settings)
    field, start, end = _pairs(plane, len(pafs), skeleton)
    pafs = pafs.contiguous()
    kept = [
        _agreeing(*pairs, xy, pafs, settings)
        for pairs in zip(field.split(BLOCK), start.split(BLOCK), end.split(BLOCK), strict=True)
    ]
    peaks = Peaks(*(column.cpu().numpy() for column in (plane, xy, score)))
    limbs = ranked(peaks, *(torch.cat(column).cpu().numpy() for column in zip(*kept, strict=True)))
    return Candidates(peaks, limbs, skeleton)


def _find_peaks(
    maps: torch.Tensor, sigma: float, settings: DecodeSettings
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return plane (P * image + part), xy in cells and score of the peaks, like `with_numpy.find_peaks`."""
    padded = pad(maps, (1, 1, 1, 1), value=-torch.inf)
    planes, _, row = padded.shape
    values = padded.flatten()
    is_peak = (maps == max_pool2d(maps[:, None], 3, stride=1, padding=1)[:, 0]) & (maps > settings.peak_threshold)
    plane, y, x = is_peak.nonzero(as_tuple=True)
    at = (plane * padded.shape[1] + y + 1) * row + x + 1
    before = values[at[:, None] - torch.tensor([row + 1, row, row - 1, 1], device=at.device)]
    first = (values[at][:, None] > before).all(1)
    at, plane, y, x = at[first], plane[first], y[first], x[first]

    value = values[at].double()
    step = torch.tensor([[1], [row]], device=at.device)
    offset, gain = _sub_cell(value, values[at - step], values[at + step], sigma)
    score = (value * torch.exp(gain[0] + gain[1])).clamp(max=1.0)
    xy = torch.stack([x + offset[0], y + offset[1]], 1)

    order = torch.argsort(score, stable=True, descending=True)
    order = order[torch.argsort(plane[order], stable=True)]
    count = torch.bincount(plane, minlength=planes)
    rank = torch.arange(len(at), device=at.device) - (count.cumsum(0) - count)[plane]
    order = order[rank < settings.max_peaks]
    return plane[order], xy[order], score[order]


def _sub_cell(
    value: torch.Tensor, before: torch.Tensor, after: torch.Tensor, sigma: float
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the offset of a peak's top from its cell, and the log of its height over the cell's value, (2, Q) each.

    ``before`` and ``after`` (2, Q) are the neighbours on each axis; see `with_numpy._sub_cell`.
    """
    tiny = value * FAINTEST_NEIGHBOUR
    log_value = value.log()
    log_before = torch.maximum(before.double(), tiny).log() - log_value
    log_after = torch.maximum(after.double(), tiny).log() - log_value
    log_before = torch.where(before.isneginf(), -1 / sigma**2 - log_after, log_before)
    log_after = torch.where(after.isneginf(), -1 / sigma**2 - log_before, log_after)
    curvature = log_before + log_after
    slope = log_after - log_before
    bent = curvature < 0
    offset = (slope / (-2 * torch.where(bent, curvature, -1.0))).clamp(-0.5, 0.5)
    offset = torch.where(bent, offset, 0.0)
    return offset, torch.minimum(slope * offset / 4, offset * offset / (2 * sigma**2))


def _pairs(plane: torch.Tensor, images: int, skeleton: Skeleton) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return field (L * image + limb), start and end peak of every pair that a limb could join, ordered by field."""
    device = plane.device
    count = torch.bincount(plane, minlength=images * skeleton.num_parts)
    first = count.cumsum(0) - count
    of_image = skeleton.num_parts * torch.arange(images, device=device)[:, None]
    plane_from = (of_image + torch.tensor(skeleton.limb_from, device=device)).flatten()
    plane_to = (of_image + torch.tensor(skeleton.limb_to, device=device)).flatten()
    pairs = count[plane_from] * count[plane_to]
    field = torch.repeat_interleave(pairs)
    number = torch.arange(len(field), device=device) - (pairs.cumsum(0) - pairs)[field]
    ends = count[plane_to][field]
    return field, number // ends + first[plane_from][field], number % ends + first[plane_to][field]


def _agreeing(
    field: torch.Tensor,
    start: torch.Tensor,
    end: torch.Tensor,
    xy: torch.Tensor,
    pafs: torch.Tensor,
    settings: DecodeSettings,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return the A pairs whose line follows the PAF: field, start, end (A,), agreement at S sample points (A, S)."""
    height, width = pafs.shape[2:]
    along = torch.from_numpy(sample_positions(settings.limb_samples)).to(xy.device)
    between = xy[end] - xy[start]
    unit = between / torch.hypot(between[:, 0], between[:, 1]).clamp(min=SHORTEST_LIMB)[:, None]
    x = (xy[start, :1] + between[:, :1] * along).clamp(0, width - 1)
    y = (xy[start, 1:] + between[:, 1:] * along).clamp(0, height - 1)
    left, top = x.long().clamp(max=width - 2), y.long().clamp(max=height - 2)
    right_weight, bottom_weight = x - left, y - top
    cell = top * width + left + (field * (2 * height * width))[:, None]
    values = pafs.flatten()
    agreement = torch.zeros_like(x)
    for offset, weight in (
        (0, (1 - right_weight) * (1 - bottom_weight)),
        (1, right_weight * (1 - bottom_weight)),
        (width, (1 - right_weight) * bottom_weight),
        (width + 1, right_weight * bottom_weight),
    ):
        corner = cell + offset
        agreement += weight * (values[corner] * unit[:, :1] + values[corner + height * width] * unit[:, 1:])
    share = (agreement > settings.limb_threshold).double().mean(1)
    keep = share >= settings.limb_share
    return field[keep], start[keep], end[keep], agreement[keep]
