"""The measure by which a study compares optimizers, in words and numbers: AP, the skill of the validation loss, or the
score of somebody's own workload.

An analysis reads gains (`Score.gain`), of which higher is better; a `Measure` turns them back where they are shown.
"""

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import numpy as np

from bench.report.cells import interval_cell, known, number_cell
from bench.trials.score_names import AP_SCORE, LOSS_SCORE, ScoreName
from bench.trials.score_scale import SKILL_SCORE, collapse_floor
from bench.workloads.score import Score

if TYPE_CHECKING:
    import pandas as pd

DECIMALS = 3
"""Decimals of a score whose range is 1, as AP's."""
MOST_DECIMALS = 9
TOO_LOW = 0.05
"""A mean AP, or skill, below this means that training has hardly begun: an order among such scores is noise. Of any
other score, the share of its range above chance."""
_N = TypeVar("_N", float, np.ndarray, "pd.Series[float]")

SKILL_DEFINITION = (
    "Skill: the share by which the network reduces the loss of finding nobody; 0 is no better than that, 1 is perfect."
)
SKILL_LIMITS = (
    "A lower validation loss does not always find more people, and some skill is possible without looking at the "
    "image: compare by AP as soon as it is above chance."
)

AP_ABOVE_CHANCE = "AP is above chance for all optimizers here: compare by AP, with `--score ap` under another `--name`."
"""Sentence that is added if AP is above chance for all optimizers."""


@dataclass(frozen=True)
class Measure:
    """The measure that a study's scores are in.

    Attributes:
        score: Name of the score that judges the study: ``ap`` for the workload's own.
        name: Name before a number: ``AP 0.292``.
        unit: Unit behind a number: ``0.021 AP``.
        own: The score: its direction, range, chance and failure.
        samples: What is trained on, plural: ``images``.
        defined: A sentence that defines the measure; empty for AP, which readers know.
        limits: A sentence on what the measure does not show; empty if none is needed.
    """

    score: ScoreName
    name: str
    unit: str
    own: Score
    samples: str = "images"
    defined: str = ""
    limits: str = ""

    def document(self) -> dict[str, str]:
        """Return name and direction of the score for JSON."""
        name, direction = (LOSS_SCORE, "minimize") if self.is_loss else (self.own.name, self.own.direction)
        return {"name": name, "direction": direction}

    @property
    def title(self) -> str:
        """The name as the beginning of a sentence; that of a metric as it is written."""
        return self.name if self.is_own else self.name[0].upper() + self.name[1:]

    @property
    def is_loss(self) -> bool:
        """Whether it is computed from validation losses, which are then shown beside it."""
        return self.score == LOSS_SCORE

    @property
    def is_ap(self) -> bool:
        """Whether it is AP, or the score of a workload that has AP's name and range."""
        return self.score == AP_SCORE and self.own == AP.own

    @property
    def is_own(self) -> bool:
        """Whether it is the score of somebody's own workload."""
        return not (self.is_ap or self.is_loss)

    @property
    def chance(self) -> float:
        """Gain of a run that has learned nothing: 0 for AP."""
        return self.own.gain(self.own.chance)

    @property
    def too_low(self) -> float:
        """Gain below which training has hardly begun: 0.05 for AP."""
        return self.chance + TOO_LOW * self.own.scale

    @property
    def too_low_text(self) -> str:
        """The score at which training has hardly begun."""
        return f"{self.shown(self.too_low):g}"

    @property
    def floor_text(self) -> str:
        """The score at which a run has learned nothing."""
        return f"{self.shown(collapse_floor(self.own)):g}"

    @property
    def failure_text(self) -> str:
        """The score that counts for a failed run."""
        return f"{self.own.failure:g}"

    @property
    def worse(self) -> str:
        """The side of a score on which others are worse: ``under``."""
        return "under" if self.own.sign > 0 else "above"

    @property
    def higher(self) -> str:
        """The word for a better score: ``higher``."""
        return "higher" if self.own.sign > 0 else "lower"

    @property
    def highest(self) -> str:
        """The word for the best score: ``highest``."""
        return "highest" if self.own.sign > 0 else "lowest"

    def axis_label(self, split: str) -> str:
        """Return the label of an axis with scores on a split."""
        return f"{self.name} ({split} split)" + ("\nlower is better" if self.own.sign < 0 else "")

    @property
    def decimals(self) -> int:
        """Number of decimals: three for a range of 1."""
        return min(max(DECIMALS - round(math.log10(self.own.scale)), 0), MOST_DECIMALS)

    def shown(self, gain: _N) -> _N:
        """Return the score with a gain."""
        return self.own.at(gain)  # type: ignore[type-var]

    def turned(self, difference: _N) -> _N:
        """Return a difference of gains as a difference of scores."""
        return self.own.sign * difference

    def text(self, gain: Any) -> str:
        """Return the score with a gain as text; `-` if it is not known."""
        return number_cell(self.shown(gain) if known(gain) else gain, f".{self.decimals}f")

    def gap_text(self, gap: float) -> str:
        """Return the size of a difference as text."""
        return f"{gap:.{self.decimals}f}"

    def interval(self, gain: Any, low: Any, high: Any) -> str:
        """Return the score with a gain and its interval: `0.181 [0.160, 0.200]`."""
        return interval_cell(*self.ends(gain, low, high), f".{self.decimals}f")

    def difference(self, middle: Any, low: Any, high: Any) -> str:
        """Return a difference of gains as one of scores, with its interval: `+0.021 [+0.010, +0.032]`."""
        return interval_cell(*self.turned_ends(middle, low, high), f"+.{self.decimals}f")

    def scored_text(self, name: str, gain: float, low: float, high: float) -> str:
        """Return ``adam 0.520 [0.501, 0.540]``; without the interval if its ends are not known."""
        return f"{name} {self.interval(gain, low, high)}"

    def ends(self, gain: Any, low: Any, high: Any) -> tuple[Any, Any, Any]:
        """Return the score with a gain, and the lower and the upper end of its interval."""
        ends = tuple(self.shown(end) if known(end) else end for end in self._in_order(low, high))
        return self.shown(gain) if known(gain) else gain, *ends

    def turned_ends(self, middle: Any, low: Any, high: Any) -> tuple[Any, Any, Any]:
        """Return a difference of gains as one of scores, and the lower and the upper end of its interval."""
        return self.turned(middle), *map(self.turned, self._in_order(low, high))

    def _in_order(self, low: Any, high: Any) -> tuple[Any, Any]:
        return (low, high) if self.own.sign > 0 else (high, low)


AP = Measure(AP_SCORE, "AP", "AP", Score(AP_SCORE, failure=0.0))
SKILL = Measure(LOSS_SCORE, "skill", "in skill", SKILL_SCORE, defined=SKILL_DEFINITION, limits=SKILL_LIMITS)
UNKNOWN = Measure(AP_SCORE, "score", "in score", Score("score", failure=0.0), "samples")
"""The measure of a workload that cannot be loaded here."""


class Scored(Protocol):
    """The part of a workload that says how it is judged."""

    @property
    def score(self) -> Score:
        """The workload's score."""

    @property
    def sample_name(self) -> str:
        """What is trained on, plural: ``images``."""


def measure_of(score: ScoreName, workload: Scored) -> Measure:
    """Return the measure of a study.

    Args:
        score: The study's setting: ``ap`` (the workload's own score) or ``val_loss``.
        workload: What its trials train.
    """
    if score == LOSS_SCORE:
        return SKILL
    own = workload.score
    if own == AP.own:
        return replace(AP, samples=workload.sample_name)
    better = "higher" if own.sign > 0 else "lower"
    defined = f"For {own.name}, {better} is better; a run that failed counts as {own.failure:g}."
    return Measure(score, own.name, f"in {own.name}", own, workload.sample_name, defined)
