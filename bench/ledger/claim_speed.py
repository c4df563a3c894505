"""Time claims of many clients from a study with thousands of waiting trials, against bare transactions."""

import multiprocessing
import tempfile
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bench.ledger.claim_client import WAIT_S, Load, Times, run
from bench.ledger.store import Ledger
from bench.speed.compare import Row, summarize
from bench.storage.sqlite_files import sqlite_file, url_of
from bench.trials.phases import TUNE
from bench.trials.spec import TrialSpec
from posemodel.config import TrainSettings
from posemodel.errors import SettingsError

TRIALS, CLIENTS = 10_000, 16
MAX_P95_MS = 20.0
"""Milliseconds in which 95 % of the claims should end on PostgreSQL (the table in docs/speed.md)."""
PAUSE_S = 0.1
"""Mean seconds between two transactions of a client in the row `claim`: a client also trains, milliseconds at least."""
CLAIMS = 10
"""Claims of a client in a repeat."""
SERIES = {"claim": PAUSE_S, "claim back to back": 0.0}
YARDSTICK = "a transaction: SELECT 1, UPDATE of a row"


def measure(url: str | None = None, *, trials: int = TRIALS, clients: int = CLIENTS, repeats: int = 5) -> list[Row]:
    """Time claims by processes at once from a study of waiting trials, and bare transactions of the same processes.

    A study of its own is made and deleted again. Clients claim and do nothing with their trials. The row `claim` has
    pauses in between, `claim back to back` has none. Facts: the 95th percentiles over all clients and repeats in
    milliseconds, and on a server the limit for claims.

    Args:
        url: SQLAlchemy URL of the storage; None: a temporary SQLite file.
        trials: Number of waiting trials at the begin.
        clients: Number of processes.
        repeats: Number of repeats of each row.

    Raises SettingsError if the storage cannot be used, or the claims would use up the trials.
    """
    needed = clients * (1 + len(SERIES) * repeats * CLAIMS)
    if needed > trials:
        raise SettingsError(
            f"--trials {trials}: {clients} clients claim {needed} of them. Give more trials, or fewer --clients."
        )
    with ExitStack() as cleaning:
        if url is None:
            folder = cleaning.enter_context(tempfile.TemporaryDirectory(ignore_cleanup_errors=True))
            url = url_of(Path(folder, "optuna.db"))
        name = f"posebench-speed-{uuid.uuid4().hex[:12]}"
        ledger = Ledger(url, name, {})
        cleaning.callback(ledger.delete)
        ledger.enqueue(_waiting(trials))
        ledger.release()
        series = list(_work(Load(url, name, tuple(SERIES.values()), repeats, CLAIMS), clients))
    asked = {} if sqlite_file(url) is not None else {"asked_p95_ms": MAX_P95_MS}
    facts = {"trials": trials, "clients": clients, **asked}
    return [_row(name, times, facts) for name, times in zip(SERIES, series, strict=True)]


def _row(name: str, times: NDArray[np.float64], facts: Mapping[str, float]) -> Row:
    """Make a row from the milliseconds (clients, repeats, claims, 2) of claims and bare transactions."""
    by_repeat = np.median(times.transpose(1, 0, 2, 3).reshape(times.shape[1], -1, 2), axis=1)
    p95 = np.percentile(times.reshape(-1, 2), 95, axis=0)
    percentiles = {"p95_ms": float(p95[0]), "yardstick_p95_ms": float(p95[1])}
    return summarize(name, YARDSTICK, by_repeat[:, 0], by_repeat[:, 1], **facts, **percentiles)


def _work(load: Load, clients: int) -> Iterator[NDArray[np.float64]]:
    """Run the clients; yield the milliseconds (clients, repeats, claims, 2) of each series."""
    context = multiprocessing.get_context("spawn")
    together = context.Barrier(clients)
    with ExitStack() as ending:
        answers = []
        for number in range(clients):
            answer, sender = context.Pipe(duplex=False)
            process = context.Process(target=run, args=(load, number, together, sender), daemon=True)
            process.start()
            ending.callback(process.join)
            ending.callback(process.kill)
            sender.close()
            answers.append(answer)
        for _ in load.pauses_s:
            times: list[Times] = []
            for answer in answers:
                if not answer.poll(WAIT_S):
                    raise TimeoutError(f"a client of the ledger has not answered for {WAIT_S:.0f} s")
                times.append(answer.recv())
            yield 1000 * np.array(times)


def _waiting(trials: int) -> Sequence[TrialSpec]:
    train = TrainSettings(data=Path("none"), steps=1)
    return [
        TrialSpec(
            phase=TUNE, index=index, optimizer="sgd", hyperparameters={"lr": 1.0 + index}, data_digest="", train=train
        )
        for index in range(trials)
    ]
