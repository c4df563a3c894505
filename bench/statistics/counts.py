"""Exact statistics of small counts: the interval of a rate, and the test that several rates are equal."""

from collections import Counter
from collections.abc import Sequence
from math import comb, prod

import numpy as np
from scipy import special

MOST_COUNTED = 16
"""Maximum number of groups for which all tables are enumerated; with six trials each that takes a tenth of a second."""

DRAWN = 20_000
"""Number of random tables that are drawn for more groups; the standard error of a p of 0.05 is then 0.0015."""


def count_interval(count: int, n: int, *, level: float = 0.95) -> tuple[float, float]:
    """Return the exact interval of the rate behind ``count`` of ``n`` (Clopper and Pearson 1934).

    Args:
        count: Number of events, 0 to n.
        n: Number of trials; with 0 the interval is 0..1.
        level: Minimum coverage.

    Raises:
        ValueError: The count is not between 0 and n.
    """
    if not 0 <= count <= n:
        raise ValueError(f"count must lie between 0 and {n}, not {count}")
    tail = (1 - level) / 2
    low = float(special.betaincinv(count, n - count + 1, tail)) if count > 0 else 0.0
    high = float(special.betaincinv(count + 1, n - count, 1 - tail)) if count < n else 1.0
    return low, high


def fisher_p(counts: Sequence[int], trials: Sequence[int]) -> float:
    """Return the p value that several groups share one rate: Fisher's exact test (Freeman and Halton 1951).

    It is the share of all tables with the same sums that are at most as likely as this one, enumerated in whole numbers
    up to `MOST_COUNTED` groups. For more groups, tables are drawn at random, the same ones in every call.

    Args:
        counts: Number of events of each group.
        trials: Number of trials of each group.

    Returns:
        1 if events never or always happened, or with fewer than two groups.

    Raises:
        ValueError: A count is not between 0 and its trials.
    """
    if any(not 0 <= count <= n for count, n in zip(counts, trials, strict=True)):
        raise ValueError(f"each of the counts {list(counts)} must lie between 0 and its trials {list(trials)}")
    if len(counts) > MOST_COUNTED:
        return _drawn_p(np.asarray(counts), np.asarray(trials))
    total = sum(counts)
    ways: Counter[tuple[int, int]] = Counter({(0, 1): 1})  # (events so far, product of binomials): number of tables
    for n in trials:
        longer: Counter[tuple[int, int]] = Counter()
        for (events, product), tables in ways.items():
            for count in range(min(n, total - events) + 1):
                longer[events + count, product * comb(n, count)] += tables
        ways = longer
    own = prod(comb(n, count) for count, n in zip(counts, trials, strict=True))
    as_unlikely = sum(
        tables * product for (events, product), tables in ways.items() if events == total and product <= own
    )
    return as_unlikely / comb(sum(trials), total)


def _drawn_p(counts: np.ndarray, trials: np.ndarray) -> float:
    tables = np.random.default_rng(0).multivariate_hypergeometric(trials, int(counts.sum()), size=DRAWN)
    own, drawn = (special.binom(trials, table) for table in (counts, tables))
    rounding = 1e-9
    as_unlikely = np.log(drawn).sum(axis=1) <= np.log(own).sum() + rounding
    return float((1 + as_unlikely.sum()) / (1 + DRAWN))
