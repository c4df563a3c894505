"""Check that an optimizer can train a convolutional network, by steps on a small one (`recognition.py`).

Each convention of the field is tried; errors name what remains: sparse gradients, matrices, a backward pass of its own.
"""

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch.nn import Parameter

from bench.optimizers.entry import OptimizerEntry
from bench.optimizers.recognition import Recognised, recognise
from posemodel.errors import SettingsError
from posemodel.training.optimizer_maker import OptimizerMaker, Training

MATRIX = (3, 4)
GRADIENT = 0.5
OWN_BACKWARD = ("fused_backward", "pc_backward", "set_closure", "backward")
"""Methods of optimizers that compute gradients themselves: fused with the update, or of several losses."""

SPARSE = "it accepts only sparse gradients; those of convolutions are dense"
MATRICES = (
    "it trains only matrices; the weights of convolutions have 4 dimensions, biases have 1. Name another one for the "
    "rest: {name}+adamw"
)
STILL = "its step changes no weight"


def own_backward(optimizer_class: type[Any]) -> str:
    """Return why a class cannot be driven because it computes gradients itself; empty if it does not."""
    for name in OWN_BACKWARD:
        if callable(getattr(optimizer_class, name, None)):
            return f"it computes the backward pass itself, by a method {name}() that only its own training loop calls"
    return ""


def check_trains(entry: OptimizerEntry, hyperparameters: Mapping[str, Any]) -> Recognised:
    """Check that an optimizer trains a small network, and return how; SettingsError says why not."""
    maker = entry.factory(hyperparameters)
    result = recognise(maker)
    if result.error is not None:
        raise _unfit(entry, maker, result) from result.error
    if result.still:
        raise SettingsError(f"optimizer {entry.name}: cannot train a network: {STILL}.")
    return result


def _unfit(entry: OptimizerEntry, maker: OptimizerMaker, result: Recognised) -> SettingsError:
    error = result.error
    assert error is not None
    if isinstance(error, SettingsError):
        return error
    message = " ".join(str(error).split()).rstrip(".")
    why = _reason(maker)
    if why:
        why = why.format(name=entry.name)
        return SettingsError(
            f"optimizer {entry.name}: cannot train a convolutional network: {why} ({type(error).__name__}: {message})."
        )
    if not result.built and isinstance(error, ValueError):  # the class's own message for a value out of range
        return SettingsError(f"optimizer {entry.name}: {message}.")
    did = "its step on a small convolutional network" if result.built else "building it"
    return SettingsError(
        f"optimizer {entry.name}: cannot train a network: {did} fails with {type(error).__name__}: {message}."
    )


def _reason(maker: OptimizerMaker) -> str:
    """Return the reason for an error of the constructor or a step; empty if the error is not a known one."""
    if _works(maker, _on_matrices):
        return MATRICES
    return SPARSE if _works(maker, _on_sparse) else ""


def _works(maker: OptimizerMaker, attempt: Callable[[OptimizerMaker], object]) -> bool:
    try:
        attempt(maker)
    except Exception:  # any error means that it does not work in this way either
        return False
    return True


def _on_matrices(maker: OptimizerMaker) -> None:
    _step_on(maker, [Parameter(torch.ones(MATRIX))], lambda weight: torch.full_like(weight, GRADIENT))


def _on_sparse(maker: OptimizerMaker) -> None:
    _step_on(maker, [Parameter(torch.ones(MATRIX))], lambda weight: torch.full_like(weight, GRADIENT).to_sparse())


def _step_on(maker: OptimizerMaker, weights: list[Parameter], gradient: Callable[[Parameter], torch.Tensor]) -> None:
    optimizer = maker.make(Training(weights, torch.nn.ParameterList(weights), steps=1, samples=1))
    for weight in weights:
        weight.grad = gradient(weight)
    optimizer.step()
