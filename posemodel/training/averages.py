"""An exponential moving average of a network's weights: what is validated and saved where `ema_decay` is given."""

import copy
from collections.abc import Mapping
from typing import Any

import torch

from posemodel.errors import CheckpointError
from posemodel.network import PoseNetwork


def decay_at(update: int, decay: float) -> float:
    """The decay of an update, the first after the start being number 1: min(decay, (1 + n) / (10 + n)).

    A run's first weights are soon worth nothing: the warm-up (that of TensorFlow's ExponentialMovingAverage) keeps them
    from weighing on the average for the 1 / (1 - decay) steps that it looks back on.
    """
    return min(decay, (1 + update) / (10 + update))


class WeightAverage:
    """average = d * average + (1 - d) * weights after each step, d being `decay_at`; the first step's weights begin it.

    Not PyTorch's AveragedModel, which moves its counter to the device in each update and waits for that.
    """

    def __init__(self, network: PoseNetwork, decay: float) -> None:
        """Averages the weights of ``network`` from its next step on; 0 < ``decay`` < 1."""
        self.decay = decay
        self.updates = 0
        self._trained = network
        self._network = copy.deepcopy(network).eval()

    @torch.no_grad()
    def update(self) -> None:
        """Take in the weights as they are now; nothing waits for the device."""
        keep = decay_at(self.updates, self.decay) if self.updates else 0.0
        averaged = [*self._network.parameters()]
        torch._foreach_lerp_(averaged, [*self._trained.parameters()], 1 - keep)
        self.updates += 1

    @torch.no_grad()
    def network(self) -> PoseNetwork:
        """The averaged weights with the buffers (batch norm's statistics) that the trained network has now."""
        for own, trained in zip(self._network.buffers(), self._trained.buffers(), strict=True):
            own.copy_(trained)
        return self._network

    def state_dict(self) -> dict[str, Any]:
        """What a resumed run needs."""
        return {"updates": self.updates, "network": self._network.state_dict()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """The inverse of ``state_dict``; CheckpointError where it is no average."""
        if not isinstance(state, Mapping) or {"updates", "network"} - state.keys():
            raise CheckpointError("the state has no averaged weights.")
        self.updates = int(state["updates"])
        self._network.load_state_dict(state["network"])
