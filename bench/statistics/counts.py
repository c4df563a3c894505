"""Exact statements about small counts: the rate behind k of n, and whether several rates differ."""

from collections import Counter
from collections.abc import Sequence
from math import comb, prod

import numpy as np
from scipy import special

MOST_COUNTED = 16
"""Groups whose tables are all counted: with six trials each in a tenth of a second."""

DRAWN = 20_000
"""Tables drawn where there are more groups: the standard error of a p of 0.05 is 0.0015."""


def count_interval(count: int, n: int, *, level: float = 0.95) -> tuple[float, float]:
    """Interval of the rate behind ``count`` of ``n`` (Clopper and Pearson 1934): covers it at least as often as said.

    Args:
        count: How often it happened, 0 to n.
        n: Trials; none leave the rate anywhere in 0..1.
        level: Least coverage.

    Raises:
        ValueError: The count is not one of n trials.
    """
    if not 0 <= count <= n:
        raise ValueError(f"{count} is no count of {n}")
    tail = (1 - level) / 2
    low = float(special.betaincinv(count, n - count + 1, tail)) if count > 0 else 0.0
    high = float(special.betaincinv(count + 1, n - count, 1 - tail)) if count < n else 1.0
    return low, high


def fisher_p(counts: Sequence[int], trials: Sequence[int]) -> float:
    """p that several counts have one rate: Fisher's exact test of a table of two columns (Freeman and Halton 1951).

    The share of all tables with these sums that are at most as likely as this one, counted in whole numbers up to
    `MOST_COUNTED` groups. Above, tables are drawn at random, the same ones in every call.

    Args:
        counts: How often it happened, for each group.
        trials: Of how many, for each group.

    Returns:
        1 where it never happened, always, or there are fewer than two groups.

    Raises:
        ValueError: A count is not one of its trials.
    """
    if any(not 0 <= count <= n for count, n in zip(counts, trials, strict=True)):
        raise ValueError(f"{list(counts)} are no counts of {list(trials)}")
    if len(counts) > MOST_COUNTED:
        return _drawn_p(np.asarray(counts), np.asarray(trials))
    total = sum(counts)
    ways: Counter[tuple[int, int]] = Counter({(0, 1): 1})  # (happened so far, product of binomials): tables
    for n in trials:
        longer: Counter[tuple[int, int]] = Counter()
        for (happened, product), tables in ways.items():
            for count in range(min(n, total - happened) + 1):
                longer[happened + count, product * comb(n, count)] += tables
        ways = longer
    own = prod(comb(n, count) for count, n in zip(counts, trials, strict=True))
    as_rare = sum(
        tables * product for (happened, product), tables in ways.items() if happened == total and product <= own
    )
    return as_rare / comb(sum(trials), total)


def _drawn_p(counts: np.ndarray, trials: np.ndarray) -> float:
    tables = np.random.default_rng(0).multivariate_hypergeometric(trials, int(counts.sum()), size=DRAWN)
    own, drawn = (special.binom(trials, table) for table in (counts, tables))
    rounding = 1e-9
    as_rare = np.log(drawn).sum(axis=1) <= np.log(own).sum() + rounding
    return float((1 + as_rare.sum()) / (1 + DRAWN))
