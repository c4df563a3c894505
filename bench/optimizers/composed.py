"""Make entries for names made of others: a wrapper over an optimizer, one for matrices with one for the rest."""

import inspect
from functools import partial

from bench.optimizers import optimizer_entry
from bench.optimizers.building import PREFIX_REST, build_by_shape
from bench.optimizers.classes import class_at, class_entry
from bench.optimizers.entry import COMPLEMENT, EFFECTIVE_RATE, MOMENTUM, RATE, WEIGHT_DECAY, OptimizerEntry
from bench.optimizers.line import pair_line
from bench.optimizers.names import Pair, Wrapped
from bench.optimizers.recognition import driven
from bench.optimizers.space import Log, Space
from posemodel.dotted_paths import is_dotted_path
from posemodel.errors import SettingsError


def pair_entry(name: str, pair: Pair) -> OptimizerEntry:
    """Make the entry of one optimizer for weights of two and more dimensions, as matrices, and one for the rest.

    Hyperparameters of the second have the prefix `rest_`; the weight decay is that of both.
    """
    first, rest = optimizer_entry(pair.matrices), optimizer_entry(pair.rest)
    return OptimizerEntry(
        name,
        partial(build_by_shape, first, rest),
        {**first.space, **_space_of_rest(rest)},
        f"{first.source}; {rest.source}",
        f"{first.kind}+{rest.kind}",
        _parameters_of(first, rest),
        from_training=True,
        fillable={**first.fillable, **{PREFIX_REST + name: kind for name, kind in rest.fillable.items()}},
        recognise=driven,
        line=partial(pair_line, first, rest),
        schedule=first.schedule or rest.schedule,
    )


def _parameters_of(first: OptimizerEntry, rest: OptimizerEntry) -> dict[str, inspect.Parameter]:
    """Return the hyperparameters of a pair; it has a weight decay if both have one."""
    own, others = (
        {name: each for name, each in entry.parameters.items() if name != entry.names_inside_by}
        for entry in (first, rest)
    )
    if WEIGHT_DECAY not in others:
        own.pop(WEIGHT_DECAY, None)
    return {**own, **{PREFIX_REST + name: each for name, each in others.items()}}


def _space_of_rest(rest: OptimizerEntry) -> Space:
    """Return the space of the second optimizer by its names in the pair; a range of `effective_lr` as one of `lr`."""
    space = dict(rest.space)
    effective, momentum = space.pop(EFFECTIVE_RATE, None), rest.hyperparameters.get(MOMENTUM)
    if isinstance(effective, Log) and momentum is not None:
        space = {RATE: Log(effective.low * (1 - momentum), effective.high * (1 - momentum)), **space}
    plain = {name: name.removeprefix(COMPLEMENT) for name in space}
    return {name.removesuffix(plain[name]) + PREFIX_REST + plain[name]: each for name, each in space.items()}


def composed_entry(name: str, parts: Wrapped | Pair) -> OptimizerEntry:
    """Make the entry of a name that is made of others."""
    if isinstance(parts, Pair):
        return pair_entry(name, parts)
    if not is_dotted_path(parts.outer):
        raise SettingsError(f"optimizer {name}: {parts.outer} must be the dotted path of a wrapper, my_package.SAM.")
    return class_entry(name, class_at(parts.outer), parts.inside)
