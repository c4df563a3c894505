"""Measuring ends in time: pieces come one by one, what has come is used, and the process is ended."""

import time
from pathlib import Path

import psutil
import pytest
import torch

from bench.kinds.optimizers.plan import typical_trials
from bench.kinds.optimizers.plan_preview import plan_output
from bench.study import probe
from bench.study.prepared import Prepared
from bench.study.probe import EstimateError, Measured, measure, missing_text
from bench.workloads import pose_costs, pose_data, pose_training
from bench.workloads.pose import PoseSettings
from bench.workloads.protocol import REPORT, SELECT, Costs
from posemodel.data.open_split import open_split
from tests.support.forking_process import forked_starts

HOUR_MS = 3.6e6
WHOLE = Costs(1.0, {"sgd": 0.1, "adam": 0.3}, {SELECT: 1.0, REPORT: 2.0}, 0.5, 1000, 10, start_s=4.0)


class Clock:
    """The time module, on which time can be over."""

    over = False

    def time(self):
        return time.time() + (1e9 if self.over else 0.0)


@pytest.fixture
def over_after_a_piece(monkeypatch):
    """Time is over once a process has told something, however slow this machine is."""
    clock, real = Clock(), probe.wait

    def wait(connections, timeout):
        found = real(connections, timeout=600)
        clock.over = True
        return found

    monkeypatch.setattr(probe, "time", clock)
    monkeypatch.setattr(probe, "wait", wait)


def slow_trials(spec):
    """A quick trial of the first optimizer; a step of the second takes an hour."""
    trials = typical_trials(spec)
    slow = trials["adam"].train.model_copy(update={"sleep_ms": HOUR_MS})
    return trials | {"adam": trials["adam"].model_copy(update={"train": slow})}


def test_what_came_in_time_is_used_and_the_process_is_ended(valley_spec, tmp_path, over_after_a_piece):
    with forked_starts(probe):
        before = {child.pid for child in psutil.Process().children(recursive=True)}
        found = measure(slow_trials(valley_spec()), tmp_path, processes=1, threads=None, until=time.time() + 600)
    assert not found.evaluated
    assert found.step_s["sgd"] > 0
    assert found.step_s["adam"] == found.step_s["sgd"], "what was not measured is taken for the mean of the others"
    assert found.start_s > 0
    new = [child for child in psutil.Process().children(recursive=True) if child.pid not in before]
    assert not [child.pid for child in new if "resource_tracker" not in " ".join(child.cmdline())]


def test_nothing_in_time_is_said(valley_spec, tmp_path):
    with pytest.raises(EstimateError, match="not even one training step finished in 30 s"):
        measure(typical_trials(valley_spec()), tmp_path, processes=2, threads=None, until=time.time() - 1)


def test_a_dry_run_shows_the_plan_where_nothing_was_measured(valley_spec, monkeypatch):
    def nothing(*_, **__):
        raise EstimateError("not even one step.")

    monkeypatch.setattr(probe, "measure", nothing)
    spec = valley_spec()
    shown = plan_output(Prepared(spec.name, (spec,)))
    assert shown.document["estimate"] is None
    assert shown.document["plan"]
    assert "not even one step." in shown.blocks


def test_the_mean_is_of_those_that_got_so_far():
    early = Costs(3.0, {"sgd": 0.9, "adam": 0.9}, {}, 0.0, 1000, 10, start_s=6.0, step_by="first step")
    found = probe._mean([WHOLE, early])
    assert (found.start_s, found.setup_s) == (5.0, 2.0)
    assert found.step_s == WHOLE.step_s
    assert (found.score_s, found.image_s) == (WHOLE.score_s, WHOLE.image_s)
    assert found.memory_bytes > 2000 and found.gpu_memory_bytes == 20
    assert found.evaluated and found.step_by == "steps"
    assert probe._mean([early]).step_by == "first step"


def test_what_is_missing_is_said():
    def text(**changes):
        return missing_text("rtpose_vgg", Costs(**{**WHOLE.__dict__, **changes}))

    assert text() == ""
    assert text(score_s={}) == (
        "One step of rtpose_vgg took 0.3 s; the evaluation was not measured (the 30 s were used up). "
    )
    assert text(step_by="first step") == "The first step of rtpose_vgg took 0.3 s (later ones are faster). "
    assert text(step_by="one image") == "One step of rtpose_vgg takes about 0.3 s, by a single image. "


@pytest.mark.parametrize(
    ("all_images_s", "count", "fixed_s", "image_s"),
    [
        (3.0, 5, {SELECT: 0.75, REPORT: 0.5}, 0.5),
        (2.0, 1, {SELECT: 0.25, REPORT: 0.0}, 1.0),
        (0.9, 5, {SELECT: 1.25, REPORT: 1.0}, 0.0),
        (9.0, 5, {SELECT: 0.0, REPORT: 0.0}, 2.0),
    ],
)
def test_an_evaluation_is_a_fixed_part_and_one_for_each_image(all_images_s, count, fixed_s, image_s):
    """One image cannot be separated; no part is below 0, where more images were made faster than one."""
    found = pose_costs._fixed_and_image_s({SELECT: 1.25, REPORT: 1.0}, all_images_s, count)
    assert found == (fixed_s, image_s)


@pytest.mark.parametrize(("awaited", "batch", "made"), [(1000, 8, 60), (1000, 50, 100), (40, 8, 40), (80, 50, 80)])
def test_costs_are_measured_on_two_batches_of_made_images_or_sixty_or_all(awaited, batch, made, monkeypatch):
    counts = []
    monkeypatch.setattr(pose_data, "generate", lambda folder, **how: counts.append((folder.name, how["images"])))
    with pose_data.probe_data(PoseSettings(network="small", size=64), Path(), awaited, batch) as found:
        assert counts == [("people", made)]
        assert found.folder.name == "people"
        assert found.scored == {SELECT: awaited // 10, REPORT: awaited // 10}
        assert found.trained == awaited - 2 * (awaited // 10)
        assert found.data_s > 0


def test_the_losses_of_a_split_are_weighted_as_those_of_the_training(tiny_spec):
    run = typical_trials(tiny_spec())["sgd"].train
    network = pose_costs.initial_network(run, torch.device("cpu"), open_split(run.data, SELECT).skeleton)[0]
    plain, heavy = (
        pose_training._validated(run.model_copy(update={"foreground_weight": weight}), network, SELECT)
        for weight in (1.0, 4.0)
    )
    assert heavy.loss > plain.loss > 0
    assert heavy.reference_loss > plain.reference_loss > 0
    assert plain.scores is not None


def test_of_a_slow_network_a_single_image_is_asked_first(tiny_spec, monkeypatch):
    monkeypatch.setattr(pose_costs, "SLOW_GMACS", 0.0)
    pieces = []
    trials = typical_trials(tiny_spec())
    probe.costs_of(trials, 0.0, pieces.append)
    assert [each.step_by for each in pieces[:3]] == ["one image", "first step", "steps"]
    assert pieces[0].step_s.keys() == trials.keys()
    assert all(each.setup_s > 0 and each.step_s["sgd"] > 0 for each in pieces)


def test_each_optimizer_and_the_evaluation_get_the_weights_of_the_start(tiny_spec, monkeypatch):
    """Whatever the optimizers that are timed before do to them."""
    runs = {name: trial.train for name, trial in typical_trials(tiny_spec()).items()}
    begun, scored = [], []

    class Ruinous(torch.optim.SGD):
        def __init__(self, parameters):
            super().__init__(parameters, lr=0.01)
            weights = [weight for group in self.param_groups for weight in group["params"]]
            begun.append(float(sum(weight.detach().abs().sum() for weight in weights)))
            assert all(weight.grad is None for weight in weights)

        @torch.no_grad()
        def step(self, closure=None):
            for group in self.param_groups:
                for weight in group["params"]:
                    weight.fill_(1e3)

    def validate(network, *arguments, **more):
        scored.append(float(sum(weight.detach().abs().sum() for weight in network.parameters())))
        return pose_costs_validate(network, *arguments, **more)

    pose_costs_validate = pose_costs.validate
    monkeypatch.setattr(pose_costs, "validate", validate)
    measured = pose_costs.measure_costs(runs, dict.fromkeys(runs, Ruinous), seconds=60, on_costs=lambda _: None)
    assert measured.evaluated and measured.step_s.keys() == runs.keys()
    assert len(begun) == 1 + len(runs), "the training, and each optimizer"
    assert len({*begun, *scored}) == 1


def test_a_study_without_an_evaluation_takes_at_least_so_long(valley_spec, monkeypatch):
    spec = valley_spec()
    costs = Costs(1.0, {"sgd": 11.0, "adam": 11.0}, {}, 0.0, 10**9, 0)
    shown = plan_output(Prepared(spec.name, (spec,), measured=Measured(costs, {SELECT: 9, REPORT: 9}, 0.0, 100)))
    [said] = [block for block in shown.blocks if isinstance(block, str) and "Estimated time" in block]
    assert said.startswith(
        "One step of tests.support.valley:Valley took 11 s; the evaluation was not measured (the 30 s were used up). "
        "Estimated time: at least "
    ), said
    assert shown.document["estimate"]["evaluation_measured"] is False
