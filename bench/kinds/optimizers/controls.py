"""The control trials of AdaBound-like optimizers: untuned SGD with the momentum and rate that their bounds approach.

AdaBound's bounds meet at `final_lr`: from then on it is SGD with momentum beta1, whose velocity is a running *mean* of
the gradients, so that its rate in SGD's own terms is `final_lr * (1 - beta1)` (Luo et al., ICLR 2019). A gain of
AdaBound over that SGD is due to the training before the bounds meet. That SGD is untuned: its rate follows from the
final_lr that was chosen for AdaBound, and a tuned SGD may do better.
"""

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

from bench.optimizers import OPTIMIZERS, optimizer_entry
from bench.optimizers.registry import ADABOUND, ADABOUND_REFERENCE, AMSBOUND
from bench.optimizers.space import Value
from posemodel.errors import SettingsError

CONTROLLED = (ADABOUND, AMSBOUND, ADABOUND_REFERENCE)
"""Kinds of optimizers with a known limit, whose `final_lr` follows the schedule as SGD's learning rate does."""
LIMIT = "sgd"
"""Registry name of the optimizer that these kinds turn into."""
_SCALED = {"value": True}
"""The only fixed value of `scale_final_lr` in a tuning space that allows a control."""


def controlled(
    optimizers: Sequence[str], spaces: Mapping[str, Mapping[str, Any]], *, controls: bool
) -> tuple[str, ...]:
    """Return the optimizers that have a control in a study, in the study's order.

    Args:
        optimizers: The study's optimizers.
        spaces: The study's tuning spaces, by optimizer.
        controls: Whether the study runs controls at all.
    """
    return tuple(
        name
        for name in optimizers
        if controls and _kind(name) in CONTROLLED and spaces.get(name, {}).get("scale_final_lr", _SCALED) == _SCALED
    )


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
