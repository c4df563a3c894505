"""The measured loop: a loader, a step and a clock; nothing else happens between two batches."""

import time
from collections import deque
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from bench.measure.loader.device_step import Underway
from bench.measure.loader.timeline import Timeline

Step = Callable[[Any], object]
"""Takes a batch and returns once the batch is processed, or returns an `Underway` while a device still works on it."""
AHEAD = 1
"""Number of unfinished steps of the device while the next batch is loaded: enough that the device never runs idle."""


class StepTimes:
    """The times at which consecutive steps requested their batch, received it, and ended.

    A step that is `Underway` began and ended when its device says so, and waited for its batch only from the end of the
    step before: loading while the device works is no waiting time.
    """

    def __init__(self) -> None:
        self.rows: list[tuple[float, float, float]] = []
        """(asked, delivered, done): times of each step that has ended; seconds by ``time.perf_counter``."""
        self._underway: deque[tuple[float, Underway]] = deque()

    def add(self, asked: float, delivered: float, result: object) -> None:
        """Record a step that has just returned ``result``; waits for the step before it."""
        if isinstance(result, Underway):
            self._underway.append((asked, result))
            self.settle(AHEAD)
        else:
            self.rows.append((asked, delivered, time.perf_counter()))

    def settle(self, unfinished: int = 0) -> None:
        """Wait until the device has at most ``unfinished`` steps to do."""
        while len(self._underway) > unfinished:
            asked, step = self._underway.popleft()
            began, ended = step.times()
            asked = self.rows[-1][2] if self.rows else asked
            began = max(began, asked)  # the clocks of host and device differ by some microseconds
            self.rows.append((asked, began, max(ended, began)))


def run_loop(
    loader: Iterable[Any],
    step: Step,
    *,
    epochs: int = 1,
    begin_epoch: Callable[[int], object] = lambda _: None,
    on_batch: Callable[[int], object] = lambda _: None,
) -> Timeline:
    """Pass the loader's batches to the step, epoch after epoch, and record when each was requested, delivered and
    processed.

    Each epoch ends by waiting for the device, as training does.

    Args:
        loader: The batches of one epoch, each time it is iterated.
        step: What is done with a batch.
        epochs: Number of epochs.
        begin_epoch: Called with an epoch's number before its iterator is made.
        on_batch: Called with the number of batches done. Like ``begin_epoch`` it runs between a step's end and the next
            request, so that its time is not measured.
    """
    epochs_timed: list[StepTimes] = []
    done_count = 0
    began = time.perf_counter()
    for epoch in range(epochs):
        begin_epoch(epoch)
        epochs_timed.append(times := StepTimes())
        asked = time.perf_counter()
        for batch in loader:
            delivered = time.perf_counter()
            times.add(asked, delivered, step(batch))
            done_count += 1
            on_batch(done_count)
            asked = time.perf_counter()
        times.settle()
    table = np.array([row for times in epochs_timed for row in times.rows]).reshape(-1, 3) - began
    lengths = [len(times.rows) for times in epochs_timed]
    asked, delivered, done = table.T
    return Timeline(asked, delivered, done, np.repeat(np.arange(epochs), lengths))
