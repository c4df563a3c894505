"""How much of the spread of measurements is that of measuring the same thing again."""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Repeats:
    """What repeated measurements say of the others.

    Attributes:
        share: Variance between measurements of the same thing, as a share of that between measurements of any things:
            0 where repeats agree, 1 where things differ no more than their repeats do.
        repeats: Measurements beyond the first of each thing: the degrees of freedom behind it.
    """

    share: float
    repeats: int


def repeats(values: Sequence[float] | np.ndarray, things: Sequence[Hashable]) -> Repeats | None:
    """The share of variance within things: 1 less the intraclass correlation of a one-way analysis of variance.

    Args:
        values: Finite numbers, a measurement each.
        things: What each is a measurement of.

    Returns:
        None where nothing was measured twice.
    """
    numbers = np.asarray(values, dtype=float)
    order = {thing: place for place, thing in enumerate(dict.fromkeys(things))}
    groups = np.array([order[thing] for thing in things], dtype=int)
    spare = len(numbers) - len(order)
    if spare < 1:
        return None
    counts = np.bincount(groups)
    means = np.bincount(groups, weights=numbers) / counts
    within = float(((numbers - means[groups]) ** 2).sum()) / spare
    if len(order) == 1:
        return Repeats(1.0 if within > 0 else 0.0, spare)
    between = float((counts * (means - numbers.mean()) ** 2).sum()) / (len(order) - 1)
    size = (len(numbers) - float((counts**2).sum()) / len(numbers)) / (len(order) - 1)
    total = within + max(between - within, 0.0) / size
    return Repeats(within / total if total > 0 else 0.0, spare)
