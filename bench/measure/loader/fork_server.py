"""Measuring processes that start quickly: forked from a server that has only imported the libraries.

Importing PyTorch, and what a first step imports, takes seconds, and a study starts hundreds of processes. A process
gets from its caller what a spawned one would: module paths, working directory, environment and standard error, as they
are at that moment. Variables that libraries read only on import (``OMP_NUM_THREADS``) have the values of the server's
start.
"""

import multiprocessing
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from multiprocessing import forkserver, reduction
from multiprocessing.context import BaseContext
from typing import Any

PRELOADED = (
    "torch",
    "torch._dynamo",  # an optimizer's first use imports it, in a second
    "torch.utils.data",
    "cv2",
    "numpy",
    "bench.measure.loader.comparison",
    "bench.measure.loader.measuring_process",
    "bench.measure.loader.pose_workload",
    "bench.measure.loader.probe",
    "bench.measure.loader.transfers",
)
"""Modules that the server imports before it forks."""


def context() -> BaseContext:
    """Return the multiprocessing context for measuring processes; start the fork server if none runs.

    Other systems than Linux use spawn: on macOS a copy of a process that has loaded Accelerate or Metal is known to
    crash.
    """
    if sys.platform != "linux":
        return multiprocessing.get_context("spawn")
    multiprocessing.set_forkserver_preload(list(PRELOADED))
    with _as_here():
        forkserver.ensure_running()
    return multiprocessing.get_context("forkserver")


@contextmanager
def _as_here() -> Iterator[None]:
    """Make a server started in the block find the same modules as this process, and ignore the terminal's Ctrl-C.

    Otherwise its interpreter would search the working directory first, where a user's file may have a library's name.
    """
    folders = [each or os.getcwd() for each in sys.path]  # noqa: PTH109 (sys.path holds text)
    paths = {"PYTHONPATH": os.pathsep.join(folders), "PYTHONSAFEPATH": "1"}
    before = {name: os.environ.get(name) for name in paths}
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    os.environ.update(paths)
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name)
            if value is not None:
                os.environ[name] = value
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)


class Surroundings:
    """Environment and standard error that a measuring process takes over from its caller; pickled on the way."""

    def __init__(self) -> None:
        self.environment = dict(os.environ)

    def __getstate__(self) -> dict[str, Any]:
        state: dict[str, Any] = dict(vars(self))
        if hasattr(reduction, "DupFd"):
            with suppress(AttributeError, OSError, ValueError):  # no stderr, or one that is no file
                state["stderr"] = reduction.DupFd(sys.stderr.fileno())
        return state

    def take_over(self) -> None:
        """Make them this process's own. Its output goes to stderr, because stdout is the caller's."""
        os.environ.clear()
        os.environ.update(self.environment)
        if (stderr := vars(self).pop("stderr", None)) is not None:
            descriptor = stderr.detach()
            os.dup2(descriptor, 2)
            os.close(descriptor)
        os.dup2(2, 1)
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal's Ctrl-C is for the caller
        if hasattr(signal, "pthread_sigmask"):
            signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
        if hasattr(os, "setsid"):
            os.setsid()
