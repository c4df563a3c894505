"""The ledger on a real PostgreSQL: claims are atomic. A whole study on one: test_secrets.py."""

import multiprocessing
from collections.abc import Iterator
from pathlib import Path

import pytest

from bench.ledger.store import Ledger, OptunaValues
from bench.trials.spec import TrialSpec
from bench.trials.status import Status
from posemodel.config import TrainSettings
from tests.support.postgres import postgres_server

TRIALS = 60
PROCESSES = 4


@pytest.fixture(scope="module")
def postgres() -> Iterator[str]:
    """A server of our own; yields `host:port`."""
    with postgres_server(("race",)) as address:
        yield address


def _claim_all(url: str, taken: "multiprocessing.queues.Queue[list[str]]") -> None:
    ledger = Ledger(url, "race", {})
    mine = []
    while (claim := ledger.claim()) is not None:
        mine.append(claim.spec.id)
        ledger.finish(claim.key, Status.COMPLETE, OptunaValues((0.0,)))
    taken.put(mine)


def test_claims_are_atomic(postgres: str) -> None:
    url = f"postgresql+psycopg://posebench@{postgres}/race"
    specs = [
        TrialSpec(
            phase="tune",
            index=i,
            optimizer="sgd",
            hyperparameters={"lr": 1.0 + i},
            data_digest="none",
            train=TrainSettings(data=Path("none"), steps=1),
        )
        for i in range(TRIALS)
    ]
    Ledger(url, "race", {}).enqueue(specs)
    context = multiprocessing.get_context("fork")  # each opens connections of its own, and has the libraries loaded
    taken = context.Queue()
    processes = [context.Process(target=_claim_all, args=(url, taken)) for _ in range(PROCESSES)]
    for process in processes:
        process.start()
    claimed = [trial for _ in processes for trial in taken.get(timeout=600)]
    for process in processes:
        process.join()
    assert sorted(claimed) == sorted(spec.id for spec in specs)
