"""p values of differences, paired or not, and Holm's correction over a family of them.

Functions whose arrays may have leading axes treat all studies along these at once.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from scipy import special

ALPHA = 0.05
"""A claim needs an adjusted p of at most this."""


def paired_t_p(differences: Sequence[float] | np.ndarray, *, least_sd: float = 0.0) -> float:
    """Two-sided p of the paired t test.

    Args:
        differences: One a seed.
        least_sd: Take the differences to spread at least this much: guards against a spread that is small by chance.

    Returns:
        1 where all differences are zero. NaN (no claim) with fewer than two, and where all are equal but not zero:
        t is undefined without spread, and a spread of zero over a handful of seeds proves nothing.
    """
    return float(paired_t_ps(np.asarray(differences, dtype=float), least_sd=least_sd))


def paired_t_ps(differences: np.ndarray, *, least_sd: np.ndarray | float = 0.0) -> np.ndarray:
    """`paired_t_p` of many samples of one size at once.

    Args:
        differences: Array (..., seeds), finite.
        least_sd: As in `paired_t_p`; one for all, or an array (...).

    Returns:
        Array (...).
    """
    values = np.ascontiguousarray(differences, dtype=float)  # a sum depends on the order in memory
    n = values.shape[-1]
    if n < 2:
        return np.full(values.shape[:-1], np.nan)
    spread = np.maximum(values.std(axis=-1, ddof=1), least_sd)
    with np.errstate(divide="ignore", invalid="ignore"):
        t = values.mean(axis=-1) / (spread / np.sqrt(n))
    without_spread = np.where(values[..., 0] == 0, 1.0, np.nan)
    return np.where(np.ptp(values, axis=-1) == 0, without_spread, _two_sided(t, n - 1))


def welch_t_p(a: Sequence[float] | np.ndarray, b: Sequence[float] | np.ndarray, *, least_sd: float = 0.0) -> float:
    """Two-sided p of the t test of two independent samples whose variances may differ (Welch 1947).

    Args:
        a: Values of the one sample, in any order.
        b: Values of the other.
        least_sd: Take each sample to spread at least this much: guards against a spread that is small by chance.

    Returns:
        NaN (no claim) where a sample has fewer than two values, and where neither varies but their means differ;
        1 where all values are equal.
    """
    a, b = np.asarray(a, dtype=float), np.asarray(b, dtype=float)
    if min(len(a), len(b)) < 2:
        return float("nan")
    error, freedom = welch_error(a, b, least_sd=least_sd)
    if error == 0:
        return 1.0 if a[0] == b[0] else float("nan")
    return float(_two_sided((a.mean() - b.mean()) / error, freedom))


def welch_error(a: np.ndarray, b: np.ndarray, *, least_sd: float = 0.0) -> tuple[float, float]:
    """Standard error of the difference of two means, and its degrees of freedom (Welch and Satterthwaite).

    Both samples have two values or more. Without any spread the error is 0 and the degrees are NaN.
    """
    if np.ptp(a) == 0 and np.ptp(b) == 0:
        return 0.0, float("nan")
    of_a, of_b = (max(values.var(ddof=1), least_sd**2) / len(values) for values in (a, b))
    freedom = (of_a + of_b) ** 2 / (of_a**2 / (len(a) - 1) + of_b**2 / (len(b) - 1))
    return float(np.sqrt(of_a + of_b)), float(freedom)


def _two_sided(t: np.ndarray | float, freedom: float) -> np.ndarray | float:
    return 2 * special.stdtr(freedom, -np.abs(t))


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
    ranks = pd.Series(np.abs(values)).rank().to_numpy()
    doubled_ranks = np.rint(2 * ranks).astype(int)  # doubled: ties have half ranks
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
        p_values: One a comparison, or an array (..., comparisons): each study along the leading axes has a family of
            its own. NaN (undefined) counts as a comparison that was made.

    Returns:
        Adjusted p values in the same order, at most 1; NaN stays NaN.
    """
    values = np.asarray(p_values, dtype=float)
    if values.size == 0:
        return values
    known = np.where(np.isnan(values), 1.0, values)
    order = np.argsort(known, axis=-1, kind="stable")
    weighted = np.take_along_axis(known, order, axis=-1) * np.arange(values.shape[-1], 0, -1)
    stepped = np.minimum(np.maximum.accumulate(weighted, axis=-1), 1.0)
    adjusted = np.empty_like(known)
    np.put_along_axis(adjusted, order, stepped, axis=-1)
    return np.where(np.isnan(values), np.nan, adjusted)
