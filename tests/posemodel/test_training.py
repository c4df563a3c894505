"""The loop on a handful of tiny images: it learns, notices divergence, resumes bit by bit and keeps splits apart."""

import json
import math
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from pydantic import ValidationError
from torch import nn

from posemodel.config import TrainSettings
from posemodel.data.layout import in_select
from posemodel.errors import CheckpointError, DataError, SettingsError
from posemodel.network import build_network
from posemodel.network.weights import load_network
from posemodel.training import throughput
from posemodel.training.data import open_training_splits
from posemodel.training.loop import train
from posemodel.training.optimizer_state import optimizer_state_bytes
from posemodel.training.run import BEST_FILE, LAST_FILE, TrainResult
from posemodel.training.schedule import TimeBudget, schedule_factor
from posemodel.training.state import RESUME_FILE
from posemodel.training.throughput import ThroughputMeter, Totals
from tests.support.coco_builder import CocoBuilder
from tests.support.long_tests import long
from tests.support.training_runs import Log

CPU = torch.device("cpu")
Adam = partial(torch.optim.Adam, lr=2e-3)
pytestmark = pytest.mark.usefixtures("one_thread")


def settings_for(data: Path, **changes: Any) -> TrainSettings:
    """6 steps of 4 images at 64 pixels: two epochs of the tiny set's 12 train images."""
    base = {
        "data": data,
        "network": "small",
        "size": 64,
        "steps": 6,
        "loader": {"batch_size": 4},
        "device": "cpu",
        "log_every": 1,
        "val_every": 3,
        "seed": 2,
    }
    return TrainSettings.model_validate(base | changes)


def weights(path: Path) -> dict[str, torch.Tensor]:
    return load_network(path, CPU)[0].state_dict()


def equal(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor]) -> bool:
    return first.keys() == second.keys() and all(torch.equal(first[key], second[key]) for key in first)


# --- a whole run ----------------------------------------------------------------------------------------------------


def test_a_run_completes_with_all_its_metrics_and_files(tiny_set: Path, tmp_path: Path) -> None:
    log = Log()
    result = train(settings_for(tiny_set), Adam, out=tmp_path / "run", on_metrics=log)
    assert (result.status, result.step) == ("complete", 6)
    assert list(log.of("loss")) == [1, 2, 3, 4, 5, 6]
    assert list(log.of("val_loss")) == [3, 6]
    assert list(log.of("ap")) == [6], "AP at the end only, unless asked for"
    assert {"loss", "lr", "images_per_s", "data_wait_share", "optimizer_step_ms", "val_loss", "ap"} <= set(
        result.metrics
    )
    assert result.metrics["train_seconds"] > 0
    assert result.metrics["eval_seconds"] > 0
    assert 0 <= result.metrics["data_wait_share"] <= 1
    assert all(math.isfinite(value) for value in result.metrics.values())
    assert {path.name for path in (tmp_path / "run").iterdir()} == {BEST_FILE, LAST_FILE, RESUME_FILE}
    assert json.dumps(result.metrics, allow_nan=False)


def test_the_loss_falls_on_what_can_be_learnt_by_heart(coco_builder: CocoBuilder) -> None:
    coco_builder.fill("train", images=2, seed=3)
    coco_builder.fill("val", images=1, seed=3)
    log = Log()
    settings = settings_for(
        coco_builder.write(),
        steps=25,
        loader={"batch_size": 2},
        augment={"enabled": False},
        schedule="constant",
        warmup=0,
        val_every=25,
    )
    assert train(settings, Adam, on_metrics=log).status == "complete"
    loss = list(log.of("loss").values())
    assert loss[-1] < 0.6 * loss[0]


def test_the_same_seed_gives_the_same_run_and_another_does_not(tiny_set: Path, tmp_path: Path) -> None:
    for name, seed in (("a", 2), ("b", 2), ("c", 3)):
        train(settings_for(tiny_set, steps=2, seed=seed), Adam, out=tmp_path / name)
    first, same, other = (weights(tmp_path / name / LAST_FILE) for name in "abc")
    assert equal(first, same)
    assert not equal(first, other)


def test_epochs_are_whole_passes(tiny_set: Path) -> None:
    assert train(settings_for(tiny_set, steps=None, epochs=2), Adam).step == 6


def test_the_learning_rate_follows_the_schedule(tiny_set: Path) -> None:
    log = Log()
    train(settings_for(tiny_set, warmup=0.3), partial(torch.optim.SGD, lr=1e-3), on_metrics=log)
    factor = schedule_factor("cosine", 0.3, 6)
    assert list(log.of("lr").values()) == pytest.approx([1e-3 * factor(step) for step in range(6)])


def test_a_time_limit_ends_the_run(tiny_set: Path) -> None:
    result = train(settings_for(tiny_set, time_limit=1e-6), Adam)
    assert (result.status, result.step) == ("timed_out", 1)


# --- divergence -----------------------------------------------------------------------------------------------------


def test_a_huge_learning_rate_ends_as_diverged(tiny_set: Path, tmp_path: Path) -> None:
    settings = settings_for(tiny_set, schedule="constant", warmup=0)
    result = train(settings, partial(torch.optim.SGD, lr=1e30), out=tmp_path / "run")
    assert result.status == "diverged"
    assert result.step < 6
    assert not math.isfinite(result.metrics["loss"])
    assert not (tmp_path / "run" / LAST_FILE).exists(), "no checkpoint of a network that is lost"


def test_divergence_within_a_window_is_noticed_at_its_end(tiny_set: Path) -> None:
    settings = settings_for(tiny_set, schedule="constant", warmup=0, log_every=100, val_every=100)
    result = train(settings, partial(torch.optim.SGD, lr=1e30))
    assert (result.status, result.step) == ("diverged", 6)


# --- resuming -------------------------------------------------------------------------------------------------------


class KilledError(Exception):
    """Stands for whatever kills a run."""


def interrupt_after(step: int) -> Callable[[int, dict[str, float]], None]:
    def on_metrics(now: int, _: dict[str, float]) -> None:
        if now > step:
            raise KilledError

    return on_metrics


def run_interrupted(settings: TrainSettings, make: Any, out: Path, step: int) -> TrainResult:
    with pytest.raises(KilledError):
        train(settings, make, out=out, on_metrics=interrupt_after(step))
    assert (out / RESUME_FILE).is_file()
    return train(settings, make, out=out, resume=True)


@pytest.mark.parametrize("step", [3, *(long(step) for step in (2, 4))])
@pytest.mark.parametrize(
    "make",
    [Adam, long(partial(torch.optim.SGD, lr=1e-3, momentum=0.9, nesterov=True))],
    ids=["adam", "nesterov"],
)
def test_a_resumed_run_ends_with_the_very_same_weights(tiny_set: Path, tmp_path: Path, make: Any, step: int) -> None:
    """Interrupted within an epoch and at its end; an epoch has 3 steps."""
    settings = settings_for(tiny_set, checkpoint_every=step, val_every=6)
    straight = train(settings, make, out=tmp_path / "straight")
    resumed = run_interrupted(settings, make, tmp_path / "resumed", step)
    assert (resumed.status, resumed.step) == ("complete", 6)
    assert equal(weights(tmp_path / "straight" / LAST_FILE), weights(tmp_path / "resumed" / LAST_FILE))
    for name in ("val_loss", "ap", "lr", "loss"):
        assert resumed.metrics[name] == straight.metrics[name], name


def test_a_resumed_run_with_images_left_over_in_an_epoch(coco_builder: CocoBuilder, tmp_path: Path) -> None:
    """11 images in batches of 4: the last three of each epoch are dropped, before and after."""
    coco_builder.fill("train", images=11)
    coco_builder.fill("val", images=1)
    settings = settings_for(coco_builder.write(), checkpoint_every=2, val_every=6)
    train(settings, Adam, out=tmp_path / "straight")
    run_interrupted(settings, Adam, tmp_path / "resumed", 2)
    assert equal(weights(tmp_path / "straight" / LAST_FILE), weights(tmp_path / "resumed" / LAST_FILE))


class Noisy(torch.optim.SGD):
    """Draws from torch's global generator at each step, as a user's own optimizer may."""

    def step(self, closure: Any = None) -> Any:
        for group in self.param_groups:
            for parameter in group["params"]:
                parameter.grad.add_(torch.randn_like(parameter.grad), alpha=1e-2)
        return super().step(closure)


def test_random_states_go_on_where_they_were(tiny_set: Path, tmp_path: Path) -> None:
    """The checkpoint at step 2 lies within an epoch, whose loader is begun anew by the resumed run."""
    settings = settings_for(tiny_set, checkpoint_every=2, val_every=6)
    make = partial(Noisy, lr=1e-3)
    train(settings, make, out=tmp_path / "straight")
    run_interrupted(settings, make, tmp_path / "resumed", 2)
    assert equal(weights(tmp_path / "straight" / LAST_FILE), weights(tmp_path / "resumed" / LAST_FILE))


def test_a_finished_run_can_be_resumed_and_does_nothing(tiny_set: Path, tmp_path: Path) -> None:
    settings = settings_for(tiny_set, steps=3)
    first = train(settings, Adam, out=tmp_path)
    before = weights(tmp_path / LAST_FILE)
    log = Log()
    result = train(settings, Adam, out=tmp_path, resume=True, on_metrics=log)
    assert (result.status, result.step) == ("complete", 3)
    assert (result.metrics["ap"], result.metrics["val_loss"]) == (first.metrics["ap"], first.metrics["val_loss"])
    assert log.of("loss") == {}
    assert equal(before, weights(tmp_path / LAST_FILE))


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"steps": 7}, "steps: 6 -> 7"),
        ({"seed": 9}, "seed: 2 -> 9"),
        ({"loader": {"batch_size": 3}}, "batch_size: 4 -> 3"),
        ({"schedule": "constant"}, "schedule"),
        ({"augment": {"flip": 0}}, "augment"),
        ({"foreground_weight": 3.0}, "foreground_weight"),
    ],
)
def test_resuming_with_other_settings_is_refused(
    started: tuple[Path, Path], changes: dict[str, Any], field: str
) -> None:
    data, out = started
    with pytest.raises(CheckpointError, match=field) as caught:
        train(settings_for(data, **changes), Adam, out=out, resume=True)
    assert str(out / RESUME_FILE) in str(caught.value)


@pytest.fixture(scope="module")
def started(tiny_set: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    out = tmp_path_factory.mktemp("started")
    with pytest.raises(KilledError):
        train(settings_for(tiny_set, checkpoint_every=1), Adam, out=out, on_metrics=interrupt_after(1))
    return tiny_set, out


def test_how_a_run_is_reported_may_change_when_it_is_resumed(started: tuple[Path, Path], tmp_path: Path) -> None:
    data, out = started
    (tmp_path / RESUME_FILE).write_bytes((out / RESUME_FILE).read_bytes())
    settings = settings_for(data, log_every=2, val_every=6, loader={"batch_size": 4, "num_workers": 1})
    assert train(settings, Adam, out=tmp_path, resume=True).status == "complete"


def test_nothing_to_resume(tiny_set: Path, tmp_path: Path) -> None:
    for out in (tmp_path / "nowhere", None):
        with pytest.raises(CheckpointError, match="nothing to resume"):
            train(settings_for(tiny_set), Adam, out=out, resume=True)


def test_a_run_interrupted_before_its_first_checkpoint_starts_again(tiny_set: Path, tmp_path: Path) -> None:
    log = Log()
    result = train(settings_for(tiny_set, steps=2), Adam, out=tmp_path, resume=True, on_metrics=log)
    assert (result.status, list(log.of("loss"))) == ("complete", [1, 2])


def test_resuming_on_other_data_is_refused(started: tuple[Path, Path], coco_builder: CocoBuilder) -> None:
    coco_builder.fill("train", images=12, seed=8)
    coco_builder.fill("val", images=1, first_id=500)
    with pytest.raises(CheckpointError, match="data: "):
        train(settings_for(coco_builder.write()), Adam, out=started[1], resume=True)


@pytest.mark.parametrize("content", ["bytes", "list", "state dict"])
def test_resume_files_that_are_no_training_state(tiny_set: Path, tmp_path: Path, content: str) -> None:
    path = tmp_path / RESUME_FILE
    if content == "bytes":
        path.write_bytes(b"cut short")
    else:
        torch.save([1] if content == "list" else {"weight": torch.zeros(2)}, path)
    with pytest.raises(CheckpointError, match=r"resume\.pt"):
        train(settings_for(tiny_set), Adam, out=tmp_path, resume=True)


# --- freezing -------------------------------------------------------------------------------------------------------


def test_a_frozen_backbone_moves_only_after_its_epochs(tiny_set: Path) -> None:
    """Epoch 0 is steps 1 to 3."""
    seen: dict[int, dict[str, torch.Tensor]] = {}
    owned: list[tuple[str, nn.Parameter]] = []

    def make(parameters: Iterable[nn.Parameter]) -> torch.optim.Optimizer:
        chosen = list(parameters)
        owned.extend((str(number), parameter) for number, parameter in enumerate(chosen))
        return torch.optim.Adam(chosen, lr=1e-3, weight_decay=0.1)

    def on_metrics(step: int, metrics: dict[str, float]) -> None:
        if "loss" in metrics:
            seen[step] = {name: parameter.detach().clone() for name, parameter in owned}

    settings = settings_for(tiny_set, frozen_backbone_epochs=1, warmup=0, schedule="constant")
    train(settings, make, on_metrics=on_metrics)
    start = build_network("small", seed=2)
    names = [name for name, _ in start.named_parameters()]
    initial = dict(zip(names, start.parameters(), strict=True))
    inside = [i for i, name in enumerate(names) if name.startswith("backbone.")]
    outside = [i for i, name in enumerate(names) if not name.startswith("backbone.")]
    assert all(torch.equal(seen[3][str(i)], initial[names[i]]) for i in inside), "weight decay does not touch it either"
    assert any(not torch.equal(seen[3][str(i)], initial[names[i]]) for i in outside)
    assert any(not torch.equal(seen[4][str(i)], initial[names[i]]) for i in inside)


def test_vgg_weights_for_a_network_without_vgg_are_refused(tiny_set: Path, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="is not VGG19"):
        train(settings_for(tiny_set, backbone_weights=tmp_path / "vgg.pth"), Adam)


# --- splits ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def forty(coco_builder: CocoBuilder) -> Path:
    """40 train images, every fourth without a labelled person; no files for `select`."""
    for image_id in range(1, 41):
        coco_builder.image("train", image_id)
        if image_id % 4:
            coco_builder.person("train", image_id)
        else:
            coco_builder.unlabelled("train", image_id)
    coco_builder.fill("val", images=1, first_id=900)
    return coco_builder.write()


@pytest.mark.parametrize(
    ("changes", "held_out"),
    [({"val_split": "select"}, True), ({"hold_out_select": True}, True), ({}, False)],
)
def test_the_select_split_is_never_trained_on(forty: Path, changes: dict[str, Any], held_out: bool) -> None:
    trained, scored = open_training_splits(settings_for(forty, **changes))
    ids = {trained.image_id(p) for p in range(len(trained))}
    labelled = {i for i in range(1, 41) if i % 4}
    chosen = {i for i in range(1, 41) if in_select(i)}
    assert chosen & labelled
    assert ids == (labelled - chosen if held_out else labelled)
    if "val_split" in changes:
        assert {scored.image_id(p) for p in range(len(scored))} == chosen


def test_labelled_only_concerns_the_scored_split(forty: Path) -> None:
    _, scored = open_training_splits(settings_for(forty, val_split="select", labelled_only=True))
    assert all(scored.people_count(p) for p in range(len(scored)))


@pytest.mark.parametrize(("most", "scored"), [(1, [1]), (3, [1, 21, 40]), (40, list(range(1, 41))), (99, None)])
def test_of_the_scored_split_at_most_so_many_images_spread_evenly(
    forty: Path, most: int, scored: list[int] | None
) -> None:
    _, found = open_training_splits(settings_for(forty, val_split="train", val_images=most))
    assert [found.image_id(p) for p in range(len(found))] == (scored or list(range(1, 41)))


def test_nobody_to_train_on_is_an_error(coco_builder: CocoBuilder) -> None:
    coco_builder.image("train", 1)
    coco_builder.unlabelled("train", 1)
    coco_builder.fill("val", images=1, first_id=9)
    with pytest.raises(DataError, match="no image with a labelled person"):
        train(settings_for(coco_builder.write()), Adam)


# --- small parts ----------------------------------------------------------------------------------------------------


def test_cosine_schedule_by_hand() -> None:
    """100 steps, 5 of warm-up: sixths, then a half cosine from 1 to nearly 0."""
    factor = schedule_factor("cosine", 0.05, 100)
    assert [factor(step) for step in range(5)] == pytest.approx([1 / 6, 2 / 6, 3 / 6, 4 / 6, 5 / 6])
    assert factor(5) == 1
    assert factor(5 + 95 // 2) == pytest.approx(0.5 * (1 + math.cos(math.pi * 47 / 95)))
    assert 0 < factor(99) < 0.001
    assert factor(100) == pytest.approx(0)
    values = [factor(step) for step in range(5, 101)]
    assert values == sorted(values, reverse=True)


def test_constant_schedule_and_no_warm_up() -> None:
    constant = schedule_factor("constant", 0.1, 10)
    assert [constant(step) for step in (0, 1, 5, 9)] == [0.5, 1, 1, 1]
    assert schedule_factor("cosine", 0, 10)(0) == 1


@pytest.mark.parametrize("total", [1, 2, 7])
@pytest.mark.parametrize("warmup", [0, 0.05, 1])
def test_every_step_of_a_short_run_learns(total: int, warmup: float) -> None:
    factor = schedule_factor("cosine", warmup, total)
    assert all(0 < factor(step) <= 1 for step in range(total))


def test_optimizer_state_is_counted_in_bytes() -> None:
    parameter = nn.Parameter(torch.zeros(1000))
    optimizer = torch.optim.Adam([parameter])
    assert optimizer_state_bytes(optimizer) == 0
    parameter.sum().backward()
    optimizer.step()
    assert optimizer_state_bytes(optimizer) == 2 * 4000 + 4, "two moments and the step"


def test_step_schedule_by_hand() -> None:
    """100 steps, 5 of warm-up: a tenth from the 50th on, a hundredth from the 75th on."""
    factor = schedule_factor("step", 0.05, 100)
    assert [factor(step) for step in range(5)] == pytest.approx([1 / 6, 2 / 6, 3 / 6, 4 / 6, 5 / 6])
    assert [factor(step) for step in (5, 49)] == [1, 1]
    assert [factor(step) for step in (50, 74)] == pytest.approx([0.1, 0.1])
    assert [factor(step) for step in (75, 99)] == pytest.approx([0.01, 0.01])
    # 7 steps: steps 4, 5 and 6 begin past the half; 6 past three quarters.
    short = schedule_factor("step", 0, 7)
    assert [round(short(step), 2) for step in range(7)] == [1, 1, 1, 1, 0.1, 0.1, 0.01]


# --- a budget in seconds ----------------------------------------------------------------------------------------------


class Clock:
    """The training's clock, which only an optimizer's step moves."""

    def __init__(self) -> None:
        self.now = 100.0

    def perf_counter(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    fake = Clock()
    monkeypatch.setattr(throughput, "time", fake)
    return fake


def ticking(clock: Clock, seconds: float) -> Any:
    """SGD whose every step takes so many seconds."""

    class Ticking(torch.optim.SGD):
        def step(self, closure: Any = None) -> Any:
            clock.now += seconds
            return super().step(closure)

    return partial(Ticking, lr=1e-3)


def timed(data: Path, **changes: Any) -> TrainSettings:
    return settings_for(data, **({"steps": None, "seconds": 8.0, "val_every": None} | changes))


def test_a_budget_in_seconds_ends_at_the_first_step_past_it(tiny_set: Path, clock: Clock) -> None:
    """Steps of 0.75 s: 8 s are over within the 11th. An epoch has 3 steps, so that four epochs are begun."""
    log = Log()
    result = train(timed(tiny_set), ticking(clock, 0.75), on_metrics=log)
    assert (result.status, result.step) == ("complete", 11)
    assert result.metrics["train_seconds"] == 8.25
    assert 11 in log.of("ap")
    assert len(log.of("ap")) == 1, "AP at the end only, unless asked for"


def test_a_budget_in_seconds_is_evaluated_at_equal_shares_of_it(tiny_set: Path, clock: Clock) -> None:
    """Quarters of 8 s are over after steps 3, 6, 8 and 11 of 0.75 s each."""
    log = Log()
    result = train(timed(tiny_set, evaluations=4, log_every=100), ticking(clock, 0.75), on_metrics=log)
    assert list(log.of("ap")) == list(log.of("val_loss")) == [3, 6, 8, 11]
    assert result.metrics["ap_best_step"] in (3, 6, 8, 11)


def test_the_rate_follows_the_share_of_the_time(tiny_set: Path, clock: Clock) -> None:
    """8 steps of 1 s, a quarter of warm-up: the step that begins after 5 s has half of its cosine behind it."""
    log = Log()
    train(timed(tiny_set, warmup=0.25), ticking(clock, 1.0), on_metrics=log)
    shares = [0.01, 0.5, 1, *(0.5 * (1 + math.cos(math.pi * n / 6)) for n in range(1, 6))]
    assert list(log.of("lr").values()) == pytest.approx([1e-3 * share for share in shares])
    log = Log()
    train(timed(tiny_set, warmup=0, schedule="step"), ticking(clock, 1.0), on_metrics=log)
    assert list(log.of("lr").values()) == pytest.approx([1e-3] * 4 + [1e-4] * 2 + [1e-5] * 2)


def test_a_run_in_seconds_goes_on_from_the_time_it_had_spent(tiny_set: Path, tmp_path: Path, clock: Clock) -> None:
    settings = timed(tiny_set, evaluations=4, checkpoint_every=1, warmup=0.25)
    straight = train(settings, ticking(clock, 0.75), out=tmp_path / "straight")
    log = Log()
    with pytest.raises(KilledError):
        train(settings, ticking(clock, 0.75), out=tmp_path / "resumed", on_metrics=interrupt_after(5))
    resumed = train(settings, ticking(clock, 0.75), out=tmp_path / "resumed", resume=True, on_metrics=log)
    assert (resumed.status, resumed.step) == ("complete", straight.step)
    assert list(log.of("ap")) == [6, 8, 11], "the shares before the interruption are not evaluated again"
    assert equal(weights(tmp_path / "straight" / LAST_FILE), weights(tmp_path / "resumed" / LAST_FILE))
    again = train(settings, ticking(clock, 0.75), out=tmp_path / "resumed", resume=True)
    assert (again.step, again.metrics["ap"]) == (straight.step, straight.metrics["ap"])


def test_real_seconds_end_with_the_step_in_which_they_are_over(tiny_set: Path) -> None:
    log = Log()
    result = train(timed(tiny_set, seconds=0.3), Adam, on_metrics=log)
    spent = [seconds for step, seconds in log.of("train_seconds").items() if step < result.step]
    assert max(spent, default=0.0) < 0.3 <= result.metrics["train_seconds"]
    assert result.status == "complete"


def test_a_device_that_lags_behind_the_clock_is_taken_to_keep_its_pace(clock: Clock) -> None:
    """Host time says 0.1 s for steps that take the device 1 s each; the last window has told their pace."""
    meter = ThroughputMeter(torch.device("meta"), Totals())
    budget = TimeBudget(TrainSettings(data=Path(), seconds=10.0), 10.0, meter)
    meter.start()
    for steps, seconds in ((1, 3.0), (2, 2.0)):
        for _ in range(steps):
            meter.count(4)
        clock.now += seconds
        meter.close_window()
    assert meter.spent() == 5.0
    for _ in range(5):
        assert not budget.nearly_over(0)
        meter.count(4)
        clock.now += 0.1
    assert meter.spent() == 10.0
    assert budget.nearly_over(0)
    assert not budget.over(0), "only a synchronised border is exact"


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({}, "give one of steps, epochs and seconds"),
        ({"steps": 3, "seconds": 2.0}, "not steps and seconds"),
        ({"epochs": 3, "seconds": 2.0}, "not epochs and seconds"),
        ({"steps": 3, "evaluations": 2}, "give ap_every"),
        ({"seconds": 0.0}, "seconds"),
        ({"seconds": math.inf}, "seconds"),
    ],
)
def test_one_kind_of_budget(given: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        TrainSettings(data=Path(), **given)


# --- ending a hopeless run early -------------------------------------------------------------------------------------


def test_a_run_is_pruned_at_an_evaluation_and_never_at_its_last(tiny_set: Path) -> None:
    asked: list[float] = []

    def at_the(number: int) -> Callable[[float], bool]:
        asked.clear()
        return lambda ap: asked.append(ap) or len(asked) == number

    pruned = train(settings_for(tiny_set, ap_every=2), Adam, should_prune=at_the(2))
    assert (pruned.status, pruned.step, len(asked)) == ("pruned", 4, 2)
    assert pruned.metrics["train_seconds"] > 0
    log = Log()
    seldom = settings_for(tiny_set, ap_every=2, val_every=100, log_every=100)
    whole = train(seldom, Adam, should_prune=at_the(3), on_metrics=log)
    assert (whole.status, whole.step, len(asked)) == ("complete", 6, 2)
    assert list(log.of("loss")) == [1, 2, 4, 6], "the first, the last, and those of which something else is told"


# --- stopping on request ---------------------------------------------------------------------------------------------


def test_a_run_asked_to_stop_saves_its_state_and_goes_on_from_there(tiny_set: Path, tmp_path: Path) -> None:
    straight = tmp_path / "straight"
    train(settings_for(tiny_set), Adam, out=straight)
    log, stopped = Log(), tmp_path / "stopped"
    with pytest.raises(KeyboardInterrupt):
        train(settings_for(tiny_set), Adam, out=stopped, on_metrics=log, should_stop=lambda: len(log.of("lr")) == 2)
    result = train(settings_for(tiny_set), Adam, out=stopped, resume=True)
    assert result.status == "complete"
    assert equal(weights(straight / LAST_FILE), weights(stopped / LAST_FILE))


def test_resuming_with_another_optimizer_is_refused(tiny_set: Path, tmp_path: Path) -> None:
    record = {"optimizer": "adam", "hyperparameters": {"lr": 2e-3}}
    with pytest.raises(KilledError):
        train(
            settings_for(tiny_set, checkpoint_every=1),
            Adam,
            out=tmp_path,
            on_metrics=interrupt_after(1),
            run_record=record,
        )
    other = record | {"hyperparameters": {"lr": 1.0}}
    with pytest.raises(CheckpointError, match="hyperparameters"):
        train(settings_for(tiny_set, checkpoint_every=1), Adam, out=tmp_path, resume=True, run_record=other)
