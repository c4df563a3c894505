"""The worker loop: claim a trial from the ledger (the Optuna storage of the plan), run it, record it, close it."""

import importlib
import os
import socket
import threading
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from functools import wraps
from pathlib import Path
from statistics import fmean
from typing import Any

import torch
from sqlalchemy.exc import SQLAlchemyError

from bench.engines import interruption
from bench.engines.checkpoints import forget_checkpoint, trial_checkpoint
from bench.engines.events import OnEvent, TrialBegan, TrialEnded, TrialReturned, TrialStepped, ignore_event
from bench.engines.recording import send_record
from bench.engines.stint import Stint
from bench.engines.trial import RunTrial, TrialKind, score_of
from bench.ledger.format import HEARTBEAT_S
from bench.ledger.store import MAX_DEATHS, Claim, Ledger
from bench.records.waiting import WaitingRecord, waiting_record, waiting_trials
from bench.records.writer import Tracker
from bench.storage.patience import outages_ignored
from bench.trials.outcome import Outcome
from bench.trials.progress import RunningTrial, results_for_displays
from bench.trials.record import Record, make_record, now_ms
from bench.trials.spec import Slot, TrialSpec
from bench.trials.status import FAULTS, Status

POLL_S = 0.5
"""Seconds between checks while other workers run the last trials."""


@dataclass(frozen=True)
class WorkerSettings:
    """Everything that a worker needs to open and run its study; picklable."""

    storage_url: str
    tracking_uri: str
    study_name: str
    identity: dict[str, Any]
    parent_run: str
    data: Path
    """Folder of the data set on this machine."""
    trials: TrialKind
    """Functions that run the study's trials."""
    objectives: int = 1
    """Number of values that Optuna gets for each trial."""
    workers: int = 1
    """Trials that run at once on this machine."""
    file_paths: Mapping[str, Path] = field(default_factory=dict)
    """Paths of the study's other files on this machine, by setting; see `StudyBase.file_paths`."""
    driver: Mapping[str, Any] | None = None
    """Process that replaces a worker which dies, and counts its death; None: nobody does."""
    threads: int | None = None
    """Number of torch threads; None: torch's default."""
    checkpoints: str | None = None
    """Shared folder or URL where interrupted trials keep their state; None: nowhere."""
    stint: Stint | None = None
    """Limits of what this command takes of the study; None: it stays until the study ends."""

    def ledger(self) -> Ledger:
        """Open the study's ledger."""
        return Ledger(self.storage_url, self.study_name, self.identity, objectives=self.objectives, driver=self.driver)

    def tracker(self) -> Tracker:
        """Open the study's records in MLflow."""
        return Tracker(self.tracking_uri, self.study_name)


def work(settings: WorkerSettings, on_event: OnEvent = ignore_event) -> None:
    """Run trials until all enqueued ones have ended, or the settings' stint has; on an interruption or error, give the
    current trial back."""
    if settings.threads is not None:
        torch.set_num_threads(settings.threads)
    ran: list[float] = []
    settings = replace(settings, trials=replace(settings.trials, run_trial=_timed(settings.trials.run_trial, ran)))
    ledger, tracker = settings.ledger(), settings.tracker()
    _send_waiting(settings, ledger, tracker, on_event)
    seconds: dict[str, list[float]] = defaultdict(list)
    while True:
        interruption.check()
        sweep(settings, ledger, tracker)
        if settings.stint is not None and settings.stint.is_over():
            return
        claim = _claim(ledger)
        if claim is not None:
            phase = claim.spec.phase
            if not _may_begin(claim, settings, ledger, fmean(seconds[phase]) if seconds[phase] else None):
                return
            ran.clear()
            _run_claimed(claim, settings, ledger, tracker, on_event)
            if settings.stint is not None and not ran:
                settings.stint.give_back()  # it had a record, or was not to be run again
            seconds[phase] += ran
        elif ledger.is_unfinished():
            time.sleep(POLL_S)
        else:
            return


def load_libraries() -> None:
    """Import the modules that PyTorch imports for its first optimizer, so that no trial's time includes these
    seconds."""
    importlib.import_module("torch._dynamo")


def _timed(run_trial: RunTrial, seconds: list[float]) -> RunTrial:
    """Return the function so that it appends the seconds of each trial, without those of waiting for a server."""

    @wraps(run_trial)
    def run(*args: Any, **kwargs: Any) -> Outcome:
        began = time.monotonic()
        try:
            return run_trial(*args, **kwargs)
        finally:
            seconds.append(time.monotonic() - began)

    return run


def _send_waiting(settings: WorkerSettings, ledger: Ledger, tracker: Tracker, on_event: OnEvent) -> None:
    """Send the records that earlier sessions have left in this folder, before others train these trials again."""
    waiting = waiting_trials(settings.study_name, settings.parent_run, settings.identity.get("data_digest"))
    if waiting:
        sweep(settings, ledger, tracker)  # the process that has left one may have been killed
    for trial_id in waiting:
        interruption.check()
        claim = _claim(ledger, trial_id)
        if claim is not None:
            _run_claimed(claim, settings, ledger, tracker, on_event)


def _claim(ledger: Ledger, trial_id: str | None = None) -> Claim | None:
    """Claim a trial (take it to run); if interrupted during that, give it back.

    An interruption while the ledger's server is away may leave it claimed: this process then ends, and another one
    sweeps its trial.
    """
    claim = None
    try:
        with interruption.defer_interrupts():
            claim = ledger.claim(trial_id)
    except KeyboardInterrupt:
        if claim is not None:
            ledger.put_back(claim.key)
        raise
    return claim


def _may_begin(claim: Claim, settings: WorkerSettings, ledger: Ledger, mean_s: float | None) -> bool:
    """Return True if the command's stint allows a claimed trial; otherwise give the trial back."""
    if settings.stint is None:
        return True
    try:
        with interruption.defer_interrupts():
            allowed = settings.stint.take(claim.spec.phase, mean_s)
            if not allowed:
                ledger.put_back(claim.key)
    except BaseException:
        ledger.put_back(claim.key)
        raise
    return allowed


def sweep(settings: WorkerSettings, ledger: Ledger, tracker: Tracker) -> None:
    """Close the recorded trials of dead workers, and let the unrecorded ones wait again."""
    for claim in ledger.stale_trials():
        tracker.abandon(claim.spec.id)
        record = _existing_record(claim, tracker)
        if record is None:
            ledger.put_back_stale(claim.key)
        else:
            _finish(claim.key, record, settings, ledger)


def _existing_record(claim: Claim, tracker: Tracker) -> Record | None:
    """Return the record of a claimed trial if there is one, also under an id of an earlier version."""
    earlier = sorted(claim.spec.earlier_ids) if isinstance(claim.spec, TrialSpec) else []
    return next((record for each in (claim.spec.id, *earlier) if (record := tracker.recorded(each)) is not None), None)


def _waiting_record(claim: Claim, settings: WorkerSettings, record: Record | None) -> WaitingRecord | None:
    """Return the record of a claimed trial that an earlier session could not send; remove one that has come late."""
    waiting = waiting_record(
        settings.study_name, claim.spec.id, settings.parent_run, settings.identity.get("data_digest")
    )
    if waiting is not None and record is not None:
        waiting.remove()
    return waiting


def _finish(
    key: int, record: Record, settings: WorkerSettings, ledger: Ledger, *, seconds: float | None = None
) -> None:
    """Close a recorded trial. ``seconds``: its wall time; None if unknown."""
    values = settings.trials.optuna_values(record, settings.identity)
    shown = results_for_displays(record.metrics, score_of(settings.identity).name, seconds)
    ledger.finish(key, record.status, values, shown)
    forget_checkpoint(settings.checkpoints, settings.study_name, record.trial_id)


def _resolved_spec(claim: Claim, settings: WorkerSettings, ledger: Ledger, record: Record | None) -> TrialSpec:
    """Return the specification of a claimed trial; for a slot it is chosen now, or restored from its record."""
    if not isinstance(claim.spec, Slot):
        return claim.spec.with_data(settings.data, settings.file_paths)
    choose = settings.trials.choose
    assert choose is not None, "a kind that plans slots must have `choose`"
    # Optuna keeps each choice at once, so that an outage in between changes none.
    return ledger.patiently(
        lambda: choose(ledger, claim, {**settings.identity, **settings.file_paths}, settings.data, record)
    )


def _run_claimed(claim: Claim, settings: WorkerSettings, ledger: Ledger, tracker: Tracker, on_event: OnEvent) -> None:
    """Run, record and close a claimed trial; give it back if anything stops this process before that."""
    began = time.time()

    def stepped(step: int, train_seconds: float) -> None:
        if settings.checkpoints is None:
            interruption.check()  # otherwise the trial ends once its state is saved
        on_event(TrialStepped(claim.spec.id, step, train_seconds))

    def send(ended: WaitingRecord, *, on_disk: bool = False) -> None:
        with interruption.defer_interrupts():  # who has recorded a trial also tells of it

            def finish(record: Record, waited_s: float) -> None:
                seconds = None if on_disk else time.time() - began - waited_s  # an earlier session has run it
                _finish(claim.key, record, settings, ledger, seconds=seconds)

            sent = send_record(ended, claim.key, ledger, tracker, finish, on_disk=on_disk)
            if sent is not None:
                counts = ledger.counts()
                ended_trials = counts.total() - counts["waiting"] - counts["running"]
                on_event(TrialEnded(sent.record, time.time() - began - sent.waited_s, ended_trials))
                return
        # This worker was taken for dead and the trial given to another one, whose run is left alone.
        tracker.abandon_run(ended.run_id)
        on_event(TrialReturned(claim.spec.id))

    own_run = ""

    def run() -> None:
        nonlocal own_run
        if claim.deaths:
            tracker.abandon(claim.spec.id)  # the run of the worker whose death was counted
        record = _existing_record(claim, tracker)
        waiting = _waiting_record(claim, settings, record)
        known = waiting.outcome.record if record is None and waiting is not None else record
        spec = _resolved_spec(claim, settings, ledger, known)
        if record is not None:
            # Recorded by a worker that died before closing the trial, or with a ledger that was deleted.
            _finish(claim.key, record, settings, ledger)
            return
        on_event(TrialBegan(_running_trial(spec, began)))
        if waiting is not None:
            if not tracker.has_run(waiting.run_id):  # somebody has deleted it meanwhile
                waiting = waiting.moved(tracker.start_trial(spec, settings.parent_run, began_ms=waiting.ended_ms))
            own_run = waiting.run_id
            send(waiting, on_disk=True)
            return
        own_run = tracker.start_trial(spec, settings.parent_run)
        ledger.release()
        if claim.deaths >= MAX_DEATHS:
            # Not when a death is counted, where two processes could record it; a claim has only one owner.
            record, curve, samples = Outcome(_failed_by_deaths(spec, claim.deaths), curve=[])
        else:
            with trial_checkpoint(settings.checkpoints, settings.study_name, spec) as checkpoint:
                record, curve, samples = settings.trials.run_trial(
                    spec,
                    concurrent_trials=settings.workers,
                    on_step=stepped,
                    should_prune=settings.trials.pruner(ledger, claim.key, spec, settings.identity),
                    checkpoint=checkpoint,
                )
        if record.status in FAULTS:
            interruption.check()  # a library may turn an interruption into an error, which is no result
        outcome = Outcome(record, curve, samples)
        send(WaitingRecord(settings.study_name, settings.parent_run, own_run, now_ms(), outcome))

    try:
        with _heartbeat(ledger, claim.key):  # from the claim on: each step may wait for a server
            run()
    except BaseException:
        # Once the trial is recorded, both calls do nothing: its run is closed and the trial has ended.
        with outages_ignored():  # the run of a server that is away is closed when the study ends
            if own_run:
                tracker.at_once.abandon_run(own_run)
            elif ledger.is_owner(claim.key):  # its run may have been made without the answer being known
                tracker.at_once.abandon(claim.spec.id)
        ledger.put_back(claim.key)
        on_event(TrialReturned(claim.spec.id))
        raise


def _failed_by_deaths(spec: TrialSpec, deaths: int) -> Record:
    message = f"the worker died {deaths} times while it ran this trial"
    return make_record(spec, Status.FAILED, steps_done=0, metrics={}, error=message)


def _running_trial(spec: TrialSpec, began: float) -> RunningTrial:
    host_and_pid, run = (socket.gethostname(), os.getpid()), spec.run
    return RunningTrial(
        spec.id, spec.phase, spec.optimizer, spec.seed, run.steps, began, *host_and_pid, seconds=run.seconds
    )  # fmt: skip


@contextmanager
def _heartbeat(ledger: Ledger, key: int) -> Iterator[None]:
    """Send heartbeats for a claimed trial, the first one some seconds after that of its claim."""
    stop = threading.Event()

    def beat() -> None:
        while not stop.wait(HEARTBEAT_S):
            with suppress(SQLAlchemyError):  # a file that stays locked: try at the next beat
                ledger.send_heartbeat(key)
            ledger.release()

    thread = threading.Thread(target=beat, daemon=True, name="heartbeat")
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()
