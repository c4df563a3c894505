"""The records of a growing study are read at the cost of what is new, and are those that a complete reading finds."""

import pytest

from bench.records.growing import OVERLAP_MS, GrowingRecords
from bench.records.writer import Tracker
from bench.trials.columns import rows_of
from bench.trials.record import make_record, now_ms
from bench.trials.status import Status
from tests.support.plans import first_trials

HOUR_MS = 3_600_000
NOON_MS = 1_700_000_000_000


@pytest.fixture
def tracker(tracking_uri, valley_spec):
    return Tracker(tracking_uri, valley_spec().name)


@pytest.fixture
def record(tracker, valley_spec):
    """Record a trial whose run ended at a time; returns its id."""
    spec = valley_spec(trials=8, tunings=4)
    parent, trials = tracker.open_study(spec, {}), iter(first_trials(spec))

    def act(ended_ms, trial=None, **metrics):
        trial = trial or next(trials)
        run = tracker.start_trial(trial, parent, began_ms=ended_ms - 1000)
        made = make_record(trial, Status.COMPLETE, steps_done=2, metrics={"ap": 0.5} | metrics)
        tracker.record_trial(run, made, [], ended_ms=ended_ms, waited=True)
        return trial

    return act


def asked(tracker, growing):
    """How many runs MLflow gives for a reading of what is new."""
    given = []

    class Counting:
        def __getattr__(self, name):
            return getattr(client, name)

        def search_runs(self, *arguments, **keywords):
            page = client.search_runs(*arguments, **keywords)
            given.extend(page)
            return page

    client, tracker.client = tracker.client, Counting()
    growing.read_new()
    tracker.client = client
    return len(given)


def test_what_is_new_is_read_alone(tracker, record):
    growing = GrowingRecords(tracker)
    assert asked(tracker, growing) == 0
    for number in range(4):
        record(NOON_MS + number * HOUR_MS)
    assert asked(tracker, growing) == 4, "the first time all"
    record(NOON_MS + 4 * HOUR_MS)
    assert asked(tracker, growing) == 2, "the newest known one again, since clocks differ"
    assert asked(tracker, growing) == 1
    complete = {row["trial_id"]: row for row in rows_of(tracker.records())}
    assert growing.rows.keys() == complete.keys()
    for trial_id, row in growing.rows.items():
        assert {name: complete[trial_id][name] for name in row} == row


def test_a_complete_reading_is_gone_on_from(tracker, record):
    for number in range(3):
        record(NOON_MS + number * HOUR_MS)
    growing = GrowingRecords(tracker)
    growing.replace(rows_of(tracker.records()))
    record(NOON_MS + 5 * HOUR_MS)
    assert asked(tracker, growing) == 2
    assert len(growing.rows) == 4


def test_own_records_are_added_and_read_once(tracker, record):
    growing = GrowingRecords(tracker)
    trial = record(NOON_MS)
    growing.add({**tracker.recorded(trial.id).as_row(), "mine": True})
    growing.read_new()
    assert growing.rows[trial.id]["mine"]
    assert len(growing.rows) == 1


def test_clocks_may_differ_by_the_overlap_and_what_is_older_needs_a_complete_reading(tracker, record):
    growing = GrowingRecords(tracker)
    record(NOON_MS)
    growing.read_new()
    late = record(NOON_MS - OVERLAP_MS + 1)
    growing.read_new()
    assert late.id in growing.rows
    lost = record(NOON_MS - OVERLAP_MS)
    growing.read_new()
    assert lost.id not in growing.rows
    growing.replace(rows_of(tracker.records()))
    assert lost.id in growing.rows


def test_a_clock_that_is_ahead_hides_nothing_of_the_others(tracker, record):
    growing = GrowingRecords(tracker)
    record(now_ms() + HOUR_MS)
    growing.read_new()
    late = record(now_ms())
    growing.read_new()
    assert late.id in growing.rows


def test_what_a_clock_hides_is_found_by_its_trial_and_not_by_the_number(tracker, record):
    growing = GrowingRecords(tracker)
    known = record(NOON_MS)
    growing.catch_up({known.id})
    hidden, open_in_ledger = record(NOON_MS - HOUR_MS), record(NOON_MS + 1)
    growing.catch_up({known.id, hidden.id})
    assert growing.rows.keys() == {known.id, hidden.id, open_in_ledger.id}


def test_an_ended_trial_without_a_record_of_its_id_causes_one_complete_reading(tracker, record, monkeypatch):
    growing, complete, read = GrowingRecords(tracker), [], tracker.record_rows

    def rows(ended_after_ms=None):
        complete.append(ended_after_ms is None)
        return read(ended_after_ms)

    known = record(NOON_MS)
    growing.read_new()
    monkeypatch.setattr(tracker, "record_rows", rows)
    for _ in range(3):
        growing.catch_up({known.id, "of an earlier version"})
    assert complete == [False, True, False, False]


def test_of_two_records_of_a_trial_the_older_run_counts(tracker, record):
    trial = record(NOON_MS, ap=0.25)
    record(NOON_MS + 10, trial, ap=0.75)
    assert [row["ap"] for row in tracker.record_rows()] == [0.25]
    assert list(tracker.records()["ap"]) == [0.25]
    growing = GrowingRecords(tracker)
    growing.read_new()
    assert [row["ap"] for row in growing.rows.values()] == [0.25]


def test_a_run_that_is_not_closed_is_none(tracker, record):
    trial = record(NOON_MS)
    run_id = tracker.records()["run_id"][0]
    tracker.client.set_terminated(run_id, "KILLED")
    assert tracker.record_rows() == []
    assert tracker.recorded(trial.id) is None
