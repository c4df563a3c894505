"""Studies looked at from outside: what is said about them, and that looking leaves everything as it was."""

import json
import math
import shutil
import socket
import time
from dataclasses import replace
from datetime import UTC, datetime

import optuna
import pytest

from bench.cli.progress_table import phase_lines
from bench.kinds import kind_of, study_size
from bench.kinds.loaders.spec import LoaderSpec
from bench.ledger.store import Ledger, OptunaValues
from bench.records.measurements import MeasurementTracker
from bench.records.writer import Tracker
from bench.storage.sqlite_files import url_of
from bench.study.recorded_studies import all_study_names, open_records
from bench.study.status import StatusReader, list_document, status_document
from bench.trials.columns import rows_of
from bench.trials.progress import recorded, results_for_displays
from bench.trials.record import make_record
from bench.trials.status import Status
from posemodel.errors import SettingsError
from tests.bench.ledger_process import hold
from tests.bench.test_worker import Bench
from tests.support.plans import first_trials


@pytest.fixture
def spec(make_spec):
    return make_spec(tunings=2, data="/no/such/people")


@pytest.fixture
def ledger(spec, storage_url):
    made = Ledger(storage_url, spec.name, spec.identity())
    made.enqueue(first_trials(spec))
    return made


@pytest.fixture
def tracker(spec, tracking_uri):
    made = Tracker(tracking_uri, spec.name)
    made.open_study(spec, {})
    return made


@pytest.fixture
def watcher(storage_url, tracking_uri):
    return StatusReader(storage_url, tracking_uri, study_size)


@pytest.fixture
def record_next(ledger, tracker):
    """Claim the next trial, record it in MLflow and close it in the ledger."""

    def record(status=Status.COMPLETE, **metrics):
        claim = ledger.claim()
        run = tracker.start_trial(claim.spec, tracker._parent())
        tracker.record_trial(run, make_record(claim.spec, status, steps_done=2, metrics=metrics), [])
        ledger.finish(claim.key, status, OptunaValues((metrics["ap"],)) if "ap" in metrics else None)
        return claim.spec

    return record


@pytest.fixture
def holder(spec, ledger_process):
    """A process that has taken the next trial and lives; ended with the test."""
    started = ledger_process(hold, spec)
    assert started.said()
    return started.process


def test_what_has_ended_is_shown_from_the_ledger_as_from_mlflow(valley_spec, storage_url, tracking_uri, hermetic):
    bench = Bench(valley_spec(tunings=1), storage_url, tracking_uri)
    bench.work()
    url = f"sqlite:///{hermetic / 'elsewhere.db'}"
    lone = StatusReader(storage_url, url, study_size)
    progress = lone.one(bench.spec.name)
    assert lone.errors == ""
    in_mlflow = recorded(rows_of(bench.tracker.records()))
    assert len(progress.done) == len(in_mlflow) == 2
    for trial_id, trial in progress.done.items():
        same = in_mlflow[trial_id]
        assert trial.seconds >= same.seconds - 0.002, "from its claim on, not from the begin of its run"
        assert replace(trial, seconds=None) == replace(same, seconds=None)
        assert trial.ap is not None
        assert trial.measured("ap") == same.measured("ap")


def test_a_score_of_its_own_is_among_the_results_in_the_ledger():
    metrics = {"ap": math.nan, "error": 0.25, "train_seconds": 3.0, "other": 1.0, "val_loss": math.inf}
    shown = results_for_displays(metrics, "error", None)
    assert shown == {"error": 0.25, "train_seconds": 3.0}
    assert results_for_displays({}, "ap", 1.5) == {"seconds": 1.5}


def contents(folder):
    return {
        path.relative_to(folder).as_posix(): (path.read_bytes(), path.stat().st_mtime_ns)
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def test_looking_where_nothing_is_leaves_nothing(hermetic):
    watcher = StatusReader("sqlite:///optuna.db", "sqlite:///mlflow.db", study_size)
    assert watcher.all() == []
    assert watcher.errors == ""
    with pytest.raises(SettingsError, match="there is no study 'study', nor any other"):
        watcher.one("study")
    assert list(hermetic.iterdir()) == []


def test_looking_changes_no_byte_and_leaves_no_file(ledger, record_next, hermetic, tmp_path):
    """A copy that nobody has open, in a folder whose name SQLite and SQLAlchemy would both like to decode."""
    record_next(ap=0.25)
    ledger.storage.engine.dispose()
    foreign = tmp_path / "x %41 y?#"
    foreign.mkdir()
    for name in ("optuna.db", "mlflow.db"):
        for file in hermetic.glob(f"{name}*"):
            shutil.copy(file, foreign)
    before = contents(foreign)
    watcher = StatusReader(url_of(foreign / "optuna.db"), url_of(foreign / "mlflow.db"), study_size)
    progress = watcher.one("study")
    assert watcher.errors == ""
    assert [trial.ap for trial in progress.done.values()] == [0.25]
    assert [each.size.study for each in watcher.all()] == ["study"]
    after = contents(foreign)
    assert after.keys() == before.keys()
    assert {name: after[name] for name in before if not name.endswith("-shm")} == {
        name: before[name] for name in before if not name.endswith("-shm")
    }


def test_what_a_writer_has_just_committed_is_seen(ledger, watcher):
    """It still stands in the write-ahead log alone."""
    assert watcher.one("study").waiting == 8
    claim = ledger.claim()
    assert list(watcher.one("study").running_trials) == [claim.spec.id]
    ledger.put_back(claim.key)
    assert watcher.one("study").running_trials == {}


def test_done_running_waiting_and_planned_add_up(record_next, holder, watcher):
    sgd = record_next(ap=0.5, images_per_s=10.0, train_seconds=1.0)
    record_next(Status.DIVERGED)
    progress = watcher.one("study")
    # The holder has taken one of the four tune trials; the four confirm trials are not planned yet.
    assert (len(progress.done), len(progress.running_trials), progress.waiting, progress.size.planned) == (2, 1, 5, 8)
    assert progress.status == "running"
    (taken,) = progress.running_trials.values()
    assert (taken.host, taken.pid) == (socket.gethostname(), holder.pid)
    assert abs(time.time() - taken.since) < 60

    document = json.loads(json.dumps(status_document(progress, time.time()), allow_nan=False))
    assert document["trials"] | {"planned": 8} == {
        "done": 2,
        "complete": 1,
        "diverged": 1,
        "failed": 0,
        "out_of_memory": 0,
        "timed_out": 0,
        "pruned": 0,
        "skipped": 0,
        "running": 1,
        "waiting": 5,
        "planned": 8,
        "lost": 0,
    }
    assert {name: found["waiting"] for name, found in document["phases"].items()} == {"tune": 1, "confirm": 4}
    assert document["running"][0]["pid"] == holder.pid
    assert document["seconds_left"] > 0
    best = {row["name"]: row["best_tune_ap"] for row in document["optimizers"]}
    assert best[sgd.optimizer] == 0.5
    (row,) = list_document(watcher.all())["studies"]
    assert (row["study"], row["status"], row["done"], row["planned"]) == ("study", "running", 2, 8)
    assert row["last_active"] is not None


def test_a_study_in_seconds_shows_its_budget(make_spec, storage_url, watcher):
    spec = make_spec(tune_steps=None, steps=None, tune_seconds=20.0, seconds=60.0)
    ledger = Ledger(storage_url, spec.name, spec.identity())
    ledger.enqueue(first_trials(spec))
    claim = ledger.claim()
    (taken,) = watcher.one("study").running_trials.values()
    assert (taken.trial_id, taken.steps, taken.seconds) == (claim.spec.id, None, 20.0)


def test_records_that_wait_for_mlflow_are_said(ledger, watcher):
    first, second = ledger.claim(), ledger.claim()
    since = datetime(2026, 11, 30, 12, 34).timestamp()
    ledger.note_waiting_record(first.key, since)
    progress = watcher.one("study")
    assert phase_lines(progress)[-1] == "1 record waits for MLflow (away since 12:34)"
    ledger.note_waiting_record(second.key, since + 60)
    progress = watcher.one("study")
    assert phase_lines(progress)[-1] == "2 records wait for MLflow (away since 12:34)"
    document = status_document(progress, time.time())
    since_iso = datetime.fromtimestamp(since, UTC).isoformat(timespec="seconds")
    assert document["waiting_records"] == {"count": 2, "since": since_iso}
    for claim in (first, second):
        ledger.note_waiting_record(claim.key, None)
    progress = watcher.one("study")
    assert "MLflow" not in phase_lines(progress)[-1]
    assert status_document(progress, time.time())["waiting_records"] == {"count": 0, "since": None}


def test_the_status_of_a_study_reads_no_other_one(ledger, make_spec, storage_url, tracking_uri, watcher):
    """Another study's trials are spoiled: whoever reads them raises an error."""
    other = make_spec(name="other")
    spoiled = Ledger(storage_url, "other", other.identity())
    spoiled.enqueue(first_trials(other))
    spoiled.storage.set_trial_user_attr(spoiled.claim().key, "spec", 0)
    assert watcher.one("study").waiting == 8
    with pytest.raises(TypeError):
        watcher.one("other")


def test_the_trial_of_a_dead_worker_is_not_running(ledger, holder, watcher):
    assert len(watcher.one("study").running_trials) == 1
    holder.kill()
    holder.join()
    progress = watcher.one("study")
    assert progress.running_trials == {}
    assert (progress.lost, progress.waiting, progress.status) == (1, 8, "unfinished")


def test_a_process_between_two_trials_works_on_its_study(ledger, watcher):
    assert watcher.one("study").status == "unfinished"
    with ledger.session(3):
        progress = watcher.one("study")
        assert (progress.status, progress.workers, progress.running_trials) == ("running", 3, {})
    assert watcher.one("study").status == "unfinished"


def test_a_trial_recorded_by_a_worker_that_died_before_closing_it_is_done(ledger, tracker, record_next, watcher):
    record_next(ap=0.1)
    claim = ledger.claim()
    run = tracker.start_trial(claim.spec, tracker._parent())
    tracker.record_trial(run, make_record(claim.spec, Status.COMPLETE, steps_done=2, metrics={"ap": 0.2}), [])
    progress = watcher.one("study")
    assert claim.spec.id in progress.done
    assert progress.running_trials == {}


def test_a_ledger_without_its_results_is_shown_without_them(ledger, record_next, storage_url, hermetic):
    record_next(ap=0.5)
    lone = StatusReader(storage_url, f"sqlite:///{hermetic / 'elsewhere.db'}", study_size)
    progress = lone.one("study")
    assert [(trial.status, trial.ap) for trial in progress.done.values()] == [(Status.COMPLETE, None)]
    assert "elsewhere.db: no such file" in lone.errors
    assert not (hermetic / "elsewhere.db").exists()


def test_results_without_their_ledger_are_shown(record_next, tracking_uri, hermetic):
    record_next(ap=0.5)
    lone = StatusReader(f"sqlite:///{hermetic / 'elsewhere.db'}", tracking_uri, study_size)
    progress = lone.one("study")
    assert [trial.ap for trial in progress.done.values()] == [0.5]
    assert progress.status == "unfinished"
    assert progress.last_active is not None
    assert [each.size.study for each in lone.all()] == ["study"]
    assert not (hermetic / "elsewhere.db").exists()


def test_an_unknown_name_is_answered_with_the_nearest(ledger, watcher):
    with pytest.raises(SettingsError, match=r"no study 'stduy' .*Did you mean study\?"):
        watcher.one("stduy")


def test_a_storage_with_somebody_else_s_studies_has_none_of_ours(storage_url, hermetic):
    optuna.create_study(study_name="theirs", storage=storage_url)
    assert StatusReader(storage_url, "sqlite:///mlflow.db", study_size).all() == []


@pytest.mark.parametrize("content", [b"", b"no database, but long enough to be taken for one" * 30])
def test_files_that_are_no_databases_are_said_so_or_empty(hermetic, content):
    for name in ("optuna.db", "mlflow.db"):
        (hermetic / name).write_bytes(content)
    watcher = StatusReader("sqlite:///optuna.db", "sqlite:///mlflow.db", study_size)
    if content:
        with pytest.raises(SettingsError, match=r"storage sqlite:///optuna\.db: cannot be read"):
            watcher.all()
    else:
        assert watcher.all() == []
        assert "mlflow.db: cannot be read" in watcher.errors
    assert sorted(path.name for path in hermetic.iterdir()) == ["mlflow.db", "optuna.db"]


def test_the_last_active_study_comes_first(make_spec, storage_url, tracking_uri, watcher):
    for name in ("early", "late", "never"):
        spec = make_spec(name=name)
        ledger = Ledger(storage_url, name, spec.identity())
        ledger.enqueue(first_trials(spec))
        if name != "never":
            ledger.finish(ledger.claim().key, Status.COMPLETE, OptunaValues((0.5,)))
    assert [progress.size.study for progress in watcher.all()] == ["late", "early", "never"]
    assert watcher.one("never").last_active is None


def test_a_report_and_a_status_know_the_same_studies(storage_url, tracking_uri, ledger, spec, watcher):
    """In the ledger alone: MLflow's store is another one now."""
    assert watcher.one(spec.name).size.study == spec.name
    assert all_study_names(storage_url, tracking_uri) == [spec.name]
    with pytest.raises(SettingsError, match=rf"study {spec.name}: is in the ledger at .*MLflow at .* holds no res"):
        open_records(storage_url, tracking_uri, spec.name)
    tracker = Tracker(tracking_uri, spec.name)
    with pytest.raises(SettingsError, match="holds no result of it"):
        open_records(storage_url, tracking_uri, spec.name)
    tracker.open_study(spec, {})
    assert open_records(storage_url, tracking_uri, spec.name).study_document()["name"] == spec.name
    for find in (watcher.one, lambda name: open_records(storage_url, tracking_uri, name)):
        with pytest.raises(SettingsError, match=rf"no study 'stduy' .* Did you mean {spec.name}\?"):
            find("stduy")


def test_loader_studies_are_among_those_that_are_there(storage_url, tracking_uri, watcher):
    spec = LoaderSpec(
        name="loads", preset="smoke", data="/no/such", data_digest="d", device="cpu", num_workers=(0,), batch_size=(4,),
        pin_memory=(False,), slice_s=0.1, blocks=2, min_blocks=2
    )  # fmt: skip
    MeasurementTracker(tracking_uri, spec.name).open_study(spec, {})
    for find in (watcher.one, lambda name: open_records(storage_url, tracking_uri, name)):
        with pytest.raises(SettingsError, match=r"no study 'load' .* Did you mean loads\?"):
            find("load")
    assert open_records(storage_url, tracking_uri, "loads").study_document()["kind"] == "loaders"
    assert (
        [each.study for each in StatusReader(storage_url, tracking_uri, study_size).records.measurement_states(kind_of)]
        == all_study_names(storage_url, tracking_uri)
        == ["loads"]
    )
