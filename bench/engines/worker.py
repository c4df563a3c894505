"""The worker: claim a trial, run it, record it, close it; until nothing waits and nothing runs."""

import importlib
import os
import socket
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from optuna.exceptions import StorageInternalError
from sqlalchemy.exc import SQLAlchemyError

from bench.engines import interruption
from bench.engines.events import OnEvent, TrialBegan, TrialEnded, TrialReturned, TrialStepped, ignore_event
from bench.engines.trial import TrialKind
from bench.ledger.format import HEARTBEAT_S
from bench.ledger.store import MAX_ATTEMPTS, Claim, Ledger
from bench.records.writer import Tracker
from bench.trials.outcome import Outcome
from bench.trials.progress import RunningTrial
from bench.trials.record import Record, make_record
from bench.trials.spec import Slot, TrialSpec
from bench.trials.status import FAULTS, Status

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
    trials: TrialKind
    """How the study's trials are run."""
    objectives: int = 1
    """Values that Optuna is told of a trial."""
    workers: int = 1
    """Trials that run at once here."""
    places: Mapping[str, Path] = field(default_factory=dict)
    """Where the study's other files stand on this machine, see `StudyBase.places`."""
    threads: int | None = None
    """torch threads (None: torch's own choice)."""

    def ledger(self) -> Ledger:
        """The study's ledger, opened."""
        return Ledger(self.storage_url, self.study_name, self.identity, objectives=self.objectives)

    def tracker(self) -> Tracker:
        """The study's MLflow side, opened."""
        return Tracker(self.tracking_uri, self.study_name)


def work(settings: WorkerSettings, on_event: OnEvent = ignore_event) -> None:
    """Work until the enqueued plan is done. Interrupted, or stopped by an error, the trial in hand goes back."""
    if settings.threads is not None:
        torch.set_num_threads(settings.threads)
    ledger, tracker = settings.ledger(), settings.tracker()
    while True:
        interruption.check()
        sweep(settings, ledger, tracker)
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
        with interruption.defer_interrupts():
            claim = ledger.claim()
    except KeyboardInterrupt:
        if claim is not None:
            ledger.put_back(claim.key, attempts=claim.attempts - 1)
        raise
    return claim


def sweep(settings: WorkerSettings, ledger: Ledger, tracker: Tracker) -> None:
    """Settle the trials of dead workers: recorded ones are closed, others wait again."""
    for claim in ledger.stale():
        tracker.abandon(claim.spec.id)
        record = _record_of(claim, tracker)
        if record is None:
            ledger.put_back_stale(claim.key)
        else:
            _finish(claim.key, record, settings, ledger)


def _record_of(claim: Claim, tracker: Tracker) -> Record | None:
    """What came of a claimed trial, under whatever id a version has recorded it."""
    earlier = sorted(claim.spec.earlier_ids) if isinstance(claim.spec, TrialSpec) else []
    return next((found for each in (claim.spec.id, *earlier) if (found := tracker.recorded(each)) is not None), None)


def _finish(key: int, record: Record, settings: WorkerSettings, ledger: Ledger) -> None:
    ledger.finish(key, record.status, settings.trials.optuna_values(record, settings.identity))


def _planned(claim: Claim, settings: WorkerSettings, ledger: Ledger, record: Record | None) -> TrialSpec:
    """What a claimed trial is: chosen now, where the plan left that open; ``record``: what came of it before."""
    if not isinstance(claim.spec, Slot):
        return claim.spec.with_data(settings.data, settings.places)
    choose = settings.trials.choose
    assert choose is not None, "a kind that plans places chooses what is tried there"
    return choose(ledger, claim, {**settings.identity, **settings.places}, settings.data, record)


def _run_claimed(claim: Claim, settings: WorkerSettings, ledger: Ledger, tracker: Tracker, on_event: OnEvent) -> None:
    """Run, record and close a claimed trial; whatever stops it short of that gives it back untouched."""
    began = time.time()

    def stepped(step: int, train_seconds: float) -> None:
        interruption.check()
        on_event(TrialStepped(claim.spec.id, step, train_seconds))

    try:
        record = _record_of(claim, tracker)
        spec = _planned(claim, settings, ledger, record)
        if record is not None:
            # By a worker that died before it could close the trial, or under a ledger that is gone.
            _finish(claim.key, record, settings, ledger)
            return
        on_event(TrialBegan(_in_hand(spec, began)))
        run_id = tracker.start_trial(spec, settings.parent_run)
        with _heartbeat(ledger, claim.key):
            if claim.attempts > MAX_ATTEMPTS:
                # Here and not in the sweep, where two workers could record it at once: a claim has one owner.
                record, curve, samples = Outcome(_given_up(spec, claim.attempts - 1), curve=[])
            else:
                record, curve, samples = settings.trials.run_trial(
                    spec,
                    concurrent_trials=settings.workers,
                    on_step=stepped,
                    should_prune=settings.trials.pruner(ledger, claim.key, spec, settings.identity),
                )
        if record.status in FAULTS:
            interruption.check()  # a library that is interrupted may make a fault of it, which is no result
        if not ledger.owned(claim.key):
            tracker.abandon(spec.id)  # taken for dead, and given to another worker
            on_event(TrialReturned(spec.id))
            return
        with interruption.defer_interrupts():
            tracker.record_trial(run_id, record, curve, samples)
            _finish(claim.key, record, settings, ledger)
            counts = ledger.counts()
            ended = counts.total() - counts["waiting"] - counts["running"]
            on_event(TrialEnded(record, time.time() - began, ended))
    except BaseException:
        # After the record both do nothing: its run is closed, its trial has ended.
        tracker.abandon(claim.spec.id)
        ledger.put_back(claim.key, attempts=claim.attempts - 1)
        on_event(TrialReturned(claim.spec.id))
        raise


def _given_up(spec: TrialSpec, deaths: int) -> Record:
    message = f"the worker died {deaths} times while it ran this trial"
    return make_record(spec, Status.FAILED, steps_done=0, metrics={}, error=message)


def _in_hand(spec: TrialSpec, began: float) -> RunningTrial:
    here, run = (socket.gethostname(), os.getpid()), spec.run
    return RunningTrial(
        spec.id, spec.phase, spec.optimizer, spec.seed, run.steps, began, *here, seconds=run.seconds
    )  # fmt: skip


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
