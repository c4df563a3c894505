"""Where a study stands, as plain values: what is done, what is in hand, and how long the rest will take. Pure."""

import heapq
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import Field, dataclass, field, replace
from statistics import fmean
from typing import Any, ClassVar, Protocol

from bench.engines.events import (
    Event,
    Measuring,
    MorePlanned,
    PhaseBegan,
    Stopping,
    TrialBegan,
    TrialEnded,
    TrialReturned,
    TrialStepped,
    WorkerDied,
)
from bench.trials.progress import Done, RunningTrial
from bench.trials.status import FAULTS, Status


class ProgressRow(Protocol):
    """One optimizer's share of a study, as a dataclass: its fields are in the JSON document of the status."""

    __dataclass_fields__: ClassVar[dict[str, Field[Any]]]

    @property
    def name(self) -> str:
        """The optimizer's."""

    @property
    def running(self) -> int:
        """Trials in hand."""

    @property
    def diverged(self) -> int:
        """Trials that ended so."""

    @property
    def failed(self) -> int:
        """Trials that ended in a fault."""

    def cells(self) -> list[str]:
        """What the table shows between the name and the counts, in the order of `StudySize.columns`."""


class StudySize(Protocol):
    """How much a study is, as its identity says: what a kind tells of it to those who look on."""

    @property
    def study(self) -> str:
        """Name of the study."""

    @property
    def kind(self) -> str:
        """Its kind."""

    @property
    def preset(self) -> str:
        """Its preset."""

    @property
    def phases(self) -> tuple[str, ...]:
        """In order."""

    @property
    def planned(self) -> int:
        """Trials of all phases, as far as they are known."""

    @property
    def settled(self) -> bool:
        """Whether all trials are known before any has run."""

    @property
    def columns(self) -> tuple[str, ...]:
        """Headings of the cells of its rows."""

    def planned_of(self, phase: str) -> int:
        """Trials of a phase."""

    def with_phase(self, phase: str, planned: int) -> "StudySize":
        """The size once a phase is planned."""

    def given(self, done: Mapping[str, Done]) -> "StudySize":
        """The size once these trials have ended: what they have shown may spare later ones."""

    def rows(self, progress: "Progress") -> Sequence[ProgressRow]:
        """The optimizers in the study's order, each with its share of the progress."""

    def score_text(self, metrics: Mapping[str, float]) -> str:
        """What a trial of these metrics scored, for its line; empty where that is not known."""

    def trial_seconds(self, phase: str, done: Sequence[Done]) -> float | None:
        """How long a trial of a phase takes, by those that have ended; None where nothing is known.

        The mean over the phase, trials that diverged early included: the rest will have its share of them.
        """


@dataclass(frozen=True)
class PlanSize:
    """How much a study is, as far as its plan stands in the ledger: later phases hang on records."""

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

    @property
    def settled(self) -> bool:
        """Whether all trials are known before any has run."""
        return False

    @property
    def columns(self) -> tuple[str, ...]:
        """Headings of the cells of its rows."""
        return ("trials", "best AP", "best images/s")

    def with_phase(self, phase: str, planned: int) -> "PlanSize":
        """The size once a phase is planned."""
        return replace(self, plan={**self.plan, phase: planned})

    def given(self, done: Mapping[str, Done]) -> "PlanSize":  # noqa: ARG002 (others hang on them)
        """The same: its plan in the ledger has all that is known."""
        return self

    def rows(self, progress: "Progress") -> "list[TriedProgress]":
        """The optimizers of its settings, then those that only its trials name."""
        seen = {trial.optimizer for trial in progress.done.values()}
        seen |= {trial.optimizer for trial in progress.running_trials.values()}
        return [_tried(progress, name) for name in (*self.optimizers, *sorted(seen - {*self.optimizers, ""}))]

    def score_text(self, metrics: Mapping[str, float]) -> str:
        """Its AP."""
        return line_ap_text(metrics)

    def trial_seconds(self, phase: str, done: Sequence[Done]) -> float | None:
        """The mean over the phase; before its first trial has ended, over all: their budgets are equal."""
        own = mean_seconds(done, phase)
        return mean_seconds(done) if own is None else own


@dataclass(frozen=True)
class Progress:
    """A study at one moment."""

    size: StudySize
    done: Mapping[str, Done] = field(default_factory=dict)
    """By trial id."""
    running_trials: Mapping[str, RunningTrial] = field(default_factory=dict)
    """By trial id."""
    lost: int = 0
    """Trials of dead workers: the next worker settles them."""
    active: bool = False
    """Whether a living process works on the study, its report included."""
    workers: int = 0
    """Trials that can run at once in the processes that work on it now."""
    last_active: float | None = None
    """Seconds since the epoch; None: never."""
    all_planned: bool = True
    """Whether no further phase is to come; only the study itself knows, where its plan hangs on records."""

    @property
    def status(self) -> str:
        """`running`, `unfinished` (nobody works on it), or `complete`."""
        if self.active:
            return "running"
        return "complete" if len(self.done) >= self.size.planned and self.all_planned else "unfinished"

    @property
    def waiting(self) -> int:
        """Trials that nobody runs: those of dead workers, and those not enqueued yet, included."""
        return max(self.size.planned - len(self.done) - len(self.running_trials), 0)

    def ended(self, phase: str) -> int:
        """Trials of a phase that have ended, however."""
        return sum(trial.phase == phase for trial in self.done.values())

    def with_done(self, trial: Done) -> "Progress":
        """The next moment: a trial has ended."""
        done = {**self.done, trial.trial_id: trial}
        return replace(
            self,
            size=self.size.given(done),
            done=done,
            running_trials=_without(self.running_trials, trial.trial_id),
        )

    def with_running(self, trial: RunningTrial) -> "Progress":
        """The next moment: a trial has begun."""
        return replace(self, running_trials={**self.running_trials, trial.trial_id: trial})

    def with_step(self, trial_id: str, step: int, train_seconds: float | None = None) -> "Progress":
        """The next moment: a trial in hand has reached a step, after so many seconds of training."""
        known = self.running_trials.get(trial_id)
        if known is None:
            return self
        return self.with_running(replace(known, step=step, train_seconds=train_seconds))

    def without(self, *trial_ids: str) -> "Progress":
        """The next moment: trials in hand have gone back."""
        return replace(self, running_trials=_without(self.running_trials, *trial_ids))


@dataclass(frozen=True)
class TriedProgress:
    """One row of the table of a study: an optimizer, and what its trials have come to."""

    name: str
    done: int
    best_ap: float | None
    """Of a complete trial."""
    best_images_per_s: float | None
    running: int
    diverged: int
    failed: int

    def cells(self) -> list[str]:
        """Trials, best AP, best speed."""
        return [str(self.done or "-"), ap_text(self.best_ap), speed_text(self.best_images_per_s)]


def _tried(progress: Progress, name: str) -> TriedProgress:
    done = [trial for trial in progress.done.values() if trial.optimizer == name]
    complete = [trial for trial in done if trial.status == Status.COMPLETE]
    return TriedProgress(
        name=name,
        done=len(done),
        best_ap=max((trial.ap for trial in complete if trial.ap is not None), default=None),
        best_images_per_s=max((trial.images_per_s for trial in complete if trial.images_per_s), default=None),
        running=sum(trial.optimizer == name for trial in progress.running_trials.values()),
        diverged=sum(trial.status == Status.DIVERGED for trial in done),
        failed=sum(trial.status in FAULTS for trial in done),
    )


def mean_seconds(done: Sequence[Done], phase: str | None = None) -> float | None:
    """Seconds of a trial of a phase (None: of any), in the mean over those that have ended; None where none has."""
    known = [trial.seconds for trial in done if phase in (None, trial.phase) and trial.seconds is not None]
    return fmean(known) if known else None


def ap_text(value: float | None) -> str:
    """An AP in a table."""
    return "-" if value is None else f"{value:.3f}"


def line_ap_text(metrics: Mapping[str, float]) -> str:
    """`AP 0.123`; empty where there is none."""
    return f"AP {ap_text(metrics['ap'])}" if "ap" in metrics else ""


def speed_text(value: float | None) -> str:
    """Images per second in a table."""
    return "-" if value is None else f"{value:.1f}"


def seconds_left(progress: Progress, now: float) -> float | None:
    """Seconds until the last trial ends, at the number of workers at work (at least one); None where unknown.

    ``now``: seconds since the epoch. The phases follow one another; within a phase each worker takes the next trial as
    soon as it is free. The report at the end is not in it.
    """
    done = list(progress.done.values())
    workers = max(progress.workers, len(progress.running_trials), 1)
    total = 0.0
    for phase in progress.size.phases:
        running = [trial for trial in progress.running_trials.values() if trial.phase == phase]
        waiting = max(progress.size.planned_of(phase) - progress.ended(phase) - len(running), 0)
        if not waiting and not running:
            continue
        each = progress.size.trial_seconds(phase, done)
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


def _without(trials: Mapping[str, RunningTrial], *gone: str) -> dict[str, RunningTrial]:
    return {key: trial for key, trial in trials.items() if key not in gone}


def after(progress: Progress, event: Event) -> Progress:
    """Where the study stands after an event."""
    match event:
        case PhaseBegan():
            size = progress.size.with_phase(event.phase, event.planned)
            for phase, ended in Counter(trial.phase for trial in event.done.values()).items():
                if size.planned_of(phase) < ended:  # of a study that was extended: a later phase has records already
                    size = size.with_phase(phase, ended)
            size = size.given(event.done)
            return replace(progress, size=size, done=event.done, running_trials={})
        case MorePlanned():
            return replace(progress, size=progress.size.with_phase(event.phase, event.planned))
        case TrialBegan():
            return progress.with_running(event.trial)
        case TrialStepped():
            return progress.with_step(event.trial_id, event.step, event.train_seconds)
        case TrialEnded():
            return progress.with_done(Done.of(event.record.as_row(), event.seconds))
        case TrialReturned():
            return progress.without(event.trial_id)
        case WorkerDied():
            return progress.without(*(key for key, trial in progress.running_trials.items() if trial.pid == event.pid))
        case Measuring() | Stopping():
            return progress
