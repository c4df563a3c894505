"""The questions that a study can ask, a folder each. In: settings and records; out: what to run next, and findings.

None imports another; `names` is their registry. Nothing is imported before it is asked for.
"""

import importlib
from typing import TYPE_CHECKING, Any

from bench.kinds.names import PLANNED

if TYPE_CHECKING:
    from bench.study.kind import PlannedKind


def planned_kind(name: str) -> "PlannedKind[Any]":
    """A planned kind by its name in the registry."""
    from bench.study.kind import planned

    where = PLANNED[name]
    return importlib.import_module(where).KIND if where else planned(name)
