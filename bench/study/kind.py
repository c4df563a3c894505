"""A kind of study: what `bench.study`, the report and the command line need to know of it. `bench.kinds` has them.

`LedgerKind`: its trials stand in the ledger, and workers take them. `MeasurementKind`: one process measures, one after
the other. What both share is `StudyKind`: settings, preparation, report, command line.
"""

import time
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar, Generic, Protocol, TypeVar

import pandas as pd

from bench.engines.events import OnEvent, ignore_event
from bench.engines.trial import TrialKind
from bench.optimizers import optimizer_entry
from bench.optimizers.spaces import spaces_of
from bench.records.measurements import MeasurementTracker, last_moment
from bench.records.mlflow_views import SavedView
from bench.records.reader import StudyRuns
from bench.report.findings import Findings, Section, Table
from bench.report.findings_page import short_text
from bench.report.findings_result import FindingsResult
from bench.report.findings_write import write_findings_report
from bench.report.no_result import failures, nothing_found, troubled
from bench.report.shown import Shown, ShownTable
from bench.report.study_info import StudyInfo
from bench.settings.layers import Setting, about
from bench.study import ledger_runner, measurement_runner
from bench.study.machine_settings import default_name, device_and_workers
from bench.study.prepared import Prepared
from bench.study.progress import PlanSize, Progress, StudySize
from bench.study.rerun_command import options_of, rerun_command
from bench.study.standing import Standing
from bench.study.store_paths import StorePaths
from bench.trials.progress import MS
from bench.trials.spec import Planned, Slot
from bench.trials.status import Status
from bench.trials.study_base import StudyBase
from bench.workloads import POSE, workload
from bench.workloads.of_study import TABLE, as_study_file, name_of, settle_workload
from bench.workloads.protocol import FoundData, MakeData, OnOpen
from posemodel.network import input_geometry

S = TypeVar("S", bound=StudyBase)
R = TypeVar("R", bound="StudyResult")
Settings = Mapping[str, Setting]


class StudyResult(Protocol):
    """What a study found, finished or not."""

    @property
    def nothing_found(self) -> bool:
        """Whether the study has ended without any result."""

    @property
    def has_faults(self) -> bool:
        """Whether trials failed, timed out or ran out of memory."""


class StudyKind(ABC, Generic[S, R]):
    """One kind of study.

    Attributes:
        spec: The specification of such a study: its fields are the settings.
        estimates: Whether it can tell beforehand how long a study will take.
        views: Saved views of MLflow's page of such a study.
    """

    spec: type[S]
    estimates: ClassVar[bool] = False
    views: ClassVar[Sequence[SavedView]] = ()

    @property
    def name(self) -> str:
        """As in `posebench study KIND`."""
        return self.spec.kind_name()

    # --- from settings to a study

    def on_this_machine(self, settings: Settings, preset: str) -> dict[str, Setting]:  # noqa: ARG002 (others need it)
        """All settings, with those resolved that depend on the machine, on the workload or on each other."""
        if TABLE in settings:
            _, _, settings = settle_workload(settings)
        here = dict(settings) | device_and_workers(settings)
        return self.spec.settled(here, here["device"].value)

    def refuse(self, settings: Settings, command_line: Mapping[str, Any]) -> None:  # noqa: ARG002 (others need it)
        """Refuse settings with which nothing can be trained; SettingsError names file, line and field."""
        if TABLE in settings:
            its, own, settled = settle_workload(settings)
            its.check(own, settled)
        elif {"network", "size"} <= {*settings}:
            with about(settings, "network", "size"):
                input_geometry(settings["network"].value, settings["size"].value)

    def spelled_out(self, settings: Settings) -> dict[str, Any]:
        """Values of a built study that its settings leave to defaults: the full space of each optimizer."""
        return {"spaces": spaces_here(settings)} if "spaces" in settings else {}

    def series(self, settings: Settings) -> Mapping[str, Settings]:
        """The settings of each study that is asked for, by what its name ends with; nearly always one."""
        return {"": settings}

    def check(self, spec: S, settings: Settings) -> None:
        """Refuse what the specification's own validation cannot see; SettingsError names file, line and field."""

    def find_data(self, settings: Settings, make_data: MakeData | None, on_open: OnOpen | None) -> FoundData:
        """The data set of a study, found or made; ``make_data`` None (a dry run): left to be made later.

        SettingsError or DataError where it cannot serve. ``on_open`` gets the opened splits.
        """
        its = workload(name_of(settings[TABLE].value) if TABLE in settings else POSE)
        return its.find_data(settings, make_data, on_open)

    def default_name(self, spec: S, settings: Settings, folder: Path) -> str:  # noqa: ARG002 (others need them)
        """The name of a study that nobody has named; ``folder``: of its data."""
        return default_name(self.name, spec.preset, folder)

    # --- what is said before it runs

    def size_text(self, spec: S) -> str:
        """The study in one line."""
        return spec.size_text()

    def estimate_text(self, prepared: Prepared[S]) -> str:  # noqa: ARG002 (others need it)
        """How long it will take, measured in some seconds; of a kind that ``estimates``."""
        return ""

    @abstractmethod
    def plan_shown(self, prepared: Prepared[S]) -> Shown:
        """What would be run, as far as it is decided before it runs."""

    # --- running it

    @abstractmethod
    def run(
        self,
        spec: S,
        paths: StorePaths,
        *,
        workers: int,
        on_event: OnEvent = ignore_event,
        began: float | None = None,
        data_s: float = 0.0,
    ) -> tuple[R, Path]:
        """Run a study, go on with it, or (once finished) show it again; its result and the path of report.md.

        ``began``: when the command that works on it began (seconds since the epoch; None: now), ``data_s``: the seconds
        of it that made the data set. Both are kept with the study, which says where its time went.
        """

    def progress(self, spec: S, workers: int) -> Progress | None:  # noqa: ARG002 (others need them)
        """Where a study stands before it begins; None: of its kind no table can be drawn."""
        return None

    # --- reading it

    @abstractmethod
    def load(self, runs: StudyRuns) -> R:
        """The result of a study, finished or not, from MLflow alone."""

    @abstractmethod
    def write_report(
        self, runs: StudyRuns, folder: Path, note_session: Callable[[], None] = lambda: None
    ) -> tuple[R, Path]:
        """Write the report of a study, report.md last; its result and the path of report.md.

        ``note_session``: updates the session's last-seen time; called when most of the report's time has passed.
        """

    @abstractmethod
    def shown(self, result: R, report: str) -> Shown:
        """What a command prints of a result; ``report``: path of report.md."""

    @abstractmethod
    def short_text(self, result: R) -> str:
        """The beginning of the study's page in MLflow."""

    def size(self, document: Mapping[str, Any], planned: Mapping[str, int]) -> StudySize | None:  # noqa: ARG002
        """The size of a study by its stored document; ``planned``: trials of each phase in the ledger.

        None: its trials stand in no ledger. SettingsError where it is of another version.
        """
        return None

    def standing(self, document: Mapping[str, Any], runs: StudyRuns) -> Standing:  # noqa: ARG002
        """Where a stored study stands whose trials are in no ledger."""
        raise TypeError(f"{self.name}: the ledger knows where its studies stand")


class LedgerKind(StudyKind[S, R]):
    """A kind of study whose trials stand in the ledger and are worked off by any number of processes.

    Attributes:
        trials: How a trial is run, and what Optuna is told of it.
    """

    trials: TrialKind

    @abstractmethod
    def next_trials(self, spec: S, records: pd.DataFrame) -> Sequence[Planned]:
        """All trials that can be planned from the records so far, those that have run included, in order.

        Pure; may be called after any record: what it has planned once it plans again from more records.
        """

    def least_trials(self, spec: S) -> int:
        """Trials of a study at least."""
        return len(self.next_trials(spec, pd.DataFrame()))

    def objectives(self, spec: S) -> int:  # noqa: ARG002 (others need it)
        """Number of values that Optuna is told of a trial."""
        return 1

    def run(
        self,
        spec: S,
        paths: StorePaths,
        *,
        workers: int,
        on_event: OnEvent = ignore_event,
        began: float | None = None,
        data_s: float = 0.0,
    ) -> tuple[R, Path]:
        """See `StudyKind.run`."""
        return ledger_runner.run_study(
            self, spec, paths, workers=workers, on_event=on_event, began=began, data_s=data_s
        )

    def progress(self, spec: S, workers: int) -> Progress | None:
        """Where a study stands before it begins."""
        size = self.size(spec.identity(), {})
        return None if size is None else Progress(size, active=True, workers=workers, all_planned=size.settled)

    def size(self, document: Mapping[str, Any], planned: Mapping[str, int]) -> StudySize | None:
        """As far as its plan stands in the ledger."""
        return PlanSize.of(document, planned)

    def plan_shown(self, prepared: Prepared[S]) -> Shown:
        """The trials that are planned before any has run."""
        spec = prepared.spec
        plan = self.next_trials(spec, pd.DataFrame())
        document = {
            "study": spec.name,
            "kind": spec.kind,
            "preset": spec.preset,
            "status": "planned",
            "spec": spec.model_dump(mode="json"),
            "labelled_images": dict(prepared.labelled_images) or None,
            "workers": prepared.workers,
            "plan": [each.model_dump(mode="json") for each in plan],
        }
        rows = [[str(each.index), each.phase, _planned_text(each)] for each in plan]
        table = ShownTable(spec.name, ("trial", "phase", "what is tried"), rows)
        return Shown(document, [table, f"{self.size_text(spec)}. Nothing was run."])


class FindingsKind(LedgerKind[S, FindingsResult]):
    """A kind whose analysis gives findings: result, page and figures follow from them."""

    @abstractmethod
    def findings(self, spec: S, records: pd.DataFrame, runs: StudyRuns) -> Findings:
        """What the records of a study say, finished or not; ``runs``: its sessions, curves and samples.

        It is not called before there is a trial with a result.
        """

    def load(self, runs: StudyRuns) -> FindingsResult:
        """The result of a study, finished or not, from MLflow alone."""
        spec, records = self.spec.stored(runs.study_document()), runs.records()
        trials = _counts(records)
        trials["planned"] = max(len(self.next_trials(spec, records)), trials["recorded"])
        complete = trials["recorded"] == trials["planned"]
        info = StudyInfo(
            name=spec.name,
            kind=self.name,
            preset=spec.preset,
            status="complete" if complete else "unfinished",
            trials=trials,
            spec=spec.identity(),
            settings=as_study_file(spec),
            machine=runs.machine(),
            command=rerun_command(spec.kind, spec.name, spec.preset, data=spec.data, options=options_of(records)),
            records=records,
        )
        return FindingsResult(self._findings_or_reason(spec, records, runs, left=info.left), info)

    def write_report(
        self, runs: StudyRuns, folder: Path, note_session: Callable[[], None] = lambda: None
    ) -> tuple[FindingsResult, Path]:
        """See `StudyKind.write_report`."""
        result = self.load(runs)
        usual = f"reports/{result.info.name}/"
        command = result.info.command.replace(f" {usual}", f" {folder.as_posix()}/")
        result = replace(result, info=replace(result.info, command=command))
        path = write_findings_report(result.findings, result.info, folder)
        note_session()
        return result, path

    def shown(self, result: FindingsResult, report: str) -> Shown:
        """The main table and the answer."""
        table = result.findings.main_table()
        tables = [] if table is None else [ShownTable(result.info.name, table.columns, table.rows)]
        return Shown(result.document(report), [*tables, result.findings.answer, f"Report: {report}"])

    def short_text(self, result: FindingsResult) -> str:
        """The answer and the main table."""
        return short_text(result.findings)

    def _findings_or_reason(self, spec: S, records: pd.DataFrame, runs: StudyRuns, *, left: int) -> Findings:
        """The kind's findings; where no trial has a result, why stands before its answer.

        The analysis of a kind need not bear that: it may raise, and the report is written without it.
        """
        why = nothing_found(records, left=left)
        if not why:
            found = self.findings(spec, records, runs)
            return replace(found, answer=" ".join([*troubled(records, left=left), found.answer]))
        try:
            found = self.findings(spec, records, runs)
        except Exception as error:
            text = f"The analysis of this kind needs a trial with a result ({type(error).__name__}: {error})."
            found = Findings("", [Section("Analysis", [text])])
        return replace(found, answer=f"{why} {found.answer}".strip(), sections=[*found.sections, _failures(records)])


class Measuring(Protocol):
    """One process's work on a study of a measurement kind."""

    def look_first(self) -> None:
        """Look at the data before anything is on record: raises where nothing can be measured."""

    def run(self, parent: str) -> None:
        """Measure what is left; ``parent``: the study's own run in MLflow."""


class MeasurementKind(StudyKind[S, R]):
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
    ) -> tuple[R, Path]:
        """See `StudyKind.run`."""
        return measurement_runner.run_study(self, spec, paths, on_event=on_event)


def spaces_here(settings: Settings) -> dict[str, dict[str, Any]]:
    """The full space of each optimizer of the settings; SettingsError names file, line and field."""
    for place, optimizer in enumerate(settings["optimizers"].value):
        with about(settings, ("optimizers", place)):
            optimizer_entry(optimizer)
    with about(settings, "optimizers", "weight_decay"):
        return spaces_of(
            settings["optimizers"].value,
            settings["spaces"].value,
            settings["spaces"].origins,
            weight_decay=settings["weight_decay"].value,
        )


def _failures(records: pd.DataFrame) -> Section:
    """How the trials ended, and why, as a table."""
    rows = [[each["status"], each["error"] or "-", str(each["count"])] for each in failures(records)]
    return Section("Trials without a result", [Table(("status", "why", "trials"), rows)])


def _counts(records: pd.DataFrame) -> dict[str, int]:
    """Trials by status, each status there, and how many are recorded."""
    found = Counter(map(str, records["status"])) if len(records) else Counter()
    return {str(status): found[str(status)] for status in Status} | {"recorded": len(records)}


def _planned_text(planned: Planned) -> str:
    """A trial of the plan; of a place in a search, what is given beforehand."""
    if isinstance(planned, Slot):
        given = ", ".join(f"{name} {value}" for name, value in planned.fixed.items())
        return given or "chosen when a worker takes it"
    return f"{planned.optimizer} {planned.hyperparameters}, seed {planned.seed}"
