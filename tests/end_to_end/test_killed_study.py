"""A study killed with SIGKILL at chosen moments, one after the other: the same command brings it to the same end."""

import json
import os
import signal
import sqlite3
import time

import pandas as pd
import psutil
import pytest

from tests.support.killed_moment import OPENED, Moment
from tests.support.killed_runs import killed_at, run_with
from tests.support.place import WORKERS, Place
from tests.support.valley import VALLEY

STUDY_FILE = f"""
kind = "optimizers"
optimizers = ["sgd", "adam"]
tunings = 2
trials = 3
seeds = 1
tune_steps = 20
steps = 20
evaluations = 2
pruner = "hyperband"
tune_evaluations = 2
batch_size = 2
device = "cpu"

[workload]
name = "{VALLEY}"
"""
PLANNED = 16
"""Of two tunings of each of two optimizers: rounds of 2 and of 1 tune trials, and a confirm trial."""
NAME = "optimizers-smoke-people"
COMMAND = ("study", "optimizers", "--preset", "smoke", "--study", "killed.toml", "--data", "people", "--json")

RENAMED = "os:replace"
RUN_ENDS = "mlflow:MlflowClient.set_terminated"
STATEMENT = "sqlalchemy.engine.default:DefaultDialect.do_execute"
COMMIT = "sqlalchemy.engine.default:DefaultDialect.do_commit"
CLAIM, ENQUEUE, FINISH = (f"bench.ledger.store:Ledger.{name}" for name in ("claim", "enqueue", "finish"))
PUT_BACK = "bench.ledger.store:Ledger.put_back_stale"
TRACKER = "bench.records.writer:Tracker"
PLANNING = "bench.study.ledger_runner:Planner._plan"
NEXT_ROUND, FINALIST = "bench.kinds.optimizers.search:_around_best", "bench.kinds.optimizers.plan:_confirm_trials"

MOMENTS = {
    # Opening the stores.
    "while the ledger's tables are made": Moment(STATEMENT, call=35, within="bench.ledger.connection:open_storage"),
    "while MLflow's tables are made": Moment(STATEMENT, call=900, within="bench.records.files:_create_sqlite"),
    "after the study's run is made, before it is described": Moment("mlflow:MlflowClient.create_run", "after"),
    # Trial 0.
    "while the tune trials are enqueued": Moment(COMMIT, within=ENQUEUE),
    "after the claim": Moment(COMMIT, "after", within=CLAIM),
    "after start_trial": Moment(f"{TRACKER}.start_trial", "after"),
    "after an evaluation that the pruner has seen": Moment("bench.ledger.store:Ledger.note_evaluation", "after"),
    "in an open transaction of the ledger": Moment(COMMIT, within=FINISH),
    # Trial 1.
    "between the mark `recorded` and the run's end": Moment(RUN_ENDS, within=f"{TRACKER}.record_trial"),
    "in an open transaction of MLflow": Moment(COMMIT, call=2, within=f"{TRACKER}.record_trial"),
    # The first round's end.
    "after a tuning's first round, before its next is planned": Moment(NEXT_ROUND, within=PLANNING),
    "while the next rounds are enqueued": Moment(COMMIT, within=ENQUEUE),
    # The next round.
    "between MLflow's end and the ledger's": Moment(FINISH),
    "between a trial's status and its end": Moment(STATEMENT, call=3, within=FINISH),
    # Its end, and confirm trials.
    "after a tuning's last round, before its finalist is planned": Moment(FINALIST, within=PLANNING),
    "while the confirm trials are enqueued": Moment(COMMIT, call=2, within=ENQUEUE),
    "while it trains": Moment("torch.optim:Optimizer.zero_grad", call=2),
    "while a dead worker's run is closed": Moment(RUN_ENDS, within=f"{TRACKER}.abandon"),
    "while a dead worker's trial is given back": Moment(COMMIT, within=PUT_BACK),
    "while a trial's samples are attached": Moment(OPENED, match="/artifacts/samples"),
    # The report.
    "before the report's first file": Moment(OPENED, match=f"reports/{NAME}/"),
    "with the report's second file empty": Moment("builtins:open", "after", match=f"reports/{NAME}/curves.csv"),
    "before a figure": Moment(OPENED, match=f"reports/{NAME}/validation-loss.png"),
    "before result.json": Moment(OPENED, match=f"reports/{NAME}/result.json"),
    "half of report.md written": Moment(RENAMED, "torn", match=f"reports/{NAME}/report.md"),
    "while the report is attached": Moment(OPENED, call=2, match="/artifacts/report/"),
    "before the study is closed": Moment(RUN_ENDS, within=f"{TRACKER}.close_study"),
}
"""In the order in which one study meets them."""
PROVED = (
    "while MLflow's tables are made",
    "after the claim",
    "while the next rounds are enqueued",
    "after a tuning's last round, before its finalist is planned",
    "while a trial's samples are attached",
    "with the report's second file empty",
    "after the study's run is made, before it is described",
    "after an evaluation that the pruner has seen",
    "after a tuning's first round, before its next is planned",
    "while a dead worker's trial is given back",
    "while the report is attached",
    "while the tune trials are enqueued",
    "in an open transaction of MLflow",
    "between a trial's status and its end",
    "before the report's first file",
    "before a figure",
    "before result.json",
    "before the study is closed",
    "between the mark `recorded` and the run's end",
    "while the confirm trials are enqueued",
    "while it trains",
    "while a dead worker's run is closed",
)
"""Left to `tests/proofs/test_killed_pose_study.py`, which goes through all of them: each has a neighbour here."""

TIMED = ("_s", "_s_sum", "_ms", "_seconds", "_share", "run_id")
"""Ends of the names of what depends on the clock, or is drawn at random."""


def prepare(place):
    (place.folder / "killed.toml").write_text(STUDY_FILE)
    return place


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """The study run once through."""
    place = prepare(Place(tmp_path_factory.mktemp("undisturbed") / "here"))
    process = place.run(*COMMAND)
    assert process.returncode == 0, process.stderr
    return place, json.loads(process.stdout)


def is_timed(name):
    return name.endswith(TIMED) or "equal_seconds" in name


def same_everywhere(value):
    """What of a document does not depend on the clock or on ids drawn at random."""
    if isinstance(value, dict):
        return {key: same_everywhere(entry) for key, entry in value.items() if not is_timed(key)}
    return [same_everywhere(entry) for entry in value] if isinstance(value, list) else value


def table(place, name):
    frame = pd.read_csv(place.folder / "reports" / NAME / name, dtype=str)
    return frame[[column for column in frame if not is_timed(column)]]


def assert_as_undisturbed(place, found, undisturbed):
    """The end of the study is whole, and it is the one that an undisturbed study has."""
    assert found["status"] == "complete"
    assert found["trials"]["complete"] == found["trials"]["recorded"] == PLANNED
    recorded = place.recorded()
    assert len(recorded) == len(set(recorded)) == PLANNED
    states = place.run_states()
    assert states["FINISHED"] == PLANNED + 1
    assert set(states) <= {"FINISHED", "KILLED"}
    ledger = sqlite3.connect(place.folder / "optuna.db")
    assert dict(ledger.execute("SELECT state, count(*) FROM trials GROUP BY state")) == {"COMPLETE": PLANNED}
    ledger.close()

    other, document = undisturbed
    assert same_everywhere(found) == same_everywhere(document)
    for name in ("records.csv", "curves.csv"):
        pd.testing.assert_frame_equal(table(place, name), table(other, name))
    assert "val_loss" in table(place, "records.csv")
    folders = [each.folder / "reports" / NAME for each in (place, other)]
    assert [sorted(path.name for path in folder.iterdir()) for folder in folders[:1]] == [
        sorted(path.name for path in folder.iterdir()) for folder in folders[1:]
    ]
    for each in (place, other):
        attached = each.folder / "mlartifacts" / NAME
        assert {path.name for path in attached.glob("*/artifacts/report/*")} == {p.name for p in folders[0].iterdir()}
    assert everything(place) == everything(other)


def everything(place):
    """Names of all files and folders but those of MLflow's runs and what SQLite keeps beside its files."""
    return sorted(
        path.relative_to(place.folder).as_posix()
        for path in place.folder.rglob("*")
        if "mlartifacts" not in path.parts[:-1] and not path.name.endswith(("-wal", "-shm", "output.txt"))
    )


def test_a_study_killed_at_every_moment_ends_as_if_undisturbed(tmp_path, undisturbed):
    place = prepare(Place(tmp_path / "here"))
    for name in (each for each in MOMENTS if each not in PROVED):
        print(f"killed {name}")  # shown where one fails
        killed_at(place, MOMENTS[name], *COMMAND)
    last = place.run(*COMMAND)
    assert last.returncode == 0, last.stderr
    assert_as_undisturbed(place, json.loads(last.stdout), undisturbed)


@pytest.mark.long
def test_a_killed_worker_is_replaced(place, undisturbed):
    prepare(place)
    place.forked_starts = WORKERS
    moment = Moment(FINISH, in_worker=True)
    code, said = run_with(place, moment, *COMMAND, "--workers", "2")
    assert code == 0, said
    found = json.loads((place.folder / "reports" / NAME / "result.json").read_text())
    assert found["trials"]["complete"] == found["trials"]["recorded"] == PLANNED
    recorded = place.recorded()
    assert len(recorded) == len(set(recorded)) == PLANNED
    assert set(recorded) == set(undisturbed[0].recorded())
    assert set(place.run_states()) <= {"FINISHED", "KILLED"}


def test_workers_end_with_their_killed_study(place, undisturbed):
    prepare(place)
    place.forked_starts = WORKERS
    process = place.start(*COMMAND, "--workers", "2")
    deadline = time.monotonic() + 600
    while not place.recorded():
        assert process.poll() is None, (place.folder / "output.txt").read_text()
        assert time.monotonic() < deadline
        time.sleep(0.02)
    os.kill(process.pid, signal.SIGKILL)  # the parent alone
    process.wait()
    first = place.recorded()
    deadline = time.monotonic() + 120
    while left := [p.pid for p in psutil.process_iter(["cwd"]) if p.info["cwd"] == str(place.folder)]:
        assert time.monotonic() < deadline, f"processes {left} have outlived their study"
        time.sleep(0.1)
    assert len(place.recorded()) < PLANNED, "the orphans have gone on"
    last = place.run(*COMMAND)
    assert last.returncode == 0, last.stderr
    recorded = place.recorded()
    assert len(recorded) == len(set(recorded)) == PLANNED
    assert set(first) <= set(recorded)
    assert set(recorded) == set(undisturbed[0].recorded())
    assert set(place.run_states()) <= {"FINISHED", "KILLED"}
