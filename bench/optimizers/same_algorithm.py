"""Which optimizers of a study are one algorithm: they differ only in how weight decay is applied, and it is not."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

from bench.optimizers import OptimizerEntry, optimizer_entry
from bench.optimizers.entry import WEIGHT_DECAY
from bench.optimizers.space import Space, from_document, point, searched
from bench.optimizers.weight_decay import DECOUPLED, DecayRange

DECOUPLED_FORM_OF = {"torch.optim.adamw.AdamW": "torch.optim.adam.Adam"}
"""By kind: classes that are another class with its weight decay decoupled, and nothing else."""


@dataclass(frozen=True)
class _Rule:
    """The update rule of one optimizer of a study, apart from its weight decay."""

    name: str
    kind: str
    family: str
    """The kind of the class with which it shares the rule."""
    decoupled: bool | None
    """Whether weight decay is decoupled; None where that is searched."""
    fixed: Mapping[str, Any]
    """Values that no point changes, by argument; a tuple's by component."""
    searched: frozenset[str]
    """Arguments that differ between points."""
    space: Mapping[str, Any]
    """Its document, without what concerns weight decay."""


def same_algorithm(
    names: Sequence[str], spaces: Mapping[str, Mapping[str, Any]], weight_decay: float | DecayRange
) -> list[str]:
    """A sentence for each pair of optimizers that are one algorithm in this study, with the reason; empty for none.

    Two optimizers are, whose classes differ only in how they apply weight decay (Adam and AdamW; one class with and
    without its argument for decoupling), where there is no weight decay, or where both have it decoupled. ``spaces``:
    the study's documents, of which fixed values that contradict each other make two algorithms.
    """
    rules = [_rule(name, spaces[name]) for name in names]
    return [_sentence(*pair, weight_decay) for pair in combinations(rules, 2) if _are_one(*pair, weight_decay)]


def _rule(name: str, document: Mapping[str, Any]) -> _Rule:
    entry = optimizer_entry(name)
    space = from_document(document, f"spaces.{name}")
    lowest, highest = (_values(entry, space, unit) for unit in (0.0, 1.0))
    flags = [each for each in DECOUPLED if each in entry.hyperparameters]
    always = entry.kind in DECOUPLED_FORM_OF
    states = {bool(values[flag]) for values in (lowest, highest) for flag in flags} or {always}
    of_decay = {*DECOUPLED, WEIGHT_DECAY}
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
    """All arguments of the class at the lowest or the highest point of a space; a tuple's by component."""
    values = {**entry.hyperparameters, **entry.resolve(point(space, [unit] * searched(space)))}
    components = {each: values[whole][place] for each, (whole, place) in entry.components.items()}
    wholes = {whole for whole, _ in entry.components.values()}
    return {name: value for name, value in values.items() if name not in wholes} | components


def _are_one(one: _Rule, other: _Rule, weight_decay: float | DecayRange) -> bool:
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
