"""Write the line of Python that builds an optimizer, which reports show for pasting."""

import inspect
import json
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
SAMPLES = "len(dataset)"
FACTORY = ".factory("


def optimizer_line(
    entry: OptimizerEntry,
    hyperparameters: Mapping[str, Value],
    weight_decay: float | DecayRange,
    *,
    steps: int | None = None,
) -> str:
    """Return the line of Python, e.g. `torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9, nesterov=True)`.

    Its arguments are the learning rate and those that differ from the defaults of the class. Wrappers and pairs are
    made by a factory, `bench.optimizers.optimizer_entry("muon+adamw").factory({"lr": 0.02})`. ``weight_decay`` is the
    study's; if it is tuned, its value is taken from the hyperparameters. ``steps``: the length of the training, which
    some classes want to be told. Raises SettingsError as `OptimizerEntry.factory` does.
    """
    decay = decay_of(hyperparameters, weight_decay)
    values = {**hyperparameters, WEIGHT_DECAY: decay}
    line, fillable = _line(entry, values), entry.at(hyperparameters).fillable
    told = {} if steps is None else {name: steps for name, role in fillable.items() if role == "steps"}
    return line if FACTORY in line or not told else _line(entry, {**told, **values})


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
    """Return the call of a class outside the registry, of a wrapper that of its factory.

    ``arguments``: its resolved hyperparameters.
    """
    if construction.inside is not None:
        return _factory_line(construction.name, construction.accepts(), arguments)
    signature = construction.signature
    from_training: list[str] = []
    for name, role in signature.from_training.items():
        if role in ("steps", "samples"):
            continue
        value = _from_training_text(construction, role)
        from_training.append(value if not from_training else f"{name}={value}")
    if signature.positional:
        from_training.insert(0, PARAMETERS)
    own = []
    for name, parameter in signature.hyperparameters.items():
        if name in arguments:
            value = arguments[name]
            if name == RATE or value != parameter.default:
                own.append(f"{name}={_literal(value)}")
        elif name in signature.fillable:
            own.append(f"{name}={SAMPLES if signature.from_training[name] == 'samples' else name}")
        elif name == RATE and parameter.default is not parameter.empty:
            own.append(f"{name}={_literal(parameter.default)}")
    arguments_text = ", ".join([*from_training, *sorted(own, key=lambda text: not text.startswith(f"{RATE}="))])
    return f"{_class_path(construction.optimizer_class)}({arguments_text})"


def _from_training_text(construction: Construction, role: str) -> str:
    """Return how a call gives an argument that a space does not hold."""
    if role == "network":
        return "model"
    if role == "named_parameters":
        return "model.named_parameters()"
    if construction.by_matrix_flag:
        matrices, rest = (f'"params": [{_chosen(dims)}], "{MATRIX_FLAG}"' for dims in (MATRICES, REST))
        return f"[{{{matrices}: True}}, {{{rest}: False}}]"
    return PARAMETERS


def pair_line(first: OptimizerEntry, rest: OptimizerEntry, arguments: Mapping[str, Any]) -> str:
    """Return the call of the factory of an optimizer for matrices and one for the rest."""
    of_rest = {PREFIX_REST + name: parameter for name, parameter in rest.parameters.items()}
    return _factory_line(f"{first.name}+{rest.name}", {**first.parameters, **of_rest}, arguments)


def _factory_line(name: str, accepted: Mapping[str, inspect.Parameter], arguments: Mapping[str, Any]) -> str:
    """Return the call of the factory of an optimizer that is made of others."""
    values = {each: p.default for each, p in accepted.items() if each == RATE and p.default is not p.empty}
    values |= {
        each: value
        for each, value in arguments.items()
        if each not in accepted or each.endswith(RATE) or value != accepted[each].default
    }
    items = (
        f"{json.dumps(each)}: {json.dumps(value) if isinstance(value, str) else _literal(value)}"
        for each, value in values.items()
    )
    return f"bench.optimizers.optimizer_entry({json.dumps(name)}){FACTORY}{{{', '.join(items)}}})"


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
