"""Share of the variance of measurements that repeating the same measurement explains."""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Repeats:
    """Noise of measurements, from repeated ones.

    Attributes:
        share: Variance between repeats as a share of the variance between any measurements: 0 if repeats agree, 1 if
            different settings differ no more than repeats of one do.
        repeats: Measurements beyond the first of each setting: the degrees of freedom of ``share``.
    """

    share: float
    repeats: int


def repeats(values: Sequence[float] | np.ndarray, settings: Sequence[Hashable]) -> Repeats | None:
    """Return the share of the variance of measurements that lies within settings, that is between repeats.

    It is 1 minus the intraclass correlation of a one-way analysis of variance.

    Args:
        values: Finite numbers, one for each measurement.
        settings: The setting that each measurement belongs to.

    Returns:
        None if nothing was measured twice.
    """
    numbers = np.asarray(values, dtype=float)
    order = {setting: number for number, setting in enumerate(dict.fromkeys(settings))}
    groups = np.array([order[setting] for setting in settings], dtype=int)
    repeated = len(numbers) - len(order)
    if repeated < 1:
        return None
    counts = np.bincount(groups)
    means = np.bincount(groups, weights=numbers) / counts
    within = float(((numbers - means[groups]) ** 2).sum()) / repeated
    if len(order) == 1:
        return Repeats(1.0 if within > 0 else 0.0, repeated)
    between = float((counts * (means - numbers.mean()) ** 2).sum()) / (len(order) - 1)
    size = (len(numbers) - float((counts**2).sum()) / len(numbers)) / (len(order) - 1)
    total = within + max(between - within, 0.0) / size
    return Repeats(within / total if total > 0 else 0.0, repeated)
