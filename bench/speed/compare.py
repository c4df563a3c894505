"""Two ways to do the same, timed in turns: a ratio that a noisy machine's good and bad minutes hit alike."""

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
    """The same work done by us and by the yardstick; what they return is thrown away."""

    ours: Callable[[], object]
    yardstick: Callable[[], object]


@dataclass(frozen=True)
class Row:
    """One comparison. Times are medians over the repeats, of the mean over the pairs of a repeat."""

    name: str
    yardstick: str
    """What the yardstick is, in a few words."""
    median_ms: float
    yardstick_ms: float
    spread: float
    """Interquartile range of the repeats' ratios, relative to their median."""
    low: float
    """95 % interval of the ratio: a bootstrap over the repeats."""
    high: float
    repeats: int
    threads: int
    asked: float | None = None
    """Largest ratio that the design allows; None: nothing is asked."""
    facts: dict[str, Any] = field(default_factory=dict)
    """What else was found: counts, bytes, settings."""

    @property
    def ratio(self) -> float:
        """Ours over the yardstick: smaller is better."""
        return self.median_ms / self.yardstick_ms

    def as_row(self) -> dict[str, Any]:
        """The flat row of the JSON document."""
        return {
            "name": self.name,
            "median_ms": self.median_ms,
            "yardstick_ms": self.yardstick_ms,
            "ratio": self.ratio,
            "spread": self.spread,
            "low": self.low,
            "high": self.high,
            "repeats": self.repeats,
            "asked": self.asked,
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
    asked: float | None = None,
    warm_up: int = 1,
    synchronize: Callable[[], object] = lambda: None,
    **facts: Any,
) -> Row:
    """Time all pairs ``repeats`` times, each pair's two sides right after each other and in changing order.

    ``warm_up`` rounds before are not counted. ``synchronize`` waits for an accelerator.
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
        name, yardstick, 1000 * ours / len(pairs), 1000 * theirs / len(pairs), asked=asked, **facts
    )  # fmt: skip


def summarize(
    name: str,
    yardstick: str,
    ours_ms: NDArray[np.float64],
    yardstick_ms: NDArray[np.float64],
    *,
    asked: float | None = None,
    **facts: Any,
) -> Row:
    """A row from the repeats' times (R,) of both sides, which belong together one by one."""
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
        asked=asked,
        facts=facts,
    )


def _interval(ours: NDArray[np.float64], theirs: NDArray[np.float64]) -> tuple[float, float]:
    """Percentile bootstrap of the ratio of medians; the two sides of a repeat stay together."""
    rows = np.random.default_rng(0).integers(len(ours), size=(RESAMPLES, len(ours)))
    ratios = np.median(ours[rows], axis=1) / np.median(theirs[rows], axis=1)
    tail = 50 * (1 - CONFIDENCE)
    low, high = np.percentile(ratios, [tail, 100 - tail])
    return float(low), float(high)


@contextmanager
def threads(number: int) -> Iterator[None]:
    """OpenCV and PyTorch with so many threads each; what they had is put back."""
    before = torch.get_num_threads(), cv2.getNumThreads()
    torch.set_num_threads(number)
    cv2.setNumThreads(number)
    try:
        yield
    finally:
        torch.set_num_threads(before[0])
        cv2.setNumThreads(before[1])
