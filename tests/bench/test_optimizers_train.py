"""`posebench train` with any optimizer and with hyperparameters that are no numbers."""

import json
import shutil
from pathlib import Path

import pytest
import torch

REPOSITORY = Path(__file__).resolve().parents[2]
RUN = ("--steps", 2, "--size", 64, "--batch-size", 2, "--device", "cpu", "--json")


def test_a_run_takes_a_class_of_torch_with_words_tuples_and_flags_and_goes_on(posebench, tiny_set, tmp_path):
    run = ("train", "--data", tiny_set, "--optimizer", "AdamW", "--lr", 1e-3, *RUN[2:], "--out", tmp_path / "run")
    values = ("-O", "betas=(0.8,0.99)", "-O", "amsgrad=true", "-O", "eps=1e-6")
    code, _, err = posebench(*run, *values, "--steps", 1)
    assert code == 0, err
    state = torch.load(tmp_path / "run" / "resume.pt", weights_only=True)
    (group,) = state["optimizer"]["param_groups"]
    expected = {"betas": (0.8, 0.99), "amsgrad": True, "eps": 1e-6, "weight_decay": 0.0, "fused": True}
    assert {name: group[name] for name in expected} == expected
    code, out, err = posebench(*run, *values, "--steps", 1, "--resume")
    assert (code, json.loads(out)["steps"]) == (0, 1), err
    code, _, err = posebench(*run, "-O", "betas=(0.9,0.99)", "--steps", 1, "--resume")
    assert code == 1
    assert "betas" in err


@pytest.mark.parametrize("name", ["adabound", "amsbound", "adaboundw", "adabound_reference", "own_rules.Downhill"])
def test_a_run_takes_our_own_and_the_user_s_own(posebench, tiny_set, tmp_path, name):
    shutil.copy(REPOSITORY / "tests" / "support" / "toy_optimizer.py", "own_rules.py")
    with Path("own_rules.py").open("a") as file:
        file.write("\n\nclass Downhill(SignSGD):\n    pass\n")
    code, out, err = posebench("train", "--data", tiny_set, "--optimizer", name, *RUN, "--out", tmp_path / "run")
    assert code == 0, err
    assert (json.loads(out)["status"], json.loads(out)["steps"]) == ("complete", 2)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--optimizer", "adam", "-O", "bta=0.9"), "did you mean betas?"),
        (("--optimizer", "adam", "-O", "betas=0.9"), "betas must be 2 numbers, got 0.9"),
        (("--optimizer", "adam", "-O", "betas=(0.9,2)"), "Invalid beta parameter at index 1: 2.0"),
        (("--optimizer", "adam", "-O", "beta1"), "--option beta1: must be NAME=VALUE"),
        (("--optimizer", "adam", "-O", "beta1=?"), "--option beta1=?: '?' must be a number, true, false"),
        (("--optimizer", "adam", "-O", "eps=1", "-O", "eps=2"), "--option eps=2: eps is given twice"),
        (("--optimizer", "adam", "-O", "weight_decay=0.1"), "weight_decay has its own option: give --wd 0.1"),
        (("--optimizer", "adam", "--lr", "1e-3", "-O", "lr=0.1"), "lr has its own option: give --lr 0.1"),
        (("--optimizer", "sparseadam"), "optimizer sparseadam: cannot train a convolutional network: it accepts only"),
        (("--optimizer", "muon"), "Muon only supports 2D parameters"),
        (("--optimizer", "no_module.Lion"), "there is no module 'no_module'"),
        (("--optimizer", "adamwx"), "did you mean adamw?"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_is_written(posebench, tiny_set, tmp_path, arguments, message):
    code, out, err = posebench("train", "--data", tiny_set, *RUN, "--out", tmp_path / "run", *arguments)
    assert (code, out) == (2, "")
    assert message in err
    assert "Traceback" not in err
    assert not (tmp_path / "run").exists()
