"""The loop that is measured: a loader, a step, a clock; nothing else happens between two batches."""

import time
from collections import deque
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from bench.measure.loader.device_step import Underway
from bench.measure.loader.timeline import Timeline

Step = Callable[[Any], object]
"""Takes a batch and returns when it has been done with, or an `Underway` of a device that goes on alone."""
AHEAD = 1
"""Steps that a device may still have to do while the next batch is loaded: enough for it never to run dry."""


class StepTimes:
    """When steps that follow each other began to wait for their batch, had it, and were done with it.

    A step that is `Underway` began and ended when its device says so, and waited for its batch only from the end of the
    one before: what is loaded while the device works keeps nobody waiting.
    """

    def __init__(self) -> None:
        self.rows: list[tuple[float, float, float]] = []
        """(asked, delivered, done) of each step that is over; seconds by ``time.perf_counter``."""
        self._underway: deque[tuple[float, Underway]] = deque()

    def add(self, asked: float, delivered: float, found: object) -> None:
        """Note a step that has just returned ``found``; waits for the one before it."""
        if isinstance(found, Underway):
            self._underway.append((asked, found))
            self.settle(AHEAD)
        else:
            self.rows.append((asked, delivered, time.perf_counter()))

    def settle(self, left: int = 0) -> None:
        """Wait for a device until it has no more than so many steps to do."""
        while len(self._underway) > left:
            asked, step = self._underway.popleft()
            began, ended = step.times()
            asked = self.rows[-1][2] if self.rows else asked
            began = max(began, asked)  # two clocks, joined to some microseconds
            self.rows.append((asked, began, max(ended, began)))


def run_loop(
    loader: Iterable[Any],
    step: Step,
    *,
    epochs: int = 1,
    begin_epoch: Callable[[int], object] = lambda _: None,
    on_batch: Callable[[int], object] = lambda _: None,
) -> Timeline:
    """Pass the loader's batches to the step, epoch after epoch, and note when each was asked for, there and done.

    ``begin_epoch`` hears an epoch's number before its iterator is made, ``on_batch`` how many batches the step has had:
    both between a step's end and the next question, so that their time is in no figure. Each epoch ends with the device
    awaited, as training does.
    """
    timed: list[StepTimes] = []
    given = 0
    began = time.perf_counter()
    for epoch in range(epochs):
        begin_epoch(epoch)
        timed.append(times := StepTimes())
        asked = time.perf_counter()
        for batch in loader:
            delivered = time.perf_counter()
            times.add(asked, delivered, step(batch))
            given += 1
            on_batch(given)
            asked = time.perf_counter()
        times.settle()
    table = np.array([row for times in timed for row in times.rows]).reshape(-1, 3) - began
    lengths = [len(times.rows) for times in timed]
    asked, delivered, done = table.T
    return Timeline(asked, delivered, done, np.repeat(np.arange(epochs), lengths))
