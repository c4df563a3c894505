"""Compare optimizers as procedures: each is tuned several times, and the tuning is the unit of the error.

Scores are arrays (studies, optimizers, tunings, seeds): a report passes one study, a simulation thousands at once. The
seeds of tuning r are the same for all optimizers: tuning number r is a block.

A run under the ``floor`` has learned nothing. An optimizer with such a run is not *steady*: the spread of its tunings
is not normally distributed, so its own spread is not pooled with that of the others.
"""

from dataclasses import dataclass

import numpy as np
from scipy import special

from bench.statistics.level import ALPHA
from bench.statistics.shaffer import shaffer

MARGIN = 0.005
"""AP by which two equally good optimizers may differ as procedures; only the excess of a difference is tested."""

NO_VARIANCE = 1e-20
"""Variance of scores in 0..1 that is rounding error rather than spread."""


@dataclass(frozen=True)
class Tunings:
    """Means and spreads of each optimizer's tunings: arrays (studies, optimizers), unless said otherwise.

    Attributes:
        tunings: Tunings of each optimizer, R.
        means: Mean score over all tunings, including those that learned nothing.
        steady: Whether no run of the optimizer lies under the floor.
        variances: Variance of one tuning's mean after its block's effect is removed; NaN with one tuning.
        freedoms: Degrees of freedom of ``variances`` in a test.
        interval_freedoms: Degrees of freedom in an interval: R - 1 if the variance exceeds the pooled one, else
            ``freedoms``.
        total_variances: Variance of one tuning's mean including its block's effect; NaN with one tuning.
        total_freedoms: Degrees of freedom of ``total_variances``.
        pooled_variance: Array (studies): ``variances`` pooled over the steady optimizers; NaN with fewer than two.
    """

    tunings: int
    means: np.ndarray
    steady: np.ndarray
    variances: np.ndarray
    freedoms: np.ndarray
    interval_freedoms: np.ndarray
    total_variances: np.ndarray
    total_freedoms: np.ndarray
    pooled_variance: np.ndarray


@dataclass(frozen=True)
class PairTests:
    """Tests of all pairs, in the order of `itertools.combinations`: arrays (studies, pairs).

    Attributes:
        differences: Mean of the first minus mean of the second.
        sds: Standard deviation of the difference of one tuning of each.
        p: Two-sided p that the difference is within the margin; NaN where it is undefined.
        adjusted: ``p`` adjusted by `shaffer` over the pairs of a study.
        errors: Standard error of the difference.
        freedoms: Degrees of freedom of ``errors`` in a test; NaN where neither has any spread.
        interval_freedoms: Degrees of freedom in an interval: never more than those in a test.
        both_steady: Whether both optimizers are steady.
    """

    differences: np.ndarray
    sds: np.ndarray
    p: np.ndarray
    adjusted: np.ndarray
    errors: np.ndarray
    freedoms: np.ndarray
    interval_freedoms: np.ndarray
    both_steady: np.ndarray


def tuning_spreads(scores: np.ndarray, *, floor: float) -> Tunings:
    """Return the mean of each optimizer and the variance of its tunings, which decide whether optimizers differ.

    A block's effect is the mean over the steady optimizers; it is removed where there are two of them or more. An
    optimizer's variance is the larger of its own and the one pooled over the steady ones: three tunings may agree by
    chance. That of an unsteady optimizer is also at least the mean over all unsteady ones: of several that learn in
    every other tuning one may learn in none (six such, equal: a claim in 27 % of simulated studies without this, in 0.1
    % with it). Degrees of freedom: those of the pooled variance, (k - 1)(R - 1) with k steady optimizers; R - 1 for an
    unsteady optimizer, and for all where fewer than two are steady.

    Three tunings cannot show an optimizer whose tunings rarely collapse, nor that all collapsed by chance.

    Args:
        scores: Array (studies, optimizers, tunings, seeds), finite.
        floor: Score under which a run has learned nothing.

    Raises:
        ValueError: A score is not finite, or there is no tuning or no seed.
    """
    scores = np.asarray(scores, dtype=float)
    if scores.ndim != 4 or 0 in scores.shape[2:] or not np.isfinite(scores).all():
        raise ValueError(
            "scores must be finite, of shape (studies, optimizers, tunings, seeds): leave incomplete tunings out"
        )
    studies, optimizers, tunings, _ = scores.shape
    tuned, steady = scores.mean(axis=3), scores.min(axis=(2, 3)) >= floor
    means = tuned.mean(axis=2)
    unknown = np.full((studies, optimizers), np.nan)
    if tunings < 2:
        return Tunings(tunings, means, steady, unknown, unknown, unknown, unknown, unknown, np.full(studies, np.nan))
    k = steady.sum(axis=1)
    several, own_freedom = k > 1, tunings - 1.0
    blocks = (tuned * steady[:, :, None]).sum(axis=1) / np.maximum(k, 1)[:, None]
    raw = tuned.var(axis=2, ddof=1)
    without_block = (tuned - blocks[:, None]).var(axis=2, ddof=1)
    # A steady optimizer is part of the mean that is subtracted: (k - 1) / k of its variance remains.
    own = np.where(several[:, None], without_block * np.where(steady, (k / np.maximum(k - 1, 1))[:, None], 1.0), raw)
    pooled = (own * steady).sum(axis=1) / np.maximum(k, 1)
    unsteady = (own * ~steady).sum(axis=1) / np.maximum(optimizers - k, 1)
    variances = np.maximum(own, np.where(steady, pooled[:, None], np.maximum(pooled, unsteady)[:, None]))
    freedoms = np.where(steady & several[:, None], ((k - 1) * own_freedom)[:, None], own_freedom)
    interval_freedoms = np.where(variances > pooled[:, None], own_freedom, freedoms)
    total, total_freedoms = _with_blocks(variances, interval_freedoms, blocks.var(axis=1, ddof=1), k, own_freedom)
    known = steady & several[:, None]
    return Tunings(
        tunings=tunings,
        means=means,
        steady=steady,
        variances=np.where(variances > NO_VARIANCE, variances, 0.0),
        freedoms=freedoms,
        interval_freedoms=interval_freedoms,
        total_variances=np.where(known, total, raw),
        total_freedoms=np.where(known, total_freedoms, own_freedom),
        pooled_variance=np.where(several, pooled, np.nan),
    )


def _with_blocks(
    variances: np.ndarray, freedoms: np.ndarray, block: np.ndarray, k: np.ndarray, own_freedom: float
) -> tuple[np.ndarray, np.ndarray]:
    """Return variance and degrees of freedom of one tuning's mean including its block's effect.

    A block mean over k tunings already contains 1 / k of a tuning's own variance.
    """
    own = variances * (1 - 1 / np.maximum(k, 1))[:, None]
    total = own + block[:, None]
    return total, _satterthwaite(own, freedoms, np.broadcast_to(block[:, None], own.shape), own_freedom)


def _satterthwaite(a: np.ndarray, free_a: np.ndarray, b: np.ndarray, free_b: np.ndarray | float) -> np.ndarray:
    """Return the degrees of freedom of a sum of two variances (Welch and Satterthwaite); NaN where both are 0."""
    below = np.asarray(a**2 / free_a + b**2 / free_b)
    freedoms: np.ndarray = np.divide((a + b) ** 2, below, out=np.full_like(below, np.nan), where=below > 0)
    return freedoms


def pair_tests(spreads: Tunings, *, margin: float = MARGIN) -> PairTests:
    """Test every pair of optimizers.

    Two steady ones share the pooled degrees of freedom; for any other pair these are Welch's and Satterthwaite's. With
    one tuning, and where neither has any spread but they differ by more than the margin, p is NaN: no claim.

    Args:
        spreads: From `tuning_spreads`.
        margin: Difference between two procedures up to which they count as equal, in the scores' unit.
    """
    first, second = np.triu_indices(spreads.means.shape[1], 1)
    differences = spreads.means[:, first] - spreads.means[:, second]
    a, b = spreads.variances[:, first], spreads.variances[:, second]
    both = spreads.steady[:, first] & spreads.steady[:, second]
    freedoms = _pair_freedoms(spreads, spreads.freedoms, a, b)
    interval_freedoms = np.fmin(freedoms, _pair_freedoms(spreads, spreads.interval_freedoms, a, b))
    errors = np.sqrt((a + b) / spreads.tunings)
    excess = np.maximum(np.abs(differences) - margin, 0.0)
    t = np.divide(excess, errors, out=np.full_like(excess, np.nan), where=errors > 0)
    undefined = np.where((errors == 0) & (excess == 0), 1.0, np.nan)
    p = np.where(errors > 0, 2 * special.stdtr(freedoms, -t), undefined)
    adjusted = shaffer(p, spreads.means.shape[1])
    return PairTests(differences, np.sqrt(a + b), p, adjusted, errors, freedoms, interval_freedoms, both)


def _pair_freedoms(spreads: Tunings, own: np.ndarray, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Return a pair's degrees of freedom: the pooled ones if both have these, otherwise Welch's and Satterthwaite's."""
    first, second = np.triu_indices(own.shape[1], 1)
    steady = spreads.steady.sum(axis=1, keepdims=True)
    pooled = (steady - 1.0) * (spreads.tunings - 1)
    both = (steady > 1) & (own[:, first] == pooled) & (own[:, second] == pooled)
    both &= spreads.steady[:, first] & spreads.steady[:, second]
    return np.where(both, pooled, _satterthwaite(a, own[:, first], b, own[:, second]))


def difference_intervals(tests: PairTests, *, level: float = 0.95) -> tuple[np.ndarray, np.ndarray]:
    """Return the interval of each difference, unadjusted and without the margin: two arrays (studies, pairs).

    NaN unless both optimizers are steady.
    """
    quantiles = np.where(tests.errors > 0, special.stdtrit(tests.interval_freedoms, (1 + level) / 2), 1.0)
    reach = np.where(tests.both_steady, quantiles * tests.errors, np.nan)
    return tests.differences - reach, tests.differences + reach


def claimed_signs(tests: PairTests, *, alpha: float = ALPHA) -> np.ndarray:
    """Return the claims (studies, pairs): 1 if the first is better, -1 if the second is, 0 if none is claimed."""
    return np.where(tests.adjusted <= alpha, np.sign(tests.differences), 0.0).astype(int)


def may_be_best(signs: np.ndarray, optimizers: int) -> np.ndarray:
    """Return which optimizers no claimed pair beats (studies, optimizers).

    It cannot contradict the pairs, and at least one optimizer remains.

    Args:
        signs: From `claimed_signs`.
        optimizers: Number of optimizers compared.
    """
    beaten = np.zeros((len(signs), optimizers), dtype=bool)
    for pair, (first, second) in enumerate(zip(*np.triu_indices(optimizers, 1), strict=True)):
        beaten[:, first] |= signs[:, pair] < 0
        beaten[:, second] |= signs[:, pair] > 0
    return ~beaten


def optimizer_mean_intervals(
    spreads: Tunings, *, level: float = 0.95, lowest: float = 0.0, highest: float = 1.0
) -> tuple[np.ndarray, np.ndarray]:
    """Return the interval of each steady optimizer's mean, clipped to possible scores.

    Two arrays (studies, optimizers), the lower and the upper ends. NaN for unsteady optimizers: where a mean includes
    runs that learned nothing, an interval from a few tunings would cover it in half of the studies.
    """
    varied = spreads.total_variances > NO_VARIANCE
    quantiles = np.where(varied, special.stdtrit(spreads.total_freedoms, (1 + level) / 2), 0.0)
    errors = np.sqrt(spreads.total_variances / spreads.tunings)
    reach = np.where(spreads.steady, quantiles * errors, np.nan)
    return np.clip(spreads.means - reach, lowest, highest), np.clip(spreads.means + reach, lowest, highest)
