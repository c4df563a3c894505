"""What a person has made with Optuna or MLflow is never written into, whatever its name, and breaks no look at ours."""

import contextlib
import hashlib
import sqlite3

import mlflow
import optuna
import pytest

from bench.ledger.reader import foreign_studies, read_studies
from bench.ledger.store import Ledger
from bench.records.reader import STUDY_TAG, studies
from bench.records.writer import Tracker
from bench.trials.status import Status
from posemodel.errors import SettingsError
from tests.support.plans import first_trials

NAME = "optimizers-smoke-people"


def dump(file):
    with contextlib.closing(sqlite3.connect(file)) as connection:
        return list(connection.iterdump())


@pytest.fixture
def own_study(storage_url):
    """A study of a person's own script, without an attribute that could tell whose it is."""
    study = optuna.create_study(storage=storage_url, study_name=NAME)
    study.optimize(lambda trial: trial.suggest_float("x", 0, 1), n_trials=3)
    return storage_url


def test_a_study_of_the_same_name_is_refused_and_untouched(own_study, make_spec):
    before = dump(own_study.removeprefix("sqlite:///"))
    with pytest.raises(SettingsError) as error:
        Ledger(own_study, NAME, make_spec(name=NAME).identity())
    text = str(error.value)
    assert own_study in text
    assert f"{NAME!r} (3 trials) that posebench did not make" in text
    assert "--name" in text
    assert "\n" not in text
    assert dump(own_study.removeprefix("sqlite:///")) == before


def test_one_without_a_trial_is_somebody_s_too(storage_url, make_spec):
    optuna.create_study(storage=storage_url, study_name=NAME)
    with pytest.raises(SettingsError, match=r"\(0 trials\) that posebench did not make"):
        Ledger(storage_url, NAME, make_spec(name=NAME).identity())


def test_a_command_refuses_it_before_it_changes_a_byte(posebench, monkeypatch, hermetic, valley_file, new_store, tiny):
    """Opening a ledger changes how SQLite keeps its log: not of this file, which is none of ours."""
    optuna.create_study(storage="sqlite:///own.db", study_name="mine")
    new_store()
    before = hashlib.sha256((hermetic / "own.db").read_bytes()).hexdigest()
    monkeypatch.setenv("POSEBENCH_STORAGE", "sqlite:///own.db")
    code, _, err = posebench(
        "study", "optimizers", "--preset", "smoke", "--study", valley_file(), "--data", tiny, "--name", "mine"
    )
    assert code == 2
    assert "holds a study 'mine' that posebench did not make" in err
    assert hashlib.sha256((hermetic / "own.db").read_bytes()).hexdigest() == before
    assert studies("sqlite:///mlflow.db") == {}


def test_looks_pass_it_by(own_study, make_spec, tracking_uri, posebench, monkeypatch):
    ours = make_spec(name="ours")
    Ledger(own_study, "ours", ours.identity()).enqueue(first_trials(ours))
    assert list(read_studies(own_study)) == ["ours"]
    assert foreign_studies(own_study) == {NAME}
    monkeypatch.setenv("POSEBENCH_STORAGE", own_study)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", tracking_uri)
    code, out, err = posebench("study", "list")
    assert (code, err) == (0, "")
    assert "ours" in out
    assert NAME not in out
    code, _, err = posebench("study", "status", NAME)
    assert code == 2
    assert f"there is no study {NAME!r}" in err


def test_a_study_with_foreign_trials_goes_on(storage_url, make_spec):
    """Its owner has tried something in it by a script: those trials are none of the plan."""
    spec = make_spec()
    ledger = Ledger(storage_url, spec.name, spec.identity())
    plan = first_trials(spec)
    ledger.enqueue(plan)
    theirs = optuna.load_study(storage=storage_url, study_name=spec.name)
    theirs.add_trial(optuna.trial.create_trial(value=1.0))
    theirs.enqueue_trial({"x": 1.0})
    again = Ledger(storage_url, spec.name, spec.identity())
    assert again.enqueue(plan) == 0
    assert [entry.trial_id for entry in read_studies(storage_url)[spec.name].entries] == [trial.id for trial in plan]
    for trial in plan:
        claim = again.claim()
        assert claim.spec.id == trial.id
        again.finish(claim.key, Status.FAILED, None)
    assert again.claim() is None
    assert again.counts() == {"failed": len(plan)}


def test_an_experiment_with_runs_of_its_own_is_refused_and_untouched(tracking_uri, make_spec):
    client = mlflow.MlflowClient(tracking_uri=tracking_uri)
    experiment = client.create_experiment("study")
    run = client.create_run(experiment)
    client.log_metric(run.info.run_id, "loss", 1.0)
    before = dump(tracking_uri.removeprefix("sqlite:///"))
    with pytest.raises(SettingsError, match="holds an experiment 'study' with runs that posebench did not make"):
        Tracker(tracking_uri, "study").open_study(make_spec(), {})
    assert dump(tracking_uri.removeprefix("sqlite:///")) == before


def test_an_empty_experiment_may_be_used(tracking_uri, make_spec):
    """Whoever wants the artifacts of a study elsewhere makes its experiment beforehand."""
    mlflow.MlflowClient(tracking_uri=tracking_uri).create_experiment("study")
    Tracker(tracking_uri, "study").open_study(make_spec(), {})
    assert list(studies(tracking_uri)) == ["study"]


def test_a_run_that_only_looks_like_a_study_s_is_passed_by(tracking_uri, make_spec):
    client = mlflow.MlflowClient(tracking_uri=tracking_uri)
    client.create_run(client.create_experiment("theirs"), tags={STUDY_TAG: "optimizers"})
    Tracker(tracking_uri, "study").open_study(make_spec(), {})
    assert list(studies(tracking_uri)) == ["study"]
