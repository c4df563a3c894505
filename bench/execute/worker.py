"""The worker: claim a trial, run it, record it, close it; until nothing waits and nothing runs."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.ledger import HEARTBEAT_S, MAX_ATTEMPTS, Claim, Ledger
from bench.record import Record, Status, make_record
from bench.tracking import Tracker
from bench.trials.optimizers import run_trial

POLL_S = 0.5
"""Pause before looking again while other workers run the last trials."""

OnRecord = Callable[[Record, int], None]
"""Called with each new record and the number of trials that have ended so far."""


@dataclass(frozen=True)
class WorkerSettings:
    """What a worker needs to find its study; picklable."""

    storage_url: str
    tracking_uri: str
    study_name: str
    identity: dict[str, Any]
    parent_run: str
    data: Path
    """Where the data set stands on this machine."""
    workers: int = 1
    """Trials that run at once here."""
    threads: int | None = None
    """torch threads (None: torch's own choice)."""


def work(settings: WorkerSettings, on_record: OnRecord | None = None) -> None:
    """Work until the enqueued plan is done. Interrupted, or stopped by an error, the trial in hand goes back."""
    if settings.threads is not None:
        import torch

        torch.set_num_threads(settings.threads)
    ledger = Ledger(settings.storage_url, settings.study_name, settings.identity)
    tracker = Tracker(settings.tracking_uri, settings.study_name)
    while True:
        sweep(ledger, tracker, settings.parent_run)
        claim = ledger.claim()
        if claim is not None:
            _run_claimed(claim, settings, ledger, tracker, on_record)
        elif ledger.counts()["running"]:
            time.sleep(POLL_S)
        else:
            return


def sweep(ledger: Ledger, tracker: Tracker, parent_run: str) -> None:
    """Settle the trials of dead workers: recorded ones are closed, others wait again, or fail after MAX_ATTEMPTS."""
    for claim in ledger.stale():
        tracker.abandon(claim.spec.id)
        record = tracker.recorded(claim.spec.id)
        if record is None and claim.attempts < MAX_ATTEMPTS:
            ledger.put_back_stale(claim.key)
            continue
        if record is None:
            message = f"the worker died {claim.attempts} times while it ran this trial"
            record = make_record(claim.spec, Status.FAILED, steps_done=0, metrics={}, error=message)
            tracker.record_trial(tracker.start_trial(claim.spec, parent_run), record, [])
        ledger.finish(claim.key, record.status, record.metrics.get("ap"))


def _run_claimed(
    claim: Claim, settings: WorkerSettings, ledger: Ledger, tracker: Tracker, on_record: OnRecord | None
) -> None:
    """Run, record and close a claimed trial; whatever stops it short of that gives it back untouched."""
    spec = claim.spec.with_data(settings.data)
    try:
        record = tracker.recorded(spec.id)
        if record is not None:
            # By a worker that died before it could close the trial, or under a ledger that is gone.
            ledger.finish(claim.key, record.status, record.metrics.get("ap"))
            return
        run_id = tracker.start_trial(spec, settings.parent_run)
        with _heartbeat(ledger, claim.key):
            record, curve = run_trial(spec, concurrent_trials=settings.workers)
        if not ledger.owned(claim.key):
            tracker.abandon(spec.id)  # taken for dead, and given to another worker
            return
        tracker.record_trial(run_id, record, curve)
    except BaseException:
        tracker.abandon(spec.id)
        ledger.put_back(claim.key, attempts=claim.attempts - 1)
        raise
    ledger.finish(claim.key, record.status, record.metrics.get("ap"))
    if on_record is not None:
        counts = ledger.counts()
        on_record(record, counts.total() - counts["waiting"] - counts["running"])


@contextmanager
def _heartbeat(ledger: Ledger, key: int) -> Iterator[None]:
    stop = threading.Event()

    def beat() -> None:
        while not stop.wait(HEARTBEAT_S):
            ledger.beat(key)

    thread = threading.Thread(target=beat, daemon=True, name="heartbeat")
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()
