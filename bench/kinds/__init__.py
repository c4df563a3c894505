"""The kinds of study: one line each. Nothing is imported before it is asked for."""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bench.kinds.planned import PlannedKind

PLANNED: dict[str, str] = {
    "joint": "bench.kinds.joint",
}
"""Kinds whose trials are planned in the ledger: where each is put together; "" where `bench.trials.NAME` and
`bench.analysis.NAME` say all."""


def planned_kind(name: str) -> "PlannedKind[Any]":
    """A planned kind by its name."""
    from bench.kinds.planned import planned

    where = PLANNED[name]
    return importlib.import_module(where).KIND if where else planned(name)
