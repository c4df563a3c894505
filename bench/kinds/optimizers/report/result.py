"""The result of an optimizers study, of which its pages are made: analysis, specification, machine, lines to paste."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from bench.kinds.optimizers.analysis import StudyAnalysis, TimeUse
from bench.kinds.optimizers.analysis.losses import VAL_LOSS_MEAN
from bench.kinds.optimizers.measure import Measure
from bench.kinds.optimizers.report.file_names import finalist_with_file_names, with_file_names
from bench.kinds.optimizers.spec import StudySpec
from bench.report.findings import Code
from bench.report.own_schedules import schedule_note
from bench.report.text import literal
from bench.report.wording import enumerate_items, in_one_line
from bench.trials.columns import rows_of
from bench.trials.needed_length import NeededLength
from bench.trials.phases import CONFIRM, Phase
from bench.trials.score_scale import REFERENCE_LOSS
from bench.trials.status import Status
from bench.workloads import POSE
from bench.workloads.of_study import name_of, workload_of
from bench.workloads.protocol import Samples

SAME_REFERENCE = 1e-3
"""Relative difference up to which reference losses of one split count as equal: rounding depends on the device."""
COMPARISON_KEYS = {"mean_difference": "difference", "t_p": "p", "t_p_adjusted": "p_adjusted"}
"""JSON keys of a comparison's columns, where they differ."""


@dataclass(frozen=True)
class LeaderSamples:
    """Predictions of the leading optimizer on the sample images, in one of its confirm trials."""

    optimizer: str
    seed: int
    gain: float
    """Its score, as a gain."""
    run_id: str
    samples: Samples


@dataclass(frozen=True)
class PasteLines:
    """Lines to paste for an optimizer: ``python`` builds it, ``command`` trains with it (may be empty)."""

    python: str
    command: str
    note: str = ""
    """A sentence on the result that the command should reproduce."""
    trial_id: str | None = None
    """The confirm trial that the command repeats; None: none has completed."""
    driving_note: str = ""
    """A sentence on how the optimizer is driven; empty for an ordinary one."""

    def codes(self) -> list[Code]:
        """Return the command to paste; empty for a workload without one."""
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
    """The analysis of records and curves."""
    needed: NeededLength | None
    """Trial length needed for a score, if nothing scored and therefore nothing was confirmed; otherwise None."""
    time_use: TimeUse | None
    """The wall time by activity; None where an earlier version did not record it."""
    leader_samples: LeaderSamples | None
    """Sample predictions of the leader; None before there are any."""
    machine: dict[str, str]
    command: str
    """The command that repeats the study."""
    lines: Mapping[str, PasteLines]
    """Lines to paste, by optimizer with a finalist."""
    sheet: bytes | None
    """The leader's sample images, drawn, as a JPEG file; None where there are none."""

    @property
    def is_pose(self) -> bool:
        """Whether its trials train pose networks."""
        return name_of(self.spec.workload) == POSE

    @property
    def step_unit(self) -> str:
        """The unit of a budget in steps, plural."""
        return "gradient evaluations" if self.analysis.updates_differ else f"{workload_of(self.spec).budget_unit}s"

    def length_text(self, phase: Phase) -> str:
        """Return the budget of a phase's trials in words, in gradient evaluations where steps take several."""
        if not self.analysis.updates_differ or self.spec.steps is None:
            return self.spec.length_text(phase)
        return f"{self.spec.length(phase)[0]:,} {self.step_unit}"

    @property
    def speed_note(self) -> list[str]:
        """A sentence on speeds where steps cost different numbers of gradients; empty where they do not."""
        if not self.analysis.updates_differ:
            return []
        samples = self.measure.samples
        return [
            f"*{samples[0].upper()}{samples[1:]}/s* counts a batch once for each gradient evaluation, so an update "
            "with several takes that many times as long."
        ]

    @property
    def schedule_note(self) -> list[str]:
        """The footnote on optimizers whose schedule is not the study's, for below a table; empty if there are none."""
        note = schedule_note(self.analysis.other_schedules, self.analysis.names, self.spec.schedule)
        return [note] if note else []

    @property
    def updates_note(self) -> list[str]:
        """A paragraph on budgets where steps cost different numbers of gradients; empty where they do not."""
        if not self.analysis.updates_differ:
            return []
        several = [
            f"{literal(self.analysis.names[row['name']])} {row['gradient_evaluations'] / row['updates']:.3g}"
            for row in rows_of(self.analysis.updates)
            if row["updates"] and row["gradient_evaluations"] != row["updates"]
        ]
        return [
            "Budgets count gradient evaluations (a forward and backward pass, or a product of the Hessian with a "
            f"vector), so that all optimizers have the same. A step takes more than one: {enumerate_items(several)} on "
            "average; these optimizers take fewer steps (*updates*). An evaluation need not take equally long: the "
            "comparison at equal time stands beside it."
        ]

    @property
    def measure(self) -> Measure:
        """The measure by which the study compares."""
        return self.analysis.measure

    @property
    def reference_loss(self) -> float | None:
        """Validation loss on the report split of predicting no people; None where the trials' values differ."""
        records = self.records.reindex(columns=["phase", REFERENCE_LOSS])
        references = records.loc[records["phase"] == CONFIRM, REFERENCE_LOSS].dropna().astype(float)
        if references.empty or references.max() > references.min() * (1 + SAME_REFERENCE):
            return None
        return float(references.median())

    def trials(self) -> dict[str, int]:
        """Return the number of trials by status (every status), recorded and planned; controls included."""
        counts = dict.fromkeys((str(status) for status in Status), 0)
        for status in self.records["status"]:
            counts[str(status)] += 1
        return {**counts, "recorded": len(self.records), "planned": self.planned}

    def status(self) -> str:
        """Return `complete` once every planned trial has a record, otherwise `unfinished`."""
        return "complete" if len(self.records) >= self.planned else "unfinished"

    def document(self) -> dict[str, Any]:
        """Return the keys of the JSON document that only this kind has.

        ``score``: name and direction of the score that judges the study. Scores have the keys `score_...` in every
        study (`bench.kinds.optimizers.report.file_names`); the keys `ap_...` are those of AP, null in the study of a
        workload with another score.
        """
        analysis = self.analysis
        return {
            "tunings": self.spec.tunings,
            "seeds": self.spec.seeds,
            "best": analysis.best,
            **self._train(analysis.recommended),
            "optimizers": [
                row | self._train([row["name"]]) | self._finalists(row)
                for row in _with_settings(
                    with_file_names(
                        analysis.summary.merge(_views(analysis.views), on="name", how="left"),
                        self.measure,
                        neutral=True,
                    )
                )
            ],
            "comparisons": self._comparisons(),
            "controls": _with_settings(with_file_names(analysis.controls, self.measure, neutral=True)),
            "comparable": analysis.comparable,
            "time": self._time(),
            **({} if self.needed is None else {"needed": self.needed.document()}),
            "score": self.measure.document(),
        }

    def _finalists(self, row: Mapping[str, Any]) -> dict[str, Any]:
        return {"finalists": [finalist_with_file_names(each, self.measure, neutral=True) for each in row["finalists"]]}

    def _comparisons(self) -> pd.DataFrame:
        """Return the pairs; judged by validation loss, also with the differences in skill and in mean loss."""
        pairs = with_file_names(self.analysis.comparisons, self.measure).rename(columns=COMPARISON_KEYS)
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
        """Return the command of the first of these optimizers that has one, and the trial that it repeats."""
        lines = next((self.lines[name] for name in names if name in self.lines), None)
        command = in_one_line(lines.command) if lines is not None and lines.command else None
        return {"train_command": command, "train_trial_id": lines.trial_id if lines is not None and command else None}

    def _time(self) -> dict[str, float] | None:
        names = ("wall_s", "train_s", "eval_s", "data_s", "other_s", "overhead_share")
        return None if self.time_use is None else {name: getattr(self.time_use, name) for name in names}


def _with_settings(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """Return the rows with their ``settings`` as objects instead of JSON text."""
    return [row | {"settings": json.loads(row["settings"])} for row in rows_of(frame)]


def _views(views: pd.DataFrame) -> pd.DataFrame:
    return views.rename(columns={"optimizer": "name"}).drop(columns="n").astype({"name": object})
