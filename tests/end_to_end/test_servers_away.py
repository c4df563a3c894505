"""An MLflow server that is killed while a study runs: records wait on disk and follow; none is lost or comes twice.

The server is forked, see `tests.support.mlflow_process`. The long sibling, with the installed one, in which its
database and that of the ledger are killed too, is `tests/proofs/test_servers_away.py`.
"""

import json
import signal
from contextlib import contextmanager

import pytest

from tests.bench.conftest import make_spec, valley_spec  # noqa: F401 (fixtures)
from tests.bench.test_worker import Bench
from tests.support.away_servers import (
    assert_whole,
    servers,
    slow_study,
    trainings,
    until_it_waits,
    waiting_files,
)
from tests.support.lossy_proxy import lossy_proxy
from tests.support.place import PLANNED, Place
from tests.support.restarted_servers import WAIT_S
from tests.support.running_study import ended, output, wait_for


@pytest.fixture(scope="module")
def running(tmp_path_factory):
    """The servers."""
    with servers(tmp_path_factory.mktemp("servers"), forked=True) as found:
        yield found


@pytest.fixture
def away(running):
    """The servers, which run again after each test."""
    yield running
    if not running.tracking.runs:
        running.tracking.start()


@pytest.fixture
def place(tmp_path):
    return Place(tmp_path / "here", used=False)


@contextmanager
def begun(away, place, name, **environment):
    """A study's process, whose third trial trains."""
    environment = {**away.tracking_alone, **environment}
    with ended(place.start(*slow_study(place, name), **environment)) as process:
        wait_for(lambda: trainings(place) >= 3, process, place)
        yield process


@pytest.mark.long
def test_servers_that_are_killed_and_started_again_cost_no_trial(away, place):
    with begun(away, place, "restarted", **away.both) as process:
        away.ledger.kill()
        away.tracking.kill()
        away.records.kill()
        waiting = until_it_waits(place)
        away.ledger.start()
        away.records.start()
        away.tracking.start()
        assert process.wait(WAIT_S) == 0, output(place)
    assert_whole(away, place, "restarted")
    assert away.run_states("restarted") == {"FINISHED": PLANNED + 1}, "the study's own, and one for each trial"
    assert waiting["record"]["trial_id"] in away.recorded("restarted")
    said = output(place)
    assert "is away; waiting for it for up to 600 s (POSEBENCH_SERVER_PATIENCE)" in said
    assert "answers again, after" in said
    assert "Traceback" not in said


@pytest.mark.long
def test_one_that_stays_away_stops_the_study_in_words_and_the_record_is_sent_later(away, place):
    with begun(away, place, "gone", POSEBENCH_SERVER_PATIENCE="1s") as process:
        away.tracking.kill()
        assert process.wait(WAIT_S) == 1, output(place)
    (file,) = waiting_files(place)
    said = output(place)
    assert "Traceback" not in said
    assert f"waits in .posebench/waiting/gone/{file.name}: the same command, in this folder, sends it" in said
    ended_ms = json.loads(file.read_text())["document"]["ended_ms"]
    away.tracking.start()
    resumed = place.run("study", "resume", "gone", **away.tracking_alone)
    assert resumed.returncode == 0, resumed.stderr
    assert_whole(away, place, "gone")
    ends = away.records.rows("records", f"SELECT count(*) FROM runs WHERE end_time = {ended_ms}")
    assert ends == [(1,)], "the trial that had ended then was not trained again"


@pytest.mark.long
def test_a_study_that_waits_is_interrupted_at_once(away, place):
    with begun(away, place, "interrupted") as process:
        away.tracking.kill()
        until_it_waits(place)
        process.send_signal(signal.SIGINT)
        assert process.wait(WAIT_S) == 130, output(place)
    assert len(waiting_files(place)) == 1
    away.tracking.start()
    resumed = place.run("study", "resume", "interrupted", **away.tracking_alone)
    assert resumed.returncode == 0, resumed.stderr
    assert_whole(away, place, "interrupted")


def test_records_whose_answers_are_lost_come_once(away, valley_spec, tmp_path, monkeypatch):  # noqa: F811
    """Two of three answers to writing requests are lost: those to MLflow's own repetitions too."""
    monkeypatch.chdir(tmp_path)
    loses = iter(range(10**9))

    def lose(_number, request):
        return request.startswith(("POST", "PUT")) and not request.endswith("search") and next(loses) % 3 < 2

    with lossy_proxy(away.tracking.address, lose) as (address, lost):
        bench = Bench(valley_spec(tunings=1, seeds=1), f"sqlite:///{tmp_path}/optuna.db", address)
        bench.work()
        bench.tracker.abandon()
        bench.tracker.close_study("FINISHED")
    assert {*lost} > {f"POST /api/2.0/mlflow/runs/{name}" for name in ("create", "log-batch", "update")}
    assert bench.ledger.counts() == {"complete": 2}
    assert sorted(away.recorded(bench.spec.name)) == sorted(trial.id for trial in bench.plan)
    records = bench.tracker.records()
    for row in records.to_dict(orient="records"):
        history = bench.tracker.client.get_metric_history(row["run_id"], "final.ap")
        assert [metric.value for metric in history] == [row["ap"]]
    curves = bench.tracker.curves(records)
    assert not curves.duplicated(["trial_id", "step"]).any()
    assert away.run_states(bench.spec.name)["RUNNING"] == 0
