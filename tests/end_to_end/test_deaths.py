"""Trials whose worker processes are killed together with the process that drives them: nobody is to blame.

Ten times in a row: tests/proofs/test_more_kills.py.
"""

import json
import os
import signal
import sqlite3

import pytest

from bench.ledger.store import MAX_DEATHS
from tests.support.place import WORKERS, Place
from tests.support.running_study import ended, holding, wait_for
from tests.support.valley import VALLEY

TIMES = MAX_DEATHS + 1
"""Once more than a trial's own process may die."""
PLANNED = 4
STUDY_FILE = f"""
kind = "optimizers"
optimizers = ["sgd", "adam"]
tunings = 1
trials = 1
seeds = 1
tune_steps = 20
steps = 20
evaluations = 1
batch_size = 2
device = "cpu"

[workload]
name = "{VALLEY}"
sleep_ms = 100
"""


@pytest.mark.long
def test_trials_killed_with_their_driver_again_and_again_complete(tmp_path):
    complete_though_killed(tmp_path, TIMES)


def complete_though_killed(folder, times):
    """As by the end of a machine, or of a job: both workers and the study's process at once."""
    place = Place(folder / "here", STUDY_FILE)
    place.forked_starts = WORKERS
    command = (*place.study, "--workers", "2")
    for _ in range(times):
        with ended(place.start(*command)) as process:
            wait_for(lambda: holding(place, 2), process, place)
            os.killpg(process.pid, signal.SIGKILL)
    last = place.run(*command, "--json")
    assert last.returncode == 0, last.stderr
    trials = json.loads(last.stdout)["trials"]
    assert trials["complete"] == trials["recorded"] == PLANNED
    recorded = place.recorded()
    assert len(recorded) == len(set(recorded)) == PLANNED
    ledger = sqlite3.connect(place.folder / "optuna.db")
    deaths = "SELECT value_json, count(*) FROM trial_user_attributes WHERE key = 'attempts' GROUP BY value_json"
    assert ledger.execute(deaths).fetchall() == [("0", PLANNED)]
    ledger.close()
