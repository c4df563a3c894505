"""p values of paired and unpaired differences, and Holm's correction for several comparisons."""

from collections.abc import Sequence

import numpy as np
from scipy import special

from bench.statistics.shaffer import step_down


def paired_t_p(differences: Sequence[float] | np.ndarray) -> float:
    """Return the two-sided p of the paired t test.

    Args:
        differences: One for each seed, finite.

    Returns:
        1 if all differences are zero. NaN (no claim) with fewer than two, and if all are equal but not zero: t is
        undefined without spread, and a spread of zero over a handful of seeds proves nothing.
    """
    values = np.asarray(differences, dtype=float)
    if len(values) < 2:
        return float("nan")
    if np.ptp(values) == 0:
        return 1.0 if values[0] == 0 else float("nan")
    t = values.mean() / (values.std(ddof=1) / np.sqrt(len(values)))
    return float(_two_sided(t, len(values) - 1))


def welch_t_p(a: Sequence[float] | np.ndarray, b: Sequence[float] | np.ndarray, *, least_sd: float = 0.0) -> float:
    """Return the two-sided p of the t test of two independent samples whose variances may differ (Welch 1947).

    Args:
        a: Values of one sample, in any order.
        b: Values of the other.
        least_sd: Minimum standard deviation assumed for each sample, against a spread that is small by chance.

    Returns:
        NaN (no claim) if a sample has fewer than two values, and if neither varies but their means differ; 1 if all
        values are equal.
    """
    a, b = np.asarray(a, dtype=float), np.asarray(b, dtype=float)
    if min(len(a), len(b)) < 2:
        return float("nan")
    error, freedom = welch_error(a, b, least_sd=least_sd)
    if error == 0:
        return 1.0 if a[0] == b[0] else float("nan")
    return float(_two_sided((a.mean() - b.mean()) / error, freedom))


def welch_error(a: np.ndarray, b: np.ndarray, *, least_sd: float = 0.0) -> tuple[float, float]:
    """Return the standard error of the difference of two means, and its degrees of freedom (Welch and Satterthwaite).

    Both samples have two values or more. Without any spread the error is 0 and the degrees are NaN.
    """
    if np.ptp(a) == 0 and np.ptp(b) == 0:
        return 0.0, float("nan")
    of_a, of_b = (max(values.var(ddof=1), least_sd**2) / len(values) for values in (a, b))
    freedom = (of_a + of_b) ** 2 / (of_a**2 / (len(a) - 1) + of_b**2 / (len(b) - 1))
    return float(np.sqrt(of_a + of_b)), float(freedom)


def _two_sided(t: np.ndarray | float, freedom: float) -> np.ndarray | float:
    return 2 * special.stdtr(freedom, -np.abs(t))


def holm(p_values: Sequence[float] | np.ndarray) -> np.ndarray:
    """Adjust p values for multiplicity (Holm 1979): the chance of even one false claim stays under the level.

    Args:
        p_values: One for each comparison, or an array (..., comparisons): each study along the leading axes has a
            family of its own. NaN (undefined) counts as a comparison that was made.

    Returns:
        Adjusted p values in the same order, at most 1; NaN stays NaN.
    """
    values = np.asarray(p_values, dtype=float)
    if values.size == 0:
        return values
    return step_down(values, np.arange(values.shape[-1], 0, -1))
