"""Servers that are killed and started again while a study's trials run: nothing is lost, and nothing comes twice.

The short sibling, with the tracking server alone, is `tests/end_to_end/test_servers_away.py`.
"""

import time

import pytest

from tests.support.away_servers import (
    assert_whole,
    servers,
    slow_study,
    trainings,
    waiting_files,
)
from tests.support.place import PLANNED, WORKERS, Place
from tests.support.restarted_servers import WAIT_S
from tests.support.running_study import ended, output, wait_for

SHARD = "kills"
COVERS = (
    "bench/storage/patience.py", "bench/records/*.py", "bench/engines/*.py", "bench/ledger/*.py",
    "bench/study/ledger_runner.py", "tests/support/away_servers.py", "tests/support/restarted_servers.py",
)  # fmt: skip
WORKERS_AT_ONCE = 2
SHORT, LONG = (4, 5.0), (1, 120.0)
"""Kills of a study, and seconds without the server after each."""


@pytest.fixture(scope="module")
def away(tmp_path_factory):
    with servers(tmp_path_factory.mktemp("servers")) as found:
        yield found


@pytest.fixture
def place(tmp_path):
    made = Place(tmp_path / "here", used=False)
    made.forked_starts = WORKERS
    return made


def kill_tracking(away):
    away.tracking.kill()


def kill_records(away):
    away.records.kill()


def kill_ledger(away):
    away.ledger.kill()


def kill_everything(away):
    for kill in (kill_tracking, kill_records, kill_ledger):
        kill(away)


def start_again(away, kill):
    if kill in (kill_records, kill_everything):
        away.records.start()
    if kill in (kill_ledger, kill_everything):
        away.ledger.start()
    if kill in (kill_tracking, kill_everything):
        away.tracking.start()


CASES = [(kill_tracking, SHORT), (kill_records, SHORT), (kill_ledger, SHORT), (kill_everything, LONG)]


@pytest.mark.parametrize(("kill", "often"), CASES, ids=[kill.__name__ for kill, _ in CASES])
def test_a_study_whose_servers_are_killed_and_started_again_is_whole(away, place, figures, kill, often):
    """At moments that differ: each time after further records, with two workers in any state."""
    rounds, away_s = often
    name = kill.__name__.replace("_", "-")
    waited = []
    with ended(place.start(*slow_study(place, name), "--workers", WORKERS_AT_ONCE, **away.both)) as process:
        for number in range(rounds):
            wait_for(lambda least=1 + number: len(away.recorded(name)) >= least, process, place)
            if kill is kill_everything:  # between two trials neither of the workers has anything to keep
                wait_for(lambda: trainings(place) > WORKERS_AT_ONCE, process, place)
            time.sleep(0.13 * number)  # a moment of its own in the trial, not a state that is waited for
            kill(away)
            gone = time.monotonic() + away_s
            while time.monotonic() < gone:
                assert process.poll() is None, output(place)
                time.sleep(0.1)
            waited.append(len(waiting_files(place)))
            start_again(away, kill)
        assert process.wait(WAIT_S) == 0, output(place)
    assert "Traceback" not in output(place)
    assert_whole(away, place, name)
    if kill is not kill_ledger:
        assert max(waited) > 0, "no record has waited on disk"
    figures |= {
        "kills": rounds,
        "seconds without the server after each": away_s,
        "records": PLANNED,
        "records on disk at each kill's end": waited,
        "runs of trials in MLflow, by state": dict(away.run_states(name)),
    }
