"""The time estimate: a plan added up from measured pieces by hand, and one that is measured for real."""

import shutil
from dataclasses import replace

import pytest

from bench.kinds.optimizers.estimate import add_up, estimate
from bench.measure.cores import threads_for_each, usable_cores
from bench.study import probe
from bench.study.estimate import RECORD_S, REPORT_S, Estimate
from bench.study.prepared import Prepared
from bench.study.probe import EstimateError, Measured
from bench.workloads.protocol import REPORT, SELECT, Costs
from posemodel.errors import DataError
from tests.support.asked import prepared
from tests.support.forking_process import forked_starts

COSTS = Costs(
    start_s=5.0,
    setup_s=1.0,
    step_s={"sgd": 0.1, "adam": 0.2},
    score_s={SELECT: 0.5, REPORT: 0.5},
    image_s=0.02,
    memory_bytes=1000,
    gpu_memory_bytes=0,
)


def added_up(spec, costs, workers, images, data_s=0.0):
    return add_up(spec, Measured(costs, images, data_s, None), workers)


def of_study(spec, **changes):
    return estimate(Prepared(spec.name, (spec,), **changes))


def test_a_plan_is_added_up_by_hand(make_spec):
    spec = make_spec(optimizers=["sgd", "adam"], trials=3, seeds=3, tune_steps=12, steps=21, evaluations=2)
    found = added_up(spec, COSTS, 1, {SELECT: 10, REPORT: 50}, data_s=7.0)
    select, report = 0.5 + 10 * 0.02, 0.5 + 50 * 0.02
    around = 1 + select + RECORD_S
    # In each of two tunings two trials of 6 steps and one of 12.
    tune = 2 * sum(2 * (around + 5 * step) + (around + 11 * step) for step in (0.1, 0.2))
    # A confirm trial is scored once more, on the split that settings are chosen by.
    confirm = 2 * 3 * sum(around + 20 * step + 2 * report for step in (0.1, 0.2))
    assert found.parts["tune_s"] == pytest.approx(tune)
    assert found.parts["confirm_s"] == pytest.approx(confirm)
    assert found.parts["other_s"] == pytest.approx(5 + REPORT_S)
    assert found.seconds == pytest.approx(7 + tune + confirm + 5 + REPORT_S)
    assert found.costs.memory_bytes == 1000


def test_an_estimate_in_words_and_as_a_document():
    """Parts under a second are not named; what was not measured, or is rough, is."""
    parts = {"data_s": 0.99, "tune_s": 1.0, "confirm_s": 60.04, "other_s": 5.0}
    costs = replace(COSTS, memory_bytes=1_260_000_000, gpu_memory_bytes=7, step_s={"sgd": 0.1000004, "adam": 0.25})
    found = Estimate(parts, costs)
    assert (found.data_s, found.seconds) == (0.99, pytest.approx(67.03))
    assert found.document() == {
        "seconds": 67.0,
        "data_s": 1.0,
        "tune_s": 1.0,
        "confirm_s": 60.0,
        "other_s": 5.0,
        "memory_bytes": 1_260_000_000,
        "gpu_memory_bytes": 7,
        "step_s": {"sgd": 0.1, "adam": 0.25},
        "step_by": "steps",
        "evaluation_measured": True,
    }
    text = replace(found, costs=replace(costs, gpu_memory_bytes=0)).text("nano", 1)
    assert text.startswith("Estimated time: ")
    assert "(tuning 1 s, confirming 1 min, the rest 5 s), with 1 trial at once; 1.3 GB of memory." in text
    unscored = replace(found, costs=replace(costs, gpu_memory_bytes=0, score_s={}))
    text = unscored.text("nano", 2, roughly="because so")
    assert text.startswith("One step of nano took 0.25 s; the evaluation was not measured (the 30 s were used up). ")
    assert "Estimated time, roughly: at least " in text
    assert "with 2 trials at once, because so; " in text
    by_one = replace(costs, score_s={}, step_by="one image", gpu_memory_bytes=0)
    assert "Estimated time: about " in replace(found, costs=by_one).text("nano", 1)


def test_what_was_not_measured_is_assumed_to_cost_as_much_as_training():
    whole = Measured(COSTS, {SELECT: 10, REPORT: 50}, 0.0, None)
    assert whole.assumed(4) is whole
    assert whole.evaluation_s(REPORT) == pytest.approx(0.5 + 50 * 0.02)
    unscored = replace(whole, costs=replace(COSTS, score_s={}, image_s=0.0))
    assert unscored.evaluation_s(SELECT) == 0
    assert unscored.assumed(4).costs.image_s == pytest.approx(0.2 / 4)
    assert unscored.assumed(4).evaluation_s(SELECT) == pytest.approx(10 * 0.2 / 4)


def test_a_plan_in_seconds_takes_its_seconds(make_spec):
    """Whatever a step takes; what is not training is as before."""
    budget = {"tune_steps": None, "steps": None, "tune_seconds": 20.0, "seconds": 60.0}
    spec = make_spec(optimizers=["sgd", "adam"], trials=3, seeds=3, evaluations=2, **budget)
    found = added_up(spec, COSTS, 1, {SELECT: 10, REPORT: 50}, data_s=0.0)
    around = 1 + (0.5 + 10 * 0.02) + RECORD_S
    assert found.parts["tune_s"] == pytest.approx(2 * 2 * (2 * (around + 10) + (around + 20)))
    assert found.parts["confirm_s"] == pytest.approx(2 * 3 * 2 * (around + 60 + 2 * (0.5 + 50 * 0.02)))


def test_controls_are_confirmed_and_not_tuned(make_spec):
    spec = make_spec(optimizers=["adabound"], trials=2, seeds=3, tune_steps=11, steps=21, evaluations=1, controls=True)
    costs = replace(COSTS, step_s={"adabound": 0.2, "adabound (limit)": 0.1})
    found = added_up(spec, costs, 1, {SELECT: 0, REPORT: 0}, data_s=0.0)
    around = 1 + 0.5 + RECORD_S
    assert found.parts["tune_s"] == pytest.approx(2 * 2 * (around + 10 * 0.2))
    assert found.parts["confirm_s"] == pytest.approx(2 * 3 * (2 * (around + 0.5) + 20 * 0.2 + 20 * 0.1))


def test_a_pruner_has_tune_trials_scored_more_often(make_spec):
    spec = make_spec(optimizers=["sgd"], trials=1, tune_steps=10, tune_evaluations=5)
    plain, watched = (
        added_up(each, COSTS, 1, {SELECT: 10, REPORT: 10}, data_s=0.0)
        for each in (spec, spec.model_copy(update={"pruner": "median"}))
    )
    assert watched.parts["tune_s"] - plain.parts["tune_s"] == pytest.approx(2 * 4 * (0.5 + 10 * 0.02))
    assert watched.parts["confirm_s"] == plain.parts["confirm_s"]


def test_two_workers_halve_the_trials_and_start_at_once(make_spec):
    spec = make_spec(optimizers=["sgd", "adam"], trials=2, seeds=2, tune_steps=11, steps=21, evaluations=2)
    images = {SELECT: 10, REPORT: 50}
    one, two = (added_up(spec, COSTS, workers, images, data_s=0.0) for workers in (1, 2))
    assert two.parts["tune_s"] == pytest.approx(one.parts["tune_s"] / 2)
    assert two.parts["confirm_s"] == pytest.approx(one.parts["confirm_s"] / 2)
    assert two.parts["other_s"] == one.parts["other_s"]


def test_an_odd_trial_keeps_one_worker_waiting(make_spec):
    """Of three confirm trials; tune trials of one tuning run beside those of the others."""
    costs = replace(COSTS, step_s={"sgd": 0.1})
    spec = make_spec(optimizers=["sgd"], tunings=3, trials=3, tune_steps=11, steps=21, evaluations=2)
    one, two = (added_up(spec, costs, workers, {SELECT: 10, REPORT: 10}, data_s=0.0) for workers in (1, 2))
    assert two.parts["confirm_s"] == pytest.approx(one.parts["confirm_s"] * 2 / 3)
    assert two.parts["tune_s"] == pytest.approx(one.parts["tune_s"] / 2)


def test_the_pieces_are_measured_on_the_studys_own_data(make_spec, tiny):
    spec = make_spec(data=tiny, optimizers=["sgd", "adabound"], controls=True)
    with forked_starts(probe):
        found = of_study(spec)  # AdaBound's control is measured with it
    assert found.data_s == 0
    assert 0 < found.parts["tune_s"] < found.seconds
    assert 0 < found.parts["confirm_s"] < found.seconds
    assert found.costs.memory_bytes > 100e6, "torch alone takes more"
    assert found.document()["seconds"] == pytest.approx(found.seconds, abs=0.1)


def test_a_study_in_seconds_is_measured(make_spec, measured_here, tiny):
    budget = {"tune_steps": None, "steps": None, "tune_seconds": 200.0, "seconds": 600.0}
    found = of_study(make_spec(data=tiny, optimizers=["sgd"], seeds=2, **budget))
    assert 400 < found.parts["tune_s"] < 1200 < 2400 < found.parts["confirm_s"]


@pytest.mark.long
def test_what_cannot_be_measured_is_said(make_spec, tiny):
    spec = make_spec(data=tiny, optimizers=["sgd"], size=64, network="small").model_copy(update={"network": "smal"})
    with pytest.raises(EstimateError, match="Did you mean small"):
        of_study(spec)


def test_data_that_is_not_there_is_an_error_in_words(make_spec, tmp_path):
    spec = make_spec(data=tmp_path / "nowhere")
    with pytest.raises(DataError, match="nowhere"):
        of_study(spec)


@pytest.mark.parametrize(("workers", "threads"), [(1, None), (2, 4), (3, 2), (8, 1), (9, 1)])
def test_worker_processes_share_the_cores(workers, threads, monkeypatch):
    monkeypatch.setattr("bench.measure.cores.usable_cores", lambda: 8)
    assert threads_for_each(workers) == threads


def test_the_small_preset_runs_a_trial_for_each_core(tiny):
    command_line = {"data": tiny, "device": "cpu"}
    assert prepared("optimizers", command_line, None, "small", None).workers == usable_cores()
    assert prepared("optimizers", {**command_line, "workers": 3}, None, "small", None).workers == 3
    assert prepared("optimizers", command_line, None, "smoke", None).workers == 1


def test_making_the_data_set_is_timed_and_one_that_is_given_takes_nothing(tiny):
    made = prepared("optimizers", {}, None, "smoke", lambda folder, _images, _seed: shutil.copytree(tiny, folder))
    assert made.data_s > 0
    assert made.awaited_images is None
    assert prepared("optimizers", {"data": tiny}, None, "smoke", None).data_s == 0
