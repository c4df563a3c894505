"""Run the worker in this process, or in several processes of this machine, which stay from phase to phase."""

import _thread
import multiprocessing
import os
import pickle
import queue
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess

from bench.engines import interruption
from bench.engines.events import Event, OnEvent, Stopping, TrialEnded, WorkerDied
from bench.engines.interruption import INTERRUPTED
from bench.engines.worker import WorkerSettings, load_libraries, sweep, work
from bench.ledger.store import Ledger
from bench.measure.cores import usable_cores
from bench.storage import streams
from bench.storage.masking import mask_errors, masked
from posemodel.errors import PosemodelError, SettingsError

POLL_S = 0.5
STOP_S = 15.0
"""How long an interrupted worker may take to give its trial back before it is killed."""
MAX_DEATHS = 5
"""Workers that may die in a row without a new record before the study is given up."""
ERROR_TOLD = 71
"""Exit status of a worker that has told its error."""


class WorkerError(PosemodelError):
    """The workers cannot go on."""


@dataclass(frozen=True)
class _Ready:
    """The worker has its libraries loaded: from now on it may hold trials."""


@dataclass(frozen=True)
class _Idle:
    """The worker has worked off what it was told to, and waits for more."""


@dataclass(frozen=True)
class _Trouble:
    """The error that ends a worker, in the words for the user."""

    message: str
    usage: bool
    """Whether it is a mistake in the settings (exit code 2)."""


@dataclass
class _Worker:
    """A worker process. Each has pipes of its own: a queue shared by all would stay locked when one is killed."""

    process: BaseProcess
    messages: Connection | None
    """What it tells; None once it has ended."""
    lifeline: Connection
    """Takes the settings of the phase to work off. Closed here (or with this process), it tells the worker to stop."""
    ready: bool = False
    idle: bool = True
    trouble: _Trouble | None = None


class Crew:
    """So many workers; a single one works in this process."""

    def __init__(self, workers: int, on_event: OnEvent) -> None:
        """No process is started yet."""
        self.workers, self.on_event = workers, on_event
        self._crew: list[_Worker] = []
        self._settings: WorkerSettings | None = None

    def start(self) -> None:
        """Start the worker processes that are missing: they load their libraries while this one goes on."""
        while self.workers > 1 and len(self._crew) < self.workers:
            _start(self._crew)

    def work_off(self, settings: WorkerSettings) -> None:
        """Work the enqueued plan off; the worker processes wait for the next one then.

        One that dies (killed, out of memory) is replaced; its trial waits again, until its attempts are spent.
        Raises WorkerError when workers end with an error, or die again and again without a new record.
        """
        ledger = settings.ledger()
        counts = ledger.counts()
        if not counts["waiting"] + counts["running"]:
            return
        if self.workers == 1:
            load_libraries()
            work(settings, self.on_event)
            return
        share = replace(settings, workers=self.workers, threads=max(1, usable_cores() // self.workers))
        self._settings = share
        self.start()
        for worker in self._crew:
            _tell(worker, share)
        _supervise(self._crew, share, ledger, self.on_event)

    def dismiss(self) -> None:
        """End the worker processes. Those that hold trials give them back."""
        with interruption.defer_interrupts():  # a second Ctrl-C still ends all at once
            killed = _stop(self._crew, self.on_event)
            if killed and self._settings is not None:
                known = self._settings
                sweep(known, known.ledger(), known.tracker())

    def kill(self) -> None:
        """End all workers at once: this process is leaving and waits for nobody."""
        for worker in self._crew:
            worker.process.kill()


@contextmanager
def crew(workers: int, on_event: OnEvent) -> Iterator[Crew]:
    """Workers for the phases of a study; whatever ends the block ends their processes."""
    made = Crew(workers, on_event)
    with interruption.on_leaving(made.kill):
        try:
            yield made
        except KeyboardInterrupt:
            if workers > 1:
                on_event(Stopping())
            raise
        finally:
            made.dismiss()


def _start(crew: list[_Worker]) -> None:
    """Add a worker to the crew."""
    context = multiprocessing.get_context("spawn")
    messages, report = context.Pipe(duplex=False)
    held, lifeline = context.Pipe(duplex=False)
    process = context.Process(target=_work, args=(report, held))
    with interruption.defer_interrupts(), _deaf_children():
        process.start()
        crew.append(_Worker(process, messages, lifeline))
    report.close()
    held.close()


def _tell(worker: _Worker, settings: WorkerSettings) -> None:
    """Have a worker work a phase off."""
    worker.idle = False
    with suppress(OSError):  # it has died, which is noticed by its process
        worker.lifeline.send(settings)


@contextmanager
def _deaf_children() -> Iterator[None]:
    """Processes started here never see SIGINT: a terminal sends Ctrl-C to all, and only this process is to answer."""
    if not hasattr(signal, "pthread_sigmask"):  # Windows
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _supervise(crew: list[_Worker], share: WorkerSettings, ledger: Ledger, on_event: OnEvent) -> None:
    """Pass on what the workers tell, and replace those that die, until all are idle."""
    deaths = 0
    while not all(worker.idle for worker in crew):
        wait(
            [each for worker in crew for each in (worker.messages, worker.process.sentinel) if each is not None], POLL_S
        )
        interruption.check()
        for worker in list(crew):
            alive = worker.process.is_alive()  # before reading: what a dead one has told is there in full
            if _pass_on(worker, on_event):
                deaths = 0
            if alive:
                continue
            worker.process.join()
            crew.remove(worker)
            code = worker.process.exitcode
            if code == INTERRUPTED:
                raise KeyboardInterrupt
            if code == ERROR_TOLD:
                trouble = worker.trouble or _Trouble("a worker ended with an error that it could not tell", usage=False)
                raise SettingsError(trouble.message) if trouble.usage else WorkerError(trouble.message)
            on_event(WorkerDied(worker.process.pid or 0))
            counts = ledger.counts()
            if counts["waiting"] + counts["running"]:
                deaths += 1
                if deaths > MAX_DEATHS:
                    raise WorkerError(f"{deaths} worker processes died one after the other (exit {code})")
                _start(crew)
                _tell(crew[-1], share)


def _pass_on(worker: _Worker, on_event: OnEvent) -> bool:
    """Report what a worker has told so far; whether a record was among it."""
    recorded = False
    while (event := _heard(worker)) is not None:
        if isinstance(event, _Ready):
            worker.ready = True
        elif isinstance(event, _Idle):
            worker.idle = True
        elif isinstance(event, _Trouble):
            worker.trouble = event
        else:
            recorded |= isinstance(event, TrialEnded)
            on_event(event)
    return recorded


def _heard(worker: _Worker) -> Event | _Ready | _Idle | _Trouble | None:
    """The next thing that a worker has told; None where there is none so far, or it has ended."""
    try:
        if worker.messages is None or not worker.messages.poll():
            return None
        message: Event | _Ready | _Idle | _Trouble = worker.messages.recv()
        return message
    except (EOFError, OSError):
        if worker.messages is not None:
            worker.messages.close()  # it has ended, perhaps in the middle of a word
        worker.messages = None
        return None


def _stop(crew: list[_Worker], on_event: OnEvent) -> bool:
    """Have the workers give their trials back; whether one had to be killed in the middle of a trial.

    An ``on_event`` that raises is not told any more, and ends nothing: the workers' end comes first.
    """
    deaf = False

    def tell(event: Event) -> None:
        nonlocal deaf
        if not deaf:
            try:
                on_event(event)
            except Exception:
                deaf = True

    for worker in crew:
        if not worker.ready and worker.messages is not None and not worker.messages.poll():
            worker.process.kill()  # still loading its libraries, it holds nothing
        worker.lifeline.close()
    deadline = time.monotonic() + STOP_S
    killed = False
    while crew:
        wait([worker.process.sentinel for worker in crew], timeout=POLL_S)
        for worker in list(crew):
            alive = worker.process.is_alive()
            _pass_on(worker, tell)
            if not alive:
                worker.process.join()
                crew.remove(worker)
            elif time.monotonic() > deadline:
                worker.process.kill()
                killed = True
    return killed


def _work(tell: Connection, lifeline: Connection) -> None:
    """A worker process: phase after phase as it is told, until the lifeline closes."""
    streams.keep_open()
    mask_errors()
    use_platform_start_method()
    orders: queue.SimpleQueue[bytes] = queue.SimpleQueue()

    def send(event: Event | _Ready | _Idle | _Trouble) -> None:
        try:
            tell.send(event)
        except OSError:
            return  # the study's process is gone, and the lifeline says so

    with interruption.handled():
        threading.Thread(target=_listen, args=(lifeline, orders), daemon=True, name="lifeline").start()
        try:
            load_libraries()
            send(_Ready())
            while True:
                work(_next(orders), send)
                send(_Idle())
        except KeyboardInterrupt:
            if not multiprocessing.active_children():
                os._exit(INTERRUPTED)  # all is given back and told; taking the libraries down costs a second of a core
            raise SystemExit(INTERRUPTED) from None
        except PosemodelError as error:
            send(_Trouble(masked(error), isinstance(error, SettingsError)))
            raise SystemExit(ERROR_TOLD) from None


def use_platform_start_method() -> None:
    """Have this process's own children (a loader's workers) started as the platform does.

    A spawned process spawns in its turn unless it is told otherwise: each loader worker would load all libraries anew,
    and a study with several workers would measure other loaders than one with a single worker.
    """
    multiprocessing.set_start_method(None, force=True)


def _next(orders: "queue.SimpleQueue[bytes]") -> WorkerSettings:
    """Wait for the next phase; an interruption ends the wait."""
    while True:
        interruption.check()
        with suppress(queue.Empty):
            order: WorkerSettings = pickle.loads(orders.get(timeout=POLL_S))
            return order


def _listen(lifeline: Connection, orders: "queue.SimpleQueue[bytes]") -> None:
    """Pass orders on, unread; interrupt this process once the study's process wants it to stop, or is gone.

    What an order names is imported where it is read: by the main thread.
    """
    try:
        while True:
            orders.put(lifeline.recv_bytes())
    except (EOFError, OSError):
        if hasattr(signal, "pthread_kill"):
            # A real signal wakes the main thread from whatever it waits for.
            signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGTERM)
        else:
            _thread.interrupt_main()
