"""How much an optimizers study is, and where it stands: for the table that fills in."""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import MISSING, dataclass, field, fields, replace
from statistics import fmean, median
from typing import Any, ClassVar

from bench.kinds.optimizers.controls import control_name, controlled
from bench.kinds.optimizers.judged import score_of
from bench.kinds.optimizers.spec import StudySpec, refuse_first_protocol
from bench.report.wording import loss_text
from bench.study.progress import Progress, ap_text, line_ap_text, mean_seconds, speed_text
from bench.trials.phases import CONFIRM, TUNE, Phase
from bench.trials.progress import Done
from bench.trials.score_names import AP_SCORE, LOSS_SCORE, ScoreName
from bench.trials.scores import AP_FLOOR, collapse_floor
from bench.trials.status import FAULTS, Status
from posemodel.errors import SettingsError

PHASES: tuple[Phase, ...] = (TUNE, CONFIRM)
OF_TRIALS = ("study", "enqueued", "confirmed_unscored")
"""Fields of `Size` that are not settings of the study."""
WORST_AP = 0.0
"""What a trial without an AP counts in a mean (the rule of the analysis)."""


@dataclass(frozen=True)
class OptimizerProgress:
    """One row of the table that fills in."""

    name: str
    tune_done: int
    tune_planned: int
    best_tune_ap: float | None
    confirm_done: int
    confirm_planned: int
    mean_confirm_ap: float | None
    """Of the confirm trials so far; one without an AP counts as the worst."""
    images_per_s: float | None
    """Median over the trials that have ended."""
    running: int
    diverged: int
    failed: int
    pruned: int

    def cells(self) -> list[str]:
        """Tune trials, best AP among them, confirm trials, their mean AP, speed."""
        return [
            f"{self.tune_done}/{self.tune_planned}" if self.tune_planned else "-",
            ap_text(self.best_tune_ap),
            f"{self.confirm_done}/{self.confirm_planned}" if self.confirm_planned else "-",
            ap_text(self.mean_confirm_ap),
            speed_text(self.images_per_s),
        ]


@dataclass(frozen=True)
class LossProgress(OptimizerProgress):
    """The row of a study that is judged by validation loss."""

    best_tune_val_loss: float | None
    """The least of the complete tune trials."""
    mean_confirm_val_loss: float | None
    """Of the complete confirm trials so far."""

    def cells(self) -> list[str]:
        """Tune trials, least loss among them, confirm trials, their mean loss, speed."""
        tune, _, confirm, _, speed = super().cells()
        return [tune, _loss_cell(self.best_tune_val_loss), confirm, _loss_cell(self.mean_confirm_val_loss), speed]


@dataclass(frozen=True)
class Size:
    """How much an optimizers study is, as its identity in the ledger says: whoever only looks needs no more of it.

    Of a study that goes on until it is decided: its first tunings, and what the ledger holds beyond.
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
    """Tuning spaces: a control may hang on what they fix."""
    confirm_unscored: bool = False
    score: ScoreName = AP_SCORE
    workload: Mapping[str, Any] = field(default_factory=dict)
    """What the trials train: its score says what counts as having learned nothing."""
    enqueued: Mapping[str, int] = field(default_factory=dict)
    """Trials of each phase that are planned so far, of a study that goes on until it is decided."""
    confirmed_unscored: int | None = None
    """Where all is tuned and nothing scored: its confirm trials, for there will be no more; else None."""
    phases: ClassVar[tuple[str, ...]] = PHASES

    @classmethod
    def of(cls, identity: Mapping[str, Any]) -> "Size":
        """The size of a study by its identity (`StudySpec.identity`); SettingsError if it is of another version."""
        known = {field.name: field for field in fields(cls) if field.name not in OF_TRIALS}
        refuse_first_protocol(identity)
        required = [name for name, each in known.items() if each.default is each.default_factory is MISSING]
        missing = [name for name in required if name not in identity]
        if missing:
            raise SettingsError(f"study {identity.get('name')!r}: is of another version (no {', '.join(missing)}).")
        values = {name: identity[name] for name in known if name in identity}
        return cls(study=identity["name"], **values | {"optimizers": tuple(identity["optimizers"])})

    @classmethod
    def of_spec(cls, spec: StudySpec) -> "Size":
        """The size of a study."""
        return cls.of(spec.identity())

    def each(self, phase: str, begun: int = 0) -> int:
        """Trials of a phase for an optimizer; more where ``begun`` are in further tunings of it."""
        if phase == CONFIRM and self.confirmed_unscored is not None:
            return begun
        of_tuning = self.trials if phase == TUNE else self.seeds
        return of_tuning * max(self.tunings, math.ceil(begun / of_tuning))

    def length(self, phase: Phase) -> float:
        """Steps of a trial of a phase, or seconds of training where the study's budget is in seconds."""
        steps, seconds = (self.tune_steps, self.tune_seconds) if phase == TUNE else (self.steps, self.seconds)
        return steps or seconds or 0.0

    def evaluations_of(self, phase: Phase) -> int:
        """Evaluations of a trial of a phase (without a pruner a tune trial is scored once, at its end)."""
        wanted = self.evaluations if phase == CONFIRM else self.tune_evaluations if self.pruner != "none" else 1
        if self.steps is None:
            return wanted
        steps = self.length(phase)
        return math.ceil(steps / math.ceil(steps / wanted))

    @property
    def controlled(self) -> tuple[str, ...]:
        """The optimizers that have a control."""
        return controlled(self.optimizers, self.spaces, controls=self.controls)

    def planned_of(self, phase: str) -> int:
        """Trials of a phase; controls run in the confirm phase."""
        if phase == CONFIRM and self.confirmed_unscored is not None:
            return self.confirmed_unscored
        first = self.each(phase) * (len(self.optimizers) + (len(self.controlled) if phase == CONFIRM else 0))
        return max(first, self.enqueued.get(phase, 0))

    @property
    def settled(self) -> bool:
        """Whether all trials are known before any has run."""
        return not self.until_decided

    @property
    def columns(self) -> tuple[str, ...]:
        """Headings of the cells of its rows."""
        name = "loss" if self.score == LOSS_SCORE else "AP"
        return ("tune", f"best {name}", "confirm", f"mean {name}", "images/s")

    def with_phase(self, phase: str, planned: int) -> "Size":
        """The size once so many trials of a phase are planned."""
        return self.of_plan({**self.enqueued, phase: planned})

    def of_plan(self, planned: Mapping[str, int]) -> "Size":
        """The size where so many trials of each phase are planned."""
        return replace(self, enqueued=dict(planned)) if self.until_decided else self

    def given(self, done: Mapping[str, Done]) -> "Size":
        """The size once these trials have ended: where all is tuned and nothing scored, no more are confirmed."""
        tuned = sum(trial.phase == TUNE for trial in done.values())
        ended = not self.confirm_unscored and tuned >= self.planned_of(TUNE) and not self._has_scored(done)
        confirmed = sum(trial.phase == CONFIRM for trial in done.values()) if ended else None
        return self if confirmed == self.confirmed_unscored else replace(self, confirmed_unscored=confirmed)

    def _has_scored(self, done: Mapping[str, Done]) -> bool:
        """Whether a trial has scored above chance, or may have: its record is out of reach."""
        of_loss = self.score == LOSS_SCORE
        complete = [trial.skill if of_loss else trial.ap for trial in done.values() if trial.status == Status.COMPLETE]
        known = [score for score in complete if score is not None]
        return len(known) < len(complete) or (bool(known) and max(known) >= self._floor())

    def _floor(self) -> float:
        """The score under which a trial has learned nothing; AP's where the workload cannot be loaded here."""
        with suppress(SettingsError):
            return collapse_floor(score_of(self))
        return AP_FLOOR

    @property
    def planned(self) -> int:
        """Trials of all phases, those that are not enqueued yet included."""
        return sum(self.planned_of(phase) for phase in PHASES)

    def rows(self, progress: Progress) -> list[OptimizerProgress]:
        """The optimizers in the study's order, then the controls."""
        controls = [_row(progress, self, control_name(name), is_control=True) for name in self.controlled]
        return [_row(progress, self, name) for name in self.optimizers] + controls

    def score_text(self, metrics: Mapping[str, float]) -> str:
        """What a trial scored, for its line: the validation loss where that is what counts, and the AP."""
        loss = metrics.get(LOSS_SCORE) if self.score == LOSS_SCORE else None
        parts = [f"validation loss {loss_text(loss)}"] if loss is not None else []
        return ", ".join(filter(None, [*parts, line_ap_text(metrics)]))

    def trial_seconds(self, phase: str, done: Sequence[Done]) -> float | None:
        """The mean over the phase.

        Before the first confirm trial has ended: the complete tune trials, their training scaled by the budget, their
        evaluation by the number of evaluations.
        """
        own = mean_seconds(done, phase)
        if own is not None or phase == TUNE:
            return own
        longer = self.length(CONFIRM) / self.length(TUNE)
        evaluations = self.evaluations_of(CONFIRM) / self.evaluations_of(TUNE)
        scaled = []
        for trial in done:
            if trial.phase != TUNE or trial.status != Status.COMPLETE or trial.seconds is None:
                continue
            train, evaluation = trial.train_seconds, trial.eval_seconds
            if train is None or evaluation is None:
                scaled.append(trial.seconds * longer)
            else:
                rest = max(trial.seconds - train - evaluation, 0.0)
                scaled.append(rest + train * longer + evaluation * evaluations)
        return median(scaled) if scaled else None


def _row(progress: Progress, size: Size, name: str, *, is_control: bool = False) -> OptimizerProgress:
    done = [trial for trial in progress.done.values() if trial.optimizer == name]
    tune = [trial for trial in done if trial.phase == TUNE]
    confirm = [trial for trial in done if trial.phase == CONFIRM]
    tuned = [trial.ap for trial in tune if trial.status == Status.COMPLETE and trial.ap is not None]
    running = [trial for trial in progress.running_trials.values() if trial.optimizer == name]
    begun = Counter([*(trial.phase for trial in done), *(trial.phase for trial in running)])
    known = [trial for trial in confirm if trial.status != Status.COMPLETE or trial.ap is not None]
    scores = [(trial.ap or WORST_AP) if trial.status == Status.COMPLETE else WORST_AP for trial in known]
    speeds = [trial.images_per_s for trial in done if trial.images_per_s]
    row = OptimizerProgress(
        name=name,
        tune_done=len(tune),
        tune_planned=0 if is_control else size.each(TUNE, begun[TUNE]),
        best_tune_ap=max(tuned, default=None),
        confirm_done=len(confirm),
        confirm_planned=size.each(CONFIRM, begun[CONFIRM]),
        mean_confirm_ap=fmean(scores) if scores else None,
        images_per_s=median(speeds) if speeds else None,
        running=len(running),
        diverged=sum(trial.status == Status.DIVERGED for trial in done),
        failed=sum(trial.status in FAULTS for trial in done),
        pruned=sum(trial.status == Status.PRUNED for trial in done),
    )
    if size.score != LOSS_SCORE:
        return row
    least, mean = (
        [trial.val_loss for trial in own if trial.status == Status.COMPLETE and trial.val_loss is not None]
        for own in (tune, confirm)
    )
    return LossProgress(
        **{each.name: getattr(row, each.name) for each in fields(row)},
        best_tune_val_loss=min(least, default=None),
        mean_confirm_val_loss=fmean(mean) if mean else None,
    )


def _loss_cell(value: float | None) -> str:
    return "-" if value is None else loss_text(value)
