"""The space of a joint study, as Optuna sees it: which choices there are, and what a set of them means.

Conditional: the hyperparameters of an optimizer are choices only where that optimizer is chosen, and are called by both
names (`adam.lr`). What has one value is no choice.
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
from posemodel.errors import SettingsError, nearest

OPTIMIZER = "optimizer"
Choice = int | float | bool | str
"""What Optuna keeps of a choice; a tuple is its JSON text."""
Choices = Mapping[str, Choice]


def shared_choices(spec: JointSpec) -> dict[str, BaseDistribution]:
    """The choices that every trial makes: the optimizer, and the loader's settings."""
    values: dict[str, Sequence[Any]] = {OPTIMIZER: spec.optimizers, **{axis: getattr(spec, axis) for axis in AXES}}
    return {name: CategoricalDistribution(among) for name, among in values.items()}


def choices_of(spec: JointSpec, optimizer: str) -> dict[str, BaseDistribution]:
    """The further choices of a trial with this optimizer."""
    space = from_document(spec.spaces[optimizer], f"spaces.{optimizer}")
    found = {f"{optimizer}.{name}": _distribution(dimension) for name, dimension in space.items()}
    return {name: each for name, each in found.items() if each is not None}


def _distribution(dimension: Dimension) -> BaseDistribution | None:
    if isinstance(dimension, Log):
        return FloatDistribution(dimension.low, dimension.high, log=True)
    if isinstance(dimension, Categorical):
        return CategoricalDistribution([as_choice(value) for value in dimension.values])
    return None


def as_choice(value: Value) -> Choice:
    """A hyperparameter's value as Optuna can keep it."""
    return json.dumps(list(value)) if isinstance(value, tuple) else value


def distributions(spec: JointSpec, optimizer: str) -> dict[str, BaseDistribution]:
    """All choices of a trial with this optimizer."""
    return shared_choices(spec) | choices_of(spec, optimizer)


def hyperparameters(spec: JointSpec, choices: Choices) -> dict[str, Value]:
    """What the optimizer of these choices is built with, fixed values included."""
    optimizer = str(choices[OPTIMIZER])
    space = from_document(spec.spaces[optimizer], f"spaces.{optimizer}")
    found: dict[str, Value] = {}
    for name, dimension in space.items():
        if isinstance(dimension, Fixed):
            found[name] = dimension.value
            continue
        choice = choices[f"{optimizer}.{name}"]
        among = dimension.values if isinstance(dimension, Categorical) else ()
        found[name] = next((value for value in among if as_choice(value) == choice), choice)
    return found


def choices_made(spec: JointSpec, optimizer: str, values: Mapping[str, Value], loader: Mapping[str, Any]) -> Choices:
    """The choices that lead to a configuration: the inverse of `hyperparameters`."""
    space = from_document(spec.spaces[optimizer], f"spaces.{optimizer}")
    own = {f"{optimizer}.{n}": as_choice(v) for n, v in values.items() if not isinstance(space[n], Fixed)}
    return {OPTIMIZER: optimizer, **{axis: loader[axis] for axis in AXES}, **own}


def fixed_choices(spec: JointSpec, place: int) -> dict[str, Choice]:
    """What the study's configuration ``fixed[place]`` fixes; SettingsError names the field that does not fit."""
    optimizer = fixed_optimizer(spec, place)
    made: dict[str, Choice] = {OPTIMIZER: optimizer}
    for name in spec.fixed[place]:
        made |= fixed_choice(spec, place, name)
    return made


def fixed_optimizer(spec: JointSpec, place: int) -> str:
    """The optimizer of a configuration that is tried first, as the study calls it."""
    optimizer = spec.fixed[place].get(OPTIMIZER)
    known = {space_key(name): name for name in spec.optimizers}
    if not isinstance(optimizer, str) or space_key(optimizer) not in known:
        raise SettingsError(
            f"fixed[{place}].optimizer: must be one of the study's optimizers ({', '.join(spec.optimizers)}), got "
            f"{optimizer!r}.{nearest(str(optimizer), spec.optimizers)}"
        )
    return known[space_key(optimizer)]


def fixed_choice(spec: JointSpec, place: int, name: str) -> dict[str, Choice]:
    """The choice that one field of such a configuration makes, by its name in the search; none for a fixed value."""
    optimizer, value, where = fixed_optimizer(spec, place), spec.fixed[place][name], f"fixed[{place}].{name}"
    space = from_document(spec.spaces[optimizer], f"spaces.{optimizer}")
    if name == OPTIMIZER:
        return {name: optimizer}
    if name in AXES:
        return {name: _among(getattr(spec, name), value, where, "the study's values")}
    if name == RATE and name not in space and EFFECTIVE_RATE in space:
        name, value = EFFECTIVE_RATE, _effective_rate(value, {**_fixed_of(space), **spec.fixed[place]}, where)
    if name not in space:
        names = [OPTIMIZER, *AXES, *space]
        raise SettingsError(f"{where}: there is no such choice.{nearest(name, names)} There are: {', '.join(names)}.")
    dimension = space[name]
    if not isinstance(dimension, Fixed):
        return {f"{optimizer}.{name}": _in_space(dimension, value, where, optimizer)}
    if dimension.value != value:
        raise SettingsError(f"{where}: is {dimension.value} in every trial of this study, got {value!r}.")
    return {}


def _fixed_of(space: Mapping[str, Dimension]) -> dict[str, Value]:
    return {name: each.value for name, each in space.items() if isinstance(each, Fixed)}


def _effective_rate(rate: Any, beside: Mapping[str, Any], where: str) -> Any:
    """The effective rate of a configuration with ``lr``: lr / (1 - momentum), with the momentum that it gives."""
    complement = f"{COMPLEMENT}{MOMENTUM}"
    if MOMENTUM not in beside and complement not in beside:
        raise SettingsError(
            f"{where}: is searched as {EFFECTIVE_RATE} = lr / (1 - momentum): give {EFFECTIVE_RATE}, or "
            f"{complement} beside it."
        )
    given = beside[complement] if complement in beside else beside[MOMENTUM]
    if not all(isinstance(each, (int, float)) and not isinstance(each, bool) for each in (rate, given)):
        return rate  # what is wrong with either is said as of any value
    left = given if complement in beside else 1 - given
    return rate / left if left > 0 else rate


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


def _among(values: Sequence[Any], value: Any, where: str, of: str) -> Any:
    found = next((each for each in values if each == value and isinstance(each, bool) == isinstance(value, bool)), None)
    if found is None:
        raise SettingsError(f"{where}: must be one of {of} ({', '.join(map(str, values))}), got {value!r}.")
    return found


def quasi_random_choices(spec: JointSpec, trials: int) -> list[dict[str, Choice]]:
    """So many points of the space, planned beforehand: the optimizers in turn, scrambled Halton points of the rest.

    Halton's points (Owen, 2017) cover a space evenly in any number; each optimizer has a sequence of its own.
    """
    points = {}
    for name in spec.optimizers:
        own = {**{n: d for n, d in shared_choices(spec).items() if n != OPTIMIZER}, **choices_of(spec, name)}
        count = -(-trials // len(spec.optimizers))
        units = halton(len(own), count, int(digest({"seed": spec.seed, "optimizer": name})[:8], 16))
        points[name] = [
            {OPTIMIZER: name, **{n: _at(d, unit) for (n, d), unit in zip(own.items(), row, strict=True)}}
            for row in units
        ]
    taken = [spec.optimizers[number % len(spec.optimizers)] for number in range(trials)]
    return [points[name][number // len(spec.optimizers)] for number, name in enumerate(taken)]


def _at(distribution: BaseDistribution, unit: float) -> Choice:
    """The choice at 0..1 of a distribution."""
    if isinstance(distribution, CategoricalDistribution):
        return as_choice(Categorical(cast("tuple[Choice, ...]", distribution.choices)).at(unit))
    assert isinstance(distribution, FloatDistribution)
    return Log(distribution.low, distribution.high).at(unit)
