"""Send the record of an ended trial to MLflow; while the server is away it waits on disk, as a file of its own."""

import time
from collections.abc import Callable
from dataclasses import dataclass

from bench.engines import interruption
from bench.ledger.store import Ledger
from bench.records.waiting import WaitingRecord
from bench.records.writer import Tracker
from bench.storage.addresses import RECORDS
from bench.storage.patience import Outage, Patience, ServerAwayError
from bench.storage.printing import log
from bench.trials.record import Record

Finish = Callable[[Record, float], None]
"""Closes a trial in the ledger; gets the record that counts, and the seconds that it waited for a server."""


@dataclass(frozen=True)
class Sent:
    """A record that MLflow has."""

    record: Record
    """The one that counts: another process may have recorded the trial in a long outage."""
    waited_s: float
    """Seconds that it waited for the server."""


def send_record(
    ended: WaitingRecord,
    key: int,
    ledger: Ledger,
    tracker: Tracker,
    finish: Finish,
    *,
    on_disk: bool = False,
    kept: bool = False,
) -> Sent | None:
    """Record a trial in MLflow, then call ``finish``; return None if another process has taken over the trial.

    While MLflow's server or the ledger's is away the record waits on disk, and if the ledger answers, it says so
    (`Ledger.note_waiting_record`). An interruption is deferred during each attempt, and ends the waiting between two;
    the file then stays.

    Args:
        ended: The trial's result.
        key: The trial's key in the ledger.
        ledger: The study's ledger.
        tracker: The study's records.
        finish: Called in the attempt that has recorded the trial, or has found it recorded.
        on_disk: The record was read from its file, which an earlier session has left.
        kept: The record is in its file already, but nobody has tried to send it.

    Raises ServerAwayError, which names the file, if a server stays away.
    """
    sending = _Sending(ended, key, ledger, tracker, finish, on_disk=on_disk, kept=kept)
    try:
        return Patience(RECORDS, tracker.uri, sending.on_outage)(sending.attempt)
    except ServerAwayError as error:
        if not sending.on_disk:
            raise
        raise ServerAwayError(
            f"{error} The record of trial {ended.trial_id} waits in {ended.file}: "
            "the same command, in this folder, sends it."
        ) from error


class _Sending:
    """One record on its way."""

    def __init__(
        self,
        ended: WaitingRecord,
        key: int,
        ledger: Ledger,
        tracker: Tracker,
        finish: Finish,
        *,
        on_disk: bool,
        kept: bool = False,
    ) -> None:
        self.ended, self.key, self.ledger, self.finish = ended, key, ledger, finish
        self.tracker = tracker.at_once
        self.is_left, self.on_disk = on_disk, on_disk or kept
        self.written: set[str] = set()
        """Parts of the record that earlier attempts have written."""
        self.failed_at: float | None = None
        """Time of the first failed attempt, in seconds since the epoch."""

    def on_outage(self, outage: Outage | None) -> None:
        """Write the record to the disk when MLflow's server is found to be away, and say so in the ledger."""
        self.keep(outage)
        if outage is not None:
            self.ledger.note_waiting_record(self.key, outage.since)

    def keep(self, outage: Outage | None) -> None:
        """Write the record to the disk when a server is found to be away."""
        if outage is None:
            return
        self.failed_at = outage.since if self.failed_at is None else self.failed_at
        if not self.on_disk:
            try:
                self.ended.write()
                self.on_disk = True
            except (OSError, TypeError, ValueError) as error:  # a workload's samples may hold what JSON cannot
                log(f"posebench: the record cannot be kept in {self.ended.file} ({error}); it waits in memory alone")

    def attempt(self) -> Sent | None:
        """Record the trial once; None if this process is no longer its owner."""
        if self._is_repeated:
            interruption.check()
        is_owner = self.ledger.is_owner(self.key, self.keep)
        repeated = self._is_repeated
        if not is_owner:
            if repeated:
                self.ledger.note_waiting_record(self.key, None)
            return None
        waited_s = 0.0 if self.failed_at is None else time.time() - self.failed_at
        with interruption.defer_interrupts():
            # An attempt whose answer was lost may have recorded it, or another machine in a long outage.
            record = self.tracker.recorded(self.ended.trial_id) if repeated else None
            if record is None:
                record = self.ended.outcome.record
                self.tracker.record_trial(
                    self.ended.run_id,
                    *self.ended.outcome,
                    ended_ms=self.ended.ended_ms,
                    waited=repeated,
                    written=self.written,
                )
            if repeated:
                self.ledger.note_waiting_record(self.key, None)
            self.finish(record, waited_s)
            if self.on_disk:
                self.ended.remove()
        return Sent(record, waited_s)

    @property
    def _is_repeated(self) -> bool:
        return self.failed_at is not None or self.is_left
