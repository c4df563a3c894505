"""The kinds of study, put together. Nothing is imported before it is asked for."""

import importlib
from typing import TYPE_CHECKING, Any

from bench.kind_names import PLANNED

if TYPE_CHECKING:
    from bench.kinds.planned import PlannedKind


def planned_kind(name: str) -> "PlannedKind[Any]":
    """A planned kind by its name in the registry."""
    from bench.kinds.planned import planned

    where = PLANNED[name]
    return importlib.import_module(where).KIND if where else planned(name)
