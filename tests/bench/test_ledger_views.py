"""What the end of a trial leaves in the ledger, and what is read there of a study while it runs."""

import socket
import time
from functools import partial

import pytest
from optuna.trial import TrialState

from bench.ledger import queries
from bench.ledger.format import HEARTBEAT, OWNER, SESSION, this_process
from bench.ledger.reader import LOST, RUNNING, WAITING, read_identities, read_studies, read_study
from bench.ledger.store import Ledger, OptunaValues
from bench.trials.status import Status
from tests.support.plans import first_trials


@pytest.fixture
def make_spec(make_spec):
    """Each optimizer is tuned once unless a test says otherwise: two trials come first."""
    return partial(make_spec, tunings=1)


@pytest.fixture
def begun(make_spec, storage_url):
    """A ledger with two waiting trials, of a study of two objectives."""
    spec = make_spec()
    ledger = Ledger(storage_url, spec.name, spec.identity(), objectives=2)
    ledger.enqueue(first_trials(spec))
    return ledger


def test_an_end_is_kept_for_optuna_and_for_displays(begun):
    first, second = begun.claim(), begun.claim()
    begun.finish(first.key, Status.COMPLETE, OptunaValues((0.5, 2.0), {"memory": 0.25, "time": -1.0}), {"ap": 0.5})
    begun.finish(second.key, Status.PRUNED, None)
    complete, pruned = begun.storage.get_trial(first.key), begun.storage.get_trial(second.key)
    assert (complete.state, complete.values) == (TrialState.COMPLETE, [0.5, 2.0])
    assert complete.system_attrs == {"constraints:memory": 0.25, "constraints:time": -1.0}
    assert (complete.user_attrs["status"], complete.user_attrs["results"]) == ("complete", {"ap": 0.5})
    assert (pruned.state, pruned.values, pruned.user_attrs["status"]) == (TrialState.PRUNED, None, "pruned")
    assert "results" not in pruned.user_attrs
    assert complete.datetime_start <= complete.datetime_complete


def test_a_faulty_trial_has_failed_for_optuna(begun):
    key = begun.claim().key
    begun.finish(key, Status.OUT_OF_MEMORY, None)
    assert begun.storage.get_trial(key).state == TrialState.FAIL


def test_more_trials_than_a_statement_names_are_as_few_ones(make_spec, storage_url, monkeypatch):
    monkeypatch.setattr(queries, "BATCH", 2)
    spec = make_spec(tunings=2, trials=4)
    plan = first_trials(spec)
    ledger = Ledger(storage_url, spec.name, spec.identity())
    assert [ledger.enqueue(trials) for trials in (plan[:1], plan, plan)] == [1, len(plan) - 1, 0]
    trials = ledger.storage.get_all_trials(ledger._study)
    assert [trial.number for trial in trials] == list(range(len(plan)))
    of_round = [trial.user_attrs["trial_id"] for trial in ledger.trials_of_same_round(plan[0])]
    same = [each.id for each in plan if (each.optimizer, each.tuning, each.round) == ("sgd", 0, plan[0].round)]
    assert of_round == same and len(same) > 2
    assert [ledger.claim().spec for _ in trials] == plan
    assert ledger.claim() is None


def test_a_trial_is_seen_from_its_waiting_to_its_end(begun, storage_url):
    before = time.time() - 1
    (first, second) = read_study(storage_url, "study").entries
    assert (first.state, first.since, first.host, first.pid, first.results) == (WAITING, None, "", 0, None)
    claim = begun.claim()
    entry = read_study(storage_url, "study").entries[0]
    me = this_process()
    assert (entry.trial_id, entry.phase, entry.optimizer, entry.seed) == (claim.spec.id, "tune", "sgd", 0)
    assert (entry.state, entry.host, entry.pid, entry.steps, entry.seconds) == (RUNNING, me["host"], me["pid"], 2, None)
    assert before < entry.since < time.time() + 1, "whatever this machine's time zone"
    begun.storage.set_trial_user_attr(claim.key, OWNER, {**me, "started": me["started"] - 60})
    assert read_study(storage_url, "study").entries[0].state == LOST
    begun.finish(claim.key, Status.DIVERGED, None, {"ap": 0.25})
    entry = read_study(storage_url, "study").entries[0]
    assert (entry.state, entry.results, entry.awaiting_since) == ("diverged", {"ap": 0.25}, None)
    assert read_study(storage_url, "study").entries[1] == second


def test_a_record_waits_only_while_its_trial_runs(begun, storage_url):
    key = begun.claim().key
    begun.note_waiting_record(key, 50.0)
    assert read_study(storage_url, "study").entries[0].awaiting_since == 50.0
    begun.finish(key, Status.COMPLETE, None)
    assert read_study(storage_url, "study").entries[0].awaiting_since is None


def test_a_session_is_known_by_its_begin_with_its_present_number_of_workers(begun, storage_url):
    def sessions():
        attributes = begun.storage.get_study_user_attrs(begun._study)
        return [value for name, value in attributes.items() if name.startswith(SESSION)]

    with begun.session(3):
        (first,) = sessions()
        begun.note_workers(5)
        assert sessions() == [{**first, "workers": 5}]
        view = read_study(storage_url, "study")
        assert (view.active, view.workers, view.last_active) == (True, 5, first["since"])
        assert not begun.has_other_processes()
    assert sessions() == [None]
    view = read_study(storage_url, "study")
    assert (view.active, view.workers, view.last_active) == (False, 0, None)


def test_a_session_elsewhere_lives_while_its_host_runs_trials(begun, storage_url):
    session = {"host": "elsewhere", "pid": 1, "started": 5.0, "workers": 4, "since": 7.0}
    begun.storage.set_study_user_attr(begun._study, f"{SESSION}elsewhere", session)
    view = read_study(storage_url, "study")
    assert (view.active, view.workers, view.last_active) == (False, 0, 7.0)
    assert begun.has_other_processes()
    key = begun.claim().key
    begun.storage.set_trial_user_attr(key, OWNER, {"host": "elsewhere", "pid": 2, "started": 6.0})
    later = time.time() + 5
    begun.storage.set_trial_user_attr(key, HEARTBEAT, later)
    view = read_study(storage_url, "study")
    assert (view.active, view.workers, view.last_active) == (True, 4, later)


def test_a_dead_process_of_this_host_is_no_other(begun, storage_url):
    me = this_process()
    dead = {**me, "started": me["started"] - 60, "workers": 4, "since": 7.0}
    begun.storage.set_study_user_attr(begun._study, f"{SESSION}dead", dead)
    assert not begun.has_other_processes()
    view = read_study(storage_url, "study")
    assert (view.active, view.workers) == (False, 0)
    assert dead["host"] == socket.gethostname()


def test_studies_are_read_by_name_and_those_of_others_are_none(begun, storage_url, hermetic):
    begun.storage.create_new_study(directions=begun.storage.get_study_directions(begun._study), study_name="theirs")
    assert {*read_studies(storage_url)} == {"study"}
    assert read_studies(storage_url)["study"].identity == begun.identity
    assert read_identities(storage_url) == {"study": begun.identity, "theirs": None}
    assert read_study(storage_url, "theirs") is read_study(storage_url, "nowhere") is None
    none = f"sqlite:///{hermetic / 'none.db'}"
    assert (read_studies(none), read_identities(none), read_study(none, "study")) == ({}, {}, None)
    assert not (hermetic / "none.db").exists()
