"""The worker loop: claim a trial from the ledger (the Optuna storage of the plan), run it, record it, close it."""

import importlib
import time
from collections import defaultdict
from dataclasses import replace
from functools import wraps
from statistics import fmean
from typing import Any

import torch

from bench.engines import interruption
from bench.engines.checkpoints import trial_checkpoint
from bench.engines.claimed_trial import ClaimedTrial, Runner, claim_trial, heartbeats, send_waiting, sweep
from bench.engines.events import OnEvent, TrialStepped, ignore_event
from bench.engines.trial import RunTrial
from bench.engines.worker_settings import WorkerSettings
from bench.ledger.store import Claim, Ledger
from bench.records.writer import Tracker
from bench.trials.outcome import Outcome

POLL_S = 0.5
"""Seconds between checks while other workers run the last trials."""


def work(settings: WorkerSettings, on_event: OnEvent = ignore_event) -> None:
    """Run trials until all enqueued ones have ended, or the settings' stint has; on an interruption or error, give the
    current trial back."""
    if settings.threads is not None:
        torch.set_num_threads(settings.threads)
    ran: list[float] = []
    settings = replace(settings, trials=replace(settings.trials, run_trial=_timed(settings.trials.run_trial, ran)))
    ledger, tracker = settings.ledger(), settings.tracker()
    send_waiting(settings, ledger, tracker, lambda claim: _run_claimed(claim, settings, ledger, tracker, on_event))
    seconds: dict[str, list[float]] = defaultdict(list)
    while True:
        interruption.check()
        sweep(settings, ledger, tracker)
        if settings.stint is not None and settings.stint.is_over():
            return
        claim = claim_trial(ledger)
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


def _run_claimed(claim: Claim, settings: WorkerSettings, ledger: Ledger, tracker: Tracker, on_event: OnEvent) -> None:
    """Run, record and close a claimed trial; give it back if anything stops this process before that."""

    def stepped(step: int, train_seconds: float) -> None:
        if settings.checkpoints is None:
            interruption.check()  # otherwise the trial ends once its state is saved
        on_event(TrialStepped(claim.spec.id, step, train_seconds))

    trial = ClaimedTrial(claim, settings, ledger, tracker, on_event)
    # Heartbeats from the claim on: each step may wait for a server.
    with trial.given_back_on_error(), heartbeats(ledger, lambda: (claim.key,)):
        spec = trial.resolve()
        if spec is None:
            return
        trial.open(spec, Runner.here())
        with trial_checkpoint(settings.checkpoints, settings.study_name, spec) as checkpoint:
            outcome = settings.trials.run_trial(
                spec,
                concurrent_trials=settings.workers,
                on_step=stepped,
                should_prune=trial.pruner(spec),
                checkpoint=checkpoint,
            )
        trial.finish(outcome)
