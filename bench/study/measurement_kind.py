"""Base class for kinds of study that one process measures, instead of workers running trials."""

import time
from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, TypeVar

from bench.engines.cluster.settings import Cluster
from bench.engines.events import OnEvent, ignore_event
from bench.measure.gpus import Gpu
from bench.records.measurements import MeasurementTracker, last_moment
from bench.records.reader import StudyRuns
from bench.report.findings_result import FindingsResult
from bench.study import measurement_runner
from bench.study.kind import StudyKind
from bench.study.measurement_state import MeasurementState
from bench.study.store_paths import StorePaths
from bench.trials.progress import MS
from bench.trials.study_base import StudyBase

S = TypeVar("S", bound=StudyBase)


class Measuring(Protocol):
    """The measurements of one study, made in one process."""

    def check_data(self) -> None:
        """Check the data before anything is recorded; raises DataError if nothing can be measured."""

    def run(self, parent: str) -> None:
        """Make and record the remaining measurements; ``parent``: id of the study's own MLflow run."""


class MeasurementKind(StudyKind[S]):
    """A kind of study that one process measures, one measurement at a time so that they do not disturb each other."""

    @abstractmethod
    def measurements_of(self, spec: S, tracker: MeasurementTracker, say: Callable[[int, str], None]) -> Measuring:
        """Return the measurements of a study.

        ``say`` is called with the number of measurements recorded so far and a text about the next one.
        """

    @abstractmethod
    def counts(self, document: Mapping[str, Any], runs: StudyRuns) -> Mapping[str, int]:
        """Count the measurements of a stored study by status."""

    @abstractmethod
    def longest_gap_s(self, document: Mapping[str, Any]) -> float:
        """Return the longest time between two records in seconds while a process works on the study."""

    def measurement_state(self, document: Mapping[str, Any], runs: StudyRuns) -> MeasurementState:
        """Return the state of a stored study, from its records and the time of the last one."""
        last = last_moment(runs)
        moment = None if last is None else last / MS
        recent = moment is not None and time.time() - moment < self.longest_gap_s(document)
        status = "complete" if runs.finished() else "running" if recent else "unfinished"
        return MeasurementState(
            document["name"], self.name, document["preset"], status, self.counts(document, runs), moment
        )

    def run(
        self,
        spec: S,
        paths: StorePaths,
        *,
        workers: int,  # noqa: ARG002 (one measurement at a time)
        gpus: Sequence[Gpu] = (),  # noqa: ARG002
        checkpoints: str | None = None,  # noqa: ARG002
        cluster: Cluster | None = None,  # noqa: ARG002
        on_event: OnEvent = ignore_event,
        began: float | None = None,  # noqa: ARG002 (a measurement knows its own time)
        data_s: float = 0.0,  # noqa: ARG002
        until: float | None = None,  # noqa: ARG002 (of kinds with a budget)
    ) -> tuple[FindingsResult, Path]:
        """Run the study in this process; see `StudyKind.run`."""
        return measurement_runner.run_study(self, spec, paths, on_event=on_event)
