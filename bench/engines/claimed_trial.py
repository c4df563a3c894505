"""From the claim of a trial to its record: what whoever claims trials does, wherever these run.

Also what is done for trials that nobody holds any more: those of dead workers, and those whose records wait on disk.
"""

import os
import socket
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

from sqlalchemy.exc import SQLAlchemyError

from bench.engines import interruption
from bench.engines.checkpoints import forget_checkpoint
from bench.engines.events import OnEvent, TrialBegan, TrialEnded, TrialReturned
from bench.engines.recording import send_record
from bench.engines.trial import score_of
from bench.engines.worker_settings import WorkerSettings
from bench.ledger.format import HEARTBEAT_S
from bench.ledger.store import MAX_DEATHS, Claim, Ledger
from bench.records.waiting import WaitingRecord, waiting_record, waiting_trials
from bench.records.writer import Tracker
from bench.storage.patience import outages_ignored
from bench.trials.outcome import Outcome
from bench.trials.progress import MS, RunningTrial, results_for_displays
from bench.trials.record import Record, make_record, now_ms
from bench.trials.spec import Slot, TrialSpec
from bench.trials.status import FAULTS, Status


@dataclass(frozen=True)
class Runner:
    """The process that runs a trial."""

    host: str
    pid: int

    @classmethod
    def here(cls) -> "Runner":
        """Return this process."""
        return cls(socket.gethostname(), os.getpid())


class ClaimedTrial:
    """A claimed trial on its way to its record: `resolve`, `open`, then `finish`, or `give_back`.

    Whoever claims a trial does all of this, wherever the trial itself runs.
    """

    def __init__(
        self, claim: Claim, settings: WorkerSettings, ledger: Ledger, tracker: Tracker, on_event: OnEvent
    ) -> None:
        """Take over a claimed trial; nothing is read or written yet."""
        self.claim, self.settings = claim, settings
        self.ledger, self.tracker, self.on_event = ledger, tracker, on_event
        self.began = time.time()
        self._run = ""
        """Id of its MLflow run."""
        self._kept: WaitingRecord | None = None
        """Its result on this machine's disk."""

    def resolve(self) -> TrialSpec | None:
        """Return the trial that is to be run; None if that was not necessary, and it is closed.

        So for a trial that was recorded, whose record waits on disk, or whose workers have died too often.
        """
        claim, ledger, tracker = self.claim, self.ledger, self.tracker
        if claim.deaths:
            tracker.abandon(claim.spec.id)  # the run of the worker whose death was counted
        record = _existing_record(claim, tracker)
        waiting = _waiting_record(claim, self.settings, record)
        known = waiting.outcome.record if record is None and waiting is not None else record
        spec = _resolved_spec(claim, self.settings, ledger, known)
        if record is not None:
            # Recorded by a worker that died before closing the trial, or with a ledger that was deleted.
            _finish(claim.key, record, self.settings, ledger)
            return None
        if waiting is not None:
            self._tell_begin(spec, Runner.here())
            if not tracker.has_run(waiting.run_id):  # somebody has deleted it meanwhile
                run = tracker.start_trial(spec, self.settings.parent_run, began_ms=waiting.ended_ms)
                waiting = waiting.moved(run)
            self._run = waiting.run_id
            self._send(waiting, on_disk=True)
            return None
        if claim.deaths >= MAX_DEATHS:
            # Not when a death is counted, where two processes could record it; a claim has only one owner.
            self.open(spec, Runner.here())
            self.finish(Outcome(_failed_by_deaths(spec, claim.deaths), curve=[]))
            return None
        return spec

    def open(self, spec: TrialSpec, runner: Runner) -> None:
        """Begin the trial's MLflow run, and tell that a process has begun it."""
        self._tell_begin(spec, runner)
        self._run = self.tracker.start_trial(spec, self.settings.parent_run, host=runner.host)
        if runner != Runner.here():
            self.ledger.note_runner(self.claim.key, runner.host, runner.pid)
        self.ledger.release()

    def pruner(self, spec: TrialSpec) -> Callable[[float], bool] | None:
        """Return the function that says after each score whether the trial ends early; None: it is not pruned."""
        return self.settings.trials.pruner(self.ledger, self.claim.key, spec, self.settings.identity)

    def keep(self, outcome: Outcome, ended: float) -> None:
        """Keep a result on this machine's disk until it is recorded; for one that may have to wait for that.

        Another thread may call this. A fault is not kept: `finish` still has to see whether it was an interruption.
        ``ended``: as for `finish`.
        """
        record = self._waiting(outcome, int(ended * MS))
        if outcome.record.status not in FAULTS:
            with suppress(OSError, TypeError, ValueError):  # an outage tries it again, and says why
                record.write()
                self._kept = record

    def finish(self, outcome: Outcome, ended: float | None = None) -> None:
        """Record the trial's result and close it, unless another process has taken it over.

        ``ended``: when it ended, in seconds since the epoch, if its recording, during which its runner goes on, is none
        of its time; None: now, and it is.
        """
        if outcome.record.status in FAULTS:
            interruption.check()  # a library may turn an interruption into an error, which is no result
        record = self._waiting(outcome, now_ms() if ended is None else int(ended * MS))
        if self._kept is not None and self._kept.file != record.file:
            self._kept.remove()  # it was kept before its run was begun
            self._kept = None
        self._send(record, seconds=None if ended is None else ended - self.began)

    def _waiting(self, outcome: Outcome, ended_ms: int) -> WaitingRecord:
        settings = self.settings
        return WaitingRecord(settings.study_name, settings.parent_run, self._run, ended_ms, outcome)

    def give_back(self, *, died: bool = False) -> None:
        """Let the trial wait again; once it is recorded, this does nothing: its run is closed and the trial has ended.

        ``died``: its process has died by itself, which is counted.
        """
        with outages_ignored():  # the run of a server that is away is closed when the study ends
            if self._run:
                self.tracker.at_once.abandon_run(self._run)
            elif self.ledger.is_owner(self.claim.key):  # its run may have been made without the answer being known
                self.tracker.at_once.abandon(self.claim.spec.id)
        if died:
            self.ledger.charge_death_of(self.claim.key)
        else:
            self.ledger.put_back(self.claim.key)
        self.on_event(TrialReturned(self.claim.spec.id))

    @contextmanager
    def given_back_on_error(self) -> Iterator[None]:
        """Give the trial back if anything ends the block but its end."""
        try:
            yield
        except BaseException:
            self.give_back()
            raise

    def _tell_begin(self, spec: TrialSpec, runner: Runner) -> None:
        self.on_event(TrialBegan(_running_trial(spec, self.began, runner)))

    def _send(self, ended: WaitingRecord, *, on_disk: bool = False, seconds: float | None = None) -> None:
        """Record a trial, then tell of it; ``seconds``: what it took; None: the time until then."""
        claim, ledger = self.claim, self.ledger
        with interruption.defer_interrupts():  # who has recorded a trial also tells of it

            def finish(record: Record, waited_s: float) -> None:
                took = time.time() - self.began - waited_s if seconds is None else seconds
                # An earlier session has run what was on the disk.
                _finish(claim.key, record, self.settings, ledger, seconds=None if on_disk else took)

            kept = self._kept is not None
            sent = send_record(ended, claim.key, ledger, self.tracker, finish, on_disk=on_disk, kept=kept)
            if sent is not None:
                counts = ledger.counts()
                ended_trials = counts.total() - counts["waiting"] - counts["running"]
                whole = time.time() - self.began - sent.waited_s
                self.on_event(TrialEnded(sent.record, whole if seconds is None else seconds, ended_trials))
                return
        # This worker was taken for dead and the trial given to another one, whose run is left alone.
        self.tracker.abandon_run(ended.run_id)
        self.on_event(TrialReturned(claim.spec.id))


def claim_trial(ledger: Ledger, trial_id: str | None = None) -> Claim | None:
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


@contextmanager
def heartbeats(ledger: Ledger, keys: Callable[[], Iterable[int]]) -> Iterator[None]:
    """Send heartbeats for claimed trials, the first ones some seconds after those of their claims.

    ``keys``: returns the trials' keys at each beat; called in another thread.
    """
    stop = threading.Event()

    def beat() -> None:
        while not stop.wait(HEARTBEAT_S):
            for key in keys():
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


def send_waiting(settings: WorkerSettings, ledger: Ledger, tracker: Tracker, run: Callable[[Claim], object]) -> None:
    """Send the records that earlier sessions have left in this folder, before others train these trials again.

    ``run``: brings a claimed trial to its end, whose record waits here, or has waited.
    """
    waiting = waiting_trials(settings.study_name, settings.parent_run, settings.identity.get("data_digest"))
    if waiting:
        sweep(settings, ledger, tracker)  # the process that has left one may have been killed
    for trial_id in waiting:
        interruption.check()
        claim = claim_trial(ledger, trial_id)
        if claim is not None:
            run(claim)


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


def _failed_by_deaths(spec: TrialSpec, deaths: int) -> Record:
    message = f"the worker died {deaths} times while it ran this trial"
    return make_record(spec, Status.FAILED, steps_done=0, metrics={}, error=message)


def _running_trial(spec: TrialSpec, began: float, runner: Runner) -> RunningTrial:
    run = spec.run
    return RunningTrial(
        spec.id, spec.phase, spec.optimizer, spec.seed, run.steps, began, runner.host, runner.pid, seconds=run.seconds
    )  # fmt: skip
