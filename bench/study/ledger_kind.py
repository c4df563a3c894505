"""Kinds of study whose trials stand in the ledger; the short way to one is `FindingsKind`."""

from abc import abstractmethod
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar, TypeVar

import pandas as pd

from bench.engines.events import OnEvent, ignore_event
from bench.engines.trial import TrialKind
from bench.records.reader import StudyRuns
from bench.report.findings import Findings, Section, Table
from bench.report.findings_result import FindingsResult
from bench.report.no_result import failures, nothing_found, troubled
from bench.report.shown import Shown, ShownTable
from bench.report.study_info import StudyInfo
from bench.study import ledger_runner
from bench.study.kind import StudyKind
from bench.study.prepared import Prepared
from bench.study.progress import PlanSize, Progress, StudySize
from bench.study.rerun_command import options_of, rerun_command
from bench.study.store_paths import StorePaths
from bench.trials.spec import Planned, Slot
from bench.trials.status import Status
from bench.trials.study_base import SAME_SETTINGS, StudyBase
from bench.workloads.of_study import as_study_file
from posemodel.errors import SettingsError

S = TypeVar("S", bound=StudyBase)


class LedgerKind(StudyKind[S]):
    """A kind of study whose trials stand in the ledger and are worked off by any number of processes.

    Attributes:
        trials: How a trial is run, and what Optuna is told of it.
        plans_ahead: Whether single records already make later trials possible: it is then asked after each, and its
            plan reads no more of them than `Record.as_row` holds.
    """

    trials: TrialKind
    plans_ahead: ClassVar[bool] = False

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
        until: float | None = None,
    ) -> tuple[FindingsResult, Path]:
        """See `StudyKind.run`."""
        return ledger_runner.run_study(
            self, spec, paths, workers=workers, on_event=on_event, began=began, data_s=data_s, until=until
        )

    def as_begun(self, spec: S, begun: Mapping[str, Any]) -> S:  # noqa: ARG002 (others need it)
        """The study that goes on; ``begun``: its identity in the ledger.

        What ships may have changed since: what an earlier version took for the same settings is still the same study.
        """
        return spec

    def go_on_text(self, spec: S, begun: Mapping[str, Any]) -> str:  # noqa: ARG002 (others need them)
        """What to do where the settings are not those of the study that was begun."""
        return SAME_SETTINGS

    def extended(self, spec: S, amount: Mapping[str, int], *, looked: Collection[int]) -> S:  # noqa: ARG002
        """The same study with more of what its plan consists of, all its trials among them.

        ``amount``: by the setting's name; ``looked``: amounts with which it has ended: its result has been seen.
        SettingsError where it has so many already, or cannot have them.
        """
        raise SettingsError(f"study {spec.name}: a study of kind {self.name} cannot be extended.")

    def with_optimizers(self, spec: S, names: Sequence[str], spaces: Mapping[str, Mapping[str, Any]]) -> S:  # noqa: ARG002
        """The same study with further optimizers; ``spaces``: those that were typed, by name."""
        raise SettingsError(f"study {spec.name}: a study of kind {self.name} takes no further optimizer.")

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


class FindingsKind(LedgerKind[S]):
    """A kind whose analysis gives findings: result, page and figures follow from them."""

    @abstractmethod
    def findings(self, spec: S, records: pd.DataFrame, runs: StudyRuns) -> Findings:
        """What the records of a study say, finished or not; ``runs``: its sessions, curves and samples.

        It is not called before there is a trial with a result.
        """

    def load(self, runs: StudyRuns, folder: Path | None = None) -> FindingsResult:
        """The result of a study, finished or not, from MLflow alone; ``folder``: of its report, which names it."""
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
            command=rerun_command(
                spec.kind, spec.name, spec.preset, data=spec.data, options=options_of(records), folder=folder
            ),
            records=records,
        )
        return FindingsResult(self._findings_or_reason(spec, records, runs, left=info.left), info)

    def _findings_or_reason(self, spec: S, records: pd.DataFrame, runs: StudyRuns, *, left: int) -> Findings:
        """The kind's findings; where no trial has a result, why stands before its answer.

        The analysis of a kind need not bear that: it may raise, and the report is written without it.
        """
        why = nothing_found(records, left=left)
        if not why:
            found = self.findings(spec, records, runs)
            return _begun_with(found, " ".join(troubled(records, left=left)))
        try:
            found = self.findings(spec, records, runs)
        except Exception as error:
            text = f"The analysis of this kind needs a trial with a result ({type(error).__name__}: {error})."
            found = Findings("", [Section("Analysis", [text])])
        found = _begun_with(found, why)
        return replace(found, sections=[*found.sections, _failures(records)])


def _begun_with(found: Findings, why: str) -> Findings:
    """The findings with a sentence before the answer, and before all claims."""
    claims = f"{why} {found.claims}".strip() if found.claims else ""
    return replace(found, answer=f"{why} {found.answer}".strip(), claims=claims)


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
