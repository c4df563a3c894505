"""A series of studies over one data set, run in turn by one command."""

from collections.abc import Sequence
from typing import Any

from bench.study.prepared import Prepared


def series_document(prepared: Prepared[Any], documents: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The one JSON document of a series: complete once all of its studies are."""
    statuses = {document["status"] for document in documents}
    return {
        "series": prepared.name,
        "kind": prepared.spec.kind,
        "preset": prepared.spec.preset,
        "status": statuses.pop() if len(statuses) == 1 else "unfinished",
        "studies": documents,
    }
