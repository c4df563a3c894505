"""Run the worker in this process, or in several processes of this machine."""

import multiprocessing
import os
import queue
import signal
import sys
from dataclasses import replace
from multiprocessing.connection import wait
from typing import TYPE_CHECKING

from bench.execute.worker import OnRecord, WorkerSettings, work
from bench.ledger import Ledger
from bench.measure.machine import usable_cores
from bench.record import Record
from posemodel.errors import PosemodelError

if TYPE_CHECKING:
    from multiprocessing.queues import Queue

POLL_S = 0.5
MAX_DEATHS = 5
"""Workers that may die in a row without a new record before the study is given up."""
INTERRUPTED = 130
ERROR_TOLD = 71
"""Exit status of a worker that has told its error on stderr."""


class WorkerError(PosemodelError):
    """The workers cannot go on."""


def run_workers(settings: WorkerSettings, workers: int, on_record: OnRecord) -> None:
    """Work the enqueued plan off with so many workers; a single one works in this process.

    A worker process that dies (killed, out of memory) is replaced; its trial waits again, until its attempts are spent.
    Raises WorkerError when workers end with an error, or die again and again without a new record.
    """
    if workers == 1:
        work(settings, on_record)
        return
    context = multiprocessing.get_context("spawn")
    share = replace(settings, workers=workers, threads=max(1, usable_cores() // workers))
    records: Queue[tuple[Record, int]] = context.Queue()
    ledger = Ledger(settings.storage_url, settings.study_name, settings.identity)

    def start() -> multiprocessing.process.BaseProcess:
        process = context.Process(target=_work, args=(share, records))
        process.start()
        return process

    processes = [start() for _ in range(workers)]
    deaths = 0
    try:
        while processes:
            wait([process.sentinel for process in processes], timeout=POLL_S)
            if _pass_on(records, on_record):
                deaths = 0
            for process in [p for p in processes if not p.is_alive()]:
                processes.remove(process)
                if process.exitcode == INTERRUPTED:
                    raise KeyboardInterrupt
                if process.exitcode == ERROR_TOLD:
                    raise WorkerError(
                        "a worker stopped with the error above; the same command goes on once it is mended"
                    )
                counts = ledger.counts()
                if process.exitcode != 0 and counts["waiting"] + counts["running"]:
                    deaths += 1
                    if deaths > MAX_DEATHS:
                        raise WorkerError(
                            f"{deaths} worker processes died one after the other (exit {process.exitcode})"
                        )
                    processes.append(start())
    except BaseException:
        for process in processes:
            if process.pid is not None and process.is_alive():
                os.kill(process.pid, signal.SIGINT)  # each puts its trial back
        raise
    finally:
        for process in processes:
            process.join()
        _pass_on(records, on_record)


def _pass_on(records: "Queue[tuple[Record, int]]", on_record: OnRecord) -> int:
    """Report what has arrived; returns how many."""
    count = 0
    while True:
        try:
            on_record(*records.get_nowait())
        except queue.Empty:
            return count
        count += 1


def _work(settings: WorkerSettings, records: "Queue[tuple[Record, int]]") -> None:
    try:
        work(settings, lambda record, done: records.put((record, done)))
    except KeyboardInterrupt:
        raise SystemExit(INTERRUPTED) from None
    except PosemodelError as error:
        print(f"posebench: {error}", file=sys.stderr)
        raise SystemExit(ERROR_TOLD) from None
