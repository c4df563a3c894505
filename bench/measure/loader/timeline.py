"""The times at which a loop, real or simulated, requested, received and finished each batch."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Seconds = NDArray[np.float64]


@dataclass(frozen=True)
class Timeline:
    """N batches over some epochs, in the order of delivery; times in seconds since the loop began.

    Attributes:
        asked: (N,) When the consumer began to wait; for an epoch's first batch, before its iterator was made.
        delivered: (N,) When the batch arrived and its step began.
        done: (N,) When its step ended, by the device's own clock if it has one.
        epoch: (N,) Number of the pass that delivered it.
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
