"""How a training loop drives an optimizer whose step needs more than the gradients of one backward pass.

Four conventions of the field are known: `step(closure)`, where the closure computes the loss and its gradients again
(LBFGS, sharpness-aware minimisation); gradients that can be differentiated again (AdaHessian); `train()` and `eval()`,
which switch between the weights that are trained and those that are judged (schedule-free methods); and constructors
that want more than parameters: the network, or numbers of the run.

A gradient evaluation is one forward and backward pass over the batches of a step, or one product of the Hessian with a
vector. Budgets count these, so that methods with several in a step take fewer steps.
"""

import inspect
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Protocol

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from posemodel.training.optimizer_maker import ClosureUse, Driving, OptimizerMaker, Training
from posemodel.training.parameter_groups import Parameters

__all__ = [
    "ClosureUse",
    "Driver",
    "Driving",
    "OptimizerMaker",
    "StepTimer",
    "Training",
    "has_modes",
    "make_driven",
    "recognised",
]


def make_driven(factory: Callable[[Parameters], Optimizer], training: Training) -> tuple[Optimizer, Driving]:
    """Make the optimizer of a run; a plain function gets the parameters, and `recognised` says how it is driven."""
    if isinstance(factory, OptimizerMaker):
        return factory.make(training), factory.driving
    optimizer = factory(training.parameters)
    driving = recognised(optimizer)
    if driving.modes:
        optimizer.train()  # type: ignore[attr-defined]
    return optimizer, driving


def recognised(optimizer: Optimizer) -> Driving:
    """Recognise how an optimizer is driven by its methods; what they do not show must be said (`OptimizerMaker`).

    It has modes if it has `train()` and `eval()`; it needs a closure if its `step` requires one, and gradients before
    that if it has `first_step` and `second_step`; it needs a graph if `is_second_order` is set (as `timm` does).
    """
    two_steps = all(callable(getattr(optimizer, name, None)) for name in ("first_step", "second_step"))
    closure: ClosureUse = "after_gradients" if two_steps else "only" if _requires_closure(optimizer) else "unused"
    return Driving(closure, graph=bool(getattr(optimizer, "is_second_order", False)), modes=has_modes(optimizer))


def has_modes(optimizer: object) -> bool:
    """Return whether an optimizer has `train()` and `eval()`."""
    return callable(getattr(optimizer, "train", None)) and callable(getattr(optimizer, "eval", None))


def _requires_closure(optimizer: Optimizer) -> bool:
    try:
        parameter = inspect.signature(type(optimizer).step).parameters.get("closure")
    except (TypeError, ValueError):
        return False
    return parameter is not None and parameter.default is parameter.empty


class StepTimer(Protocol):
    """Times the optimizer's own part of a step; `posemodel.training.throughput.ThroughputMeter` is one."""

    def optimizer_step(self) -> AbstractContextManager[None]:
        """Time the block."""

    def not_optimizer(self) -> AbstractContextManager[None]:
        """Leave the block, within one that is timed, out of the time."""


class _NoTimer:
    def optimizer_step(self) -> AbstractContextManager[None]:
        return nullcontext()

    def not_optimizer(self) -> AbstractContextManager[None]:
        return nullcontext()


class Driver:
    """Takes an optimizer's steps as its convention asks, and counts the gradient evaluations."""

    def __init__(
        self, optimizer: Optimizer, driving: Driving, network: nn.Module, timer: StepTimer | None = None
    ) -> None:
        """Drive ``optimizer`` of the parameters of ``network``; ``timer`` gets the time of its own work."""
        self.optimizer, self.driving, self.network = optimizer, driving, network
        self._timer: StepTimer = timer or _NoTimer()
        self._norms = [each for each in network.modules() if isinstance(each, nn.modules.batchnorm._BatchNorm)]
        self._own_limits = [group.get("max_eval") for group in optimizer.param_groups]

    def step(self, evaluate: Callable[[], Tensor], *, remaining: int | None = None) -> int:
        """Take one step and return its number of gradient evaluations.

        Args:
            evaluate: Clears the gradients, computes the loss at the present weights and its gradients (with their graph
                if ``driving.graph`` is set), and returns the loss.
            remaining: Gradient evaluations left in the budget; LBFGS is limited to that many, and may need one more.
        """
        count = 0

        def closure() -> Tensor:
            nonlocal count
            # Batch norm counts each image once, at the weights that are trained.
            with (
                torch.enable_grad(),
                self._timer.not_optimizer(),
                self._frozen_statistics() if count else nullcontext(),
            ):
                loss = evaluate()
            count += 1
            return loss.detach()

        self._limit(remaining)
        if self.driving.closure != "only":
            with torch.enable_grad():
                evaluate()
            count += 1
        products = self._counted_products() if self.driving.graph else []
        with self._timer.optimizer_step():
            if self.driving.closure == "unused":
                self.optimizer.step()
            else:
                self.optimizer.step(closure)  # type: ignore[arg-type]
        if self.driving.graph:
            self.network.zero_grad(set_to_none=True)  # a gradient and its graph hold each other in memory
        return count + len(products)

    def _counted_products(self) -> list[None]:
        """Return a list that grows by one with each product of the Hessian with a vector.

        Each product is a backward pass through all gradients, so that a hook at one of them sees it.
        """
        products: list[None] = []
        gradient = next((each.grad for each in self.network.parameters() if each.grad is not None), None)
        if gradient is not None and gradient.requires_grad:
            gradient.register_hook(lambda _gradient: products.append(None))
        return products

    def _limit(self, remaining: int | None) -> None:
        for group, own in zip(self.optimizer.param_groups, self._own_limits, strict=False):
            if isinstance(own, int):
                group["max_eval"] = own if remaining is None else max(1, min(own, remaining))

    @contextmanager
    def _frozen_statistics(self) -> Iterator[None]:
        momenta = [norm.momentum for norm in self._norms]
        for norm in self._norms:
            norm.momentum = 0.0
        try:
            yield
        finally:
            for norm, momentum in zip(self._norms, momenta, strict=True):
                norm.momentum = momentum

    @contextmanager
    def judged(self) -> Iterator[None]:
        """Within the block the network has the weights that are judged; after it, exactly those that are trained.

        `eval()` and `train()` alone restore them only but for rounding, so that validations would change a training.
        """
        if not self.driving.modes:
            yield
            return
        trained = [each.detach().clone() for each in self.network.parameters()]
        self.optimizer.eval()  # type: ignore[attr-defined]
        try:
            yield
        finally:
            self.optimizer.train()  # type: ignore[attr-defined]
            with torch.no_grad():
                for parameter, kept in zip(self.network.parameters(), trained, strict=True):
                    parameter.copy_(kept)

    def end(self) -> None:
        """Leave the network with the weights that are judged."""
        if self.driving.modes:
            self.optimizer.eval()  # type: ignore[attr-defined]
