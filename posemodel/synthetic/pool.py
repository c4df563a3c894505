"""Rendering of numbered images in this process or in workers; images do not depend on the number of workers."""

import contextlib
import os
import pickle
import queue
import subprocess
import sys
import threading
from collections.abc import Generator, Sequence
from pathlib import Path
from typing import NamedTuple

import cv2

from posemodel.synthetic.numbered import Entry, render_numbered

Number = tuple[int, int]
"""Number of the split, and index of the image in it."""

IMAGES_PER_PROCESS = 100
"""Minimum number of images per worker process that makes one worthwhile: starting it takes 0.3 to 0.5 s."""
BATCH = 8
"""Images requested at a time, enough that a worker never waits for its next request."""
_WORKER = "posemodel.synthetic.worker"
_POLL_S = 0.2
"""Seconds between two checks of the stop signal while the queue of results is full."""

Answers = queue.Queue[tuple[bytes, Entry] | Exception]
"""Results of the workers: JPEG and entry of an image, or the error that ended a worker."""


class Batch(NamedTuple):
    """Request to a worker process, listing the images to render."""

    seed: int
    size: tuple[int, int] | None
    numbers: list[Number]


def default_workers(images: int) -> int:
    """Return the default number of worker processes: one for each usable core, 0 (none) for few images."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    workers = min(cores, images // IMAGES_PER_PROCESS)
    return workers if workers > 1 else 0


def render_all(
    numbers: Sequence[Number], seed: int, size: tuple[int, int] | None, workers: int
) -> Generator[tuple[bytes, Entry]]:
    """Yield JPEG and entry of every numbered image, in order with 0 workers (this process), else as they are finished.

    Raises RuntimeError if a worker process dies. Closing the iterator ends the processes.
    """
    if workers == 0:
        before = cv2.getNumThreads()
        cv2.setNumThreads(1)  # images are small, and a process that used OpenCV's threads cannot be forked safely
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
            process.kill()  # nothing is lost: only this process writes files
            process.wait()
        for thread in threads:
            thread.join()
        for process in processes:
            for pipe in (process.stdin, process.stdout):
                if pipe is not None:
                    with contextlib.suppress(OSError):
                        pipe.close()


def _start() -> "subprocess.Popen[bytes]":
    """Start a worker process.

    It is started as a command, because ``multiprocessing`` would import the caller's main module again and require a
    main guard. It has a session of its own, so that a terminal's Ctrl-C does not reach it.
    """
    root = str(Path(__file__).resolve().parents[2])
    paths = [root, *filter(None, [os.environ.get("PYTHONPATH")])]
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
    """Send batches to a process and pass its results on, until all batches are done or ``stop`` is set."""

    def put(answer: tuple[bytes, Entry] | Exception) -> None:
        while not stop.is_set():
            with contextlib.suppress(queue.Full):
                answers.put(answer, timeout=_POLL_S)
                return

    try:
        assert process.stdin is not None
        assert process.stdout is not None
        while not stop.is_set():
            try:
                batch = batches.get_nowait()
            except queue.Empty:
                return
            pickle.dump(batch, process.stdin)
            process.stdin.flush()
            for _ in batch.numbers:
                put(pickle.load(process.stdout))
    except Exception as error:  # without an answer the caller would wait forever
        died = RuntimeError(
            "a rendering process died (its error is above); finished images are kept, and the same command continues"
        )
        died.__cause__ = error
        put(died)
