"""Ratios of speeds between configurations that were measured side by side, with intervals that hold over all looks.

The unit is the block: in each, a configuration has a fresh process, and its seconds per image are one value. A slow
moment of the machine slows all configurations of a block alike; chance effects of single processes differ from block to
block.
"""

import itertools
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import special

from bench.kinds.loaders.analysis.findings import Comparison, Ratio

Floats = NDArray[np.float64]

ALPHA = 0.05
"""Maximum share of studies in which any interval, of any pair and at any look (interim analysis), excludes the
truth."""
GROWTH = 1.49
"""Number of blocks at a look divided by that at the previous look."""
LEAST_GROWTH = 1.25
"""Minimum ratio of the blocks at the last look to those at the look before: a closer look would cost error level and
show nothing new."""
FLOOR = 0.002
"""Minimum relative standard deviation assumed for a block's ratio: a smaller one is chance, or the clock's
resolution."""
TOO_WIDE = 4.0
"""Ratio of an interval's end to its middle above which nothing is known and no interval is given."""
DISTURBING_SHARE = 0.05
"""A slice is dropped if other programs took this much more of the machine's cores than usual."""


def looks(blocks: int, min_blocks: int) -> tuple[int, ...]:
    """Return the numbers of blocks after which a panel is looked at: from ``min_blocks`` on, the last is ``blocks``."""
    numbers, at = [], min_blocks
    while at * LEAST_GROWTH <= blocks:
        numbers.append(at)
        at = max(at + 1, round(GROWTH * at))
    return (*numbers, blocks)


def pairs_of(panels: Iterable[int]) -> int:
    """Return the number of pairs of configurations within panels of these sizes; at least 1."""
    return max(1, sum(size * (size - 1) // 2 for size in panels))


def is_disturbed_by_others(slices: pd.DataFrame) -> NDArray[np.bool_]:
    """Return which slices are dropped, because other programs took more of the machine than the median of this study's
    slices."""
    if not len(slices):
        return np.zeros(0, dtype=bool)
    share = slices["others_share"].to_numpy(dtype=float)
    usual = np.nanmedian(share) if np.isfinite(share).any() else 0.0
    with np.errstate(invalid="ignore"):
        return np.asarray(share > usual + DISTURBING_SHARE)


@dataclass(frozen=True, eq=False)
class Times:
    """Seconds per image of K things measured side by side.

    Attributes:
        keys: Their K names.
        seconds: (blocks, K) per image; NaN if something was not measured in a block.
    """

    keys: tuple[str, ...]
    seconds: Floats

    @cached_property
    def means(self) -> Floats:
        """(K,) Mean seconds per image."""
        counts = np.isfinite(self.seconds).sum(axis=0)
        return np.where(counts > 0, np.nansum(self.seconds, axis=0) / np.maximum(counts, 1), np.nan)

    def column(self, key: str) -> Floats:
        """Return the seconds per image (blocks,) of the one with this key."""
        return self.seconds[:, self.keys.index(key)]


def seconds_per_image(sums: pd.DataFrame, keys: Sequence[str], blocks: Sequence[int]) -> Times:
    """Return the times of one arm.

    Args:
        sums: Seconds and images, summed over the slices that count; indexed by block and key.
        keys: Columns of the result.
        blocks: Rows of the result.
    """
    table = np.full((len(blocks), len(keys)), np.nan)
    rows, columns = ({name: index for index, name in enumerate(names)} for names in (blocks, keys))
    for (block, key), seconds, images in sums.itertuples():
        table[rows[block], columns[key]] = seconds / images
    return Times(tuple(keys), table)


@dataclass(frozen=True)
class Paired:
    """Two configurations in their common blocks: log ratio of mean speeds, first over second, and its scatter."""

    log: float
    variance: float
    """Variance of a block's linearised residual; NaN with fewer than two blocks."""
    n: int


def paired(first: Floats, second: Floats) -> Paired:
    """Return the ratio of mean seconds per image, over the blocks in which both were measured.

    A ratio of means, not a mean of logs: if one sample in fifty is slow, blocks are skewed, and the time of training is
    decided by the mean.
    """
    both = np.isfinite(first) & np.isfinite(second)
    n = int(both.sum())
    if not n:
        return Paired(math.nan, math.nan, 0)
    one, other = first[both], second[both]
    residuals = other / other.mean() - one / one.mean()
    variance = float((residuals**2).sum() / (n - 1)) if n > 1 else math.nan
    return Paired(math.log(other.mean() / one.mean()), variance, n)


class Ratios:
    """All ratios of one panel, with intervals at one level.

    An interval is the longer one of two. One takes the panel's pooled variance and degrees of freedom: with few blocks
    a pair's own variance may be small by chance. The other takes a variance for each configuration, derived from those
    of all its pairs (Grubbs 1948, precision of instruments without a standard), with the degrees of freedom of Welch
    and Satterthwaite: configurations do not scatter alike. Measured in simulated studies with looks after 4, 6, 9, 13,
    19 and 28 blocks, 6,000 each: the share in which any interval at any look excludes the truth is at most 2.6 % with
    3, 5, 8 and 16 configurations, whether their standard deviations are equal or differ up to tenfold. The larger of
    own and pooled variance with pooled degrees of freedom reaches 8.4 % there.
    """

    def __init__(self, times: Times, level: float) -> None:
        self.times = times
        self._at = {key: index for index, key in enumerate(times.keys)}
        self._level = level
        count = len(times.keys)
        self._pairs = {
            (a, b): paired(times.seconds[:, a], times.seconds[:, b]) for a, b in itertools.combinations(range(count), 2)
        }
        usable = {at: each for at, each in self._pairs.items() if each.n > 1}
        weights = np.array([each.n - 1 for each in usable.values()], dtype=float)
        variances = np.array([each.variance for each in usable.values()])
        self._pooled = float((weights * variances).sum() / weights.sum()) if len(usable) else math.nan
        self._freedom = _freedom(times.seconds)
        self._own = _separated(usable, weights, variances, count)

    def between(self, first: str, second: str) -> Ratio:
        """Return the speed of the first over that of the second, by their keys."""
        if first == second:
            return Ratio(1.0, 1.0, 1.0, int(np.isfinite(self.times.column(first)).sum()))
        a, b = self._at[first], self._at[second]
        turned = a > b
        pair = self._pairs[(b, a) if turned else (a, b)]
        log = -pair.log if turned else pair.log
        if pair.n < 2:
            return Ratio(math.exp(log), None, None, pair.n)
        return _within(math.exp(log), self._reach(min(a, b), max(a, b), pair), pair.n)

    def _reach(self, a: int, b: int, pair: Paired) -> float:
        pooled = student_quantile(self._freedom, self._level) * math.sqrt(max(self._pooled, FLOOR**2) / pair.n)
        if self._own is None:
            own, freedom = pair.variance, float(pair.n - 1)
        else:
            mine, other = self._own[a], self._own[b]
            own = mine + other
            freedom = own**2 * (pair.n - 1) / (mine**2 + other**2) if own > 0 else pair.n - 1.0
        return max(pooled, student_quantile(freedom, self._level) * math.sqrt(max(own, FLOOR**2) / pair.n))


def _within(value: float, reach: float, n: int) -> Ratio:
    """Return the value with the ends of its interval, or without them if the interval is so wide that nothing is
    known."""
    if reach > math.log(TOO_WIDE):
        return Ratio(value, None, None, n)
    return Ratio(value, value * math.exp(-reach), value * math.exp(reach), n)


def student_quantile(freedom: float, level: float) -> float:
    """Return the two-sided quantile of Student's t."""
    return float(special.stdtrit(freedom, 1 - level / 2))


def _freedom(values: Floats) -> int:
    """Return the degrees of freedom of residuals from a table's rows and columns; at least 1."""
    measured = np.isfinite(values)
    rows, columns = measured.sum(axis=1) > 1, measured.sum(axis=0) > 1
    kept = measured[rows][:, columns]
    return max(1, int(kept.sum()) - int(rows.sum()) - int(columns.sum()) + 1)


def _separated(pairs: dict[tuple[int, int], Paired], weights: Floats, variances: Floats, count: int) -> Floats | None:
    """Return the variance of each configuration (K,), by least squares from the variances of pairs, which are sums of
    two; None if these do not determine it.

    Estimates below a quarter of the usual variance are raised to that: smaller ones are chance.
    """
    if count < 3 or len(pairs) < count:
        return None
    design = np.zeros((len(pairs), count))
    for row, (a, b) in enumerate(pairs):
        design[row, a] = design[row, b] = 1
    scale = np.sqrt(weights)
    solution, _, rank, _ = np.linalg.lstsq(design * scale[:, None], variances * scale, rcond=None)
    if rank < count:
        return None
    usual = float(np.average(variances, weights=weights)) / 2
    return np.asarray(np.maximum(solution, usual / 4), dtype=float)


def speeds(times: Times, level: float) -> list[Ratio]:
    """Return each configuration's images/s with an interval over the blocks: by Student's t, with the larger of its own
    and the usual variance."""
    scattered = [_variance(column) for column in times.seconds.T]
    finite = [each for each in scattered if math.isfinite(each)]
    usual = float(np.mean(finite)) if finite else math.nan
    ratios = []
    for mean, variance, column in zip(times.means, scattered, times.seconds.T, strict=True):
        n = int(np.isfinite(column).sum())
        speed = 1 / mean if n else math.nan
        if n < 2:
            ratios.append(Ratio(speed, None, None, n))
            continue
        reach = student_quantile(n - 1, level) * math.sqrt(max(variance, usual, FLOOR**2) / n)
        ratios.append(_within(speed, reach, n))
    return ratios


def speed_ratios(columns: Sequence[tuple[Floats, Floats]], level: float) -> list[Ratio]:
    """Return the speed of the first over that of the second column, for each pair of columns.

    By Student's t; the variance is the larger of the pair's own and the usual one of all pairs.
    """
    pairs = [paired(first, second) for first, second in columns]
    usable = [each for each in pairs if each.n > 1]
    freedom = sum(each.n - 1 for each in usable)
    usual = sum((each.n - 1) * each.variance for each in usable) / freedom if freedom else math.nan
    ratios = []
    for each in pairs:
        if each.n < 2:
            ratios.append(Ratio(math.exp(each.log) if each.n else math.nan, None, None, each.n))
            continue
        reach = student_quantile(freedom, level) * math.sqrt(max(each.variance, usual, FLOOR**2) / each.n)
        ratios.append(_within(math.exp(each.log), reach, each.n))
    return ratios


def ratio_columns(name: str, ratios: Sequence[Ratio | None]) -> dict[str, list[float]]:
    """Return the columns ``name``, ``name_low`` and ``name_high``; NaN for what is unknown."""

    def number(value: float | None) -> float:
        return math.nan if value is None else value

    return {
        name: [math.nan if each is None else each.value for each in ratios],
        f"{name}_low": [math.nan if each is None else number(each.low) for each in ratios],
        f"{name}_high": [math.nan if each is None else number(each.high) for each in ratios],
    }


def level_at(plan: Comparison, blocks: int) -> float:
    """Return the error level of all intervals of a look together: the levels of all looks add up to ALPHA, in
    proportion to their blocks.

    Between two looks the level of the next look holds: a panel that ends there is analysed once more, and then never
    again.
    """
    at = next((look for look in plan.looks if look >= blocks), plan.looks[-1])
    return ALPHA * at / sum(plan.looks)


def _variance(column: Floats) -> float:
    """Return the relative variance of a column's finite values; NaN with fewer than two."""
    values = column[np.isfinite(column)]
    return float(values.var(ddof=1) / values.mean() ** 2) if len(values) > 1 else math.nan
