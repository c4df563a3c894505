"""A study's progress as plain values: trials done and running, and the estimated time left. Pure."""

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
    WorkersChanged,
)
from bench.report.shown_score import AP, ShownScore
from bench.report.stored_score import stored_score
from bench.trials.progress import EndedTrial, RunningTrial
from bench.trials.status import FAULTS, Status


class ProgressRow(Protocol):
    """One optimizer's part of a study's progress; a dataclass whose fields are part of the status's JSON document."""

    __dataclass_fields__: ClassVar[dict[str, Field[Any]]]

    @property
    def name(self) -> str:
        """Name of the optimizer."""

    @property
    def running(self) -> int:
        """Number of running trials."""

    @property
    def diverged(self) -> int:
        """Number of trials that diverged."""

    @property
    def failed(self) -> int:
        """Number of trials that failed."""

    def cells(self) -> list[str]:
        """Return the table cells between the name and the counts, in the order of `StudySize.columns`."""


class StudySize(Protocol):
    """The extent of a study (phases, planned trials) and its kind's way of showing progress, from its identity."""

    @property
    def study(self) -> str:
        """Name of the study."""

    @property
    def kind(self) -> str:
        """Kind of the study."""

    @property
    def preset(self) -> str:
        """Preset of the study."""

    @property
    def phases(self) -> tuple[str, ...]:
        """Phases in the order in which they run."""

    @property
    def planned(self) -> int:
        """Number of trials of all phases, as far as known."""

    @property
    def plan_is_known(self) -> bool:
        """True if all trials are known before any has run."""

    @property
    def columns(self) -> tuple[str, ...]:
        """Headings of the cells of its rows."""

    @property
    def schedule(self) -> str | None:
        """Learning rate schedule of the study; None if it has none."""

    @property
    def own_schedules(self) -> Mapping[str, str]:
        """Schedules that methods fix themselves, by optimizer."""

    def planned_of(self, phase: str) -> int:
        """Return the number of trials of a phase."""

    def with_phase(self, phase: str, planned: int) -> "StudySize":
        """Return the size with the number of trials of a newly planned phase."""

    def after_trials(self, done: Mapping[str, EndedTrial]) -> "StudySize":
        """Return the size after these trials have ended; their results may make later trials unnecessary."""

    def rows(self, progress: "Progress") -> Sequence[ProgressRow]:
        """Return the progress of each optimizer, in the study's order."""

    def score_text(self, metrics: Mapping[str, float]) -> str:
        """Return the score of a trial with these metrics for its progress line; empty if unknown."""

    def speed_text(self, metrics: Mapping[str, float]) -> str:
        """Return the speed of a trial with these metrics for its progress line; empty if unknown."""

    def trial_seconds(self, phase: str, done: Sequence[EndedTrial]) -> float | None:
        """Return the expected seconds of a trial of a phase, from those that have ended; None if unknown.

        The mean over the phase, including trials that diverged early: the remaining ones will include some as well.
        """


@dataclass(frozen=True)
class PlanSize:
    """The extent of a study whose later phases are known only once they are planned in the ledger."""

    study: str
    kind: str
    preset: str
    optimizers: tuple[str, ...]
    """Optimizers in the order of the study's settings; empty if it has none."""
    plan: Mapping[str, int]
    """Number of planned trials of each phase."""
    measure: ShownScore = AP
    """The score of what its trials train."""
    schedule: str | None = None
    """Learning rate schedule of the study; None if it has none."""
    own_schedules: Mapping[str, str] = field(default_factory=dict)
    """Schedules that methods fix themselves, by optimizer."""

    @classmethod
    def of(cls, identity: Mapping[str, Any], plan: Mapping[str, int]) -> "PlanSize":
        """Return the size of a study from its identity and the trials planned so far, by phase."""
        return cls(
            identity["name"],
            identity["kind"],
            identity["preset"],
            tuple(identity.get("optimizers", ())),
            plan,
            stored_score(identity.get("workload")),
            identity.get("schedule"),
            identity.get("own_schedules", {}),
        )

    @property
    def phases(self) -> tuple[str, ...]:
        """Phases in the order in which they run."""
        return tuple(self.plan)

    def planned_of(self, phase: str) -> int:
        """Return the number of trials of a phase."""
        return self.plan.get(phase, 0)

    @property
    def planned(self) -> int:
        """Number of trials planned so far, in all phases."""
        return sum(self.plan.values())

    @property
    def plan_is_known(self) -> bool:
        """True if all trials are known before any has run; here never."""
        return False

    @property
    def columns(self) -> tuple[str, ...]:
        """Headings of the cells of its rows."""
        return ("trials", f"best {self.measure.name}", f"best {self.measure.speed}")

    def with_phase(self, phase: str, planned: int) -> "PlanSize":
        """Return the size with the number of trials of a newly planned phase."""
        return replace(self, plan={**self.plan, phase: planned})

    def after_trials(self, done: Mapping[str, EndedTrial]) -> "PlanSize":  # noqa: ARG002 (other sizes need them)
        """Return the size unchanged: all that is known is the plan in the ledger."""
        return self

    def rows(self, progress: "Progress") -> "list[TriedProgress]":
        """Return a row for each optimizer of the settings, then for those that only trials name."""
        seen = {trial.optimizer for trial in progress.done.values()}
        seen |= {trial.optimizer for trial in progress.running_trials.values()}
        names = (*self.optimizers, *sorted(seen - {*self.optimizers, ""}))
        return [_tried(progress, name, self.measure) for name in names]

    def score_text(self, metrics: Mapping[str, float]) -> str:
        """Return the score as text."""
        return self.measure.line(metrics)

    def speed_text(self, metrics: Mapping[str, float]) -> str:
        """Return the speed with its unit as text."""
        return self.measure.speed_line(metrics)

    def trial_seconds(self, phase: str, done: Sequence[EndedTrial]) -> float | None:
        """Return the mean over the phase, or over all trials (equal budgets) before one of the phase has ended."""
        phase_mean = mean_seconds(done, phase)
        return mean_seconds(done) if phase_mean is None else phase_mean


size_of = PlanSize.of
"""Returns the size of a study of a kind that has no module `size`."""


@dataclass(frozen=True)
class Progress:
    """State of a study at one moment."""

    size: StudySize
    done: Mapping[str, EndedTrial] = field(default_factory=dict)
    """Trials that have ended, by trial id."""
    running_trials: Mapping[str, RunningTrial] = field(default_factory=dict)
    """Running trials, by trial id."""
    lost: int = 0
    """Number of trials whose worker died; the next worker closes or repeats them."""
    waiting_records: int = 0
    """Number of running trials that have ended and whose records wait for MLflow's server, which is away."""
    away_since: float | None = None
    """Time at which the first of these found it away, in seconds since the epoch; None if there are none."""
    active: bool = False
    """True while a living process works on the study or its report."""
    workers: int = 0
    """Trials that can run at once in the processes that work on it now."""
    last_active: float | None = None
    """Last activity, in seconds since the epoch; None if there was none."""
    all_planned: bool = True
    """True if no further phase will be planned; if plans depend on records, known only when the study has ended."""

    @property
    def status(self) -> str:
        """`running`, `unfinished` (no process works on it), or `complete`."""
        if self.active:
            return "running"
        return "complete" if len(self.done) >= self.size.planned and self.all_planned else "unfinished"

    @property
    def waiting(self) -> int:
        """Trials that no worker runs, including those of dead workers and those not enqueued yet."""
        return max(self.size.planned - len(self.done) - len(self.running_trials), 0)

    def ended(self, phase: str) -> int:
        """Return the number of trials of a phase that have ended, with any status."""
        return sum(trial.phase == phase for trial in self.done.values())

    def with_done(self, trial: EndedTrial) -> "Progress":
        """Return the progress after a trial has ended."""
        done = {**self.done, trial.trial_id: trial}
        return replace(
            self,
            size=self.size.after_trials(done),
            done=done,
            running_trials=_without(self.running_trials, trial.trial_id),
        )

    def with_running(self, trial: RunningTrial) -> "Progress":
        """Return the progress after a trial has begun."""
        return replace(self, running_trials={**self.running_trials, trial.trial_id: trial})

    def with_step(self, trial_id: str, step: int, train_seconds: float | None = None) -> "Progress":
        """Return the progress after a running trial has reached a step, with its seconds of training so far."""
        running = self.running_trials.get(trial_id)
        if running is None:
            return self
        return self.with_running(replace(running, step=step, train_seconds=train_seconds))

    def without(self, *trial_ids: str) -> "Progress":
        """Return the progress after running trials were given back unfinished."""
        return replace(self, running_trials=_without(self.running_trials, *trial_ids))


@dataclass(frozen=True)
class TriedProgress:
    """One row of the progress table: an optimizer and the results of its trials so far."""

    name: str
    done: int
    best_ap: float | None
    """Highest AP of a complete trial; None if there is none."""
    best_images_per_s: float | None
    running: int
    diverged: int
    failed: int

    def cells(self) -> list[str]:
        """Return the cells for trials, best AP and best speed."""
        return [str(self.done or "-"), ap_text(self.best_ap), speed_text(self.best_images_per_s)]


@dataclass(frozen=True)
class ScoredProgress(TriedProgress):
    """One row of the progress table of a study with a score of its own."""

    best_score: float | None
    """Best score of a complete trial; None if there is none."""
    score_text: str
    """``best_score`` as text."""

    def cells(self) -> list[str]:
        """Return the cells for trials, best score and best speed."""
        trials, _, speed = super().cells()
        return [trials, self.score_text, speed]


def _tried(progress: Progress, name: str, measure: ShownScore) -> TriedProgress:
    done = [trial for trial in progress.done.values() if trial.optimizer == name]
    complete = [trial for trial in done if trial.status == Status.COMPLETE]
    scores = [score for trial in complete if (score := trial.measured(measure.column)) is not None]
    best = max(scores, key=measure.above_chance, default=None)
    row = TriedProgress(
        name=name,
        done=len(done),
        best_ap=best if measure.is_ap else None,
        best_images_per_s=max((trial.images_per_s for trial in complete if trial.images_per_s), default=None),
        running=sum(trial.optimizer == name for trial in progress.running_trials.values()),
        diverged=sum(trial.status == Status.DIVERGED for trial in done),
        failed=sum(trial.status in FAULTS for trial in done),
    )
    return row if measure.is_ap else ScoredProgress(**vars(row), best_score=best, score_text=measure.cell(best))


def mean_seconds(done: Sequence[EndedTrial], phase: str | None = None) -> float | None:
    """Return the mean seconds of the ended trials of a phase (None: of all phases); None if none has ended."""
    durations = [trial.seconds for trial in done if phase in (None, trial.phase) and trial.seconds is not None]
    return fmean(durations) if durations else None


def ap_text(value: float | None) -> str:
    """Format an AP for a table."""
    return "-" if value is None else f"{value:.3f}"


def line_ap_text(metrics: Mapping[str, float]) -> str:
    """Return `AP 0.123`, or an empty text if the metrics have no AP."""
    return f"AP {ap_text(metrics['ap'])}" if "ap" in metrics else ""


def speed_text(value: float | None) -> str:
    """Format images per second for a table."""
    return "-" if value is None else f"{value:.1f}"


def seconds_left(progress: Progress, now: float) -> float | None:
    """Estimate the seconds until the last trial ends, with the present number of workers (at least 1); None if unknown.

    ``now``: seconds since the epoch. Phases run one after the other; within a phase each worker takes the next trial
    as soon as it is free. The final report is not included.
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
    """Return the seconds until the last trial ends if each free worker takes the next waiting trial.

    ``running``: seconds left of each running trial; ``each``: seconds of a waiting one.
    """
    free_at = [*running, *([0.0] * (workers - len(running)))]
    heapq.heapify(free_at)
    for _ in range(waiting):
        heapq.heapreplace(free_at, free_at[0] + each)
    return max(free_at)


def _without(trials: Mapping[str, RunningTrial], *gone: str) -> dict[str, RunningTrial]:
    return {key: trial for key, trial in trials.items() if key not in gone}


def progress_after(progress: Progress, event: Event) -> Progress:
    """Return the progress after an event."""
    match event:
        case PhaseBegan():
            size = progress.size.with_phase(event.phase, event.planned)
            for phase, ended in Counter(trial.phase for trial in event.done.values()).items():
                if size.planned_of(phase) < ended:  # extended study: a later phase already has records
                    size = size.with_phase(phase, ended)
            size = size.after_trials(event.done)
            return replace(progress, size=size, done=event.done, running_trials={})
        case MorePlanned():
            return replace(progress, size=progress.size.with_phase(event.phase, event.planned))
        case TrialBegan():
            return progress.with_running(event.trial)
        case TrialStepped():
            return progress.with_step(event.trial_id, event.step, event.train_seconds)
        case TrialEnded():
            return progress.with_done(EndedTrial.of(event.record.as_row(), event.seconds))
        case TrialReturned():
            return progress.without(event.trial_id)
        case WorkerDied():
            its = (event.pid, event.host)
            running = progress.running_trials.items()
            return progress.without(
                *(key for key, trial in running if its in ((trial.pid, trial.host), (trial.pid, "")))
            )
        case WorkersChanged():
            return replace(progress, workers=event.workers)
        case Measuring() | Stopping():
            return progress
