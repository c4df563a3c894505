"""The command that a report gives to paste: it asks `posebench train` for the trial that was."""

import ast
import dataclasses
import shlex
from pathlib import Path

import pytest
from typer.testing import CliRunner

from bench.cli.actions.train_settings import resolve
from bench.cli.app import app
from bench.optimizers import optimizer_entry
from bench.optimizers.line import optimizer_line
from bench.report.python_call import python_call
from bench.report.train_command import command_lines, cpu_threads, repeat_note, train_command
from bench.trials.spec import TrialSpec
from posemodel.config import AugmentSettings, DataFiles, LoaderSettings, TrainSettings

DATA = Path("DIR")
CASES = {
    "plain": ({}, {}, {}),
    "all else": (
        {"optimizer": "sgd", "hyperparameters": {"effective_lr": 0.5, "one_minus_momentum": 0.05},
         "weight_decay": 1e-4},
        {"seconds": 60.0, "steps": None, "precision": "bf16", "schedule": "step", "foreground_weight": 4.0,
         "skip_bad": True, "exif": "follow", "augment": AugmentSettings(enabled=False), "size": None},
        {"num_workers": 2, "persistent_workers": True, "pin_memory": True, "prefetch_factor": 5,
         "start_method": "spawn"},
    ),
    "a tuple": ({"hyperparameters": {"lr": 0.0079018, "one_minus_beta1": 0.27}}, {}, {}),
    "a class of torch": ({"optimizer": "torch.optim.AdamW", "hyperparameters": {"lr": 1e-3, "amsgrad": True}}, {}, {}),
    "a beta near 1": ({"hyperparameters": {"lr": 1e-3, "one_minus_beta2": 1.2345e-7}}, {}, {}),
    "all of the study's": (
        {},
        {"hold_out_select": True, "val_images": 7, "device": "cpu", "weights": Path("a b.safetensors")},
        {},
    ),
    "a backbone": ({}, {"network": "rtpose_vgg", "backbone_weights": Path("vgg19.pth"), "val_split": "val"}, {}),
    "a rate of 17 digits": ({"hyperparameters": {"lr": 0.0012345678901234567, "one_minus_beta1": 0.1 / 3}}, {}, {}),
    "a tuned weight decay": ({"hyperparameters": {"lr": 1e-3, "weight_decay": 3e-5}}, {}, {}),
}  # fmt: skip


def trial(its, run, loader):
    given = {"optimizer": "adam", "hyperparameters": {"lr": 0.002}, "phase": "confirm", "index": 0, "data_digest": "d"}
    length = {"network": "small", "size": 96, "steps": 300, "seed": 1001, "val_split": "report"}
    train = TrainSettings(data="people", **(length | run), loader=LoaderSettings(batch_size=4, **loader))
    return TrialSpec(**(given | its), train=train)


def words_of(command):
    """As a shell reads it: a backslash at a line's end joins it with the next, which shlex does not know."""
    return shlex.split(command.replace("\\\n", ""))


def asked(command, monkeypatch):
    """What the command's options resolve to."""
    found = []
    monkeypatch.setattr("bench.cli.actions.train.train_network", lambda *asked: found.append(resolve(*asked)))
    words = words_of(command)
    assert words[:2] == ["posebench", "train"]
    done = CliRunner().invoke(app, words[1:])
    assert done.exit_code == 0, done.output
    return found[0]


@pytest.mark.parametrize("name", CASES)
def test_the_command_asks_for_the_trial_that_was(name, monkeypatch):
    its = trial(*CASES[name])
    resolved = asked(train_command(its, DATA), monkeypatch)
    assert resolved.settings.model_copy(update={"data": its.train.data}) == its.train
    entry = optimizer_entry(its.optimizer)
    theirs = entry.resolve({"weight_decay": its.weight_decay, **its.hyperparameters})
    ours = entry.resolve(resolved.hyperparameters)
    assert resolved.optimizer == its.optimizer
    assert theirs == ours, "to the last digit"


def test_its_lines_fit_a_terminal_and_defaults_are_left_out():
    command = train_command(trial(*CASES["all else"]), DATA)
    assert max(map(len, command.splitlines())) <= 76
    assert train_command(trial({}, {}, {}), DATA).replace("\\\n    ", "") == (
        "posebench train --data DIR --network small --size 96 --optimizer adam --lr 0.002 --batch-size 4 --steps 300 "
        "--precision fp32 --val-split report --seed 1001"
    )


def test_a_line_has_74_characters_with_its_end_at_most():
    fits, too_long = (["--network", "x" * length] for length in (37, 38))
    assert command_lines(Path("D"), [fits, ["--seed", "1"]]).split("\n") == [
        f"posebench train --data D --network {'x' * 37} \\",
        "    --seed 1",
    ]
    assert command_lines(Path("D"), [too_long, ["--seed", "1"]]).split("\n") == [
        "posebench train --data D \\",
        f"    --network {'x' * 38} --seed 1",
    ]


def test_what_a_user_has_named_is_one_word():
    name = "x.Y; rm"
    entry = dataclasses.replace(optimizer_entry("adam"), name=name)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("bench.report.train_command.optimizer_entry", lambda _: entry)
        command = train_command(trial({"optimizer": name}, {}, {}), DATA)
    words = words_of(command)
    assert words[words.index("--optimizer") + 1] == name


def test_a_cpu_is_asked_for_the_threads_that_the_trial_had():
    assert cpu_threads(2.0, "cpu") == 2
    assert cpu_threads(2, "cuda") is None
    assert cpu_threads(float("nan"), "cpu") is None
    assert cpu_threads(None, None) is None
    assert train_command(trial({}, {}, {}), DATA, threads=2).endswith("--threads 2")


def test_the_note_says_how_near_the_command_comes():
    assert repeat_note(trial({}, {"device": "cpu"}, {}), 0.1234) == (
        "Repeats the confirm trial of seed 1001: AP 0.123 on the report split, on the same machine and versions."
    )
    assert repeat_note(trial({}, {"device": "cuda"}, {}), 0.1234).endswith("up to the rounding of a GPU.")
    timed = repeat_note(trial({}, {"steps": None, "seconds": 5.0}, {}), 0.1234)
    assert timed.startswith("Trains as the confirm trial of seed 1001: AP 0.123")
    assert timed.endswith("the AP will differ.")
    assert repeat_note(trial({}, {}, {}), None) == repeat_note(trial({}, {}, {}), float("nan")) == ""


def test_other_workloads_have_no_command():
    own = trial({}, {}, {})
    assert train_command(own.model_copy(update={"train": LoaderSettings()}), DATA) == ""


def test_a_long_call_in_python_stands_in_lines_that_say_the_same():
    short = "DataLoader(dataset, batch_size=4)"
    assert python_call(short) == short
    long = "torch.optim.SGD(model.parameters(), lr=0.081567, momentum=0.731023, nesterov=True, weight_decay=0.0001)"
    wrapped = python_call(long)
    assert max(map(len, wrapped.splitlines())) <= 76
    assert ast.dump(ast.parse(wrapped)) == ast.dump(ast.parse(long))
    assert python_call("x" * 100) == "x" * 100


def test_a_folder_whose_name_is_a_number_is_no_number(monkeypatch):
    files = DataFiles(val_annotations=Path("-v 1.json"), val_images=Path("5"))
    resolved = asked(train_command(trial({}, {"files": files}, {}), DATA), monkeypatch)
    assert resolved.settings.files == files
    assert resolved.settings.val_images is None


def test_a_beta_near_1_keeps_its_difference_to_1():
    """Six digits would make it 1, which Adam refuses."""
    line = optimizer_line(optimizer_entry("adam"), {"lr": 1e-3, "one_minus_beta2": 1.2345e-7}, 0.0)
    assert line.endswith("betas=(0.9, 0.99999987655))")


def test_a_class_for_matrices_only_has_a_line():
    line = optimizer_line(optimizer_entry("torch.optim.Muon"), {"lr": 0.02}, 0.1)
    assert line.startswith("torch.optim.Muon(model.parameters(), lr=0.02")
