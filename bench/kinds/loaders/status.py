"""Where the loader studies of a store stand, looked at from outside: nothing is written or made."""

import time
from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from bench.kinds.loaders.results import judged_measurements
from bench.kinds.loaders.spec import LARGEST, LOADERS, LoaderSpec
from bench.records import reader
from bench.records.measurements import last_moment, measurements
from bench.records.writer import Tracker
from posemodel.errors import SettingsError

MS = 1000
LOOPS = 2.0
"""A measured loop may take so many times its seconds (see ``SLACK`` in `bench.kinds.loaders.run`)."""
START_S = 180.0
"""What starting a measurement and hashing its batches may take on top."""


@dataclass(frozen=True)
class Standing:
    """One loader study."""

    study: str
    preset: str
    status: str
    """`complete`, `running` (something was recorded a moment ago) or `unfinished`."""
    counts: dict[str, int]
    """Measurements by status."""
    last_active: float | None
    """Seconds since the epoch."""

    def document(self) -> dict[str, Any]:
        """Its row in `posebench study list --json`; how many are planned depends on what they will show."""
        moment = self.last_active
        return {
            "study": self.study,
            "kind": LOADERS,
            "preset": self.preset,
            "status": self.status,
            "done": sum(self.counts.values()),
            "planned": None,
            "trials": self.counts,
            "last_active": None
            if moment is None
            else datetime.fromtimestamp(moment, UTC).isoformat(timespec="seconds"),
        }


def standings(tracking_uri: str, name: str | None = None) -> list[Standing]:
    """Every loader study of a store, or the one of this name; the one that was active last comes first."""
    found = []
    for study, document in reader.studies(tracking_uri).items():
        if document.get("kind") != LOADERS or name not in (None, study):
            continue
        runs = Tracker(tracking_uri, study, create=False)
        try:
            rows = judged_measurements(runs, LoaderSpec.stored(document))
        except SettingsError:  # of another version: its statuses are as they were recorded
            rows = measurements(runs)
        last = last_moment(runs)
        moment = None if last is None else last / MS
        longest_s = LOOPS * document["seconds"] + document["stall_s"] + START_S
        recent = moment is not None and time.time() - moment < longest_s
        status = "complete" if runs.finished() else "running" if recent else "unfinished"
        counts = dict(Counter(map(str, rows.loc[rows["phase"] != LARGEST, "status"]))) if len(rows) else {}
        found.append(Standing(study, document["preset"], status, counts, moment))
    return sorted(found, key=lambda each: (-(each.last_active or 0.0), each.study))
