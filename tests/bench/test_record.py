"""Records: one flat row for every end that a trial can come to."""

import json
import math

import pytest

from bench.trials.record import TEXT_FIELDS, TUNING_FIELDS, make_record
from bench.trials.status import FAULTS, Status
from tests.support.plans import confirm_trials, first_trials, whole_plan


@pytest.mark.parametrize("status", list(Status))
def test_a_row_says_what_was_run_and_how_it_ended(make_spec, status):
    trial = first_trials(make_spec(weight_decay=1e-4))[0]
    row = make_record(trial, status, steps_done=1, metrics={"ap": 0.25}, error="why").as_row()
    assert set(row) == {*TEXT_FIELDS, *TUNING_FIELDS, "ap"}
    assert row["trial_id"] == trial.id
    assert json.loads(row["hyperparameters"]) == trial.hyperparameters
    assert (row["status"], row["weight_decay"], row["seed"], row["ap"]) == (status, 1e-4, 0, 0.25)
    assert (row["optimizer"], row["phase"], row["index"], row["error"]) == ("sgd", "tune", 0, "why")
    assert (row["tuning"], row["round"]) == (0, 0)


def test_a_row_says_to_which_tuning_a_trial_belongs_and_of_a_tune_trial_to_which_round(make_spec):
    rows = [
        make_record(trial, Status.COMPLETE, steps_done=1, metrics={}).as_row()
        for trial in whole_plan(make_spec(optimizers=["sgd"], trials=3, seeds=2))
    ]
    places = [(row["phase"], row["tuning"], row.get("round")) for row in sorted(rows, key=lambda row: row["index"])]
    one = [("tune", 0), ("tune", 0), ("tune", 1), ("confirm", None), ("confirm", None)]
    assert places == [(phase, tuning, number) for tuning in (0, 1) for phase, number in one]


def test_a_row_of_a_kind_without_tunings_has_no_place_in_one(make_spec):
    trial = first_trials(make_spec())[0].model_copy(update={"tuning": None, "round": None})
    row = make_record(trial, Status.COMPLETE, steps_done=1, metrics={"ap": 0.25}).as_row()
    assert set(row) == {*TEXT_FIELDS, "ap"}


def test_a_row_says_what_took_the_steps_and_whose_control_it_is(make_spec):
    adabound, control = confirm_trials(make_spec(optimizers=["adabound"], tunings=1, controls=True))
    made = [
        make_record(trial, Status.COMPLETE, steps_done=1, metrics={}, implementation="x.Y")
        for trial in (adabound, control)
    ]
    assert [(r.optimizer, r.control_of, r.implementation) for r in made] == [
        ("adabound", "", "x.Y"),
        ("adabound (limit)", "adabound", "x.Y"),
    ]
    assert make_record(adabound, Status.FAILED, steps_done=0, metrics={}).implementation == ""


def test_what_is_not_finite_is_none_in_a_row(make_spec):
    metrics = {"a": math.nan, "b": math.inf, "c": -math.inf, "d": 0.0}
    row = make_record(first_trials(make_spec())[0], Status.DIVERGED, steps_done=1, metrics=metrics).as_row()
    assert [row[name] for name in "abcd"] == [None, None, None, 0.0]


def test_what_was_planned_so_is_no_fault():
    assert set(FAULTS) == set(Status) - {Status.COMPLETE, Status.DIVERGED, Status.PRUNED, Status.SKIPPED}
