"""Write the line of Python that builds an optimizer, which reports show for pasting."""

import inspect
from collections.abc import Mapping
from typing import Any

import torch

from bench.optimizers.entry import CHOSEN_HERE, WEIGHT_DECAY, OptimizerEntry
from bench.optimizers.space import Value
from bench.optimizers.weight_decay import DecayRange, decay_of

DIGITS = 6
"""Number of significant digits: more than any training can distinguish."""
NEAR_ONE, DIGITS_NEAR_ONE = 1e-4, 12
"""A momentum or beta nearer to 1 than NEAR_ONE is written with DIGITS_NEAR_ONE digits, since its difference from 1
matters."""


def optimizer_line(
    entry: OptimizerEntry, hyperparameters: Mapping[str, Value], weight_decay: float | DecayRange
) -> str:
    """Return the line of Python, e.g. `torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9, nesterov=True)`.

    Its arguments are the learning rate and those that differ from the defaults of the class. ``weight_decay`` is the
    study's; if it is tuned, its value is taken from the hyperparameters. Raises SettingsError as
    `OptimizerEntry.factory` does.
    """
    decay = decay_of(hyperparameters, weight_decay)
    optimizer = entry.factory({**hyperparameters, WEIGHT_DECAY: decay})([torch.nn.Parameter(torch.zeros(1, 1))])
    kind = type(optimizer)
    module = "torch.optim" if kind.__module__.startswith("torch.optim.") else kind.__module__
    arguments = [f"lr={_literal(optimizer.defaults['lr'])}"] if "lr" in optimizer.defaults else []
    for name, parameter in inspect.signature(kind).parameters.items():
        if name == "lr" or name in CHOSEN_HERE or name not in optimizer.defaults:
            continue
        value = optimizer.defaults[name]
        if value != parameter.default:
            arguments.append(f"{name}={_literal(value)}")
    return f"{module}.{kind.__qualname__}({', '.join(['model.parameters()', *arguments])})"


def number_text(value: float) -> str:
    """Format a number for pasting: `0.00123457`, `0.9999995`."""
    return f"{value:.{DIGITS_NEAR_ONE if 0 < 1 - value < NEAR_ONE else DIGITS}g}"


def _literal(value: Any) -> str:
    if callable(getattr(value, "item", None)):  # a learning rate that is a tensor
        value = value.item()
    if isinstance(value, tuple):
        return f"({', '.join(map(_literal, value))})"
    return number_text(value) if isinstance(value, float) else repr(value)
