"""Base classes for kinds of study whose trials are in the ledger (the Optuna storage of the plan).

`FindingsKind` is the shortest to implement.
"""

from abc import abstractmethod
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar, TypeVar

import pandas as pd

from bench.engines.cluster.settings import Cluster
from bench.engines.events import OnEvent, ignore_event
from bench.engines.trial import TrialKind
from bench.measure.gpus import Gpu
from bench.records.reader import StudyRuns
from bench.report.command_output import CommandOutput, OutputTable
from bench.report.findings import Findings, Section, Table
from bench.report.findings_result import FindingsResult
from bench.report.no_result import OWN_REMEDIES, REMEDIES, failures, no_result_text, trouble_sentences
from bench.report.stored_score import stored_score
from bench.report.study_info import StudyInfo
from bench.study import ledger_runner
from bench.study.kind import StudyKind
from bench.study.prepared import Prepared
from bench.study.progress import PlanSize, Progress, StudySize
from bench.study.rerun_command import options_of, rerun_command
from bench.study.store_paths import StorePaths
from bench.trials.spec import Planned, Slot
from bench.trials.status import Status
from bench.trials.study_base import SAME_SETTINGS_REMEDY, StudyBase
from bench.workloads.of_study import TABLE, as_study_file
from posemodel.errors import SettingsError

S = TypeVar("S", bound=StudyBase)


class LedgerKind(StudyKind[S]):
    """A kind of study whose trials are in the ledger, from which any number of processes take and run them.

    Attributes:
        trials: How to run a trial, and the values that Optuna gets for it.
        plans_ahead: True if a single record can already make later trials possible. `next_trials` is then called
            after each record, and may use only the columns of `Record.as_row`.
    """

    trials: TrialKind
    plans_ahead: ClassVar[bool] = False

    @abstractmethod
    def next_trials(self, spec: S, records: pd.DataFrame) -> Sequence[Planned]:
        """Return all trials that can be planned from the records so far, in order, including those that have run.

        Pure. May be called after any record; trials that were planned once must also be planned from more records.
        """

    def minimum_trials(self, spec: S) -> int:
        """Return the smallest number of trials that the study can have."""
        return len(self.next_trials(spec, pd.DataFrame()))

    def objectives(self, spec: S) -> int:  # noqa: ARG002 (others need it)
        """Return the number of values that Optuna gets for each trial."""
        return 1

    def run(
        self,
        spec: S,
        paths: StorePaths,
        *,
        workers: int,
        gpus: Sequence[Gpu] = (),
        checkpoints: str | None = None,
        cluster: Cluster | None = None,
        on_event: OnEvent = ignore_event,
        began: float | None = None,
        data_s: float = 0.0,
        until: float | None = None,
    ) -> tuple[FindingsResult, Path]:
        """See `StudyKind.run`."""
        return ledger_runner.run_study(
            self,
            spec,
            paths,
            workers=workers,
            gpus=gpus,
            checkpoints=checkpoints,
            cluster=cluster,
            on_event=on_event,
            began=began,
            data_s=data_s,
            until=until,
        )

    def with_stored_settings(self, spec: S, stored_identity: Mapping[str, Any]) -> S:  # noqa: ARG002 (others need it)
        """Return the specification with which a begun study continues; ``stored_identity``: its identity in the ledger.

        Shipped values (such as spaces) may have changed since an earlier version began it; it is still the same study.
        """
        return spec

    def difference_remedy(self, spec: S, stored_identity: Mapping[str, Any]) -> str:  # noqa: ARG002 (others need them)
        """Return the remedy shown if the settings differ from those of the begun study."""
        return SAME_SETTINGS_REMEDY

    def extend(self, spec: S, amount: Mapping[str, int], *, finished_amounts: Collection[int]) -> S:  # noqa: ARG002
        """Return the study made larger; its plan includes all trials of the present one.

        Args:
            spec: The study as begun.
            amount: New amounts, by setting.
            finished_amounts: Amounts with which the study has already finished, so that its result has been seen.

        Raises SettingsError if it already has that many, or cannot have them.
        """
        raise SettingsError(f"study {spec.name}: a study of kind {self.name} cannot be extended.")

    def with_optimizers(self, spec: S, names: Sequence[str], spaces: Mapping[str, Mapping[str, Any]]) -> S:  # noqa: ARG002
        """Return the same study with further optimizers; ``spaces``: search spaces that the user typed, by name."""
        raise SettingsError(f"study {spec.name}: a study of kind {self.name} takes no further optimizer.")

    def progress(self, spec: S, workers: int) -> Progress | None:
        """Return the progress of a study that has not begun."""
        size = self.size(spec.identity(), {})
        return None if size is None else Progress(size, active=True, workers=workers, all_planned=size.plan_is_known)

    def size(self, document: Mapping[str, Any], planned: Mapping[str, int]) -> StudySize | None:
        """Return the size of a study, as far as its plan is in the ledger."""
        return PlanSize.of(document, planned)

    def plan_output(self, prepared: Prepared[S]) -> CommandOutput:
        """Show the trials that are planned before any has run."""
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
        table = OutputTable(spec.name, ("trial", "phase", "what is tried"), rows)
        return CommandOutput(document, [table, f"{self.size_text(spec)}. Nothing was run."])


class FindingsKind(LedgerKind[S]):
    """A kind that implements only its analysis as findings; result, page and figures are made from those."""

    @abstractmethod
    def findings(self, spec: S, records: pd.DataFrame, runs: StudyRuns) -> Findings:
        """Analyse the records of a study, finished or not; ``runs``: its sessions, curves and samples.

        Must work as soon as one trial has a result; before that it may raise.
        """

    def load(self, runs: StudyRuns, folder: Path | None = None) -> FindingsResult:
        """Load a study's result, finished or not, from MLflow alone; ``folder``: the report's, which it names."""
        spec, records = self.spec.from_stored(runs.study_document()), runs.records()
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
        return FindingsResult(self._findings_or_reason(spec, records, runs, remaining=info.remaining), info)

    def _findings_or_reason(self, spec: S, records: pd.DataFrame, runs: StudyRuns, *, remaining: int) -> Findings:
        """Return the kind's findings; if no trial has a result, the reason precedes their answer.

        In that case the kind's analysis may raise, and the report is written without it.
        """
        shown = stored_score(getattr(spec, TABLE, None))
        reason = no_result_text(records, remaining=remaining, remedies=REMEDIES if shown.of_pose else OWN_REMEDIES)
        if not reason:
            findings = self.findings(spec, records, runs)
            counts_as = f"{shown.name} of {shown.score.failure:g}"
            troubles = trouble_sentences(records, remaining=remaining, measure=counts_as)
            return _with_preface(findings, " ".join(troubles))
        try:
            findings = self.findings(spec, records, runs)
        except Exception as error:
            text = f"The analysis of this kind needs a trial with a result ({type(error).__name__}: {error})."
            findings = Findings("", [Section("Analysis", [text])])
        findings = _with_preface(findings, reason)
        return replace(findings, sections=[*findings.sections, _failures(records)])


def _with_preface(findings: Findings, preface: str) -> Findings:
    """Return the findings with a sentence put before the answer and before the claims."""
    claims = f"{preface} {findings.claims}".strip() if findings.claims else ""
    return replace(findings, answer=f"{preface} {findings.answer}".strip(), claims=claims)


def _failures(records: pd.DataFrame) -> Section:
    """Tabulate trials without a result by status and error."""
    rows = [[each["status"], each["error"] or "-", str(each["count"])] for each in failures(records)]
    return Section("Trials without a result", [Table(("status", "why", "trials"), rows)])


def _counts(records: pd.DataFrame) -> dict[str, int]:
    """Count the trials of every status, and all recorded ones."""
    by_status = Counter(map(str, records["status"])) if len(records) else Counter()
    return {str(status): by_status[str(status)] for status in Status} | {"recorded": len(records)}


def _planned_text(planned: Planned) -> str:
    """Describe a planned trial in words; a slot by its fixed values."""
    if isinstance(planned, Slot):
        fixed = ", ".join(f"{name} {value}" for name, value in planned.fixed.items())
        return fixed or "chosen when a worker takes it"
    return f"{planned.optimizer} {planned.hyperparameters}, seed {planned.seed}"
