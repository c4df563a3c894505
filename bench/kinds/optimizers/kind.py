"""The optimizers kind: tune each optimizer several times, confirm each time's finalist, compare the procedures."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import pandas as pd

from bench.kinds.optimizers.analysis import time_use
from bench.kinds.optimizers.estimate import measured
from bench.kinds.optimizers.extension import as_extended, go_on_text, more_optimizers, more_tunings
from bench.kinds.optimizers.judged import has_skill
from bench.kinds.optimizers.plan import outcomes_of, plan, total_trials
from bench.kinds.optimizers.plan_shown import estimate_text, plan_shown, size_text
from bench.kinds.optimizers.report.page import optimizer_findings, study_info
from bench.kinds.optimizers.results import load_result
from bench.kinds.optimizers.size import Size
from bench.kinds.optimizers.sized import CHOSEN, sized
from bench.kinds.optimizers.spec import StudySpec, refuse_first_protocol
from bench.kinds.optimizers.trial import TRIALS
from bench.optimizers import optimizer_entry
from bench.optimizers.same_algorithm import same_algorithm
from bench.optimizers.space import RATES
from bench.records.mlflow_views import SavedView
from bench.records.reader import StudyRuns
from bench.report.findings_result import FindingsResult
from bench.report.findings_write import write_pages, write_parts
from bench.report.shown import Shown
from bench.settings.layers import Setting, about, space_key
from bench.study.kind import Settings, require_optimizers
from bench.study.ledger_kind import LedgerKind
from bench.study.prepared import Prepared
from bench.study.probe import Measured
from bench.study.sizing import Sized
from bench.trials.phases import CONFIRM, TUNE
from bench.trials.score_names import LOSS_SCORE
from bench.trials.spec import TrialSpec
from bench.workloads import workload
from bench.workloads.of_study import TABLE, name_of
from posemodel.errors import SettingsError

UNSCORED_PRESET = "smoke"
"""The preset that confirms finalists though nothing scores; its earlier versions did not have to say so."""
RATE_PARAMETERS = tuple(f"hp.{name}" for name in RATES)
"""What MLflow calls the learning rate of a run."""


class OptimizersKind(LedgerKind[StudySpec]):
    """See `bench.study.kind`."""

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

    def refuse(self, settings: Settings, command_line: Mapping[str, Any]) -> None:
        """A typed space of an optimizer that is not compared, too."""
        require_optimizers(settings)
        _refuse_idle_spaces(settings["optimizers"].value, command_line.get("spaces") or {})
        super().refuse(settings, command_line)
        its = workload(name_of(settings[TABLE].value))
        if settings["score"].value == LOSS_SCORE and not has_skill(its):
            with about(settings, "score"):
                raise SettingsError(
                    f"score val_loss: the workload {its.name} does not measure what a validation loss is held against "
                    "(`reference_loss`); give score ap."
                )

    def series(self, settings: Settings) -> Mapping[str, Settings]:
        """A study for each schedule of a list."""
        schedule = settings["schedule"]
        if not isinstance(schedule.value, tuple):
            return {"": settings}
        several = len(schedule.value) > 1
        return {
            f"-{each}" if several else "": {**settings, "schedule": Setting(each, schedule.origin)}
            for each in schedule.value
        }

    def warnings(self, spec: StudySpec) -> Sequence[str]:
        """Optimizers that are one algorithm in this study."""
        return same_algorithm(spec.optimizers, spec.spaces, spec.weight_decay)

    def size_text(self, spec: StudySpec) -> str:
        """Optimizers, trials and their budgets, network, schedule, device."""
        return size_text(spec)

    def estimate_text(self, prepared: Prepared[StudySpec]) -> str:
        """How long it will take, measured in some seconds."""
        return estimate_text(prepared)

    def measured(self, prepared: Prepared[StudySpec]) -> Measured:
        """Setup, steps and evaluations, measured in some seconds."""
        return measured(prepared)

    def sized(self, prepared: Prepared[StudySpec], free: Collection[str], seconds: float) -> Sized:
        """Tunings, trials, steps and evaluations for so many seconds."""
        return sized(prepared, measured(prepared), free, seconds)

    def plan_shown(self, prepared: Prepared[StudySpec]) -> Shown:
        """The tune trials of each study, and how long all will take."""
        return plan_shown(prepared)

    def as_begun(self, spec: StudySpec, begun: Mapping[str, Any]) -> StudySpec:
        """The study as it was extended, with what its preset was then; SettingsError for one of the first protocol."""
        if begun.get("kind") != self.name:
            return spec
        refuse_first_protocol({**begun, "name": spec.name})
        if spec.preset == UNSCORED_PRESET and "confirm_unscored" not in begun:
            spec = spec.model_copy(update={"confirm_unscored": False})
        return as_extended(spec, begun)

    def go_on_text(self, spec: StudySpec, begun: Mapping[str, Any]) -> str:
        """Where only its size differs, how it is made larger."""
        return go_on_text(spec, begun) if begun.get("kind") == self.name else super().go_on_text(spec, begun)

    def extended(self, spec: StudySpec, amount: Mapping[str, int], *, looked: Collection[int]) -> StudySpec:
        """With more tunings of each optimizer."""
        return more_tunings(spec, amount["tunings"], looked=looked)

    def with_optimizers(
        self, spec: StudySpec, names: Sequence[str], spaces: Mapping[str, Mapping[str, Any]]
    ) -> StudySpec:
        """With further optimizers: all pairs are then compared anew."""
        return more_optimizers(spec, names, spaces)

    def next_trials(self, spec: StudySpec, records: pd.DataFrame) -> Sequence[TrialSpec]:
        """Each tuning's trials as far as its own records tell them."""
        return plan(spec, outcomes_of(records, spec.score))

    def least_trials(self, spec: StudySpec) -> int:
        """Those of both phases; where nothing scores, there are no confirm trials."""
        tuned = spec.tunings * len(spec.optimizers) * spec.trials
        return total_trials(spec) if spec.confirm_unscored else tuned

    def size(self, document: Mapping[str, Any], planned: Mapping[str, int]) -> Size:
        """The size of a study, which its settings tell; until it is decided also its plan."""
        return Size.of(document).of_plan(planned)

    def load(self, runs: StudyRuns, folder: Path | None = None) -> FindingsResult:
        """The result of a study, finished or not, from MLflow alone."""
        result = load_result(runs, folder)
        return FindingsResult(optimizer_findings(result), study_info(result))

    def write_report(
        self, runs: StudyRuns, folder: Path, note_session: Callable[[], None] = lambda: None
    ) -> tuple[FindingsResult, Path]:
        """Its pages say where the time went, until they were begun."""
        result = load_result(runs, folder)
        info = study_info(result)
        images = write_parts(optimizer_findings(result), info, folder)
        note_session()
        findings = optimizer_findings(replace(result, time_use=time_use(result.records, runs.sessions())))
        return FindingsResult(findings, info), write_pages(findings, info, folder, images)


def _refuse_idle_spaces(optimizers: Sequence[str], typed: Mapping[str, Any]) -> None:
    """A file may hold the space of an optimizer that this study leaves out; one that is typed is meant to be used."""
    compared = {space_key(name) for name in optimizers}
    for name in typed:
        if space_key(name) not in compared:
            optimizer_entry(name)  # a mistyped name is told as such
            raise SettingsError(
                f"--space {name}: the study does not compare {name} (it compares {', '.join(optimizers)}): "
                "add it to --optimizers."
            )


KIND = OptimizersKind()
