"""The control of AdaBound's limit: untuned SGD with the momentum and the learning rate that its bounds close in on.

AdaBound's bounds meet at `final_lr`: from then on it is SGD with momentum beta1, whose velocity is a running *mean* of
the gradients, so that its rate in SGD's own terms is `final_lr * (1 - beta1)` (Luo et al., ICLR 2019). What a
configuration of AdaBound gains over that SGD it owes to its way there. Nobody tuned that SGD: its rate follows from the
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
"""Kinds whose limit is known, where `final_lr` follows the schedule as SGD's learning rate does."""
LIMIT = "sgd"
"""The optimizer that the limit is, by registry name."""
_SCALED = {"value": True}
"""`scale_final_lr` in a space, where it is at all."""


def controlled(
    optimizers: Sequence[str], spaces: Mapping[str, Mapping[str, Any]], *, controls: bool
) -> tuple[str, ...]:
    """Those of a study's optimizers that have a control in it, in the study's order; ``spaces`` are its own."""
    return tuple(
        name
        for name in optimizers
        if controls and _kind(name) in CONTROLLED and spaces.get(name, {}).get("scale_final_lr", _SCALED) == _SCALED
    )


@cache
def _kind(name: str) -> str:
    """The kind of an optimizer; empty for one of `torch.optim` and for one that is not on this machine."""
    if "." not in name:
        known = OPTIMIZERS.get(name.lower())
        return "" if known is None else known.kind
    try:
        return optimizer_entry(name).kind
    except SettingsError:  # of a study that is only looked at here
        return ""


def control_name(optimizer: str) -> str:
    """What records and tables call the control of an optimizer, its untuned limit."""
    return f"{optimizer} (limit)"


def limit_settings(optimizer: str, hyperparameters: Mapping[str, Value]) -> dict[str, Value]:
    """Learning rate and momentum, untuned, of the SGD that an optimizer of AdaBound's kind becomes in the end."""
    entry = optimizer_entry(optimizer)
    values = dict(entry.hyperparameters) | entry.resolve(hyperparameters)
    beta1, _ = values["betas"]
    return {"lr": values["final_lr"] * (1 - beta1), "momentum": beta1}
