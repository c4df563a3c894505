"""A study's places on a cluster, as its own process sees them: ask Ray for them, hear from them, let go of them.

A *place* is an actor of Ray that holds what one trial needs (a GPU or a share of one, cores) for as long as there is
work. This module knows Ray and nothing of the ledger; `trials` gives the places their trials.
"""

import time
import uuid
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Any

import ray

from bench.engines.claimed_trial import Runner
from bench.engines.cluster import messages
from bench.engines.cluster.connection import Connected
from bench.engines.cluster.messages import Message
from bench.engines.cluster.place import Place, versions
from bench.engines.cluster.settings import EXTRA
from bench.engines.events import OnEvent, WorkersChanged
from bench.storage.printing import log
from posemodel.errors import SettingsError

POLL_S = 0.5
PENDING = 32
"""Places that are asked of Ray beyond those that it has placed: they are the demand that an autoscaler sees."""
UNBOUNDED = 1_000_000
"""Number of places of a study that bounds them by nothing else."""
REFUSE_AFTER_S = 12.0
"""Seconds in which nothing can be placed until the study ends, if no more nodes can come."""
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
    awaited: Any
    """Ray's promise of its next answer, or the stream of its trial's messages; None while it is free."""
    stage: Stage = Stage.PLACING
    node: str = ""
    """Id of its node; empty until it is placed."""
    runner: Runner | None = None
    """Its training process; None while there is none that is ready."""
    idle_since: float = field(default_factory=time.monotonic)

    @property
    def is_free(self) -> bool:
        """Whether it can begin a trial."""
        return self.stage is Stage.FREE

    def prepare(self, work: bytes) -> None:
        """Start its training process, for the pickled `NodeWork`."""
        self.runner, self.stage, self.awaited = None, Stage.PREPARING, self.actor.prepare.remote(work)

    def begin(self, trial: bytes) -> None:
        """Begin a trial, a pickled `NodeTrial`."""
        self.stage, self.awaited = Stage.RUNNING, self.actor.run.options(num_returns="streaming").remote(trial)

    def set_free(self) -> None:
        """Take note that its trial has ended, or its training process is ready."""
        self.stage, self.awaited, self.idle_since = Stage.FREE, None, time.monotonic()

    def answer(self, ends: bool) -> None:
        """Answer a score of its trial: True ends the trial."""
        self.actor.answer.remote(ends)

    def stop(self) -> None:
        """Interrupt its trial, and end its training process."""
        self.actor.stop.remote()

    def kill(self) -> None:
        """End it at once, with what it holds."""
        with suppress(Exception):  # it, or the whole cluster, has ended by itself
            ray.kill(self.actor)


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
        self.cluster, self.needs = connected.cluster, connected.needs()
        self.work = b""
        """The pickled `NodeWork`, which is set before anything is received."""
        self._session = uuid.uuid4().hex[:12]
        self._shipped = ray.put(shipped)
        self._all: list[RemotePlace] = []
        self._told_workers = 0
        self._unplaced_since: float | None = None
        self._waits_told = False
        self._most = UNBOUNDED if self.cluster.most is None else self.cluster.most
        self._ask_for(min(self._most, PENDING))

    def __iter__(self) -> Iterator[RemotePlace]:
        """Iterate over the places that there are now; some may be let go of meanwhile."""
        return iter([*self._all])

    def neighbours(self, place: RemotePlace) -> int:
        """Return how many trials its node can run at once."""
        return sum(each.node == place.node and each.runner is not None for each in self._all)

    def living_nodes(self) -> set[str]:
        """Return the ids of the nodes that have not died."""
        return self._connected.living()

    def host(self, place: RemotePlace) -> str:
        """Return the name of a place's node."""
        if place.runner is not None:
            return place.runner.host
        names = {node["NodeID"]: str(node["NodeManagerHostname"]) for node in self._connected.nodes()}
        return names.get(place.node, "?")

    def receive(self) -> list[tuple[RemotePlace, Message]]:
        """Return what the places have said since, with the one that has said it; waits for something for a moment.

        What comes before a place is ready for its first trial is dealt with here, but `messages.READY` is returned,
        too. A place that has ended, or cannot be reached, has said `messages.LOST`, and is none of them any more.

        Raises SettingsError if a node does not fit.
        """
        awaited = {place.awaited: place for place in self._all if place.awaited is not None}
        if not awaited:
            time.sleep(POLL_S)
            return []
        ready, _ = ray.wait(list(awaited), num_returns=1, timeout=POLL_S)
        if ready:
            ready, _ = ray.wait(list(awaited), num_returns=len(awaited), timeout=0)
        heard = [(awaited[each], self._message_of(awaited[each], each)) for each in ready]
        return [(place, message) for place, message in heard if message is not None]

    def _message_of(self, place: RemotePlace, answered: Any) -> Message | None:
        """Return what a place has answered; None if it was dealt with."""
        try:
            if place.stage is Stage.RUNNING:
                message: Message = ray.get(next(answered))
                return message
            answer: Any = ray.get(answered)
        except (ray.exceptions.RayError, StopIteration) as error:
            return self._lose(place, error)
        if place.stage is Stage.PLACING:
            self._placed(place, answer)
            return None
        if answer[0] == messages.READY:
            place.set_free()
            place.runner = Runner(answer[1]["host"], answer[1]["pid"])
            self.tell_workers()
        return tuple(answer)

    def _placed(self, place: RemotePlace, description: dict[str, Any]) -> None:
        """Take note of a place's node, which must have this process's versions, and let it load the study."""
        place.node = description["node"]
        there, here = description["versions"], versions()
        other = [f"{name} {there[name]}, here {here[name]}" for name in here if there[name] != here[name]]
        if other:
            raise SettingsError(
                f"engine: node {description['host']} has other versions ({'; '.join(other)}). Install the same on each "
                f"node: {EXTRA}."
            )
        place.prepare(self.work)

    def _lose(self, place: RemotePlace, error: BaseException) -> Message:
        """Let go of a place that has ended, or cannot be reached; returns the message about it."""
        self._let_go(place)
        self.tell_workers()
        untried = any(text in str(error) for text in UNTRIED)
        failed = isinstance(error, ray.exceptions.RayTaskError) or not (place.node or untried)
        definite = isinstance(error, ENDED) and not isinstance(error, ray.exceptions.ActorUnavailableError)
        return (messages.LOST, definite, _last_line(error) if failed else None)

    def fit_to(self, running: int, waiting: int) -> None:
        """Have as many places as there are trials, and let go of those that have nothing to do.

        Args:
            running: Number of trials that run in places.
            waiting: Number of trials that wait.
        """
        wanted = min(running + waiting, self._most)
        pending = sum(not place.node for place in self._all)
        self._ask_for(min(wanted - len(self._all), PENDING - pending))
        spare, now = len(self._all) - wanted, time.monotonic()
        for place in [each for each in self._all if not each.node or each.is_free][::-1]:
            if spare <= 0 or (place.node and now - place.idle_since < IDLE_S):
                continue
            self._let_go(place)
            spare -= 1
        self.tell_workers()

    def tell_workers(self) -> None:
        """Tell how many trials can run at once, if that has changed."""
        workers = sum(place.runner is not None for place in self._all)
        if workers != self._told_workers:
            self._told_workers = workers
            self._on_event(WorkersChanged(workers))

    def refuse_unplaceable(self) -> None:
        """Raise SettingsError if no trial has a place, and none will get one; say that one is waited for."""
        if any(place.node for place in self._all) or not self._all:
            self._unplaced_since = None
            return
        self._unplaced_since = self._unplaced_since or time.monotonic()
        if time.monotonic() - self._unplaced_since < REFUSE_AFTER_S:
            return
        why = self._connected.why_unplaceable(self.needs)
        if why is not None and not self._connected.scales():
            raise SettingsError(f"engine: nothing can be placed. {why}")
        if not self._waits_told:
            self._waits_told = True
            reason = "its nodes are busy" if why is None else f"{why} Its autoscaler may add nodes"
            log(f"posebench: waiting for a place in {self.cluster.text}: {reason}")

    def close(self) -> None:
        """End all places."""
        for place in self:
            self._let_go(place)

    def _ask_for(self, number: int) -> None:
        """Ask Ray for further places."""
        actor_class = ray.remote(Place)
        for _ in range(number):
            actor: Any = actor_class.options(**self.needs, max_restarts=0, max_concurrency=4).remote(
                self._session, self._shipped, fresh=self._fresh
            )
            self._all.append(RemotePlace(actor, actor.describe.remote()))

    def _let_go(self, place: RemotePlace) -> None:
        place.kill()
        self._all.remove(place)


def _last_line(error: BaseException) -> str:
    return str(error).strip().rpartition("\n")[2][:300] or type(error).__name__
