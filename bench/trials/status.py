"""Final status of a trial."""

from enum import StrEnum


class Status(StrEnum):
    """Final status of a trial. Every status but COMPLETE gets the worst score; only the statuses in `FAULTS` count as
    failures."""

    COMPLETE = "complete"
    DIVERGED = "diverged"
    FAILED = "failed"
    OUT_OF_MEMORY = "out_of_memory"
    TIMED_OUT = "timed_out"
    PRUNED = "pruned"
    """A tune trial that the pruner ended early; not a failure."""
    SKIPPED = "skipped"
    """Not run, since it was predicted to need more memory than the machine has."""


FAULTS = (Status.FAILED, Status.OUT_OF_MEMORY, Status.TIMED_OUT)
