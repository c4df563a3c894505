"""Shaffer's step-down adjustment over all pairs of optimizers: Holm's error rate with more power."""

from functools import lru_cache

import numpy as np


@lru_cache(maxsize=64)
def true_counts(groups: int) -> tuple[int, ...]:
    """Return the possible numbers of equal pairs among so many means, ascending.

    Equal means form a partition of the groups; a class of j equal means has j (j - 1) / 2 equal pairs. Three groups: 0,
    1 or 3 pairs, never 2.
    """
    if groups < 2:
        return (0,)
    counts = {size * (size - 1) // 2 + rest for size in range(1, groups + 1) for rest in true_counts(groups - size)}
    return tuple(sorted(counts))


@lru_cache(maxsize=64)
def step_factors(groups: int) -> np.ndarray:
    """Return the factor of the i-th smallest p: the maximum number of pairs that can be equal if the i pairs before it
    are not."""
    pairs = groups * (groups - 1) // 2
    counts = np.array(true_counts(groups))
    factors = counts[np.searchsorted(counts, np.arange(pairs, 0, -1), side="right") - 1]
    factors.flags.writeable = False
    return factors


def shaffer(p_values: np.ndarray, groups: int) -> np.ndarray:
    """Adjust the p values of all pairs of ``groups`` means for multiplicity (Shaffer 1986, her procedure S1).

    As in `p_values.holm` the chance of even one false claim stays under the level, for any true means. Since only some
    numbers of pairs can be equal at once, no adjusted p is larger than Holm's.

    Args:
        p_values: Array (..., pairs), each study along the leading axes with a family of its own. NaN (undefined) counts
            as a comparison that was made.
        groups: Number of means compared; pairs = groups (groups - 1) / 2.

    Returns:
        Adjusted p values in the same order, at most 1; NaN stays NaN.

    Raises:
        ValueError: The number of pairs does not fit the number of groups.
    """
    values = np.asarray(p_values, dtype=float)
    pairs = groups * (groups - 1) // 2
    if values.shape[-1] != pairs:
        raise ValueError(f"{groups} groups have {pairs} pairs, not {values.shape[-1]}")
    if pairs == 0:
        return values
    return step_down(values, step_factors(groups))


def step_down(values: np.ndarray, factors: np.ndarray) -> np.ndarray:
    """Multiply the i-th smallest p (..., pairs) by the i-th factor; adjusted values never fall, and are at most 1."""
    known = np.where(np.isnan(values), 1.0, values)
    order = np.argsort(known, axis=-1, kind="stable")
    weighted = np.take_along_axis(known, order, axis=-1) * factors
    stepped = np.minimum(np.maximum.accumulate(weighted, axis=-1), 1.0)
    adjusted = np.empty_like(known)
    np.put_along_axis(adjusted, order, stepped, axis=-1)
    return np.where(np.isnan(values), np.nan, adjusted)
