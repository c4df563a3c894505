"""A study's places on a cluster, as its own process sees them: ask Ray for them, hear from them, let go of them.

A *place* is an actor of Ray that holds what one trial needs (a GPU or a share of one, cores) for as long as there is
work. This module knows Ray and nothing of the ledger; `trials` gives the places their trials.
"""

import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Any

import ray

from bench.engines.claimed_trial import Runner
from bench.engines.cluster import messages
from bench.engines.cluster.connection import Connected
from bench.engines.cluster.listening import Listener
from bench.engines.cluster.messages import Message
from bench.engines.cluster.nodes import StudyNodes
from bench.engines.cluster.place import Place
from bench.engines.events import OnEvent, WorkersChanged
from bench.engines.processes import STOP_S

POLL_S = 0.5
PENDING = 32
"""Places that are asked of Ray beyond those that it has placed: they are the demand that an autoscaler sees."""
UNBOUNDED = 1_000_000
"""Number of places of a study that bounds them by nothing else."""
UNTRIED = ("cancelled before it started", "its node has died")
"""Parts of Ray's messages about a place that was to start on a node that has died."""
ENDED = (ray.exceptions.RayActorError, ray.exceptions.RayTaskError, StopIteration)
"""Errors that say that a place has ended."""
IDLE_S = 60.0
"""Seconds after which a place without a trial gives back what it holds, while others run the last ones."""


class Stage(Enum):
    """What a place does."""

    PLACING = auto()
    """Ray looks for a node, or starts it there."""
    PREPARING = auto()
    """Its training process starts and finds the study's data."""
    FREE = auto()
    RUNNING = auto()
    """It runs a trial."""


@dataclass(eq=False)
class RemotePlace:
    """One place, as the study's process knows it."""

    actor: Any
    memory: float = 0
    """Memory that it has asked for, in bytes."""
    stage: Stage = Stage.PLACING
    node: str = ""
    """Id of its node; empty until it is placed."""
    runner: Runner | None = None
    """Its training process; None while there is none that is ready."""
    idle_since: float = field(default_factory=time.monotonic)
    avoided: int | None = None
    """Key of a trial that died on its node, and that it leaves to another one; None: it takes what comes."""
    is_stopped: bool = False
    """Whether its trial was interrupted, and it ends after that."""
    is_gone: bool = False
    """Whether it has ended, or was let go of."""

    @property
    def is_free(self) -> bool:
        """Whether it can begin a trial."""
        return self.stage is Stage.FREE and not self.is_stopped and not self.is_gone

    def set_free(self) -> None:
        """Take note that its trial has ended, or its training process is ready."""
        self.stage, self.idle_since = Stage.FREE, time.monotonic()

    def answer(self, ends: bool) -> None:
        """Answer a score of its trial: True ends the trial."""
        self.actor.answer.remote(ends)

    def stop(self) -> None:
        """Interrupt its trial, and end its training process."""
        self.is_stopped = True
        self.actor.stop.remote()


class Places:
    """The places of a study."""

    def __init__(self, connected: Connected, shipped: bytes, on_event: OnEvent, *, fresh: bool) -> None:
        """Ask for the first places, which load their libraries in the background.

        Args:
            connected: The connection to the cluster.
            shipped: Zip file with the modules of the working folder.
            on_event: Told how many trials can run at once.
            fresh: Start each training process anew instead of forking it, as CUDA wants it.
        """
        self._connected, self._on_event, self._fresh = connected, on_event, fresh
        self.cluster = connected.cluster
        self._nodes = StudyNodes(connected, self.cluster)
        self._listener: Listener[RemotePlace] = Listener()
        self.work = b""
        """The pickled `NodeWork`, which is set before anything is received."""
        self.grace_s = STOP_S
        """Seconds that a training process has to end after its place, before it is killed."""
        self._session = uuid.uuid4().hex[:12]
        self._shipped = ray.put(shipped)
        self._all: list[RemotePlace] = []
        self._told_workers = 0
        self._most = UNBOUNDED if self.cluster.most is None else self.cluster.most
        self._ask_for(min(self._most, PENDING))

    def __iter__(self) -> Iterator[RemotePlace]:
        """Iterate over the places that there are now; some may be let go of meanwhile."""
        return iter([*self._all])

    def neighbours(self, place: RemotePlace) -> int:
        """Return how many trials its node can run at once."""
        return sum(each.node == place.node and each.runner is not None for each in self._all)

    @property
    def threads(self) -> int:
        """Number of cores that a trial has to itself."""
        return max(1, int(self._nodes.needs["num_cpus"]))

    @property
    def ready(self) -> int:
        """Number of trials that can run at once."""
        return sum(place.runner is not None for place in self._all)

    def ready_nodes(self) -> set[str]:
        """Return the ids of the nodes on which trials run, or can be begun."""
        return {each.node for each in self._all if each.runner is not None and self._nodes.is_usable(each.node)}

    def leave_out(self, node: str, why: str) -> bool:
        """Use a node no more; False if it is the last one that could be used, and stays."""
        return self._nodes.leave_out(node, why)

    def living_nodes(self) -> set[str]:
        """Return the ids of the nodes that have not died."""
        return self._connected.living()

    def host(self, place: RemotePlace) -> str:
        """Return the name of a place's node."""
        return self._connected.host(place.node) if place.runner is None else place.runner.host

    def keep_with(self, keep: Callable[[RemotePlace, Message], object]) -> None:
        """Have each message of a trial also given to ``keep``, as soon as it comes, in another thread."""
        self._listener.on_answer = lambda place, answer: keep(place, answer) if isinstance(answer, tuple) else None

    def begin(self, place: RemotePlace, trial: bytes) -> None:
        """Begin a trial, a pickled `NodeTrial`, in a place that is free."""
        place.stage = Stage.RUNNING
        self._listener.expect(place.actor.run.options(num_returns="streaming").remote(trial), place)

    def restart(self, place: RemotePlace) -> None:
        """Have a place start another training process, unless its node is about to leave."""
        place.runner = None
        if self._nodes.is_usable(place.node):
            place.stage = Stage.PREPARING
            self._listener.expect(place.actor.prepare.remote(self.work, self.grace_s), place)
        else:
            self._let_go(place)
        self._tell_workers()

    def receive(self) -> list[tuple[RemotePlace, Message]]:
        """Return what the places have said since, with the one that has said it; waits for something for a moment.

        What comes before a place is ready for its first trial is dealt with here, but `messages.READY` is returned,
        too. A place that has ended, or cannot be reached, has said `messages.LOST`, and is none of them any more.

        Raises SettingsError if no node fits.
        """
        heard = []
        for place, answer in self._listener.answers(POLL_S):
            if place.is_gone:
                continue
            if isinstance(answer, BaseException):
                heard.append((place, self._lose(place, answer)))
            elif place.stage is Stage.PLACING:
                self._placed(place, answer)
            else:
                if answer[0] == messages.READY:
                    place.set_free()
                    place.runner = Runner(answer[1]["host"], answer[1]["pid"])
                    self._tell_workers()
                heard.append((place, answer))
        return heard

    def _placed(self, place: RemotePlace, description: Mapping[str, Any]) -> None:
        """Take note of a place's node, which must have this process's versions, and let it load the study."""
        place.node = description["node"]
        if self._nodes.has_my_versions(place.node, description["versions"]):
            self.restart(place)
        else:
            self._let_go(place)

    def _lose(self, place: RemotePlace, error: BaseException) -> Message:
        """Let go of a place that has ended, or cannot be reached; returns the message about it."""
        self._let_go(place)
        self._tell_workers()
        untried = any(text in str(error) for text in UNTRIED)
        failed = isinstance(error, ray.exceptions.RayTaskError) or not (place.node or untried)
        definite = isinstance(error, ENDED) and not isinstance(error, ray.exceptions.ActorUnavailableError)
        return (messages.LOST, definite, _last_line(error) if failed else None)

    def note_memory(self, peak: int) -> None:
        """Take note of the most memory that a trial has taken, in bytes: places that are asked for later state it."""
        self._nodes.note_memory(peak)

    def leave_nodes(self, *, saves: bool) -> None:
        """Let go of the places on nodes that are about to leave, or that are left out.

        ``saves``: trials on a node that is about to leave are interrupted, since they keep their state and go on
        elsewhere; otherwise they run for as long as their node does.
        """
        for place in self:
            if not place.node or self._nodes.is_usable(place.node):
                continue
            if place.stage is not Stage.RUNNING:
                self._let_go(place)
            elif saves and place.node in self._nodes.leaving and not place.is_stopped:
                place.stop()
        self._tell_workers()

    def fit_to(self, running: int, waiting: int) -> None:
        """Have as many places as there are trials, and let go of those that have nothing to do.

        Args:
            running: Number of trials that run in places.
            waiting: Number of trials that wait.
        """
        self._nodes.look()
        needs = self._nodes.needs
        for place in self:
            if not place.node and place.memory > needs.get("memory", 0):
                self._let_go(place)  # the node that had so much has left
        wanted = min(running + waiting, self._most)
        pending = sum(not place.node for place in self._all)
        self._ask_for(min(wanted - len(self._all), PENDING - pending))
        spare, now = len(self._all) - wanted, time.monotonic()
        for place in [each for each in self._all if not each.node or each.is_free][::-1]:
            if spare <= 0 or (place.node and now - place.idle_since < IDLE_S):
                continue
            self._let_go(place)
            spare -= 1
        self._tell_workers()

    def _tell_workers(self) -> None:
        """Tell how many trials can run at once, if that has changed."""
        workers = self.ready
        if workers != self._told_workers:
            self._told_workers = workers
            self._on_event(WorkersChanged(workers))

    def refuse_unplaceable(self) -> None:
        """Raise SettingsError if no trial has a place, and none will get one; say that one is waited for."""
        self._nodes.refuse_unplaceable(placed=any(place.node for place in self._all), wanted=bool(self._all))

    def close(self) -> None:
        """End all places."""
        self._listener.close()
        for place in self:
            self._let_go(place)

    def _ask_for(self, number: int) -> None:
        """Ask Ray for further places."""
        actor_class, needs = ray.remote(Place), self._nodes.needs
        for _ in range(number):
            options = {**needs, "label_selector": self._nodes.selector, "max_restarts": 0, "max_concurrency": 4}
            actor: Any = actor_class.options(**options).remote(self._session, self._shipped, fresh=self._fresh)
            place = RemotePlace(actor, needs.get("memory", 0))
            self._all.append(place)
            self._listener.expect(actor.describe.remote(), place)

    def _let_go(self, place: RemotePlace) -> None:
        place.is_gone = True
        self._listener.forget(place)
        self._all.remove(place)
        if not self._connected.is_lost:
            with suppress(Exception):  # it, or the whole cluster, has ended by itself
                ray.kill(place.actor)


def _last_line(error: BaseException) -> str:
    return str(error).strip().rpartition("\n")[2][:300] or type(error).__name__
