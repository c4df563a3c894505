"""The trials that run in a study's places: claim them, give them to free places, act on what is said, record results.

Everything here is done by the study's own process, which alone knows ledger and MLflow; `places` knows Ray.
"""

import pickle
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field

from bench.engines.claimed_trial import ClaimedTrial, claim_trial
from bench.engines.cluster import messages
from bench.engines.cluster.messages import Message
from bench.engines.cluster.places import Places, RemotePlace
from bench.engines.cluster.serving import NodeTrial
from bench.engines.events import OnEvent, TrialStepped, WorkerDied
from bench.engines.processes import MAX_DEATHS, WorkerError
from bench.engines.worker_settings import WorkerSettings
from bench.ledger.store import Claim, Ledger
from bench.records.writer import Tracker
from bench.storage.printing import log
from bench.trials.outcome import Outcome
from posemodel.errors import SettingsError

NODE_VERDICT_S = 10.0
"""Seconds after the loss of a place until its death counts as the trial's, since its node lives."""
UNREACHED_S = 60.0
"""Seconds until a place that cannot be reached is given up, without blame."""


@dataclass
class Deaths:
    """Training processes that have died in a row without a new record."""

    number: int = 0

    def count(self, text: str) -> None:
        """Count one more; one too many raises WorkerError with their number and ``text``."""
        self.number += 1
        if self.number > MAX_DEATHS:
            raise WorkerError(f"{self.number} {text}")


@dataclass(frozen=True)
class _Placed:
    """A trial that runs in a place."""

    trial: ClaimedTrial
    should_prune: Callable[[float], bool] | None


@dataclass(frozen=True)
class _Lost:
    """A trial whose place has ended, until it is known why."""

    trial: ClaimedTrial
    node: str
    definite: bool
    """Whether Ray has seen its process end; otherwise it may only be out of reach."""
    since: float = field(default_factory=time.monotonic)


@dataclass(frozen=True)
class _Ended:
    """A trial that has ended and is still to be recorded."""

    place: RemotePlace
    trial: ClaimedTrial
    outcome: Outcome
    at: float = field(default_factory=time.time)
    """When its outcome came, in seconds since the epoch."""


class PlacedTrials:
    """The trials of one phase that this process has claimed for its places."""

    def __init__(self, places: Places, settings: WorkerSettings, on_event: OnEvent, deaths: Deaths) -> None:
        """Open the study's stores; ``deaths``: counts through all phases."""
        self.places, self.settings, self.on_event, self.deaths = places, settings, on_event, deaths
        self.ledger: Ledger = settings.ledger()
        self.tracker: Tracker = settings.tracker()
        self._running: dict[RemotePlace, _Placed] = {}
        self._lost: list[_Lost] = []
        self._ended: list[_Ended] = []

    def keys(self) -> list[int]:
        """Return the ledger's keys of the trials that this process holds; another thread may ask."""
        return [trial.claim.key for trial in (*self._without_outcome(), *(each.trial for each in [*self._ended]))]

    @property
    def running(self) -> int:
        """Number of trials that run in places."""
        return len(self._running)

    def send_waiting(self, claim: Claim) -> None:
        """Send the record of a claimed trial that waits on this machine's disk."""
        trial = self._claimed(claim)
        with trial.given_back_on_error():
            if trial.resolve() is not None:
                trial.give_back()  # its file is gone: it runs like all others

    def assign(self) -> None:
        """Give each free place a trial, as long as some wait."""
        for place in self.places:
            if place.is_free and not self._begin_next(place):
                return

    def hear(self, place: RemotePlace, message: Message) -> None:
        """Act on what a place has said."""
        kind, *values = message
        placed = self._running.get(place)
        if kind == messages.STEP and placed is not None:
            self.on_event(TrialStepped(placed.trial.claim.spec.id, *values))
        elif kind == messages.SCORE and placed is not None:
            assert placed.should_prune is not None
            place.answer(bool(placed.should_prune(values[0])))
        elif kind == messages.CRASHED:
            log(f"posebench: a trial's process on {self.places.host(place)} ended with an error:\n{values[0]}")
        elif kind == messages.OUTCOME and placed is not None:
            self._ended.append(_Ended(place, placed.trial, pickle.loads(values[0])))
            del self._running[place]
            place.set_free()
        elif kind == messages.LOST:
            self._lose(place, *values)
        elif kind in messages.LAST:
            self._end_of_process(place, message)

    def record_ended(self) -> None:
        """Record what has ended; a free place gets its next trial first, as recording takes time."""
        for ended in list(self._ended):
            try:
                if self.settings.trials.choose is None:  # otherwise a sampler chooses from all results
                    self._begin_next(ended.place)
            finally:
                self._record(ended)

    def settle_lost(self) -> None:
        """Give lost trials back; the death of a place whose node lives counts."""
        if not self._lost:
            return
        living = self.places.living_nodes()
        for lost in list(self._lost):
            waited = time.monotonic() - lost.since
            if lost.node not in living or waited > UNREACHED_S:
                died = False
            elif lost.definite and waited > NODE_VERDICT_S:
                died = True
            else:
                continue
            self._lost.remove(lost)
            lost.trial.give_back(died=died)
            if died:
                self.on_event(WorkerDied(0))
                self.deaths.count(f"places died one after the other on {self.places.cluster.text}")

    def stop(self, seconds: float) -> None:
        """Interrupt all running trials, and wait for so long until they have been saved and given back."""
        for place in self._running:
            place.stop()
        deadline = time.monotonic() + seconds
        while self._running and time.monotonic() < deadline:
            for place, (kind, *values) in self.places.receive():
                placed = self._running.get(place)
                if placed is None:
                    continue
                if kind == messages.OUTCOME:  # it has ended by itself
                    self._ended.append(_Ended(place, placed.trial, pickle.loads(values[0])))
                elif kind in (*messages.LAST, messages.LOST):
                    placed.trial.give_back()
                else:
                    continue
                del self._running[place]

    def give_back_all(self) -> None:
        """Record what has ended, and give back what else this process holds."""
        for ended in list(self._ended):
            with suppress(KeyboardInterrupt):  # its record waits on the disk
                self._record(ended)
        for trial in self._without_outcome():
            trial.give_back()
        self._running.clear()
        self._lost.clear()
        self._ended.clear()

    def _without_outcome(self) -> list[ClaimedTrial]:
        return [each.trial for each in [*self._running.values()]] + [each.trial for each in [*self._lost]]

    def _claimed(self, claim: Claim) -> ClaimedTrial:
        return ClaimedTrial(claim, self.settings, self.ledger, self.tracker, self.on_event)

    def _begin_next(self, place: RemotePlace) -> bool:
        """Claim a trial and begin it in a place, if that is free; False if none waits."""
        if not place.is_free:
            return True
        assert place.runner is not None
        while (claim := claim_trial(self.ledger)) is not None:
            trial = self._claimed(claim)
            with trial.given_back_on_error():
                spec = trial.resolve()
                if spec is None:
                    continue
                should_prune = trial.pruner(spec)
                place.begin(pickle.dumps(NodeTrial(spec, self.places.neighbours(place), should_prune is not None)))
                self._running[place] = _Placed(trial, should_prune)
                try:
                    trial.open(spec, place.runner)
                except BaseException:
                    del self._running[place]
                    raise
            return True
        return False

    def _record(self, ended: _Ended) -> None:
        with ended.trial.given_back_on_error():
            ended.trial.finish(ended.outcome, ended.at)
            self._ended.remove(ended)
        self.deaths.number = 0

    def _end_of_process(self, place: RemotePlace, message: Message) -> None:
        """Give the trial of a training process back that has ended without an outcome, and start another process."""
        placed, runner = self._running.pop(place, None), place.runner
        kind, *values = message
        died = kind == messages.DIED
        if died:
            self.on_event(WorkerDied(0 if runner is None else runner.pid))
        if placed is not None:
            placed.trial.give_back(died=died)
        if kind == messages.FAILED:
            text, usage = f"node {self.places.host(place)}: {values[0]}", values[1]
            raise SettingsError(text) if usage else WorkerError(text)
        if died:
            self.deaths.count(f"processes of trials died one after the other, on {self.places.cluster.text}")
        place.prepare(self.places.work)
        self.places.tell_workers()

    def _lose(self, place: RemotePlace, definite: bool, failure: str | None) -> None:
        """Take note that a place has ended, or cannot be reached; ``failure``: why it could not even start."""
        placed = self._running.pop(place, None)
        if placed is not None:
            self._lost.append(_Lost(placed.trial, place.node, definite))
        if failure is not None:
            self.deaths.count(f"places could not start on {self.places.cluster.text}: {failure}")
