"""The size of an optimizers study, and its progress as the rows of the live table."""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import MISSING, dataclass, field, fields, replace
from functools import cached_property
from statistics import fmean, median
from typing import Any, ClassVar

from bench.kinds.optimizers.controls import control_name, controlled
from bench.kinds.optimizers.measure import UNKNOWN, Measure, measure_of
from bench.kinds.optimizers.spec import StudySpec, refuse_first_protocol
from bench.report.wording import loss_text
from bench.study.progress import Progress, ap_text, line_ap_text, mean_seconds, speed_text
from bench.trials.phases import CONFIRM, TUNE, Phase
from bench.trials.progress import EndedTrial
from bench.trials.score_names import AP_SCORE, LOSS_SCORE, ScoreName
from bench.trials.score_scale import WORST_SCORE, collapse_floor
from bench.trials.status import FAULTS, Status
from bench.workloads.of_study import workload_of
from posemodel.errors import SettingsError

PHASES: tuple[Phase, ...] = (TUNE, CONFIRM)
PROGRESS_FIELDS = ("study", "enqueued", "confirmed_unscored")
"""Fields of `Size` that are not settings of the study."""


@dataclass(frozen=True)
class OptimizerProgress:
    """One optimizer's row of the live table."""

    name: str
    tune_done: int
    tune_planned: int
    best_tune_ap: float | None
    confirm_done: int
    confirm_planned: int
    mean_confirm_ap: float | None
    """Mean AP of the confirm trials so far; a trial without an AP counts as 0."""
    images_per_s: float | None
    """Median training speed of the trials that have ended."""
    running: int
    diverged: int
    failed: int
    pruned: int

    def cells(self) -> list[str]:
        """Return tune trials, best AP among them, confirm trials, their mean AP and speed as text."""
        return [
            f"{self.tune_done}/{self.tune_planned}" if self.tune_planned else "-",
            ap_text(self.best_tune_ap),
            f"{self.confirm_done}/{self.confirm_planned}" if self.confirm_planned else "-",
            ap_text(self.mean_confirm_ap),
            speed_text(self.images_per_s),
        ]


@dataclass(frozen=True)
class LossProgress(OptimizerProgress):
    """One optimizer's row in a study that is judged by validation loss."""

    best_tune_val_loss: float | None
    """Lowest validation loss of the complete tune trials."""
    mean_confirm_val_loss: float | None
    """Mean validation loss of the complete confirm trials so far."""

    def cells(self) -> list[str]:
        """Return tune trials, lowest loss among them, confirm trials, their mean loss and speed as text."""
        tune, _, confirm, _, speed = super().cells()
        return [tune, _loss_cell(self.best_tune_val_loss), confirm, _loss_cell(self.mean_confirm_val_loss), speed]


@dataclass(frozen=True)
class ScoreProgress(OptimizerProgress):
    """One optimizer's row in a study of a workload with a score of its own."""

    best_tune_score: float | None
    """Best score of the complete tune trials."""
    mean_confirm_score: float | None
    """Mean score of the confirm trials so far; a trial without one counts as the score of a failed run."""

    def cells(self) -> list[str]:
        """Return tune trials, best score among them, confirm trials, their mean score and speed as text."""
        tune, _, confirm, _, speed = super().cells()
        best, mean = (
            "-" if score is None else f"{score:.4g}" for score in (self.best_tune_score, self.mean_confirm_score)
        )
        return [tune, best, confirm, mean, speed]


@dataclass(frozen=True)
class Size:
    """The size of an optimizers study, from its stored identity alone: all that displays need.

    For an ``until_decided`` study: its first tunings, and the later trials that are in the ledger.
    """

    study: str
    kind: str
    preset: str
    optimizers: tuple[str, ...]
    tunings: int
    trials: int
    seeds: int
    tune_steps: int | None
    steps: int | None
    evaluations: int
    tune_seconds: float | None = None
    seconds: float | None = None
    pruner: str = "none"
    tune_evaluations: int = 1
    controls: bool = False
    until_decided: bool = False
    max_tunings: int = 6
    """Fields with defaults were added later; older studies lack them."""
    spaces: Mapping[str, Any] = field(default_factory=dict)
    """Tuning spaces by optimizer; fixed values in them may rule out a control."""
    confirm_unscored: bool = False
    score: ScoreName = AP_SCORE
    workload: Mapping[str, Any] = field(default_factory=dict)
    """The workload that the trials train; its score says what counts as having learned nothing."""
    schedule: str | None = None
    """Learning rate schedule of the study."""
    own_schedules: Mapping[str, str] = field(default_factory=dict)
    """Schedules that methods fix themselves, by optimizer."""
    enqueued: Mapping[str, int] = field(default_factory=dict)
    """Trials planned so far by phase, of an ``until_decided`` study."""
    confirmed_unscored: int | None = None
    """Number of confirm trials, final since all tuning is done and nothing scored; None otherwise."""
    phases: ClassVar[tuple[str, ...]] = PHASES

    @classmethod
    def of(cls, identity: Mapping[str, Any]) -> "Size":
        """Return the size of a study from its identity (`StudySpec.identity`).

        Raises:
            SettingsError: Another version stored the identity.
        """
        setting_fields = {field.name: field for field in fields(cls) if field.name not in PROGRESS_FIELDS}
        refuse_first_protocol(identity)
        required = [
            name for name, setting in setting_fields.items() if setting.default is setting.default_factory is MISSING
        ]
        missing = [name for name in required if name not in identity]
        if missing:
            raise SettingsError(f"study {identity.get('name')!r}: is of another version (no {', '.join(missing)}).")
        values = {name: identity[name] for name in setting_fields if name in identity}
        return cls(study=identity["name"], **values | {"optimizers": tuple(identity["optimizers"])})

    @classmethod
    def of_spec(cls, spec: StudySpec) -> "Size":
        """Return the size of a study from its specification."""
        return cls.of(spec.identity())

    def each(self, phase: str, begun: int = 0) -> int:
        """Return the trials of a phase for one optimizer; more if ``begun`` trials show that it has further tunings."""
        if phase == CONFIRM and self.confirmed_unscored is not None:
            return begun
        of_tuning = self.trials if phase == TUNE else self.seeds
        return of_tuning * max(self.tunings, math.ceil(begun / of_tuning))

    def length(self, phase: Phase) -> float:
        """Return the length of a phase's trials in steps, or in seconds of training where the budget is in seconds."""
        steps, seconds = (self.tune_steps, self.tune_seconds) if phase == TUNE else (self.steps, self.seconds)
        return steps or seconds or 0.0

    def evaluations_of(self, phase: Phase) -> int:
        """Return the evaluations of a phase's trials (without a pruner a tune trial is scored once, at its end)."""
        wanted = self.evaluations if phase == CONFIRM else self.tune_evaluations if self.pruner != "none" else 1
        if self.steps is None:
            return wanted
        steps = self.length(phase)
        return math.ceil(steps / math.ceil(steps / wanted))

    @property
    def controlled(self) -> tuple[str, ...]:
        """Optimizers that have a control."""
        return controlled(self.optimizers, self.spaces, controls=self.controls)

    def planned_of(self, phase: str) -> int:
        """Return the planned trials of a phase; controls belong to the confirm phase."""
        if phase == CONFIRM and self.confirmed_unscored is not None:
            return self.confirmed_unscored
        initial = self.each(phase) * (len(self.optimizers) + (len(self.controlled) if phase == CONFIRM else 0))
        return max(initial, self.enqueued.get(phase, 0))

    @property
    def plan_is_known(self) -> bool:
        """Whether the number of trials is known before any has run."""
        return not self.until_decided

    @cached_property
    def measure(self) -> Measure:
        """The measure of the study; `UNKNOWN` if its workload cannot be loaded here."""
        with suppress(SettingsError):
            return measure_of(self.score, workload_of(self))
        return UNKNOWN

    @property
    def columns(self) -> tuple[str, ...]:
        """Column headings of its rows."""
        name = "loss" if self.score == LOSS_SCORE else self.measure.name
        return ("tune", f"best {name}", "confirm", f"mean {name}", f"{self.measure.samples}/s")

    def with_phase(self, phase: str, planned: int) -> "Size":
        """Return the size with so many planned trials of a phase."""
        return self.of_plan({**self.enqueued, phase: planned})

    def of_plan(self, planned: Mapping[str, int]) -> "Size":
        """Return the size with so many planned trials of each phase."""
        return replace(self, enqueued=dict(planned)) if self.until_decided else self

    def after_trials(self, done: Mapping[str, EndedTrial]) -> "Size":
        """Return the size once these trials have ended: if tuning is done and nothing scored, no more are confirmed."""
        tuned = sum(trial.phase == TUNE for trial in done.values())
        ended = not self.confirm_unscored and tuned >= self.planned_of(TUNE) and not self._has_scored(done)
        confirmed = sum(trial.phase == CONFIRM for trial in done.values()) if ended else None
        return self if confirmed == self.confirmed_unscored else replace(self, confirmed_unscored=confirmed)

    def _has_scored(self, done: Mapping[str, EndedTrial]) -> bool:
        """Return whether a trial scored above chance, or may have because its record cannot be read."""
        measure = self.measure
        complete_scores = [_gain(trial, measure) for trial in done.values() if trial.status == Status.COMPLETE]
        scores = [score for score in complete_scores if score is not None]
        return len(scores) < len(complete_scores) or (bool(scores) and max(scores) >= collapse_floor(measure.own))

    @property
    def planned(self) -> int:
        """Trials of all phases, including those not enqueued yet."""
        return sum(self.planned_of(phase) for phase in PHASES)

    def rows(self, progress: Progress) -> list[OptimizerProgress]:
        """Return the rows of the optimizers in the study's order, then those of the controls."""
        controls = [_row(progress, self, control_name(name), is_control=True) for name in self.controlled]
        return [_row(progress, self, name) for name in self.optimizers] + controls

    def score_text(self, metrics: Mapping[str, float]) -> str:
        """Return a trial's score for its progress line: AP or the workload's own, preceded by the validation loss
        if the study is judged by that."""
        loss = metrics.get(LOSS_SCORE) if self.score == LOSS_SCORE else None
        parts = [f"validation loss {loss_text(loss)}"] if loss is not None else []
        measure = self.measure
        if measure.is_own:
            score = metrics.get(measure.own.name)
            return "" if score is None else f"{measure.name} {score:.{measure.decimals}f}"
        return ", ".join(filter(None, [*parts, line_ap_text(metrics)]))

    def speed_text(self, metrics: Mapping[str, float]) -> str:
        """Return the speed with its unit as text."""
        speed = metrics.get("images_per_s")
        return f"{speed:.1f} {self.measure.samples}/s" if speed else ""

    def trial_seconds(self, phase: str, done: Sequence[EndedTrial]) -> float | None:
        """Return the mean duration in seconds of a phase's trials; None while unknown.

        Before the first confirm trial has ended, it is the median of the complete tune trials, their training scaled by
        the budget and their evaluation by the number of evaluations.
        """
        mean = mean_seconds(done, phase)
        if mean is not None or phase == TUNE:
            return mean
        budget_ratio = self.length(CONFIRM) / self.length(TUNE)
        evaluation_ratio = self.evaluations_of(CONFIRM) / self.evaluations_of(TUNE)
        scaled = []
        for trial in done:
            if trial.phase != TUNE or trial.status != Status.COMPLETE or trial.seconds is None:
                continue
            train_seconds, eval_seconds = trial.train_seconds, trial.eval_seconds
            if train_seconds is None or eval_seconds is None:
                scaled.append(trial.seconds * budget_ratio)
            else:
                other_seconds = max(trial.seconds - train_seconds - eval_seconds, 0.0)
                scaled.append(other_seconds + train_seconds * budget_ratio + eval_seconds * evaluation_ratio)
        return median(scaled) if scaled else None


def size_of(document: Mapping[str, Any], planned: Mapping[str, int]) -> Size:
    """Return the size of a stored study; of an ``until_decided`` one also from the trials planned so far, by phase."""
    return Size.of(document).of_plan(planned)


def _row(progress: Progress, size: Size, name: str, *, is_control: bool = False) -> OptimizerProgress:
    done = [trial for trial in progress.done.values() if trial.optimizer == name]
    tune = [trial for trial in done if trial.phase == TUNE]
    confirm = [trial for trial in done if trial.phase == CONFIRM]
    tune_aps = [trial.ap for trial in tune if trial.status == Status.COMPLETE and trial.ap is not None]
    running = [trial for trial in progress.running_trials.values() if trial.optimizer == name]
    begun = Counter([*(trial.phase for trial in done), *(trial.phase for trial in running)])
    counted = [trial for trial in confirm if trial.status != Status.COMPLETE or trial.ap is not None]
    scores = [(trial.ap or WORST_SCORE) if trial.status == Status.COMPLETE else WORST_SCORE for trial in counted]
    speeds = [trial.images_per_s for trial in done if trial.images_per_s]
    row = OptimizerProgress(
        name=name,
        tune_done=len(tune),
        tune_planned=0 if is_control else size.each(TUNE, begun[TUNE]),
        best_tune_ap=max(tune_aps, default=None),
        confirm_done=len(confirm),
        confirm_planned=size.each(CONFIRM, begun[CONFIRM]),
        mean_confirm_ap=fmean(scores) if scores else None,
        images_per_s=median(speeds) if speeds else None,
        running=len(running),
        diverged=sum(trial.status == Status.DIVERGED for trial in done),
        failed=sum(trial.status in FAULTS for trial in done),
        pruned=sum(trial.status == Status.PRUNED for trial in done),
    )
    values = {column.name: getattr(row, column.name) for column in fields(row)}
    measure = size.measure
    if measure.is_own:
        best, mean = _own_scores(tune, confirm, measure)
        return ScoreProgress(**values, best_tune_score=best, mean_confirm_score=mean)
    if size.score != LOSS_SCORE:
        return row
    tune_losses, confirm_losses = (
        [trial.val_loss for trial in trials if trial.status == Status.COMPLETE and trial.val_loss is not None]
        for trials in (tune, confirm)
    )
    return LossProgress(
        **values,
        best_tune_val_loss=min(tune_losses, default=None),
        mean_confirm_val_loss=fmean(confirm_losses) if confirm_losses else None,
    )


def _gain(trial: EndedTrial, measure: Measure) -> float | None:
    """Return the gain, or the skill, of a complete trial; None if it is not known."""
    if measure.is_loss:
        return trial.skill
    score = trial.measured(measure.own.name)
    return None if score is None else measure.own.gain(score)


def _own_scores(
    tune: Sequence[EndedTrial], confirm: Sequence[EndedTrial], measure: Measure
) -> tuple[float | None, float | None]:
    """Return the best score of the tune trials and the mean of the confirm trials; None where they are not known."""
    if measure == UNKNOWN:
        return None, None
    own = measure.own
    complete = (trial.measured(own.name) for trial in tune if trial.status == Status.COMPLETE)
    tuned = [score for score in complete if score is not None]
    ended = [trial.measured(own.name) if trial.status == Status.COMPLETE else own.failure for trial in confirm]
    confirmed = [score for score in ended if score is not None]
    return max(tuned, key=own.gain, default=None), fmean(confirmed) if confirmed else None


def _loss_cell(value: float | None) -> str:
    return "-" if value is None else loss_text(value)
