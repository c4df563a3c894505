"""Render numbered images in this process or in several: the same images in any number of processes."""

import contextlib
import os
import pickle
import queue
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import cv2

from posemodel.synthetic.numbered import Entry, render_numbered

Number = tuple[int, int]
"""Number of the split, index of the image in it."""

IMAGES_PER_PROCESS = 100
"""A process that renders fewer takes longer to start (0.3 to 0.5 s) than it saves."""
BATCH = 8
"""Images asked for at a time: enough that a process never waits for its next."""
_WORKER = "posemodel.synthetic.worker"
_POLL_S = 0.2


Answers = queue.Queue[tuple[bytes, Entry] | Exception]


class Batch(NamedTuple):
    """What a worker process is asked for."""

    seed: int
    size: tuple[int, int] | None
    numbers: list[Number]


def default_workers(images: int) -> int:
    """How many processes pay for so many images: one for each usable core, 0 (this process) for a small set."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    workers = min(cores, images // IMAGES_PER_PROCESS)
    return workers if workers > 1 else 0


def render_all(
    numbers: Sequence[Number], seed: int, size: tuple[int, int] | None, workers: int
) -> Iterator[tuple[bytes, Entry]]:
    """Yield JPEG and entry of every numbered image: in order with 0 workers (this process), else as they come.

    Raises RuntimeError if a worker process dies. Closing the iterator ends the processes.
    """
    if workers == 0:
        before = cv2.getNumThreads()
        cv2.setNumThreads(1)  # images are small; and a process that has used OpenCV's threads cannot be forked safely
        try:
            for split_number, index in numbers:
                yield render_numbered(seed, split_number, index, size)
        finally:
            cv2.setNumThreads(before)
        return
    batches: queue.SimpleQueue[Batch] = queue.SimpleQueue()
    for start in range(0, len(numbers), BATCH):
        batches.put(Batch(seed, size, list(numbers[start : start + BATCH])))
    answers: Answers = queue.Queue(maxsize=2 * BATCH * workers)
    stop = threading.Event()
    processes: list[subprocess.Popen[bytes]] = []
    threads: list[threading.Thread] = []
    try:
        for _ in range(workers):
            processes.append(_start())
            threads.append(
                threading.Thread(target=_converse, args=(processes[-1], batches, answers, stop), daemon=True)
            )
            threads[-1].start()
        for _ in numbers:
            answer = answers.get()
            if isinstance(answer, Exception):
                raise answer
            yield answer
    finally:
        stop.set()
        for process in processes:
            process.kill()  # it holds nothing that could be lost: only the parent writes files
            process.wait()
        for thread in threads:
            thread.join()
        for process in processes:
            for pipe in (process.stdin, process.stdout):
                with contextlib.suppress(OSError):
                    pipe.close()


def _start() -> "subprocess.Popen[bytes]":
    """Start a worker process.

    A plain command instead of ``multiprocessing``: it does not run the caller's main module again (with all that this
    imports, and the need for a main guard). In a session of its own, so that a terminal's Ctrl-C does not reach it.
    """
    here = str(Path(__file__).resolve().parents[3])
    paths = [here, *filter(None, [os.environ.get("PYTHONPATH")])]
    return subprocess.Popen(
        [sys.executable, "-P", "-m", _WORKER],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(paths), "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
        start_new_session=True,
    )


def _converse(
    process: "subprocess.Popen[bytes]", batches: "queue.SimpleQueue[Batch]", answers: Answers, stop: threading.Event
) -> None:
    """Hand a process one batch after the other and pass its answers on, until all is done or nobody listens."""

    def answer(with_this: tuple[bytes, Entry] | Exception) -> None:
        while not stop.is_set():
            with contextlib.suppress(queue.Full):
                answers.put(with_this, timeout=_POLL_S)
                return

    try:
        while not stop.is_set():
            try:
                batch = batches.get_nowait()
            except queue.Empty:
                return
            pickle.dump(batch, process.stdin)
            process.stdin.flush()
            for _ in batch.numbers:
                answer(pickle.load(process.stdout))
    except Exception as error:  # a silent end would leave the caller waiting
        died = RuntimeError(
            "a rendering process died (its own words are above); what is done is kept, the same command goes on"
        )
        died.__cause__ = error
        answer(died)
