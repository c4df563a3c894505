"""Every optimizer against every other, paired by seed: which differences are more than noise?"""

from collections.abc import Iterable
from functools import lru_cache
from itertools import combinations

import numpy as np
import pandas as pd
from scipy import special

from bench.analysis.intervals import DIFFERENCE_DECIMALS, Interval, mean_intervals
from bench.analysis.p_values import holm, paired_t_p, signed_rank_p, smallest_signed_rank_p

ALPHA = 0.05
"""A claim needs an adjusted p of at most this."""

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
    differences = [_paired_differences(scores, a, b) for a, b in pairs]
    intervals = _intervals(differences, level, resamples, seed)
    t_p = np.array([paired_t_p(values) for values in differences])
    t_adjusted = np.fmax(holm(t_p), holm(_cautious_t_p(differences)))
    wilcoxon_p = np.array([signed_rank_p(values) for values in differences])
    wilcoxon_adjusted = holm(wilcoxon_p)
    # Holm is monotone in every p: with all pairs at their least, each adjusted p is at its least.
    wilcoxon_smallest = holm([smallest_signed_rank_p(len(values)) for values in differences])
    rows = []
    for i, ((a, b), values, interval) in enumerate(zip(pairs, differences, intervals, strict=True)):
        claimed = t_adjusted[i] <= alpha  # False for NaN
        rows.append(
            {
                "a": a,
                "b": b,
                "n": len(values),
                "mean_difference": _number(interval.estimate),
                "low": _number(interval.low),
                "high": _number(interval.high),
                "sd_difference": spread(values),
                "t_p": t_p[i],
                "t_p_adjusted": t_adjusted[i],
                "wilcoxon_p": wilcoxon_p[i],
                "wilcoxon_p_adjusted": wilcoxon_adjusted[i],
                "wilcoxon_smallest_adjusted_p": wilcoxon_smallest[i],
                "probability_of_improvement": _share_of_wins(values),
                "better": ("a" if values.mean() > 0 else "b") if claimed else "",
            }
        )
    return pd.DataFrame(rows, columns=list(COLUMNS))


def usual_spread(samples: Iterable[np.ndarray]) -> float:
    """Median standard deviation of the samples that have two values or more; 0 where none has."""
    spreads = [spread(values) for values in samples if len(values) > 1]
    return float(np.median(spreads)) if spreads else 0.0


def spread(values: np.ndarray) -> float:
    """Standard deviation of a sample: exactly 0 where all values are equal, NaN below two values."""
    if len(values) < 2:
        return float("nan")
    return float(values.std(ddof=1)) if np.ptp(values) else 0.0


def cautious_spread(values: np.ndarray, usual: float) -> float:
    """What the values are taken to spread at least, where samples beside them usually spread ``usual``."""
    if len(values) < MIN_TRUSTED_SPREAD_N:
        return usual
    own = spread(values)
    return min(SMALL_SPREAD * usual, DOUBT * own)


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
    from scipy.optimize import brentq

    critical = special.stdtrit(n - 1, 1 - alpha / (2 * pairs))
    # Over the distribution of the estimated spread, at its midpoint quantiles: robust where nct fails (n = 2, 3).
    estimated = np.sqrt(2 * special.gammaincinv((n - 1) / 2, (np.arange(2000) + 0.5) / 2000) / (n - 1))

    def missing_power(noncentrality: float) -> float:
        return float(special.ndtr(noncentrality - critical * estimated).mean()) - power

    return float(brentq(missing_power, 0, 10 * (critical + 10)))


def _paired_differences(scores: pd.DataFrame, a: str, b: str) -> np.ndarray:
    differences = scores[a].to_numpy(dtype=float) - scores[b].to_numpy(dtype=float)
    return np.round(differences[~np.isnan(differences)], DIFFERENCE_DECIMALS)


def _cautious_t_p(differences: list[np.ndarray]) -> np.ndarray:
    """p of each pair by the rule of `cautious_spread`."""
    usual = usual_spread(differences)
    return np.array([paired_t_p(values, least_sd=cautious_spread(values, usual)) for values in differences])


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
