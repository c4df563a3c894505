"""When each batch was asked for, delivered and done with: what a loop leaves behind, real or simulated."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Seconds = NDArray[np.float64]


@dataclass(frozen=True)
class Timeline:
    """N batches over some epochs, in the order of delivery; times in seconds since the loop began.

    Attributes:
        asked: (N,) The consumer begins to wait. For an epoch's first batch: before its iterator is made.
        delivered: (N,) The batch is there, and its step begins.
        done: (N,) The step on it has ended, on the device where that has a clock of its own.
        epoch: (N,) Which pass of the loader delivered it.
    """

    asked: Seconds
    delivered: Seconds
    done: Seconds
    epoch: NDArray[np.int64]

    @property
    def waits(self) -> Seconds:
        """(N,) Seconds waited for each batch."""
        return self.delivered - self.asked

    @property
    def computes(self) -> Seconds:
        """(N,) Seconds of the step on each batch."""
        return self.done - self.delivered

    @property
    def firsts(self) -> NDArray[np.int64]:
        """Positions of each epoch's first batch."""
        return np.flatnonzero(np.diff(self.epoch, prepend=-1))
