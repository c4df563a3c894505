"""Check that an optimizer can train a convolutional network in an ordinary loop, by steps on small weights.

An ordinary loop computes dense gradients once, for weights of any shape, then calls ``step()``; a schedule changes
``lr`` between steps, and the weights that are trained are also scored and saved. Errors name what the optimizer lacks.
"""

import inspect
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
from torch.nn import Parameter
from torch.optim import Optimizer

from bench.optimizers.entry import OptimizerEntry
from posemodel.errors import SettingsError

Make = Callable[[Iterable[Parameter]], Optimizer]
CONVOLUTION, BIAS = (2, 3, 3, 3), (2,)
MATRIX = (3, 4)
GRADIENT = 0.5
STEPS = 5
"""Number of steps within which some weight must change."""
MIN_VISIBLE_LR = 1e-4
"""Smaller learning rates may change a weight of 1 by less than float32 can represent."""
WRAPPED = ("optimizer", "base_optimizer", "inner_optimizer", "base_opt", "opt")
"""Names of a first argument that is another optimizer."""

CLOSURE = (
    "it needs a closure that computes the loss again, which an ordinary training loop, with one forward and one "
    "backward pass a step, does not provide"
)
SPARSE = "it accepts only sparse gradients; those of convolutions are dense"
MATRICES = "it trains only matrices; the weights of convolutions have 4 dimensions, biases have 1"
SECOND_ORDER = "it needs second derivatives (backward with create_graph=True), which an ordinary loop does not compute"
SWITCHES = (
    "it switches its weights between training and evaluation (train() and eval(), as schedule-free optimizers do); "
    "here the weights that are trained are scored, averaged and saved as they are, and a schedule sets the learning "
    "rate"
)
STILL = "its step changes no weight. Does it need a closure?"
WRAPPER = (
    "is a wrapper around another optimizer, whose class and settings are not known here. Write a class derived from "
    "torch.optim.Optimizer that builds the other one itself"
)


def wraps(optimizer_class: type[Any]) -> bool:
    """Return whether a class wraps another optimizer: its constructor takes an optimizer or an optimizer class."""
    try:
        arguments = [*inspect.signature(optimizer_class).parameters.values()]
    except (TypeError, ValueError):
        return False
    needed = [each.name for each in arguments if each.default is each.empty and "optimizer" in each.name]
    return bool(needed) or any(each.name in WRAPPED for each in arguments[:1])


def check_trains(entry: OptimizerEntry, hyperparameters: Mapping[str, Any]) -> None:
    """Check that an optimizer trains a network, by steps on a convolution's weight and a bias; SettingsError says why
    not."""
    make = entry.factory(hyperparameters)
    built: list[Optimizer] = []

    def remember(parameters: Iterable[Parameter]) -> Optimizer:
        built.append(make(parameters))
        return built[-1]

    try:
        optimizer, weights = step_on(remember, (CONVOLUTION, BIAS))
    except Exception as error:
        message = str(error).rstrip(".")
        why = why_unfit(make, error)
        if why:
            raise SettingsError(
                f"optimizer {entry.name}: cannot train a convolutional network: {why} "
                f"({type(error).__name__}: {message})."
            ) from error
        if not built and isinstance(error, ValueError):  # the class's own message for a value out of range
            raise SettingsError(f"optimizer {entry.name}: {message}.") from error
        raise SettingsError(
            f"optimizer {entry.name}: cannot train a network: its step on a weight of 4 dimensions and a bias fails "
            f"with {type(error).__name__}: {message}."
        ) from error
    if switches(optimizer):
        raise SettingsError(f"optimizer {entry.name}: is not supported: {SWITCHES}.")
    if not all("lr" in group for group in optimizer.param_groups):
        raise SettingsError(f"optimizer {entry.name}: its param_groups have no `lr` for a schedule to change.")
    if stands_still(optimizer, weights):
        raise SettingsError(f"optimizer {entry.name}: cannot train a network: {STILL}")


def step_on(make: Make, shapes: Iterable[tuple[int, ...]]) -> tuple[Optimizer, list[Parameter]]:
    """Build an optimizer on weights of ones and take a step with gradients of `GRADIENT`; errors pass unchanged."""
    weights = [Parameter(torch.ones(shape)) for shape in shapes]
    optimizer = make(weights)
    for weight in weights:
        weight.grad = torch.full_like(weight, GRADIENT)
    optimizer.step()
    return optimizer, weights


def switches(optimizer: Optimizer) -> bool:
    """Return whether the optimizer has train() and eval(), which switch between training and evaluation weights."""
    return callable(getattr(optimizer, "train", None)) and callable(getattr(optimizer, "eval", None))


def stands_still(optimizer: Optimizer, weights: list[Parameter]) -> bool:
    """Return whether no weight has changed after `STEPS` more steps, at a learning rate large enough to show."""
    rates = [float(group["lr"]) for group in optimizer.param_groups if "lr" in group]
    if not rates or min(rates) < MIN_VISIBLE_LR:
        return False
    for _ in range(STEPS):
        if any(bool((weight != 1).any()) for weight in weights):
            return False
        optimizer.step()
    return not any(bool((weight != 1).any()) for weight in weights)


def why_unfit(make: Make, error: Exception) -> str:
    """Return the reason for an error of the constructor or the first step; empty if the error is not a known one."""
    text = str(error).lower()
    if "train mode" in text or _switches_weights(make):
        return SWITCHES
    if "create_graph" in text or "grad_fn" in text:
        return SECOND_ORDER
    if _works(make, _with_closure) or "closure" in text:
        return CLOSURE
    if _works(make, _on_sparse):
        return SPARSE
    return MATRICES if _works(make, lambda each: step_on(each, [MATRIX])) else ""


def _works(make: Make, attempt: Callable[[Make], object]) -> bool:
    try:
        attempt(make)
    except Exception:  # any error means that it does not work in this way either
        return False
    return True


def _switches_weights(make: Make) -> bool:
    try:
        return switches(make([Parameter(torch.ones(MATRIX))]))
    except Exception:  # it cannot be built, for another reason
        return False


def _with_closure(make: Make) -> None:
    weights = [Parameter(torch.ones(shape)) for shape in (CONVOLUTION, BIAS)]
    optimizer = make(weights)

    def loss() -> torch.Tensor:
        optimizer.zero_grad()
        total = sum((weight**2).sum() for weight in weights)
        total.backward()  # type: ignore[union-attr]
        return total  # type: ignore[return-value]

    optimizer.step(loss)  # type: ignore[arg-type]


def _on_sparse(make: Make) -> None:
    weight = Parameter(torch.ones(MATRIX))
    optimizer = make([weight])
    weight.grad = torch.full_like(weight, GRADIENT).to_sparse()
    optimizer.step()
