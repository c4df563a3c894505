"""What happens while a study runs, told to whoever shows it; picklable, since workers are other processes."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from bench.trials.progress import Done, RunningTrial
from bench.trials.record import Record


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
class MorePlanned:
    """A record has made trials of a phase possible: they stand in the ledger, and others run meanwhile."""

    phase: str
    planned: int
    """Trials of the phase."""


@dataclass(frozen=True)
class TrialBegan:
    """A worker has taken a trial."""

    trial: RunningTrial


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


@dataclass(frozen=True)
class Measuring:
    """A study that measures is at another step."""

    done: int
    """Measurements on record."""
    text: str
    """What is done now."""


Event = (
    Measuring
    | PhaseBegan
    | MorePlanned
    | TrialBegan
    | TrialStepped
    | TrialEnded
    | TrialReturned
    | WorkerDied
    | Stopping
)
OnEvent = Callable[[Event], None]


def ignore_event(_event: Event) -> None:
    """Do nothing."""
