"""Progress of a single trial: running in a worker, or done."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from bench.trials.score_names import AP_SCORE, LOSS_SCORE
from bench.trials.score_scale import REFERENCE_LOSS, skill
from bench.trials.status import Status

MS = 1000
SECONDS = "seconds"
"""Name of a trial's wall time among its results in the ledger."""
MEASURED = ("ap", "images_per_s", "train_seconds", "eval_seconds", LOSS_SCORE, REFERENCE_LOSS)
"""Metrics of an `EndedTrial`."""


@dataclass(frozen=True)
class EndedTrial:
    """An ended trial with its results; values that its record lacks, or cannot be read, are None."""

    trial_id: str
    phase: str
    optimizer: str
    status: Status
    ap: float | None = None
    images_per_s: float | None = None
    seconds: float | None = None
    """Wall time from the begin of its MLflow run to the end, including recording."""
    train_seconds: float | None = None
    eval_seconds: float | None = None
    val_loss: float | None = None
    reference_loss: float | None = None
    """Validation loss of detecting nobody."""
    row: Mapping[str, Any] = field(default_factory=dict, compare=False, repr=False)
    """The row of its record, with the score of somebody's own workload."""

    def measured(self, name: str) -> float | None:
        """Return a metric of its record; None if it was not measured."""
        return self.ap if name == AP_SCORE else _finite(self.row.get(name))

    @property
    def skill(self) -> float | None:
        """Skill of its validation loss, see `bench.trials.score_scale.skill`."""
        if self.val_loss is None or self.reference_loss is None:
            return None
        return _finite(float(skill(np.array(self.val_loss), np.array(self.reference_loss))))

    @classmethod
    def of(cls, row: Mapping[str, Any], seconds: float | None) -> "EndedTrial":
        """Create it from a row of the records (`Record.as_row`), in which None or NaN means not measured.

        ``seconds``: wall time of the trial.
        """
        values = {name: _finite(row.get(name)) for name in MEASURED}
        return cls(
            row["trial_id"],
            row["phase"],
            row["optimizer"],
            Status(row["status"]),
            seconds=_finite(seconds),
            row=row,
            **values,
        )


def results_for_displays(metrics: Mapping[str, float], score: str, seconds: float | None) -> dict[str, float]:
    """Return what displays show of an ended trial, as the ledger keeps it; what is not finite is left out.

    Args:
        metrics: The metrics of its record.
        score: Name of its workload's score among these.
        seconds: Wall time of the trial; None if unknown.
    """
    wanted = {name: metrics.get(name) for name in (*MEASURED, score)} | {SECONDS: seconds}
    return {name: value for name, each in wanted.items() if (value := _finite(each)) is not None}


def recorded(rows: Iterable[Mapping[str, Any]]) -> dict[str, EndedTrial]:
    """Return the ended trials by id from rows of the records table, which include each run's begin and end."""
    return {row["trial_id"]: EndedTrial.of(row, (row["ended_ms"] - row["started_ms"]) / MS) for row in rows}


@dataclass(frozen=True)
class RunningTrial:
    """A trial that a living worker runs."""

    trial_id: str
    phase: str
    optimizer: str
    seed: int
    steps: int | None
    """Budget in steps; None if the budget is in seconds of training."""
    since: float
    """Start of the trial, in seconds since the epoch."""
    host: str
    pid: int
    step: int | None = None
    """Last reported step; None if only the ledger is known."""
    seconds: float | None = None
    """Budget in seconds of training; None if the budget is in steps."""
    train_seconds: float | None = None
    """Training seconds used, as last reported."""


def _finite(value: Any) -> float | None:
    return float(value) if isinstance(value, (int, float)) and math.isfinite(value) else None
