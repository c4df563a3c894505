"""Exponential moving average of a network's weights, which is validated and saved if `ema_decay` is set."""

import copy
from collections.abc import Mapping
from typing import Any

import torch

from posemodel.errors import CheckpointError
from posemodel.network import PoseNetwork


def decay_at(update: int, decay: float) -> float:
    """Return the decay of update number n (1 for the first after the start): min(decay, (1 + n) / (10 + n)).

    With this warm-up (the one of TensorFlow's ExponentialMovingAverage) a run's first, poor weights leave the average
    sooner than after some 1 / (1 - decay) steps.
    """
    return min(decay, (1 + update) / (10 + update))


class WeightAverage:
    """Average of the weights: after each step d * average + (1 - d) * weights, with d from `decay_at`.

    The average begins with the weights of the first step. PyTorch's AveragedModel is not used, because it waits for the
    device in each update to move its counter there.
    """

    def __init__(self, network: PoseNetwork, decay: float) -> None:
        """Average the weights of ``network`` from its next step on; 0 < ``decay`` < 1."""
        self.decay = decay
        self.updates = 0
        self._trained = network
        self._network = copy.deepcopy(network).eval()

    @torch.no_grad()
    def update(self) -> None:
        """Add the current weights to the average, without waiting for the device."""
        keep = decay_at(self.updates, self.decay) if self.updates else 0.0
        averaged: list[torch.Tensor] = [*self._network.parameters()]
        torch._foreach_lerp_(averaged, [*self._trained.parameters()], 1 - keep)
        self.updates += 1

    @torch.no_grad()
    def network(self) -> PoseNetwork:
        """The averaged weights, with the current buffers (batch norm's statistics) of the trained network."""
        for own, trained in zip(self._network.buffers(), self._trained.buffers(), strict=True):
            own.copy_(trained)
        return self._network

    def state_dict(self) -> dict[str, Any]:
        """The average as plain data, for a resumed run."""
        return {"updates": self.updates, "network": self._network.state_dict()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore the average from `state_dict`; CheckpointError if it holds none."""
        if not isinstance(state, Mapping) or {"updates", "network"} - state.keys():
            raise CheckpointError("the state has no averaged weights.")
        self.updates = int(state["updates"])
        self._network.load_state_dict(state["network"])
