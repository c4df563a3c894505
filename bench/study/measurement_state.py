"""State of a measurement study (whose trials are in no ledger), derived from its records."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any


@dataclass(frozen=True)
class MeasurementState:
    """State of one measurement study."""

    study: str
    kind: str
    preset: str
    status: str
    """`complete`, `running` (a measurement was recorded recently) or `unfinished`."""
    counts: Mapping[str, int]
    """Number of measurements by status."""
    last_active: float | None
    """Time of the last measurement, in seconds since the epoch; None if there is none."""

    def document(self) -> dict[str, Any]:
        """Return its row in `posebench study list --json`; `planned` is null, as it depends on the results."""
        moment = self.last_active
        return {
            "study": self.study,
            "kind": self.kind,
            "preset": self.preset,
            "status": self.status,
            "done": sum(self.counts.values()),
            "planned": None,
            "trials": self.counts,
            "last_active": None
            if moment is None
            else datetime.fromtimestamp(moment, UTC).isoformat(timespec="seconds"),
        }
