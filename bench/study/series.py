"""JSON document of a series: several studies over one data set, run in turn by one command."""

from collections.abc import Sequence
from typing import Any

from bench.study.prepared import Prepared


def series_document(prepared: Prepared[Any], documents: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Return the JSON document of a series from its studies'; complete once all studies are."""
    statuses = {document["status"] for document in documents}
    return {
        "series": prepared.name,
        "kind": prepared.spec.kind,
        "preset": prepared.spec.preset,
        "status": statuses.pop() if len(statuses) == 1 else "unfinished",
        "studies": documents,
    }
