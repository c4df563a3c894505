"""Make entries for names made of others: a wrapper over an optimizer, one for matrices with one for the rest."""

import inspect
from functools import partial

from bench.optimizers import optimizer_entry
from bench.optimizers.building import PREFIX_REST, build_by_shape
from bench.optimizers.classes import class_at, class_entry, plain_rates
from bench.optimizers.entry import COMPLEMENT, WEIGHT_DECAY, OptimizerEntry
from bench.optimizers.line import pair_line
from bench.optimizers.names import Pair, Wrapped
from bench.optimizers.recognition import driven
from bench.optimizers.space import Space
from bench.optimizers.weight_decay import decoupling_flags
from posemodel.dotted_paths import is_dotted_path
from posemodel.errors import SettingsError


def pair_entry(name: str, pair: Pair) -> OptimizerEntry:
    """Make the entry of one optimizer for weights of two and more dimensions, as matrices, and one for the rest.

    Hyperparameters of the second have the prefix `rest_`; the weight decay is that of both. Both train under one
    schedule: that of the part whose method fixes one. Raises SettingsError if both fix one, and not the same.
    """
    first, rest = optimizer_entry(pair.matrices), optimizer_entry(pair.rest)
    if first.schedule and rest.schedule and first.schedule != rest.schedule:
        raise SettingsError(
            f"optimizer {name}: its parts have two schedules of their own, {pair.matrices} {first.schedule} and "
            f"{pair.rest} {rest.schedule}, but train under one. Replace one of them by an optimizer that takes the "
            "study's schedule, such as adamw."
        )
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
        decoupling=frozenset((*decoupling_flags(first), *(PREFIX_REST + each for each in decoupling_flags(rest)))),
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
    space = plain_rates(rest)
    plain = {name: name.removeprefix(COMPLEMENT) for name in space}
    return {name.removesuffix(plain[name]) + PREFIX_REST + plain[name]: each for name, each in space.items()}


def composed_entry(name: str, parts: Wrapped | Pair) -> OptimizerEntry:
    """Make the entry of a name that is made of others."""
    if isinstance(parts, Pair):
        return pair_entry(name, parts)
    if not is_dotted_path(parts.outer):
        raise SettingsError(f"optimizer {name}: {parts.outer} must be the dotted path of a wrapper, my_package.SAM.")
    return class_entry(name, class_at(parts.outer), parts.inside)
