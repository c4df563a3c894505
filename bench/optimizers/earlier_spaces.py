"""The search spaces of earlier versions, so that a study that was begun with them continues with them."""

from collections.abc import Collection, Mapping
from typing import Any

from bench.optimizers import OPTIMIZERS, optimizer_entry
from bench.optimizers.entry import WEIGHT_DECAY
from bench.optimizers.space import Categorical, Log, Space, as_document, rate_of
from bench.optimizers.weight_decay import DECOUPLED, decoupling_flags, with_flags_as_begun

_MOMENTUM: Space = {"lr": Log(1e-4, 1.0), "one_minus_momentum": Log(5e-3, 0.3)}
_ADABOUND: Space = {"lr": Log(1e-5, 1e-2), "final_lr": Log(1e-3, 1.0), "gamma": Log(1e-4, 1e-1)}
EARLIER: Mapping[str, Space] = {
    "sgd": _MOMENTUM,
    "nesterov": _MOMENTUM,
    "adagrad": {"lr": Log(1e-4, 1.0), "initial_accumulator_value": Categorical((0.0, 0.1))},
    "adadelta": {"lr": Log(1e-3, 10.0), "one_minus_rho": Log(1e-3, 0.3)},
    "adam": {"lr": Log(1e-5, 1e-2), "one_minus_beta1": Log(0.02, 0.5)},
    "adabound": _ADABOUND,
    "amsbound": _ADABOUND,
    "adabound_reference": _ADABOUND,
}
"""The registry's spaces of version 0.1; those of classes are in `OptimizerEntry.earlier_space`."""


def as_begun(spaces: Mapping[str, dict[str, Any]], begun: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Return the spaces of a continued study, by optimizer; ``begun`` are those that it began with.

    An optimizer with its present default space gets that of the earlier version if the study began with it. So does one
    whose study file leaves only the learning rate to the default.
    """
    return {
        name: begun[name] if name in begun and _has_replaced(name, space, begun[name]) else space
        for name, space in spaces.items()
    }


def _has_replaced(name: str, space: dict[str, Any], begun: Mapping[str, Any]) -> bool:
    entry = optimizer_entry(name)
    earlier = EARLIER.get(entry.name) if entry.name in OPTIMIZERS else entry.earlier_space
    if earlier is None or space == begun:
        return False
    now, then = as_document(entry.space), as_document(earlier)
    space = with_flags_as_begun(entry, space, begun)
    added = (WEIGHT_DECAY, *DECOUPLED, *decoupling_flags(entry))  # dimensions that a tuned weight decay adds
    if _part(space, added) == _part(begun, added) and (_rest(space, added), _rest(begun, added)) == (now, then):
        return True
    rates = [rate for rate in (rate_of(now), rate_of(then)) if rate is not None]
    return _rest(space, rates) == _rest(begun, rates) and (_part(space, rates), _part(begun, rates)) == (
        _part(now, rates),
        _part(then, rates),
    )


def _part(space: Mapping[str, Any], names: Collection[str]) -> dict[str, Any]:
    return {name: each for name, each in space.items() if name in names}


def _rest(space: Mapping[str, Any], names: Collection[str]) -> dict[str, Any]:
    return {name: each for name, each in space.items() if name not in names}
