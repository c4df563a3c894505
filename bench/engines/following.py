"""Follow a study whose trials run in other commands: `--workers 0`, for a machine on which nothing may train."""

import time

from bench.engines import interruption
from bench.engines.claimed_trial import sweep
from bench.engines.events import OnEvent, TrialEnded
from bench.engines.worker_settings import WorkerSettings
from bench.ledger.store import Ledger
from bench.records.growing import GrowingRecords
from bench.records.writer import Tracker
from bench.trials.progress import recorded

POLL_S = 1.0
"""Seconds between two looks at the ledger."""


class Following:
    """Stands in the place of a `Crew`: waits for the workers of other commands, and tells of what they record."""

    def __init__(self, on_event: OnEvent) -> None:
        """``on_event``: called with an event for each new record."""
        self.on_event = on_event
        self._records: GrowingRecords | None = None

    def start(self) -> None:
        """Do nothing: other commands start the workers."""

    def work_off(self, settings: WorkerSettings) -> None:
        """Wait until all enqueued trials have ended; trials of workers that died wait again."""
        ledger, tracker = settings.ledger(), settings.tracker()
        ended = -1
        while True:
            interruption.check()
            sweep(settings, ledger, tracker)
            counts = ledger.counts()
            left = counts["waiting"] + counts["running"]
            if counts.total() - left != ended:
                ended = counts.total() - left
                self._tell(tracker, ledger, ended)
            if not left:
                return
            time.sleep(POLL_S)

    def _tell(self, tracker: Tracker, ledger: Ledger, ended: int) -> None:
        """Send an event for each record that is new since the last call; those of the first call are known already."""
        if self._records is None:
            self._records = GrowingRecords(tracker)
            self._records.read_new()
            return
        seen = {*self._records.rows}
        self._records.catch_up(ledger.ended_trials())
        done = recorded(row for trial_id, row in self._records.rows.items() if trial_id not in seen)
        for trial_id in sorted(done):
            record = tracker.recorded(trial_id)
            if record is not None:
                self.on_event(TrialEnded(record, done[trial_id].seconds or 0.0, ended))
