"""The preset `full` takes about eight hours by what `reports/networks-gpu` measured: neither changes alone."""

import csv
import json
import re
from pathlib import Path

import pytest

from bench.kinds.optimizers.estimate import add_up
from bench.settings.presets import preset_path
from bench.study.probe import Measured
from bench.workloads.protocol import REPORT, SELECT, Costs
from posemodel.synthetic import split_sizes
from tests.support.asked import prepared

REPORTED = Path(__file__).resolve().parents[2] / "reports" / "networks-gpu"
HOURS, CLOSE = 8, 0.03
START_S = 10.0
"""Of a process: interpreter and libraries. It counts once."""


@pytest.fixture(scope="module")
def runs():
    with (REPORTED / "runs.csv").open() as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def result():
    return json.loads((REPORTED / "result.json").read_text())


@pytest.fixture
def spec():
    return prepared("optimizers", {"device": "cpu", "name": "full"}, None, "full", None).spec


@pytest.fixture
def typical(runs, spec):
    """The run of the preset's network and precision."""
    return next(each for each in runs if (each["network"], each["precision"]) == (spec.network, spec.precision))


def hours(spec, typical, runs, result):
    """The plan added up: training at the measured speed, evaluation of an image as slow as the slowest network's.

    That of the preset's own network found nobody yet, and so had little to decode.
    """
    scored = result["spec"]["evaluations"] * result["spec"]["scored_images"]
    evaluation, training = (float(typical[name]) for name in ("eval_seconds", "train_seconds"))
    costs = Costs(
        start_s=START_S,
        setup_s=float(typical["wall_s"]) - training - evaluation,
        step_s=dict.fromkeys(spec.optimizers, spec.batch_size / float(typical["images_per_s"])),
        score_s={SELECT: 0.0, REPORT: 0.0},
        image_s=max(float(each["eval_seconds"]) for each in runs) / scored,
        memory_bytes=0,
        gpu_memory_bytes=0,
    )
    sizes = split_sizes(20000)
    images = {SELECT: sizes["select"], REPORT: sizes["val"]}
    return add_up(spec, Measured(costs, images, 0.0, sizes["train"]), 1).seconds / 3600


def test_what_was_measured_is_what_the_preset_trains(spec, result):
    assert (spec.network, spec.size, spec.batch_size) == ("rtpose_vgg", result["spec"]["size"], 32)
    assert result["spec"]["batch_size"] == spec.batch_size
    assert "synthetic_images = 20000" in preset_path("optimizers", "full").read_text()


def test_the_full_preset_takes_about_eight_hours(spec, typical, runs, result):
    assert hours(spec, typical, runs, result) == pytest.approx(HOURS, rel=CLOSE)


@pytest.mark.parametrize("change", [{"tunings": 5}, {"steps": 3000}, {"tune_steps": 800}, {"seeds": 2}, {"trials": 24}])
def test_another_size_does_not(spec, typical, runs, result, change):
    assert hours(spec.model_copy(update=change), typical, runs, result) > (1 + CLOSE) * HOURS


def test_another_speed_does_not(spec, typical, runs, result):
    slower = typical | {"images_per_s": float(typical["images_per_s"]) * 0.85}
    assert hours(spec, slower, runs, result) > (1 + CLOSE) * HOURS


def test_the_file_says_what_it_was_sized_by(typical, result):
    said = " ".join(preset_path("optimizers", "full").read_text().replace("#", " ").split())
    assert f"about {HOURS} hours" in said and "nobody has run it yet" in said
    assert f"{float(typical['images_per_s']):.0f} images/s" in said
    assert re.search(r"measured for reports/networks-gpu on one (\S+):", said)[1] in result["machine"]["gpu"]
