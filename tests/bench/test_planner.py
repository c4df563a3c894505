"""When a study is planned, in which order its trials are enqueued, and who is told of it."""

import time
from collections import Counter
from dataclasses import replace
from types import SimpleNamespace

import pandas as pd
import pytest

from bench.engines.events import (
    MorePlanned,
    PhaseBegan,
    ignore_event,
)
from bench.engines.stint import Stint
from bench.ledger.store import Ledger
from bench.records.writer import Tracker
from bench.study import ledger_runner
from bench.study.ledger_runner import SessionHere
from bench.study.store_paths import StorePaths
from bench.trials.record import Session, make_record
from bench.trials.status import Status
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


class Clock:
    """The module `time` for one module alone, whose clock stands still until a test moves it."""

    def __init__(self, now):
        self.now = now

    def __getattr__(self, name):
        return (lambda: self.now) if name == "monotonic" else getattr(time, name)


@pytest.fixture
def clock(monkeypatch):
    clock = Clock(0.5)
    monkeypatch.setattr(ledger_runner, "time", clock)
    return clock


@pytest.fixture
def begun(spec, paths):
    """The study's ledger with its first trial, and its tracker."""
    ledger, tracker = Ledger(paths.storage_url, spec.name, spec.identity()), Tracker(paths.tracking_uri, spec.name)
    ledger.enqueue(first_trials(spec))
    return ledger, tracker


class Plans:
    """A kind whose plan has one more trial with each record, planned in a time that a test chooses."""

    plans_ahead = True

    def __init__(self, trials, clock=None, seconds=0.0):
        self.trials, self.clock, self.seconds, self.asked = trials, clock, seconds, 0

    def next_trials(self, _spec, records):
        self.asked += 1
        if self.clock is not None:
            self.clock.now += self.seconds
        return self.trials[: len(records) + 1]


def alike(spec, count):
    """Trials that differ in their seeds."""
    (trial,) = first_trials(spec)
    return [trial.model_copy(update={"train": trial.run.model_copy(update={"seed": seed})}) for seed in range(count)]


def record_of(trial):
    return make_record(trial, Status.COMPLETE, steps_done=2, metrics={"ap": 0.5})


def test_planning_is_put_off_while_enough_trials_wait_and_it_has_taken_its_share(spec, paths, clock, begun):
    trials = alike(spec, 9)
    waiting, enqueued, events = [100], [], []
    ledger = SimpleNamespace(
        counts=lambda: Counter(waiting=waiting[0]), has_other_processes=lambda: False, enqueue=enqueued.append
    )
    kind = Plans(trials, clock, seconds=2.0)
    planner = ledger_runner.Planner(kind, spec, ledger, begun[1], paths, events.append, workers=1)

    def plan_at(moment, count):
        clock.now, waiting[0] = moment, count
        asked = kind.asked
        planner.plan_from(record_of(trials[kind.asked]))
        return kind.asked > asked

    assert plan_at(0.5, 100), "the first record"
    assert enqueued == [trials[:2]]
    assert events == [MorePlanned("tune", 2)]
    assert not plan_at(42.4, 100), "2 s from 0.5 s on, and 40 s after them"
    assert not plan_at(42.4, 101)
    assert plan_at(42.4, 99), "too few wait"
    assert plan_at(84.4, 100), "2 s from 42.4 s on, and 40 s after them"
    assert enqueued == [trials[:2], trials[2:3], trials[3:4]]
    assert events == [MorePlanned("tune", count) for count in (2, 3, 4)]


def test_what_others_record_is_read_before_planning_and_what_is_known_is_not_planned_again(spec, paths, begun):
    _, tracker = begun
    trials = alike(spec, 3)
    parent = tracker.open_study(spec, {})
    tracker.record_trial(tracker.start_trial(trials[0], parent), record_of(trials[0]), [])
    enqueued, events = [], []
    ledger = SimpleNamespace(
        counts=Counter, has_other_processes=lambda: True, enqueue=enqueued.append, ended_trials=lambda: {trials[0].id}
    )
    planner = ledger_runner.Planner(Plans(trials), spec, ledger, tracker, paths, events.append, workers=1)
    planner.plan_from(record_of(trials[1]))
    assert enqueued == [trials[:3]]
    planner._records.rows.popitem()
    planner.plan_from(record_of(trials[1]))
    assert (enqueued, events) == ([trials[:3]], [MorePlanned("tune", 3)])


@pytest.mark.parametrize(("workers", "others", "longest"), [(1, False, False), (1, True, True), (2, False, True)])
def test_two_trials_are_already_sorted_unless_one_worker_is_alone(spec, begun, paths, workers, others, longest):
    (short,) = first_trials(spec)
    long = short.model_copy(update={"train": short.run.model_copy(update={"steps": 100})})
    ledger = SimpleNamespace(has_other_processes=lambda: others)
    planner = ledger_runner.Planner(KIND, spec, ledger, begun[1], paths, ignore_event, workers=workers)
    assert planner.in_order([short, long]) == ([long, short] if longest else [short, long])


class Rounds:
    """Works off what a planner finds at each look, with an engine that runs nothing; keeps what these were asked."""

    def __init__(self, settings, looks, *, plans_ahead=False, workers=1, waiting=0, session=None, notes=None):
        self.asked, self.on_record = [], []
        found = iter(looks)
        ledger = SimpleNamespace(
            counts=lambda: Counter(waiting=waiting),
            enqueue=lambda trials: self.asked.append([trial.id for trial in trials]) or len(trials) + 7,
            release=lambda: self.asked.append("released"),
        )
        planner = SimpleNamespace(
            kind=SimpleNamespace(plans_ahead=plans_ahead),
            workers=workers,
            ledger=ledger,
            tracker=SimpleNamespace(at_once=SimpleNamespace(update_session=notes)),
            look=lambda: next(found),
            in_order=lambda trials: trials[::-1],
            plan_from=self.asked.append,
        )
        engine = SimpleNamespace(
            on_event=self.asked.append,
            work_off=lambda settings: self.asked.append(("works", settings.stint and settings.stint.mean_s)),
        )
        ledger_runner.work_off(planner, engine, settings, self.on_record, session)


@pytest.fixture
def settings(spec, paths):
    return ledger_runner.worker_settings(KIND, spec, paths, "f" * 32, None)


@pytest.fixture
def trials(valley_spec):
    """Two of one phase, one of another."""
    tune = first_trials(valley_spec(tunings=1))
    return [*tune, tune[0].model_copy(update={"phase": "confirm"})]


def rows(*trials):
    """The table of the records of trials that took 2 s, 4 s, and so on."""
    ended = [{"started_ms": 1000, "ended_ms": 3000 + 2000 * place} for place in range(len(trials))]
    return pd.DataFrame([record_of(trial).as_row() | times for trial, times in zip(trials, ended, strict=True)])


NOTHING = (pd.DataFrame(), [], [])


def test_each_look_s_new_trials_are_enqueued_by_phase_until_there_are_none(spec, settings, trials):
    first, second, confirm = trials
    known = alike(spec, 9)[-1]  # recorded, but no longer planned
    looks = [(rows(known), trials, trials), (rows(first, second), [first, second], [second]), NOTHING]
    asked = Rounds(settings, looks).asked
    tune, later = asked[1], asked[7]
    assert asked[4:6] == asked[8:] == ["released", ("works", None)]
    assert asked[0] == [second.id, first.id]
    assert asked[2] == [confirm.id]
    assert (tune.phase, tune.new, tune.planned, {*tune.done}) == ("tune", 9, 3, {known.id})
    assert asked[3] == PhaseBegan("confirm", 8, 1, tune.done)
    assert (later.phase, later.new, later.planned, {*later.done}) == ("tune", 8, 2, {first.id, second.id})


def test_a_kind_that_plans_ahead_begins_each_phase_once_and_plans_from_each_record(settings, trials):
    first, second, confirm = trials
    looks = [(rows(), trials, [first]), (rows(first), trials, [second, confirm]), NOTHING]
    rounds = Rounds(settings, looks, plans_ahead=True)
    assert [each.phase for each in rounds.asked if isinstance(each, PhaseBegan)] == ["tune", "confirm"]
    for hears in rounds.on_record:
        hears("a record")
    assert rounds.asked[-1] == "a record"
    for plans_ahead, workers in ((True, 0), (False, 1)):
        assert len(Rounds(settings, [NOTHING], plans_ahead=plans_ahead, workers=workers).on_record) == 1


def test_trials_that_wait_are_worked_off_though_nothing_new_is_planned(settings, trials, hermetic):
    """A stint that is over ends it, which is never asked for the mean of a phase without one."""
    stint = ledger_stint(hermetic, trials=1)
    (stint.folder / "0").touch()
    looks = [(rows(trials[0], trials[1]), trials, [])]
    rounds = Rounds(replace(settings, stint=stint), looks, waiting=1)
    assert rounds.asked == ["released", ("works", {"tune": 3.0})]


def ledger_stint(folder, trials):
    (folder / "stint").mkdir()
    return Stint(folder / "stint", trials)


def test_a_session_is_noted_at_each_look_and_once_a_second_by_records(settings, trials, clock, monkeypatch):
    monkeypatch.setattr(ledger_runner, "now_ms", lambda: int(1000 * clock.now))
    noted = []
    looks = [(rows(), trials, trials), NOTHING]
    rounds = Rounds(settings, looks, session=SessionHere(SESSION), notes=noted.append)
    assert noted == [replace(SESSION, heard_ms=500)] * 2
    clock.now += 0.99
    rounds.on_record[0]("a record")
    assert len(noted) == 2
    clock.now += 0.01
    rounds.on_record[0]("a record")
    assert noted[2:] == [replace(SESSION, heard_ms=1500)]
