"""About how much longer trials must be for AP to leave 0, where none of a study scored. Pure.

It rests on the skill of forecasts, 1 - validation loss / reference loss, where the reference are maps with nobody in
them: AP leaves 0 at a skill of 0.15 to 0.45, for drawn people and for photographs. How good the estimate is stands in
docs/method.md, "When nothing scores".
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
"""Skill at which AP reaches 0.02, at the least and at the most, rounded (reports/first-ap-cpu/predictions.csv)."""
GROWTH = (0.45, 1.3)
"""Exponent with which the skill grows with a trial's length before AP leaves 0, at the least and the most (ibid.)."""
LEAST_SKILL = 0.03
"""A skill below this is of a network that has hardly begun: it tells nothing of what comes."""
LEAST_FALL = 0.01
"""Share by which the loss must have fallen from trials of half the length."""
LEAST_SPAN = 1.5
"""Upper end of a range, at least, relative to its lower end."""
MOST_TIMES = 100.0
"""An upper end beyond so many times the length of the trials is not said as a number."""


UNKNOWN = "at which validation loss this workload scores is not known"
"""Why nothing is known of other workloads than `pose`."""


@dataclass(frozen=True)
class Needed:
    """How long trials would have to be.

    Attributes:
        length: Of the longest trials so far, in ``unit``.
        unit: `step`, or whatever the workload calls it; `image`, or `second` of training.
        low: At the least; None: not known.
        high: At the most; None: not known, or beyond `MOST_TIMES` times the length.
        why: Why ``low`` is not known; empty where it is.
    """

    length: float
    unit: str
    low: float | None = None
    high: float | None = None
    why: str = ""

    def document(self) -> dict[str, Any]:
        """Plain data, for JSON."""
        return {"length": self.length, "unit": self.unit, "low": self.low, "high": self.high, "why": self.why or None}


def needed(records: pd.DataFrame, phase: Phase, *, length: float, unit: str) -> Needed:
    """How long trials would have to be for AP to leave 0, by their validation losses.

    Args:
        records: One row a trial; the complete ones of the phase count. Those of the last ``round`` have the whole
            length, those of earlier ones half of it; where there is no round, all have the same length.
        phase: Of the trials.
        length: Budget of the longest of them.
        unit: Of ``length``.
    """
    own = records[(records["phase"] == phase) & (records["status"] == Status.COMPLETE)]
    losses, references, of_round = (_column(own, name) for name in ("val_loss", "reference_loss", "round"))
    with np.errstate(divide="ignore", invalid="ignore"):
        relative = np.where(references > 0, losses / references, np.nan)
    known = np.isfinite(relative)
    if not known.any():
        return Needed(length, unit, why="the validation loss of finding nobody, to compare with, was not recorded")
    last = ~(of_round < np.max(of_round, initial=0.0))
    if not (known & last).any():
        return Needed(length, unit, why="none of the longest trials has a validation loss")
    after = float(relative[known & last].min())
    before = float(relative[known & ~last].min()) if (known & ~last).any() else None
    times, why = _times(before, after)
    if times is None:
        return Needed(length, unit, why=why)
    low, high = times
    least = max(_rounded(low * length), length)
    return Needed(length, unit, least, _rounded(high * length) if high <= MOST_TIMES else None)


def _column(records: pd.DataFrame, name: str) -> np.ndarray:
    return numbers(records[name]) if name in records else np.full(len(records), np.nan)


def _times(before: float | None, after: float) -> tuple[tuple[float, float] | None, str]:
    """How many times as long, at the least and at the most; or None, and why.

    The skill grows with a power of the length, as fast as any has that was measured to as slowly. Where there are two
    lengths, the lower end goes by their own power law too, which promises too much while a network begins, and the
    upper end by a power law of the loss, which promises too little.

    Args:
        before: The least validation loss of the trials of half the length, relative to the reference; None: no such.
        after: That of those of the whole length.
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
        high = min(high, 2 ** min(doublings, 2 * math.log2(MOST_TIMES)))
    low = max(low, 1.0)
    return (low, max(high, LEAST_SPAN * low)), ""


def _rounded(value: float) -> float:
    """To one digit, and to two where it begins with 1: no range of these is more exact."""
    digits = -math.floor(math.log10(value))
    return round(value, digits + (value < 2 * 10.0**-digits))
