"""Runs a function in a process of its own that may hang or be killed: the caller always gets an answer."""

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
from bench.measure.loader import fork_server
from bench.measure.loader.outcome import MeasurementStatus, error_outcome, exit_outcome
from bench.measure.process_tree import kill_group, kill_tree
from bench.measure.resources import ResourceSampler

POLL_S = 0.1
"""Seconds between two checks of memory and progress."""
LEAVE_S = 10.0
"""Seconds that a process may take to end once it has answered or closed its pipe."""
STALL_S = 120.0
"""Default seconds without progress after which a measurement counts as hanging. Starting workers, a first batch from a
cold disk and a network's compilation take less."""
STARTING = -2
"""Progress value of a process that is still importing libraries; a stall then is not the loader's."""
NAME = "measuring"
"""Name of every measuring process."""
START_S = 120.0
"""Minimum start-up timeout in seconds."""
NO_SAMPLE = -1
"""Sample position of a process that has not reported any."""


class Progress:
    """Lets the measured process report its progress; reading and writing take no lock."""

    def __init__(self, count: Any, sample: Any) -> None:
        self._count, self._sample = count, sample

    def __call__(self, count: int) -> None:
        """Report that ``count`` batches are done."""
        self._count.value = count

    @property
    def count(self) -> int:
        """The last reported number of batches."""
        count: int = self._count.value
        return count

    def making_sample(self, sample: int) -> None:
        """Report that the sample at this position is about to be made: if the process dies, this sample is to blame."""
        self._sample.value = sample


@dataclass(frozen=True)
class Answer:
    """The outcome of a function that ran in its own process."""

    status: MeasurementStatus
    value: Any
    """The function's result; None unless the status is COMPLETE."""
    error: str
    peak_bytes: int
    memory_kind: str
    shm_peak_bytes: int
    shm_tree_peak_bytes: int
    wall_s: float
    sample: int = NO_SAMPLE
    """Position of the sample that was made last; NO_SAMPLE if the function reported none."""


def run_isolated(
    function: Callable[..., Any],
    *arguments: Any,
    stall_s: float = STALL_S,
    memory_limit_bytes: int | None = None,
) -> Answer:
    """Call ``function(progress, *arguments)`` in a fresh process; return its result, or how the process ended.

    Function, arguments and result are pickled. The process and all that it started are killed when the caller leaves.

    Args:
        function: What to call.
        arguments: Its arguments after the progress.
        stall_s: Seconds without new progress after which the process is killed (`timed_out`); starting may take
            START_S.
        memory_limit_bytes: Memory above which it is killed (`out_of_memory`), before the system kills some other
            program.
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
    """A process that has begun to call ``function(progress, *arguments)`` and answers with its result.

    If the function is a generator, it answers with each value that it yields; `send` gives it the value of its
    ``yield``.
    """

    def __init__(self, function: Callable[..., Any], *arguments: Any, memory_limit_bytes: int | None = None) -> None:
        """Start the process, without waiting.

        ``memory_limit_bytes``: maximum memory of the process and its children together.
        """
        context = fork_server.context()
        self._count, self._sample = context.RawValue("q", STARTING), context.RawValue("q", NO_SAMPLE)
        self._channel, child_channel = context.Pipe()
        lifeline, self._lifeline = context.Pipe(duplex=False)
        _end_with_this_process()
        self._process: BaseProcess = context.Process(  # type: ignore[attr-defined]
            name=NAME,
            target=_serve,
            args=(fork_server.Surroundings(), child_channel, lifeline, self._count, self._sample, function, arguments),
        )
        self._limit_bytes = memory_limit_bytes
        self._kills_before = oom_kills()
        self._process.start()
        child_channel.close()
        lifeline.close()
        assert self._process.pid is not None
        self.pid: int = self._process.pid
        self.sampler = ResourceSampler(self.pid, limit_bytes=memory_limit_bytes)
        """Samples memory; enter it while waiting for an answer, since it also detects when the memory limit is
        exceeded."""
        self._closed = False

    @property
    def sample(self) -> int:
        """Position of the sample that the process reported last; NO_SAMPLE if there is none."""
        position: int = self._sample.value
        return position

    def send(self, value: Any) -> None:
        """Send a generator its next value; if it has ended, its next answer says how."""
        with suppress(OSError):
            self._channel.send(value)

    def answer(self, stall_s: float) -> tuple[MeasurementStatus, Any, str]:
        """Wait for the next answer, or the process's end: (status, value, error); the value is None unless COMPLETE."""
        status, value, error = self._await(stall_s)
        if status == MeasurementStatus.OUT_OF_MEMORY and self._kills_before is not None:
            killed = (oom_kills() or 0) - self._kills_before
            error += f" [the kernel has counted {killed} such kills meanwhile]" if killed > 0 else ""
        return status, value, error

    def join(self, seconds: float) -> None:
        """Wait at most ``seconds`` for the process's end."""
        self._process.join(seconds)

    def close(self) -> None:
        """End the process and all its descendants, even if they hang."""
        if self._closed:
            return
        kill_tree(self.pid)
        kill_group(self.pid)  # children that outlived it have no parent to find them by
        self._process.join()
        self._process.close()
        self._channel.close()
        self._lifeline.close()
        self._closed = True

    def _await(self, stall_s: float) -> tuple[MeasurementStatus, Any, str]:
        last, since = self._count.value, time.monotonic()
        while True:
            # Children that it forked keep its ends of the pipes open: only its exit code tells surely that it has died.
            ended = self._process.exitcode is not None
            ready = wait([self._channel, self._process.sentinel], timeout=0 if ended else POLL_S)
            if self._channel in ready:
                with suppress(EOFError, ConnectionError):
                    answer: tuple[MeasurementStatus, Any, str] = self._channel.recv()
                    return answer
            if ready or ended:
                self._process.join(LEAVE_S)  # its end of the pipes closes a little before its exit code is known
                return _without_value(exit_outcome(self._process.exitcode))
            if self._limit_bytes is not None and self.sampler.peak_bytes > self._limit_bytes:
                used, limit = self.sampler.peak_bytes / 1e9, self._limit_bytes / 1e9
                text = f"held {used:.1f} GB of memory, {limit:.1f} GB allowed: ended before the machine ran out"
                return MeasurementStatus.OUT_OF_MEMORY, None, text
            if self._count.value != last:
                last, since = self._count.value, time.monotonic()
            elif last == STARTING and time.monotonic() - since > max(stall_s, START_S):
                text = f"did not start within {max(stall_s, START_S):g} s and was ended"
                return MeasurementStatus.TIMED_OUT, None, text
            elif last > STARTING and time.monotonic() - since > stall_s:
                where = "before the first batch" if last <= 0 else f"after {last} batches"
                return MeasurementStatus.TIMED_OUT, None, f"no batch for {stall_s:g} s (stall_s) {where}: ended"


def _end_with_this_process() -> None:
    """Kill measuring processes when this one exits, however it is interrupted: otherwise both could wait for each
    other."""
    if getattr(_end_with_this_process, "pid", None) != os.getpid():
        util.Finalize(None, _end_all, exitpriority=1)  # before multiprocessing joins its children
        _end_with_this_process.pid = os.getpid()  # type: ignore[attr-defined]


def _end_all() -> None:
    for process in multiprocessing.active_children():
        if process.name == NAME and process.pid is not None:
            kill_tree(process.pid)
            kill_group(process.pid)


def _without_value(outcome: tuple[MeasurementStatus, str]) -> tuple[MeasurementStatus, None, str]:
    return outcome[0], None, outcome[1]


def _serve(
    surroundings: fork_server.Surroundings,
    channel: Connection,
    lifeline: Connection,
    count: Any,
    sample: Any,
    function: Callable[..., Any],
    arguments: tuple[Any, ...],
) -> None:
    """Run as the measuring process: answer with (status, value, error)."""
    count.value = STARTING + 1
    surroundings.take_over()
    warnings.filterwarnings("ignore", "This DataLoader will create")  # more workers than cores are measured on purpose
    threading.Thread(target=_leave_with_parent, args=(lifeline,), daemon=True).start()
    # A process started by another method would start its own by that method, too; reset to the system's default.
    multiprocessing.set_start_method(multiprocessing.get_all_start_methods()[0], force=True)
    try:
        answer = (MeasurementStatus.COMPLETE, _conversed(channel, function(Progress(count, sample), *arguments)), "")
    except Exception as error:
        try:
            answer = _without_value(error_outcome(error))
        except RuntimeError as late:  # a worker has died: PyTorch's SIGCHLD handler raises once, anywhere
            answer = _without_value(error_outcome(late))
    with suppress(ConnectionError):  # the caller may have left
        channel.send(answer)


def _conversed(channel: Connection, result: Any) -> Any:
    """Return the function's result; if it is a generator, send its values as answers, one for each value received."""
    if not isinstance(result, Generator):
        return result
    value = next(result)
    while True:
        channel.send((MeasurementStatus.COMPLETE, value, ""))
        value = result.send(channel.recv())


def _leave_with_parent(lifeline: Connection) -> None:
    """End this process once its parent has died: nothing else would end a loop that hangs."""
    try:
        lifeline.recv()
    except EOFError:
        kill_tree(os.getpid())
