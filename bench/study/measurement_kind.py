"""Kinds of study that measure in one process."""

import time
from abc import abstractmethod
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol, TypeVar

from bench.engines.events import OnEvent, ignore_event
from bench.records.measurements import MeasurementTracker, last_moment
from bench.records.reader import StudyRuns
from bench.report.findings_result import FindingsResult
from bench.study import measurement_runner
from bench.study.kind import StudyKind
from bench.study.standing import Standing
from bench.study.store_paths import StorePaths
from bench.trials.progress import MS
from bench.trials.study_base import StudyBase

S = TypeVar("S", bound=StudyBase)


class Measuring(Protocol):
    """One process's work on a study of a measurement kind."""

    def look_first(self) -> None:
        """Look at the data before anything is on record: raises where nothing can be measured."""

    def run(self, parent: str) -> None:
        """Measure what is left; ``parent``: the study's own run in MLflow."""


class MeasurementKind(StudyKind[S]):
    """A kind of study that one process measures, one measurement after the other: they must not disturb each other."""

    @abstractmethod
    def measuring(self, spec: S, tracker: MeasurementTracker, say: Callable[[int, str], None]) -> Measuring:
        """The work on a study; ``say`` gets the number of measurements on record, and what is done next."""

    @abstractmethod
    def counts(self, document: Mapping[str, Any], runs: StudyRuns) -> Mapping[str, int]:
        """The measurements of a stored study by status."""

    @abstractmethod
    def longest_s(self, document: Mapping[str, Any]) -> float:
        """Seconds after a record within which the next one comes, while somebody works on the study."""

    def standing(self, document: Mapping[str, Any], runs: StudyRuns) -> Standing:
        """By the records, and when the last of them was made."""
        last = last_moment(runs)
        moment = None if last is None else last / MS
        recent = moment is not None and time.time() - moment < self.longest_s(document)
        status = "complete" if runs.finished() else "running" if recent else "unfinished"
        return Standing(document["name"], self.name, document["preset"], status, self.counts(document, runs), moment)

    def run(
        self,
        spec: S,
        paths: StorePaths,
        *,
        workers: int,  # noqa: ARG002 (one measurement at a time)
        on_event: OnEvent = ignore_event,
        began: float | None = None,  # noqa: ARG002 (a measurement knows its own time)
        data_s: float = 0.0,  # noqa: ARG002
        until: float | None = None,  # noqa: ARG002 (of kinds with a budget)
    ) -> tuple[FindingsResult, Path]:
        """See `StudyKind.run`."""
        return measurement_runner.run_study(self, spec, paths, on_event=on_event)
