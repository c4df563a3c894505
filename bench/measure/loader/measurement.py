"""What is measured of a configuration: how it starts, and slices of its loop."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from bench.measure.loader.outcome import MeasurementStatus


class Arm(StrEnum):
    """What is measured: loading alone, computing alone (the same batch again and again), or training as it is."""

    LOADER = "loader"
    COMPUTE = "compute"
    END_TO_END = "end_to_end"


@dataclass(frozen=True)
class Started:
    """How a configuration's process started."""

    first_batch_s: float
    """From asking for the loader's iterator to its first batch."""
    epoch_gap_s: float
    """From the last step of the first epoch to the first batch of the second; NaN where the loader itself decides how
    long an epoch is, and had not ended it yet."""
    start_s: float
    """From asking for the process until it took orders, without comparing samples."""
    effective_pin_memory: bool
    hashes: tuple[int, ...]
    """Of the first batches of epoch 0 (`delivered.batch_hash`), as many as were asked for."""
    compared: Mapping[str, float]
    """See `comparison.Compared.metrics`; empty where nothing was compared."""


@dataclass(frozen=True)
class Slice:
    """Some seconds of one arm, in whole rounds of the loader's workers."""

    arm: Arm
    batches: int
    images: int
    """As many as the batches have in full."""
    seconds: float
    """From the end of one step to the end of the last one, on the device where that has a clock of its own."""
    wait_s: float
    """Of ``seconds``: waiting for batches; the device's waiting, where it has a clock of its own."""
    host_s: float
    """Of the host: inside the call of the step."""
    compute_s: float
    """Of ``seconds``: in steps."""
    cpu_s: float
    """CPU time of the process and all that it has started, meanwhile."""
    others_share: float
    """See `others.CpuClock.others_share`."""
    waits_ms: tuple[float, ...]
    """For each batch."""


class Fault(Exception):  # noqa: N818 (an error is what it holds)
    """A configuration's process could not go on; it has been ended."""

    def __init__(self, status: MeasurementStatus, error: str) -> None:
        """``error``: in words."""
        super().__init__(error)
        self.status, self.error = status, error
