"""Run a study's trials on a Ray cluster: the study's side, which alone knows ledger and MLflow.

A *place* is an actor of Ray that holds what one trial needs (a GPU or a share of one, cores) for as long as there is
work. Ray places and ships them; this module claims trials, gives them to free places, and records what comes back.
"""

import pickle
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import ray

from bench.engines import checkpoints, interruption
from bench.engines.cluster import messages
from bench.engines.cluster.connection import Connected
from bench.engines.cluster.place import Place, versions
from bench.engines.cluster.serving import NodeTrial, NodeWork
from bench.engines.cluster.settings import EXTRA, Cluster
from bench.engines.cluster.shipping import pack
from bench.engines.events import OnEvent, Stopping, TrialStepped, WorkerDied, WorkersChanged
from bench.engines.processes import MAX_DEATHS, STOP_S, WorkerError
from bench.engines.worker import ClaimedTrial, Runner, WorkerSettings, claim_trial, heartbeats, send_waiting, sweep
from bench.ledger.store import Claim, Ledger
from bench.records.writer import Tracker
from bench.storage.printing import log
from bench.trials.outcome import Outcome
from bench.trials.spec import TrialSpec
from posemodel.errors import SettingsError

POLL_S = 0.5
PENDING = 32
"""Places that are asked of Ray beyond those that it has placed: they are the demand that an autoscaler sees."""
SWEEP_EVERY_S = 5.0
"""Seconds between two looks for trials of other commands' dead workers."""
REFUSE_AFTER_S = 12.0
"""Seconds in which nothing can be placed until the study ends, if no more nodes can come."""
NODE_VERDICT_S = 10.0
"""Seconds after the loss of a place until its death counts as the trial's, since its node lives."""
UNREACHED_S = 60.0
"""Seconds until a place that cannot be reached is given up, without blame."""
UNTRIED = ("cancelled before it started", "its node has died")
"""Parts of Ray's messages about a place that was to start on a node that has died."""
IDLE_S = 60.0
"""Seconds after which a place without a trial gives back what it holds, while others run the last ones."""


@dataclass
class _Running:
    """A trial that runs in a place."""

    trial: ClaimedTrial
    spec: TrialSpec
    generator: Any
    """Ray's stream of its messages."""
    should_prune: Callable[[float], bool] | None


@dataclass
class _Place:
    """One place, as the study's process knows it."""

    actor: Any
    described: Any
    """Ray's promise of its node's description; None once it is kept."""
    prepared: Any = None
    """Ray's promise that its training process is ready; None while there is none."""
    node: str = ""
    """Id of its node; empty until it is placed."""
    runner: Runner | None = None
    """Its training process; None until that is ready."""
    running: _Running | None = None
    idle_since: float = field(default_factory=time.monotonic)

    @property
    def is_free(self) -> bool:
        return self.runner is not None and self.running is None


@dataclass
class _Lost:
    """A trial whose place has ended, until it is known why."""

    running: _Running
    node: str
    since: float
    definite: bool
    """Whether Ray has seen its process end; otherwise it may only be out of reach."""


@dataclass(frozen=True)
class _Ended:
    """A trial that has ended and is still to be recorded."""

    place: _Place
    trial: ClaimedTrial
    outcome: Outcome
    at: float = field(default_factory=time.time)
    """When its outcome came, in seconds since the epoch."""


class ClusterCrew:
    """Runs trials in places of a cluster."""

    def __init__(
        self,
        cluster: Cluster,
        on_event: OnEvent,
        *,
        locate: Callable[[], Path],
        data: Path,
        modules: tuple[str, ...],
        fresh: bool,
    ) -> None:
        """Prepare, without connecting.

        Args:
            cluster: The cluster, and what each trial needs.
            on_event: Called with every event.
            locate: Finds the study's data on a node; picklable.
            data: Its folder here, which is not sent to the nodes.
            modules: Top modules whose distributions describe a node.
            fresh: Start each training process anew instead of forking it, as CUDA wants it.
        """
        self.cluster, self.on_event = cluster, on_event
        self._locate, self._data, self._modules, self._fresh = locate, data, modules, fresh
        self._session = uuid.uuid4().hex[:12]
        self._connected: Connected | None = None
        self._shipped: Any = None
        self._needs: dict[str, float] = {}
        self._places: list[_Place] = []
        self._lost: list[_Lost] = []
        self._ended: list[_Ended] = []
        self._work: bytes | None = None
        self._settings: WorkerSettings | None = None
        self._deaths = 0
        """Training processes that have died in a row without a new record."""
        self._unplaced_since: float | None = None
        self._waits_told = self._described = False
        self._told_workers = 0
        self._swept_at = self._grown_at = 0.0

    def start(self) -> None:
        """Connect, and ask for the first places, which load their libraries in the background."""
        if self._connected is None:
            with interruption.defer_interrupts():
                self._connected = Connected(self.cluster)
            self._shipped = ray.put(pack(Path.cwd(), self._data))
            self._needs = self._connected.needs()
            log(f"posebench: trials run on {self.cluster.text}: {self._connected.text()}")
            self._ask_for(min(self.cluster.most or PENDING, PENDING))

    def work_off(self, settings: WorkerSettings) -> None:
        """Run all enqueued trials on the cluster; its places then wait for the next call.

        Raises SettingsError if nothing can be placed, WorkerError if the trials' processes keep dying.
        """
        ledger, tracker = settings.ledger(), settings.tracker()
        if not ledger.is_unfinished():
            return
        self.start()
        self._settings = settings
        self._work = pickle.dumps(
            NodeWork(
                settings.study_name,
                settings.trials.run_trial,
                self._locate,
                dict(settings.file_paths),
                self._modules,
                settings.checkpoints,
                max(1, int(self._needs["num_cpus"])),
            )
        )
        with heartbeats(ledger, self._keys):
            send_waiting(settings, ledger, tracker, lambda claim: self._send_waiting(claim, settings, ledger, tracker))
            while True:
                interruption.check()
                self._sweep(settings, ledger, tracker)
                self._grow(ledger)
                self._assign(settings, ledger, tracker)
                if not self._keys() and not ledger.is_unfinished():
                    return
                self._receive(tracker)
                self._record_ended(settings, ledger, tracker)
                self._settle_lost()
                self._refuse_unplaceable()

    def dismiss(self) -> None:
        """End all places; the trials that run are given back, with their state if the study has a place for it."""
        with interruption.defer_interrupts():  # a second Ctrl-C still ends everything immediately
            saves = self._settings is not None and self._settings.checkpoints is not None
            try:
                self._stop(checkpoints.STOP_S if saves else STOP_S)
            finally:
                self._give_back_all()
                if self._connected is not None:
                    for place in self._places:
                        self._kill(place)
                    self._connected.close()
                    self._connected = None
                self._places.clear()

    # --- places

    def _ask_for(self, number: int) -> None:
        """Ask Ray for further places."""
        actor_class = ray.remote(Place)
        for _ in range(number):
            actor: Any = actor_class.options(**self._needs, max_restarts=0, max_concurrency=4).remote(
                self._session, self._shipped, fresh=self._fresh
            )
            self._places.append(_Place(actor, actor.describe.remote()))

    def _grow(self, ledger: Ledger) -> None:
        """Have as many places as there are trials, and let go of those that have nothing to do."""
        if time.monotonic() - self._grown_at < POLL_S:
            return
        self._grown_at = time.monotonic()
        counts = ledger.counts()
        busy = sum(place.running is not None for place in self._places)
        wanted = min(busy + counts["waiting"], self.cluster.most or 1_000_000)
        pending = sum(not place.node for place in self._places)
        missing = min(wanted - len(self._places), PENDING - pending)
        if missing > 0:
            self._ask_for(missing)
        spare = len(self._places) - wanted
        now = time.monotonic()
        for place in [each for each in self._places if not each.node or each.is_free][::-1]:
            if spare <= 0 or (place.node and now - place.idle_since < IDLE_S):
                continue
            self._drop(place)
            spare -= 1
        self._tell_workers()

    def _tell_workers(self) -> None:
        """Tell how many trials can run at once."""
        workers = sum(place.runner is not None for place in self._places)
        if workers != self._told_workers:
            self._told_workers = workers
            self.on_event(WorkersChanged(workers))

    def _drop(self, place: _Place) -> None:
        self._kill(place)
        self._places.remove(place)

    def _kill(self, place: _Place) -> None:
        with suppress(Exception):  # it, or the whole cluster, has ended by itself
            ray.kill(place.actor)

    def _refuse_unplaceable(self) -> None:
        """Raise SettingsError if no trial has a place, and none will get one; say that one is waited for."""
        assert self._connected is not None
        if any(place.node for place in self._places) or not self._places:
            self._unplaced_since = None
            return
        self._unplaced_since = self._unplaced_since or time.monotonic()
        if time.monotonic() - self._unplaced_since < REFUSE_AFTER_S:
            return
        why = self._connected.why_unplaceable(self._needs)
        if why is not None and not self._connected.scales():
            raise SettingsError(f"engine: nothing can be placed. {why}")
        if not self._waits_told:
            self._waits_told = True
            reason = "its nodes are busy" if why is None else f"{why} Its autoscaler may add nodes"
            log(f"posebench: waiting for a place in {self.cluster.text}: {reason}")

    # --- trials

    def _keys(self) -> list[int]:
        """Return the ledger's keys of the trials that this process holds."""
        running = [place.running for place in list(self._places) if place.running is not None]
        trials = [each.trial for each in (*running, *(lost.running for lost in list(self._lost)))]
        return [trial.claim.key for trial in (*trials, *(ended.trial for ended in list(self._ended)))]

    def _sweep(self, settings: WorkerSettings, ledger: Ledger, tracker: Tracker) -> None:
        if time.monotonic() - self._swept_at >= SWEEP_EVERY_S:
            sweep(settings, ledger, tracker)
            self._swept_at = time.monotonic()

    def _send_waiting(self, claim: Claim, settings: WorkerSettings, ledger: Ledger, tracker: Tracker) -> None:
        """Send the record of a claimed trial that waits on this machine's disk."""
        trial = ClaimedTrial(claim, settings, ledger, tracker, self.on_event)
        with trial.given_back_on_error():
            if trial.resolve() is not None:
                trial.give_back()  # its file is gone: it runs like all others

    def _assign(self, settings: WorkerSettings, ledger: Ledger, tracker: Tracker) -> None:
        """Give each free place a trial, as long as some wait."""
        for place in [each for each in self._places if each.is_free]:
            if not self._begin_next(place, settings, ledger, tracker):
                return

    def _record_ended(self, settings: WorkerSettings, ledger: Ledger, tracker: Tracker) -> None:
        """Record what has ended; a free place gets its next trial first, as recording takes time."""
        for ended in list(self._ended):
            try:
                if settings.trials.choose is None:  # otherwise a sampler chooses from all results
                    self._begin_next(ended.place, settings, ledger, tracker)
            finally:
                self._record(ended)

    def _record(self, ended: "_Ended") -> None:
        with ended.trial.given_back_on_error():
            ended.trial.finish(ended.outcome, ended.at)
            self._ended.remove(ended)
        self._deaths = 0

    def _begin_next(self, place: _Place, settings: WorkerSettings, ledger: Ledger, tracker: Tracker) -> bool:
        """Claim a trial and begin it in a place, if that is free; False if none waits."""
        if not place.is_free:
            return True
        assert place.runner is not None
        while (claim := claim_trial(ledger)) is not None:
            trial = ClaimedTrial(claim, settings, ledger, tracker, self.on_event)
            with trial.given_back_on_error():
                spec = trial.resolve()
                if spec is None:
                    continue
                should_prune = trial.pruner(spec)
                neighbours = sum(each.node == place.node and each.runner is not None for each in self._places)
                order = pickle.dumps(NodeTrial(spec, neighbours, should_prune is not None))
                generator = place.actor.run.options(num_returns="streaming").remote(order)
                place.running = _Running(trial, spec, generator, should_prune)
                try:
                    trial.open(spec, place.runner)
                except BaseException:
                    place.running = None
                    raise
            return True
        return False

    def _receive(self, tracker: Tracker) -> None:
        """Take what the places have sent."""
        assert self._connected is not None
        awaited: dict[Any, _Place] = {}
        for place in self._places:
            source: Any = place.described or place.prepared or (place.running and place.running.generator)
            if source is not None:
                awaited[source] = place
        if not awaited:
            time.sleep(POLL_S)
            return
        ready, _ = ray.wait(list(awaited), num_returns=1, timeout=POLL_S)
        if ready:
            ready, _ = ray.wait(list(awaited), num_returns=len(awaited), timeout=0)
        each: Any
        for each in ready:
            place = awaited[each]
            try:
                if place.described == each:
                    self._placed(place, ray.get(each))
                elif place.prepared == each:
                    self._ready(place, ray.get(each), tracker)
                else:
                    self._heard(place, ray.get(next(each)))
            except (ray.exceptions.RayActorError, ray.exceptions.RayTaskError, StopIteration) as error:
                self._lose(place, error)

    def _placed(self, place: _Place, description: dict[str, Any]) -> None:
        """Take note of a place's node, which must have this process's versions, and let it load the study."""
        place.described, place.node = None, description["node"]
        there, here = description["versions"], versions()
        other = [f"{name} {there[name]}, here {here[name]}" for name in here if there[name] != here[name]]
        if other:
            raise SettingsError(
                f"engine: node {description['host']} has other versions ({'; '.join(other)}). Install the same on each "
                f"node: {EXTRA}."
            )
        assert self._work is not None
        place.prepared = place.actor.prepare.remote(self._work)

    def _ready(self, place: _Place, answer: messages.Message, tracker: Tracker) -> None:
        place.prepared = None
        if answer[0] != messages.READY:
            self._end_of_process(place, answer)
            return
        about = answer[1]
        place.runner, place.idle_since = Runner(about["host"], about["pid"]), time.monotonic()
        if not self._described:
            tracker.describe_machine(about["machine"])
            self._described = True
        self._tell_workers()

    def _heard(self, place: _Place, message: messages.Message) -> None:
        """Act on a message of a running trial."""
        running = place.running
        assert running is not None
        kind, *values = message
        if kind == messages.STEP:
            self.on_event(TrialStepped(running.spec.id, *values))
        elif kind == messages.SCORE:
            assert running.should_prune is not None
            place.actor.answer.remote(bool(running.should_prune(values[0])))
        elif kind == messages.CRASHED:
            log(f"posebench: a trial's process on {self._host(place)} ended with an error:\n{values[0]}")
        elif kind == messages.OUTCOME:
            self._ended.append(_Ended(place, running.trial, pickle.loads(values[0])))
            place.running, place.idle_since = None, time.monotonic()
        else:
            self._end_of_process(place, message)

    def _end_of_process(self, place: _Place, message: messages.Message) -> None:
        """Give the trial of a training process back that has ended without an outcome, and start another process."""
        running, runner = place.running, place.runner
        place.running = place.runner = None
        if message[0] == messages.FAILED:
            if running is not None:
                running.trial.give_back()
            text, usage = f"node {self._host(place, runner)}: {message[1]}", message[2]
            raise SettingsError(text) if usage else WorkerError(text)
        died = message[0] == messages.DIED
        if died:
            self.on_event(WorkerDied(0 if runner is None else runner.pid))
        if running is not None:
            running.trial.give_back(died=died)
        if died:
            self._deaths += 1
            if self._deaths > MAX_DEATHS:
                raise WorkerError(
                    f"{self._deaths} processes of trials died one after the other, on {self.cluster.text}"
                )
        place.prepared = place.actor.prepare.remote(self._work)
        self._tell_workers()

    def _lose(self, place: _Place, error: BaseException) -> None:
        """Take note that a place has ended, or cannot be reached."""
        if place.running is not None:
            definite = not isinstance(error, ray.exceptions.ActorUnavailableError)
            self._lost.append(_Lost(place.running, place.node, time.monotonic(), definite))
            place.running = None
        self._drop(place)
        self._tell_workers()
        untried = any(text in str(error) for text in UNTRIED)
        if isinstance(error, ray.exceptions.RayTaskError) or not (place.node or untried):  # it could not even start
            self._count_death(f"places could not start on {self.cluster.text}: {_last_line(error)}")

    def _count_death(self, text: str) -> None:
        """Count a death; one too many in a row raises WorkerError with their number and ``text``."""
        self._deaths += 1
        if self._deaths > MAX_DEATHS:
            raise WorkerError(f"{self._deaths} {text}")

    def _settle_lost(self) -> None:
        """Give lost trials back; the death of a place whose node lives counts."""
        if not self._lost:
            return
        assert self._connected is not None
        living = self._connected.living()
        for lost in list(self._lost):
            waited = time.monotonic() - lost.since
            if lost.node not in living or waited > UNREACHED_S:
                died = False
            elif lost.definite and waited > NODE_VERDICT_S:
                died = True
            else:
                continue
            self._lost.remove(lost)
            lost.running.trial.give_back(died=died)
            if died:
                self.on_event(WorkerDied(0))
                self._count_death(f"places died one after the other on {self.cluster.text}")

    # --- the end

    def _stop(self, seconds: float) -> None:
        """Interrupt all running trials, and wait until they have been saved and given back."""
        if self._connected is None:
            return
        for place in self._places:
            if place.running is not None:
                place.actor.stop.remote()
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            open_places = {place.running.generator: place for place in self._places if place.running is not None}
            if not open_places:
                return
            ready, _ = ray.wait(list(open_places), num_returns=1, timeout=POLL_S)
            for source in ready:
                self._hear_last(open_places[source], source)

    def _hear_last(self, place: _Place, source: Any) -> None:
        """Take a message of a trial that is being interrupted; it may have ended by itself."""
        assert self._connected is not None and place.running is not None
        trial = place.running.trial
        try:
            kind, *values = ray.get(next(source))
        except (Exception, StopIteration):  # the place has ended
            kind, values = messages.DIED, []
        if kind == messages.OUTCOME:
            self._ended.append(_Ended(place, trial, pickle.loads(values[0])))
        elif kind in (messages.RETURNED, messages.DIED, messages.FAILED):
            trial.give_back()
        else:
            return
        place.running = None

    def _give_back_all(self) -> None:
        """Record what has ended, and give back what else this process holds."""
        for ended in list(self._ended):
            with suppress(KeyboardInterrupt):  # its record waits on the disk
                self._record(ended)
        for running in [place.running for place in self._places] + [lost.running for lost in self._lost]:
            if running is not None:
                running.trial.give_back()
        for place in self._places:
            place.running = None
        self._lost.clear()
        self._ended.clear()

    def _host(self, place: _Place, runner: Runner | None = None) -> str:
        runner = runner or place.runner
        if runner is not None:
            return runner.host
        assert self._connected is not None
        return next(
            (str(node["NodeManagerHostname"]) for node in self._connected.nodes() if node["NodeID"] == place.node),
            "?",
        )


@contextmanager
def cluster_crew(crew: ClusterCrew) -> Iterator[ClusterCrew]:
    """Yield a crew for all phases of a study; its places end with the block, however it ends."""
    try:
        yield crew
    except KeyboardInterrupt:
        crew.on_event(Stopping())
        raise
    finally:
        crew.dismiss()


def _last_line(error: BaseException) -> str:
    return str(error).strip().rpartition("\n")[2][:300] or type(error).__name__
