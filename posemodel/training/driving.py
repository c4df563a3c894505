"""How a training loop drives an optimizer whose step needs more than the gradients of one backward pass.

Four conventions of the field are known: `step(closure)`, where the closure computes the loss and its gradients again
(LBFGS, sharpness-aware minimisation); gradients that can be differentiated again (AdaHessian); `train()` and `eval()`,
which switch between the weights that are trained and those that are judged (schedule-free methods); and constructors
that want more than parameters: the network, or numbers of the run.

A gradient evaluation is one forward and backward pass over the batches of a step, or one product of the Hessian with a
vector. Budgets count these, so that methods with several in a step take fewer steps.
"""

import inspect
import warnings
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import replace
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.optim import LBFGS, Optimizer

from posemodel.training.joined import on_views
from posemodel.training.optimizer_maker import ORDINARY, ClosureUse, Driving, OptimizerMaker, Training, has_modes
from posemodel.training.parameter_groups import Parameters

__all__ = [
    "ORDINARY",
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
    """Make the optimizer of a run; a plain function gets the parameters, and `recognised` says how it is driven.

    LBFGS, which flattens weights with `view`, gets them in the order of memory.
    """
    if isinstance(factory, OptimizerMaker):
        return factory.make(training), factory.driving
    parameters: Any = list(training.parameters)  # a generator is read once
    optimizer = factory(parameters)
    driving = recognised(optimizer)
    if isinstance(optimizer, LBFGS):
        optimizer = on_views(lambda viewed: factory(viewed.parameters))(replace(training, parameters=parameters))
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
    return Driving(
        closure,
        graph=bool(getattr(optimizer, "is_second_order", False)),
        modes=has_modes(optimizer),
    )


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

    def step(self, evaluate: Callable[[], Tensor], *, remaining: int | None = None) -> int:
        """Take one step and return its number of gradient evaluations.

        Args:
            evaluate: Clears the gradients, computes the loss at the present weights and its gradients (with their graph
                if ``driving.graph`` is set), and returns the loss. From the second call on, batch norm does not track
                its statistics: it counts each image once, at the weights that are trained.
            remaining: Gradient evaluations left in the budget. LBFGS (any optimizer with `max_eval` in its groups) is
                limited to that many: it may need one more, and finishes a line search that it has begun.
        """
        evaluations = 0
        products: list[None] = []

        def closure() -> Tensor:
            nonlocal evaluations
            with (
                torch.enable_grad(),
                self._timer.not_optimizer(),
                self._frozen_statistics() if evaluations else nullcontext(),
            ):
                loss = self._gradients(evaluate, products)
            evaluations += 1
            return loss.detach()

        if self.driving.closure != "only":
            with torch.enable_grad():
                self._gradients(evaluate, products)
            evaluations += 1
        with self._limited(remaining), self._timer.optimizer_step():
            if self.driving.closure == "unused":
                self.optimizer.step()
            else:
                self.optimizer.step(closure)  # type: ignore[arg-type]
        if self.driving.graph:
            self.network.zero_grad()
        # A step without any evaluation uses budget too: otherwise a run of such steps would never end.
        return max(evaluations + len(products), 1)

    def _gradients(self, evaluate: Callable[[], Tensor], products: list[None]) -> Tensor:
        """Evaluate, and let ``products`` grow by one with each product of the Hessian with a vector that follows.

        Each product is a backward pass through all gradients, so that a hook at one of them sees it.
        """
        if not self.driving.graph:
            return evaluate()
        with warnings.catch_warnings():
            # PyTorch warns of gradients and graphs that hold each other in memory: `step` lets them go.
            warnings.filterwarnings("ignore", message=r"Using backward\(\) with create_graph=True")
            loss = evaluate()
        gradient = next((each.grad for each in self.network.parameters() if each.grad is not None), None)
        if gradient is not None and gradient.requires_grad:
            gradient.register_hook(lambda _gradient: products.append(None))
        return loss

    @contextmanager
    def _limited(self, remaining: int | None) -> Iterator[None]:
        """Limit `max_eval` of the optimizer's groups within the block; saved states keep the group's own."""
        limits = [(group, group["max_eval"]) for group in self.optimizer.param_groups if "max_eval" in group]
        limits = [(group, own) for group, own in limits if isinstance(own, int) and remaining is not None]
        for group, own in limits:
            group["max_eval"] = max(1, min(own, remaining or 0))
        try:
            yield
        finally:
            for group, own in limits:
                group["max_eval"] = own

    @contextmanager
    def _frozen_statistics(self) -> Iterator[None]:
        tracking = [norm for norm in self._norms if norm.track_running_stats]
        for norm in tracking:
            norm.track_running_stats = False
        try:
            yield
        finally:
            for norm in tracking:
                norm.track_running_stats = True

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
