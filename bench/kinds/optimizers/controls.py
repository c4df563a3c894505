"""The control trials of AdaBound-like optimizers: untuned SGD with the momentum and rate that their bounds approach.

AdaBound's bounds meet at `final_lr`: from then on it is SGD with momentum beta1, whose velocity is a running *mean* of
the gradients, so that its rate in SGD's own terms is `final_lr * (1 - beta1)` (Luo et al., ICLR 2019). A gain of
AdaBound over that SGD is due to the training before the bounds meet. That SGD is untuned: its rate follows from the
final_lr that was chosen for AdaBound, and a tuned SGD may do better.

The limit of AdaBound with decoupled weight decay is another one: SGD with decoupled decay (SGDW), which this package
does not have, at AdaBound's own decay per step. An SGD whose decay runs through its momentum would be compared with it
as if it were the limit, so that there is no control then.
"""

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

from bench.optimizers import OPTIMIZERS, optimizer_entry
from bench.optimizers.registry import ADABOUND, ADABOUND_REFERENCE, ADABOUNDW, AMSBOUND
from bench.optimizers.space import Value
from bench.optimizers.weight_decay import DECOUPLED
from posemodel.errors import SettingsError

CONTROLLED = (ADABOUND, AMSBOUND, ADABOUND_REFERENCE)
"""Kinds of optimizers with a known limit, whose `final_lr` follows the schedule as SGD's learning rate does."""
LIMIT = "sgd"
"""Registry name of the optimizer that these kinds turn into."""
_SCALED = {"value": True}
"""The only fixed value of `scale_final_lr` in a tuning space that allows a control."""
_COUPLED = {"value": False}
"""The only fixed value of an argument that decouples weight decay which allows a control."""


def controlled(
    optimizers: Sequence[str], spaces: Mapping[str, Mapping[str, Any]], *, controls: bool
) -> tuple[str, ...]:
    """Return the optimizers that have a control in a study, in the study's order; `without_control` says why others
    have none.

    Args:
        optimizers: The study's optimizers.
        spaces: The study's tuning spaces, by optimizer.
        controls: Whether the study runs controls at all.
    """
    return tuple(
        name
        for name in optimizers
        if controls and _kind(name) in CONTROLLED and not _obstacle(_kind(name), spaces.get(name, {}))
    )


def without_control(optimizers: Sequence[str], spaces: Mapping[str, Mapping[str, Any]], *, controls: bool) -> list[str]:
    """Return a sentence for each AdaBound-like optimizer that has no control though the study runs controls.

    The arguments are those of `controlled`.
    """
    obstacles = {
        name: _obstacle(_kind(name), spaces.get(name, {}))
        for name in optimizers
        if controls and _kind(name) in (*CONTROLLED, ADABOUNDW)
    }
    return [f"controls: {name} has none, since {reason}" for name, reason in obstacles.items() if reason]


def _obstacle(kind: str, space: Mapping[str, Any]) -> str:
    """Return why an AdaBound-like optimizer with this space has no control, and the remedy; empty if it has one."""
    if space.get("scale_final_lr", _SCALED) != _SCALED:
        return "its final_lr does not follow the schedule as SGD's rate does: leave scale_final_lr true for one."
    if kind == ADABOUNDW:
        return "its limit is SGD with decoupled weight decay, which is not trained here: adabound has one."
    flag = next((flag for flag in DECOUPLED if space.get(flag, _COUPLED) != _COUPLED), None)
    if flag is None:
        return ""
    return f"its limit is SGD with decoupled weight decay, which is not trained here: set {flag} = false for one."


@cache
def _kind(name: str) -> str:
    """Return an optimizer's kind; empty for a `torch.optim` class and for one that is not installed here."""
    if "." not in name:
        entry = OPTIMIZERS.get(name.lower())
        return "" if entry is None else entry.kind
    try:
        return optimizer_entry(name).kind
    except SettingsError:  # a study from elsewhere, only displayed here
        return ""


def control_name(optimizer: str) -> str:
    """Return the name of an optimizer's control in records and tables."""
    return f"{optimizer} (limit)"


def limit_settings(optimizer: str, hyperparameters: Mapping[str, Value]) -> dict[str, Value]:
    """Return learning rate and momentum of the untuned SGD that an AdaBound-like optimizer turns into."""
    entry = optimizer_entry(optimizer)
    values = dict(entry.hyperparameters) | entry.resolve(hyperparameters)
    beta1, _ = values["betas"]
    return {"lr": values["final_lr"] * (1 - beta1), "momentum": beta1}
