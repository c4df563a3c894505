"""The worker: claim a trial, run it, record it, close it; until nothing waits and nothing runs."""

import importlib
import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from optuna.exceptions import StorageInternalError
from sqlalchemy.exc import SQLAlchemyError

from bench.execute import interruption
from bench.execute.events import OnEvent, TrialBegan, TrialEnded, TrialReturned, TrialStepped, nobody
from bench.ledger import MAX_ATTEMPTS, Claim, Ledger
from bench.ledger_format import HEARTBEAT_S
from bench.progress import InHand
from bench.pruning import TrialPruner
from bench.record import FAULTS, Record, Status, make_record
from bench.spec import TUNE, TrialSpec
from bench.tracking import Tracker
from bench.trials.optimizers import run_trial

POLL_S = 0.5
"""Pause before looking again while other workers run the last trials."""


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


def work(settings: WorkerSettings, on_event: OnEvent = nobody) -> None:
    """Work until the enqueued plan is done. Interrupted, or stopped by an error, the trial in hand goes back."""
    if settings.threads is not None:
        import torch

        torch.set_num_threads(settings.threads)
    ledger = Ledger(settings.storage_url, settings.study_name, settings.identity)
    tracker = Tracker(settings.tracking_uri, settings.study_name)
    while True:
        interruption.check()
        sweep(ledger, tracker)
        claim = _take(ledger)
        if claim is not None:
            _run_claimed(claim, settings, ledger, tracker, on_event)
        elif ledger.counts()["running"]:
            time.sleep(POLL_S)
        else:
            return


def load_libraries() -> None:
    """Import what PyTorch imports by itself for the first optimizer: seconds that no trial should pay."""
    importlib.import_module("torch._dynamo")


def _take(ledger: Ledger) -> Claim | None:
    """Claim a trial whole; interrupted meanwhile, give it back."""
    claim = None
    try:
        with interruption.held():
            claim = ledger.claim()
    except KeyboardInterrupt:
        if claim is not None:
            ledger.put_back(claim.key, attempts=claim.attempts - 1)
        raise
    return claim


def sweep(ledger: Ledger, tracker: Tracker) -> None:
    """Settle the trials of dead workers: recorded ones are closed, others wait again."""
    for claim in ledger.stale():
        tracker.abandon(claim.spec.id)
        record = tracker.recorded(claim.spec.id)
        if record is None:
            ledger.put_back_stale(claim.key)
        else:
            ledger.finish(claim.key, record.status, record.metrics.get("ap"))


def _run_claimed(claim: Claim, settings: WorkerSettings, ledger: Ledger, tracker: Tracker, on_event: OnEvent) -> None:
    """Run, record and close a claimed trial; whatever stops it short of that gives it back untouched."""
    spec = claim.spec.with_data(settings.data)
    began = time.time()

    def stepped(step: int, train_seconds: float) -> None:
        interruption.check()
        on_event(TrialStepped(spec.id, step, train_seconds))

    try:
        record = tracker.recorded(spec.id)
        if record is not None:
            # By a worker that died before it could close the trial, or under a ledger that is gone.
            ledger.finish(claim.key, record.status, record.metrics.get("ap"))
            return
        on_event(TrialBegan(_in_hand(spec, began)))
        run_id = tracker.start_trial(spec, settings.parent_run)
        with _heartbeat(ledger, claim.key):
            if claim.attempts > MAX_ATTEMPTS:
                # Here and not in the sweep, where two workers could record it at once: a claim has one owner.
                record, curve, samples = _given_up(spec, claim.attempts - 1), [], None
            else:
                record, curve, samples = run_trial(
                    spec,
                    concurrent_trials=settings.workers,
                    on_step=stepped,
                    should_prune=_pruner(claim, settings, ledger),
                )
        if record.status in FAULTS:
            interruption.check()  # a library that is interrupted may make a fault of it, which is no result
        if not ledger.owned(claim.key):
            tracker.abandon(spec.id)  # taken for dead, and given to another worker
            on_event(TrialReturned(spec.id))
            return
        with interruption.held():
            tracker.record_trial(run_id, record, curve, samples)
            ledger.finish(claim.key, record.status, record.metrics.get("ap"))
            counts = ledger.counts()
            ended = counts.total() - counts["waiting"] - counts["running"]
            on_event(TrialEnded(record, time.time() - began, ended))
    except BaseException:
        # After the record both do nothing: its run is closed, its trial has ended.
        tracker.abandon(spec.id)
        ledger.put_back(claim.key, attempts=claim.attempts - 1)
        on_event(TrialReturned(spec.id))
        raise


def _given_up(spec: TrialSpec, deaths: int) -> Record:
    message = f"the worker died {deaths} times while it ran this trial"
    return make_record(spec, Status.FAILED, steps_done=0, metrics={}, error=message)


def _in_hand(spec: TrialSpec, began: float) -> InHand:
    here, train = (socket.gethostname(), os.getpid()), spec.train
    return InHand(
        spec.id, spec.phase, spec.optimizer, spec.seed, train.steps, began, *here, seconds=train.seconds
    )  # fmt: skip


def _pruner(claim: Claim, settings: WorkerSettings, ledger: Ledger) -> TrialPruner | None:
    """Who may end a trial early: nobody unless the study wants it, and nobody in the confirm phase."""
    study = settings.identity
    if study["pruner"] == "none" or claim.spec.phase != TUNE:
        return None
    return TrialPruner(
        ledger,
        claim.key,
        claim.spec.optimizer,
        study["pruner"],
        evaluations=study["tune_evaluations"],
        trials=study["trials"],
    )


@contextmanager
def _heartbeat(ledger: Ledger, key: int) -> Iterator[None]:
    stop = threading.Event()

    def beat() -> None:
        while not stop.wait(HEARTBEAT_S):
            with suppress(SQLAlchemyError, StorageInternalError):  # a database that is away for a moment: the next one
                ledger.beat(key)

    thread = threading.Thread(target=beat, daemon=True, name="heartbeat")
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()
