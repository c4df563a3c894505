"""What a report shows: the frames and sentences of the analysis, with the study and the machine."""

import json
from dataclasses import dataclass
from typing import Any

import pandas as pd

from bench.analysis import TimeUse, to_json_safe
from bench.record import Samples
from bench.spec import StudySpec


@dataclass(frozen=True)
class LeaderSamples:
    """What the optimizer with the best mean AP found in the sample images, with its first confirm seed."""

    optimizer: str
    seed: int
    ap: float
    run_id: str
    samples: Samples


@dataclass(frozen=True)
class StudyResult:
    """Everything that a report of an optimizers study needs."""

    spec: StudySpec
    planned: int
    records: pd.DataFrame
    curves: pd.DataFrame
    """The evaluations: a row for each step of a trial at which AP or validation loss was measured."""
    summary: pd.DataFrame
    """From `summarize`, with the columns of `costs` and of `chosen_rows` beside it."""
    seeds: pd.DataFrame
    """From `seed_rows`."""
    scores: pd.DataFrame
    """From `score_table`."""
    bands: dict[tuple[str, str], pd.DataFrame]
    """From `curve_bands`, by (value, over)."""
    sensitivity: pd.DataFrame
    """From `lr_sensitivity`."""
    time_use: TimeUse | None
    """None where a study of an earlier version did not record it."""
    leader_samples: LeaderSamples | None
    """None before there are any."""
    verdict: str
    comparable: bool
    """False where the budget is too small for an order: then nothing is ranked."""
    machine: dict[str, str]
    command: str
    """The command that makes the study again."""

    def trials(self) -> dict[str, int]:
        """Trials by status; `complete`, `diverged` and the faults are always there."""
        counts = dict.fromkeys(("complete", "diverged", "failed", "out_of_memory", "timed_out"), 0)
        for status in self.records["status"]:
            counts[str(status)] += 1
        return {**counts, "recorded": len(self.records), "planned": self.planned}

    def status(self) -> str:
        """`complete` once every planned trial has a record, else `unfinished`."""
        return "complete" if len(self.records) >= self.planned else "unfinished"

    def document(self, report: str) -> dict[str, Any]:
        """The JSON contract of `posebench study optimizers`."""
        rows = self.summary.to_dict(orient="records")
        return to_json_safe(
            {
                "study": self.spec.name,
                "kind": self.spec.kind,
                "preset": self.spec.preset,
                "status": self.status(),
                "trials": self.trials(),
                "optimizers": [row | {"settings": json.loads(row["settings"])} for row in rows],
                "comparable": self.comparable,
                "time": self._time(),
                "verdict": self.verdict,
                "report": report,
            }
        )

    def _time(self) -> dict[str, float] | None:
        names = ("wall_s", "train_s", "eval_s", "data_s", "other_s", "overhead_share")
        return None if self.time_use is None else {name: getattr(self.time_use, name) for name in names}
