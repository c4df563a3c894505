"""The optimizers kind for the study runner: its settings, trials, estimates, analysis and report in one class."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import pandas as pd

from bench.kinds.optimizers.analysis import time_use
from bench.kinds.optimizers.budget_design import CHOSEN, choose_size
from bench.kinds.optimizers.controls import without_control
from bench.kinds.optimizers.estimate import measure_costs
from bench.kinds.optimizers.extension import as_extended, difference_remedy, more_optimizers, more_tunings
from bench.kinds.optimizers.plan import plan, study_outcomes, total_trials
from bench.kinds.optimizers.plan_preview import estimate_text, plan_output, size_text
from bench.kinds.optimizers.report.page import optimizer_findings, study_info
from bench.kinds.optimizers.results import load_result
from bench.kinds.optimizers.size import Size, size_of
from bench.kinds.optimizers.spec import StudySpec, refuse_first_protocol
from bench.kinds.optimizers.study_score import measures_skill
from bench.kinds.optimizers.trial import TRIALS
from bench.optimizers import optimizer_entry
from bench.optimizers.earlier_spaces import as_begun
from bench.optimizers.same_algorithm import same_algorithm
from bench.optimizers.space import RATES
from bench.optimizers.weight_decay import decoupled_as_begun
from bench.records.mlflow_views import SavedView
from bench.records.reader import StudyRuns
from bench.report.command_output import CommandOutput
from bench.report.findings_result import FindingsResult
from bench.report.findings_write import write_pages, write_parts
from bench.settings.layers import Setting, errors_about, space_key, value_error
from bench.settings.value_errors import Fault
from bench.study.kind import Settings, require_optimizers
from bench.study.ledger_kind import LedgerKind
from bench.study.prepared import Prepared
from bench.study.probe import Measured
from bench.study.sizing import ChosenSize
from bench.trials.own_schedules import schedules_as_begun
from bench.trials.phases import CONFIRM, TUNE
from bench.trials.score_names import AP_SCORE, LOSS_SCORE
from bench.trials.spec import TrialSpec
from bench.workloads import workload
from bench.workloads.of_study import TABLE, name_of, workload_of
from bench.workloads.score import Score
from posemodel.errors import SettingsError

UNSCORED_PRESET = "smoke"
"""The preset that confirms finalists even if nothing scores; its earlier versions did not store that setting."""
RATE_PARAMETERS = tuple(f"hp.{name}" for name in RATES)
"""Names of a run's learning rate in MLflow."""


class OptimizersKind(LedgerKind[StudySpec]):
    """The optimizers kind; `bench.study.kind` documents the methods."""

    spec = StudySpec
    trials = TRIALS
    budgeted = CHOSEN
    plans_ahead = True
    views: ClassVar[Sequence[SavedView]] = (
        SavedView(
            "Confirm runs by optimizer", CONFIRM, ("final.ap", "final.images_per_s"), ("tuning", *RATE_PARAMETERS)
        ),
        SavedView("Tune runs by optimizer", TUNE, ("final.ap",), ("tuning", "round", *RATE_PARAMETERS, "status")),
    )

    def views_of(self, spec: StudySpec) -> Sequence[SavedView]:
        """Return the views with the score of the study's workload."""
        score = workload_of(spec).score
        if score.name == AP_SCORE:
            return self.views
        return [view.of_score(score.name, lower_is_better=score.sign < 0) for view in self.views]

    def refuse(self, settings: Settings, command_line: Mapping[str, Any]) -> None:
        """Also refuse a space of an optimizer that is not compared, validation loss where there is no reference, and a
        target that no run can reach or every run has."""
        require_optimizers(settings)
        _refuse_idle_spaces(settings["optimizers"].value, command_line.get("spaces") or {})
        super().refuse(settings, command_line)
        own_workload = workload(name_of(settings[TABLE].value))
        if settings["score"].value == LOSS_SCORE and not measures_skill(own_workload):
            with errors_about(settings, "score"):
                raise SettingsError(
                    f"score val_loss: the workload {own_workload.name} does not measure `reference_loss`, with "
                    "which a validation loss is compared; give score ap."
                )
        target = settings["target"]
        if settings["score"].value != LOSS_SCORE and target.value is not None:
            fault = target_fault(target.value, own_workload.score)
            if fault:
                raise value_error(Fault(("target",), fault, target.value), target.origin)

    def series(self, settings: Settings) -> Mapping[str, Settings]:
        """Return one study for each schedule in a list, by suffix of its name."""
        schedule = settings["schedule"]
        if not isinstance(schedule.value, tuple):
            return {"": settings}
        several = len(schedule.value) > 1
        return {
            f"-{each}" if several else "": {**settings, "schedule": Setting(each, schedule.origin)}
            for each in schedule.value
        }

    def warnings(self, spec: StudySpec) -> Sequence[str]:
        """Name the optimizers that are the same algorithm in this study, and those without the control asked for."""
        return [
            *same_algorithm(spec.optimizers, spec.spaces, spec.weight_decay),
            *without_control(spec.optimizers, spec.spaces, controls=spec.controls),
        ]

    def size_text(self, spec: StudySpec) -> str:
        """Describe the study in one line: optimizers, trials, budgets, network, schedule, device."""
        return size_text(spec)

    def estimate_text(self, prepared: Prepared[StudySpec]) -> str:
        """Say how long the study takes, from a measurement of some seconds."""
        return estimate_text(prepared)

    def measure_costs(self, prepared: Prepared[StudySpec]) -> Measured:
        """Measure setup, steps and evaluations for some seconds."""
        return measure_costs(prepared)

    def choose_size(self, prepared: Prepared[StudySpec], choosable: Collection[str], seconds: float) -> ChosenSize:
        """Choose tunings, trials, steps and evaluations that fit into ``seconds``."""
        return choose_size(prepared, measure_costs(prepared), choosable, seconds)

    def plan_output(self, prepared: Prepared[StudySpec]) -> CommandOutput:
        """Return the tune trials of each study and how long all studies take."""
        return plan_output(prepared)

    def with_stored_settings(self, spec: StudySpec, stored_identity: Mapping[str, Any]) -> StudySpec:
        """Return the study with what its stored identity ``stored_identity`` has: the extensions, the preset's values,
        default spaces, decoupling of weight decay and own schedules.

        Raises:
            SettingsError: It is a study of the first protocol.
        """
        if stored_identity.get("kind") != self.name:
            return spec
        refuse_first_protocol({**stored_identity, "name": spec.name})
        if spec.preset == UNSCORED_PRESET and "confirm_unscored" not in stored_identity:
            spec = spec.model_copy(update={"confirm_unscored": False})
        stored = stored_identity.get("spaces", {})
        begun = {
            "spaces": as_begun(decoupled_as_begun(spec.spaces, stored), stored),
            "own_schedules": schedules_as_begun(spec, stored_identity),
        }
        return as_extended(spec.model_copy(update=begun), stored_identity)

    def difference_remedy(self, spec: StudySpec, stored_identity: Mapping[str, Any]) -> str:
        """Say how to continue; where only the study's size differs, how to extend it."""
        return (
            difference_remedy(spec, stored_identity)
            if stored_identity.get("kind") == self.name
            else super().difference_remedy(spec, stored_identity)
        )

    def extend(self, spec: StudySpec, amount: Mapping[str, int], *, finished_amounts: Collection[int]) -> StudySpec:
        """Return the study with more tunings of each optimizer."""
        return more_tunings(spec, amount["tunings"], finished_amounts=finished_amounts)

    def with_optimizers(
        self, spec: StudySpec, names: Sequence[str], spaces: Mapping[str, Mapping[str, Any]]
    ) -> StudySpec:
        """Return the study with further optimizers; all pairs are then compared anew."""
        return more_optimizers(spec, names, spaces)

    def next_trials(self, spec: StudySpec, records: pd.DataFrame) -> Sequence[TrialSpec]:
        """Return all trials that can be planned from the records so far."""
        return plan(spec, study_outcomes(spec, records))

    def minimum_trials(self, spec: StudySpec) -> int:
        """Return the minimum number of trials: both phases if finalists are confirmed in any case, otherwise the tune
        trials."""
        tuned = spec.tunings * len(spec.optimizers) * spec.trials
        return total_trials(spec) if spec.confirm_unscored else tuned

    def size(self, document: Mapping[str, Any], planned: Mapping[str, int]) -> Size:
        """Return the study's size from its settings; of an ``until_decided`` study also from its plan."""
        return size_of(document, planned)

    def load(self, runs: StudyRuns, folder: Path | None = None) -> FindingsResult:
        """Return the result of a study, finished or not, from MLflow alone."""
        result = load_result(runs, folder)
        return FindingsResult(optimizer_findings(result), study_info(result))

    def write_report(
        self, runs: StudyRuns, folder: Path, update_session: Callable[[], None] = lambda: None
    ) -> tuple[FindingsResult, Path]:
        """Write the report; the times that it shows end when writing the pages begins."""
        result = load_result(runs, folder)
        info = study_info(result)
        images = write_parts(optimizer_findings(result), info, folder)
        update_session()
        findings = optimizer_findings(replace(result, time_use=time_use(result.records, runs.sessions())))
        return FindingsResult(findings, info), write_pages(findings, info, folder, images)


def target_fault(target: float, score: Score) -> str:
    """Return what is wrong with a target for a score: not better than chance, or out of its range; empty if nothing."""
    if score.sign * (target - score.chance) <= 0:
        return f"must be {'more' if score.sign > 0 else 'less'} than {score.chance:g}"
    if score.in_range(target):
        return ""
    return f"must be {score.high:g} or less" if score.sign > 0 else f"must be {score.low:g} or more"


def _refuse_idle_spaces(optimizers: Sequence[str], typed: Mapping[str, Any]) -> None:
    """Refuse a space on the command line for an optimizer that is not compared (a file may hold unused spaces)."""
    compared = {space_key(name) for name in optimizers}
    for name in typed:
        if space_key(name) not in compared:
            optimizer_entry(name)  # raises for an unknown name
            raise SettingsError(
                f"--space {name}: the study does not compare {name} (it compares {', '.join(optimizers)}): "
                "add it to --optimizers."
            )


KIND = OptimizersKind()
