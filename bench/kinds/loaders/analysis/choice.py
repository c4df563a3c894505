"""Which configuration to take: the cheapest of those as fast as the fastest, and what it gains over the defaults."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from bench.kinds.loaders.analysis.bottleneck import alike
from bench.kinds.loaders.analysis.configurations import END_TO_END, configuration_key
from bench.statistics.intervals import mean_interval
from bench.trials.status import Status

USUAL_CV2_THREADS = 1
"""OpenCV's threads in the grid's processes, as `LoaderConfiguration` has them: PyTorch has no default for them."""


@dataclass(frozen=True)
class Gain:
    """How many times as fast the chosen configuration is as another; None where too few repeats tell."""

    ratio: float
    low: float | None
    high: float | None
    n: int
    """Blocks in which both were measured."""

    def is_claimed(self, noise: float) -> bool:
        """Whether the difference is more than chance and the machine's noise."""
        if self.low is None or self.high is None:
            return False
        return not self.low <= 1 <= self.high and abs(self.ratio - 1) > noise


def fastest(frame: pd.DataFrame) -> pd.Series | None:
    """The configuration with the highest median images/s, or None where none is complete."""
    complete = frame[frame["status"] == Status.COMPLETE]
    return None if complete.empty else complete.iloc[complete["images_per_s"].argmax()]


def cheapest_of_the_best(frame: pd.DataFrame, *, noise: float = 0.0) -> pd.Series | None:
    """Of the configurations that cannot be told apart from the fastest (`alike`), the one that costs least.

    Cost is the number of workers, then pinned memory (which the system cannot swap out), then memory; the faster one
    where all are equal.
    """
    best = fastest(frame)
    if best is None:
        return None
    complete = frame[frame["status"] == Status.COMPLETE]
    equal = complete[[alike(row, best, noise=noise) for _, row in complete.iterrows()]]
    order = equal.assign(memory=equal["usual_memory_bytes"].fillna(math.inf), speed=-equal["images_per_s"])
    first = order.sort_values(["num_workers", "pin_memory", "memory", "speed"], kind="stable").index[0]
    cheapest: pd.Series = equal.loc[first]
    return cheapest


def default_configuration(frame: pd.DataFrame, chosen: Any) -> pd.Series | None:
    """PyTorch's defaults at the chosen batch size, or None where they were not measured."""
    same = default_rows(frame, chosen)
    complete = same[same["status"] == Status.COMPLETE]
    return None if complete.empty else complete.iloc[0]


def default_rows(frame: pd.DataFrame, chosen: Any) -> pd.DataFrame:
    """The rows of a summary with PyTorch's defaults at the chosen batch size, with a result or not."""
    same = frame[frame["batch_size"] == chosen["batch_size"]]
    same = same[(same["num_workers"] == 0) & ~same["pin_memory"].astype(bool)]
    found: pd.DataFrame = same[same["cv2_threads"] == USUAL_CV2_THREADS]
    return found


def gain(rows: pd.DataFrame, chosen: Any, other: Any) -> Gain:
    """Ratio of images/s of two configurations of a summary, paired by block, with its 95 % interval.

    The geometric mean over the blocks in which both are complete: what slows a block down slows both.
    Without a common block it is the ratio of the medians, with no interval.
    """
    mine, theirs = _by_block(rows, chosen["key"]), _by_block(rows, other["key"])
    blocks = mine.index.intersection(theirs.index)
    if chosen["key"] == other["key"] or len(blocks) == 0:
        return Gain(float(chosen["images_per_s"] / other["images_per_s"]), None, None, len(blocks))
    found = mean_interval(np.log(mine[blocks].to_numpy() / theirs[blocks].to_numpy()))
    low, high = (None if end is None else math.exp(end) for end in (found.low, found.high))
    return Gain(math.exp(found.estimate or 0.0), low, high, len(blocks))


def _by_block(rows: pd.DataFrame, key: str) -> pd.Series:
    """images/s of a configuration's complete measurements by block."""
    complete = rows[(rows["arm"] == END_TO_END) & (rows["status"] == Status.COMPLETE)]
    mine = complete[[configuration_key(row) == key for _, row in complete.iterrows()]]
    return mine.groupby("block")["images_per_s"].mean().astype(float)
