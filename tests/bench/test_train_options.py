"""`posebench train` with recipes, weights to start from, averages and accumulated batches, from the command line."""

import json
import shlex
from pathlib import Path

import pytest
import torch

from bench.cli.actions.train_output import next_commands
from posemodel.config import TrainSettings
from posemodel.network import build_network
from posemodel.network.weights import CheckpointInfo, load_network, save_weights
from tests.support.long_tests import long

SMALL = ("--network", "small", "--steps", 2, "--size", 64, "--device", "cpu")


@pytest.fixture
def trained(posebench, tiny_set, tmp_path):
    """Train, and return what the checkpoint says of it and what stderr said."""

    def run(*arguments, name="run"):
        out = tmp_path / name
        code, said, err = posebench("train", "--data", tiny_set, "--out", out, "--json", *arguments)
        assert code == 0, err
        record = load_network(out / "last.safetensors", torch.device("cpu"))[1].training
        return record | {"document": json.loads(said)}, err

    return run


def test_a_recipe_with_what_is_typed_before_it(trained):
    record, err = trained("--recipe", "2017", *SMALL, "--batch-size", 3, "--bias-lr", 1, "--wd", 0)
    assert (record["recipe"], record["network"], record["steps"], record["epochs"]) == ("2017", "small", 2, None)
    assert record["loader"]["batch_size"] == 3
    assert (record["groups"]["bias_lr"], record["groups"]["later_stage_lr"]) == (1, 4)
    assert (record["loss_reduction"], record["schedule"], record["warmup"]) == ("sum", "multistep", 0)
    assert record["augment"]["rotation"] == 40
    assert record["optimizer"] == "sgd"
    assert record["hyperparameters"] == {"lr": 4e-5, "momentum": 0.9, "weight_decay": 0.0}
    assert "frozen" not in err


def test_a_default_that_is_typed_is_typed(trained):
    """8 images, no weight decay and a cosine are what a run has without a recipe; here they are asked for."""
    typed = ("--batch-size", 8, "--schedule", "cosine", "--loss-reduction", "cell", "--augment", "--seed", 0)
    record, _ = trained("--recipe", "2017", *SMALL, *typed)
    assert (record["loader"]["batch_size"], record["schedule"], record["loss_reduction"]) == (8, "cosine", "cell")
    assert record["milestones"] == []


def test_another_optimizer_leaves_the_recipe_s_numbers(trained):
    record, _ = trained("--recipe", "2017", *SMALL, "--optimizer", "adam")
    assert record["hyperparameters"] == {"weight_decay": 0.0}
    record, _ = trained("--recipe", "2017", *SMALL, "-O", "one_minus_momentum=0.05", "--lr", 1e-3, name="own")
    assert record["hyperparameters"] == {"momentum": 0.95, "lr": 1e-3, "weight_decay": 5e-4}


def test_a_resumed_run_keeps_the_schedule_that_it_was_begun_with(posebench, tiny_set, tmp_path):
    """Earlier versions trained every optimizer with the cosine unless another schedule was typed."""

    def run(*more, name="run", optimizer="adafactor"):
        out = ("--data", tiny_set, "--out", tmp_path / name, "--optimizer", optimizer)
        return posebench("train", *SMALL, *out, *more)

    def schedule(name):
        return load_network(tmp_path / name / "last.safetensors", torch.device("cpu"))[1].training["schedule"]

    assert run("--schedule", "cosine")[0] == 0
    code, _, err = run("--resume")
    assert code == 0, err
    assert "schedule cosine, with which this run was begun" in err
    assert schedule("run") == "cosine"
    code, _, err = run("--resume", "--schedule", "fixed")
    assert (code, "(schedule: 'cosine' -> 'fixed')" in err) == (1, True), "what is typed is typed"

    assert run(name="own")[0] == 0
    code, _, err = run("--resume", name="own")
    assert (code, "schedule fixed, that of the method" in err, schedule("own")) == (0, True, "fixed")
    assert run("--schedule", "constant", name="adam", optimizer="adam")[0] == 0
    code, _, err = run("--resume", name="adam", optimizer="adam")
    assert (code, "(schedule: 'constant' -> 'cosine')" in err) == (1, True)
    code, _, err = run("--resume", name="none")
    assert (code, "no such folder" in err) == (1, True), err


def test_a_frozen_front_without_weights_is_pointed_out(trained):
    record, err = trained("--recipe", "tensorboy", "--network", "small", "--steps", 1, "--size", 64, "--batch-size", 2)
    assert record["frozen_backbone_epochs"] == 5
    assert "the frozen backbone has random weights" in err


def test_a_frozen_front_with_weights_is_not(trained, tmp_path):
    begin = tmp_path / "begin.safetensors"
    save_weights(begin, build_network("small", seed=1), CheckpointInfo("small", 64, {}))
    record, err = trained(
        *("--recipe", "tensorboy", "--network", "small", "--steps", 1, "--size", 64, "--batch-size", 2),
        *("--weights", begin),
    )
    assert record["frozen_backbone_epochs"] == 5
    assert "frozen" not in err


def test_own_settings_reach_the_run(trained):
    record, _ = trained(
        *SMALL,
        *("--batch-size", 2, "--accumulate", 3, "--ema-decay", 0.9, "--later-stage-lr", 4, "--no-norm-weight-decay"),
        *("--schedule", "multistep", "--milestones", "0.25,0.5", "--gamma", 0.5, "--precision", "bf16"),
    )
    assert (record["accumulate"], record["ema_decay"], record["saved_weights"]) == (
        3,
        0.9,
        "exponential moving average",
    )
    assert (record["groups"]["later_stage_lr"], record["groups"]["norm_weight_decay"]) == (4, False)
    assert (record["milestones"], record["gamma"]) == ([0.25, 0.5], 0.5)
    assert record["document"]["steps"] == 2
    record, _ = trained(*SMALL, "--schedule", "plateau", "--patience", 2, "--cooldown", 1, "--batch-size", 2, name="p")
    assert record["plateau"] == {"patience": 2, "cooldown": 1, "threshold": 1e-4}


def test_weights_bring_their_network_along(trained, posebench, tiny_set, tmp_path):
    begin = tmp_path / "begin.safetensors"
    save_weights(begin, build_network("lightweight", seed=1), CheckpointInfo("lightweight", 64, {}))
    record, _ = trained("--weights", begin, "--steps", 1, "--size", 32, "--batch-size", 2, "--device", "cpu")
    assert record["network"] == "lightweight"
    assert record["initial_weights"]["file"] == "begin.safetensors"
    code, _, err = posebench("train", "--data", tiny_set, "--weights", begin, *SMALL, "--out", tmp_path / "other")
    assert code == 2
    assert "is of lightweight, not of small" in err


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("--recipe", "2018"), 2, "Did you mean 2017?"),
        (("--schedule", "multistep"), 2, "needs milestones"),
        (("--schedule", "multistep", "--milestones", "0.5;0.7"), 2, "--milestones 0.5;0.7: must be shares"),
        (("--milestones", "0.5"), 2, "no other takes them"),
        (("--ema-decay", "1"), 2, "ema_decay"),
        (("--loss-reduction", "median"), 2, "loss_reduction"),
        (("--weights", "none.safetensors"), 1, "none.safetensors: no such file"),
        (("--accumulate", "0"), 2, "--accumulate"),
        (("--accumulate", "9"), 2, "a step takes 72 images"),
    ],
)
def test_mistakes_are_refused_in_words(posebench, tiny_set, hermetic, arguments, code, message):
    found, out, err = posebench("train", "--data", tiny_set, "--steps", 1, "--size", 64, *arguments)
    assert (found, out) == (code, "")
    assert message in " ".join(err.replace("│", " ").split())
    assert "Traceback" not in err
    assert [path for path in hermetic.rglob("*") if path.is_file()] == []


@pytest.mark.parametrize("threads", [2, long(1)])
def test_threads_are_those_asked_for(trained, threads):
    trained(*SMALL, "--steps", 1, "--size", 32, "--threads", threads)
    assert torch.get_num_threads() == threads


def test_what_stands_in_for_select_is_held_out(trained):
    record, _ = trained(*SMALL, "--hold-out-select")
    assert record["hold_out_select"] is True


def test_it_ends_with_the_commands_that_use_its_checkpoint(posebench, tiny_set, tmp_path):
    out = tmp_path / "a run"
    code, said, err = posebench("train", "--data", tiny_set, "--out", out, *SMALL, "--val-split", "train")
    assert code == 0, err
    score, predict = said.splitlines()[-2:]
    checkpoint = shlex.quote(str(out / "best.safetensors"))
    assert score == f"Score it: posebench eval --checkpoint {checkpoint} --data {tiny_set} --split train"
    assert predict == f"Try it on pictures: posebench predict --checkpoint {checkpoint} --draw drawn IMAGE"
    code, _, err = posebench(*shlex.split(score.partition("posebench ")[2]), "--device", "cpu")
    assert code == 0, err


def test_the_commands_name_a_data_set_as_the_training_did():
    files = {"val_annotations": Path("val.json"), "val_images": Path("pictures")}
    settings = TrainSettings(data=None, files=files, steps=1, skip_bad=True, labelled_only=True)
    assert next_commands(Path("last.safetensors"), settings)[0] == (
        "Score it: posebench eval --checkpoint last.safetensors --val-annotations val.json --val-images pictures "
        "--skip-bad --labelled-only"
    )
