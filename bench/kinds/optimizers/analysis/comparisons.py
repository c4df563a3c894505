"""Every optimizer against every other, paired by seed: which differences are more than noise?

The rule of a claim is a function of arrays with a leading axis of studies: a report passes one study, a simulation
thousands.
"""

from collections.abc import Iterable, Sequence
from functools import lru_cache
from itertools import combinations

import numpy as np
import pandas as pd
from scipy import special
from scipy.optimize import brentq

from bench.statistics.intervals import DIFFERENCE_DECIMALS, Interval, mean_intervals
from bench.statistics.p_values import ALPHA, holm, paired_t_ps, signed_rank_p, smallest_signed_rank_p

MIN_TRUSTED_SPREAD_N = 5
"""Seeds from which a pair's own spread is believed. With 2 to 4 seeds one of 15 spreads is tiny by chance: measured on
six equal optimizers that score 0.2 or 0.4 at random, 60 %, 30 % and 10 % of studies claimed a winner by their own
spreads, 6 %, 0.3 % and under 0.1 % with the median spread over all pairs as the least. Its price at n = 3 and a gap of
ten standard deviations per run: a claim in 0.21 of the cases, not 0.45."""

SMALL_SPREAD, DOUBT = 0.6, 1.15
"""From `MIN_TRUSTED_SPREAD_N` seeds on, a spread under 0.6 of the median pair's is taken for up to 1.15 times as
large: where scores are skewed, a small spread and a shifted mean come together. Measured at n = 10 (3,000 studies a
case), six equal optimizers have a false winner, without and with it, in 8.9 and 6.8 % of studies with exponential
errors of unequal size, in 7.8 and 5.9 % of those skewed apart, in 4.0 and 3.5 % of normal ones. A gap of 2 standard
deviations at the pair of least spread is found as before, but in 90 instead of 96 % where its spread is a fifth of the
others'."""

POWER = 0.8
"""A difference counts as detectable if this share of studies would claim it."""

COLUMNS = (
    "a",
    "b",
    "n",
    "mean_difference",
    "low",
    "high",
    "sd_difference",
    "t_p",
    "t_p_adjusted",
    "wilcoxon_p",
    "wilcoxon_p_adjusted",
    "wilcoxon_smallest_adjusted_p",
    "probability_of_improvement",
    "better",
)


def paired_comparisons(
    scores: pd.DataFrame, *, alpha: float = ALPHA, level: float = 0.95, resamples: int = 4999, seed: int = 0
) -> pd.DataFrame:
    """Compare all pairs of optimizers on the seeds that both have.

    Args:
        scores: Index seed, one column an optimizer, AP in 0..1 (`score_table`). NaN: no record, that seed is not
            paired. A failed trial is no gap: it has the worst score.
        alpha: Level of a claim, after Holm's correction over all pairs.
        level: Coverage of the interval of one difference (not corrected for the number of pairs).
        resamples: Of the interval's bootstrap.
        seed: Of the interval's bootstrap.

    Returns:
        One row for each pair, in the order of the columns:
        ``a``, ``b``, ``n`` (paired seeds), ``mean_difference`` (a - b) with ``low`` and ``high``, ``sd_difference``,
        ``t_p`` and ``t_p_adjusted`` (paired t; adjusted by Holm and by `cautious_spread`; NaN where undefined),
        ``wilcoxon_p``, ``wilcoxon_p_adjusted`` and ``wilcoxon_smallest_adjusted_p`` (the least that Wilcoxon could
        reach with these n and pairs), ``probability_of_improvement`` (share of seeds where a > b, ties half), and
        ``better``: ``a`` or ``b`` where the adjusted p of the t test is at most ``alpha``, else an empty text.
    """
    pairs = list(combinations(scores.columns, 2))
    if not pairs:
        return pd.DataFrame(columns=list(COLUMNS))
    one_study = paired_differences(scores.to_numpy(dtype=float)[np.newaxis])
    t_p, t_adjusted = paired_t_tests(one_study)
    signs = claimed_signs(one_study, t_adjusted, alpha=alpha)
    differences = [values[0] for values in one_study]
    intervals = _intervals(differences, level, resamples, seed)
    wilcoxon_p = np.array([signed_rank_p(values) for values in differences])
    wilcoxon_adjusted = holm(wilcoxon_p)
    # Holm is monotone in every p: with all pairs at their least, each adjusted p is at its least.
    wilcoxon_smallest = holm([smallest_signed_rank_p(len(values)) for values in differences])
    rows = []
    for i, ((a, b), values, interval) in enumerate(zip(pairs, differences, intervals, strict=True)):
        rows.append(
            {
                "a": a,
                "b": b,
                "n": len(values),
                "mean_difference": _number(interval.estimate),
                "low": _number(interval.low),
                "high": _number(interval.high),
                "sd_difference": spread(values),
                "t_p": t_p[0, i],
                "t_p_adjusted": t_adjusted[0, i],
                "wilcoxon_p": wilcoxon_p[i],
                "wilcoxon_p_adjusted": wilcoxon_adjusted[i],
                "wilcoxon_smallest_adjusted_p": wilcoxon_smallest[i],
                "probability_of_improvement": _share_of_wins(values),
                "better": {1: "a", -1: "b", 0: ""}[signs[0, i]],
            }
        )
    return pd.DataFrame(rows, columns=list(COLUMNS))


def paired_differences(scores: np.ndarray) -> list[np.ndarray]:
    """Differences a - b of every pair of optimizers, on the seeds that both have.

    Args:
        scores: Array (studies, seeds, optimizers), of two optimizers or more. NaN: no record; a trial without one is
            absent from all studies.

    Returns:
        An array (studies, shared seeds) for each pair, in the order of `itertools.combinations` over the optimizers.

    Raises:
        ValueError: A trial has a record in some of the studies only.
    """
    absent = np.isnan(scores)
    if (absent != absent[:1]).any():
        raise ValueError("studies that are compared at once need records of the same trials")
    differences = []
    for a, b in combinations(range(scores.shape[2]), 2):
        shared = ~(absent[0, :, a] | absent[0, :, b])
        values = scores[:, shared, a] - scores[:, shared, b]
        differences.append(np.round(np.ascontiguousarray(values), DIFFERENCE_DECIMALS))
    return differences


def paired_t_tests(differences: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """p of the paired t test, plain and adjusted by Holm and by `cautious_spread`; NaN where undefined.

    Args:
        differences: From `paired_differences`: an array (studies, seeds) for each pair.

    Returns:
        Two arrays (studies, pairs).
    """
    usual = usual_spread(differences)
    plain = np.column_stack([paired_t_ps(values) for values in differences])
    cautious = np.column_stack([paired_t_ps(values, least_sd=cautious_spread(values, usual)) for values in differences])
    return plain, np.fmax(holm(plain), holm(cautious))


def claimed_signs(differences: Sequence[np.ndarray], adjusted: np.ndarray, *, alpha: float = ALPHA) -> np.ndarray:
    """Claims (studies, pairs): 1 where a is better, -1 where b is, 0 where the adjusted p is above ``alpha`` or NaN."""
    a_leads = np.column_stack([values.sum(axis=-1) > 0 for values in differences])
    return np.where(adjusted <= alpha, np.where(a_leads, 1, -1), 0)


def usual_spread(samples: Iterable[np.ndarray]) -> np.ndarray | float:
    """Median standard deviation of the samples (..., n) that have two values or more; 0 where none has."""
    spreads = [spread(values) for values in samples if values.shape[-1] > 1]
    return np.median(np.asarray(spreads), axis=0) if spreads else 0.0


def spread(values: np.ndarray) -> np.ndarray | float:
    """Standard deviation of a sample (..., n): exactly 0 where all values are equal, NaN below two values."""
    if values.shape[-1] < 2:
        return np.full(values.shape[:-1], np.nan)[()]
    return np.where(np.ptp(values, axis=-1) > 0, values.std(axis=-1, ddof=1), 0.0)[()]


def cautious_spread(values: np.ndarray, usual: np.ndarray | float) -> np.ndarray | float:
    """What a sample (..., n) is taken to spread at least, where samples beside it usually spread ``usual`` (...)."""
    if values.shape[-1] < MIN_TRUSTED_SPREAD_N:
        return usual
    return np.minimum(SMALL_SPREAD * usual, DOUBT * spread(values))


def minimal_detectable_difference(
    comparisons: pd.DataFrame, *, alpha: float = ALPHA, power: float = POWER, family: int | None = None
) -> float | None:
    """Smallest true difference that this study would have claimed with probability ``power``.

    The paired t test at Holm's first step (``alpha`` divided by the number of pairs), with the spread of the
    differences pooled over the pairs and the smallest n among them.

    Args:
        comparisons: From `paired_comparisons`.
        alpha: Level of a claim.
        power: Probability of the claim.
        family: Number of pairs that were compared, where ``comparisons`` holds only some; None: it holds all.

    Returns:
        The difference in AP (it can exceed 1: then nothing could have been seen); None where no pair has two seeds
        or no difference has spread.
    """
    usable = comparisons[comparisons["n"] >= 2]
    if usable.empty:
        return None
    freedom = usable["n"].to_numpy() - 1
    spread = float(np.sqrt(np.average(usable["sd_difference"].to_numpy() ** 2, weights=freedom)))
    n = int(usable["n"].min())
    if spread == 0:
        return None
    return _detectable_noncentrality(n, family or len(comparisons), alpha, power) * spread / float(np.sqrt(n))


@lru_cache(maxsize=256)
def _detectable_noncentrality(n: int, pairs: int, alpha: float, power: float) -> float:
    """Noncentrality of t at which a test with ``n`` seeds at ``alpha`` over ``pairs`` succeeds with ``power``."""
    critical = special.stdtrit(n - 1, 1 - alpha / (2 * pairs))
    # Over the distribution of the estimated spread, at its midpoint quantiles: robust where nct fails (n = 2, 3).
    estimated = np.sqrt(2 * special.gammaincinv((n - 1) / 2, (np.arange(2000) + 0.5) / 2000) / (n - 1))

    def missing_power(noncentrality: float) -> float:
        return float(special.ndtr(noncentrality - critical * estimated).mean()) - power

    return float(brentq(missing_power, 0, 10 * (critical + 10)))


def _intervals(differences: list[np.ndarray], level: float, resamples: int, seed: int) -> list[Interval]:
    """Interval of each pair, computed together for the pairs with the same number of seeds."""
    intervals: dict[int, Interval] = {}
    for n in {len(values) for values in differences}:
        of_this_size = [i for i, values in enumerate(differences) if len(values) == n]
        samples = np.stack([differences[i] for i in of_this_size])
        found = mean_intervals(samples, level=level, resamples=resamples, seed=seed)
        intervals.update(zip(of_this_size, found, strict=True))
    return [intervals[i] for i in range(len(differences))]


def _share_of_wins(differences: np.ndarray) -> float:
    if len(differences) == 0:
        return float("nan")
    return float(np.mean((differences > 0) + 0.5 * (differences == 0)))


def _number(value: float | None) -> float:
    return float("nan") if value is None else value
