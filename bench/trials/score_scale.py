"""The scale of a single trial's score: what a failed run counts, and below which score a run has learned nothing."""

import numpy as np

from bench.workloads.score import COLLAPSE_SHARE, Score

REFERENCE_LOSS = "reference_loss"
"""Metric: the validation loss of detecting nobody, on the same split as `val_loss`."""
SELECT_SUFFIX = "_select"
"""Suffix of metrics that were measured on the select split in addition."""
WORST_SCORE = 0.0
"""Score of a trial that diverged, failed, ran out of memory or timed out: the lowest AP, never a missing value."""

SKILL_SCORE = Score("skill", failure=0.0)
"""The score of a study that is judged by validation loss, see `skill`."""

AP_FLOOR = 0.02
"""`collapse_floor` of AP."""


def collapse_floor(score: Score) -> float:
    """Return the gain below which a run has learned nothing: 0.02 for AP."""
    return score.gain(score.chance) + COLLAPSE_SHARE * score.scale


def skill(losses: np.ndarray, references: np.ndarray) -> np.ndarray:
    """Return the skill 1 - loss / reference, but at least 0: the share of the empty-map loss that training removed.

    Args:
        losses: Validation losses.
        references: Losses of detecting nobody on the same split; array of the same shape.

    Returns:
        Array of the same shape with values from 0 to 1; NaN if the loss or the reference is unknown.
    """
    is_known = np.isfinite(losses) & np.isfinite(references) & (references > 0)
    return np.where(is_known, np.maximum(1 - losses / np.where(is_known, references, 1.0), 0.0), np.nan)
