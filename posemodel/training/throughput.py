"""Throughput of a training loop: images/s, time waiting for data, time per optimizer step, in windows of steps.

The device is synchronised only at the beginning and end of a window.
"""

import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeVar

import torch

from posemodel.device import synchronize

T = TypeVar("T")


@dataclass
class Totals:
    """Sums over a run; ``steady_*`` exclude the first window, which warms up caches and kernels."""

    train_seconds: float = 0.0
    steady_seconds: float = 0.0
    steady_images: int = 0
    steady_wait_seconds: float = 0.0
    steady_optimizer_seconds: float = 0.0
    steady_steps: int = 0

    def metrics(self) -> dict[str, float]:
        """Return steady-state images/s, the share of time spent waiting for data, and ms per optimizer step."""
        seconds, steps = max(self.steady_seconds, 1e-9), max(self.steady_steps, 1)
        return {
            "images_per_s": self.steady_images / seconds,
            "data_wait_share": min(self.steady_wait_seconds / seconds, 1.0),
            "optimizer_step_ms": 1000 * self.steady_optimizer_seconds / steps,
        }


class ThroughputMeter:
    """Measures windows of steps; time between ``pause`` and ``start`` (validation, checkpoints) is not counted."""

    def __init__(self, device: torch.device, totals: Totals | None = None) -> None:
        self.device = device
        self.totals = totals if totals is not None else Totals()
        self._first_window = True
        self._running = False
        self._step_seconds = 0.0
        """Seconds per step in the last steady window."""
        self._events: list[tuple[torch.cuda.Event, torch.cuda.Event]] = []
        self._opened: torch.cuda.Event | None = None
        """Beginning of the part of an optimizer's step that is being timed."""
        self._reset()

    def _reset(self) -> None:
        self.images = self.steps = 0
        self.wait_seconds = self.optimizer_seconds = 0.0
        self._events.clear()

    def start(self) -> None:
        """Wait until the device is idle, then begin a window."""
        synchronize(self.device)
        self._reset()
        self._running = True
        self._began = time.perf_counter()

    def waiting(self, batches: Iterable[T]) -> Iterator[T]:
        """Yield the batches, counting the time that each takes to arrive."""
        began = time.perf_counter()
        for batch in batches:
            self.wait_seconds += time.perf_counter() - began
            yield batch
            began = time.perf_counter()

    @contextmanager
    def optimizer_step(self) -> Iterator[None]:
        """Time one optimizer step: with events on a CUDA device, with the clock elsewhere."""
        if self.device.type == "cuda":
            self._opened = _recorded_event()
            yield
            self._close_events()
        else:
            began = time.perf_counter()
            yield
            self.optimizer_seconds += time.perf_counter() - began

    @contextmanager
    def not_optimizer(self) -> Iterator[None]:
        """Leave the block, within an `optimizer_step`, out of its time: the gradients of a closure."""
        if self.device.type == "cuda":
            self._close_events()
            yield
            self._opened = _recorded_event()
        else:
            began = time.perf_counter()
            yield
            self.optimizer_seconds -= time.perf_counter() - began

    def _close_events(self) -> None:
        assert self._opened is not None
        self._events.append((self._opened, _recorded_event()))
        self._opened = None

    def count(self, images: int) -> None:
        """Count an update and its images, once for each gradient evaluation."""
        self.images += images
        self.steps += 1

    def spent(self) -> float:
        """Return the seconds of training so far, without waiting for the device.

        On a device that works asynchronously (CUDA) it is estimated: each queued step counts with its duration in the
        last window.
        """
        if not self._running:
            return self.totals.train_seconds
        pace = 0.0 if self.device.type == "cpu" else self.steps * self._step_seconds
        return self.totals.train_seconds + max(time.perf_counter() - self._began, pace)

    def close_window(self) -> dict[str, float]:
        """Synchronise the device, end the window, begin the next, and return the metrics of the one that ended."""
        if not self._running or self.steps == 0:
            return {}
        synchronize(self.device)
        now = time.perf_counter()
        seconds = now - self._began
        self.optimizer_seconds += sum(begin.elapsed_time(end) for begin, end in self._events) / 1000
        window = Totals(
            seconds, seconds, self.images, self.wait_seconds, self.optimizer_seconds, self.steps
        )  # fmt: skip
        self.totals.train_seconds += seconds
        if not self._first_window:
            self._step_seconds = seconds / self.steps
            for name in ("seconds", "images", "wait_seconds", "optimizer_seconds", "steps"):
                field = f"steady_{name}"
                setattr(self.totals, field, getattr(self.totals, field) + getattr(window, field))
        self._first_window = False
        self._reset()
        self._began = now
        return window.metrics()

    def pause(self) -> dict[str, float]:
        """End the window without beginning another."""
        metrics = self.close_window()
        self._running = False
        return metrics


def _recorded_event() -> torch.cuda.Event:
    event = torch.cuda.Event(enable_timing=True)
    event.record()
    return event
