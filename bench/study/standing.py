"""Where a study stands whose trials are in no ledger: what its records say."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any


@dataclass(frozen=True)
class Standing:
    """One study that measures."""

    study: str
    kind: str
    preset: str
    status: str
    """`complete`, `running` (something was recorded a moment ago) or `unfinished`."""
    counts: Mapping[str, int]
    """Measurements by status."""
    last_active: float | None
    """Seconds since the epoch."""

    def document(self) -> dict[str, Any]:
        """Its row in `posebench study list --json`; how many are planned depends on what they will show."""
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
