"""The trials that run in a study's places: claim them, give them to free places, act on what is said, record results.

Everything here is done by the study's own process, which alone knows ledger and MLflow; `places` knows Ray.
"""

import pickle
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

from bench.engines.claimed_trial import ClaimedTrial, claim_trial
from bench.engines.cluster import messages
from bench.engines.cluster.deaths import Deaths
from bench.engines.cluster.messages import Message
from bench.engines.cluster.places import Places, RemotePlace
from bench.engines.cluster.serving import NodeTrial
from bench.engines.events import OnEvent, TrialStepped, WorkerDied
from bench.engines.processes import WorkerError
from bench.engines.worker_settings import WorkerSettings
from bench.ledger.store import Claim, Ledger
from bench.records.waiting import WAITING
from bench.records.writer import Tracker
from bench.storage.patience import ServerAwayError, outages_ignored
from bench.storage.printing import log
from bench.trials.outcome import Outcome
from posemodel.errors import SettingsError

NODE_VERDICT_S = 10.0
"""Seconds after the loss of a place until its death counts as the trial's, since its node lives."""
UNREACHED_S = 60.0
"""Seconds until a place that cannot be reached is given up, without blame."""


@dataclass(frozen=True)
class _Placed:
    """A trial that runs in a place."""

    trial: ClaimedTrial
    should_prune: Callable[[float], bool] | None


@dataclass(frozen=True)
class _Lost:
    """A place that has ended, until it is known why."""

    trial: ClaimedTrial | None
    """Its trial; None if it ran none."""
    node: str
    host: str
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
        self._arrived: dict[RemotePlace, _Ended] = {}
        """Outcomes that have come while this process did something else."""
        self._ended: list[_Ended] = []
        places.keep_with(self._keep)

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
            if place.is_free and not self._waits(place) and not self._begin_next(place):
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
            self._ended.append(self._arrived.pop(place))
            del self._running[place]
            place.set_free()
            self.places.note_memory(values[1])
            for node in self.deaths.bad_nodes(placed.trial.claim.key, place.node):
                self.places.leave_out(node, "processes of several trials died there and ended elsewhere")
        elif kind == messages.LOST:
            self._lose(place, *values)
        elif kind in messages.LAST:
            self._end_of_process(place, message)

    def record_ended(self) -> None:
        """Record what has ended; a free place gets its next trial first, as recording takes time."""
        for ended in list(self._ended):
            if self.settings.trials.choose is None:  # otherwise a sampler chooses from all results
                self._begin_next(ended.place)
            self._record(ended)

    @contextmanager
    def waiting_named(self) -> Iterator[None]:
        """Have the error of a server that stays away also say where results wait that have come meanwhile."""
        try:
            yield
        except ServerAwayError as error:
            if not (self._ended or self._arrived):
                raise
            raise ServerAwayError(
                f"{error} Records of trials that have ended wait in {WAITING / self.settings.study_name}: the same "
                "command, in this folder, sends them."
            ) from error

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
            if lost.trial is not None:
                lost.trial.give_back(died=died)
            if died and lost.trial is not None:
                self.deaths.note(lost.trial.claim.key, lost.node)
            elif died and self.deaths.is_bad_for_places(lost.node):
                self.places.leave_out(lost.node, "places died there before they ran a trial")
            if died:
                self.on_event(WorkerDied(0, lost.host))
                self._count_death("places died one after the other on")

    def stop(self, seconds: float) -> None:
        """Interrupt all running trials, and wait for so long until they have been saved and given back."""
        for place in self._running:
            place.stop()
        deadline = time.monotonic() + seconds
        while self._running and time.monotonic() < deadline:
            for place, (kind, *_values) in self.places.receive():
                placed = self._running.get(place)
                if placed is None:
                    continue
                if kind == messages.OUTCOME:  # it has ended by itself
                    self._ended.append(self._arrived.pop(place))
                elif kind in (*messages.LAST, messages.LOST):
                    placed.trial.give_back()
                else:
                    continue
                del self._running[place]

    def give_back_all(self) -> None:
        """Record what has ended, unless a server is away, and give back what else this process holds."""
        answers = True
        for ended in list(self._ended):
            if answers:
                answers = False
                with suppress(KeyboardInterrupt), outages_ignored():
                    self._record(ended)
                    answers = True
            else:
                ended.trial.give_back()  # its record waits on the disk
        for trial in self._without_outcome():
            trial.give_back()
        self._running.clear()
        self._lost.clear()
        self._ended.clear()

    def _keep(self, place: RemotePlace, message: Message) -> None:
        """Keep an outcome on the disk as soon as it comes, in another thread: this process may wait for a server."""
        placed = self._running.get(place)
        if message[0] == messages.OUTCOME and placed is not None:
            try:
                ended = _Ended(place, placed.trial, pickle.loads(message[1]))
            except Exception as error:  # a class that its node has, and this process has not
                raise WorkerError(
                    f"node {self.places.host(place)}: what a trial there has returned cannot be read here "
                    f"({type(error).__name__}: {error}). Install the same versions of all packages on each node."
                ) from error
            ended.trial.keep(ended.outcome, ended.at)
            self._arrived[place] = ended

    def _without_outcome(self) -> list[ClaimedTrial]:
        return [each.trial for each in [*self._running.values()]] + [
            each.trial for each in [*self._lost] if each.trial is not None
        ]

    def _claimed(self, claim: Claim) -> ClaimedTrial:
        return ClaimedTrial(claim, self.settings, self.ledger, self.tracker, self.on_event)

    def _waits(self, place: RemotePlace) -> bool:
        """Return whether a place leaves the first trial to another node, which has not begun one since."""
        return place.avoided is not None and self.deaths.is_for_others(
            place.avoided, place.node, self.places.ready_nodes()
        )

    def _begin_next(self, place: RemotePlace) -> bool:
        """Claim a trial and begin it in a place, if that is free; False if none waits."""
        if not place.is_free:
            return True
        assert place.runner is not None
        while (claim := claim_trial(self.ledger)) is not None:
            if self.deaths.is_for_others(claim.key, place.node, self.places.ready_nodes()):
                self.ledger.put_back(claim.key)
                place.avoided = claim.key
                return True
            trial = self._claimed(claim)
            with trial.given_back_on_error():
                spec = trial.resolve()
                if spec is None:
                    continue
                should_prune = trial.pruner(spec)
                order = pickle.dumps(NodeTrial(spec, self.places.neighbours(place), should_prune is not None))
                self._running[place] = _Placed(trial, should_prune)
                self.places.begin(place, order)
                for each in self.places:
                    each.avoided = None
                try:
                    trial.open(spec, place.runner)
                except BaseException:
                    del self._running[place]
                    raise
            return True
        return False

    def _record(self, ended: _Ended) -> None:
        try:
            with ended.trial.given_back_on_error():
                ended.trial.finish(ended.outcome, ended.at)
        finally:
            self._ended.remove(ended)  # only now: until then it has heartbeats
        self.deaths.number = 0

    def _end_of_process(self, place: RemotePlace, message: Message) -> None:
        """Give the trial of a training process back that has ended without an outcome, and start another process."""
        placed, runner, host = self._running.pop(place, None), place.runner, self.places.host(place)
        kind, *values = message
        died = kind == messages.DIED
        if died:
            self.on_event(WorkerDied(0 if runner is None else runner.pid, host))
            if values[0]:
                log(f"posebench: a trial's process on {host} died; the last lines there:\n{values[0]}")
        if placed is not None:
            placed.trial.give_back(died=died)
            if died:
                self.deaths.note(placed.trial.claim.key, place.node)
        if kind == messages.FAILED:
            self._fail(place, host, *values, is_preparing=placed is None)
        elif died:
            self._count_death("processes of trials died one after the other, on")
        elif not place.is_stopped:
            log(
                f"posebench: a trial's process on {self.places.host(place)} was interrupted there; its trial runs again"
            )
            self._count_death("processes of trials were interrupted on the nodes of")
        self.places.restart(place)

    def _fail(self, place: RemotePlace, host: str, text: str, usage: bool, *, is_preparing: bool) -> None:
        """Leave out a node on which no trial can be begun, if there is another one; else raise its error."""
        if not (is_preparing and self.places.leave_out(place.node, text)):
            raise SettingsError(f"node {host}: {text}") if usage else WorkerError(f"node {host}: {text}")

    def _count_death(self, text: str, why: str = "") -> None:
        self.deaths.count(f"{text} {self.places.cluster.text}{why}", places=self.places.ready)

    def _lose(self, place: RemotePlace, definite: bool, failure: str | None) -> None:
        """Take note that a place has ended, or cannot be reached; ``failure``: why it could not even start."""
        placed = self._running.pop(place, None)
        if place.node:
            trial = None if placed is None else placed.trial
            self._lost.append(_Lost(trial, place.node, self.places.host(place), definite))
        if failure is not None:
            self._count_death("places could not start on", f": {failure}")
