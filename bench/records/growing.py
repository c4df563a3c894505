"""The records of a study that grows while it is planned: read again at the cost of what is new."""

from collections.abc import Collection, Iterable, Mapping
from typing import Any

from bench.records.reader import StudyRuns
from bench.trials.record import now_ms

OVERLAP_MS = 60_000
"""The newest records are read again by this much of time: the clocks of the machines that record differ."""


class GrowingRecords:
    """Rows of a study's records by trial id, as `Record.as_row` gives them."""

    def __init__(self, runs: StudyRuns) -> None:
        """No record yet; ``runs``: the study's runs in MLflow."""
        self._runs = runs
        self.rows: dict[str, Mapping[str, Any]] = {}
        self._newest_ms: int | None = None
        self._not_found: set[str] = set()
        """Ended trials without a record at the last complete reading."""

    def replace(self, rows: Iterable[Mapping[str, Any]]) -> None:
        """Replace all rows by those of a complete reading."""
        self.rows, self._newest_ms = {}, None
        self._add(rows)

    def add(self, row: Mapping[str, Any]) -> None:
        """Add the row of a trial that this process has recorded."""
        self.rows[row["trial_id"]] = row

    def read_new(self) -> None:
        """Add the records that MLflow has got since the newest known one.

        A record whose trial ended long before it was sent, or on a machine whose clock is behind, is not found: see
        `catch_up`.
        """
        after = None if self._newest_ms is None else self._newest_ms - OVERLAP_MS
        self._add(self._runs.record_rows(ended_after_ms=after))

    def catch_up(self, ended: Collection[str]) -> None:
        """Add the new records, and read all of them if that of an ended trial is still missing.

        ``ended``: ids of trials that the ledger had closed before this call. One whose record a complete reading has
        not brought (it stands under an id of an earlier version) causes no second one.
        """
        self.read_new()
        if not self._unread(ended) <= self._not_found:
            self._add(self._runs.record_rows())
            self._not_found = self._unread(ended)

    def _unread(self, ended: Collection[str]) -> set[str]:
        return {*ended} - self.rows.keys()

    def _add(self, rows: Iterable[Mapping[str, Any]]) -> None:
        for row in rows:
            self.rows.setdefault(row["trial_id"], row)
            # A clock that is ahead must not hide what the others record from now on.
            self._newest_ms = min(max(self._newest_ms or 0, int(row["ended_ms"])), now_ms())
