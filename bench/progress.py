"""Where a study stands, as plain values: what is done, what is in hand, and how long the rest will take. Pure."""

import heapq
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import MISSING, dataclass, field, fields, replace
from statistics import fmean, median
from typing import Any, ClassVar

from bench.controls import control_name, controlled
from bench.record import FAULTS, Status
from bench.spec import CONFIRM, TUNE, Phase, StudySpec
from posemodel.errors import SettingsError

PHASES: tuple[Phase, ...] = (TUNE, CONFIRM)
MS = 1000
WORST_AP = 0.0
"""What a trial without an AP counts in a mean (the rule of the analysis)."""


@dataclass(frozen=True)
class Size:
    """How much an optimizers study is, as its identity in the ledger says: whoever only looks needs no more of it."""

    study: str
    kind: str
    preset: str
    optimizers: tuple[str, ...]
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
    """What has a default here was unknown to earlier versions, and did not exist in their studies."""
    spaces: Mapping[str, Any] = field(default_factory=dict)
    """Tuning spaces: a control may hang on what they fix."""
    phases: ClassVar[tuple[str, ...]] = PHASES

    @classmethod
    def of(cls, identity: Mapping[str, Any]) -> "Size":
        """The size of a study by its identity (`StudySpec.identity`); SettingsError if it is of another version."""
        known = {field.name: field for field in fields(cls) if field.name != "study"}
        missing = [name for name, field in known.items() if name not in identity and field.default is MISSING]
        if missing:
            raise SettingsError(f"study {identity.get('name')!r}: is of another version (no {', '.join(missing)}).")
        values = {name: identity[name] for name in known if name in identity}
        return cls(study=identity["name"], **values | {"optimizers": tuple(identity["optimizers"])})

    @classmethod
    def of_spec(cls, spec: StudySpec) -> "Size":
        """The size of a study."""
        return cls.of(spec.identity())

    def each(self, phase: str) -> int:
        """Trials of a phase for each optimizer."""
        return self.trials if phase == TUNE else self.seeds

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
        return self.each(phase) * (len(self.optimizers) + (len(self.controlled) if phase == CONFIRM else 0))

    @property
    def planned(self) -> int:
        """Trials of all phases, those that are not enqueued yet included."""
        return sum(self.planned_of(phase) for phase in PHASES)


@dataclass(frozen=True)
class PlanSize:
    """How much a study of a planned kind is, as far as its plan stands in the ledger: later phases hang on records."""

    study: str
    kind: str
    preset: str
    optimizers: tuple[str, ...]
    """Those of its settings, in their order; empty where it has none."""
    plan: Mapping[str, int]
    """Trials of each phase."""

    @classmethod
    def of(cls, identity: Mapping[str, Any], plan: Mapping[str, int]) -> "PlanSize":
        """The size of a study by its identity and what of its plan is known."""
        optimizers = tuple(identity.get("optimizers", ()))
        return cls(identity["name"], identity["kind"], identity["preset"], optimizers, plan)

    @property
    def phases(self) -> tuple[str, ...]:
        """In order."""
        return tuple(self.plan)

    def planned_of(self, phase: str) -> int:
        """Trials of a phase."""
        return self.plan.get(phase, 0)

    @property
    def planned(self) -> int:
        """Trials of all phases that are planned."""
        return sum(self.plan.values())


@dataclass(frozen=True)
class Done:
    """A trial that has ended: how, and what it cost. None where its record is out of reach."""

    trial_id: str
    phase: str
    optimizer: str
    status: Status
    ap: float | None = None
    images_per_s: float | None = None
    seconds: float | None = None
    """From the beginning of its run to the end, recording included."""
    train_seconds: float | None = None
    eval_seconds: float | None = None

    @classmethod
    def of(cls, row: Mapping[str, Any], seconds: float | None) -> "Done":
        """A row of the records (`Record.as_row`); None or NaN stands for what was not measured."""
        measured = ("ap", "images_per_s", "train_seconds", "eval_seconds")
        values = {name: _finite(row.get(name)) for name in measured}
        return cls(
            row["trial_id"], row["phase"], row["optimizer"], Status(row["status"]), seconds=_finite(seconds), **values
        )


def recorded(rows: Iterable[Mapping[str, Any]]) -> dict[str, Done]:
    """Rows of the table of records by trial id; each has its run's begin and end."""
    return {row["trial_id"]: Done.of(row, (row["ended_ms"] - row["started_ms"]) / MS) for row in rows}


@dataclass(frozen=True)
class InHand:
    """A trial that a living worker runs."""

    trial_id: str
    phase: str
    optimizer: str
    seed: int
    steps: int | None
    """None where its budget is in seconds of training."""
    since: float
    """Seconds since the epoch."""
    host: str
    pid: int
    step: int | None = None
    """The last step heard of; None where only the ledger is known."""
    seconds: float | None = None
    """Its budget in seconds of training; None where it is in steps."""
    train_seconds: float | None = None
    """What of them is spent, as far as heard of."""


@dataclass(frozen=True)
class Progress:
    """A study at one moment."""

    size: Size | PlanSize
    done: Mapping[str, Done] = field(default_factory=dict)
    """By trial id."""
    in_hand: Mapping[str, InHand] = field(default_factory=dict)
    """By trial id."""
    lost: int = 0
    """Trials of dead workers: the next worker settles them."""
    active: bool = False
    """Whether a living process works on the study, its report included."""
    workers: int = 0
    """Trials that can run at once in the processes that work on it now."""
    last_active: float | None = None
    """Seconds since the epoch; None: never."""
    ended_whole: bool = True
    """Whether no further phase is to come; only the study itself knows, where its plan hangs on records."""

    @property
    def status(self) -> str:
        """`running`, `unfinished` (nobody works on it), or `complete`."""
        if self.active:
            return "running"
        return "complete" if len(self.done) >= self.size.planned and self.ended_whole else "unfinished"

    @property
    def waiting(self) -> int:
        """Trials that nobody runs: those of dead workers, and those not enqueued yet, included."""
        return max(self.size.planned - len(self.done) - len(self.in_hand), 0)

    def ended(self, phase: str) -> int:
        """Trials of a phase that have ended, however."""
        return sum(trial.phase == phase for trial in self.done.values())

    def with_done(self, trial: Done) -> "Progress":
        """The next moment: a trial has ended."""
        return replace(self, done={**self.done, trial.trial_id: trial}, in_hand=_without(self.in_hand, trial.trial_id))

    def with_in_hand(self, trial: InHand) -> "Progress":
        """The next moment: a trial has begun."""
        return replace(self, in_hand={**self.in_hand, trial.trial_id: trial})

    def with_step(self, trial_id: str, step: int, train_seconds: float | None = None) -> "Progress":
        """The next moment: a trial in hand has reached a step, after so many seconds of training."""
        known = self.in_hand.get(trial_id)
        if known is None:
            return self
        return self.with_in_hand(replace(known, step=step, train_seconds=train_seconds))

    def without(self, *trial_ids: str) -> "Progress":
        """The next moment: trials in hand have gone back."""
        return replace(self, in_hand=_without(self.in_hand, *trial_ids))


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


@dataclass(frozen=True)
class TriedProgress:
    """One row of the table of a planned kind's study: an optimizer, and what its trials have come to."""

    name: str
    done: int
    best_ap: float | None
    """Of a complete trial."""
    best_images_per_s: float | None
    running: int
    diverged: int
    failed: int


def by_optimizer(progress: Progress) -> list[OptimizerProgress] | list[TriedProgress]:
    """The optimizers in the study's order, each with its share of the progress; then the controls."""
    size = progress.size
    if isinstance(size, PlanSize):
        seen = {trial.optimizer for trial in (*progress.done.values(), *progress.in_hand.values())}
        return [_tried(progress, name) for name in (*size.optimizers, *sorted(seen - {*size.optimizers, ""}))]
    controls = [_row(progress, size, control_name(name), tune_planned=0) for name in size.controlled]
    return [_row(progress, size, name, tune_planned=size.trials) for name in size.optimizers] + controls


def _tried(progress: Progress, name: str) -> TriedProgress:
    done = [trial for trial in progress.done.values() if trial.optimizer == name]
    complete = [trial for trial in done if trial.status == Status.COMPLETE]
    return TriedProgress(
        name=name,
        done=len(done),
        best_ap=max((trial.ap for trial in complete if trial.ap is not None), default=None),
        best_images_per_s=max((trial.images_per_s for trial in complete if trial.images_per_s), default=None),
        running=sum(trial.optimizer == name for trial in progress.in_hand.values()),
        diverged=sum(trial.status == Status.DIVERGED for trial in done),
        failed=sum(trial.status in FAULTS for trial in done),
    )


def _row(progress: Progress, size: Size, name: str, *, tune_planned: int) -> OptimizerProgress:
    done = [trial for trial in progress.done.values() if trial.optimizer == name]
    tune = [trial for trial in done if trial.phase == TUNE]
    confirm = [trial for trial in done if trial.phase == CONFIRM]
    tuned = [trial.ap for trial in tune if trial.status == Status.COMPLETE and trial.ap is not None]
    known = [trial for trial in confirm if trial.status != Status.COMPLETE or trial.ap is not None]
    scores = [(trial.ap or WORST_AP) if trial.status == Status.COMPLETE else WORST_AP for trial in known]
    speeds = [trial.images_per_s for trial in done if trial.images_per_s]
    return OptimizerProgress(
        name=name,
        tune_done=len(tune),
        tune_planned=tune_planned,
        best_tune_ap=max(tuned, default=None),
        confirm_done=len(confirm),
        confirm_planned=size.seeds,
        mean_confirm_ap=fmean(scores) if scores else None,
        images_per_s=median(speeds) if speeds else None,
        running=sum(trial.optimizer == name for trial in progress.in_hand.values()),
        diverged=sum(trial.status == Status.DIVERGED for trial in done),
        failed=sum(trial.status in FAULTS for trial in done),
        pruned=sum(trial.status == Status.PRUNED for trial in done),
    )


def trial_seconds(size: Size | PlanSize, phase: str, done: Sequence[Done]) -> float | None:
    """How long a trial of a phase takes, by those that have ended; None where nothing is known.

    The mean over the phase, trials that diverged early included: the rest will have its share of them. Before the first
    confirm trial has ended: the complete tune trials, their training scaled by the budget, their evaluation by the
    number of evaluations; in a planned kind, where budgets are equal, all trials so far.
    """
    own = [trial.seconds for trial in done if trial.phase == phase and trial.seconds is not None]
    if own:
        return fmean(own)
    if isinstance(size, PlanSize):
        known = [trial.seconds for trial in done if trial.seconds is not None]
        return fmean(known) if known else None
    if phase == TUNE:
        return None
    longer = size.length(CONFIRM) / size.length(TUNE)
    evaluations = size.evaluations_of(CONFIRM) / size.evaluations_of(TUNE)
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


def seconds_left(progress: Progress, now: float) -> float | None:
    """Seconds until the last trial ends, at the number of workers at work (at least one); None where unknown.

    ``now``: seconds since the epoch. The phases follow one another; within a phase each worker takes the next trial as
    soon as it is free. The report at the end is not in it.
    """
    done = list(progress.done.values())
    workers = max(progress.workers, len(progress.in_hand), 1)
    total = 0.0
    for phase in progress.size.phases:
        running = [trial for trial in progress.in_hand.values() if trial.phase == phase]
        waiting = max(progress.size.planned_of(phase) - progress.ended(phase) - len(running), 0)
        if not waiting and not running:
            continue
        each = trial_seconds(progress.size, phase, done)
        if each is None:
            return None
        total += _makespan([max(each - (now - trial.since), 0.0) for trial in running], waiting, each, workers)
    return total


def _makespan(running: Sequence[float], waiting: int, each: float, workers: int) -> float:
    """When the last of all is done: each free worker takes the next of the waiting trials, all equally long."""
    free_at = [*running, *([0.0] * (workers - len(running)))]
    heapq.heapify(free_at)
    for _ in range(waiting):
        heapq.heapreplace(free_at, free_at[0] + each)
    return max(free_at)


def _without(trials: Mapping[str, InHand], *gone: str) -> dict[str, InHand]:
    return {key: trial for key, trial in trials.items() if key not in gone}


def _finite(value: Any) -> float | None:
    return float(value) if isinstance(value, (int, float)) and math.isfinite(value) else None
