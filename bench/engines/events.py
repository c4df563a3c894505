"""Events of a running study, for its display; picklable, since workers are separate processes."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from bench.trials.progress import EndedTrial, RunningTrial
from bench.trials.record import Record


@dataclass(frozen=True)
class PhaseBegan:
    """The trials of a phase were enqueued in the ledger."""

    phase: str
    new: int
    """Number of newly enqueued trials."""
    planned: int
    """Number of trials of the phase."""
    done: Mapping[str, EndedTrial] = field(default_factory=dict)
    """All recorded trials of the study, by id."""


@dataclass(frozen=True)
class MorePlanned:
    """Trials of a phase that a new record made possible were enqueued, while other trials run."""

    phase: str
    planned: int
    """Number of trials of the phase."""


@dataclass(frozen=True)
class TrialBegan:
    """A worker has begun a trial."""

    trial: RunningTrial


@dataclass(frozen=True)
class TrialStepped:
    """A running trial has reached a training step."""

    trial_id: str
    step: int
    train_seconds: float | None = None
    """Training seconds used so far."""


@dataclass(frozen=True)
class TrialEnded:
    """A trial has been recorded."""

    record: Record
    seconds: float
    """Seconds that the trial took, including its recording."""
    ended: int
    """Number of ended trials in the ledger, including this one."""


@dataclass(frozen=True)
class TrialReturned:
    """A running trial was given back to the ledger, or has passed to another worker."""

    trial_id: str


@dataclass(frozen=True)
class WorkerDied:
    """A worker process died unexpectedly; its trial waits again."""

    pid: int
    """Its id; 0 if it is not known."""
    host: str = ""
    """Name of its node; empty: this machine."""


@dataclass(frozen=True)
class WorkersChanged:
    """Places for trials were added to a cluster, or have left it."""

    workers: int
    """Trials that can run at once from now on."""


@dataclass(frozen=True)
class Stopping:
    """The study was interrupted; running trials are being given back."""


@dataclass(frozen=True)
class Measuring:
    """A measurement study has begun its next measurement."""

    done: int
    """Number of recorded measurements."""
    text: str
    """Description of the present measurement."""


Event = (
    Measuring
    | PhaseBegan
    | MorePlanned
    | TrialBegan
    | TrialStepped
    | TrialEnded
    | TrialReturned
    | WorkerDied
    | WorkersChanged
    | Stopping
)
OnEvent = Callable[[Event], None]


def ignore_event(_event: Event) -> None:
    """Ignore an event; the default for ``on_event``."""
