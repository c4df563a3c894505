"""The process on a node that trains: finds the study's data, then runs one trial after the other for its place.

It knows neither ledger nor MLflow. It ends when its place does, or is told to stop: a trial that runs then is saved in
the study's place for checkpoints, if it has one.
"""

import os
import pickle
import queue
import resource
import socket
import sys
import threading
import traceback
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path

import torch

from bench.engines import interruption, worker
from bench.engines.checkpoints import refuse_other_place, trial_checkpoint
from bench.engines.cluster.messages import (
    ANSWER,
    CRASHED,
    FAILED,
    OUTCOME,
    READY,
    RETURNED,
    SCORE,
    STEP,
    STOP,
    Message,
)
from bench.engines.cluster.nursery import add_to_path
from bench.engines.cluster.shipping import WHAT_IS_SENT
from bench.engines.interruption import INTERRUPTED
from bench.engines.trial import RunTrial
from bench.measure.machine import fingerprint
from bench.storage import streams
from bench.storage.masking import mask_errors, masked
from bench.trials.spec import TrialSpec
from bench.trials.status import FAULTS
from posemodel.errors import PosemodelError, SettingsError

POLL_S = 0.5
ERROR_LENGTH = 4000
"""Longest text of an unexpected error in characters."""

load_libraries = worker.load_libraries


@dataclass(frozen=True)
class NodeWork:
    """What a training process needs of a study; picklable."""

    study: str
    """Name of the study."""
    run_trial: RunTrial
    locate: Callable[[], Path]
    """Finds the study's data on the node, or makes it there, and returns its folder; raises what `worker` raises."""
    file_paths: Mapping[str, Path]
    """Paths of the study's other files, by setting."""
    modules: tuple[str, ...]
    """Top modules whose distributions describe the node, besides the usual ones."""
    checkpoints: str | None
    checkpoint_every_s: float | None
    """Seconds between two checkpoints of a trial, as the study's own process has it; None without a place for them."""
    threads: int
    """Number of torch threads."""
    loader_workers: int = 0
    """Largest number of processes of a trial's loader."""


@dataclass(frozen=True)
class NodeTrial:
    """A trial to run; picklable."""

    spec: TrialSpec
    concurrent: int
    """Trials that run at once on the node, for the record."""
    pruned: bool
    """Whether the study's process is asked after each score if the trial ends early."""


def serve(connection: Connection) -> int:
    """Serve a place until it ends; returns the exit code."""
    streams.keep_open()
    mask_errors()
    # What a trial leaves behind does not keep the connection open: the place sees that this process has ended.
    os.register_at_fork(after_in_child=connection.close)
    with interruption.handle_signals():
        serving = _Serving(connection)
        try:
            serving.run()
        except KeyboardInterrupt:
            serving.send((RETURNED,))
            return INTERRUPTED
        except PosemodelError as error:
            text = masked(error)
            if ModuleNotFoundError.__name__ in text:
                text += f" Sent to the nodes are {WHAT_IS_SENT}; whatever else is imported has to be installed there."
            serving.send((FAILED, text, isinstance(error, SettingsError)))
        except Exception:
            serving.send((CRASHED, masked(traceback.format_exc())[-ERROR_LENGTH:]))
            raise
    return 1


class _Serving:
    """The process's side of the connection."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self._orders: queue.SimpleQueue[Message] = queue.SimpleQueue()
        self._answers: queue.SimpleQueue[Message] = queue.SimpleQueue()
        threading.Thread(target=self._listen, daemon=True, name="place").start()

    def send(self, message: Message) -> None:
        """Send a message; a place that has ended also ends this process, by `_listen`."""
        with suppress(OSError):
            self.connection.send(message)

    def run(self) -> None:
        """Run what is ordered; ends by KeyboardInterrupt."""
        work: NodeWork = pickle.loads(self._next(self._orders)[1])
        torch.set_num_threads(work.threads)
        folder = work.locate()
        for name, path in work.file_paths.items():
            if not path.exists():
                raise SettingsError(f"{name}: there is no {path}. The file must be at this path on each node.")
        if work.checkpoints is not None:
            refuse_other_place(work.checkpoints, work.study)
        self.send((READY, {"pid": os.getpid(), "host": socket.gethostname(), "machine": fingerprint(work.modules)}))
        while True:
            trial: NodeTrial = pickle.loads(self._next(self._orders)[1])
            self._run(work, trial, trial.spec.with_data(folder, work.file_paths))

    def _run(self, work: NodeWork, trial: NodeTrial, spec: TrialSpec) -> None:
        def stepped(step: int, train_seconds: float) -> None:
            if work.checkpoints is None:
                interruption.check()  # otherwise the trial ends once its state is saved
            self.send((STEP, step, train_seconds))

        def should_prune(score: float) -> bool:
            self.send((SCORE, score))
            return bool(self._next(self._answers)[1])

        with trial_checkpoint(work.checkpoints, work.study, spec, work.checkpoint_every_s) as checkpoint:
            outcome = work.run_trial(
                spec,
                concurrent_trials=trial.concurrent,
                on_step=stepped,
                should_prune=should_prune if trial.pruned else None,
                checkpoint=checkpoint,
            )
        if outcome.record.status in FAULTS:
            interruption.check()  # a library may turn an interruption into an error, which is no result
        self.send((OUTCOME, pickle.dumps(outcome), peak_memory(work.loader_workers)))

    def _next(self, messages: "queue.SimpleQueue[Message]") -> Message:
        while True:
            interruption.check()
            with suppress(queue.Empty):
                return messages.get(timeout=POLL_S)

    def _listen(self) -> None:
        """Queue what comes for the main thread; interrupt it when the place stops it, or ends."""
        with suppress(EOFError, OSError):
            while (message := self.connection.recv())[0] != STOP:
                (self._answers if message[0] == ANSWER else self._orders).put(message)
        interruption.interrupt_main_thread()


def peak_memory(children: int) -> int:
    """Return the largest memory that this process has taken so far, with so many child processes, in bytes.

    Each child counts as the largest that has ended; pages that they share with this process count once for each.
    """
    own, child = (resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    unit = 1 if sys.platform == "darwin" else 1024
    return (own + children * child) * unit


def main(descriptor: int, path: Sequence[str]) -> None:
    """Serve a place in a process that was started anew; ``path``: folders of modules that the place can import."""
    os.set_inheritable(descriptor, False)
    add_to_path(path)
    load_libraries()
    with Connection(descriptor) as connection:
        code = serve(connection)
    sys.stdout.flush()
    os._exit(code)


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2:])
