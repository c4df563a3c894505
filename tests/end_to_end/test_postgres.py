"""The ledger on a real PostgreSQL: claims are atomic, and a server that is away loses and doubles nothing.

A whole study on one: test_secrets.py. A hundred clients: tests/proofs/test_hundred_clients.py.
"""

import multiprocessing
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from bench.ledger import connection
from bench.ledger.format import HEARTBEAT, OWNER
from bench.ledger.store import Ledger, OptunaValues
from bench.storage.patience import PATIENCE_VARIABLE, ServerAwayError
from bench.trials.spec import TrialSpec
from bench.trials.status import Status
from posemodel.config import TrainSettings
from tests.support.postgres import postgres_server
from tests.support.postmaster import Postmaster, line_to

TRIALS = 60
PROCESSES = 4
CLIENTS = 16
DEADLINE_S = 120


@pytest.fixture(scope="module")
def postgres() -> Iterator[str]:
    """A server of our own; yields `host:port`."""
    with postgres_server(("race",)) as address:
        yield address


@pytest.fixture
def mortal(postgres: str) -> Iterator[Postmaster]:
    """The same server, for a test that kills it and starts it again."""
    server = Postmaster(postgres)
    yield server
    if not server.process.is_running():
        server.start()


@pytest.fixture
def study(request: pytest.FixtureRequest) -> str:
    """A name for the test's own study."""
    return request.node.name


def _url(address: str) -> str:
    return f"postgresql+psycopg://posebench@{address}/race"


def _specs(number: int = TRIALS) -> list[TrialSpec]:
    return [
        TrialSpec(
            phase="tune",
            index=i,
            optimizer="sgd",
            hyperparameters={"lr": 1.0 + i},
            data_digest="none",
            train=TrainSettings(data=Path("none"), steps=1),
        )
        for i in range(number)
    ]


def _claim_all(url: str, study: str, taken: "multiprocessing.queues.Queue[str]", seconds: float = 0.0) -> None:
    ledger = Ledger(url, study, {})
    while (claim := ledger.claim()) is not None:
        time.sleep(seconds)
        ledger.finish(claim.key, Status.COMPLETE, OptunaValues((0.0,)))
        taken.put(claim.spec.id)


def _in_processes(url: str, study: str, seconds: float = 0.0):
    context = multiprocessing.get_context("fork")  # each opens connections of its own, and has the libraries loaded
    taken = context.Queue()
    processes = [context.Process(target=_claim_all, args=(url, study, taken, seconds)) for _ in range(PROCESSES)]
    for process in processes:
        process.start()
    return processes, taken


def wait_until(check: Callable[[], object]) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while not check():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_claims_are_atomic(postgres: str, study: str) -> None:
    specs = _specs()
    Ledger(_url(postgres), study, {}).enqueue(specs)
    processes, taken = _in_processes(_url(postgres), study)
    claimed = [taken.get(timeout=600) for _ in specs]
    for process in processes:
        process.join()
    assert sorted(claimed) == sorted(spec.id for spec in specs)


def test_two_that_enqueue_at_once_add_each_trial_once(postgres: str, study: str) -> None:
    ledgers = [Ledger(_url(postgres), study, {}) for _ in range(PROCESSES)]
    together, added = threading.Barrier(PROCESSES), []

    def enqueue(ledger: Ledger) -> None:
        together.wait()
        added.append(ledger.enqueue(_specs()))

    threads = [threading.Thread(target=enqueue, args=(ledger,)) for ledger in ledgers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(added) == TRIALS
    assert ledgers[0].counts() == {"waiting": TRIALS}


def test_many_clients_join_at_once(postgres: str, study: str) -> None:
    all_join(_url(postgres), study, CLIENTS)


def all_join(url: str, study: str, clients: int) -> None:
    """So many at once, with the test's own; each keeps a connection only while it needs it."""
    specs = _specs(clients)
    first = Ledger(url, study, {})
    first.enqueue(specs)
    together, claimed = threading.Barrier(clients), []

    def join() -> None:
        together.wait()
        ledger = Ledger(url, study, {})
        claim = ledger.claim()
        ledger.release()
        claimed.append(claim.spec.id)
        ledger.finish(claim.key, Status.COMPLETE, None)
        ledger.release()

    threads = [threading.Thread(target=join) for _ in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(claimed) == sorted(spec.id for spec in specs)
    assert first.counts() == {"complete": clients}


def test_a_server_that_is_killed_while_processes_claim_loses_and_doubles_nothing(
    postgres: str, mortal: Postmaster, study: str
) -> None:
    """Twice, with all of its processes, at whatever the four clients are doing."""
    specs = _specs()
    url = _url(postgres)
    ledger = Ledger(url, study, {})
    ledger.enqueue(specs)
    processes, taken = _in_processes(url, study, 0.05)
    claimed = [taken.get(timeout=DEADLINE_S) for _ in range(TRIALS // 4)]
    for _ in range(2):
        mortal.kill()
        mortal.start()
        claimed += [taken.get(timeout=DEADLINE_S) for _ in range(TRIALS // 4)]
    claimed += [taken.get(timeout=DEADLINE_S) for _ in range(TRIALS - len(claimed))]
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0] * PROCESSES
    assert sorted(claimed) == sorted(spec.id for spec in specs)
    assert ledger.counts() == {"complete": TRIALS}


def test_a_claim_whose_answer_is_lost_is_no_second_claim(postgres: str, study: str) -> None:
    Ledger(_url(postgres), study, {}).enqueue(_specs(3))
    with line_to(postgres) as line:
        ledger = Ledger(_url(line.address), study, {})
        line.lose_answer_to(b"COMMIT")
        claims = [ledger.claim(), ledger.claim()]
        assert line.has_lost
        assert [claim.spec.index for claim in claims] == [0, 1]
        assert ledger.counts() == {"waiting": 1, "running": 2}


def test_what_got_no_answer_is_done_once(postgres: str, study: str) -> None:
    """Enqueueing, a death, an end and an extension."""
    with line_to(postgres) as line:
        ledger = Ledger(_url(line.address), study, {"steps": 1})

        def answer_is_lost(act, result):
            line.lose_answer_to(b"COMMIT")
            assert act() == result
            assert line.has_lost

        answer_is_lost(lambda: ledger.enqueue(_specs(3)), 3)
        assert ledger.counts() == {"waiting": 3}
        me = psutil.Process()
        claim = ledger.claim()
        answer_is_lost(lambda: ledger.charge_death(me.pid, me.create_time()), None)
        assert ledger.claim() == replace(claim, deaths=1)
        answer_is_lost(lambda: ledger.finish(claim.key, Status.COMPLETE, OptunaValues((0.5,), {"memory": 0.1})), None)
        assert ledger.storage.get_trial(claim.key).values == [0.5]
        answer_is_lost(lambda: ledger.extend({"steps": 2}), None)
        assert ledger.earlier_identities() == [{"steps": 1}]
        assert ledger.counts() == {"waiting": 2, "complete": 1}


def test_a_server_away_for_good_is_an_error_that_says_what_to_do(
    postgres: str, mortal: Postmaster, study: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(PATIENCE_VARIABLE, "1s")
    ledger = Ledger(_url(postgres), study, {})
    ledger.enqueue(_specs(1))
    claim = ledger.claim()
    mortal.kill()
    with pytest.raises(ServerAwayError, match=rf"storage .*@{postgres}/race: .*{PATIENCE_VARIABLE}=1h"):
        ledger.counts()
    ledger.send_heartbeat(claim.key)
    ledger.put_back(claim.key)
    mortal.start()
    assert ledger.is_owner(claim.key), "what could not be given back is left to those who find its process dead"


def test_workers_elsewhere_get_time_to_be_heard_once_the_server_is_seen(
    postgres: str, mortal: Postmaster, study: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a start, after an outage, and after a silence in which the server may have been away: heartbeats are old
    because nobody could send one."""
    ledger = Ledger(_url(postgres), study, {})
    ledger.enqueue(_specs(1))
    claim = ledger.claim()
    owner = ledger.storage.get_trial(claim.key).user_attrs[OWNER]
    ledger.storage.set_trial_user_attr(claim.key, OWNER, {**owner, "host": "elsewhere"})
    ledger.storage.set_trial_user_attr(claim.key, HEARTBEAT, time.time() - 3600)

    def is_taken_for_dead_in_time() -> None:
        assert ledger.stale_trials() == []
        with monkeypatch.context() as patch:
            patch.setattr(connection, "GRACE_S", 0.2)
            wait_until(ledger.stale_trials)

    is_taken_for_dead_in_time()
    mortal.kill()
    ledger.put_back(claim.key)  # notices that the server is away
    mortal.start()
    with monkeypatch.context() as patch:
        patch.setattr(connection, "GRACE_S", 0.2)
        assert ledger.stale_trials() == []
    is_taken_for_dead_in_time()
    monkeypatch.setattr(connection, "UNSEEN_S", 0.0)  # each answer is then the first one after a silence
    monkeypatch.setattr(connection, "GRACE_S", 1.0)
    since = time.monotonic()
    while time.monotonic() - since < 2.0:
        assert ledger.stale_trials() == []
