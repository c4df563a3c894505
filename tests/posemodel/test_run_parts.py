"""Parts of a training run: what is due after a step, budgets, the best validation, mean losses, frozen weights."""

import argparse
import json
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch

from posemodel.config import TrainSettings
from posemodel.errors import CheckpointError
from posemodel.network import NETWORKS
from posemodel.training.mean_loss import MeanLoss
from posemodel.training.processes import Team
from posemodel.training.run import Callbacks, Due, Run
from posemodel.training.schedule import StepBudget, TimeBudget, budget_of, schedule_factor
from posemodel.training.state import RESUME_FILE, Progress, identity_of, resumable, stored_identity
from posemodel.training.throughput import ThroughputMeter, Totals
from tests.support.plain_network import PLAIN, Plain
from tests.support.training_runs import CPU, Sgd, equal, settings_for

NOTHING = dict.fromkeys(("log", "loss", "ap", "checkpoint", "tell", "stop", "maybe_last"), False)


@pytest.fixture(scope="module")
def plain() -> Iterator[None]:
    """The name of a small network."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(NETWORKS, PLAIN, Plain)
        yield


def run_of(data: Path, out: Path | None = None, make: Any = Sgd, *, resume: bool = False, **changes: Any) -> Run:
    settings = settings_for(data, network=PLAIN, size=32, **changes)
    return Run(Team(CPU), settings, make, Callbacks(), out=out, resume=resume, run_record=None)


# --- what is due ------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def run(tiny_set: Path, plain: None) -> Run:
    return run_of(tiny_set, steps=20, log_every=4, val_every=6, ap_every=9, checkpoint_every=5)


@pytest.mark.parametrize(
    ("before", "step", "due", "without_folder"),
    [
        (0, 1, {"log"}, {"log"}),
        (1, 2, set(), set()),
        (3, 4, {"log"}, {"log"}),
        (4, 5, {"log", "checkpoint"}, set()),
        (5, 6, {"log", "loss"}, {"log", "loss"}),
        (8, 9, {"log", "ap"}, {"log", "ap"}),
        (17, 18, {"log", "loss", "ap"}, {"log", "loss", "ap"}),
        (18, 19, set(), set()),
        (19, 20, {"log", "checkpoint", "maybe_last"}, {"log", "maybe_last"}),
        (8, 13, {"log", "loss", "ap", "checkpoint"}, {"log", "loss", "ap"}),
    ],
)
def test_work_is_due_where_its_interval_ends(
    run: Run, tmp_path: Path, before: int, step: int, due: set[str], without_folder: set[str]
) -> None:
    run.callbacks = Callbacks(should_stop=lambda: False, should_save=lambda: False)
    run.progress.step, run._before = step, before
    for run.out, expected in ((tmp_path, due), (None, without_folder)):
        found = run.due()
        assert found == Due(**NOTHING | dict.fromkeys(expected, True))
        assert bool(found) == bool(expected)
        assert found.validation == bool(expected & {"loss", "ap"})


def test_what_the_caller_asks_for_is_due_between_intervals(run: Run, tmp_path: Path) -> None:
    run.progress.step, run._before = 3, 2
    for out, asked, due in (
        (tmp_path, "should_stop", {"stop", "checkpoint"}),
        (None, "should_stop", {"stop", "log"}),
        (tmp_path, "should_save", {"checkpoint", "tell"}),
        (None, "should_save", set()),
    ):
        run.out, run.callbacks = out, Callbacks(**{asked: lambda: True})
        found = run.due()
        assert found == Due(**NOTHING | dict.fromkeys(due, True)), (out, asked)
        assert bool(found) == bool(due)


def test_a_checkpoint_comes_with_each_validation_if_nothing_else_is_said(
    tiny_set: Path, tmp_path: Path, plain: None
) -> None:
    run = run_of(tiny_set, tmp_path, log_every=100, val_every=3, steps=20)
    found = []
    for step in range(2, 8):
        run.progress.step, run._before = step, step - 1
        found.append(run.due().checkpoint)
    assert found == [False, True, False, False, True, False]


def test_the_caller_may_end_a_run_by_its_ap_but_not_after_its_last_step(run: Run) -> None:
    asked: list[float] = []
    run.callbacks = Callbacks(should_prune=lambda ap: asked.append(ap) or True)
    assert run.pruned({"val_loss": 1.0, "ap": 0.25}, last=False)
    assert not run.pruned({"val_loss": 1.0, "ap": 0.5}, last=True)
    assert not run.pruned({"val_loss": 1.0}, last=False)
    assert asked == [0.25]
    run.callbacks = Callbacks()
    assert not run.pruned({"ap": 0.5}, last=False)


def test_what_is_frozen_is_not_moved_by_what_moved_it_before(tiny_set: Path, plain: None) -> None:
    """Neither by momentum nor by weight decay."""
    run = run_of(tiny_set, make=partial(torch.optim.SGD, lr=1e-2, momentum=0.9, weight_decay=0.1))
    batch = next(iter(run.data.loader))
    run._step(batch)
    run.network.freeze_backbone(True)
    before = [[each.detach().clone() for each in part.parameters()] for part in (run.network.backbone, run.network)]
    run._step(batch)
    assert all(map(torch.equal, run.network.backbone.parameters(), before[0]))
    assert not any(map(torch.equal, run.network.get_submodule("first").parameters(), before[1][6:]))


def test_a_batch_larger_than_the_training_split_counts_the_images_that_there_are(
    tiny_set: Path, tmp_path: Path, plain: None
) -> None:
    run = run_of(tiny_set, tmp_path, loader={"batch_size": 50})
    for batch in run.epoch():
        assert run.step(batch)
        run.save()
    saved = torch.load(tmp_path / RESUME_FILE, weights_only=True)["progress"]
    assert {name: saved[name] for name in ("step", "updates", "epoch", "samples_done")} == {
        "step": 1,
        "updates": 1,
        "epoch": 0,
        "samples_done": 12,
    }
    assert (run.progress.epoch, run.progress.samples_done) == (1, 0)


# --- the state of a run -----------------------------------------------------------------------------------------------


def test_a_state_of_an_earlier_version_is_read(tiny_set: Path, tmp_path: Path, plain: None) -> None:
    """It had no number of updates, and no losses that were still to be reported."""
    run = run_of(tiny_set, tmp_path)
    run.progress.step, run.progress.updates, run.metrics["loss"] = 4, 2, 0.5
    run.save()
    state = torch.load(tmp_path / RESUME_FILE, weights_only=True)
    del state["progress"]["updates"], state["losses"]
    torch.save(state, tmp_path / RESUME_FILE)
    again = run_of(tiny_set, tmp_path, resume=True)
    assert (again.progress.step, again.progress.updates, again.metrics) == (4, 4, {"loss": 0.5})
    assert stored_identity(tmp_path) == again.state.identity
    assert stored_identity(tmp_path / "nowhere") == {}


def test_a_resumed_run_has_every_part_of_the_one_that_was_saved(tiny_set: Path, tmp_path: Path, plain: None) -> None:
    run = run_of(tiny_set, tmp_path, ema_decay=0.5)
    for batch in run.epoch():
        assert run.step(batch)
    run.save()
    drawn = torch.rand(2)
    again = run_of(tiny_set, tmp_path, ema_decay=0.5, resume=True)
    assert torch.equal(torch.rand(2), drawn)
    assert (again.progress, again.meter.totals, again.plateau) == (run.progress, run.meter.totals, run.plateau)
    assert again._step.losses.batches == 3
    assert again._step.scheduler.last_epoch == 3
    assert again._step.mean_loss() == run._step.mean_loss()
    for ours, theirs in ((again.network, run.network), (again.trained_network(), run.trained_network())):
        assert equal(ours.state_dict(), theirs.state_dict())
    assert not equal(run.network.state_dict(), run.trained_network().state_dict())
    assert str(again.optimizer.state_dict()) == str(run.optimizer.state_dict())


def test_a_state_that_would_run_code_is_not_read(tiny_set: Path, tmp_path: Path, plain: None) -> None:
    torch.save({"identity": {}, "metrics": {}, "more": argparse.Namespace()}, tmp_path / RESUME_FILE)
    with pytest.raises(CheckpointError, match=r"resume\.pt: cannot be read as a training state \(UnpicklingError\)"):
        run_of(tiny_set, tmp_path, resume=True)
    assert stored_identity(tmp_path) == {}


def test_there_must_be_a_folder_to_resume_from(tmp_path: Path) -> None:
    assert resumable(tmp_path) is None
    (tmp_path / RESUME_FILE).touch()
    assert resumable(tmp_path) == tmp_path / RESUME_FILE
    for out in (None, tmp_path / "nowhere", tmp_path / RESUME_FILE):
        with pytest.raises(CheckpointError, match="no such folder, so there is nothing to resume"):
            resumable(out)


def test_every_setting_that_has_changed_is_named(tiny_set: Path, tmp_path: Path, plain: None) -> None:
    run_of(tiny_set, tmp_path).save()
    with pytest.raises(CheckpointError) as caught:
        run_of(tiny_set, tmp_path, resume=True, seed=3, schedule="constant", log_every=7)
    assert str(caught.value) == (
        f"{tmp_path / RESUME_FILE}: was made with other settings (schedule: 'cosine' -> 'constant'; seed: 2 -> 3). "
        "Use another --out."
    )


def test_what_must_be_the_same_in_a_resumed_run(tiny_set: Path) -> None:
    def identity(**changes: Any) -> dict[str, Any]:
        return identity_of(settings_for(tiny_set, **changes), {"optimizer": "sgd"}, 2)

    whole = identity(accumulate=3, checkpoint_every=5, time_limit=60.0)
    assert whole == identity(loader={"batch_size": 12}, log_every=9, ap_every=2, val_every=4)
    assert (whole["batch_size"], whole["optimizer"], whole["seed"]) == (24, "sgd", 2)
    assert json.loads(json.dumps(identity(backbone_weights="vgg.pth")))["backbone_weights"] == "vgg.pth"
    assert {"exif"} == identity(accumulate=3, exif="follow").keys() - whole.keys()


# --- budgets ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "loss", "ap"),
    [
        ({}, [2, 3, 4], []),
        ({"evaluations": 2}, [4], [4]),
        ({"val_every": 2}, [2, 4], []),
        ({"ap_every": 3}, [2, 3, 4], [3]),
        ({"evaluations": 2, "val_every": 5}, [4, 5], [4]),
    ],
)
def test_what_is_due_in_a_budget_in_seconds(changes: dict[str, Any], loss: list[int], ap: list[int]) -> None:
    """Of 8 s: tenths of 0.8 s or halves of 4 s; the last part ends with the run, not before."""
    meter = ThroughputMeter(CPU)
    settings = TrainSettings(data=Path(), seconds=8.0, **changes)
    budget = TimeBudget(settings, 8.0, meter)
    found = []
    for step, seconds in enumerate((0.7, 0.8, 2.0, 7.9, 8.0), 1):
        meter.totals.train_seconds = seconds
        found.append(budget.due(step, step - 1))
        assert budget.nearly_over(step) == budget.over(step) == (step == 5)
    assert [step for step, (due, _) in enumerate(found, 1) if due] == loss
    assert [step for step, (_, due) in enumerate(found, 1) if due] == ap
    again = TimeBudget(settings, 8.0, meter)
    meter.totals.train_seconds = 2.0
    again.resumed()
    assert again.due(7, 6) == (False, False)


def test_a_share_of_the_time_that_rounding_makes_smaller_is_reached() -> None:
    """0.29 x 100 is slightly below 29 in floating point."""
    meter = ThroughputMeter(CPU)
    budget = TimeBudget(TrainSettings(data=Path(), seconds=1.0, evaluations=100), 1.0, meter)
    due = []
    for seconds in (0.285, 0.29, 0.295):
        meter.totals.train_seconds = seconds
        due.append(budget.due(1, 0)[1])
    assert due == [True, True, False]


def test_the_rate_in_seconds_by_hand() -> None:
    meter = ThroughputMeter(CPU)

    def rates(**changes: Any) -> list[float]:
        budget = TimeBudget(TrainSettings(data=Path(), seconds=8.0, **changes), 8.0, meter)
        found = []
        for seconds in (0.0, 1.0, 2.0, 5.0, 8.0, 9.0):
            meter.totals.train_seconds = seconds
            found.append(budget.factor(0))
        return found

    assert rates(warmup=0.25) == pytest.approx([0.01, 0.5, 1, 0.5, 0, 0])
    assert rates(warmup=0.25, schedule="fixed") == [1.0] * 6
    assert rates(warmup=0.25, schedule="multistep", milestones=(0.7, 1.0), gamma=0.5) == pytest.approx(
        [0.01, 0.5, 1, 1, 0.25, 0.25]
    )


def test_a_warm_up_that_rounding_makes_longer_has_no_further_step() -> None:
    """0.07 x 100 is slightly above 7 in floating point."""
    factor = schedule_factor("constant", 0.07, 100)
    assert [factor(step) for step in (0, 6, 7)] == [1 / 8, 7 / 8, 1]


def test_the_length_of_a_run_is_what_its_settings_say() -> None:
    def budget(**length: Any) -> Any:
        return budget_of(TrainSettings(data=Path(), **length), 5, ThroughputMeter(CPU))

    assert [budget(**each).total for each in ({"steps": 7}, {"epochs": 3}, {"seconds": 2.0})] == [7, 15, None]
    in_steps = budget(steps=25)
    assert isinstance(in_steps, StepBudget)
    assert [step for step in range(1, 10) if in_steps.due(step, step - 1)[0]] == [3, 6, 9], "at least ten times"
    milestones = {"schedule": "multistep", "milestones": (0.3,), "gamma": 0.5}
    assert [budget(steps=10, warmup=0, **milestones).factor(step) for step in (2, 3, 9)] == [1, 0.5, 0.5]
    assert [in_steps.over(step) for step in (24, 25, 26)] == [False, True, True]
    assert [in_steps.nearly_over(step) for step in (24, 25, 26)] == [False, True, True]


# --- the best validation, and mean losses -----------------------------------------------------------------------------


def test_the_best_validation_is_the_first_of_the_highest_ap_or_the_lowest_loss() -> None:
    progress = Progress()
    found = []
    for step, by_ap, figures in (
        (1, True, {"val_loss": 2.0}),
        (2, True, {"val_loss": 3.0, "ap": 0.0}),
        (3, True, {"val_loss": 1.0, "ap": 0.0}),
        (4, False, {"val_loss": 1.0, "ap": 0.5}),
        (5, False, {"val_loss": 0.5, "ap": 0.25}),
        (6, True, {"val_loss": 0.25, "ap": 0.25}),
        (7, True, {"val_loss": 0.125}),
    ):
        progress.step = step
        found.append(progress.is_best(figures, by_ap=by_ap))
    assert found == [True, True, False, False, True, False, True]
    assert (progress.ap_best, progress.ap_best_step, progress.val_loss_best) == (0.5, 4, 0.125)


def test_a_mean_loss_is_that_since_the_last_one_was_taken_and_goes_on() -> None:
    losses, other = MeanLoss(CPU), MeanLoss(CPU)
    for loss in (1.0, 4.0):
        losses.add(torch.tensor(loss, requires_grad=True))
    assert (losses.batches, losses.take(), losses.batches) == (2, 2.5, 0)
    losses.add(torch.tensor(6.0))
    losses.add(torch.tensor(8.0))
    losses.share(lambda total: total / 2 + 1)
    other.add(torch.tensor(100.0))
    other.load_state_dict(losses.state_dict())
    assert (other.batches, other.take()) == (2, 4.0)
    assert losses.take() == 4.0


def test_waiting_is_never_more_than_the_whole_time() -> None:
    """It may have begun before the window did."""
    totals = Totals(steady_seconds=2.0, steady_images=8, steady_wait_seconds=3.0, steady_optimizer_seconds=1.0)
    assert totals.metrics() == {"images_per_s": 4.0, "data_wait_share": 1.0, "optimizer_step_ms": 1000.0}
