"""Run the worker in this process, or in several processes of this machine."""

import multiprocessing
import queue
from dataclasses import replace
from multiprocessing.connection import wait
from typing import TYPE_CHECKING

from bench.execute.worker import OnRecord, WorkerSettings, work
from bench.ledger import Ledger
from bench.measure.machine import usable_cores
from bench.record import Record

if TYPE_CHECKING:
    from multiprocessing.queues import Queue

POLL_S = 0.5


def run_workers(settings: WorkerSettings, workers: int, on_record: OnRecord) -> None:
    """Work the enqueued plan off with so many workers; a single one works in this process.

    A worker process that dies (killed, out of memory) is replaced; its trial waits again, until its attempts are spent.
    """
    if workers == 1:
        work(settings, on_record)
        return
    context = multiprocessing.get_context("spawn")
    share = replace(settings, threads=max(1, usable_cores() // workers))
    records: Queue[tuple[Record, int]] = context.Queue()
    ledger = Ledger(settings.storage_url, settings.study_name, settings.identity)

    def start() -> multiprocessing.process.BaseProcess:
        process = context.Process(target=_work, args=(share, records))
        process.start()
        return process

    processes = [start() for _ in range(workers)]
    try:
        while processes:
            wait([process.sentinel for process in processes], timeout=POLL_S)
            _pass_on(records, on_record)
            for process in [p for p in processes if not p.is_alive()]:
                processes.remove(process)
                counts = ledger.counts()
                if process.exitcode != 0 and counts["waiting"] + counts["running"]:
                    processes.append(start())
    finally:
        # After an interruption the terminal has interrupted the workers too: each puts its trial back.
        for process in processes:
            process.join()
        _pass_on(records, on_record)


def _pass_on(records: "Queue[tuple[Record, int]]", on_record: OnRecord) -> None:
    while True:
        try:
            on_record(*records.get_nowait())
        except queue.Empty:
            return


def _work(settings: WorkerSettings, records: "Queue[tuple[Record, int]]") -> None:
    try:
        work(settings, lambda record, done: records.put((record, done)))
    except KeyboardInterrupt:
        raise SystemExit(0) from None
