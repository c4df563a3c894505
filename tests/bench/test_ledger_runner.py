"""A study's own process, part by part: whom it tells of what, how its session and its run end, what is refused."""

import os
import socket
from contextlib import nullcontext
from dataclasses import replace
from types import SimpleNamespace

import pytest

from bench.engines.cluster.settings import Cluster
from bench.engines.events import (
    Stopping,
    TrialEnded,
    WorkersChanged,
    ignore_event,
)
from bench.engines.following import Following
from bench.ledger.reader import read_study
from bench.ledger.store import Ledger
from bench.records.writer import Tracker
from bench.study import ledger_runner
from bench.study.ledger_runner import SessionHere, session_here
from bench.study.node_data import NodeData
from bench.study.store_paths import StorePaths
from bench.trials.record import Session, make_record
from bench.trials.status import Status
from posemodel.errors import SettingsError
from tests.bench.test_plans_ahead import WithoutReport
from tests.support.plans import first_trials

KIND = WithoutReport()
SESSION = Session(1, 2, 3, 0.5, "here", 7)


@pytest.fixture
def paths(storage_url, tracking_uri, hermetic):
    return StorePaths(storage_url, tracking_uri, hermetic / "reports")


@pytest.fixture
def spec(valley_spec):
    """One trial to choose the learning rate, and one that confirms it."""
    return valley_spec(optimizers=["sgd"], tunings=1)


@pytest.fixture
def begun(spec, paths):
    """The study's ledger with its first trial, and its tracker."""
    ledger, tracker = Ledger(paths.storage_url, spec.name, spec.identity()), Tracker(paths.tracking_uri, spec.name)
    ledger.enqueue(first_trials(spec))
    return ledger, tracker


def record_of(trial):
    return make_record(trial, Status.COMPLETE, steps_done=2, metrics={"ap": 0.5})


def test_a_session_is_that_of_this_process(monkeypatch):
    monkeypatch.setattr(ledger_runner, "now_ms", lambda: 9)
    here = (socket.gethostname(), os.getpid())
    assert session_here(1, 3, 0.5) == Session(1, 9, 3, 0.5, *here, joined=False, engine=None)
    assert session_here(1, 3, 0.5, joined=True, engine="ray") == Session(1, 9, 3, 0.5, *here, joined=True, engine="ray")


def test_the_largest_number_of_trials_at_once_counts():
    session = SessionHere(SESSION)
    for workers, largest in ((2, 3), (5, 5), (4, 5)):
        session.note_workers(workers)
        assert session.session == replace(SESSION, workers=largest)


def test_records_are_heard_before_their_events(spec):
    heard = []
    hear = ledger_runner.with_records(heard.append, [heard.append])
    ended = TrialEnded(record_of(first_trials(spec)[0]), 1.0, 1)
    hear(ended)
    hear(Stopping())
    assert heard == [ended.record, ended, Stopping()]


@pytest.mark.parametrize("session", [None, SessionHere(SESSION)])
def test_the_workers_of_a_cluster_are_noted_in_ledger_and_session(session):
    heard = []

    def note(workers):
        heard.append(workers)
        raise ConnectionRefusedError

    hear = ledger_runner.with_workers(heard.append, SimpleNamespace(note_workers=note), session)
    hear(WorkersChanged(9))
    hear(Stopping())
    assert heard == [9, WorkersChanged(9), Stopping()]
    assert session is None or session.session.workers == 9


@pytest.mark.parametrize("passed", [True, False])
def test_only_a_deadline_s_own_interruption_is_suppressed(passed):
    deadline = SimpleNamespace(absorb_interrupt=lambda: passed)

    with nullcontext() if passed else pytest.raises(KeyboardInterrupt), ledger_runner.ignore_interrupt_of(deadline):
        raise KeyboardInterrupt


def closed(kind, session, *, shown_again=False):
    """What a command that ends asks of MLflow; waiting for a server is another object's."""
    asked = []

    def tracker(name):
        def note(_session):
            asked.append((name, "noted"))

        return SimpleNamespace(close_study=lambda status: asked.append((name, status)), update_session=note)

    waits = tracker("waits")
    waits.at_once = tracker("at once")
    ledger_runner._close(waits, session, kind, shown_again=shown_again)
    return asked


def test_a_study_s_run_is_closed_as_its_command_ends():
    session = SessionHere(SESSION)
    assert closed(None, session) == [("waits", "FINISHED")]
    assert closed(KeyboardInterrupt, session) == [("at once", "noted"), ("at once", "KILLED")]
    assert closed(KeyboardInterrupt, None, shown_again=True) == [("at once", "FINISHED")]


def test_records_that_are_missing_are_named_with_the_remedy(paths, begun):
    ledger, tracker = begun
    assert ledger_runner._closed(ledger) == 0
    assert len(ledger_runner._settled_records(ledger, tracker, paths)) == 0
    claim = ledger.claim()
    assert ledger_runner._closed(ledger) == 0, "it runs"
    ledger.finish(claim.key, Status.COMPLETE, None)
    assert ledger_runner._closed(ledger) == 1
    with pytest.raises(SettingsError, match=r"holds 0 records of this study.* has closed more trials"):
        ledger_runner._settled_records(ledger, tracker, paths)


def test_a_study_is_extended_only_while_nobody_works_on_it_or_has_extended_it(spec, paths, begun):
    larger = spec.model_copy(update={"tunings": 2})
    with begun[0].session(1), pytest.raises(SettingsError, match="a process is working on it"):
        ledger_runner.extend_study(KIND, spec, larger, paths)
    ledger_runner.extend_study(KIND, spec, larger, paths)
    assert read_study(paths.storage_url, spec.name).identity["tunings"] == 2
    for name in (spec.name, "nothing"):
        with pytest.raises(SettingsError, match="another process has extended it meanwhile"):
            ledger_runner.extend_study(KIND, spec.model_copy(update={"name": name}), larger, paths)


def test_what_workers_need_of_a_study(spec, paths, hermetic):
    settings = ledger_runner.worker_settings(KIND, spec, paths, "parent", "states")
    assert settings.checkpoints == str(hermetic / "states")
    assert (settings.storage_url, settings.tracking_uri) == (paths.storage_url, paths.tracking_uri)
    assert (settings.study_name, settings.parent_run) == (spec.name, "parent")
    assert (settings.data, settings.trials, settings.objectives) == (spec.data, KIND.trials, 1)
    assert settings.file_paths == spec.file_paths


class OfRay:
    """The module that imports Ray."""

    @staticmethod
    def ClusterCrew(*arguments, **keywords):  # noqa: N802 (a class)
        return arguments, keywords

    @staticmethod
    def cluster_crew(crew):
        return crew


@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_a_cluster_s_trials_find_their_data_and_start_anew_where_they_use_a_gpu(spec, monkeypatch, device):
    monkeypatch.setattr(ledger_runner.importlib, "import_module", {ledger_runner.CLUSTER_CREW: OfRay}.get)
    spec, cluster = spec.model_copy(update={"device": device}), Cluster()
    arguments, keywords = ledger_runner.engine_of(KIND, spec, 0, (), cluster, ignore_event)
    assert arguments == (cluster, ignore_event)
    assert (keywords["data"], keywords["fresh"]) == (spec.data, device == "cuda")
    assert keywords["modules"] == tuple(spec.optimizer_modules)
    assert isinstance(keywords["locate"], NodeData)


def test_without_workers_a_study_is_followed(spec):
    with ledger_runner.engine_of(KIND, spec, 0, (), None, ignore_event) as engine:
        assert isinstance(engine, Following)
