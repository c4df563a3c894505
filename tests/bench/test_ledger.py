"""The ledger on a real SQLite file, raced by real processes: each trial is taken once, and none is lost."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from contextlib import contextmanager
from functools import partial

import psutil
import pytest
import sqlalchemy
from optuna.trial import TrialState, create_trial

from bench.ledger import store
from bench.ledger.connection import _engine_options, open_storage
from bench.ledger.format import AWAITING, CLAIMANT, GRACE_S, HEARTBEAT, OWNER, RUNGS, SPEC, this_process
from bench.ledger.store import Ledger, OptunaValues
from bench.trials.status import Status
from posemodel.errors import SettingsError
from tests.bench.ledger_process import CONTEXT, die, die_enqueueing, drain, enqueue, hold, sleep
from tests.support.plans import first_trials

RACERS, RACED_ROUNDS, RACED_TRIALS = 4, 20, 120
HOLDER = """
import sys, time
from bench.ledger.store import Ledger
from bench.kinds.optimizers.spec import StudySpec
spec = StudySpec.model_validate_json(sys.argv[2])
print(Ledger(sys.argv[1], spec.name, spec.identity()).claim().key, flush=True)
time.sleep(600)
"""


@pytest.fixture
def make_spec(make_spec):
    """Each optimizer is tuned once unless a test says otherwise: two trials come first."""
    return partial(make_spec, tunings=1)


@pytest.fixture
def open_ledger(storage_url):
    def open_it(spec, url=storage_url):
        return Ledger(url, spec.name, spec.identity())

    return open_it


def test_four_processes_take_each_of_many_trials_once(make_spec, open_ledger, ledger_process):
    spec = make_spec(tunings=RACED_TRIALS // 12, trials=14)
    ledger = open_ledger(spec)
    plan = first_trials(spec)
    assert ledger.enqueue(plan) == RACED_TRIALS
    together = CONTEXT.Barrier(RACERS)
    racers = [ledger_process(drain, spec, together, RACED_ROUNDS) for _ in range(RACERS)]
    shares = [racer.said() for racer in racers]
    assert [racer.wait() for racer in racers] == [0] * RACERS
    taken = Counter(trial_id for share in shares for trial_id in share)
    assert taken == Counter(trial.id for trial in plan)
    assert ledger.counts() == {"complete": RACED_TRIALS}
    assert all(len(share) >= RACED_ROUNDS for share in shares), "each took part in every race"


def test_one_trial_is_claimed_by_its_id_and_the_ended_are_named(make_spec, open_ledger):
    ledger = open_ledger(make_spec())
    first, second = first_trials(make_spec())
    ledger.enqueue([first, second])
    assert ledger.claim("nobody's") is None
    claim = ledger.claim(second.id)
    assert claim.spec.id == second.id
    assert ledger.claim(second.id) is None
    assert ledger.ended_trials() == set()
    ledger.finish(claim.key, Status.COMPLETE, OptunaValues((0.5,)))
    assert ledger.claim(second.id) is None
    assert ledger.ended_trials() == {second.id}
    assert ledger.claim().spec.id == first.id


def test_two_processes_that_enqueue_the_same_plan_at_once_leave_each_trial_once(make_spec, open_ledger, ledger_process):
    spec = make_spec(tunings=5, trials=4)
    together = CONTEXT.Barrier(2)
    both = [ledger_process(enqueue, spec, together) for _ in range(2)]
    assert all(process.said() <= 30 for process in both)
    assert [process.wait() for process in both] == [0, 0]
    ledger = open_ledger(spec)
    taken = []
    while (claim := ledger.claim()) is not None:
        taken.append(claim.spec.id)
        ledger.finish(claim.key, Status.COMPLETE, OptunaValues((0.5,)))
    assert Counter(taken) == Counter(trial.id for trial in first_trials(spec))
    assert ledger.counts() == {"complete": 30}


def test_a_later_copy_of_a_trial_never_runs_and_is_not_counted(make_spec, open_ledger):
    """Earlier versions could enqueue a trial twice."""
    spec = make_spec(trials=1)
    ledger = open_ledger(spec)
    ledger.enqueue(first_trials(spec))
    first = ledger.claim()
    copy = ledger.storage.get_trial(first.key)
    waiting = create_trial(state=TrialState.WAITING, user_attrs=copy.user_attrs)
    ledger.storage.create_new_trial(ledger._study, waiting)
    again = open_ledger(spec)
    assert again.claim().spec.optimizer == "adam"
    assert again.claim() is None
    ledger.finish(first.key, Status.COMPLETE, OptunaValues((0.5,)))
    assert ledger.counts() == {"complete": 1, "running": 1}


def test_trials_come_in_the_plan_s_order_with_their_specification(make_spec, open_ledger):
    spec = make_spec(tunings=3)
    ledger = open_ledger(spec)
    plan = first_trials(spec)
    ledger.enqueue(plan)
    claims = [ledger.claim() for _ in plan]
    assert [claim.spec for claim in claims] == plan
    assert [claim.spec.id for claim in claims] == [trial.id for trial in plan]
    assert ledger.claim() is None


def test_enqueueing_again_adds_only_what_is_new(make_spec, open_ledger):
    spec = make_spec(tunings=3)
    plan = first_trials(spec)
    ledger = open_ledger(spec)
    assert ledger.enqueue(plan[:4]) == 4
    ledger.finish(ledger.claim().key, Status.DIVERGED, None)
    ledger.claim()
    assert open_ledger(spec).enqueue(plan) == 2
    assert open_ledger(spec).enqueue(plan) == 0
    assert ledger.counts() == {"waiting": 4, "running": 1, "diverged": 1}


@pytest.mark.parametrize("status", list(Status))
def test_every_end_is_counted_by_its_name(make_spec, open_ledger, status):
    spec = make_spec()
    ledger = open_ledger(spec)
    ledger.enqueue(first_trials(spec))
    ledger.finish(ledger.claim().key, status, OptunaValues((0.5,)) if status == Status.COMPLETE else None)
    assert ledger.counts() == {"waiting": 1, str(status): 1}


def test_a_complete_trial_without_a_score_is_closed_too(make_spec, open_ledger):
    spec = make_spec()
    ledger = open_ledger(spec)
    ledger.enqueue(first_trials(spec))
    ledger.finish(ledger.claim().key, Status.COMPLETE, None)
    assert ledger.counts() == {"waiting": 1, "complete": 1}


def test_finishing_twice_keeps_the_first_end(make_spec, open_ledger):
    spec = make_spec()
    ledger = open_ledger(spec)
    ledger.enqueue(first_trials(spec))
    key = ledger.claim().key
    ledger.finish(key, Status.COMPLETE, OptunaValues((0.5,)))
    ledger.finish(key, Status.FAILED, None)
    ledger.finish(key, Status.COMPLETE, OptunaValues((0.9,)))
    ledger.put_back(key)
    assert ledger.counts() == {"waiting": 1, "complete": 1}
    assert ledger.storage.get_trial(key).values == [0.5]


def test_two_workers_may_finish_a_trial_at_the_same_moment(make_spec, open_ledger):
    spec = make_spec(tunings=5, trials=4)
    ledgers = [open_ledger(spec) for _ in range(2)]
    ledgers[0].enqueue(first_trials(spec))
    keys = [ledgers[0].claim().key for _ in range(30)]
    together = threading.Barrier(2)
    errors = []

    def finish_all(ledger):
        for key in keys:
            together.wait()
            try:
                ledger.finish(key, Status.COMPLETE, OptunaValues((0.5,)))
            except Exception as error:
                errors.append(error)

    threads = [threading.Thread(target=finish_all, args=(ledger,)) for ledger in ledgers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert ledgers[0].counts() == {"complete": 30}


def test_a_trial_put_back_waits_and_is_taken_again(make_spec, open_ledger):
    spec = make_spec()
    ledger = open_ledger(spec)
    ledger.enqueue(first_trials(spec))
    first = ledger.claim()
    assert first.deaths == 0
    assert ledger.is_owner(first.key)
    ledger.put_back(first.key)
    assert not ledger.is_owner(first.key)
    assert ledger.counts() == {"waiting": 2}
    again = ledger.claim()
    assert again == first


def test_what_this_process_runs_is_not_stale(make_spec, open_ledger):
    spec = make_spec()
    ledger = open_ledger(spec)
    ledger.enqueue(first_trials(spec))
    ledger.claim()
    assert open_ledger(spec).stale_trials() == []


def test_a_trial_is_stale_once_its_worker_is_killed_and_not_before(make_spec, open_ledger, storage_url):
    """The worker is a child of this process: killed and not waited for, it is dead, yet in the table of processes."""
    spec = make_spec()
    ledger = open_ledger(spec)
    ledger.enqueue(first_trials(spec))
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, storage_url, spec.model_dump_json()], stdout=subprocess.PIPE, text=True
    ) as worker:
        try:
            key = int(worker.stdout.readline())
            assert ledger.stale_trials() == []
            assert not ledger.is_owner(key)
        finally:
            worker.kill()
        deadline = time.monotonic() + 300
        while psutil.Process(worker.pid).status() != psutil.STATUS_ZOMBIE:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        assert [claim.key for claim in ledger.stale_trials()] == [key]
    (claim,) = ledger.stale_trials()
    assert (claim.key, claim.deaths) == (key, 0)
    ledger.put_back_stale(key)
    assert ledger.stale_trials() == []
    assert ledger.counts() == {"waiting": 2}
    again = ledger.claim()
    assert (again.key, again.deaths) == (key, 0)


def test_a_late_sweep_does_not_take_a_trial_from_its_new_worker(make_spec, open_ledger, ledger_process):
    """Two workers sweep at once: the second finds the trial already put back and taken by the first."""
    spec = make_spec()
    ledger = open_ledger(spec)
    ledger.enqueue(first_trials(spec))
    assert ledger_process(die, spec).wait() == -signal.SIGKILL
    (seen_by_both,) = ledger.stale_trials()
    ledger.put_back_stale(seen_by_both.key)
    taken = ledger.claim()
    assert taken.key == seen_by_both.key
    open_ledger(spec).put_back_stale(seen_by_both.key)
    assert ledger.is_owner(taken.key)
    assert ledger.counts() == {"waiting": 1, "running": 1}


def test_a_trial_without_a_name_is_stale_at_once_when_all_who_tried_to_take_it_are_dead(
    make_spec, open_ledger, ledger_process
):
    """A worker of an earlier version was killed right after the claim, or halfway through giving the trial back: nobody
    waits for a silence."""
    spec = make_spec()
    ledger = open_ledger(spec)
    ledger.enqueue(first_trials(spec))
    worker = ledger_process(die, spec)
    key = worker.said()
    worker.wait()
    ledger.storage.set_trial_user_attr(key, f"{CLAIMANT}dead", ledger.storage.get_trial(key).user_attrs[OWNER])
    for attribute in (OWNER, HEARTBEAT):
        ledger.storage.set_trial_user_attr(key, attribute, None)
    assert [claim.key for claim in ledger.stale_trials()] == [key]
    ledger.storage.set_trial_user_attr(key, f"{CLAIMANT}living", this_process())
    assert ledger.stale_trials() == [], "this process may be about to write its name"


def test_a_worker_elsewhere_is_stale_after_a_silence(make_spec, open_ledger):
    """Its process cannot be looked at from here: only its heartbeat counts."""
    spec = make_spec()
    ledger = open_ledger(spec)
    ledger.enqueue(first_trials(spec))
    key = ledger.claim().key
    owner = {**ledger.storage.get_trial(key).user_attrs["owner"], "host": "elsewhere"}
    ledger.storage.set_trial_user_attr(key, "owner", owner)
    assert ledger.stale_trials() == []
    ledger.storage.set_trial_user_attr(key, "heartbeat", time.time() - GRACE_S - 1)
    assert [claim.key for claim in ledger.stale_trials()] == [key]
    ledger.storage.set_trial_user_attr(key, "heartbeat", time.time())
    assert ledger.stale_trials() == []


def test_a_death_is_charged_to_the_trial_of_that_process_alone(make_spec, open_ledger, ledger_process):
    ledger = open_ledger(spec := make_spec())
    ledger.enqueue(first_trials(spec))
    other = ledger.claim()
    worker = ledger_process(hold, spec)
    key = worker.said()
    started = psutil.Process(worker.process.pid).create_time()
    worker.end()
    ledger.charge_death(worker.process.pid, started + 5)  # an earlier process with the same id
    assert ledger.counts() == {"running": 2}
    ledger.charge_death(worker.process.pid, started)
    ledger.charge_death(worker.process.pid, started)
    assert ledger.counts() == {"waiting": 1, "running": 1}
    assert ledger.is_owner(other.key)
    again = ledger.claim()
    assert (again.key, again.deaths) == (key, 1)
    ledger.put_back(key)
    assert ledger.claim().deaths == 1, "a worker that gives it back is not counted"


def test_the_death_of_a_process_without_a_trial_is_charged_to_none(make_spec, open_ledger):
    ledger = open_ledger(spec := make_spec())
    ledger.enqueue(first_trials(spec))
    claim = ledger.claim()
    ledger.finish(claim.key, Status.COMPLETE, OptunaValues((0.5,)))
    ledger.charge_death(os.getpid(), psutil.Process().create_time())
    assert ledger.counts() == {"waiting": 1, "complete": 1}


def test_the_trial_of_a_dead_worker_is_left_to_its_living_driver(make_spec, open_ledger, storage_url, ledger_process):
    """The driver counts the death; others would put the trial back uncounted. They do once the driver is dead too, or
    the trial has been silent for long. The driver itself may put it back at any time."""
    ledger = open_ledger(spec := make_spec())
    ledger.enqueue(first_trials(spec))
    driver = ledger_process(sleep, spec)
    driver.said()
    worker = ledger_process(die, spec)
    key = worker.said()
    worker.wait()
    held = ledger.storage.get_trial(key).user_attrs
    pid = driver.process.pid
    its_driver = {"pid": pid, "started": psutil.Process(pid).create_time()}
    ledger.storage.set_trial_user_attr(key, OWNER, {**held[OWNER], "driver": its_driver})
    assert ledger.stale_trials() == []
    ledger.storage.set_trial_user_attr(key, HEARTBEAT, time.time() - GRACE_S - 1)
    assert [claim.key for claim in ledger.stale_trials()] == [key]
    ledger.storage.set_trial_user_attr(key, HEARTBEAT, time.time())
    me = {name: this_process()[name] for name in ("pid", "started")}
    ledger.storage.set_trial_user_attr(key, OWNER, {**held[OWNER], "driver": me})
    assert [claim.key for claim in ledger.stale_trials()] == [key]
    ledger.storage.set_trial_user_attr(key, OWNER, {**held[OWNER], "driver": its_driver})
    driver.end()
    assert [claim.key for claim in ledger.stale_trials()] == [key]


def test_a_worker_names_its_driver(make_spec, storage_url):
    spec = make_spec()
    ledger = Ledger(storage_url, spec.name, spec.identity(), driver=this_process())
    ledger.enqueue(first_trials(spec))
    owner = ledger.storage.get_trial(ledger.claim().key).user_attrs[OWNER]
    assert owner["driver"] == {name: this_process()[name] for name in ("pid", "started")}


def test_a_trial_that_another_worker_has_taken_over_is_not_given_back(make_spec, open_ledger, ledger_process):
    ledger = open_ledger(spec := make_spec(optimizers=["sgd"]))
    ledger.enqueue(first_trials(spec))
    key = ledger_process(hold, spec).said()
    ledger.put_back(key)
    assert ledger.counts() == {"running": 1}


@pytest.mark.parametrize(("name", "attribute", "note"), [
    ("heartbeat", HEARTBEAT, lambda ledger, claim: ledger.send_heartbeat(claim.key)),
    ("waiting record", AWAITING, lambda ledger, claim: ledger.note_waiting_record(claim.key, 1.0)),
    ("choice", SPEC, lambda ledger, claim: ledger.store_choice(claim.key, claim.spec.model_copy(update={"index": 99}))),
    ("begun anew", RUNGS, lambda ledger, claim: ledger.begin_evaluations(claim.key)),
    ("evaluation", RUNGS, lambda ledger, claim: ledger.note_evaluation(claim.key, 1, 0.5, {"1": 0.5})),
])  # fmt: skip
def test_a_trial_that_another_worker_has_taken_over_is_no_longer_written_to(
    make_spec, open_ledger, name, attribute, note
):
    """The late heartbeats of one that was taken for dead would keep the trial alive if the new one died."""
    ledger = open_ledger(spec := make_spec())
    ledger.enqueue(first_trials(spec))
    claim = ledger.claim()

    def stored():
        return ledger.storage.get_trial(claim.key).user_attrs

    taken = {**stored(), OWNER: {**stored()[OWNER], "host": "elsewhere"}}
    ledger.storage.set_trial_user_attr(claim.key, OWNER, taken[OWNER])
    note(ledger, claim)
    assert stored() == taken, f"{name} of somebody else"
    ledger.storage.set_trial_user_attr(claim.key, OWNER, this_process())
    note(ledger, claim)
    assert stored()[attribute] != taken.get(attribute), name


def test_the_deaths_of_a_trial_that_waits_since_an_earlier_version_count(make_spec, open_ledger):
    ledger = open_ledger(spec := make_spec())
    ledger.enqueue(first_trials(spec))
    ledger.storage.set_trial_user_attr(1, "attempts", 2)
    assert ledger.claim().deaths == 2


def test_trials_of_other_programs_are_left_alone(make_spec, open_ledger, monkeypatch):
    """They stand before ours, in larger number than are looked at in one query."""
    monkeypatch.setattr(store, "AHEAD", 2)
    ledger = open_ledger(spec := make_spec())
    for _ in range(3):
        ledger.storage.create_new_trial(ledger._study, create_trial(state=TrialState.WAITING))
    ledger.enqueue(plan := first_trials(spec))
    assert [ledger.claim().spec.id for _ in plan] == [trial.id for trial in plan]
    assert ledger.claim() is None
    assert ledger.counts() == {"running": 2}
    ledger.put_back(4)
    ledger.put_back(5)
    assert ledger.is_unfinished()
    assert [claim.key for claim in iter(ledger.claim, None)] == [4, 5]
    for key in (4, 5):
        ledger.finish(key, Status.COMPLETE, None)
    assert not ledger.is_unfinished(), "others' trials are not waited for"


def test_an_enqueueing_that_is_killed_adds_nothing(make_spec, open_ledger, ledger_process):
    spec = make_spec(tunings=3)
    process = ledger_process(die_enqueueing, spec)
    assert process.wait() == -signal.SIGKILL
    ledger = open_ledger(spec)
    assert ledger.counts() == {}
    assert ledger.enqueue(first_trials(spec)) == 6
    assert [ledger.storage.get_trial(key).number for key in range(1, 7)] == list(range(6))


def test_trials_enqueued_beside_optuna_s_own_are_numbered_like_these(make_spec, open_ledger):
    ledger = open_ledger(spec := make_spec(tunings=3))
    plan = first_trials(spec)
    ledger.enqueue(plan[:2])
    ledger.storage.create_new_trial(ledger._study, create_trial(state=TrialState.WAITING))
    ledger.enqueue(plan)
    trials = ledger.storage.get_all_trials(ledger._study)
    assert [trial.number for trial in trials] == list(range(7))


@pytest.mark.parametrize("act", ["claim", "counts", "stale_trials", "is_unfinished", "has_other_processes"])
def test_a_step_takes_as_many_statements_in_a_large_study_as_in_a_small_one(make_spec, storage_url, act):
    numbers = []
    for name, size in (("small", {}), ("large", {"tunings": RACED_TRIALS // 12, "trials": 14})):
        spec = make_spec(name=name, **size)
        ledger = Ledger(storage_url, name, spec.identity())
        ledger.enqueue(first_trials(spec))
        ledger.claim()
        with counted_statements(ledger.storage.engine) as statements:
            getattr(ledger, act)()
        numbers.append(len(statements))
    assert numbers[0] == numbers[1] > 0


@contextmanager
def counted_statements(engine):
    statements = []

    def note(_connection, _cursor, statement, *_rest):
        statements.append(statement)

    sqlalchemy.event.listen(engine, "before_cursor_execute", note)
    yield statements
    sqlalchemy.event.remove(engine, "before_cursor_execute", note)


def test_a_deleted_study_leaves_nothing(make_spec, open_ledger):
    kept, gone = make_spec(name="kept"), make_spec(name="gone")
    for spec in (kept, gone):
        open_ledger(spec).enqueue(first_trials(spec))
    ledger = open_ledger(gone)
    claim = ledger.claim()
    ledger.begin_evaluations(claim.key)
    ledger.note_evaluation(claim.key, 1, 0.5, {})
    ledger.finish(claim.key, Status.COMPLETE, OptunaValues((0.5,), {"memory": 0.1}))
    ledger.delete()
    assert [study.study_name for study in ledger.storage.get_all_studies()] == ["kept"]
    with ledger.storage.engine.connect() as connection:
        for table in ("trial_values", "trial_intermediate_values", "trial_system_attributes"):
            assert connection.exec_driver_sql(f"SELECT count(*) FROM {table}").scalar() == 0
    assert open_ledger(kept).counts() == {"waiting": 2}


def test_a_ledger_needs_neither_torch_nor_mlflow_nor_pandas():
    """A hundred processes may wait at one ledger."""
    heavy = ("torch", "mlflow", "pandas", "psycopg")
    code = f"import sys, bench.ledger.store, bench.ledger.reader; print([m for m in {heavy} if m in sys.modules])"
    found = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert found.stdout.strip() == "[]"


def test_a_name_stands_for_one_study(make_spec, open_ledger):
    open_ledger(make_spec(steps=3))
    open_ledger(make_spec(steps=3, data="/moved/people"))
    with pytest.raises(SettingsError) as refused:
        open_ledger(make_spec(steps=4, batch_size=3))
    message = str(refused.value)
    assert "'study' exists with another specification" in message
    assert "steps: 3 -> 4" in message
    assert "batch_size: 2 -> 3" in message
    assert "tune_steps" not in message
    assert "--name" in message


def test_studies_of_two_names_share_a_storage(make_spec, open_ledger):
    one, other = make_spec(name="one"), make_spec(name="other", trials=2)
    open_ledger(one).enqueue(first_trials(one))
    open_ledger(other).enqueue(first_trials(other))
    assert open_ledger(one).counts() == {"waiting": 2}
    assert open_ledger(other).counts() == {"waiting": 4}


def test_the_storage_is_in_wal_mode(make_spec, open_ledger, storage_url):
    open_ledger(make_spec())
    with open_storage(storage_url).engine.connect() as connection:
        assert connection.exec_driver_sql("PRAGMA journal_mode").scalar() == "wal"


def test_a_ledger_is_opened_once(storage_url):
    """Each further attempt would leave an engine with its connections."""
    engines = set()
    listener = (sqlalchemy.Engine, "engine_connect", lambda connection: engines.add(connection.engine))
    sqlalchemy.event.listen(*listener)
    try:
        storage = open_storage(storage_url)
    finally:
        sqlalchemy.event.remove(*listener)
    assert engines == {storage.engine}


def test_what_an_address_itself_sets_is_left_to_it():
    """A server that is away must be noticed, and a connection that has died meanwhile be replaced."""
    assert _engine_options("sqlite:///x.db?timeout=5", sqlite=True) == {}
    assert [*_engine_options("sqlite:///x.db", sqlite=True)["connect_args"]] == ["timeout"]
    other = _engine_options("mysql+pymysql://me@db/base", sqlite=False)
    assert other["pool_pre_ping"] and "connect_args" not in other
    for scheme in ("postgresql", "postgresql+psycopg", "postgresql+psycopg2"):
        found = _engine_options(f"{scheme}://me@db/base?connect_timeout=3", sqlite=False)
        assert found["pool_pre_ping"] and {*found["connect_args"]} == {"keepalives_idle", "tcp_user_timeout"}


@pytest.mark.parametrize("url", ["sqlite:////no/such/folder/optuna.db", "nonsense", "nosuchbase://host/x"])
def test_a_storage_out_of_reach_is_named(make_spec, url, monkeypatch):
    monkeypatch.setattr(time, "sleep", lambda seconds: None)  # between attempts
    with pytest.raises(SettingsError, match=f"storage {url}: cannot be opened"):
        Ledger(url, "study", make_spec().identity())
