"""How a measurement ended, and how an error or a dead process tells it."""

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
    """All but COMPLETE have no figures; SKIPPED was never started, because it could not fit."""

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
NO_MEMORY = ("can't allocate memory", "Cannot allocate memory", "out of memory", "not enough memory", "ALLOC_FAILED")
"""Of the errors that PyTorch, the C library, CUDA and cuBLAS raise; PyTorch's for the CPU is a plain RuntimeError."""
NO_SHARED_MEMORY = ("unable to allocate shared memory", "unable to mmap", "unable to open shared memory")
"""Of PyTorch's errors where /dev/shm is full before a page is touched."""
SIGKILL, SIGBUS = (getattr(signal, name, number) for name, number in (("SIGKILL", 9), ("SIGBUS", 7)))
"""Windows has neither."""
EXITED = "exited unexpectedly"
"""PyTorch's word of a worker that has gone."""
RAISED_IN_WORKER = "Original Traceback"
"""PyTorch's words of an error that a worker lived to tell."""
SIGNALS_OF_WORKERS = {-SIGBUS: "killed by signal: Bus error", -SIGKILL: "killed by signal: Killed"}
"""PyTorch's words of workers that ended with these codes."""
ENDED_BY = "a C library or os._exit in __getitem__, or, where it is not forked, as it could not import the data set"
DEATH_KNOWN_S = 2.0
"""A worker's connections break a little before the system tells that it is dead."""
BUS_ERROR_ADVICE = "a worker met a bus error: /dev/shm is full. Fewer workers, a smaller prefetch_factor or batch"
KILLED_ADVICE = "was killed (SIGKILL), most likely by the system for memory. Fewer workers or a smaller batch"


class SampleError(Exception):
    """A sample or a batch that a data set cannot make; the message says all. Raised by workers, too."""


def is_lack_of_memory(error: BaseException) -> bool:
    """Whether an error says that memory of any kind ran out."""
    told = "\n".join(map(str, _chain(error)))
    return isinstance(error, (MemoryError, torch.OutOfMemoryError)) or any(
        words in told for words in (*NO_MEMORY, *NO_SHARED_MEMORY)
    )


def of_error(error: BaseException) -> tuple[MeasurementStatus, str]:
    """Status and message of what a loop raised; DataLoader tells a worker's death in the error or in its cause."""
    text, told = _in_one_line(error), "\n".join(map(str, _chain(error)))
    codes: set[int] = set()
    if EXITED in told or (isinstance(error, (OSError, EOFError)) and RAISED_IN_WORKER not in told):
        # The signal's own error was raised where nobody heard it (in a destructor, say), or is yet to come: the loader
        # was reading a tensor from the worker when that died, and all it knows is a connection that broke.
        codes = _exit_codes_of_workers(error)
        told += "\n".join(SIGNALS_OF_WORKERS.get(code, "") for code in codes)
    if "Bus error" in told:
        return MeasurementStatus.BUS_ERROR, f"{BUS_ERROR_ADVICE} ({text})"
    if any(words in told for words in NO_SHARED_MEMORY):
        return MeasurementStatus.BUS_ERROR, f"/dev/shm is full. Fewer workers or a smaller batch ({text})"
    if "killed by signal: Killed" in told:
        return MeasurementStatus.OUT_OF_MEMORY, f"a worker {KILLED_ADVICE} ({text})"
    if isinstance(error, (MemoryError, torch.OutOfMemoryError)) or any(words in told for words in NO_MEMORY):
        return MeasurementStatus.OUT_OF_MEMORY, text
    if ended := sorted(code for code in codes if code > 0):
        text += f" (with exit code {ended[0]}: by {ENDED_BY})"
    return MeasurementStatus.FAILED, text


def of_exit(exit_code: int | None) -> tuple[MeasurementStatus, str]:
    """Status and message of a measuring process that ended without a word."""
    if exit_code == -SIGKILL:
        return MeasurementStatus.OUT_OF_MEMORY, f"the measuring process {KILLED_ADVICE}"
    if exit_code == -SIGBUS:
        return MeasurementStatus.BUS_ERROR, "the measuring process met a bus error: /dev/shm is full, or a file shrank"
    if exit_code is not None and exit_code < 0:
        return MeasurementStatus.FAILED, f"the measuring process was ended by {signal.Signals(-exit_code).name}"
    return MeasurementStatus.FAILED, f"the measuring process ended with exit code {exit_code} and without a result"


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """The error, what caused it, and what was being handled then."""
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _exit_codes_of_workers(error: BaseException) -> set[int]:
    """How the workers of the loader that raised the error have ended."""
    workers: dict[int | None, BaseProcess] = {}
    for each in _chain(error):
        for frame, _ in traceback.walk_tb(each.__traceback__):
            workers |= {worker.pid: worker for worker in getattr(frame.f_locals.get("self"), "_workers", ())}
    until = time.monotonic() + DEATH_KNOWN_S
    while (living := [each for each in workers.values() if each.exitcode is None]) and time.monotonic() < until:
        if any(each.exitcode for each in workers.values()):  # one is known to have failed
            break
        wait([each.sentinel for each in living], timeout=0.1)
    return {worker.exitcode for worker in workers.values() if worker.exitcode is not None}


def _in_one_line(error: BaseException) -> str:
    """The error's type and message; of one that a worker raised its own, without PyTorch's traceback around it."""
    text = str(error).strip()
    if RAISED_IN_WORKER in text:
        raised = [line for line in text.splitlines() if re.match(r"[A-Za-z_][\w.]*(: |$)", line)]
        told = raised[-1] if raised else text.splitlines()[-1]
    else:
        first = text.splitlines()[0] if text else ""
        told = f"{type(error).__name__}: {first}" if first else type(error).__name__
    return re.sub(rf"^([\w.]+\.)?{SampleError.__name__}: ", "", told)
