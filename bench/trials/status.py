"""How a trial ended."""

from enum import StrEnum


class Status(StrEnum):
    """How a trial ended. All but COMPLETE count with the worst score; only FAULTS are faults."""

    COMPLETE = "complete"
    DIVERGED = "diverged"
    FAILED = "failed"
    OUT_OF_MEMORY = "out_of_memory"
    TIMED_OUT = "timed_out"
    PRUNED = "pruned"
    """A tune trial that the pruner ended early: no fault."""
    SKIPPED = "skipped"
    """Not tried: it was predicted to need more memory than there is."""


FAULTS = (Status.FAILED, Status.OUT_OF_MEMORY, Status.TIMED_OUT)
