"""A kind of study whose trials are planned in the ledger and worked off: what it says, and all that follows from it.

A folder of `bench.kinds` says what its studies are, what they plan, how a trial is run and what the records say.
Settings, ledger, workers, MLflow, report and command line are the same for all.
"""

import importlib
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Generic, TypeVar

import pandas as pd

from bench.engines.events import OnEvent, nobody
from bench.engines.trial import TrialKind
from bench.records.reader import StudyRuns
from bench.records.writer import Tracker
from bench.report.findings import Findings, Section, Table
from bench.report.findings_page import short_text
from bench.report.findings_write import findings_document, write_findings_report
from bench.report.no_result import failures, is_trouble, nothing_found, troubled
from bench.report.study_info import StudyInfo
from bench.study.prepare import Check, PreparedStudy, prepare_study
from bench.study.rerun_command import again, at_once
from bench.study.run import Course, NoteSession, Places, run_course
from bench.study.settings import kind_of
from bench.trials.record import FAULTS, Status
from bench.trials.spec import Planned
from bench.trials.study_base import StudyBase
from bench.workloads.of_study import as_study_file
from bench.workloads.protocol import MakeData, OnOpen

S = TypeVar("S", bound=StudyBase)
Phase = Callable[[S, pd.DataFrame], Sequence[Planned]]
"""Plans a phase from the records of those before."""


@dataclass(frozen=True)
class PlannedResult:
    """What a study of a planned kind found, and what stands beside it in its report."""

    findings: Findings
    info: StudyInfo

    def document(self, report: str) -> dict[str, Any]:
        """The JSON document of the study."""
        return findings_document(self.findings, self.info, report)

    @property
    def nothing_found(self) -> bool:
        """Whether the study has ended, and every trial of it met a trouble."""
        return self.info.status == "complete" and is_trouble(self.info.records)

    @property
    def faults(self) -> int:
        """Trials that failed, timed out or ran out of memory."""
        return sum(self.info.trials[str(status)] for status in FAULTS)


@dataclass(frozen=True)
class PlannedKind(Generic[S]):
    """One kind.

    Attributes:
        study: Its specification.
        phases: In order; the first sees no records, and plans at least one trial.
        findings: What the records of a study say, finished or not; of these and of its sessions (`StudyRuns.sessions`).
        least_trials: Of a study, in all phases.
        trials: How they are run.
        objectives: Values that Optuna is told of a trial.
        check: Refuses what the specification's own validation cannot see, with the line of the setting.
    """

    study: type[S]
    phases: Sequence[Phase[S]]
    findings: Callable[[S, pd.DataFrame, pd.DataFrame], Findings]
    least_trials: Callable[[S], int]
    trials: TrialKind
    objectives: Callable[[S], int] = lambda _study: 1
    check: Check[S] | None = None

    @property
    def question(self) -> str:
        """That such a study answers, in a sentence: what its class says first."""
        return (self.study.__doc__ or "").strip().partition("\n")[0]

    @property
    def name(self) -> str:
        """As in `posebench study NAME`."""
        return kind_of(self.study)

    def prepare(
        self,
        command_line: Mapping[str, Any],
        study_file: Path | None,
        preset: str | None,
        make_data: MakeData | None,
        on_open: OnOpen | None = None,
    ) -> PreparedStudy[S]:
        """A resolved study; see `bench.study.prepare`."""
        return prepare_study(self.study, command_line, study_file, preset, make_data, on_open, self.check)

    def run(
        self, prepared: PreparedStudy[S], places: Places, *, on_event: OnEvent = nobody, began: float | None = None
    ) -> tuple[PlannedResult, Path]:
        """Run a study, go on with it, or show it again; its result and the path of report.md."""
        spec = prepared.spec
        course = Course(
            spec=spec,
            phases=[_of_study(phase, spec) for phase in self.phases],
            least_trials=self.least_trials(spec),
            trials=self.trials,
            report=self._report,
            objectives=self.objectives(spec),
        )
        return run_course(
            course, places, workers=prepared.workers, on_event=on_event, began=began, data_s=prepared.data_s
        )

    def _report(self, tracker: Tracker, folder: Path, note_session: NoteSession) -> tuple[PlannedResult, Path, str]:
        result = self.load(tracker, whole=True)
        path = write_findings_report(result.findings, result.info, folder)
        note_session()
        return result, path, short_text(result.findings)

    def load(self, runs: StudyRuns, *, whole: bool | None = None) -> PlannedResult:
        """The result of a study from MLflow alone; ``whole``: whether nothing is left to run (None: MLflow knows)."""
        spec, records = self.study.stored(runs.study_document()), runs.records()
        trials = _counts(records)
        trials["planned"] = max(self.least_trials(spec), trials["recorded"])
        whole = runs.finished() if whole is None else whole
        info = StudyInfo(
            name=spec.name,
            kind=self.name,
            preset=spec.preset,
            status="complete" if whole and trials["recorded"] >= self.least_trials(spec) else "unfinished",
            trials=trials,
            spec=spec.identity(),
            settings=as_study_file(spec),
            machine=runs.machine(),
            command=again(self.name, spec.name, spec.preset, data=spec.data, options=at_once(records)),
            records=records,
        )
        return PlannedResult(self._found(spec, records, runs.sessions(), left=info.left), info)

    def _found(self, spec: S, records: pd.DataFrame, sessions: pd.DataFrame, *, left: int) -> Findings:
        """The kind's findings; where no trial has a result, why stands before its answer.

        The analysis of a kind need not bear that: it may raise, and the report is written without it.
        """
        why = nothing_found(records, left=left)
        if not why:
            found = self.findings(spec, records, sessions)
            return replace(found, answer=" ".join([*troubled(records, left=left), found.answer]))
        try:
            found = self.findings(spec, records, sessions)
        except Exception as error:
            told = f"The analysis of this kind needs a trial with a result ({type(error).__name__}: {error})."
            found = Findings("", [Section("Analysis", [told])])
        return replace(found, answer=f"{why} {found.answer}".strip(), sections=[*found.sections, _failures(records)])


def _failures(records: pd.DataFrame) -> Section:
    """How the trials ended, and why, as a table."""
    rows = [[each["status"], each["error"] or "-", str(each["count"])] for each in failures(records)]
    return Section("Trials without a result", [Table(("status", "why", "trials"), rows)])


def _of_study(phase: Phase[S], spec: S) -> Callable[[pd.DataFrame], Sequence[Planned]]:
    return lambda records: phase(spec, records)


def _counts(records: pd.DataFrame) -> dict[str, int]:
    """Trials by status, each status there, and how many are recorded."""
    found = Counter(map(str, records["status"])) if len(records) else Counter()
    return {str(status): found[str(status)] for status in Status} | {"recorded": len(records)}


def planned(name: str) -> PlannedKind[Any]:
    """The kind of `bench.kinds.NAME`, of one phase: `trial` (`Study`, `plan`, `TRIALS`) and `analysis` (`findings`)."""
    trial, analysis = (importlib.import_module(f"bench.kinds.{name}.{part}") for part in ("trial", "analysis"))
    return PlannedKind(
        study=trial.Study,
        phases=(lambda spec, _none: trial.plan(spec),),
        findings=lambda spec, records, _sessions: analysis.findings(spec.identity(), records),
        least_trials=lambda spec: len(trial.plan(spec)),
        trials=trial.TRIALS,
    )
