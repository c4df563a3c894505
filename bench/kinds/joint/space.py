"""Search space of a joint study as Optuna distributions, and conversion between choices and configurations.

The space is conditional: an optimizer's hyperparameters are choices only where that optimizer is chosen, and are named
after both (`adam.lr`). A parameter with a single value is not a choice.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any, cast

from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution

from bench.kinds.joint.objectives import AXES
from bench.kinds.joint.spec import JointSpec
from bench.optimizers.entry import COMPLEMENT, EFFECTIVE_RATE, MOMENTUM, RATE
from bench.optimizers.space import Categorical, Dimension, Fixed, Log, Value, as_value, from_document
from bench.settings.layers import space_key
from bench.statistics.quasi_random import halton
from bench.trials.identity import digest
from posemodel.errors import SettingsError, did_you_mean

OPTIMIZER = "optimizer"
Choice = int | float | bool | str
"""A choice as Optuna stores it; a tuple is stored as its JSON text."""
Choices = Mapping[str, Choice]


def shared_choices(spec: JointSpec) -> dict[str, BaseDistribution]:
    """Return the distributions that every trial draws from: the optimizer and the loader's settings."""
    values: dict[str, Sequence[Any]] = {OPTIMIZER: spec.optimizers, **{axis: getattr(spec, axis) for axis in AXES}}
    return {name: CategoricalDistribution(among) for name, among in values.items()}


def choices_of(spec: JointSpec, optimizer: str) -> dict[str, BaseDistribution]:
    """Return the further distributions of a trial with this optimizer."""
    space = from_document(spec.spaces[optimizer], f"spaces.{optimizer}")
    by_name = {f"{optimizer}.{name}": _distribution(dimension) for name, dimension in space.items()}
    return {name: each for name, each in by_name.items() if each is not None}


def _distribution(dimension: Dimension) -> BaseDistribution | None:
    if isinstance(dimension, Log):
        return FloatDistribution(dimension.low, dimension.high, log=True)
    if isinstance(dimension, Categorical):
        return CategoricalDistribution([as_choice(value) for value in dimension.values])
    return None


def as_choice(value: Value) -> Choice:
    """Convert a hyperparameter's value to what Optuna can store."""
    return json.dumps(list(value)) if isinstance(value, tuple) else value


def distributions(spec: JointSpec, optimizer: str) -> dict[str, BaseDistribution]:
    """Return all distributions of a trial with this optimizer."""
    return shared_choices(spec) | choices_of(spec, optimizer)


def hyperparameters(spec: JointSpec, choices: Choices) -> dict[str, Value]:
    """Return the hyperparameters that the chosen optimizer is built with, fixed values included."""
    optimizer = str(choices[OPTIMIZER])
    space = from_document(spec.spaces[optimizer], f"spaces.{optimizer}")
    values: dict[str, Value] = {}
    for name, dimension in space.items():
        if isinstance(dimension, Fixed):
            values[name] = dimension.value
            continue
        choice = choices[f"{optimizer}.{name}"]
        among = dimension.values if isinstance(dimension, Categorical) else ()
        values[name] = next((value for value in among if as_choice(value) == choice), choice)
    return values


def choices_made(spec: JointSpec, optimizer: str, values: Mapping[str, Value], loader: Mapping[str, Any]) -> Choices:
    """Return the choices that lead to a configuration: the inverse of `hyperparameters`."""
    space = from_document(spec.spaces[optimizer], f"spaces.{optimizer}")
    own = {f"{optimizer}.{n}": as_choice(v) for n, v in values.items() if not isinstance(space[n], Fixed)}
    return {OPTIMIZER: optimizer, **{axis: loader[axis] for axis in AXES}, **own}


def fixed_choices(spec: JointSpec, index: int) -> dict[str, Choice]:
    """Return the choices fixed by the study's ``fixed[index]``.

    SettingsError names the field that does not fit.
    """
    optimizer = fixed_optimizer(spec, index)
    choices: dict[str, Choice] = {OPTIMIZER: optimizer}
    for name in spec.fixed[index]:
        choices |= fixed_choice(spec, index, name)
    return choices


def fixed_optimizer(spec: JointSpec, index: int) -> str:
    """Return the optimizer of the fixed configuration ``fixed[index]``, as the study spells it."""
    optimizer = spec.fixed[index].get(OPTIMIZER)
    known = {space_key(name): name for name in spec.optimizers}
    if not isinstance(optimizer, str) or space_key(optimizer) not in known:
        raise SettingsError(
            f"fixed[{index}].optimizer: must be one of the study's optimizers ({', '.join(spec.optimizers)}), got "
            f"{optimizer!r}.{did_you_mean(str(optimizer), spec.optimizers)}"
        )
    return known[space_key(optimizer)]


def fixed_choice(spec: JointSpec, index: int, name: str) -> dict[str, Choice]:
    """Return the choice made by one field of ``fixed[index]``, by its name in the search; empty for a fixed value."""
    optimizer, value, where = fixed_optimizer(spec, index), spec.fixed[index][name], f"fixed[{index}].{name}"
    space = from_document(spec.spaces[optimizer], f"spaces.{optimizer}")
    if name == OPTIMIZER:
        return {name: optimizer}
    if name in AXES:
        return {name: _among(getattr(spec, name), value, where, "the study's values")}
    if name == RATE and name not in space and EFFECTIVE_RATE in space:
        name, value = EFFECTIVE_RATE, _effective_rate(value, {**_fixed_of(space), **spec.fixed[index]}, where)
    if name not in space:
        names = [OPTIMIZER, *AXES, *space]
        raise SettingsError(
            f"{where}: there is no such choice.{did_you_mean(name, names)} There are: {', '.join(names)}."
        )
    dimension = space[name]
    if not isinstance(dimension, Fixed):
        return {f"{optimizer}.{name}": _in_space(dimension, value, where, optimizer)}
    if dimension.value != value:
        raise SettingsError(f"{where}: this study fixes it at {dimension.value}, got {value!r}.")
    return {}


def _fixed_of(space: Mapping[str, Dimension]) -> dict[str, Value]:
    return {name: each.value for name, each in space.items() if isinstance(each, Fixed)}


def _effective_rate(rate: Any, configuration: Mapping[str, Any], where: str) -> Any:
    """Convert ``lr`` to the effective rate lr / (1 - momentum), with the configuration's momentum."""
    complement = f"{COMPLEMENT}{MOMENTUM}"
    if MOMENTUM not in configuration and complement not in configuration:
        raise SettingsError(
            f"{where}: is searched as {EFFECTIVE_RATE} = lr / (1 - momentum): give {EFFECTIVE_RATE}, or "
            f"{complement} beside it."
        )
    number = configuration[complement] if complement in configuration else configuration[MOMENTUM]
    if not all(isinstance(each, (int, float)) and not isinstance(each, bool) for each in (rate, number)):
        return rate  # the caller reports a value of the wrong type
    complement_value = number if complement in configuration else 1 - number
    return rate / complement_value if complement_value > 0 else rate


def _in_space(dimension: Log | Categorical, value: Any, where: str, optimizer: str) -> Choice:
    if isinstance(dimension, Categorical):
        return as_choice(_among(dimension.values, as_value(value), where, f"the space of {optimizer}"))
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if not (isinstance(dimension, Log) and is_number and dimension.low <= value <= dimension.high):
        raise SettingsError(
            f"{where}: must be a number from {dimension.low:g} to {dimension.high:g}, the space of {optimizer}, got "
            f"{value!r}; change it, or the space (spaces.{optimizer})."
        )
    return float(value)


def _among(values: Sequence[Any], value: Any, where: str, source: str) -> Any:
    match = next((each for each in values if each == value and isinstance(each, bool) == isinstance(value, bool)), None)
    if match is None:
        raise SettingsError(f"{where}: must be one of {source} ({', '.join(map(str, values))}), got {value!r}.")
    return match


def quasi_random_choices(spec: JointSpec, trials: int) -> list[dict[str, Choice]]:
    """Return a quasi-random plan of the space: optimizers in turn, scrambled Halton points of the rest.

    Halton's points (Owen, 2017) cover a space evenly in any number; each optimizer has a sequence of its own.
    """
    points = {}
    for name in spec.optimizers:
        own = {**{n: d for n, d in shared_choices(spec).items() if n != OPTIMIZER}, **choices_of(spec, name)}
        count = -(-trials // len(spec.optimizers))
        units = halton(len(own), count, int(digest({"seed": spec.seed, "optimizer": name})[:8], 16))
        points[name] = [
            {OPTIMIZER: name, **{n: _choice_at(d, unit) for (n, d), unit in zip(own.items(), row, strict=True)}}
            for row in units
        ]
    taken = [spec.optimizers[number % len(spec.optimizers)] for number in range(trials)]
    return [points[name][number // len(spec.optimizers)] for number, name in enumerate(taken)]


def _choice_at(distribution: BaseDistribution, unit: float) -> Choice:
    """Return the choice at 0..1 of a distribution."""
    if isinstance(distribution, CategoricalDistribution):
        return as_choice(Categorical(cast("tuple[Choice, ...]", distribution.choices)).at(unit))
    assert isinstance(distribution, FloatDistribution)
    return Log(distribution.low, distribution.high).at(unit)
