"""Compare the times of two ways to do the same work, run alternately so that a busy machine slows both."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

RESAMPLES = 2000
CONFIDENCE = 0.95


class Pair(NamedTuple):
    """Two functions that do the same work: ours and the yardstick, with which ours is compared. Their results are
    discarded."""

    ours: Callable[[], object]
    yardstick: Callable[[], object]


@dataclass(frozen=True)
class Row:
    """The result of one comparison. Times are medians over the repeats of the mean over a repeat's pairs."""

    name: str
    yardstick: str
    """Short description of the yardstick."""
    median_ms: float
    yardstick_ms: float
    spread: float
    """Interquartile range of the ratios of the repeats, relative to their median."""
    low: float
    """Lower end of the 95 % interval of the ratio: a bootstrap over the repeats."""
    high: float
    """Upper end of that interval."""
    repeats: int
    threads: int
    max_ratio: float | None = None
    """Largest ratio that the design allows; None: no limit."""
    facts: dict[str, Any] = field(default_factory=dict)
    """Further results and settings by name: counts, bytes, sizes."""

    @property
    def ratio(self) -> float:
        """Our time divided by the yardstick's: smaller is better."""
        return self.median_ms / self.yardstick_ms

    def as_row(self) -> dict[str, Any]:
        """Return the row of the JSON document: all fields, with the facts beside them."""
        return {
            "name": self.name,
            "median_ms": self.median_ms,
            "yardstick_ms": self.yardstick_ms,
            "ratio": self.ratio,
            "spread": self.spread,
            "low": self.low,
            "high": self.high,
            "repeats": self.repeats,
            "asked": self.max_ratio,
            "yardstick": self.yardstick,
            "threads": self.threads,
            **self.facts,
        }


def compare(
    name: str,
    yardstick: str,
    pairs: Sequence[Pair],
    *,
    repeats: int,
    max_ratio: float | None = None,
    warm_up: int = 1,
    synchronize: Callable[[], object] = lambda: None,
    **facts: Any,
) -> Row:
    """Time all pairs ``repeats`` times; the two sides of a pair run one after the other, in alternating order.

    ``warm_up`` rounds run first and are not counted. ``synchronize`` waits for an accelerator. ``facts`` are stored in
    the row.
    """
    ours, theirs = np.empty(repeats), np.empty(repeats)
    for repeat in range(-warm_up, repeats):
        sums = [0.0, 0.0]
        for number, pair in enumerate(pairs):
            order = (0, 1) if (repeat + number) % 2 else (1, 0)
            for side in order:
                synchronize()
                began = time.perf_counter()
                pair[side]()
                synchronize()
                sums[side] += time.perf_counter() - began
        if repeat >= 0:
            ours[repeat], theirs[repeat] = sums
    return summarize(
        name, yardstick, 1000 * ours / len(pairs), 1000 * theirs / len(pairs), max_ratio=max_ratio, **facts
    )  # fmt: skip


def summarize(
    name: str,
    yardstick: str,
    ours_ms: NDArray[np.float64],
    yardstick_ms: NDArray[np.float64],
    *,
    max_ratio: float | None = None,
    **facts: Any,
) -> Row:
    """Make a row from the times (R,) of both sides in R repeats, in milliseconds, paired by repeat."""
    ratios = ours_ms / yardstick_ms
    low, high = _interval(ours_ms, yardstick_ms)
    quartiles = np.percentile(ratios, [25, 50, 75])
    return Row(
        name=name,
        yardstick=yardstick,
        median_ms=float(np.median(ours_ms)),
        yardstick_ms=float(np.median(yardstick_ms)),
        spread=float((quartiles[2] - quartiles[0]) / quartiles[1]),
        low=low,
        high=high,
        repeats=len(ratios),
        threads=torch.get_num_threads(),
        max_ratio=max_ratio,
        facts=facts,
    )


def _interval(ours: NDArray[np.float64], theirs: NDArray[np.float64]) -> tuple[float, float]:
    """Percentile bootstrap of the ratio of medians, resampling repeats (both sides together)."""
    rows = np.random.default_rng(0).integers(len(ours), size=(RESAMPLES, len(ours)))
    ratios = np.median(ours[rows], axis=1) / np.median(theirs[rows], axis=1)
    tail = 50 * (1 - CONFIDENCE)
    low, high = np.percentile(ratios, [tail, 100 - tail])
    return float(low), float(high)


@contextmanager
def threads(number: int) -> Iterator[None]:
    """Run OpenCV and PyTorch with this number of threads each; restore their numbers afterwards."""
    before = torch.get_num_threads(), cv2.getNumThreads()
    torch.set_num_threads(number)
    cv2.setNumThreads(number)
    try:
        yield
    finally:
        torch.set_num_threads(before[0])
        cv2.setNumThreads(before[1])
