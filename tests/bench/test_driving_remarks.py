"""What a report says of optimizers that need more than `step()`; panels and points of its figures."""

import json
import re

import matplotlib.pyplot as plt
import pytest

from bench.kinds.joint.importances import importances
from bench.kinds.optimizers.report import figures
from bench.report.driving_note import driving_of, driving_remarks
from tests.bench.test_report import pages, result_of
from tests.support.joint_records import findings_of, made_up, with_fresh_seeds
from tests.support.tuned_records import tuned

MODES = "step(), train() and eval()"


def one_line(text):
    return re.sub(r"\s+", " ", text)


@pytest.fixture(scope="module")
def spec(make_spec):
    return make_spec(optimizers=["adam", "sgd"], trials=8, seeds=2, tunings=3, steps=20, tune_steps=10, evaluations=4)


@pytest.fixture(scope="module")
def records_and_curves(spec):
    return tuned(spec)


def driven(records, name, words):
    return records.assign(driving=[words if each == name else None for each in records["optimizer"]])


def test_a_report_says_that_statistics_are_computed_for_weights_that_are_judged(spec, records_and_curves, tmp_path):
    records, curves = records_and_curves
    text = one_line(pages(result_of(spec, driven(records, "adam", MODES), curves), tmp_path / "modes"))
    assert (
        "adam: judged by other weights than those that are trained. Batch norm's statistics for these are computed "
        "from 64 training images without augmentation before each evaluation, of whose time that is a part."
    ) in text
    for name, of_others in (("plain", records), ("sam", driven(records, "adam", "gradients, then step(closure)"))):
        assert "judged by other weights" not in pages(result_of(spec, of_others, curves), tmp_path / name)


def test_a_joint_report_says_so_too():
    records = driven(with_fresh_seeds(made_up()), "adam", MODES)
    found = findings_of(records, importances=importances([], ("ap", "images_per_s")))
    (section,) = [each for each in found.appendix if each.title == "What was run"]
    assert "adam: judged by other weights" in " ".join(map(str, section.parts))


def test_pairs_train_first_layers_and_heads_as_matrices_too(records_and_curves):
    records, _ = records_and_curves
    (remark,) = driving_remarks(records, ["adam", "muon+adamw"], ["adam", "muon+adamw"], of_pose=True)
    assert remark.startswith("muon+adamw: the first trains all weights of two and more dimensions, first layers and")
    assert driving_remarks(records, ["adam"], ["adam"], of_pose=True) == []


def test_the_batches_of_somebody_s_own_workload_are_named(records_and_curves):
    records = driven(records_and_curves[0], "adam", MODES)
    assert driving_of(records, "adam") == MODES and driving_of(records, "sgd") is None
    (remark,) = driving_remarks(records, ["adam"], ["adam"], of_pose=False)
    assert "computed from the batches of the latest steps before each evaluation" in remark


def test_the_caption_names_optimizers_without_a_panel(spec, records_and_curves, tmp_path):
    records, curves = records_and_curves
    without_rate = [
        json.dumps({"momentum": 0.5}) if name == "adam" else text
        for name, text in zip(records["optimizer"], records["hyperparameters"], strict=True)
    ]
    result = result_of(spec, records.assign(hyperparameters=without_rate), curves)
    assert "No panel, since no rate was searched: adam." in one_line(pages(result, tmp_path / "without"))
    assert "No panel" not in pages(result_of(spec, records, curves), tmp_path / "all")


def test_a_run_of_one_evaluation_is_drawn_as_a_point(spec, records_and_curves):
    records, curves = records_and_curves
    last = curves.sort_values("step").groupby("trial_id").tail(1)
    for shown, expected in ((last, "o"), (curves, "None")):
        figure = figures.loss_curves(result_of(spec, records, shown))
        runs = [line for line in figure.axes[0].lines if line.get_linewidth() == 0.9]
        assert runs and {line.get_marker() for line in runs} == {expected}
        plt.close(figure)


def test_closures_at_other_weights_are_judged_so_too(records_and_curves):
    records = driven(records_and_curves[0], "adam", "step(closure) at other weights")
    (remark,) = driving_remarks(records, ["adam", "sgd"], ["adam", "sgd"], of_pose=True)
    assert remark.startswith("adam: judged by other weights")
