"""The line of Python that builds an optimizer: what a report gives to paste."""

import inspect
from collections.abc import Mapping
from typing import Any

import torch

from bench.optimizers.entry import CHOSEN_HERE, WEIGHT_DECAY, OptimizerEntry
from bench.optimizers.space import Value
from bench.optimizers.weight_decay import DecayRange, decay_of

DIGITS = 6
"""Significant ones: more than any training can tell apart."""
NEAR_ONE, DIGITS_NEAR_ONE = 1e-4, 12
"""How near to 1 a momentum or a beta is where these digits are needed: what counts of it is its difference to 1."""


def optimizer_line(
    entry: OptimizerEntry, hyperparameters: Mapping[str, Value], weight_decay: float | DecayRange
) -> str:
    """E.g. `torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9, nesterov=True)`.

    The learning rate, and what differs from the class's own defaults. ``weight_decay``: the study's; a tuned one is
    among the hyperparameters. Raises SettingsError as `OptimizerEntry.factory`.
    """
    decay = decay_of(hyperparameters, weight_decay)
    made = entry.factory({**hyperparameters, WEIGHT_DECAY: decay})([torch.nn.Parameter(torch.zeros(1, 1))])
    kind = type(made)
    module = "torch.optim" if kind.__module__.startswith("torch.optim.") else kind.__module__
    given = [f"lr={_shown(made.defaults['lr'])}"] if "lr" in made.defaults else []
    for name, parameter in inspect.signature(kind).parameters.items():
        if name == "lr" or name in CHOSEN_HERE or name not in made.defaults:
            continue
        value = made.defaults[name]
        if value != parameter.default:
            given.append(f"{name}={_shown(value)}")
    return f"{module}.{kind.__qualname__}({', '.join(['model.parameters()', *given])})"


def number_text(value: float) -> str:
    """A number as it is pasted: `0.00123457`, `0.9999995`."""
    return f"{value:.{DIGITS_NEAR_ONE if 0 < 1 - value < NEAR_ONE else DIGITS}g}"


def _shown(value: Any) -> str:
    if callable(getattr(value, "item", None)):  # a learning rate that is a tensor
        value = value.item()
    if isinstance(value, tuple):
        return f"({', '.join(map(_shown, value))})"
    return number_text(value) if isinstance(value, float) else repr(value)
