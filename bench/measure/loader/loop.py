"""The loop that is measured: a loader, a step, a clock; nothing else happens between two batches."""

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from bench.measure.loader.timeline import Timeline

Step = Callable[[Any], object]
"""Takes a batch and returns when the device has done with it."""


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

    ``begin_epoch`` hears an epoch's number before its iterator is made, ``on_batch`` how many batches are done: both
    between a step's end and the next question, so that their time is in no figure.
    """
    times: list[tuple[float, float, float, int]] = []
    began = time.perf_counter()
    for epoch in range(plan.epochs):
        begin_epoch(epoch)
        asked = time.perf_counter()
        for batch in loader:
            delivered = time.perf_counter()
            step(batch)
            done = time.perf_counter()
            times.append((asked, delivered, done, epoch))
            on_batch(len(times))
            if done - began > plan.seconds:
                return _timeline(times, began)
            asked = time.perf_counter()
    return _timeline(times, began)


def _timeline(times: list[tuple[float, float, float, int]], began: float) -> Timeline:
    table = np.array(times).reshape(-1, 4)
    asked, delivered, done = (table[:, :3] - began).T
    return Timeline(asked, delivered, done, table[:, 3].astype(np.int64))
