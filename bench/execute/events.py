"""What happens while a study runs, told to whoever shows it; picklable, since workers are other processes."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

from bench.progress import Done, InHand, PlanSize, Progress
from bench.record import Record


@dataclass(frozen=True)
class PhaseBegan:
    """The plan of a phase stands in the ledger."""

    phase: str
    new: int
    """Trials that are new to the ledger."""
    planned: int
    """Trials of the phase."""
    done: Mapping[str, Done] = field(default_factory=dict)
    """All trials of the study that are recorded, by id."""


@dataclass(frozen=True)
class TrialBegan:
    """A worker has taken a trial."""

    trial: InHand


@dataclass(frozen=True)
class TrialStepped:
    """A trial in hand has reached a training step."""

    trial_id: str
    step: int
    train_seconds: float | None = None
    """What it has spent on training so far."""


@dataclass(frozen=True)
class TrialEnded:
    """A trial has been recorded."""

    record: Record
    seconds: float
    """What it took, recording included."""
    ended: int
    """Trials of the ledger that have ended, this one included."""


@dataclass(frozen=True)
class TrialReturned:
    """A trial in hand has gone back, or to another worker."""

    trial_id: str


@dataclass(frozen=True)
class WorkerDied:
    """A worker process is gone without a word; what it had in hand waits again."""

    pid: int


@dataclass(frozen=True)
class Stopping:
    """The study has been interrupted: the trials in hand are given back."""


Event = PhaseBegan | TrialBegan | TrialStepped | TrialEnded | TrialReturned | WorkerDied | Stopping
OnEvent = Callable[[Event], None]


def nobody(_event: Event) -> None:
    """Nobody is told."""


def after(progress: Progress, event: Event) -> Progress:
    """Where the study stands after an event."""
    match event:
        case PhaseBegan():
            size = progress.size
            if isinstance(size, PlanSize):
                size = replace(size, plan={**size.plan, event.phase: event.planned})
            return replace(progress, size=size, done=event.done, in_hand={})
        case TrialBegan():
            return progress.with_in_hand(event.trial)
        case TrialStepped():
            return progress.with_step(event.trial_id, event.step, event.train_seconds)
        case TrialEnded():
            return progress.with_done(Done.of(event.record.as_row(), event.seconds))
        case TrialReturned():
            return progress.without(event.trial_id)
        case WorkerDied():
            return progress.without(*(key for key, trial in progress.in_hand.items() if trial.pid == event.pid))
        case Stopping():
            return progress
