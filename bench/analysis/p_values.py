"""p values of paired differences, and Holm's correction over a family of them."""

from collections.abc import Sequence

import numpy as np
from scipy import stats


def paired_t_p(differences: Sequence[float] | np.ndarray, *, least_sd: float = 0.0) -> float:
    """Two-sided p of the paired t test.

    Args:
        differences: One a seed.
        least_sd: Take the differences to spread at least this much: guards against a spread that is small by chance.

    Returns:
        1 where all differences are zero. NaN (no claim) with fewer than two, and where all are equal but not zero:
        t is undefined without spread, and a spread of zero over a handful of seeds proves nothing.
    """
    values = np.asarray(differences, dtype=float)
    n = len(values)
    if n < 2:
        return float("nan")
    if np.ptp(values) == 0:
        return 1.0 if values[0] == 0 else float("nan")
    t = values.mean() / (max(values.std(ddof=1), least_sd) / np.sqrt(n))
    return float(2 * stats.t.sf(abs(t), n - 1))


def signed_rank_p(differences: Sequence[float] | np.ndarray) -> float:
    """Two-sided exact p of Wilcoxon's signed-rank test, ties included.

    SciPy's method depends on its version, on n and on ties; this one is the exact sign-flip distribution at any n:
    each rank is positive or negative with probability one half. Zeros are left out (Wilcoxon's rule).

    Args:
        differences: One a seed.

    Returns:
        1 where all differences are zero; NaN without differences.
    """
    values = np.asarray(differences, dtype=float)
    if len(values) == 0:
        return float("nan")
    values = values[values != 0]
    doubled_ranks = np.rint(2 * stats.rankdata(np.abs(values))).astype(int)  # doubled: ties have half ranks
    total = int(doubled_ranks.sum())
    ways = np.zeros(total + 1)
    ways[0] = 1
    for rank in doubled_ranks:
        ways[rank:] = ways[rank:] + ways[: total + 1 - rank]
    positive = int(doubled_ranks[values > 0].sum())
    tail = ways[: min(positive, total - positive) + 1].sum() / 2.0 ** len(values)
    return float(min(1.0, 2 * tail))


def smallest_signed_rank_p(n: int) -> float:
    """Smallest two-sided p that the signed-rank test can reach with n differences; NaN without any."""
    return min(1.0, 2.0 ** (1 - n)) if n > 0 else float("nan")


def holm(p_values: Sequence[float] | np.ndarray) -> np.ndarray:
    """Adjust p values for multiplicity (Holm 1979): the chance of even one false claim stays under the level.

    Args:
        p_values: One a comparison. NaN (undefined) counts as a comparison that was made.

    Returns:
        Adjusted p values in the same order, at most 1; NaN stays NaN.
    """
    values = np.asarray(p_values, dtype=float)
    if len(values) == 0:
        return values
    known = np.where(np.isnan(values), 1.0, values)
    order = np.argsort(known, kind="stable")
    stepped = np.maximum.accumulate(known[order] * np.arange(len(known), 0, -1))
    adjusted = np.empty_like(known)
    adjusted[order] = np.minimum(stepped, 1.0)
    return np.where(np.isnan(values), np.nan, adjusted)
