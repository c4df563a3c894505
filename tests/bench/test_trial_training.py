"""The record of one training, whatever it comes to: made-up trainings, of which everything is known."""

import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from bench.trials import training
from bench.trials.record import CurvePoint
from bench.trials.status import Status
from bench.trials.training import run_trial
from bench.workloads.protocol import Samples, Trained
from bench.workloads.score import Score
from posemodel.errors import DataError
from tests.support.plans import confirm_trials, first_trials

SAMPLES = Samples({"people": 3}, None)


class MadeUp:
    """A workload whose training is a function of what it may call."""

    name, score, final_metrics = "made up", Score("accuracy", high=100), frozenset({"accuracy", "accuracy_best"})

    def __init__(self, do):
        self.do = do

    def train(self, _run, _make_optimizer, *, on_metrics, should_prune):
        """Do what it does."""
        return self.do(SimpleNamespace(on_metrics=on_metrics, should_prune=should_prune))


def ended(status="complete", *, step=6, samples=lambda: SAMPLES, **metrics):
    return Trained(status, step, metrics, lambda _split: 0.0, samples)


@pytest.fixture(scope="module")
def trials(valley_spec):
    """A tune trial and a confirm trial."""
    spec = valley_spec(optimizers=["sgd"], tunings=1, pin_memory=True)
    return SimpleNamespace(tune=first_trials(spec)[0], confirm=confirm_trials(spec)[0])


@pytest.fixture
def run(monkeypatch):
    """Run a trial with a made-up training."""

    def made_up(trial, do, **how):
        monkeypatch.setattr(training, "workload", lambda _name: MadeUp(do if callable(do) else lambda _calls: do))
        return run_trial(trial, **how)

    return made_up


def test_a_record_has_the_finite_metrics_and_what_was_run_how(trials, run):
    steps = []

    def do(calls):
        calls.on_metrics(np.int64(3), {"loss": np.float32(0.5), "train_seconds": torch.tensor(1.5)})
        calls.on_metrics(6, {"accuracy": 50, "train_seconds": 3})
        return ended(accuracy=torch.tensor(50.0), loss=math.nan, val_loss=math.inf)

    outcome = run(trials.tune, do, concurrent_trials=3, on_step=lambda *step: steps.append(step))
    record = outcome.record
    assert (record.status, record.steps_done, record.metrics) == (Status.COMPLETE, 6, {"accuracy": 50.0})
    assert (record.pin_memory, record.effective_pin_memory, record.concurrent_trials) == (True, False, 3)
    assert (record.torch_threads, record.gpu, record.error) == (torch.get_num_threads(), None, "")
    assert steps == [(3, 1.5), (6, 3.0)]
    assert [(point.step, point.metrics) for point in outcome.curve] == [
        (3, {"loss": 0.5, "train_seconds": 1.5}),
        (6, {"accuracy": 50.0, "train_seconds": 3.0}),
    ]
    assert outcome.samples is None, "of confirm trials alone"
    assert run(trials.tune, ended(accuracy=50.0)).record.concurrent_trials == 1


def test_a_trial_that_goes_on_has_the_curve_and_the_gpus_of_all_parts(trials, run):
    earlier = CurvePoint(2, {"loss": 1.0}, 1000)

    class Checkpoint:
        gpus = ("a", "b")

        def train(self, task, its_run, make_optimizer, *, curve, gpu, **calls):
            assert gpu is None
            curve.append(earlier)
            return task.train(its_run, make_optimizer, **calls)

    outcome = run(trials.tune, ended(accuracy=1.0), checkpoint=Checkpoint())
    assert (outcome.curve, outcome.record.gpu) == ([earlier], "a + b")


def test_evaluations_of_the_gradient_are_counted_by_update(trials, run):
    assert run(trials.tune, ended(accuracy=1.0, updates=2.0)).record.gradient_evaluations_per_update == 3.0
    assert run(trials.tune, ended(accuracy=1.0)).record.gradient_evaluations_per_update is None


def test_a_pruned_trial_has_its_last_score_under_another_name(trials, run):
    pruned = ended("pruned", accuracy=50.0, accuracy_best=60.0, loss=1.0)
    outcome = run(trials.confirm, pruned, on_trained=lambda _trained: {"more": 1.0})
    assert outcome.record.metrics == {"loss": 1.0, "accuracy_when_pruned": 50.0}
    assert (outcome.record.status, outcome.samples) == (Status.PRUNED, None)


def test_a_complete_trial_has_what_is_measured_after_it(trials, run):
    outcome = run(trials.tune, ended(accuracy=50.0), on_trained=lambda trained: {"more": trained.metrics["accuracy"]})
    assert outcome.record.metrics == {"accuracy": 50.0, "more": 50.0}


def test_samples_of_a_confirm_trial_are_timed_apart(trials, run):
    outcome = run(trials.confirm, ended(accuracy=50.0))
    assert outcome.samples == SAMPLES
    assert {*outcome.record.metrics} == {"accuracy", "samples_seconds"}
    assert run(trials.confirm, ended("diverged")).samples is None


def test_a_trial_is_not_lost_for_its_samples_but_data_are_to_be_mended(trials, run, capsys):
    def broken():
        raise ValueError("no picture")

    def gone():
        raise DataError("the image is gone")

    outcome = run(trials.confirm, ended(accuracy=50.0, samples=broken))
    assert (outcome.record.status, outcome.samples) == (Status.COMPLETE, None)
    assert {*outcome.record.metrics} == {"accuracy", "samples_seconds"}
    said = f"posebench: no sample images of trial {trials.confirm.id} (ValueError: no picture)\n"
    assert capsys.readouterr().err == said
    with pytest.raises(DataError, match="the image is gone"):
        run(trials.confirm, ended(accuracy=50.0, samples=gone))


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (MemoryError("too wide"), Status.OUT_OF_MEMORY),
        (torch.OutOfMemoryError("too wide"), Status.OUT_OF_MEMORY),
        (RuntimeError("CUDA Out Of Memory. Tried to allocate 2 GiB"), Status.OUT_OF_MEMORY),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: 8 bytes"), Status.OUT_OF_MEMORY),
        (RuntimeError("insufficient: cannot allocate shared memory"), Status.OUT_OF_MEMORY),
        (RuntimeError("worker is killed by signal: Bus error"), Status.OUT_OF_MEMORY),
        (RuntimeError("shapes do not match"), Status.FAILED),
        (ValueError("out of memory"), Status.FAILED),
        (RuntimeError("x" * 600), Status.FAILED),
    ],
)
def test_an_error_of_a_training_is_its_result(trials, run, error, status):
    def do(calls):
        for step in (2, 3, 4):
            calls.on_metrics(step, {"train_seconds": 1.0})
        raise error

    outcome = run(trials.confirm, do)
    assert (outcome.record.status, outcome.record.steps_done, outcome.record.metrics) == (status, 4, {})
    assert outcome.record.error and [point.step for point in outcome.curve] == [2, 3, 4]
    if len(str(error)) > 500:
        assert outcome.record.error == f"RuntimeError: {'x' * 486}", "500 characters"


def test_an_error_before_the_first_measurement_took_no_step(trials, run):
    def do(_calls):
        raise ValueError("at once")

    outcome = run(trials.tune, do)
    assert (outcome.record.steps_done, outcome.record.error) == (0, "ValueError: at once")


def test_what_the_user_can_mend_is_no_result(trials, run):
    def do(_calls):
        raise DataError("the image is gone")

    with pytest.raises(DataError, match="the image is gone"):
        run(trials.tune, do)


@pytest.mark.parametrize(
    ("status", "accuracy", "got"),
    [
        ("complete", {}, "lacks it"),
        ("pruned", {}, "lacks it"),
        ("complete", {"accuracy": 100.1}, "has 100.1"),
        ("pruned", {"accuracy": -0.5}, "has -0.5"),
        ("complete", {"accuracy": math.nan}, "has nan"),
        ("complete", {"accuracy": 100.0}, ""),
        ("complete", {"accuracy": 0.0}, ""),
        ("diverged", {}, ""),
        ("timed_out", {"accuracy": 200.0}, ""),
    ],
)
def test_a_run_that_was_scored_has_a_score_within_the_range(trials, run, status, accuracy, got):
    record = run(trials.tune, ended(status, **accuracy)).record
    if not got:
        assert (record.status, record.error) == (status, "")
        return
    assert record.status == Status.FAILED
    assert record.error == (
        f"ValueError: workload made up: the score of a run that ended as {status} must be a number from 0 to 100, in "
        f"its metrics as 'accuracy'; this run {got}."
    )
