"""A worker reduced to its ledger, in processes of their own: for tests that race several, and for one that dies.

They are forked from a process that has its libraries loaded, so that a start takes milliseconds.
"""

import multiprocessing
import os
import signal
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from typing import Any

import sqlalchemy

from bench.kinds.optimizers.plan import plan
from bench.kinds.optimizers.spec import StudySpec
from bench.ledger.store import Ledger, OptunaValues
from bench.measure.loader import fork_server
from bench.trials.status import Status
from tests.support.forking_process import WORKERS
from tests.support.unsynced import write_without_waiting

TIMEOUT_S = 300
CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload([*fork_server.PRELOADED, *WORKERS])


class LedgerProcess:
    """One of them, and what it says."""

    def __init__(self, act: Callable[..., None], *arguments: Any) -> None:
        """Start: ``act`` gets the arguments, and a connection to speak through."""
        self._said, speak = CONTEXT.Pipe(duplex=False)
        self.process: BaseProcess = CONTEXT.Process(target=act, args=(*arguments, speak), daemon=True)
        self.process.start()
        speak.close()

    def said(self) -> Any:
        """The next thing that it says; an error where it ended first."""
        assert self._said.poll(TIMEOUT_S), "the process says nothing"
        return self._said.recv()

    def wait(self) -> int | None:
        """Its exit code, once it has ended."""
        self.process.join(TIMEOUT_S)
        return self.process.exitcode

    def end(self) -> None:
        """End it, whatever it does."""
        self.process.kill()
        self.process.join()
        self._said.close()


def drain(url: str, document: str, together: Any, rounds: int, speak: Connection) -> None:
    """Take and finish trials until none waits: the first ``rounds`` in step with the others, so that each is raced.

    Says the ids of what it took.
    """
    ledger = _ledger(url, document)
    taken: list[str] = []

    def take() -> bool:
        claim = ledger.claim()
        if claim is None:
            return False
        taken.append(claim.spec.id)
        ledger.finish(claim.key, Status.COMPLETE, OptunaValues((0.5,)))
        return True

    for _ in range(rounds):
        together.wait(TIMEOUT_S)
        take()
    together.wait(TIMEOUT_S)
    while take():
        pass
    speak.send(taken)


def enqueue(url: str, document: str, together: Any, speak: Connection) -> None:
    """Enqueue the study's first trials at the same moment as the others; says how many."""
    ledger = _ledger(url, document)
    planned = plan(StudySpec.model_validate_json(document), {})
    together.wait(TIMEOUT_S)
    speak.send(ledger.enqueue(planned))


def hold(url: str, document: str, speak: Connection) -> None:
    """Take a trial, say its key, and live on."""
    speak.send(_ledger(url, document).claim().key)
    time.sleep(2 * TIMEOUT_S)


def die(url: str, document: str, speak: Connection) -> None:
    """Take a trial, say its key, and be killed."""
    speak.send(_ledger(url, document).claim().key)
    os.kill(os.getpid(), signal.SIGKILL)


def sleep(_url: str, _document: str, speak: Connection) -> None:
    """Say something, and live on."""
    speak.send("here")
    time.sleep(2 * TIMEOUT_S)


def die_enqueueing(url: str, document: str, _speak: Connection) -> None:
    """Be killed before the study's first trials are committed."""
    ledger = _ledger(url, document)

    def die(_connection: sqlalchemy.Connection) -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    sqlalchemy.event.listen(ledger.storage.engine, "commit", die)
    ledger.enqueue(plan(StudySpec.model_validate_json(document), {}))


def tell_start_methods(speak: Connection) -> None:
    """Say how a spawned process starts its own children, before and after it has done as workers do."""
    from bench.engines.processes import use_platform_start_method

    before = multiprocessing.get_start_method(allow_none=True)
    use_platform_start_method()
    speak.send((before, multiprocessing.get_start_method()))


def _ledger(url: str, document: str) -> Ledger:
    if not sqlalchemy.event.contains(sqlalchemy.Engine, "connect", write_without_waiting):
        sqlalchemy.event.listen(sqlalchemy.Engine, "connect", write_without_waiting)
    spec = StudySpec.model_validate_json(document)
    return Ledger(url, spec.name, spec.identity())


def unread() -> None:
    """What `Unreadable` becomes in another process."""
    raise ImportError("no such module here")


class Unreadable:
    """Can be sent to another process, and not be read there."""

    def __reduce__(self) -> tuple[Any, ...]:
        return unread, ()
