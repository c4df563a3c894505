"""Running something in a process of its own that may hang or be killed: the caller always gets an answer."""

import multiprocessing
import os
import threading
import time
import warnings
from collections.abc import Callable, Generator
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing import util
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any

from bench.measure.limits import oom_kills
from bench.measure.loader import prepared
from bench.measure.loader.outcome import MeasurementStatus, of_error, of_exit
from bench.measure.process_tree import kill_group, kill_tree
from bench.measure.resources import ResourceSampler

POLL_S = 0.1
LEAVE_S = 10.0
"""What a process may take to end once it has answered, or closed its pipe."""
STALL_S = 120.0
"""Without progress for so long, a measurement hangs: starting workers, a first batch from a cold disk and a network's
compilation take less."""
STARTING = -2
"""What a process has told before it runs: it still imports its libraries, which says nothing of a loader."""
NAME = "measuring"
"""Of each such process."""
START_S = 120.0
"""Minimum start-up timeout in seconds."""
NO_SAMPLE = -1


class Progress:
    """Told by the measured process how far it is; reading and telling cost no lock."""

    def __init__(self, told: Any, sample: Any) -> None:
        self._told, self._sample = told, sample

    def __call__(self, count: int) -> None:
        """So many batches are done."""
        self._told.value = count

    @property
    def count(self) -> int:
        """What was told last."""
        found: int = self._told.value
        return found

    def making(self, sample: int) -> None:
        """The sample at this position is about to be made: where the process ends without a word, it was the one."""
        self._sample.value = sample


@dataclass(frozen=True)
class Answer:
    """What came out of the process. ``value`` is None unless the status is COMPLETE."""

    status: MeasurementStatus
    value: Any
    error: str
    peak_bytes: int
    memory_kind: str
    shm_peak_bytes: int
    shm_tree_peak_bytes: int
    wall_s: float
    sample: int = NO_SAMPLE
    """Position of the sample that was made last, where the function has told it."""


def run_isolated(
    function: Callable[..., Any],
    *arguments: Any,
    stall_s: float = STALL_S,
    memory_limit_bytes: int | None = None,
) -> Answer:
    """Call ``function(progress, *arguments)`` in a fresh process and return what it returned, or how it ended.

    ``function``, arguments and result are pickled. The process and all that it started are killed where ``progress``
    has not been told anything new for ``stall_s`` seconds (`timed_out`; starting may take ``START_S``), where they hold
    more than ``memory_limit_bytes`` (`out_of_memory`, before the system chooses somebody else), and where the caller
    leaves.
    """
    began = time.monotonic()
    process = Isolated(function, *arguments, memory_limit_bytes=memory_limit_bytes)
    try:
        with process.sampler:
            status, value, error = process.answer(stall_s)
        if status == MeasurementStatus.COMPLETE:
            process.join(LEAVE_S)  # a loader's workers end in good order; one that hangs is killed
    finally:
        process.close()
    sampler = process.sampler
    return Answer(
        status=status,
        value=value,
        error=error,
        peak_bytes=sampler.peak_bytes,
        memory_kind=sampler.memory_kind,
        shm_peak_bytes=sampler.shm_peak_bytes,
        shm_tree_peak_bytes=sampler.shm_tree_peak_bytes,
        wall_s=time.monotonic() - began,
        sample=process.sample,
    )


class Isolated:
    """A process that has begun to call ``function(progress, *arguments)``, and answers once; or, where that is a
    generator, with each value that it yields: what is sent to it, it gets from its ``yield``.
    """

    def __init__(self, function: Callable[..., Any], *arguments: Any, memory_limit_bytes: int | None = None) -> None:
        """Starts it, without waiting; ``memory_limit_bytes``: what it and its children may hold together."""
        context = prepared.context()
        self._told, self._sample = context.RawValue("q", STARTING), context.RawValue("q", NO_SAMPLE)
        self._channel, theirs = context.Pipe()
        lifeline, self._held = context.Pipe(duplex=False)
        _end_with_this_process()
        self._process: BaseProcess = context.Process(  # type: ignore[attr-defined]
            name=NAME,
            target=_serve,
            args=(prepared.Surroundings(), theirs, lifeline, self._told, self._sample, function, arguments),
        )
        self._limit_bytes = memory_limit_bytes
        self._kills_before = oom_kills()
        self._process.start()
        theirs.close()
        lifeline.close()
        assert self._process.pid is not None
        self.pid: int = self._process.pid
        self.sampler = ResourceSampler(self.pid, limit_bytes=memory_limit_bytes)
        """To be entered by whoever waits for an answer: it also tells where the limit is passed."""
        self._closed = False

    @property
    def sample(self) -> int:
        """Position of the sample that was made last, where it has told it; else NO_SAMPLE."""
        found: int = self._sample.value
        return found

    def send(self, value: Any) -> None:
        """Give a generator its next value; one that is no more answers with how it ended."""
        with suppress(OSError):
            self._channel.send(value)

    def answer(self, stall_s: float) -> tuple[MeasurementStatus, Any, str]:
        """Wait for its next answer, or its end: (status, value, error), the value None unless COMPLETE."""
        status, value, error = self._await(stall_s)
        if status == MeasurementStatus.OUT_OF_MEMORY and self._kills_before is not None:
            killed = (oom_kills() or 0) - self._kills_before
            error += f" [the kernel has counted {killed} such kills meanwhile]" if killed > 0 else ""
        return status, value, error

    def join(self, seconds: float) -> None:
        """Wait for its end, no longer than so many seconds."""
        self._process.join(seconds)

    def close(self) -> None:
        """End it and all that it started, whatever state they are in."""
        if self._closed:
            return
        kill_tree(self.pid)
        kill_group(self.pid)  # children that outlived it are nobody's children any more
        self._process.join()
        self._process.close()
        self._channel.close()
        self._held.close()
        self._closed = True

    def _await(self, stall_s: float) -> tuple[MeasurementStatus, Any, str]:
        last, since = self._told.value, time.monotonic()
        while True:
            # Children that it forked hold its ends of the pipes open: of its own death only its exit code tells surely.
            ended = self._process.exitcode is not None
            ready = wait([self._channel, self._process.sentinel], timeout=0 if ended else POLL_S)
            if self._channel in ready:
                with suppress(EOFError, ConnectionError):
                    answer: tuple[MeasurementStatus, Any, str] = self._channel.recv()
                    return answer
            if ready or ended:
                self._process.join(LEAVE_S)  # its end of the pipes closes a little before its exit code is known
                return _without_value(of_exit(self._process.exitcode))
            if self._limit_bytes is not None and self.sampler.peak_bytes > self._limit_bytes:
                held, limit = self.sampler.peak_bytes / 1e9, self._limit_bytes / 1e9
                text = f"held {held:.1f} GB of memory, {limit:.1f} GB allowed: ended before the machine ran out"
                return MeasurementStatus.OUT_OF_MEMORY, None, text
            if self._told.value != last:
                last, since = self._told.value, time.monotonic()
            elif last == STARTING and time.monotonic() - since > max(stall_s, START_S):
                text = f"had not started after {max(stall_s, START_S):g} s: given up"
                return MeasurementStatus.TIMED_OUT, None, text
            elif last > STARTING and time.monotonic() - since > stall_s:
                where = "before the first batch" if last <= 0 else f"after {last} batches"
                return MeasurementStatus.TIMED_OUT, None, f"no batch for {stall_s:g} s (stall_s) {where}: given up"


def _end_with_this_process() -> None:
    """Whatever interrupts this process, and wherever: it does not wait at its end for a process that waits for it."""
    if getattr(_end_with_this_process, "pid", None) != os.getpid():
        util.Finalize(None, _end_all, exitpriority=1)  # before multiprocessing joins its children
        _end_with_this_process.pid = os.getpid()  # type: ignore[attr-defined]


def _end_all() -> None:
    for process in multiprocessing.active_children():
        if process.name == NAME and process.pid is not None:
            kill_tree(process.pid)
            kill_group(process.pid)


def _without_value(found: tuple[MeasurementStatus, str]) -> tuple[MeasurementStatus, None, str]:
    return found[0], None, found[1]


def _serve(
    surroundings: prepared.Surroundings,
    channel: Connection,
    lifeline: Connection,
    told: Any,
    sample: Any,
    function: Callable[..., Any],
    arguments: tuple[Any, ...],
) -> None:
    """The process: answers with (status, value, message)."""
    told.value = STARTING + 1
    surroundings.take_over()
    warnings.filterwarnings("ignore", "This DataLoader will create")  # more workers than cores: that is the question
    threading.Thread(target=_leave_with_parent, args=(lifeline,), daemon=True).start()
    # A process of any other start method would start its own by that, too, whatever the system's default is.
    multiprocessing.set_start_method(multiprocessing.get_all_start_methods()[0], force=True)
    try:
        answer = (MeasurementStatus.COMPLETE, _conversed(channel, function(Progress(told, sample), *arguments)), "")
    except Exception as error:
        try:
            answer = _without_value(of_error(error))
        except RuntimeError as late:  # a worker has died: PyTorch's handler of SIGCHLD says so once, wherever we are
            answer = _without_value(of_error(late))
    with suppress(ConnectionError):  # nobody waits for it any more
        channel.send(answer)


def _conversed(channel: Connection, found: Any) -> Any:
    """What a function returned; a generator's values are answers, one for each value that the channel brings."""
    if not isinstance(found, Generator):
        return found
    value = next(found)
    while True:
        channel.send((MeasurementStatus.COMPLETE, value, ""))
        value = found.send(channel.recv())


def _leave_with_parent(lifeline: Connection) -> None:
    """Ends this process when the one that started it has gone: nobody else would end a loop that hangs."""
    try:
        lifeline.recv()
    except EOFError:
        kill_tree(os.getpid())
