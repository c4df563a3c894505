"""Check that an optimizer can train a convolutional network, by steps on a small one (`recognition.py`).

Each convention of the field is tried; errors name what remains: sparse gradients, matrices, a backward pass of its own.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch.nn import Parameter

from bench.optimizers.entry import OptimizerEntry
from bench.optimizers.recognition import Probe, Recognised, recognise, take_steps
from posemodel.errors import SettingsError
from posemodel.training.optimizer_maker import OptimizerMaker, Training

MATRIX = (3, 4)
GRADIENT = 0.5
OWN_BACKWARD = ("fused_backward", "pc_backward", "set_closure")
"""Methods of optimizers that compute gradients themselves: fused with the update, or of several losses."""

SPARSE = "it accepts only sparse gradients; those of convolutions are dense"
MATRICES = (
    "it trains only matrices; the weights of convolutions have 4 dimensions, biases have 1. Name another one for the "
    "rest: {name}+adamw"
)
STILL = "its step changes no weight"


def own_backward(optimizer_class: type[Any], *, wrapper: bool) -> str:
    """Return why a class cannot be driven because it computes gradients itself; empty if it does not.

    A wrapper with a method `backward` scales or divides losses; elsewhere the method may be a convenience.
    """
    for name in (*OWN_BACKWARD, *(("backward",) if wrapper else ())):
        if callable(getattr(optimizer_class, name, None)):
            return f"it computes the backward pass itself, by a method {name}() that only its own training loop calls"
    return ""


@dataclass(frozen=True)
class Trains:
    """An optimizer that trains a small network: its factory, and the gradient evaluations of a step."""

    maker: OptimizerMaker
    evaluations: float


def check_trains(entry: OptimizerEntry, hyperparameters: Mapping[str, Any]) -> Trains:
    """Check that an optimizer trains a small network, and return how; SettingsError says why not."""
    visible, maker = entry.makers(hyperparameters)
    if entry.at(hyperparameters).recognise is not None:
        known = recognise(visible)
        if known.error is not None and known.built:
            raise _unfit(entry, visible, known) from known.error
        if known.still:
            raise SettingsError(f"optimizer {entry.name}: cannot train a network: {STILL}.")
        maker = known.applied_to(maker)
    result = take_steps(maker)
    if result.error is not None:
        built = _works(maker, lambda each: each.build(Probe().training()))
        raise _unfit(entry, maker, replace(result, built=built)) from result.error
    if result.still:
        raise SettingsError(f"optimizer {entry.name}: cannot train a network: {STILL}.")
    return Trains(maker, result.evaluations)


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
