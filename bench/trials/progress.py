"""One trial of a study as it goes: in a worker's hands, or done."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from bench.trials.score_names import LOSS_SCORE
from bench.trials.scores import REFERENCE_LOSS, skill
from bench.trials.status import Status

MS = 1000


@dataclass(frozen=True)
class Done:
    """A trial that has ended: how, and what it cost. None where its record is out of reach."""

    trial_id: str
    phase: str
    optimizer: str
    status: Status
    ap: float | None = None
    images_per_s: float | None = None
    seconds: float | None = None
    """From the beginning of its run to the end, recording included."""
    train_seconds: float | None = None
    eval_seconds: float | None = None
    val_loss: float | None = None
    reference_loss: float | None = None
    """The validation loss of finding nobody."""

    @property
    def skill(self) -> float | None:
        """Of its validation loss."""
        if self.val_loss is None or self.reference_loss is None:
            return None
        return _finite(float(skill(np.array(self.val_loss), np.array(self.reference_loss))))

    @classmethod
    def of(cls, row: Mapping[str, Any], seconds: float | None) -> "Done":
        """A row of the records (`Record.as_row`); None or NaN stands for what was not measured."""
        measured = ("ap", "images_per_s", "train_seconds", "eval_seconds", LOSS_SCORE, REFERENCE_LOSS)
        values = {name: _finite(row.get(name)) for name in measured}
        return cls(
            row["trial_id"], row["phase"], row["optimizer"], Status(row["status"]), seconds=_finite(seconds), **values
        )


def recorded(rows: Iterable[Mapping[str, Any]]) -> dict[str, Done]:
    """Rows of the table of records by trial id; each has its run's begin and end."""
    return {row["trial_id"]: Done.of(row, (row["ended_ms"] - row["started_ms"]) / MS) for row in rows}


@dataclass(frozen=True)
class RunningTrial:
    """A trial that a living worker runs."""

    trial_id: str
    phase: str
    optimizer: str
    seed: int
    steps: int | None
    """None where its budget is in seconds of training."""
    since: float
    """Seconds since the epoch."""
    host: str
    pid: int
    step: int | None = None
    """The last step heard of; None where only the ledger is known."""
    seconds: float | None = None
    """Its budget in seconds of training; None where it is in steps."""
    train_seconds: float | None = None
    """Training seconds used, as last reported."""


def _finite(value: Any) -> float | None:
    return float(value) if isinstance(value, (int, float)) and math.isfinite(value) else None
