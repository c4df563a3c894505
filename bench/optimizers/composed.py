"""Make entries for names made of others: a wrapper over an optimizer, one for matrices with one for the rest."""

from functools import partial

from bench.optimizers import optimizer_entry
from bench.optimizers.building import PREFIX_REST, build_by_shape
from bench.optimizers.classes import class_at, class_entry
from bench.optimizers.entry import OptimizerEntry
from bench.optimizers.line import pair_line
from bench.optimizers.names import Pair, Wrapped
from bench.optimizers.recognition import driven
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
        {**first.space, **{PREFIX_REST + each: dimension for each, dimension in rest.space.items()}},
        f"{first.source}; {rest.source}",
        f"{first.kind}+{rest.kind}",
        {**first.parameters, **{PREFIX_REST + each: parameter for each, parameter in rest.parameters.items()}},
        from_training=True,
        fillable=first.fillable | {PREFIX_REST + each for each in rest.fillable},
        recognise=driven,
        line=partial(pair_line, first, rest),
        schedule=first.schedule or rest.schedule,
    )


def composed_entry(name: str, parts: Wrapped | Pair) -> OptimizerEntry:
    """Make the entry of a name that is made of others."""
    if isinstance(parts, Pair):
        return pair_entry(name, parts)
    if not is_dotted_path(parts.outer):
        raise SettingsError(f"optimizer {name}: {parts.outer} must be the dotted path of a wrapper, my_package.SAM.")
    return class_entry(name, class_at(parts.outer), parts.inside)
