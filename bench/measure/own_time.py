"""Time an optimizer's own work in its steps, without the forward and backward passes that it asks for.

The device is synchronised at each end, so the time is exact and the loop waits; the training of pose networks, which
never waits, uses `posemodel.training.throughput`.
"""

import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch.optim import Optimizer

from posemodel.device import synchronize
from posemodel.training.driving import Driver, Training, make_driven
from posemodel.training.parameter_groups import Parameters

MOST_EVALUATIONS = 4
"""Gradient evaluations to which a step of `CheapSteps` is limited, of optimizers that can be: LBFGS keeps two copies of
the weights for each."""


class OwnTime:
    """Sums the seconds of steps; a `posemodel.training.driving.StepTimer`."""

    def __init__(self, device: torch.device, seconds: float = 0.0) -> None:
        """Continue from ``seconds``."""
        self.device = device
        self.seconds = seconds

    @contextmanager
    def optimizer_step(self) -> Iterator[None]:
        """Add the time of the block."""
        began = self._now()
        yield
        self.seconds += self._now() - began

    @contextmanager
    def not_optimizer(self) -> Iterator[None]:
        """Leave out the time of the block, within one of `optimizer_step`."""
        began = self._now()
        yield
        self.seconds -= self._now() - began

    def _now(self) -> float:
        synchronize(self.device)
        return time.perf_counter()


class CheapSteps:
    """Takes steps of an optimizer on a network's parameters, with gradients that cost little, and times its own work.

    The loss is a sum of squares. Its factors differ from tensor to tensor, so that LBFGS does not end in two steps.
    """

    def __init__(
        self, network: torch.nn.Module, factory: Callable[[Parameters], Optimizer], *, steps: int | None = None
    ) -> None:
        """Make the optimizer of a run of ``steps`` gradient evaluations (None: unknown)."""
        self._weights = list(network.parameters())
        self._clock = OwnTime(self._weights[0].device)
        self.optimizer, self.driving = make_driven(factory, Training(self._weights, network, steps=steps))
        self._driver = Driver(self.optimizer, self.driving, network, self._clock)

    def step(self) -> tuple[float, int]:
        """Take a step; return the seconds of the optimizer's own work, and its number of gradient evaluations."""
        before = self._clock.seconds
        evaluations = self._driver.step(self._evaluate, remaining=MOST_EVALUATIONS)
        return self._clock.seconds - before, evaluations

    def _evaluate(self) -> torch.Tensor:
        self.optimizer.zero_grad()
        factors = enumerate((each for each in self._weights if each.requires_grad), 1)
        loss = torch.stack([factor * weight.square().sum() for factor, weight in factors]).mean()
        backward(loss, graph=self.driving.graph)
        return loss


def backward(loss: torch.Tensor, *, graph: bool) -> None:
    """Compute the gradients of a loss; ``graph``: they can be differentiated again, by a `Driver`'s optimizer."""
    if not graph:
        loss.backward()
        return
    with warnings.catch_warnings():
        # The reference cycle that PyTorch warns of is broken by the driver.
        warnings.filterwarnings("ignore", message=r"Using backward\(\) with create_graph=True")
        loss.backward(create_graph=True)
