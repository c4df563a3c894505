"""A client of the benchmark of claims: a process that claims trials, and makes bare transactions in between."""

import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.synchronize import Barrier

import sqlalchemy

from bench.ledger.store import Ledger

WAIT_S = 600.0
"""Seconds that a client waits for the others."""
BARE = "UPDATE trial_user_attributes SET value_json = :value WHERE trial_id = :key AND key = 'heartbeat'"


@dataclass(frozen=True)
class Load:
    """The work of one client; picklable."""

    url: str
    study: str
    pauses_s: tuple[float, ...]
    """Mean seconds between two transactions, in each of the series."""
    repeats: int
    """Repeats of each series, which the clients begin together."""
    claims: int
    """Claims in a repeat, each with a bare transaction before or after it."""


Times = list[list[tuple[float, float]]]
"""Seconds of a claim and of a bare transaction: by repeat."""


def run(load: Load, number: int, together: Barrier, answer: Connection) -> None:
    """Work through all series, and send the times of each.

    ``number``: number of this client, which seeds its pauses.
    """
    ledger, pauses = Ledger(load.url, load.study, {}), random.Random(number)
    first = ledger.claim()
    assert first is not None, "the study has a trial for each claim"
    key = first.key

    def claim() -> None:
        ledger.claim()

    def bare() -> None:
        with ledger.patiently.transaction() as connection:
            connection.exec_driver_sql("SELECT 1")
            connection.execute(sqlalchemy.text(BARE), {"value": str(time.time()), "key": key})

    bare()
    for pause_s in load.pauses_s:
        times: Times = []
        for _ in range(load.repeats):
            together.wait(WAIT_S)
            times.append([])
            for each in range(load.claims):
                sides = [0.0, 0.0]
                for side in (each % 2, 1 - each % 2):
                    time.sleep(pauses.uniform(0, 2 * pause_s))
                    sides[side] = _seconds((claim, bare)[side])
                times[-1].append((sides[0], sides[1]))
        answer.send(times)
    ledger.release()


def _seconds(act: Callable[[], None]) -> float:
    began = time.perf_counter()
    act()
    return time.perf_counter() - began
