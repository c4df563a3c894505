"""Running something in a process of its own that may hang or be killed: the caller always gets an answer."""

import multiprocessing
import os
import signal
import sys
import threading
import time
import warnings
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any

from bench.measure.limits import oom_kills
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
    sampling_s: float
    """CPU seconds that looking at the process's resources took, in the process that looks."""
    wall_s: float
    memory_samples: int
    """Looks at its memory."""
    sample: int = NO_SAMPLE
    """Position of the sample that was made last, where the function has told it."""


def run_isolated(
    function: Callable[..., Any],
    *arguments: Any,
    stall_s: float = STALL_S,
    memory_limit_bytes: int | None = None,
) -> Answer:
    """Call ``function(progress, *arguments)`` in a fresh, spawned process and return what it returned, or how it ended.

    ``function``, arguments and result are pickled. The process and all that it started are killed where ``progress``
    has not been told anything new for ``stall_s`` seconds (`timed_out`; starting may take ``START_S``), where they hold
    more than ``memory_limit_bytes`` (`out_of_memory`, before the system chooses somebody else), and where the caller
    leaves.
    """
    context = multiprocessing.get_context("spawn")
    told, sample = context.RawValue("q", STARTING), context.RawValue("q", NO_SAMPLE)
    receive, send = context.Pipe(duplex=False)
    lifeline, held = context.Pipe(duplex=False)
    process = context.Process(target=_serve, args=(send, lifeline, told, sample, function, arguments))
    kills_before = oom_kills()
    began = time.monotonic()
    process.start()
    send.close()
    lifeline.close()
    assert process.pid is not None
    sampler = ResourceSampler(process.pid, limit_bytes=memory_limit_bytes)
    try:
        with sampler:
            status, value, error = _await(process, receive, told, sampler, stall_s, memory_limit_bytes)
        if status == MeasurementStatus.COMPLETE:
            process.join(LEAVE_S)  # a loader's workers end in good order; one that hangs is killed
    finally:
        kill_tree(process.pid)
        kill_group(process.pid)  # children that outlived it are nobody's children any more
        process.join()
        process.close()
        receive.close()
        held.close()
    if status == MeasurementStatus.OUT_OF_MEMORY and kills_before is not None:
        killed = (oom_kills() or 0) - kills_before
        error += f" [the kernel has counted {killed} such kills meanwhile]" if killed > 0 else ""
    return Answer(
        status=status,
        value=value,
        error=error,
        peak_bytes=sampler.peak_bytes,
        memory_kind=sampler.memory_kind,
        shm_peak_bytes=sampler.shm_peak_bytes,
        shm_tree_peak_bytes=sampler.shm_tree_peak_bytes,
        sampling_s=sampler.busy_s,
        wall_s=time.monotonic() - began,
        memory_samples=sampler.memory_samples,
        sample=sample.value,
    )


def _await(
    process: BaseProcess,
    receive: Connection,
    told: Any,
    sampler: ResourceSampler,
    stall_s: float,
    memory_limit_bytes: int | None,
) -> tuple[MeasurementStatus, Any, str]:
    last, since = told.value, time.monotonic()
    while True:
        # Children that it forked hold its ends of the pipes open: of its own death only its exit code tells surely.
        ended = process.exitcode is not None
        ready = wait([receive, process.sentinel], timeout=0 if ended else POLL_S)
        if receive in ready:
            with suppress(EOFError):
                answer: tuple[MeasurementStatus, Any, str] = receive.recv()
                return answer
        if ready or ended:
            process.join(LEAVE_S)  # its end of the pipes closes a little before its exit code is known
            return _without_value(of_exit(process.exitcode))
        if memory_limit_bytes is not None and sampler.peak_bytes > memory_limit_bytes:
            held, limit = sampler.peak_bytes / 1e9, memory_limit_bytes / 1e9
            text = f"held {held:.1f} GB of memory, {limit:.1f} GB allowed: ended before the machine ran out"
            return MeasurementStatus.OUT_OF_MEMORY, None, text
        if told.value != last:
            last, since = told.value, time.monotonic()
        elif last == STARTING and time.monotonic() - since > max(stall_s, START_S):
            text = f"had not started after {max(stall_s, START_S):g} s: given up"
            return MeasurementStatus.TIMED_OUT, None, text
        elif last > STARTING and time.monotonic() - since > stall_s:
            where = "before the first batch" if last <= 0 else f"after {last} batches"
            return MeasurementStatus.TIMED_OUT, None, f"no batch for {stall_s:g} s (stall_s) {where}: given up"


def _without_value(found: tuple[MeasurementStatus, str]) -> tuple[MeasurementStatus, None, str]:
    return found[0], None, found[1]


def _serve(
    send: Connection,
    lifeline: Connection,
    told: Any,
    sample: Any,
    function: Callable[..., Any],
    arguments: tuple[Any, ...],
) -> None:
    """The process: answers with (status, value, message). What it prints goes to stderr: stdout is the caller's."""
    told.value = STARTING + 1
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    if hasattr(os, "setsid"):
        os.setsid()
    warnings.filterwarnings("ignore", "This DataLoader will create")  # more workers than cores: that is the question
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal's Ctrl-C is for the process that started this one
    threading.Thread(target=_leave_with_parent, args=(lifeline,), daemon=True).start()
    # A spawned process would start processes of its own by spawning, too, whatever the system's default is.
    multiprocessing.set_start_method(multiprocessing.get_all_start_methods()[0], force=True)
    try:
        answer = (MeasurementStatus.COMPLETE, function(Progress(told, sample), *arguments), "")
    except Exception as error:
        try:
            answer = _without_value(of_error(error))
        except RuntimeError as late:  # a worker has died: PyTorch's handler of SIGCHLD says so once, wherever we are
            answer = _without_value(of_error(late))
    send.send(answer)


def _leave_with_parent(lifeline: Connection) -> None:
    """Ends this process when the one that started it has gone: nobody else would end a loop that hangs."""
    try:
        lifeline.recv()
    except EOFError:
        kill_tree(os.getpid())
