"""An interval of a mean; `bench.statistics.intervals` computes them."""

from dataclasses import dataclass, replace
from typing import Literal


@dataclass(frozen=True)
class Interval:
    """A mean and the interval that covers the true mean in about ``level`` of all studies.

    Attributes:
        estimate: Mean of the values; None without values.
        low: Lower end; None with fewer than two values.
        high: Upper end; None with fewer than two values.
        n: Number of values.
        level: Nominal coverage.
        method: Method that gave the ends; ``equal`` is [x, x], ``none`` means that there are no ends.
    """

    estimate: float | None
    low: float | None
    high: float | None
    n: int
    level: float
    method: Literal["bootstrap_t", "student_t", "welch_t", "equal", "none"]

    def clipped(self, lowest: float, highest: float) -> "Interval":
        """Return the interval with its ends clipped to the range of the score."""
        if self.low is None or self.high is None:
            return self
        return replace(self, low=max(self.low, lowest), high=min(self.high, highest))
