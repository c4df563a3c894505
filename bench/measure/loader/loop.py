"""The loop that is measured: a loader, a step, a clock; nothing else happens between two batches."""

import time
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from bench.measure.loader.device_step import Underway
from bench.measure.loader.timeline import Timeline

Step = Callable[[Any], object]
"""Takes a batch and returns when it has been done with, or an `Underway` of a device that goes on alone."""
AHEAD = 1
"""Steps that a device may still have to do while the next batch is loaded: enough for it never to run dry."""


@dataclass(frozen=True)
class LoopPlan:
    """How long to measure: so many epochs of a loader, or until the first batch after ``seconds``."""

    epochs: int = 3
    seconds: float = float("inf")


def run_loop(
    loader: Iterable[Any],
    step: Step,
    plan: LoopPlan,
    *,
    begin_epoch: Callable[[int], object] = lambda _: None,
    on_batch: Callable[[int], object] = lambda _: None,
) -> Timeline:
    """Pass the loader's batches to the step, epoch after epoch, and note when each was asked for, there and done.

    ``begin_epoch`` hears an epoch's number before its iterator is made, ``on_batch`` how many batches the step has had:
    both between a step's end and the next question, so that their time is in no figure. A step that is `Underway` began
    and ended when its device says so, and waited for its batch only from the end of the one before: what is loaded
    while the device works keeps nobody waiting. Each epoch ends with the device awaited, as training does.
    """
    times: list[tuple[float, float, float, int]] = []
    underway: deque[tuple[float, Underway, int]] = deque()

    def settle(left: int) -> None:
        while len(underway) > left:
            asked, step_underway, epoch = underway.popleft()
            device_began, device_ended = step_underway.times()
            asked = times[-1][2] if times and times[-1][3] == epoch else asked
            device_began = max(device_began, asked)  # two clocks, joined to some microseconds
            times.append((asked, device_began, max(device_ended, device_began), epoch))

    given = 0
    began = time.perf_counter()
    for epoch in range(plan.epochs):
        begin_epoch(epoch)
        asked = time.perf_counter()
        for batch in loader:
            delivered = time.perf_counter()
            found = step(batch)
            if isinstance(found, Underway):
                underway.append((asked, found, epoch))
                settle(AHEAD)
            else:
                times.append((asked, delivered, time.perf_counter(), epoch))
            given += 1
            on_batch(given)
            if time.perf_counter() - began > plan.seconds:
                settle(0)
                return _timeline(times, began)
            asked = time.perf_counter()
        settle(0)
    return _timeline(times, began)


def _timeline(times: list[tuple[float, float, float, int]], began: float) -> Timeline:
    table = np.array(times).reshape(-1, 4)
    asked, delivered, done = (table[:, :3] - began).T
    return Timeline(asked, delivered, done, table[:, 3].astype(np.int64))
