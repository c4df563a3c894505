"""Find optimizers of a study that are the same algorithm, as Adam and AdamW are without weight decay."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

from bench.optimizers import OptimizerEntry, optimizer_entry
from bench.optimizers.entry import WEIGHT_DECAY
from bench.optimizers.registry import ADABOUND, ADABOUNDW
from bench.optimizers.space import Space, from_document, point, searched
from bench.optimizers.weight_decay import DecayRange, decoupling_flags

DECOUPLED_FORM_OF = {"torch.optim.adamw.AdamW": "torch.optim.adam.Adam", ADABOUNDW: ADABOUND}
"""Kind of a class -> kind of the class from which it differs only by decoupled weight decay."""


@dataclass(frozen=True)
class _Rule:
    """The update rule of one optimizer of a study, apart from its weight decay."""

    name: str
    kind: str
    family: str
    """Kind of the class whose rule it uses."""
    decoupled: bool | None
    """Whether weight decay is decoupled; None if that is searched."""
    fixed: Mapping[str, Any]
    """Value of each argument (or component of a tuple) that is the same at all points of the space."""
    searched: frozenset[str]
    """Arguments that differ between points of the space."""
    space: Mapping[str, Any]
    """Its space as plain data, without weight decay."""


def same_algorithm(
    names: Sequence[str], spaces: Mapping[str, Mapping[str, Any]], weight_decay: float | DecayRange
) -> list[str]:
    """Return a sentence for each pair of optimizers that are one algorithm in this study, with the reason.

    These are pairs whose classes differ only in how they apply weight decay (Adam and AdamW, AdaBound and AdaBoundW;
    one class with and without its argument for decoupling), if there is no weight decay or both apply it decoupled.
    ``spaces``: optimizer -> space as plain data; different fixed values make two algorithms.
    """
    rules = [_rule(name, spaces[name]) for name in names]
    return [_sentence(*pair, weight_decay) for pair in combinations(rules, 2) if _are_same(*pair, weight_decay)]


def _rule(name: str, document: Mapping[str, Any]) -> _Rule:
    entry = optimizer_entry(name)
    space = from_document(document, f"spaces.{name}")
    lowest, highest = (_values(entry, space, unit) for unit in (0.0, 1.0))
    flags = decoupling_flags(entry)
    always_decoupled = entry.kind in DECOUPLED_FORM_OF
    states = {bool(values[flag]) for values in (lowest, highest) for flag in flags} or {always_decoupled}
    of_decay = {*flags, WEIGHT_DECAY}
    return _Rule(
        name=name,
        kind=entry.kind,
        family=DECOUPLED_FORM_OF.get(entry.kind, entry.kind),
        decoupled=states.pop() if len(states) == 1 else None,
        fixed={key: value for key, value in lowest.items() if value == highest[key] and key not in of_decay},
        searched=frozenset(key for key, value in lowest.items() if value != highest[key]),
        space={key: value for key, value in document.items() if key not in of_decay},
    )


def _values(entry: OptimizerEntry, space: Space, unit: float) -> dict[str, Any]:
    """Return all arguments of the class at the lowest (0) or highest (1) point of a space; tuples by component."""
    values = {**entry.hyperparameters, **entry.resolve(point(space, [unit] * searched(space)))}
    components = {each: values[argument][index] for each, (argument, index) in entry.components.items()}
    tuples = {argument for argument, _ in entry.components.values()}
    return {name: value for name, value in values.items() if name not in tuples} | components


def _are_same(one: _Rule, other: _Rule, weight_decay: float | DecayRange) -> bool:
    if one.family != other.family or (one.kind, one.decoupled) == (other.kind, other.decoupled):
        return False
    if weight_decay != 0 and not (one.decoupled and other.decoupled):
        return False
    both = ({*one.fixed} | {*other.fixed}) - one.searched - other.searched
    defaults = {**optimizer_entry(one.name).hyperparameters, **optimizer_entry(other.name).hyperparameters}
    return all(one.fixed.get(key, defaults.get(key)) == other.fixed.get(key, defaults.get(key)) for key in both)


def _sentence(one: _Rule, other: _Rule, weight_decay: float | DecayRange) -> str:
    if weight_decay == 0:
        why = "at weight decay 0: they differ only in how they apply weight decay"
    else:
        why = "here: both apply weight decay to the weights (decoupled), and they differ in nothing else"
    spaces = "" if one.space == other.space else "in what is searched or "
    return (
        f"{one.name} and {other.name} are one algorithm {why}. What sets them apart in the result lies {spaces}in "
        "chance: leave one of them out."
    )
