"""Milestones and plateaus; settings that contradict each other; weights to start from."""

import math
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from pydantic import ValidationError
from torch import nn
from torch.optim.lr_scheduler import ReduceLROnPlateau

from posemodel.config import PlateauSettings, TrainSettings
from posemodel.errors import CheckpointError, SettingsError
from posemodel.network import build_network
from posemodel.network.weights import CheckpointInfo, load_network, save_weights
from posemodel.training.loop import train
from posemodel.training.run import LAST_FILE
from posemodel.training.schedule import Plateau, StepBudget, crossed, decay, schedule_factor
from tests.support.training_runs import CPU, KilledError, Log, Sgd, equal, killed_after, settings_for, weights

pytestmark = pytest.mark.usefixtures("one_thread")


def test_milestones_by_hand() -> None:
    """Of 280 epochs of 3 steps, at 100, 200 and 260: from steps 300, 600 and 780 on."""
    factor = schedule_factor("multistep", 0, 840, milestones=(100 / 280, 200 / 280, 260 / 280), gamma=0.333)
    found = [factor(step) for step in (0, 299, 300, 599, 600, 779, 780, 839)]
    assert found == pytest.approx([1, 1, 0.333, 0.333, 0.333**2, 0.333**2, 0.333**3, 0.333**3])
    assert decay("multistep", 0.5, 0.0, milestones=(0.5,), gamma=0.2) == 0.2
    assert schedule_factor("multistep", 0.5, 4, milestones=(0.75,), gamma=0.2)(0) == pytest.approx(1 / 3), "warm-up"


def test_fixed_is_1_from_the_first_step_on() -> None:
    factor = schedule_factor("fixed", 0.5, 10)
    assert {factor(step) for step in range(10)} == {1.0}


def test_an_update_of_several_steps_is_due_where_it_reaches_or_passes_a_multiple() -> None:
    ends = [3, 5, 10, 11, 20]
    pairs = list(zip(ends, [0, *ends], strict=False))
    assert [step for step, before in pairs if crossed(step, before, 5)] == [5, 10, 20]
    assert [step for step, before in pairs if crossed(step, before, 4)] == [5, 10, 20]
    budget = StepBudget(TrainSettings(data=Path(), steps=20, ap_every=7), 20, 5)
    assert [(step, *budget.due(step, before)) for step, before in pairs] == [
        (3, True, False),
        (5, True, False),
        (10, True, True),
        (11, False, False),
        (20, True, True),
    ]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"schedule": "multistep"}, "needs milestones"),
        ({"milestones": (0.5,)}, "no other takes them"),
        ({"schedule": "multistep", "milestones": (0.7, 0.5)}, "milestones must rise"),
        ({"schedule": "multistep", "milestones": (3.0,)}, "milestones"),
        ({"weights": "a", "backbone_weights": "b"}, "leave backbone_weights out"),
        ({"ema_decay": 1.0}, "ema_decay"),
        ({"accumulate": 0}, "accumulate"),
        ({"groups": {"later_stage": 2}}, "later_stage"),
    ],
)
def test_settings_that_contradict_each_other(given: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        TrainSettings(data=Path(), steps=1, **given)


def test_a_plateau_is_pytorch_s() -> None:
    """On losses that fall, rest, rise and nearly rest, with a cooldown; the rate is never lowered without a reason."""
    losses = [5, 4, 4.1, 4, 3.9999, 4, 4, 4, 4, 4, 3, 3.5, 3.4, 3.3, 3.2, 3.1, 3, 2.9, 3, 3, 3, 3, 3, 3, 3, math.inf]
    settings = PlateauSettings(patience=2, cooldown=2, threshold=1e-3)
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=1.0)
    theirs = ReduceLROnPlateau(optimizer, factor=0.5, patience=2, cooldown=2, threshold=1e-3)
    ours = Plateau()
    for loss in losses:
        ours.add_loss(loss, settings, 0.5)
        theirs.step(loss)
        assert ours.factor == pytest.approx(optimizer.param_groups[0]["lr"])
    assert ours.factor <= 1 / 8


def test_a_run_on_a_plateau_validates_each_epoch_lowers_its_rate_and_resumes(tiny_set: Path, tmp_path: Path) -> None:
    """Three steps an epoch. A threshold near 1 and no patience: each validation but the first lowers the rate, from
    the second epoch on, since the front is frozen in the first. The next step's rate has been set by then.
    """
    settings = settings_for(
        tiny_set,
        steps=12,
        val_every=None,
        schedule="plateau",
        warmup=0,
        gamma=0.5,
        frozen_backbone_epochs=1,
        plateau={"patience": 0, "threshold": 0.99},
        checkpoint_every=10,
    )
    straight, resumed = Log(), Log()
    train(settings, Sgd, out=tmp_path / "straight", on_metrics=straight)
    assert list(straight.of("val_loss")) == [3, 6, 9, 12]
    assert list(straight.of("lr").values()) == pytest.approx([1e-2] * 10 + [5e-3] * 2)
    with pytest.raises(KilledError):
        train(settings, Sgd, out=tmp_path / "killed", on_metrics=killed_after(10))
    train(settings, Sgd, out=tmp_path / "killed", resume=True, on_metrics=resumed)
    assert list(resumed.of("lr").values()) == pytest.approx([5e-3] * 2)
    assert equal(weights(tmp_path / "straight" / LAST_FILE), weights(tmp_path / "killed" / LAST_FILE))


def test_when_a_plateau_is_validated() -> None:
    base = {"data": Path(), "schedule": "plateau", "steps": 100}
    budget = StepBudget(TrainSettings(**base), 100, 7)
    assert [step for step in range(1, 20) if budget.due(step, step - 1)[0]] == [7, 14]
    budget = StepBudget(TrainSettings(**base, val_every=5), 100, 7)
    assert [step for step in range(1, 20) if budget.due(step, step - 1)[0]] == [5, 10, 15]


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("weights") / "begin.safetensors"
    save_weights(path, build_network("small", seed=77), CheckpointInfo("small", 64, {}))
    return path


def test_a_run_starts_from_given_weights_and_says_which(tiny_set: Path, tmp_path: Path, checkpoint: Path) -> None:
    still = partial(torch.optim.SGD, lr=0.0)
    settings = settings_for(tiny_set, steps=1, weights=checkpoint)
    result = train(settings, still, out=tmp_path / "run")
    for name, parameter in build_network("small", seed=77).named_parameters():
        assert torch.equal(parameter, result.network.get_parameter(name)), name
    record = load_network(tmp_path / "run" / LAST_FILE, CPU)[1].training["initial_weights"]
    assert record["file"] == "begin.safetensors"
    assert len(record["sha256"]) == 64
    moved = tmp_path / "moved" / "begin.safetensors"
    moved.parent.mkdir()
    moved.write_bytes(checkpoint.read_bytes())
    again = settings_for(tiny_set, steps=1, weights=moved)
    assert train(again, still, out=tmp_path / "run", resume=True).status == "complete", "the file may have moved"
    save_weights(moved, build_network("small", seed=78), CheckpointInfo("small", 64, {}))
    with pytest.raises(CheckpointError, match="initial_weights"):
        train(again, still, out=tmp_path / "run", resume=True)


def test_weights_of_another_network_are_refused(tiny_set: Path, checkpoint: Path) -> None:
    with pytest.raises(SettingsError, match=r"begin\.safetensors is of small, not of rtpose_vgg"):
        train(settings_for(tiny_set, network="rtpose_vgg", weights=checkpoint), Sgd)
