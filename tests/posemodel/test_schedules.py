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
from posemodel.training.schedule import Plateau, StepBudget, TimeBudget, crossed, decay, schedule_factor
from posemodel.training.throughput import ThroughputMeter, Totals
from tests.support.training_runs import CPU, KilledError, Log, Sgd, equal, killed_after, settings_for, weights

pytestmark = pytest.mark.usefixtures("one_thread")


def test_milestones_by_hand() -> None:
    """Of 280 epochs of 3 steps, at 100, 200 and 260: from steps 300, 600 and 780 on."""
    factor = schedule_factor("multistep", 0, 840, milestones=(100 / 280, 200 / 280, 260 / 280), gamma=0.333)
    found = [factor(step) for step in (0, 299, 300, 599, 600, 779, 780, 839)]
    assert found == pytest.approx([1, 1, 0.333, 0.333, 0.333**2, 0.333**2, 0.333**3, 0.333**3])
    assert decay("multistep", 0.5, 0.0, milestones=(0.5,), gamma=0.2) == 0.2
    assert schedule_factor("multistep", 0.5, 4, milestones=(0.75,), gamma=0.2)(0) == pytest.approx(1 / 3), "warm-up"
    at_once = schedule_factor("multistep", 0.5, 4, milestones=(0.5,), gamma=0.2)
    assert [at_once(step) for step in range(4)] == pytest.approx([1 / 3, 2 / 3, 0.2, 0.2])
    assert decay("cosine", 1.2, 0.5) == decay("cosine", 1.0, 0.5) == 0


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


def test_a_warm_up_takes_whole_steps_and_no_more_than_its_share() -> None:
    """A part of a step counts as one, but not what rounding adds: 0.07 x 100 is 7."""
    rising = schedule_factor("constant", 0.05, 30)
    assert [rising(step) for step in range(4)] == pytest.approx([1 / 3, 2 / 3, 1, 1])
    cosine = schedule_factor("cosine", 0.07, 100)
    assert [cosine(step) for step in (0, 6, 7, 100)] == pytest.approx([1 / 8, 7 / 8, 1, 0])


@pytest.mark.parametrize(
    ("share", "warmup", "rate"),
    [(0.1, 0.1, 1), (0.55, 0.1, 0.5), (1, 0.1, 0), (0.05, 0.1, 1), (1.2, 0.1, 0), (0.25, 0, 0.8535534), (1, 1, 1)],
)
def test_a_cosine_by_hand(share: float, warmup: float, rate: float) -> None:
    """From the end of the warm-up to the end of the budget; beyond both it stays as it is there."""
    assert decay("cosine", share, warmup) == pytest.approx(rate)


def test_the_usual_milestones_are_a_half_and_three_quarters() -> None:
    """Whatever milestones there are for another schedule."""
    shares = (0, 0.49, 0.5, 0.74, 0.75, 1)
    found = [decay("step", share, 0.0, milestones=(0.9,), gamma=0.5) for share in shares]
    assert found == pytest.approx([1, 1, 0.1, 0.1, 0.01, 0.01])


def test_a_run_of_steps_validates_about_ten_times() -> None:
    budget = StepBudget(TrainSettings(data=Path(), steps=25), 25, 7)
    assert [step for step in range(1, 26) if budget.due(step, step - 1) == (True, False)] == [
        3,
        6,
        9,
        12,
        15,
        18,
        21,
        24,
    ]
    assert [budget.over(step) for step in (24, 25, 26)] == [False, True, True]
    assert [budget.nearly_over(step) for step in (24, 25, 26)] == [False, True, True]


def timed(**settings: Any) -> TimeBudget:
    """100 seconds, of which none has been spent yet."""
    settings = {"schedule": "constant", "warmup": 0.0} | settings
    return TimeBudget(TrainSettings(data=Path(), seconds=100, **settings), 100.0, ThroughputMeter(CPU, Totals()))


def at(budget: TimeBudget, seconds: float) -> TimeBudget:
    budget.meter.totals.train_seconds = seconds
    return budget


def test_the_rate_of_a_run_of_seconds_follows_the_time_spent() -> None:
    """A warm-up begins with a hundredth of the rate, and what exceeds the budget changes nothing more."""
    rising = timed(warmup=0.1)
    assert [at(rising, seconds).factor(7) for seconds in (0, 0.05, 5, 10, 50)] == pytest.approx([0.01, 0.01, 0.5, 1, 1])
    cosine = timed(schedule="cosine", warmup=0.1)
    assert [at(cosine, seconds).factor(7) for seconds in (10, 55, 100, 130)] == pytest.approx([1, 0.5, 0, 0])
    falling = timed(schedule="multistep", milestones=(0.6,), gamma=0.3)
    assert [at(falling, seconds).factor(7) for seconds in (59.9, 60)] == pytest.approx([1, 0.3])
    assert timed(schedule="fixed", warmup=0.5).factor(7) == 1


def test_a_run_of_seconds_validates_in_each_tenth_of_its_time() -> None:
    """But not once more where it ends, where the last validation is made anyway."""
    budget = timed()
    moments = (9.9, 10, 12, 35, 39, 40, 99.9, 100, 120)
    assert [moment for moment in moments if at(budget, moment).due(2, 1) == (True, False)] == [10, 35, 40, 99.9]
    assert [at(budget, moment).over(3) for moment in (99.9, 100)] == [False, True]
    assert [at(budget, moment).nearly_over(3) for moment in (99.9, 100)] == [False, True]
    assert budget.total is None
    resumed = at(timed(), 35)
    resumed.resumed()
    assert [at(resumed, moment).due(2, 1)[0] for moment in (36, 40)] == [False, True]


def test_a_run_of_seconds_is_evaluated_as_often_as_asked() -> None:
    four = timed(evaluations=4)
    assert [at(four, moment).due(2, 1) for moment in (24, 25, 26, 50)] == [
        (at_end, at_end) for at_end in (False, True, False, True)
    ]
    by_steps = timed(val_every=5, ap_every=7)
    assert [at(by_steps, 10).due(step, step - 1) for step in (4, 5, 7, 35)] == [
        (False, False),
        (True, False),
        (False, True),
        (True, True),
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


@pytest.mark.parametrize(("cooldown", "threshold"), [(2, 1e-3), (0, 1e-3), (1, 0.0)])
def test_a_plateau_is_pytorch_s(cooldown: int, threshold: float) -> None:
    """On losses that fall, rest, rise and nearly rest, with a cooldown; the rate is never lowered without a reason."""
    losses = [5, 4, 4.1, 4, 3.9999, 4, 4, 4, 4, 4, 3, 3.5, 3.4, 3.3, 3.2, 3.1, 3, 2.9, 3, 3, 3, 3, 3, 3, 3, math.inf]
    settings = PlateauSettings(patience=2, cooldown=cooldown, threshold=threshold)
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=1.0)
    theirs = ReduceLROnPlateau(optimizer, factor=0.5, patience=2, cooldown=cooldown, threshold=threshold)
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
