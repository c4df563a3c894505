"""The search spaces of version 0.1, so that a study that was begun with them continues with them."""

from collections.abc import Mapping
from typing import Any

from bench.optimizers.registry import OPTIMIZERS
from bench.optimizers.space import Categorical, Log, Space, as_document

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


def as_begun(spaces: Mapping[str, dict[str, Any]], begun: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Return the spaces of a continued study, by optimizer; ``begun`` are those that it began with.

    An optimizer with the registry's present space gets that of version 0.1 if the study began with that.
    """
    return {
        name: begun[name] if _has_replaced(name, space, begun.get(name)) else space for name, space in spaces.items()
    }


def _has_replaced(name: str, space: Mapping[str, Any], begun: Any) -> bool:
    entry, earlier = OPTIMIZERS.get(name.lower()), EARLIER.get(name.lower())
    if entry is None or earlier is None:
        return False
    return dict(space) == as_document(entry.space) and begun == as_document(earlier)
