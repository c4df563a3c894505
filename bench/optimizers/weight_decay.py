"""The weight decay of a study: one value for all optimizers, or one range over which each of them is tuned."""

import inspect
import math
import re
from collections.abc import Iterable, Mapping
from typing import Annotated, Any

from pydantic import BeforeValidator, Field

from bench.optimizers import optimizer_entry
from bench.optimizers.entry import WEIGHT_DECAY, OptimizerEntry
from bench.optimizers.space import FORMS, Dimension, Fixed, Log, Space, Value, dimension
from posemodel.errors import SettingsError

DecayRange = Mapping[str, tuple[float, float]]
"""A range searched on a logarithmic scale, as in a study file: {"log": (low, high)}."""
FLAGS = ("--wd", "--weight-decay")
METAVAR = "NUMBER|log(A,B)"
DECOUPLED = ("decoupled_weight_decay", "weight_decouple")
"""Arguments that apply weight decay to the weights instead of their gradients (Loshchilov and Hutter, ICLR 2019), in
`torch.optim` (Adam, NAdam, RAdam) and our AdaBound, and in the packages `adabelief-pytorch` and `pytorch_optimizer`."""
DECOUPLING_PACKAGES = ("torch", "bench", "adabelief_pytorch", "pytorch_optimizer")
"""Packages in whose classes these arguments mean that. In `lion_pytorch`, whose decay is decoupled anyway, the argument
divides the decay by the first rate."""


def read_weight_decay(value: Any) -> float | DecayRange:
    """Read a weight decay from a study file, a variable or the command line: 0.01, {"log": [A, B]} or `log(A,B)`.

    Raises ValueError, which says what it must be.
    """
    form = re.fullmatch(r"\s*(\w+)\s*\((.*)\)\s*", value) if isinstance(value, str) else None
    try:
        if form is not None:
            value = {form[1]: [float(each) for each in form[2].split(",")]}
        if isinstance(value, Mapping):
            value = {name: [*each] if isinstance(each, tuple) else each for name, each in value.items()}
            read = dimension(value, WEIGHT_DECAY)
            if isinstance(read, Log):
                return {"log": (read.low, read.high)}
            raise ValueError
        number = float(value)
        if isinstance(value, bool):
            raise TypeError
    except (SettingsError, TypeError, ValueError) as error:
        raise ValueError(f"must be a number, or a range: {FORMS['log']}; log(LOW,HIGH) where it is typed") from error
    if not math.isfinite(number):
        raise ValueError("must be a finite number")
    if number < 0:
        raise ValueError("must be 0 or more")
    return number


WeightDecay = Annotated[Annotated[float, Field(ge=0)] | DecayRange, BeforeValidator(read_weight_decay)]
"""The type of the setting `weight_decay` of study kinds that can tune it."""


def decay_dimension(weight_decay: float | DecayRange) -> Dimension:
    """Return the weight decay as a dimension of a space: `Log` for a range, `Fixed` for one value."""
    return Log(*weight_decay["log"]) if isinstance(weight_decay, Mapping) else Fixed(weight_decay)


def decay_text(weight_decay: float | DecayRange) -> str:
    """Format the weight decay: `0.0001`, or `1e-06 to 0.01, tuned`."""
    if not isinstance(weight_decay, Mapping):
        return f"{weight_decay:g}"
    low, high = weight_decay["log"]
    return f"{low:g} to {high:g}, tuned"


def decay_of(hyperparameters: Mapping[str, Value], weight_decay: float | DecayRange) -> float:
    """Return the weight decay of one trial: the value among its hyperparameters if it is tuned, otherwise the
    study's."""
    tuned = hyperparameters.get(WEIGHT_DECAY, weight_decay)
    if isinstance(tuned, (int, float)):
        return float(tuned)
    raise TypeError(f"the weight decay is tuned, and the hyperparameters have none: {dict(hyperparameters)}")


def decoupling_arguments(optimizer_class: type[Any], names: Iterable[str]) -> frozenset[str]:
    """Return those arguments of a class, of all its ``names``, that decouple weight decay: its own or inherited ones
    of `DECOUPLING_PACKAGES`."""
    constructors = [
        vars(kind)["__init__"]
        for kind in optimizer_class.__mro__
        if "__init__" in vars(kind) and kind.__module__.partition(".")[0] in DECOUPLING_PACKAGES
    ]
    known = {argument for each in constructors for argument in inspect.signature(each).parameters}
    return frozenset(name for name in DECOUPLED if name in known and name in set(names))


def decoupling_flags(entry: OptimizerEntry) -> tuple[str, ...]:
    """Return the hyperparameters of an optimizer that decouple weight decay, also those of its parts
    (`rest_decoupled_weight_decay`)."""
    if entry.accepts is None:  # the registry
        return tuple(name for name in DECOUPLED if name in entry.hyperparameters)
    return tuple(sorted(entry.decoupling))


def with_decay(entry: OptimizerEntry, space: Space, weight_decay: float | DecayRange) -> Space:
    """Return the space over which an optimizer is tuned: with a dimension ``weight_decay`` if the decay is a range.

    In that case the decay is also decoupled if the class, or a part of a composed optimizer, has an argument for that,
    unless the space sets the argument.
    Raises SettingsError if the optimizer has no weight decay.
    """
    if not isinstance(weight_decay, Mapping):
        return space
    if WEIGHT_DECAY not in entry.hyperparameters:
        raise entry.no_weight_decay(decay_text(weight_decay))
    decoupled = {name: Fixed(True) for name in decoupling_flags(entry) if name not in space}
    return {**space, **decoupled, WEIGHT_DECAY: decay_dimension(weight_decay)}


def decoupled_as_begun(
    spaces: Mapping[str, dict[str, Any]], begun: Mapping[str, Mapping[str, Any]]
) -> dict[str, dict[str, Any]]:
    """Return the spaces of a continued study, by optimizer, as plain data; ``begun`` are those that it began with.

    A study with a tuned weight decay that began when a class had no argument for decoupling, as our AdaBound once,
    continues without it, though `with_decay` adds it today; one that began when `with_decay` took an argument for that,
    as lion_pytorch's, continues with it. Otherwise its later trials would decay in another way.
    """
    return {name: _as_begun(name, space, begun.get(name)) for name, space in spaces.items()}


def _as_begun(name: str, space: dict[str, Any], begun: Mapping[str, Any] | None) -> dict[str, Any]:
    if begun is None:
        return space
    earlier = with_flags_as_begun(optimizer_entry(name), space, begun)
    return earlier if earlier == begun else space


def with_flags_as_begun(entry: OptimizerEntry, space: dict[str, Any], begun: Mapping[str, Any]) -> dict[str, Any]:
    """Return the space of an optimizer with those arguments for decoupling that it began with, as plain data.

    Only arguments that `with_decay` adds today and did not add then, or the other way round, differ.
    """
    if WEIGHT_DECAY not in space:
        return space
    added = {"value": True}
    today = decoupling_flags(entry)
    before = [each for each in DECOUPLED if each in entry.hyperparameters and each not in today]
    gone = {each for each in today if space.get(each) == added and each not in begun}
    back = {each: added for each in before if begun.get(each) == added and each not in space}
    return {**{each: dimension for each, dimension in space.items() if each not in gone}, **back}
