"""Estimate how much longer trials must be for AP to exceed 0, if no trial of a study scored. Pure.

Based on the skill of forecasts, 1 - validation loss / reference loss, where the reference is the loss of empty maps
(nobody detected). AP leaves 0 at a skill between 0.15 and 0.45, for drawn people and for photographs. See
docs/method.md, "When nothing scores", for the accuracy of the estimate.
"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from bench.trials.columns import numbers
from bench.trials.phases import Phase
from bench.trials.status import Status

FIRST_SKILL = (0.15, 0.45)
"""Lowest and highest skill at which AP reaches 0.02, rounded (reports/first-ap-cpu/predictions.csv)."""
GROWTH = (0.45, 1.3)
"""Lowest and highest exponent of the skill's growth with a trial's length before AP leaves 0 (same source)."""
LEAST_SKILL = 0.03
"""Minimum skill for a prediction: below it a network has hardly learned anything."""
LEAST_FALL = 0.01
"""Minimum share by which the loss must have fallen compared with trials of half the length."""
LEAST_SPAN = 1.5
"""Minimum ratio of a range's upper end to its lower end."""
MOST_TIMES = 100.0
"""Maximum upper end that is given as a number, as a multiple of the trials' length."""


UNKNOWN = "at which validation loss this workload scores is not known"
"""Reason why there is no estimate for workloads other than `pose`."""


@dataclass(frozen=True)
class NeededLength:
    """Estimated range of the trial length at which AP exceeds 0.

    Attributes:
        length: Length of the longest trials so far, in ``unit``.
        unit: `step` (or the workload's own word for it), `image`, or `second` of training.
        low: Lower end of the range; None if unknown.
        high: Upper end of the range; None if unknown, or more than `MOST_TIMES` times the length.
        why: Reason why ``low`` is unknown; empty if it is known.
    """

    length: float
    unit: str
    low: float | None = None
    high: float | None = None
    why: str = ""

    def document(self) -> dict[str, Any]:
        """Return the estimate as a JSON document."""
        return {"length": self.length, "unit": self.unit, "low": self.low, "high": self.high, "why": self.why or None}


def estimate_needed_length(records: pd.DataFrame, phase: Phase, *, length: float, unit: str) -> NeededLength:
    """Estimate from validation losses how long trials would have to be for AP to exceed 0.

    Args:
        records: One row per trial; only complete trials of the phase are used. Trials of the last ``round`` have the
            full length, those of earlier rounds half of it; without rounds all have the same length.
        phase: Phase of the trials.
        length: Budget of the longest trials, in ``unit``.
        unit: Unit of ``length``.
    """
    complete = records[(records["phase"] == phase) & (records["status"] == Status.COMPLETE)]
    losses, references, of_round = (_column(complete, name) for name in ("val_loss", "reference_loss", "round"))
    relative = losses / np.where(references > 0, references, np.nan)
    is_known = np.isfinite(relative)
    if not is_known.any():
        return NeededLength(
            length, unit, why="the validation loss of finding nobody, to compare with, was not recorded"
        )
    last = ~(of_round < np.max(of_round))
    if not (is_known & last).any():
        return NeededLength(length, unit, why="none of the longest trials has a validation loss")
    after = float(relative[is_known & last].min())
    before = float(relative[is_known & ~last].min()) if (is_known & ~last).any() else None
    times, why = _times(before, after)
    if times is None:
        return NeededLength(length, unit, why=why)
    low, high = times
    least = max(_rounded(low * length), length)
    return NeededLength(length, unit, least, _rounded(high * length) if high <= MOST_TIMES else None)


def _column(records: pd.DataFrame, name: str) -> np.ndarray:
    return numbers(records[name]) if name in records else np.full(len(records), np.nan)


def _times(before: float | None, after: float) -> tuple[tuple[float, float] | None, str]:
    """Return the lowest and highest factor on the trial length; or None, with the reason.

    The skill is taken to grow with a power of the length, with exponents between the lowest and highest ever measured.
    With trials of two lengths, their own power law also bounds the lower end (it is too optimistic while a network
    begins to learn), and a power law of the loss bounds the upper end (it is too pessimistic).

    Args:
        before: Lowest validation loss of the trials of half the length, relative to the reference; None if there are
            no such trials.
        after: Lowest validation loss of the trials of full length, relative to the reference.
    """
    skill = 1 - after
    if skill < LEAST_SKILL:
        return None, "the validation loss is still about that of finding nobody"
    if skill > FIRST_SKILL[1]:
        return None, (
            "the validation loss has fallen as far as where others score, so the length may not be what is missing: "
            "look at the labels, and at how many people the validation images have"
        )
    low, high = (FIRST_SKILL[0] / skill) ** (1 / GROWTH[1]), (FIRST_SKILL[1] / skill) ** (1 / GROWTH[0])
    if before is not None:
        if after > before * (1 - LEAST_FALL):
            return None, "the validation loss did not fall from trials of half the length"
        growth = math.log2(skill / max(1 - before, LEAST_SKILL / 2))
        low = max(low, (FIRST_SKILL[0] / skill) ** (1 / growth))
        doublings = math.log(after / (1 - FIRST_SKILL[1])) / math.log(before / after)
        high = min(high, 2**doublings)
    low = max(low, 1.0)
    return (low, max(high, LEAST_SPAN * low)), ""


def _rounded(value: float) -> float:
    """Round to one significant digit, or two if the first is 1: the estimate is not more exact than that."""
    digits = -math.floor(math.log10(value))
    return round(value, digits + (value < 2 * 10.0**-digits))
