"""A slow, simple decoder, image by image, as the reference for the fast one."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from posemodel.config import InputSettings
from posemodel.data.targets import sigma_cells, to_pixels
from posemodel.inference.decoder import DecodeSettings, Detections
from posemodel.skeleton import COCO_PERSON, Skeleton


class Peaks(NamedTuple):
    """part (P,), xy (P, 2) in cells with sub-cell precision, score (P,); sorted by part, best first."""

    part: NDArray[np.int64]
    xy: NDArray[np.float64]
    score: NDArray[np.float64]


class Connections(NamedTuple):
    """Accepted limbs: peak indices of both ends and the score (PAF agreement x mean of the peaks); best first."""

    start: NDArray[np.int64]
    end: NDArray[np.int64]
    score: NDArray[np.float64]


def decode(
    heatmaps: NDArray[np.floating],
    pafs: NDArray[np.floating],
    geometry: InputSettings,
    settings: DecodeSettings = DecodeSettings(),  # noqa: B008 (frozen)
    skeleton: Skeleton = COCO_PERSON,
) -> Detections:
    """Maps (P + 1, C, C) and (2L, C, C) of one image -> its people."""
    peaks = find_peaks(heatmaps[: skeleton.num_parts], sigma_cells(geometry), settings)
    connections = connect(peaks, pafs, settings, skeleton)
    detections = group(peaks, connections, skeleton)
    detections.people[..., :2] = to_pixels(detections.people[..., :2], geometry.stride)
    detections.people[detections.people[..., 2] == 0] = 0
    return detections


def find_peaks(maps: NDArray[np.floating], sigma: float, settings: DecodeSettings) -> Peaks:
    """Local maxima of (P, h, w) above the threshold. Of equal neighbours, the first in reading order is the peak."""
    parts, height, width = maps.shape
    padded = np.full((parts, height + 2, width + 2), -np.inf, np.float32)
    padded[:, 1:-1, 1:-1] = maps
    centre = padded[:, 1:-1, 1:-1]
    is_peak = centre > settings.peak_threshold
    for down in range(3):
        for right in range(3):
            neighbour = padded[:, down : down + height, right : right + width]
            if (down, right) < (1, 1):
                is_peak &= centre > neighbour
            elif (down, right) > (1, 1):
                is_peak &= centre >= neighbour
    part, y, x = np.nonzero(is_peak)
    value = centre[part, y, x].astype(np.float64)
    dx, gain_x = _sub_cell(value, padded[part, y + 1, x], padded[part, y + 1, x + 2], sigma)
    dy, gain_y = _sub_cell(value, padded[part, y, x + 1], padded[part, y + 2, x + 1], sigma)
    score = np.minimum(value * np.exp(gain_x + gain_y), 1.0)

    order = np.lexsort((x, y, -score, part))
    part = part[order]
    rank = np.arange(len(part)) - np.searchsorted(part, part)
    order = order[rank < settings.max_peaks]
    return Peaks(part[rank < settings.max_peaks], np.stack([x + dx, y + dy], axis=1)[order], score[order])


def _sub_cell(
    value: NDArray[np.float64], before: NDArray[np.float32], after: NDArray[np.float32], sigma: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Offset (in cells, at most 0.5) of the top of a Gaussian from its highest cell, and the log gain at the top.

    A Gaussian's logarithm is a parabola, which three cells determine. At the border of the map one neighbour is absent
    (-inf) and the known sigma replaces it.
    """
    tiny = value * 1e-3  # far below what a Gaussian of sigma >= 0.8 leaves in a neighbour cell
    log_value = np.log(value)
    log_before = np.log(np.maximum(before, tiny)) - log_value
    log_after = np.log(np.maximum(after, tiny)) - log_value
    # For offset d: log_after = -(1 - 2d) / (2 sigma^2), log_before = -(1 + 2d) / (2 sigma^2).
    log_before = np.where(np.isneginf(before), -1 / sigma**2 - log_after, log_before)
    log_after = np.where(np.isneginf(after), -1 / sigma**2 - log_before, log_after)
    curvature = log_before + log_after
    slope = log_after - log_before
    safe = np.where(curvature < 0, curvature, -1.0)
    offset = np.where(curvature < 0, np.clip(-slope / (2 * safe), -0.5, 0.5), 0.0)
    return offset, np.minimum(slope * offset / 4, offset**2 / (2 * sigma**2))


def connect(peaks: Peaks, pafs: NDArray[np.floating], settings: DecodeSettings, skeleton: Skeleton) -> Connections:
    """Score every pair of peaks that a limb could join by the PAF along it; each peak keeps its best per limb."""
    bounds = np.searchsorted(peaks.part, np.arange(skeleton.num_parts + 1))
    limbs, starts, ends = [], [], []
    if not skeleton.limbs:
        return Connections(np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0))
    for limb, (part_from, part_to) in enumerate(skeleton.limbs):
        first = np.arange(bounds[part_from], bounds[part_from + 1])
        second = np.arange(bounds[part_to], bounds[part_to + 1])
        starts.append(np.repeat(first, len(second)))
        ends.append(np.tile(second, len(first)))
        limbs.append(np.full(len(first) * len(second), limb))
    limb, start, end = np.concatenate(limbs), np.concatenate(starts), np.concatenate(ends)
    score, share = _limb_scores(peaks.xy[start], peaks.xy[end], limb, pafs, settings)
    keep = (share >= settings.limb_share) & (score > 0)
    limb, start, end, score = limb[keep], start[keep], end[keep], score[keep]
    # A weak second peak beside the true one often lies on the same limb: the peaks decide (docs/decisions.md).
    score *= np.sqrt(peaks.score[start] * peaks.score[end])
    order = np.lexsort((end, start, -score))
    used: set[tuple[int, int]] = set()
    accepted = []
    for i in order.tolist():
        ends_here = (int(limb[i]), int(start[i])), (int(limb[i]), int(end[i]))
        if used.isdisjoint(ends_here):
            used.update(ends_here)
            accepted.append(i)
    return Connections(start[accepted], end[accepted], score[accepted])


def _limb_scores(
    start: NDArray[np.float64],
    end: NDArray[np.float64],
    limb: NDArray[np.int64],
    pafs: NDArray[np.floating],
    settings: DecodeSettings,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean PAF along each candidate segment (L, 2) -> (L, 2) in cells, and the share of sample points that agree."""
    height, width = pafs.shape[1:]
    between = np.linspace(0, 1, settings.limb_samples)
    points = start[:, None] + (end - start)[:, None] * between[:, None]
    length = np.hypot(*(end - start).T)
    unit = (end - start) / np.maximum(length, 1e-9)[:, None]
    x = np.clip(points[..., 0], 0, width - 1)
    y = np.clip(points[..., 1], 0, height - 1)
    left = np.minimum(x.astype(int), width - 2)
    top = np.minimum(y.astype(int), height - 2)
    right_weight, bottom_weight = x - left, y - top
    field = pafs.reshape(-1, 2, height * width)
    flat = top * width + left
    agreement = np.zeros(points.shape[:2])
    for offset, weight in (
        (0, (1 - right_weight) * (1 - bottom_weight)),
        (1, right_weight * (1 - bottom_weight)),
        (width, (1 - right_weight) * bottom_weight),
        (width + 1, right_weight * bottom_weight),
    ):
        vectors = field[limb[:, None], :, flat + offset]
        agreement += weight * (vectors[..., 0] * unit[:, None, 0] + vectors[..., 1] * unit[:, None, 1])
    return agreement.mean(axis=1), (agreement > settings.limb_threshold).mean(axis=1)


def group(peaks: Peaks, connections: Connections, skeleton: Skeleton) -> Detections:
    """Join connected peaks into people, the strongest limbs first; a person has each part once.

    A limb between two people that both have a part of the same kind is dropped; one inside a person adds nothing.
    A peak without a limb is a person of one part (COCO labels such people), with the low score that this earns.
    A person's score is the sum of its part scores over the number of parts.
    """
    person_of = list(range(len(peaks.part)))
    members = {peak: [peak] for peak in person_of}
    for start, end in zip(connections.start.tolist(), connections.end.tolist(), strict=True):
        a, b = person_of[start], person_of[end]
        if a == b:
            continue
        parts = peaks.part[members[a] + members[b]]
        if len(np.unique(parts)) < len(parts):
            continue
        members[a] += members.pop(b)
        for peak in members[a]:
            person_of[peak] = a
    people = np.zeros((len(members), skeleton.num_parts, 3))
    for row, peak_list in enumerate(members.values()):
        people[row, peaks.part[peak_list], :2] = peaks.xy[peak_list]
        people[row, peaks.part[peak_list], 2] = peaks.score[peak_list]
    scores = people[..., 2].sum(axis=1) / skeleton.num_parts
    best_first = np.argsort(-scores, kind="stable")
    return Detections(people[best_first], scores[best_first])
