"""The parts of a measurement: start-up times of a configuration's process, and slices (about a second) of its loop."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from bench.measure.loader.outcome import MeasurementStatus


class Arm(StrEnum):
    """One of three things to measure: loading alone, computing alone (the same batch again and again), or training."""

    LOADER = "loader"
    COMPUTE = "compute"
    END_TO_END = "end_to_end"


@dataclass(frozen=True)
class Started:
    """Start-up times of a configuration's process."""

    first_batch_s: float
    """Seconds from asking for the loader's iterator to its first batch."""
    epoch_gap_s: float
    """Seconds from the last step of the first epoch to the first batch of the second; NaN if the loader itself decides
    how long an epoch is and the first epoch had not ended yet."""
    start_s: float
    """Seconds from requesting the process until it accepted orders, without the time of comparing samples."""
    effective_pin_memory: bool
    hashes: tuple[int, ...]
    """Hashes of the first batches of epoch 0 (`delivered.batch_hash`), as many as were requested."""
    compared: Mapping[str, float]
    """Counts of `comparison.Compared.metrics`; empty if nothing was compared."""


@dataclass(frozen=True)
class Slice:
    """About a second of one arm, in whole rounds of the loader's workers."""

    arm: Arm
    batches: int
    images: int
    """Images of full batches."""
    seconds: float
    """Seconds from the end of one step to the end of the last one, by the device's own clock if it has one."""
    wait_s: float
    """The part of ``seconds`` spent waiting for batches; if the device has its own clock, the time the device
    waited."""
    host_s: float
    """Seconds that the host spent inside the call of the step."""
    compute_s: float
    """The part of ``seconds`` spent in steps."""
    cpu_s: float
    """CPU seconds of the process and its descendants during the slice."""
    others_share: float
    """Share of the cores' time that other programs took (`others.CpuClock.others_share`)."""
    waits_ms: tuple[float, ...]
    """Milliseconds waited for each batch."""


class Fault(Exception):  # noqa: N818 (an error is what it holds)
    """A configuration's process failed and has been ended."""

    def __init__(self, status: MeasurementStatus, error: str) -> None:
        """``error``: the reason, in words."""
        super().__init__(error)
        self.status, self.error = status, error
