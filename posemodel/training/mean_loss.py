"""Mean loss of the batches since the last report; its sum is part of a run's state, so that no report starts anew."""

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor


class MeanLoss:
    """Sum of the losses of the batches since `take`, kept on their device."""

    def __init__(self, device: torch.device) -> None:
        """``device``: that of the losses."""
        self._sum = torch.zeros((), device=device)
        self.batches = 0
        """Number of losses since `take`."""

    def add(self, loss: Tensor) -> None:
        """Add the loss of a batch, a scalar tensor, without waiting for the device."""
        self._sum += loss.detach()
        self.batches += 1

    def take(self) -> float:
        """Return the mean of the losses since the last call; waits for the device."""
        mean = (self._sum / self.batches).item()
        self._sum.zero_()
        self.batches = 0
        return mean

    def share(self, mean: Callable[[float], float]) -> None:
        """Replace the sum by its mean over several processes, so that the state of each can be restored in all of them.

        The mean over the processes of what they `take` later stays the same. Waits for the device.

        Args:
            mean: Returns the mean of a number over the processes; all of them call it.
        """
        self._sum.fill_(mean(self._sum.item()))

    def state_dict(self) -> dict[str, Any]:
        """Return the sum and the number of losses, for a run that is resumed."""
        return {"sum": self._sum, "batches": self.batches}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore what `state_dict` returned."""
        self._sum.copy_(state["sum"])
        self.batches = state["batches"]
