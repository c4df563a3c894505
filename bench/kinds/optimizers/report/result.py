"""What the pages of an optimizers study show: its analysis, with its specification and the machine."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from bench.kinds.optimizers.analysis import StudyAnalysis, TimeUse
from bench.kinds.optimizers.analysis.losses import VAL_LOSS_MEAN
from bench.kinds.optimizers.analysis.measure import Measure
from bench.kinds.optimizers.report.in_skill import named, named_finalist
from bench.kinds.optimizers.spec import StudySpec
from bench.report.findings import Code
from bench.report.wording import in_one_line
from bench.trials.columns import rows_of
from bench.trials.needed import Needed
from bench.trials.phases import CONFIRM
from bench.trials.scores import REFERENCE_LOSS
from bench.trials.status import Status
from bench.workloads.protocol import Samples

SAME_REFERENCE = 1e-3
"""By so much, relative, may the reference losses of one split differ: in what order a device adds up."""
COMPARISON_KEYS = {"mean_difference": "difference", "t_p": "p", "t_p_adjusted": "p_adjusted"}
"""Names in JSON of a comparison's columns, where they are others."""


@dataclass(frozen=True)
class LeaderSamples:
    """What the optimizer with the best mean score found in the sample images, in its first confirm trial."""

    optimizer: str
    seed: int
    ap: float
    run_id: str
    samples: Samples


@dataclass(frozen=True)
class Lines:
    """What to paste to train with an optimizer's settings: ``python`` builds it, ``command`` (may be empty) trains."""

    python: str
    command: str
    note: str = ""
    """What the command gives, in a sentence."""
    trial_id: str | None = None
    """The confirm trial that the command repeats; None: none has completed."""

    def codes(self) -> list[Code]:
        """The command to paste; none of a workload that has none."""
        return [Code("", self.command, self.note)] if self.command else []


@dataclass(frozen=True)
class StudyResult:
    """Everything that a report of an optimizers study needs."""

    spec: StudySpec
    planned: int
    records: pd.DataFrame
    curves: pd.DataFrame
    """The evaluations: a row for each step of a trial at which AP or validation loss was measured."""
    analysis: StudyAnalysis
    """What they say, without the trials of controls."""
    needed: Needed | None
    """How long trials would have to be, where nothing scored and so nothing was confirmed; None: it was, or will be."""
    time_use: TimeUse | None
    """None where a study of an earlier version did not record it."""
    leader_samples: LeaderSamples | None
    """None before there are any."""
    machine: dict[str, str]
    command: str
    """The command that makes the study again."""
    lines: Mapping[str, Lines]
    """Lines to paste of each optimizer with a finalist."""
    sheet: bytes | None
    """The leader's sample images, drawn: a JPEG file; None where there are none."""

    @property
    def measure(self) -> Measure:
        """What the study compares by."""
        return self.analysis.measure

    @property
    def reference_loss(self) -> float | None:
        """Validation loss of finding nobody, on the report split; None where the trials' own ones differ."""
        known = self.records.reindex(columns=["phase", REFERENCE_LOSS])
        references = known.loc[known["phase"] == CONFIRM, REFERENCE_LOSS].dropna().astype(float)
        if references.empty or references.max() > references.min() * (1 + SAME_REFERENCE):
            return None
        return float(references.median())

    def trials(self) -> dict[str, int]:
        """Trials by status, each status there; and how many are recorded and planned, those of controls included."""
        counts = dict.fromkeys((str(status) for status in Status), 0)
        for status in self.records["status"]:
            counts[str(status)] += 1
        return {**counts, "recorded": len(self.records), "planned": self.planned}

    def status(self) -> str:
        """`complete` once every planned trial has a record, else `unfinished`."""
        return "complete" if len(self.records) >= self.planned else "unfinished"

    def document(self) -> dict[str, Any]:
        """The kind's own keys of the JSON document."""
        found = self.analysis
        return {
            "tunings": self.spec.tunings,
            "seeds": self.spec.seeds,
            "best": found.best,
            **self._train(found.recommended),
            "optimizers": [
                row | self._train([row["name"]]) | self._finalists(row)
                for row in _with_settings(
                    named(found.summary.merge(_views(found.views), on="name", how="left"), self.measure)
                )
            ],
            "comparisons": self._comparisons(),
            "controls": _with_settings(named(found.controls, self.measure)),
            "comparable": found.comparable,
            "time": self._time(),
            **({} if self.needed is None else {"needed": self.needed.document()}),
            **({"score": self.measure.score} if self.measure.is_loss else {}),
        }

    def _finalists(self, row: Mapping[str, Any]) -> dict[str, Any]:
        return {"finalists": [named_finalist(each, self.measure) for each in row["finalists"]]}

    def _comparisons(self) -> pd.DataFrame:
        """The pairs; of a study that is judged by validation loss with the means of the skill's difference by name."""
        pairs = self.analysis.comparisons.rename(columns=COMPARISON_KEYS)
        if not self.measure.is_loss:
            return pairs
        losses = dict(zip(self.analysis.summary["name"], self.analysis.summary[VAL_LOSS_MEAN], strict=True))
        return pairs.assign(
            skill_difference=pairs["difference"],
            skill_low=pairs["low"],
            skill_high=pairs["high"],
            val_loss_difference=pairs["a"].map(losses) - pairs["b"].map(losses),
        )

    def _train(self, names: Sequence[str]) -> dict[str, str | None]:
        """The command to paste of the first of these optimizers that has one, and the trial that it repeats."""
        lines = next((self.lines[name] for name in names if name in self.lines), None)
        command = in_one_line(lines.command) if lines is not None and lines.command else None
        return {"train_command": command, "train_trial_id": lines.trial_id if lines is not None and command else None}

    def _time(self) -> dict[str, float] | None:
        names = ("wall_s", "train_s", "eval_s", "data_s", "other_s", "overhead_share")
        return None if self.time_use is None else {name: getattr(self.time_use, name) for name in names}


def _with_settings(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """Rows whose ``settings`` are an object, no text."""
    return [row | {"settings": json.loads(row["settings"])} for row in rows_of(frame)]


def _views(views: pd.DataFrame) -> pd.DataFrame:
    return views.rename(columns={"optimizer": "name"}).drop(columns="n").astype({"name": object})
