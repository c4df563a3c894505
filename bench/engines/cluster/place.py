"""A place for one trial at a time on a node of a cluster: Ray's side of it, which only passes messages on.

Imports no PyTorch, so that a node's places start in a second. The trial itself runs in a process of its own
(`bench.engines.cluster.nursery`), which Ray neither starts nor kills.
"""

import importlib.metadata
import io
import os
import platform
import queue
import socket
import threading
import time
import zipfile
from collections.abc import Iterator
from contextlib import suppress
from multiprocessing.connection import Connection
from pathlib import Path

import ray
from filelock import FileLock

from bench.engines.cluster import nursery
from bench.engines.cluster.messages import (
    ANSWER,
    CRASHED,
    DIED,
    FAILED,
    LAST,
    READY,
    SCORE,
    STEP,
    STOP,
    TRIAL,
    WORK,
    Message,
)

SETTLE_S = 2.0
"""Seconds after the end of a training process until it counts as its own death: a node that ends takes the place with
it until then."""
STEP_EVERY_S = 0.5
"""Shortest time between two messages of a trial's steps, in seconds."""
COMPARED = ("posebench", "torch")
"""Packages whose versions must be those of the study's process."""


def versions() -> dict[str, str]:
    """Return the versions in which a node must not differ from the study's process; PyTorch's builds for the CPU and
    for CUDA are one version."""
    found = {"python": ".".join(platform.python_version_tuple()[:2])}
    for package in COMPARED:
        try:
            found[package] = importlib.metadata.version(package).partition("+")[0]
        except importlib.metadata.PackageNotFoundError:
            found[package] = "not installed"
    return found


class Place:
    """Runs one trial at a time; several threads call it."""

    def __init__(self, session: str, shipped: bytes, *, fresh: bool) -> None:
        """Keep the node's nursery alive, and begin to load its libraries.

        Args:
            session: Id of the study's process.
            shipped: Zip file with the modules of its working folder.
            fresh: Start each training process anew instead of forking it.
        """
        self.session, self.fresh = session, fresh
        self._hold = nursery.hold(session)  # the folder stays from now on
        self.folder = _unpacked(session, shipped)
        self._process: Connection | None = None
        self._printed = 0
        self._sending = threading.Lock()
        self._answers: queue.SimpleQueue[bool] = queue.SimpleQueue()

    def describe(self) -> dict[str, object]:
        """Return the node's id, name and versions."""
        node = ray.get_runtime_context().get_node_id()
        return {"node": node, "host": socket.gethostname(), "versions": versions()}

    def prepare(self, work: bytes, grace_s: float) -> Message:
        """Start the training process, have it find the study's data, and return its answer.

        Args:
            work: The pickled `NodeWork`.
            grace_s: Seconds that it has to end after this place, before it is killed.
        """
        try:
            self._process = self._new_process(grace_s)
        except OSError:  # somebody has ended the nursery
            self._hold = nursery.hold(self.session)
            self._process = self._new_process(grace_s)
        self._printed = nursery.printed(self.session)
        self._send((WORK, work))
        while True:
            message = self._next()
            if message[0] in (READY, *LAST):
                return message
            if message[0] == CRASHED:
                return (FAILED, message[1], False)

    def _new_process(self, grace_s: float) -> Connection:
        return nursery.new_process(self.session, fresh=self.fresh, folder=self.folder, grace_s=grace_s)

    def run(self, trial: bytes) -> Iterator[Message]:
        """Run a trial; yields its messages, the last of which is one of `LAST`."""
        self._send((TRIAL, trial))
        stepped_at = 0.0
        while True:
            message = self._next()
            if message[0] == STEP:
                if time.monotonic() - stepped_at < STEP_EVERY_S:
                    continue
                stepped_at = time.monotonic()
            yield message
            if message[0] == SCORE:
                self._send((ANSWER, self._answers.get()))
            if message[0] in LAST:
                return

    def answer(self, ends: bool) -> None:
        """Answer a score: True ends the trial."""
        self._answers.put(ends)

    def stop(self) -> None:
        """Interrupt the trial, which gives it back, and end the training process."""
        self._send((STOP,))
        self._answers.put(False)  # if one waits for an answer, `run` has to go on listening to it

    def _send(self, message: Message) -> None:
        with suppress(OSError), self._sending:  # a process that has ended is noticed by who reads from it
            if self._process is not None:
                self._process.send(message)

    def _next(self) -> Message:
        """Return the next message of the training process, or `DIED` once it has ended."""
        assert self._process is not None, "a place is prepared first"
        try:
            message: Message = self._process.recv()
        except (EOFError, OSError):
            time.sleep(SETTLE_S)
            return (DIED, nursery.printed_since(self.session, self._printed))
        return message


def _unpacked(session: str, shipped: bytes) -> Path:
    """Return this node's folder with the modules of the study's working folder."""
    folder = nursery.folder_of(session)
    with FileLock(folder / "unpack.lock"):
        if not (folder / "work").is_dir():
            with zipfile.ZipFile(io.BytesIO(shipped)) as archive:
                archive.extractall(folder / "unpacking")
            (folder / "unpacking").mkdir(exist_ok=True)
            os.rename(folder / "unpacking", folder / "work")  # noqa: PTH104 (one word for both)
    return folder / "work"
