"""Confidence intervals of a mean over a handful of seeds."""

from collections.abc import Sequence
from functools import lru_cache
from typing import Literal

import numpy as np
from scipy import special

from bench.statistics.interval import Interval
from bench.statistics.p_values import welch_error

MIN_BOOTSTRAP_N = 5
"""Minimum sample size for the bootstrap; for smaller samples Student's t is used. 3 values have only 10 resamples and
the bootstrap covers 78-82 % (measured), 4 have 35."""

MAX_DEGENERATE_SHARE = 0.05
"""Largest share of resamples without spread for the bootstrap to be used: 5 distinct values give 0.0016, one outlier
among equal values about 1/3."""

QUANTILE_LIMITS = (0.9, 3.0)
"""Limits of the bootstrap's quantiles, as multiples of Student's. The floor repairs heavy tails (without it coverage
falls to 0.91-0.93 at n = 7..10), the cap keeps the near-degenerate resamples of n = 5 from making an interval 20 times
too wide. Chosen by simulation, see `mean_interval`."""

EQUAL_TOLERANCE = 1e-12
"""Spread, relative to the largest magnitude, up to which values are equal except for rounding."""

DIFFERENCE_DECIMALS = 12
"""Decimals to which differences of scores are rounded: 0.3 - 0.2 and 0.2 - 0.1 are the same difference."""

ONE_THREAD_PRODUCTS, LEAST_COLUMNS = 2**18, 16
"""Maximum number of multiplications for which OpenBLAS computes a matrix product in one thread (its SMP_THRESHOLD_MIN
times GEMM_MULTITHREAD_THRESHOLD); minimum number of columns of a piece, below which splitting costs more than it
saves."""

NO_VARIANCE = 1e-12
"""Variance of a resample, relative to the sample's, that is rounding error rather than spread."""


def mean_interval(
    values: Sequence[float] | np.ndarray, *, level: float = 0.95, resamples: int = 4999, seed: int = 0
) -> Interval:
    """Return the interval of a mean by the studentized bootstrap.

    The method is the bootstrap-t (Efron and Tibshirani 1993, chapter 12.5). Student's t is used instead below
    `MIN_BOOTSTRAP_N` values and if more than `MAX_DEGENERATE_SHARE` of the resamples have no spread; the bootstrap's
    quantiles are kept within `QUANTILE_LIMITS` of Student's. Equal values give [x, x].

    Measured coverage at level 0.95, 3000 simulated studies each (standard error 0.004), from the worst to the best of
    normal, exponential, log-normal, gamma, beta, uniform, t with 3 degrees of freedom, mixed scales, unequal variances:
    n = 5: 0.928-0.972, 6: 0.928-0.966, 7: 0.941-0.967, 8: 0.938-0.971, 9: 0.939-0.969, 10: 0.936-0.972, 20:
    0.930-0.966. Student's t alone, n = 5..10: 0.883-0.968; with 2 to 4 values, where it is used: 0.87-0.98. Median
    width against Student's t: 1.3-1.5 at n = 5, 1.04-1.2 at n = 10. Rare failures are beyond every interval from so few
    values: if one trial in ten scores 0, a study of ten has none in a third of all cases, and the true mean is covered
    in 0.56-0.65 of the studies with 5 to 10 seeds.

    Args:
        values: Finite numbers, one for each seed, in any order: the order changes nothing.
        level: Nominal coverage, between 0 and 1.
        resamples: Number of bootstrap resamples.
        seed: Seed of the resampling: the same values give the same interval.

    Raises:
        ValueError: A value is not finite, or ``level`` is not between 0 and 1.
    """
    sample = np.asarray(values, dtype=float).reshape(1, -1)
    return mean_intervals(sample, level=level, resamples=resamples, seed=seed)[0]


def paired_interval(
    differences: Sequence[float] | np.ndarray, *, level: float = 0.95, resamples: int = 4999, seed: int = 0
) -> Interval:
    """Return the interval of a mean paired difference: `mean_interval` after removing the subtraction's rounding."""
    rounded = np.round(np.asarray(differences, dtype=float), DIFFERENCE_DECIMALS)
    return mean_interval(rounded, level=level, resamples=resamples, seed=seed)


def unpaired_interval(
    a: Sequence[float] | np.ndarray, b: Sequence[float] | np.ndarray, *, level: float = 0.95
) -> Interval:
    """Return the interval of a difference of two means, a - b, of independent samples with any variances (Welch 1947).

    Args:
        a: Finite values of one sample, in any order.
        b: Finite values of the other.
        level: Nominal coverage, between 0 and 1.

    Returns:
        ``n`` is the size of the smaller sample. No ends if it is under 2; [x, x] if neither sample varies.

    Raises:
        ValueError: A value is not finite, or ``level`` is not between 0 and 1.
    """
    a, b = np.asarray(a, dtype=float), np.asarray(b, dtype=float)
    _check(np.concatenate([a, b]), level)
    n = min(len(a), len(b))
    if n == 0:
        return Interval(None, None, None, 0, level, "none")
    difference = float(np.round(a.mean() - b.mean(), DIFFERENCE_DECIMALS))
    if n == 1:
        return Interval(difference, None, None, 1, level, "none")
    error, freedom = welch_error(a, b)
    if error == 0:
        return Interval(difference, difference, difference, n, level, "equal")
    reach = float(special.stdtrit(freedom, (1 + level) / 2)) * error
    return Interval(difference, difference - reach, difference + reach, n, level, "welch_t")


def mean_intervals(samples: np.ndarray, *, level: float = 0.95, resamples: int = 4999, seed: int = 0) -> list[Interval]:
    """Return `mean_interval` of many samples of equal size at once.

    Args:
        samples: Array (samples, n).
        level: As in `mean_interval`.
        resamples: As in `mean_interval`.
        seed: As in `mean_interval`.

    Raises:
        ValueError: As in `mean_interval`.
    """
    # Sorted and contiguous, since the order of values and of memory changes how sums are rounded.
    samples = np.sort(np.ascontiguousarray(samples, dtype=float), axis=1)
    _check(samples, level)
    n = samples.shape[1]
    if n == 0:
        return [Interval(None, None, None, 0, level, "none") for _ in samples]
    if n == 1:
        return [Interval(float(value), None, None, 1, level, "none") for value in samples[:, 0]]

    means = samples.mean(axis=1)
    deviations = samples.std(axis=1, ddof=1)
    equal = np.ptp(samples, axis=1) <= EQUAL_TOLERANCE * np.abs(samples).max(axis=1)
    student = float(special.stdtrit(n - 1, (1 + level) / 2))
    quantiles = np.tile([-student, student], (len(samples), 1))
    bootstrapped = np.zeros(len(samples), dtype=bool)
    if n >= MIN_BOOTSTRAP_N and not equal.all():
        standardized = (samples[~equal] - means[~equal, None]) / deviations[~equal, None]
        t_quantiles, usable = _bootstrap_t_quantiles(standardized, level, resamples, seed)
        floor, cap = QUANTILE_LIMITS[0] * student, QUANTILE_LIMITS[1] * student
        limited = np.column_stack([np.clip(t_quantiles[:, 0], -cap, -floor), np.clip(t_quantiles[:, 1], floor, cap)])
        bootstrapped[~equal] = usable
        quantiles[bootstrapped] = limited[usable]
    errors = deviations / np.sqrt(n)
    lows, highs = means - quantiles[:, 1] * errors, means - quantiles[:, 0] * errors

    intervals = []
    for i, mean in enumerate(means):
        if equal[i]:
            value = float(samples[i, n // 2])
            intervals.append(Interval(value, value, value, n, level, "equal"))
        else:
            method: Literal["bootstrap_t", "student_t"] = "bootstrap_t" if bootstrapped[i] else "student_t"
            intervals.append(Interval(float(mean), float(lows[i]), float(highs[i]), n, level, method))
    return intervals


def _check(values: np.ndarray, level: float) -> None:
    if not np.isfinite(values).all():
        raise ValueError("an interval needs finite values: score failed trials first")
    if not 0 < level < 1:
        raise ValueError(f"level must lie between 0 and 1, not {level}")


def _bootstrap_t_quantiles(
    standardized: np.ndarray, level: float, resamples: int, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return the quantiles (samples, 2) of t* of samples with mean 0 and variance 1, and which are usable (samples).

    A sample is usable if few enough of its resamples have no spread.
    """
    n = standardized.shape[1]
    weights = _resample_weights(n, resamples, seed)
    means, squares = _weighted_sums(standardized, weights), _weighted_sums(standardized**2, weights)
    # Order statistics: interpolation between infinities would give NaN.
    ranks = [round((resamples - 1) * tail) for tail in ((1 - level) / 2, (1 + level) / 2)]
    quantiles, usable = np.empty((len(standardized), 2)), np.empty(len(standardized), dtype=bool)
    for row, (mean, square) in enumerate(zip(means, squares, strict=True)):  # one sample's t* stay in the CPU's cache
        variance = (square - mean**2) * n / (n - 1)
        degenerate = variance <= NO_VARIANCE
        usable[row] = degenerate.mean() <= MAX_DEGENERATE_SHARE
        with np.errstate(divide="ignore", invalid="ignore"):
            t = mean / np.sqrt(variance / n)
        t[degenerate] = np.copysign(np.inf, mean[degenerate])
        for side, rank in enumerate(ranks):  # one at a time: NumPy is ten times slower with both at once
            t.partition(rank)
            quantiles[row, side] = t[rank]
    return quantiles, usable


def _weighted_sums(samples: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Return ``samples @ weights.T``, a few resamples at a time, which OpenBLAS computes in one thread.

    With more threads, these wait for each other by spinning: beside a training that uses all cores that takes eight
    times as long as one thread.
    """
    sums = np.empty((len(samples), len(weights)))
    step = max(LEAST_COLUMNS, ONE_THREAD_PRODUCTS // samples.size)
    for first in range(0, len(weights), step):
        np.matmul(samples, weights[first : first + step].T, out=sums[:, first : first + step])
    return sums


@lru_cache(maxsize=32)
def _resample_weights(n: int, resamples: int, seed: int) -> np.ndarray:
    """Return the share (resamples, n) of each value in each resample."""
    weights = np.random.default_rng(seed).multinomial(n, np.full(n, 1 / n), size=resamples) / n
    weights.flags.writeable = False
    return weights
