"""Statuses of measurements, and how they are read from an exception or a dead process."""

import re
import signal
import time
import traceback
from collections.abc import Iterator
from enum import StrEnum
from multiprocessing.connection import wait
from multiprocessing.process import BaseProcess

import torch


class MeasurementStatus(StrEnum):
    """The way in which a measurement ended.

    Only COMPLETE measurements have numbers; SKIPPED ones did not fit into memory and were never started.
    """

    COMPLETE = "complete"
    FAILED = "failed"
    OUT_OF_MEMORY = "out_of_memory"
    BUS_ERROR = "bus_error"
    TIMED_OUT = "timed_out"
    SKIPPED = "skipped"


FAULTS = (
    MeasurementStatus.FAILED,
    MeasurementStatus.OUT_OF_MEMORY,
    MeasurementStatus.BUS_ERROR,
    MeasurementStatus.TIMED_OUT,
)
"""Statuses of measurements that were started and failed."""
NO_MEMORY = ("can't allocate memory", "Cannot allocate memory", "out of memory", "not enough memory", "ALLOC_FAILED")
"""Words in the out-of-memory errors of PyTorch, the C library, CUDA and cuBLAS; PyTorch's for the CPU is a plain
RuntimeError."""
NO_SHARED_MEMORY = ("unable to allocate shared memory", "unable to mmap", "unable to open shared memory")
"""Words in PyTorch's errors if /dev/shm is full before a page is touched."""
SIGKILL, SIGBUS = (getattr(signal, name, number) for name, number in (("SIGKILL", 9), ("SIGBUS", 7)))
"""Signal numbers; Windows has neither signal."""
EXITED = "exited unexpectedly"
"""Words of PyTorch's error about a worker that has died."""
RAISED_IN_WORKER = "Original Traceback"
"""Words of PyTorch's error that passes on an exception of a worker."""
SIGNALS_OF_WORKERS = {-SIGBUS: "killed by signal: Bus error", -SIGKILL: "killed by signal: Killed"}
"""Words of PyTorch's error about a worker that ended with this exit code."""
ENDED_BY = "a C library or os._exit in __getitem__, or, if it is not forked, because it could not import the data set"
"""Likely causes of a worker's exit with a positive code."""
DEATH_KNOWN_S = 2.0
"""Seconds to wait for a worker's exit code: its connections break a little before the system reports its death."""
BUS_ERROR_ADVICE = "a worker met a bus error: /dev/shm is full. Use fewer workers, a smaller prefetch_factor or batch"
KILLED_ADVICE = (
    "was killed (SIGKILL), most likely by the system for lack of memory. Use fewer workers or a smaller batch"
)


class SampleError(Exception):
    """A data set failed to make a sample or batch, in a worker or another process; the message says all that is
    known."""


def is_lack_of_memory(error: BaseException) -> bool:
    """Return whether an error says that memory of any kind ran out."""
    messages = "\n".join(map(str, _chain(error)))
    return isinstance(error, (MemoryError, torch.OutOfMemoryError)) or any(
        words in messages for words in (*NO_MEMORY, *NO_SHARED_MEMORY)
    )


def error_outcome(error: BaseException) -> tuple[MeasurementStatus, str]:
    """Return status and message of an exception from the measured loop. DataLoader reports a worker's death in its
    error or in the error's cause."""
    text, messages = _in_one_line(error), "\n".join(map(str, _chain(error)))
    codes: set[int] = set()
    if EXITED in messages or (isinstance(error, (OSError, EOFError)) and RAISED_IN_WORKER not in messages):
        # The signal's own error was raised where it was lost (in a destructor, say), or is yet to come: the loader was
        # reading a tensor from the worker when that died, and knows only of a broken connection.
        codes = _exit_codes_of_workers(error)
        messages += "\n".join(SIGNALS_OF_WORKERS.get(code, "") for code in codes)
    if "Bus error" in messages:
        return MeasurementStatus.BUS_ERROR, f"{BUS_ERROR_ADVICE} ({text})"
    if any(words in messages for words in NO_SHARED_MEMORY):
        return MeasurementStatus.BUS_ERROR, f"/dev/shm is full. Use fewer workers or a smaller batch ({text})"
    if "killed by signal: Killed" in messages:
        return MeasurementStatus.OUT_OF_MEMORY, f"a worker {KILLED_ADVICE} ({text})"
    if isinstance(error, (MemoryError, torch.OutOfMemoryError)) or any(words in messages for words in NO_MEMORY):
        return MeasurementStatus.OUT_OF_MEMORY, text
    if ended := sorted(code for code in codes if code > 0):
        text += f" (with exit code {ended[0]}: by {ENDED_BY})"
    return MeasurementStatus.FAILED, text


def exit_outcome(exit_code: int | None) -> tuple[MeasurementStatus, str]:
    """Return status and message of a measuring process that ended without an answer."""
    if exit_code == -SIGKILL:
        return MeasurementStatus.OUT_OF_MEMORY, f"the measuring process {KILLED_ADVICE}"
    if exit_code == -SIGBUS:
        return MeasurementStatus.BUS_ERROR, "the measuring process met a bus error: /dev/shm is full, or a file shrank"
    if exit_code is not None and exit_code < 0:
        return MeasurementStatus.FAILED, f"the measuring process was ended by {signal.Signals(-exit_code).name}"
    return MeasurementStatus.FAILED, f"the measuring process ended with exit code {exit_code} and without a result"


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """Yield the error, then its causes and the errors that were being handled."""
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _exit_codes_of_workers(error: BaseException) -> set[int]:
    """Return the exit codes of the ended workers of the loader that raised the error."""
    workers: dict[int | None, BaseProcess] = {}
    for each in _chain(error):
        for frame, _ in traceback.walk_tb(each.__traceback__):
            workers |= {worker.pid: worker for worker in getattr(frame.f_locals.get("self"), "_workers", ())}
    until = time.monotonic() + DEATH_KNOWN_S
    while (
        (living := [each for each in workers.values() if each.exitcode is None])
        and not any(each.exitcode for each in workers.values())  # none is known yet to have failed
        and time.monotonic() < until
    ):
        wait([each.sentinel for each in living], timeout=0.1)
    return {worker.exitcode for worker in workers.values() if worker.exitcode is not None}


def _in_one_line(error: BaseException) -> str:
    """Return type and message of the error; for a worker's error those of the original one, without PyTorch's
    traceback."""
    text = str(error).strip()
    if RAISED_IN_WORKER in text:
        raised = [line for line in text.splitlines() if re.match(r"[A-Za-z_][\w.]*(: |$)", line)]
        message = raised[-1] if raised else text.splitlines()[-1]
    else:
        first = text.splitlines()[0] if text else ""
        message = f"{type(error).__name__}: {first}" if first else type(error).__name__
    return re.sub(rf"^([\w.]+\.)?{SampleError.__name__}: ", "", message)
