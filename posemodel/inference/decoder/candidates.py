"""What both ways of finding candidates share: the thresholds, and the form of what they find."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from posemodel.config import Settings


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
    """Peaks kept of each part, the strongest first: bounds the pairs to score on a noisy map."""


class Peaks(NamedTuple):
    """Peaks of a batch: plane (P,) is 18 * image + part; xy (P, 2) in cells with sub-cell precision; score (P,).

    Sorted by plane, best first; equal ones in reading order.
    """

    plane: NDArray[np.int64]
    xy: NDArray[np.float64]
    score: NDArray[np.float64]


class Limbs(NamedTuple):
    """Limbs that the PAFs allow: field (L,) is 19 * image + limb; start, end (L,) index the peaks of both ends.

    Score: PAF agreement x mean of the peaks. Best first; equal ones by start, then end.
    """

    field: NDArray[np.int64]
    start: NDArray[np.int64]
    end: NDArray[np.int64]
    score: NDArray[np.float64]


class Candidates(NamedTuple):
    """All that is needed to group peaks into people."""

    peaks: Peaks
    limbs: Limbs


def ranked(
    peaks: Peaks,
    field: NDArray[np.int64],
    start: NDArray[np.int64],
    end: NDArray[np.int64],
    agreement: NDArray[np.float64],
) -> Limbs:
    """Limbs (L,) by score, from the PAF's agreement at their sample points (L, S); without those against the PAF."""
    score = agreement.sum(axis=1) / agreement.shape[1]
    along = np.flatnonzero(score > 0)
    field, start, end = field[along], start[along], end[along]
    # A weak second peak beside the true one often lies on the same limb: the peaks decide (docs/decisions.md).
    score = score[along] * np.sqrt(peaks.score[start] * peaks.score[end])
    order = np.lexsort((end, start, -score))
    return Limbs(field[order], start[order], end[order], score[order])
