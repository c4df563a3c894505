"""Decoder settings, and the peaks and limbs that both implementations of the decoder return."""

from functools import cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from posemodel.config import Settings
from posemodel.skeleton import Skeleton

FAINTEST_NEIGHBOUR = 1e-3
"""Lower bound on a peak's neighbours, relative to the peak, so that logarithms are finite; Gaussians stay far above it.
"""
SHORTEST_LIMB = 1e-9
"""Lower bound in cells on the length by which a limb's vector is divided, so that it is never 0."""


class DecodeSettings(Settings):
    """Thresholds of the decoder."""

    peak_threshold: float = 0.1
    """Smallest heatmap value of a peak (OpenPose's published value)."""
    limb_threshold: float = 0.05
    """Smallest agreement of the PAF with a limb's direction at one sample point (OpenPose's published value)."""
    limb_share: float = 0.6
    """Share of a limb's sample points that must agree (OpenPose publishes 0.8; see docs/decisions.md)."""
    limb_samples: int = 10
    """Points sampled on the segment between two peaks (OpenPose's published value)."""
    max_peaks: int = 64
    """Maximum number of peaks for each part, the strongest first; it limits the number of pairs to score on a noisy
    map."""


class Peaks(NamedTuple):
    """Peaks of a batch: plane (Q,) is P * image + part; xy (Q, 2) is in cells with sub-cell precision; score (Q,).

    P is the skeleton's number of parts. Sorted by plane, then by score, then in reading order.
    """

    plane: NDArray[np.int64]
    xy: NDArray[np.float64]
    score: NDArray[np.float64]


class Limbs(NamedTuple):
    """Candidate limbs of a batch: field (M,) is L * image + limb; start and end (M,) index the peaks at its ends.

    L is the skeleton's number of limbs; score (M,) is the PAF agreement times the geometric mean of both peaks. Sorted
    by score, then start, then end.
    """

    field: NDArray[np.int64]
    start: NDArray[np.int64]
    end: NDArray[np.int64]
    score: NDArray[np.float64]


class Candidates(NamedTuple):
    """Peaks and candidate limbs of a skeleton: the input of the grouping."""

    peaks: Peaks
    limbs: Limbs
    skeleton: Skeleton


@cache
def sample_positions(samples: int) -> NDArray[np.float64]:
    """Return the positions (S,) of the sample points along a limb, from 0 to 1."""
    return np.linspace(0, 1, samples)


def ranked(
    peaks: Peaks,
    field: NDArray[np.int64],
    start: NDArray[np.int64],
    end: NDArray[np.int64],
    agreement: NDArray[np.float64],
) -> Limbs:
    """Score limbs by the PAF's mean agreement at their S sample points (M, S) times the geometric mean of their peaks.

    Limbs of a mean agreement of 0 or less are dropped; the others are sorted, the highest score first.
    """
    score = agreement.sum(axis=1) / agreement.shape[1]
    along = np.flatnonzero(score > 0)
    field, start, end = field[along], start[along], end[along]
    # A weak second peak beside the true one often lies on the same limb: the peaks' scores decide (docs/decisions.md).
    score = score[along] * np.sqrt(peaks.score[start] * peaks.score[end])
    order = np.lexsort((end, start, -score))
    return Limbs(field[order], start[order], end[order], score[order])
