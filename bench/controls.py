"""The control of AdaBound's limit: SGD with the momentum and the learning rate that its bounds close in on.

AdaBound's bounds meet at `final_lr`: from then on it is SGD with momentum beta1, whose velocity is a running *mean* of
the gradients, so that its rate in SGD's own terms is `final_lr * (1 - beta1)` (Luo et al., ICLR 2019). What AdaBound
gains over that SGD it owes to its way there; what it does not, to a learning rate.
"""

from collections.abc import Mapping

from bench.optimizers import optimizer_entry
from bench.space import Value

CONTROLLED = ("adabound", "amsbound", "adabound_reference")
"""Optimizers whose limit is known, by registry name."""
LIMIT = "sgd"
"""The optimizer that the limit is, by registry name."""
DEFAULT_BETA1 = 0.9


def controlled(optimizers: tuple[str, ...], *, controls: bool) -> tuple[str, ...]:
    """Those of a study's optimizers that have a control in it, in the study's order."""
    return tuple(name for name in optimizers if controls and name.lower() in CONTROLLED)


def control_name(optimizer: str) -> str:
    """What tables call the control of an optimizer."""
    return f"{optimizer} (limit)"


def limit_settings(optimizer: str, hyperparameters: Mapping[str, Value]) -> dict[str, Value]:
    """Learning rate and momentum of the SGD that an optimizer of AdaBound's kind becomes in the end."""
    entry = optimizer_entry(optimizer)
    values = dict(entry.hyperparameters) | entry.resolve(hyperparameters)
    beta1 = values["betas"][0] if "betas" in values else values.get("beta1", DEFAULT_BETA1)
    return {"lr": values["final_lr"] * (1 - beta1), "momentum": beta1}
