"""Write the line of Python that builds an optimizer, which reports show for pasting."""

import inspect
from collections.abc import Mapping
from typing import Any

import torch

from bench.optimizers.building import MATRIX_FLAG, PREFIX_REST, Construction
from bench.optimizers.entry import CHOSEN_HERE, RATE, WEIGHT_DECAY, OptimizerEntry
from bench.optimizers.space import Value
from bench.optimizers.weight_decay import DecayRange, decay_of

DIGITS = 6
"""Number of significant digits: more than any training can distinguish."""
NEAR_ONE, DIGITS_NEAR_ONE = 1e-4, 12
"""A momentum or beta nearer to 1 than NEAR_ONE is written with DIGITS_NEAR_ONE digits, since its difference from 1
matters."""

PARAMETERS = "model.parameters()"
MATRICES, REST = "> 1", "< 2"


def optimizer_line(
    entry: OptimizerEntry, hyperparameters: Mapping[str, Value], weight_decay: float | DecayRange
) -> str:
    """Return the line of Python, e.g. `torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9, nesterov=True)`.

    Its arguments are the learning rate and those that differ from the defaults of the class. ``weight_decay`` is the
    study's; if it is tuned, its value is taken from the hyperparameters. Raises SettingsError as
    `OptimizerEntry.factory` does.
    """
    decay = decay_of(hyperparameters, weight_decay)
    return _line(entry, {**hyperparameters, WEIGHT_DECAY: decay})


def _line(entry: OptimizerEntry, hyperparameters: Mapping[str, Value]) -> str:
    entry = entry.at(hyperparameters)
    if entry.line is not None:
        return entry.line(entry.resolve(hyperparameters))
    optimizer = entry.factory(hyperparameters)([torch.nn.Parameter(torch.zeros(1, 1))])
    kind = type(optimizer)
    arguments = [f"lr={_literal(optimizer.defaults['lr'])}"] if "lr" in optimizer.defaults else []
    for name, parameter in inspect.signature(kind).parameters.items():
        if name == "lr" or name in CHOSEN_HERE or name not in optimizer.defaults:
            continue
        value = optimizer.defaults[name]
        if value != parameter.default:
            arguments.append(f"{name}={_literal(value)}")
    return f"{_class_path(kind)}({', '.join([PARAMETERS, *arguments])})"


def constructor_line(construction: Construction, arguments: Mapping[str, Any]) -> str:
    """Return the call of a class outside the registry; ``arguments``: its resolved hyperparameters."""
    signature = construction.signature
    names = construction.names_inside()
    inside = {names[name]: value for name, value in arguments.items() if name in names}
    path = _class_path(construction.optimizer_class)
    given: list[str] = []
    for name, role in signature.given.items():
        if role in ("steps", "samples"):
            continue
        value = _given_text(construction, role, inside)
        given.append(value if not given else f"{name}={value}")
    if signature.positional:
        given.insert(0, PARAMETERS)
    own = []
    for name, parameter in signature.hyperparameters.items():
        if name in arguments:
            value = arguments[name]
            if name == RATE or value != parameter.default:
                own.append(f"{name}={_literal(value)}")
        elif name in signature.fillable:
            own.append(f"{name}={name}")
        elif name == RATE and parameter.default is not parameter.empty:
            own.append(f"{name}={_literal(parameter.default)}")
    return f"{path}({', '.join([*given, *sorted(own, key=lambda text: not text.startswith(f'{RATE}='))])})"


def _given_text(construction: Construction, role: str, inside: Mapping[str, Any]) -> str:
    """Return how a call gives an argument that a space does not hold."""
    if role == "network":
        return "model"
    if role == "named_parameters":
        return "model.named_parameters()"
    if role == "parameters":
        if construction.by_matrix_flag:
            matrices, rest = (f'"params": [{_chosen(dims)}], "{MATRIX_FLAG}"' for dims in (MATRICES, REST))
            return f"[{{{matrices}: True}}, {{{rest}: False}}]"
        return PARAMETERS
    assert construction.inside is not None
    line = _line(construction.inside, inside)
    if role == "optimizer":
        return line
    call, _, rest = line.partition(f"({PARAMETERS}")
    return f"functools.partial({call}{rest}"


def pair_line(first: OptimizerEntry, rest: OptimizerEntry, arguments: Mapping[str, Any]) -> str:
    """Return the calls of an optimizer for matrices and of one for the rest."""
    of_rest = {name.removeprefix(PREFIX_REST): v for name, v in arguments.items() if name.startswith(PREFIX_REST)}
    of_first = {name: value for name, value in arguments.items() if not name.startswith(PREFIX_REST)}
    lines = _line(first, of_first), _line(rest, of_rest)
    chosen = (f"[{_chosen(dims)}]" for dims in (MATRICES, REST))
    return " with ".join(text.replace(PARAMETERS, own, 1) for text, own in zip(lines, chosen, strict=True))


def _chosen(dims: str) -> str:
    return f"p for p in {PARAMETERS} if p.ndim {dims}"


def _class_path(kind: type[Any]) -> str:
    module = "torch.optim" if kind.__module__.startswith("torch.optim.") else kind.__module__
    return f"{module}.{kind.__qualname__}"


def number_text(value: float) -> str:
    """Format a number for pasting: `0.00123457`, `0.9999995`."""
    return f"{value:.{DIGITS_NEAR_ONE if 0 < 1 - value < NEAR_ONE else DIGITS}g}"


def _literal(value: Any) -> str:
    if callable(getattr(value, "item", None)):  # a learning rate that is a tensor
        value = value.item()
    if isinstance(value, tuple):
        return f"({', '.join(map(_literal, value))})"
    return number_text(value) if isinstance(value, float) else repr(value)
