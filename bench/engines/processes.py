"""Run trials with one worker in this process, or with several local worker processes that serve all phases."""

import math
import multiprocessing
import os
import pickle
import queue
import signal
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess

import psutil

from bench.engines import checkpoints, interruption
from bench.engines.claimed_trial import sweep
from bench.engines.events import Event, OnEvent, Stopping, TrialEnded, WorkerDied
from bench.engines.interruption import INTERRUPTED
from bench.engines.worker import load_libraries, work
from bench.engines.worker_settings import WorkerSettings
from bench.ledger.format import this_process
from bench.ledger.store import Ledger
from bench.measure.cores import threads_for_each
from bench.measure.gpus import Gpu, starting_on
from bench.storage import streams
from bench.storage.masking import mask_errors, masked
from bench.storage.patience import outages_ignored
from posemodel.errors import PosemodelError, SettingsError

POLL_S = 0.5
STOP_S = 15.0
"""Seconds that an interrupted worker has to give its trial back before it is killed."""
MAX_DEATHS = 5
"""Number of workers that may die in a row without a new record; one more ends the study."""
CHARGE_AFTER_S = 2.0
"""Seconds after a worker's death until its trial is charged with it. A driver that is killed with its workers, or asked
to stop, charges nothing: the machine ended, not the trial."""
ERROR_REPORTED = 71
"""Exit status of a worker that has sent its error to the study's process."""


class WorkerError(PosemodelError):
    """The workers cannot continue the study."""


@dataclass(frozen=True)
class _Ready:
    """Message: the worker has loaded its libraries and may claim trials from now on."""


@dataclass(frozen=True)
class _Idle:
    """Message: the worker has finished the enqueued trials and waits for the next phase."""


@dataclass(frozen=True)
class _Failure:
    """Message: the error that ends a worker."""

    message: str
    """Text for the user."""
    usage: bool
    """True if a mistake in the settings is the cause (exit code 2)."""


@dataclass
class _Worker:
    """A worker process with its own pipes; a queue shared by all workers would stay locked when one is killed."""

    process: BaseProcess
    messages: Connection | None
    """Messages from the worker; None once it has ended."""
    lifeline: Connection
    """Sends the settings of the next phase. When it closes (or this process ends), the worker stops."""
    started: float
    """Start of the process in seconds since the epoch, as psutil has it, which tells it from others with its id."""
    gpu: Gpu | None = None
    """The only GPU that it sees; None: as this process."""
    charge_at: float = math.inf
    """Time (``time.monotonic``) at which its death is charged to its trial; infinite while it lives."""
    ready: bool = False
    idle: bool = True
    failure: _Failure | None = None


class Crew:
    """The workers of a study: separate processes, or this process if there is only one."""

    def __init__(
        self, workers: int, on_event: OnEvent, *, gpus: Sequence[Gpu] = (), inline: bool | None = None
    ) -> None:
        """Prepare the crew without starting a process.

        Args:
            workers: Trials that run at once.
            on_event: Called with every event of the workers.
            gpus: The GPU of each worker; empty: the device as it is.
            inline: True: run the trials of a single worker in this process; False: always in worker processes; None:
                in this process if there is a single worker and no GPU to choose.
        """
        assert len(gpus) in (0, workers), "a GPU for each worker, or none"
        self.workers, self.on_event, self.gpus = workers, on_event, tuple(gpus)
        self.inline = (workers == 1 and not self.gpus) if inline is None else inline
        self._crew: list[_Worker] = []
        self._uncharged: list[_Worker] = []
        """Workers that have died, and whose trials still wait for the charge."""
        self._settings: WorkerSettings | None = None

    def start(self) -> None:
        """Start the missing worker processes, which load their libraries in the background."""
        if self.inline:
            return
        missing: list[Gpu | None] = list(self.gpus or [None] * self.workers)
        for worker in self._crew:
            missing.remove(worker.gpu)
        for gpu in missing:
            _start(self._crew, gpu)

    def work_off(self, settings: WorkerSettings) -> None:
        """Run all enqueued trials; worker processes then wait for the next call.

        A worker that dies (killed, out of memory) is replaced; its trial waits again, until three of its workers have
        died.
        Raises WorkerError if a worker ends with an error, or if workers keep dying without a new record.
        """
        ledger = settings.ledger()
        counts = ledger.counts()
        if not counts["waiting"] + counts["running"]:
            return
        if self.inline:
            load_libraries()
            work(settings, self.on_event)
            return
        worker_settings = replace(settings, workers=self.workers, threads=threads_for_each(self.workers))
        self._settings = worker_settings
        self.start()
        ledger.release()
        for worker in self._crew:
            _send_settings(worker, worker_settings)
        _supervise(self._crew, self._uncharged, worker_settings, ledger, self.on_event)

    def dismiss(self) -> None:
        """End the worker processes, which give back the trials they are running."""
        with interruption.defer_interrupts():  # a second Ctrl-C still ends everything immediately
            saves = self._settings is not None and self._settings.checkpoints is not None
            died = _stop(self._crew, self.on_event, checkpoints.STOP_S if saves else STOP_S)
            if (died or self._uncharged) and self._settings is not None:
                self._uncharged.clear()  # this process was stopped: their trials go back without a charge
                settings = self._settings
                with outages_ignored():  # otherwise others sweep, once the server is back
                    sweep(settings, settings.ledger(), settings.tracker())

    def kill(self) -> None:
        """Kill all workers immediately, because this process is about to exit."""
        for worker in self._crew:
            worker.process.kill()


@contextmanager
def crew(workers: int, on_event: OnEvent, *, gpus: Sequence[Gpu] = (), inline: bool | None = None) -> Iterator[Crew]:
    """Yield the workers for all phases of a study; their processes end with the block, however it ends."""
    workforce = Crew(workers, on_event, gpus=gpus, inline=inline)
    with interruption.on_immediate_exit(workforce.kill):
        try:
            yield workforce
        except KeyboardInterrupt:
            if not workforce.inline:
                on_event(Stopping())
            raise
        finally:
            workforce.dismiss()


def _start(crew: list[_Worker], gpu: Gpu | None) -> None:
    """Start a worker process, which sees only this GPU (None: what this process sees), and add it to the crew."""
    context = multiprocessing.get_context("spawn")
    messages, message_sender = context.Pipe(duplex=False)
    lifeline_end, lifeline = context.Pipe(duplex=False)
    process = context.Process(target=_work, args=(message_sender, lifeline_end))
    with interruption.defer_interrupts(), _children_without_sigint(), starting_on(gpu):
        process.start()
        crew.append(_Worker(process, messages, lifeline, _start_of(process), gpu))
    message_sender.close()
    lifeline_end.close()


def _start_of(process: BaseProcess) -> float:
    """Return a process's start in seconds since the epoch; 0 if it has already ended and left no trace."""
    try:
        return psutil.Process(process.pid).create_time()
    except psutil.NoSuchProcess:
        return 0.0


def _send_settings(worker: _Worker, settings: WorkerSettings) -> None:
    """Have a worker run the enqueued trials of a phase; this process is its driver, which counts its death."""
    worker.idle = False
    with suppress(OSError):  # a dead worker is noticed by its process
        worker.lifeline.send(replace(settings, driver=this_process()))


@contextmanager
def _children_without_sigint() -> Iterator[None]:
    """Start processes with SIGINT blocked: a terminal sends Ctrl-C to all, and only this process must react."""
    if not hasattr(signal, "pthread_sigmask"):  # Windows
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _supervise(
    crew: list[_Worker],
    uncharged: list[_Worker],
    worker_settings: WorkerSettings,
    ledger: Ledger,
    on_event: OnEvent,
) -> None:
    """Forward the workers' events until all workers are idle; replace workers that die, and charge their trials.

    ``uncharged``: workers between their death and the charge, `CHARGE_AFTER_S` later. Until then their trials count as
    running, so that nobody takes them.
    """
    deaths = 0
    while uncharged or not all(worker.idle for worker in crew):
        wait(
            [each for worker in crew for each in (worker.messages, worker.process.sentinel) if each is not None], POLL_S
        )
        interruption.check()
        for worker in list(crew):
            alive = worker.process.is_alive()  # before reading: the messages of a dead worker are then complete
            if _forward_events(worker, on_event):
                deaths = 0
            if alive:
                continue
            worker.process.join()
            crew.remove(worker)
            code = worker.process.exitcode
            if code == INTERRUPTED:
                raise KeyboardInterrupt
            if code == ERROR_REPORTED:
                failure = worker.failure or _Failure(
                    "a worker ended with an error that it could not report", usage=False
                )
                raise SettingsError(failure.message) if failure.usage else WorkerError(failure.message)
            worker.charge_at = time.monotonic() + CHARGE_AFTER_S
            uncharged.append(worker)
            on_event(WorkerDied(worker.process.pid or 0))
            counts = ledger.counts()
            if counts["waiting"] + counts["running"]:
                deaths += 1
                if deaths > MAX_DEATHS:
                    raise WorkerError(f"{deaths} worker processes died one after the other (exit {code})")
                _start(crew, worker.gpu)
                _send_settings(crew[-1], worker_settings)
        for worker in [each for each in uncharged if time.monotonic() >= each.charge_at]:
            interruption.check()
            ledger.charge_death(worker.process.pid or 0, worker.started)
            uncharged.remove(worker)


def _forward_events(worker: _Worker, on_event: OnEvent) -> bool:
    """Process a worker's messages so far, forward its events, and return True if one of them brought a record."""
    recorded = False
    while (event := _next_message(worker)) is not None:
        if isinstance(event, _Ready):
            worker.ready = True
        elif isinstance(event, _Idle):
            worker.idle = True
        elif isinstance(event, _Failure):
            worker.failure = event
        else:
            recorded |= isinstance(event, TrialEnded)
            on_event(event)
    return recorded


def _next_message(worker: _Worker) -> Event | _Ready | _Idle | _Failure | None:
    """Return the next message of a worker; None if there is none yet, or the worker has ended."""
    try:
        if worker.messages is None or not worker.messages.poll():
            return None
        message: Event | _Ready | _Idle | _Failure = worker.messages.recv()
        return message
    except (EOFError, OSError):
        if worker.messages is not None:
            worker.messages.close()  # the worker has ended, perhaps in the middle of a message
        worker.messages = None
        return None


def _stop(crew: list[_Worker], on_event: OnEvent, seconds: float) -> bool:
    """Stop the workers, which give their trials back to the ledger; return True if one died that may have had a trial.

    ``seconds``: time that they have for it.
    If ``on_event`` raises, it is not called again and the workers are stopped all the same.
    """
    callback_failed = False

    def notify(event: Event) -> None:
        nonlocal callback_failed
        if not callback_failed:
            try:
                on_event(event)
            except Exception:
                callback_failed = True

    for worker in crew:
        if not worker.ready and worker.messages is not None and not worker.messages.poll():
            worker.process.kill()  # still loading its libraries, it has no trial
        worker.lifeline.close()
    deadline = time.monotonic() + seconds
    died = False
    while crew:
        wait([worker.process.sentinel for worker in crew], timeout=POLL_S)
        for worker in list(crew):
            alive = worker.process.is_alive()
            _forward_events(worker, notify)
            if not alive:
                worker.process.join()
                crew.remove(worker)
                died |= worker.ready and worker.process.exitcode not in (0, INTERRUPTED, ERROR_REPORTED)
            elif time.monotonic() > deadline:
                worker.process.kill()
    return died


def _work(messages: Connection, lifeline: Connection) -> None:
    """Run as a worker process: run each phase that is sent, until the lifeline closes."""
    streams.keep_open()
    mask_errors()
    use_platform_start_method()
    orders: queue.SimpleQueue[bytes] = queue.SimpleQueue()

    def send(event: Event | _Ready | _Idle | _Failure) -> None:
        try:
            messages.send(event)
        except OSError:
            return  # the study's process is gone; the closed lifeline ends this one

    with interruption.handle_signals():
        threading.Thread(target=_listen, args=(lifeline, orders), daemon=True, name="lifeline").start()
        try:
            load_libraries()
            send(_Ready())
            while True:
                work(_next(orders), send)
                send(_Idle())
        except KeyboardInterrupt:
            if not multiprocessing.active_children():
                os._exit(INTERRUPTED)  # all is given back and reported; unloading the libraries would take a second
            raise SystemExit(INTERRUPTED) from None
        except PosemodelError as error:
            send(_Failure(masked(error), isinstance(error, SettingsError)))
            raise SystemExit(ERROR_REPORTED) from None


def use_platform_start_method() -> None:
    """Make this process start its own children (loader workers) with the platform's default method.

    A spawned process would otherwise spawn its children too: each loader worker would import all libraries again, and
    loaders would be slower in a study with several workers than in one with a single worker.
    """
    multiprocessing.set_start_method(None, force=True)


def _next(orders: "queue.SimpleQueue[bytes]") -> WorkerSettings:
    """Wait for the settings of the next phase; an interruption ends the wait."""
    while True:
        interruption.check()
        with suppress(queue.Empty):
            order: WorkerSettings = pickle.loads(orders.get(timeout=POLL_S))
            return order


def _listen(lifeline: Connection, orders: "queue.SimpleQueue[bytes]") -> None:
    """Queue the received settings for the main thread; interrupt this process when the lifeline closes.

    They stay pickled here, since unpickling imports modules, which the main thread must do.
    """
    try:
        while True:
            orders.put(lifeline.recv_bytes())
    except (EOFError, OSError):
        interruption.interrupt_main_thread()
