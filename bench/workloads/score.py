"""The score by which a workload's trained settings are judged: its name, direction, range, chance and failure."""

import math
import re
from dataclasses import dataclass
from typing import Literal, TypeVar

import numpy as np

MARGIN_SHARE = 0.005
"""Share of a score's range that is its margin of practical equivalence if the workload gives none."""
DIGITS = 13
"""Digits before and after the point in which `Score.at` returns a score that was a gain."""
_N = TypeVar("_N", float, "np.ndarray")
METRIC_NAME = re.compile(r"[a-z][a-z0-9_]*")
COLLAPSE_SHARE = 0.02
"""Share of a score's range above chance level; a run that scores below that has learned nothing."""
RANGE_TOLERANCE = 1e-9
"""Share of its range by which a measured score may lie outside, through rounding."""
TAKEN_NAMES = frozenset(
    (
        *("trial_id", "phase", "index", "optimizer", "hyperparameters", "at_border", "weight_decay", "seed", "status"),
        *("steps_done", "network", "size", "batch_size", "num_workers", "pin_memory", "effective_pin_memory", "device"),
        *("torch_threads", "concurrent_trials", "data_digest", "error", "implementation", "control_of", "tuning"),
        *("round", "metrics", "run_id", "started_ms", "ended_ms", "study", "step", "time_ms", "number", "score"),
        *("loss", "val_loss", "reference_loss", "lr", "images_per_s", "data_wait_share", "train_seconds"),
        *("eval_seconds", "samples_seconds", "seconds", "optimizer_step_ms", "optimizer_state_bytes", "measured_ap"),
        *("memory", "shared_memory", "skipped_images", "skipped_annotations"),
        *("ap_best", "ap_best_step", "ap_select", "ap_when_pruned"),
        *("driving", "gradient_evaluations_per_update", "updates", "schedule", "gpu"),
    )
)
"""Names of the suite's own metrics and columns of records and curves, which no score may have; `gpu_...` neither."""


@dataclass(frozen=True)
class Score:
    """The score by which trained settings are judged, in its own unit.

    Example:
        Score("accuracy", "maximize", low=0, high=100, chance=10)
        Score("cross_entropy", "minimize", low=0, high=math.inf, chance=math.log(10), failure=20, margin=0.005)
    """

    name: str
    """Name of the metric that holds the score, in tables and figures too: a word like `accuracy` or `val_error`."""
    direction: Literal["maximize", "minimize"] = "maximize"
    low: float = 0.0
    """Lowest possible score; may be ``-math.inf``."""
    high: float = 1.0
    """Highest possible score; may be ``math.inf``."""
    chance: float = math.nan
    """Score of a run that has learned nothing; NaN: the worst end of the range, or ``failure`` if that is infinite."""
    failure: float = math.nan
    """Score that counts for a run that did not complete: finite; NaN: the worst end of the range."""
    margin: float = math.nan
    """Difference up to which two scores are as good as equal in practice; NaN: 0.5 % of the range,
    if that is finite. Twice that in a study that goes on until it is decided."""

    def __post_init__(self) -> None:
        """Fill in what follows from the rest."""
        worst = self.low if self.sign > 0 else self.high
        failure = worst if math.isnan(self.failure) else self.failure
        chance = self.chance if not math.isnan(self.chance) else worst if math.isfinite(worst) else failure
        margin = self.margin if not math.isnan(self.margin) else MARGIN_SHARE * (self.high - self.low)
        for name, value in (("failure", failure), ("chance", chance), ("margin", margin)):
            object.__setattr__(self, name, value)

    @property
    def sign(self) -> int:
        """1 if higher is better, else -1."""
        return -1 if self.direction == "minimize" else 1

    @property
    def scale(self) -> float:
        """The range of the score; of an infinite one, the range of which the margin is the usual share."""
        span = self.high - self.low
        return span if math.isfinite(span) else self.margin / MARGIN_SHARE

    @property
    def gains(self) -> tuple[float, float]:
        """Lowest and highest possible gain."""
        low, high = sorted((self.gain(self.low), self.gain(self.high)))
        return low, high

    def gain(self, value: _N) -> _N:
        """Return by how much a score is better than that of a failed run: an analysis reads gains, of which higher is
        better and 0 is a failed run. The gain of an AP is the AP."""
        return self.sign * (value - self.failure) if self.failure or self.sign < 0 else value

    def at(self, gain: _N) -> _N:
        """Return the score with a gain, without the rounding error of the way there and back."""
        if not self.failure and self.sign > 0:
            return gain
        digits = DIGITS - math.ceil(math.log10(abs(self.failure))) if self.failure else DIGITS
        score: _N = np.round(self.failure + self.sign * gain, digits)
        return score

    def in_range(self, value: float) -> bool:
        """Return whether a measured value can be a score: a finite number from low to high, except for rounding."""
        tolerance = RANGE_TOLERANCE * self.scale
        return math.isfinite(value) and self.low - tolerance <= value <= self.high + tolerance

    def faults(self) -> list[str]:
        """Return what is wrong with it, in words; empty if it can be used."""
        worst, inside = ("low", "high")[self.sign < 0], f"from low ({self.low:g}) to high ({self.high:g})"
        is_finite = math.isfinite(self.failure) and math.isfinite(self.margin)  # else that is the fault
        floor = self.chance + self.sign * COLLAPSE_SHARE * self.scale
        checks = (
            (METRIC_NAME.fullmatch(self.name), f"name {self.name!r} must be a word such as `accuracy`"),
            (
                self.name not in TAKEN_NAMES and not self.name.startswith("gpu_"),
                f"name {self.name!r} is that of a column of the suite's own: take another, such as `val_error`",
            ),
            (
                self.direction in ("maximize", "minimize"),
                f"direction {self.direction!r} must be `maximize` or `minimize`",
            ),
            (self.low < self.high, f"low ({self.low:g}) must be below high ({self.high:g})"),
            (self.low <= self.chance <= self.high, f"chance ({self.chance:g}) must be {inside}"),
            (
                not is_finite or not self.low <= self.chance <= self.high or self.low <= floor <= self.high,
                f"chance ({self.chance:g}) must leave room for better scores: a run has learned something from "
                f"{floor:g} on, which is outside {self.low:g} to {self.high:g}",
            ),
            (
                not is_finite or self.sign * (self.chance - self.failure) >= 0,
                f"failure ({self.failure:g}) must not be better than chance ({self.chance:g})",
            ),
            (
                math.isfinite(self.failure) and self.low <= self.failure <= self.high,
                f"failure ({self.failure:g}) must be a finite score {inside}; give one, as {worst} is not finite"
                if not math.isfinite(self.failure)
                else f"failure ({self.failure:g}) must be {inside}",
            ),
            (
                math.isfinite(self.margin) and self.margin > 0,
                f"margin ({self.margin:g}) must be a positive number: the difference that does not matter in practice",
            ),
        )
        return [text for fine, text in checks if not fine]
