"""The loop that is measured: a loader, a step, a clock; nothing else happens between two batches."""

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from bench.measure.loader.delivered import batch_hash
from bench.measure.loader.timeline import Timeline

Step = Callable[[Any], object]
"""Takes a batch and returns when the device has done with it."""


@dataclass(frozen=True)
class LoopPlan:
    """How long to measure: so many epochs of a loader, or until the first batch after ``seconds``."""

    epochs: int = 3
    seconds: float = float("inf")


@dataclass(frozen=True)
class Loop:
    """What a loop left: its times, and each epoch's batches as hashes (none where nobody asked)."""

    timeline: Timeline
    hashes: tuple[tuple[int, ...], ...]


def run_loop(
    loader: Iterable[Any],
    step: Step,
    plan: LoopPlan,
    *,
    begin_epoch: Callable[[int], object] = lambda _: None,
    on_batch: Callable[[int], object] = lambda _: None,
    hashing: bool = True,
) -> Loop:
    """Pass the loader's batches to the step, epoch after epoch, and note when each was asked for, there and done.

    ``begin_epoch`` hears an epoch's number before its iterator is made, ``on_batch`` how many batches are done. Both,
    and the hash of each batch, take their time between a step's end and the next question: it is in no figure, though
    a loader can use it; it is some 30 microseconds a batch (`posebench speed loader-measuring`).
    """
    times: list[tuple[float, float, float, int]] = []
    hashes: list[list[int]] = []
    began = time.perf_counter()
    for epoch in range(plan.epochs):
        begin_epoch(epoch)
        hashes.append([])
        asked = time.perf_counter()
        for batch in loader:
            delivered = time.perf_counter()
            step(batch)
            done = time.perf_counter()
            times.append((asked, delivered, done, epoch))
            if hashing:
                hashes[-1].append(batch_hash(batch, len(hashes[-1])))
            on_batch(len(times))
            if done - began > plan.seconds:
                return _loop(times, hashes, began)
            asked = time.perf_counter()
    return _loop(times, hashes, began)


def _loop(times: list[tuple[float, float, float, int]], hashes: list[list[int]], began: float) -> Loop:
    table = np.array(times).reshape(-1, 4)
    asked, delivered, done = (table[:, :3] - began).T
    return Loop(Timeline(asked, delivered, done, table[:, 3].astype(np.int64)), tuple(tuple(epoch) for epoch in hashes))
