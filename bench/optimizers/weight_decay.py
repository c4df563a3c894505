"""The weight decay of a study: one value for all optimizers, or one range over which each of them is tuned."""

import math
import re
from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import BeforeValidator, Field

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


def with_decay(entry: OptimizerEntry, space: Space, weight_decay: float | DecayRange) -> Space:
    """Return the space over which an optimizer is tuned: with a dimension ``weight_decay`` if the decay is a range.

    In that case the decay is also decoupled if the class has an argument for that, unless the space sets the argument.
    Raises SettingsError if the optimizer has no weight decay.
    """
    if not isinstance(weight_decay, Mapping):
        return space
    if WEIGHT_DECAY not in entry.hyperparameters:
        raise entry.no_weight_decay(decay_text(weight_decay))
    decoupled = {name: Fixed(True) for name in DECOUPLED if name in entry.hyperparameters and name not in space}
    return {**space, **decoupled, WEIGHT_DECAY: decay_dimension(weight_decay)}


def decoupled_as_begun(
    spaces: Mapping[str, dict[str, Any]], begun: Mapping[str, Mapping[str, Any]]
) -> dict[str, dict[str, Any]]:
    """Return the spaces of a continued study, by optimizer, as plain data; ``begun`` are those that it began with.

    A study with a tuned weight decay that began when a class had no argument for decoupling, as our AdaBound once,
    continues without it, though `with_decay` adds it today: otherwise its later trials would decay in another way.
    """
    return {name: _without_added(space, begun.get(name)) for name, space in spaces.items()}


def _without_added(space: dict[str, Any], begun: Mapping[str, Any] | None) -> dict[str, Any]:
    added = {"value": True}
    earlier = {name: each for name, each in space.items() if name not in DECOUPLED or each != added}
    return earlier if WEIGHT_DECAY in space and begun == earlier else space
