"""Peaks and candidate limbs of maps in the CPU's memory, in few NumPy calls for a whole batch.

`with_torch` computes the same on a GPU; a property test compares both (tests/posemodel/test_decode.py).
"""

from functools import cache

import numpy as np
from numpy.typing import NDArray

from posemodel.inference.decoder.candidates import (
    FAINTEST_NEIGHBOUR,
    SHORTEST_LIMB,
    Candidates,
    DecodeSettings,
    Limbs,
    Peaks,
    ranked,
    sample_positions,
)
from posemodel.skeleton import Skeleton

DOWN, RIGHT = np.array([(-1, -1), (-1, 0), (-1, 1), (0, -1), (0, 1), (1, -1), (1, 0), (1, 1)]).T
"""Steps from a cell to its eight neighbours, in reading order."""
BEFORE, AFTER = slice(0, 4), slice(4, 8)
"""The neighbours before the cell in reading order, and those after it."""
CROSS = np.array([3, 1, 4, 6])
"""Indices of the left, upper, right and lower neighbour."""
BLOCK = 512
"""Pairs scored at a time: their sample points fit into a core's cache, and noisy maps need little memory."""


def find_candidates(
    heatmaps: NDArray[np.floating],
    pafs: NDArray[np.floating],
    sigma: float,
    settings: DecodeSettings,
    skeleton: Skeleton,
) -> Candidates:
    """Compute the peaks and candidate limbs of maps.

    Args:
        heatmaps: Of the parts, without background: (B, P, h, w), with h and w at least 2.
        pafs: (B, 2L, h, w).
        sigma: Standard deviation of the heatmaps' Gaussians, in cells.
        settings: Thresholds.
        skeleton: Its P parts and L limbs.
    """
    peaks = find_peaks(heatmaps.reshape(-1, *heatmaps.shape[2:]), sigma, settings)
    return Candidates(peaks, find_limbs(peaks, pafs, settings, skeleton), skeleton)


def find_peaks(maps: NDArray[np.floating], sigma: float, settings: DecodeSettings) -> Peaks:
    """Find the local maxima above the threshold in each of N maps (N, h, w); of equal neighbours the first counts."""
    _, height, width = maps.shape
    values = np.ascontiguousarray(maps, np.float32).reshape(-1)
    # Only the few cells above the threshold are compared with their neighbours.
    at = np.flatnonzero(values > settings.peak_threshold)
    neighbours = values.take(at + (DOWN * width + RIGHT)[:, None], mode="clip")
    neighbours += _outside(height, width).take(at % (height * width), axis=1)
    value = values[at]
    is_peak = (value > neighbours[BEFORE].max(axis=0)) & (value >= neighbours[AFTER].max(axis=0))
    at, value, neighbours = at[is_peak], value[is_peak].astype(np.float64), neighbours[:, is_peak]

    offset, gain = _sub_cell(value, neighbours[CROSS], sigma)
    score = np.minimum(value * np.exp(gain[0] + gain[1]), 1.0)
    plane, y, x = np.unravel_index(at, maps.shape)
    xy = (np.array([x, y]) + offset).T
    order = np.lexsort((-score, plane))
    if len(order) > settings.max_peaks:
        count = np.bincount(plane)
        rank = np.arange(len(order)) - np.repeat(count.cumsum() - count, count)
        order = order[rank < settings.max_peaks]
    return Peaks(plane[order], xy[order], score[order])


@cache
def _outside(height: int, width: int) -> NDArray[np.float32]:
    """Return a term to add to each cell's neighbours (8, h * w): -inf for those outside the map, 0 for the others."""
    y, x = np.divmod(np.arange(height * width), width)
    y, x = y + DOWN[:, None], x + RIGHT[:, None]
    inside = (y >= 0) & (y < height) & (x >= 0) & (x < width)
    return np.where(inside, 0, -np.inf).astype(np.float32)


def _sub_cell(
    value: NDArray[np.float64], cross: NDArray[np.float32], sigma: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Locate the top of a Gaussian around its highest cell.

    A Gaussian's logarithm is a parabola, which three cells determine. At the border of the map one neighbour is absent
    (-inf); the known sigma replaces it.

    Args:
        value: The highest cells (Q,).
        cross: Their left, upper, right and lower neighbours (4, Q).
        sigma: Standard deviation of the Gaussians, in cells.

    Returns:
        Offset of the top in cells, at most 0.5, and the logarithm of its height over the cell's value: (2, Q) each,
        first across, then down.
    """
    logs = np.log(np.maximum(cross, value * FAINTEST_NEIGHBOUR)) - np.log(value)
    # For offset d: after = -(1 - 2d) / (2 sigma^2), before = -(1 + 2d) / (2 sigma^2).
    absent = cross == -np.inf
    if absent.any():
        opposite = logs[[2, 3, 0, 1]]
        logs = np.where(absent, -1 / sigma**2 - opposite, logs)
    before, after = logs[:2], logs[2:]
    slope = after - before
    # The curvature is 0 on a plateau only, where the slope is 0 too.
    curvature = np.minimum(before + after, -np.finfo(np.float64).tiny)
    offset = np.minimum(np.maximum(slope / (-2 * curvature), -0.5), 0.5)
    # Where the neighbours do not fit a Gaussian, the parabola can be arbitrarily high: the known sigma bounds it.
    return offset, np.minimum(slope * offset / 4, offset * offset / (2 * sigma**2))


def find_limbs(peaks: Peaks, pafs: NDArray[np.floating], settings: DecodeSettings, skeleton: Skeleton) -> Limbs:
    """Score each pair of peaks that a limb could join by the PAFs (B, 2L, h, w) along it; keep those that follow it."""
    field, start, end = _pairs(peaks, len(pafs), skeleton)
    pafs, xy = np.ascontiguousarray(pafs), peaks.xy.T
    kept, agreements = [], []
    for first in range(0, len(field) or 1, BLOCK):
        block = slice(first, first + BLOCK)
        which, agreement = _agreeing(field[block], xy[:, start[block]], xy[:, end[block]], pafs, settings)
        kept.append(which + first)
        agreements.append(agreement)
    keep = np.concatenate(kept)
    return ranked(peaks, field[keep], start[keep], end[keep], np.concatenate(agreements))


def _pairs(
    peaks: Peaks, images: int, skeleton: Skeleton
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Return field (L * image + limb), start and end peak of every pair that a limb could join, ordered by field."""
    plane_from, plane_to = _planes(skeleton, images)
    count = np.bincount(peaks.plane, minlength=images * skeleton.num_parts)
    first = count.cumsum() - count
    occupied = np.arange(count.max(initial=0)) < count[:, None]
    field, start, end = np.nonzero(occupied[plane_from][:, :, None] & occupied[plane_to][:, None])
    return field, first[plane_from][field] + start, first[plane_to][field] + end


@cache
def _planes(skeleton: Skeleton, images: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the planes of the start and end parts of each field (images * L,)."""
    plane = skeleton.num_parts * np.arange(images)[:, None]
    return (plane + skeleton.limb_from).ravel(), (plane + skeleton.limb_to).ravel()


def _agreeing(
    field: NDArray[np.int64],
    start: NDArray[np.float64],
    end: NDArray[np.float64],
    pafs: NDArray[np.floating],
    settings: DecodeSettings,
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return the A of M segments, from start (2, M) to end (2, M), that follow the PAF, and its agreement (A, S).

    Agreement is the component of the PAF along the segment at each of the S sample points; enough of them must exceed
    the threshold.
    """
    height, width = pafs.shape[2:]
    last = np.array([width - 1, height - 1])[:, None, None]
    between = end - start
    unit = between / np.maximum(np.hypot(between[0], between[1]), SHORTEST_LIMB)
    # Axis, sample, segment: NumPy is fast along a long last axis.
    points = start[:, None] + between[:, None] * sample_positions(settings.limb_samples)[:, None]
    points = np.minimum(np.maximum(points, 0), last)
    cell = np.minimum(points.astype(np.int64), last - 1)
    far = points - cell
    near = 1 - far
    # Field f of the batch is planes 2f (x) and 2f + 1 (y).
    corner = cell[1] * width + cell[0] + field * (2 * height * width)
    corners = corner + np.array([0, 1, width, width + 1])[:, None, None]
    values = pafs.reshape(-1)
    along_limb = values.take(corners) * unit[0]
    along_limb += values.take(corners + height * width) * unit[1]
    agreement = near[0] * near[1] * along_limb[0]
    agreement += far[0] * near[1] * along_limb[1]
    agreement += near[0] * far[1] * along_limb[2]
    agreement += far[0] * far[1] * along_limb[3]
    share = (agreement > settings.limb_threshold).sum(axis=0) / settings.limb_samples
    which = np.flatnonzero(share >= settings.limb_share)
    return which, agreement[:, which].T.copy()
