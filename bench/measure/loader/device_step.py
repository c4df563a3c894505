"""Training steps timed by the device's own clock, so that the host need not wait for each of them.

A host that waited for its accelerator after each step would load and compute in turn where real training does both at
once, and num_workers=0 would look up to twice as slow as it is.
"""

import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch


class Underway(ABC):
    """A step that a device has been given and may still be working on."""

    @abstractmethod
    def times(self) -> tuple[float, float]:
        """Wait until the step has ended; return when the device began and ended it, in seconds of
        ``time.perf_counter``."""


@dataclass(frozen=True)
class CudaStep(Underway):
    """A step between two events of a CUDA stream."""

    zero: "CudaZero"
    began: torch.cuda.Event
    ended: torch.cuda.Event

    def times(self) -> tuple[float, float]:
        """See `Underway`."""
        self.ended.synchronize()
        return self.zero.seconds(self.began), self.zero.seconds(self.ended)


class CudaZero:
    """Converts CUDA event times to host time: holds an event whose host time is known to some 20 microseconds."""

    def __init__(self) -> None:
        torch.cuda.synchronize()
        self._event = torch.cuda.Event(enable_timing=True)
        self._event.record()
        self._event.synchronize()
        self._host_s = time.perf_counter()

    def seconds(self, event: torch.cuda.Event) -> float:
        """Return the host time (``time.perf_counter``) of an event that is over."""
        elapsed_ms: float = self._event.elapsed_time(event)
        return self._host_s + elapsed_ms / 1000


def on_device(step: Callable[[Any], object], device: str) -> Callable[[Any], object]:
    """Return the step as the device times it: on CUDA it returns an `Underway` without waiting; on other devices the
    step is returned unchanged."""
    if device != "cuda":
        return step
    zero = CudaZero()

    def timed(batch: Any) -> CudaStep:
        began, ended = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        began.record()
        step(batch)
        ended.record()
        return CudaStep(zero, began, ended)

    return timed
