"""Where a series of times becomes steady: told by the data, not by a count of batches to throw away."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Series = NDArray[np.float64]

MIN_GROUP = 5
"""Batches whose mean is one value of the series: the 5 of MSER-5."""
GROUPS = 12
"""Of batches in an epoch: what the steady part is told by. Three epochs of 12 find a start that is half as slow again
for a tenth of the epoch, and bias a steady loop with rare slow batches by 1 % (`TOLERANCE`)."""
MIN_VALUES = 6
"""Values under which nothing can be said: the rule cuts in the first half and judges by the second."""
FENCE = 1.5
"""Tukey's fences, in interquartile ranges beyond the quartiles."""

TOLERANCE = 1.2
"""The earliest cut within this factor of the least error is taken: a start that costs less is chance. Without it a
steady series with rare slow values looks 2 % faster than it is (8 values an epoch, three epochs), with it 1 %."""


class Steady(NamedTuple):
    """What to count of each epoch's series; ``reached`` is False where the run was too short to become steady."""

    parts: list[slice]
    reached: bool


class Cut(NamedTuple):
    """How many values to drop at the start of a series, and whether that leaves a steady one."""

    values: int
    settled: bool


def mser_cut(values: Series) -> Cut:
    """Where a series (n,) has got over its start: 0 .. n // 2.

    MSER (White 1997; on means of 5 as MSER-5: White, Cobb and Spratt 2000): of all cuts in the first half the one with
    the least squared standard error of what is left; at the half's end, the run was too short to settle. Values beyond
    Tukey's fences of the second half are drawn in to the fence first (as Barrett et al. 2017 do with outliers of
    warm-up series), since MSER would cut behind a single slow sample. Those that the series begins with are no such
    outliers: they go in any case.
    """
    half = len(values) // 2
    if half == 0:
        return Cut(0, False)
    quartiles = np.percentile(values[half:], [25, 75])
    reach = FENCE * (quartiles[1] - quartiles[0])
    kept = np.clip(values, quartiles[0] - reach, quartiles[1] + reach)
    usual = np.flatnonzero(kept[:half] == values[:half])
    first = int(usual[0]) if len(usual) else half
    errors = np.array([np.var(kept[cut:]) / (len(kept) - cut) for cut in range(first, half + 1)])
    best = first + int(np.argmin(errors))
    return Cut(first + int(np.flatnonzero(errors <= TOLERANCE * errors.min())[0]), best < half)


def steady_parts(epochs: Sequence[Series]) -> Steady:
    """The steady part of each epoch's series.

    Each epoch has a start of its own (empty queues, new workers); and the first epochs may be slower throughout (a cold
    page cache), which only a second look at what the epochs' starts left can tell.
    """
    starts = [mser_cut(values).values for values in epochs]
    left = np.concatenate([np.empty(0), *(values[start:] for values, start in zip(epochs, starts, strict=True))])
    cut, settled = mser_cut(left)
    parts = []
    for values, start in zip(epochs, starts, strict=True):
        dropped = min(cut, len(values) - start)
        cut -= dropped
        parts.append(slice(start + dropped, len(values)))
    return Steady(parts, settled and len(left) >= MIN_VALUES)


def group_length(round_length: int) -> int:
    """Batches that make one value: whole rounds of the workers, whose batches come in bursts, and at least 5."""
    return -(-MIN_GROUP // round_length) * round_length
