"""Trainings by optimizers that need more than `step()`: what a step is, its budget, and resuming to the bit."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.optim import LBFGS, SGD, Optimizer

from posemodel.errors import SettingsError
from posemodel.network import NETWORKS
from posemodel.training.driving import Driver, Driving, OptimizerMaker, Training, recognised
from posemodel.training.loop import train
from posemodel.training.run import LAST_FILE
from posemodel.training.schedule import schedule_factor
from tests.support.driven_optimizers import Averaging, ClosureDescent, Hutchinson, Rateless, Sam
from tests.support.long_tests import long
from tests.support.plain_network import PLAIN, Plain
from tests.support.training_runs import KilledError, Log, equal, killed_after, settings_for, weights

pytestmark = pytest.mark.usefixtures("one_thread")
GRAPH = Driving(graph=True)


@pytest.fixture
def plain(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Settings of a network without batch norm."""
    monkeypatch.setitem(NETWORKS, PLAIN, Plain)
    return {"network": PLAIN, "size": 32}


# --- one step by hand -------------------------------------------------------------------------------------------------


class Bowl(nn.Module):
    """a w^2 / 2, summed over its weights."""

    def __init__(self, curvature: float, *values: float) -> None:
        super().__init__()
        self.curvature, self.weight = curvature, nn.Parameter(torch.tensor(values))

    def loss(self) -> Tensor:
        return (self.curvature * self.weight**2 / 2).sum()


def one_step(bowl: Bowl, optimizer: Optimizer, driving: Driving | None = None, remaining: int | None = None) -> int:
    driving = driving or recognised(optimizer)

    def evaluate() -> Tensor:
        bowl.zero_grad(set_to_none=True)
        loss = bowl.loss()
        loss.backward(create_graph=driving.graph)
        return loss

    return Driver(optimizer, driving, bowl).step(evaluate, remaining=remaining)


def test_steps_by_hand() -> None:
    """g = a w = (6, 8), |g| = 10: SAM's gradient is that at w + rho g / |g| = (3.3, 4.4)."""
    bowl = Bowl(2.0, 3.0, 4.0)
    assert one_step(bowl, Sam([bowl.weight], lr=0.1, rho=0.5)) == 2
    assert bowl.weight.tolist() == pytest.approx([3 - 0.1 * 2 * 3.3, 4 - 0.1 * 2 * 4.4])
    bowl = Bowl(3.0, 2.0, -1.0)
    assert one_step(bowl, Hutchinson([bowl.weight], lr=0.1)) == 2, "the gradient, and a product"
    assert bowl.weight.tolist() == pytest.approx([2 - 0.1 * 6 / 4, -1 + 0.1 * 3 / 4])
    assert bowl.weight.grad is None, "its graph is let go"
    bowl = Bowl(3.0, 2.0)
    assert one_step(bowl, ClosureDescent([bowl.weight], lr=0.1)) == 1
    assert bowl.weight.item() == pytest.approx(2 - 0.1 * 6)


def test_how_an_optimizer_is_driven_is_seen_by_its_methods() -> None:
    weights = [nn.Parameter(torch.ones(1))]
    assert recognised(SGD(weights, lr=1)) == Driving()
    assert recognised(LBFGS(weights)) == Driving("only")
    assert recognised(ClosureDescent(weights, lr=1)) == Driving("only")
    assert recognised(Sam(weights, lr=1)) == Driving("after_gradients")
    assert recognised(Hutchinson(weights, lr=1)) == GRAPH
    assert recognised(Averaging(weights, lr=1)) == Driving(modes=True)


def test_lbfgs_is_limited_by_what_is_left() -> None:
    bowl = Bowl(1.0, *map(float, range(1, 9)))
    optimizer = LBFGS([bowl.weight], lr=1e-3, max_iter=10)
    limit = optimizer.param_groups[0]["max_eval"]
    assert one_step(bowl, optimizer, remaining=4) in (4, 5)
    assert optimizer.param_groups[0]["max_eval"] == limit, "a saved state has its own limit"
    assert one_step(bowl, optimizer, remaining=None) == 10


@pytest.mark.parametrize(
    ("remaining", "limits"),
    [(None, (12, 3, None)), (100, (12, 3, None)), (5, (5, 3, None)), (1, (1, 1, None)), (0, (1, 1, None))],
)
def test_groups_are_limited_within_a_step_alone(remaining: int | None, limits: tuple[int | None, ...]) -> None:
    """At least one evaluation; a group without a limit gets none."""
    seen: list[tuple[Any, ...]] = []

    class Limited(ClosureDescent):
        def step(self, closure: Any) -> Any:
            seen.append(tuple(group.get("max_eval", "none") for group in self.param_groups))
            raise KilledError

    bowl = Bowl(1.0, 1.0)
    own = [{"params": [nn.Parameter(torch.ones(1))], "max_eval": each} for each in (12, 3, None)]
    optimizer = Limited([*own, {"params": [bowl.weight]}], lr=1)
    with pytest.raises(KilledError):
        one_step(bowl, optimizer, remaining=remaining)
    assert seen == [(*limits, "none")]
    assert [group.get("max_eval", "none") for group in optimizer.param_groups] == [12, 3, None, "none"]


def test_a_step_that_nobody_can_look_into_is_an_ordinary_one() -> None:
    class Compiled(SGD):
        step = dict.update

    assert recognised(Compiled([nn.Parameter(torch.ones(1))], lr=1)) == Driving()


def test_a_step_without_gradients_is_no_endless_run() -> None:
    class Idle(ClosureDescent):
        def step(self, closure: Any) -> None:  # type: ignore[override]
            pass

    bowl = Bowl(1.0, 1.0)
    assert one_step(bowl, Idle([bowl.weight], lr=1)) == 1


def test_batch_norm_counts_an_image_once() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2))
    images = torch.randn(8, 3)
    expected = 0.9 * torch.zeros(2) + 0.1 * model[0](images).mean(0).detach()

    def evaluate() -> Tensor:
        model.zero_grad()
        loss = model(images).pow(3).mean()
        loss.backward()
        return loss

    Driver(Sam(model.parameters(), lr=0.1, rho=1.0), Driving("after_gradients"), model).step(evaluate)
    torch.testing.assert_close(model[1].running_mean, expected)
    assert model[1].num_batches_tracked == 1
    assert model[1].track_running_stats


# --- whole trainings --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("changes", [{}, {"accumulate": 2, "loader": {"batch_size": 2}}], ids=["plain", "accumulated"])
def test_descent_by_closure_is_sgd_to_the_bit(tiny_set: Path, tmp_path: Path, changes: dict[str, Any]) -> None:
    logs = Log(), Log()
    settings = settings_for(tiny_set, **changes)
    for name, make, log in (("sgd", SGD, logs[0]), ("closure", ClosureDescent, logs[1])):
        result = train(settings, partial(make, lr=1e-2), out=tmp_path / name, on_metrics=log)
        assert (result.status, result.step) == ("complete", 6)
        assert "updates" not in result.metrics
    for metric in ("loss", "lr", "val_loss", "ap"):
        assert logs[0].of(metric) == logs[1].of(metric)
    assert equal(weights(tmp_path / "sgd" / LAST_FILE), weights(tmp_path / "closure" / LAST_FILE))


def test_accumulated_batches_are_one_large_batch_for_sam(tiny_set: Path, plain: dict[str, Any]) -> None:
    ends, losses = [], []
    for changes in ({"loader": {"batch_size": 12}}, {"accumulate": 3}):
        log = Log()
        settings = settings_for(tiny_set, **plain, steps=4, val_every=4, **changes)
        ends.append(train(settings, partial(Sam, lr=1e-2, rho=0.5), on_metrics=log).network)
        losses.append(list(log.of("loss").values()))
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)
    for one, other in zip(ends[0].parameters(), ends[1].parameters(), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-6)


def test_a_budget_is_spent_in_gradients(tiny_set: Path, plain: dict[str, Any]) -> None:
    """Two gradients an update: 3 updates in 6 steps; what is due at a step in between is due at the next update."""
    log, rates = Log(), []

    class Watched(Sam):
        def step(self, closure: Any) -> None:  # type: ignore[override]
            rates.append(self.param_groups[0]["lr"])
            super().step(closure)

    settings = settings_for(tiny_set, **plain, val_every=3, warmup=0.5)
    result = train(settings, partial(Watched, lr=1e-2), on_metrics=log)
    assert (result.status, result.step, result.metrics["updates"]) == ("complete", 6, 3)
    assert list(log.of("loss")) == [2, 4, 6]
    assert list(log.of("val_loss")) == [4, 6]
    factor = schedule_factor("cosine", 0.5, 6)
    assert rates == pytest.approx([1e-2 * factor(step) for step in (0, 2, 4)])
    assert list(log.of("lr").values()) == pytest.approx(rates)
    odd = train(settings_for(tiny_set, **plain, steps=5, log_every=2), partial(Sam, lr=1e-2))
    assert (odd.step, odd.metrics["updates"]) == (6, 3), "the last update may exceed it by less than itself"


@pytest.mark.parametrize("steps", [1, 6, 9])
def test_lbfgs_keeps_to_its_budget(tiny_set: Path, plain: dict[str, Any], steps: int) -> None:
    result = train(settings_for(tiny_set, **plain, steps=steps, log_every=100), partial(LBFGS, lr=0.1, max_iter=4))
    assert result.status == "complete"
    assert steps <= result.step <= steps + 1
    assert result.metrics["updates"] < max(result.step, 2)


def test_images_are_counted_with_each_gradient(tiny_set: Path, plain: dict[str, Any]) -> None:
    log = Log()
    train(settings_for(tiny_set, **plain, log_every=6, val_every=6), partial(Sam, lr=1e-2), on_metrics=log)
    seconds = log.of("train_seconds")
    images = log.of("images_per_s")[6] * (seconds[6] - seconds[2])
    assert images == pytest.approx(2 * 2 * 4), "two updates in the second window, each with 4 images twice"


KINDS: dict[str, Callable[[Any], Optimizer]] = {
    "only": partial(ClosureDescent, lr=1e-2),
    "after gradients": partial(Sam, lr=1e-2, momentum=0.9),
    "lbfgs": partial(LBFGS, lr=0.1, max_iter=3, history_size=2),
    "graph": partial(Hutchinson, lr=1e-2),
    "modes": partial(Averaging, lr=1e-3),
    "rateless": Rateless,
}


@pytest.mark.parametrize("kind", ["after gradients", "lbfgs", *map(long, ("only", "graph", "modes", "rateless"))])
def test_a_resumed_run_takes_the_same_steps(tiny_set: Path, tmp_path: Path, kind: str) -> None:
    settings = settings_for(tiny_set, steps=9, checkpoint_every=3, val_every=4)
    straight = train(settings, KINDS[kind], out=tmp_path / "straight")
    with pytest.raises(KilledError):
        train(settings, KINDS[kind], out=tmp_path / "stopped", on_metrics=killed_after(4))
    assert torch.load(tmp_path / "stopped" / "resume.pt", weights_only=True)["progress"]["step"] in (3, 4)
    resumed = train(settings, KINDS[kind], out=tmp_path / "stopped", resume=True)
    assert (resumed.step, resumed.status) == (straight.step, "complete")
    for name in ("loss", "val_loss", "ap", "updates", "lr"):
        assert resumed.metrics.get(name) == straight.metrics.get(name), name
    assert equal(weights(tmp_path / "straight" / LAST_FILE), weights(tmp_path / "stopped" / LAST_FILE))


def test_a_maker_is_told_what_a_run_knows(tiny_set: Path, plain: dict[str, Any]) -> None:
    told: list[Training] = []

    def build(training: Training) -> Optimizer:
        told.append(training)
        assert training.network is not None
        return SGD(training.network.parameters(), lr=1e-2)

    made: list[Optimizer] = []
    result = train(settings_for(tiny_set, **plain, steps=None, epochs=1), OptimizerMaker(build).noting(made.append))
    train(settings_for(tiny_set, **plain, steps=None, seconds=0.01), OptimizerMaker(build))
    assert result.step == 3
    assert [(each.steps, each.samples) for each in told] == [(3, 12), (None, 12)]
    assert isinstance(told[0].network, Plain)
    assert len(made) == 1


# --- learning rates ---------------------------------------------------------------------------------------------------


def test_an_optimizer_without_rate_has_no_schedule(tiny_set: Path, plain: dict[str, Any]) -> None:
    log = Log()
    result = train(settings_for(tiny_set, **plain, steps=2), partial(Rateless, lr=None), on_metrics=log)
    assert result.status == "complete"
    assert (log.of("lr"), list(log.of("loss"))) == ({}, [1, 2])
    assert "lr" not in result.metrics
    grouped = settings_for(tiny_set, **plain, groups={"later_stage_lr": 4})
    with pytest.raises(SettingsError, match=r"groups: Rateless has no learning rate.*Remove later_stage_lr"):
        train(grouped, Rateless)


def test_groups_with_and_without_a_rate_have_the_fixed_schedule_alone(tiny_set: Path, plain: dict[str, Any]) -> None:
    def mixed(parameters: Any) -> Optimizer:
        first, *others = parameters
        optimizer = Rateless([{"params": [first], "lr": 0.1}, {"params": others}])
        assert "lr" not in optimizer.param_groups[1]
        return optimizer

    with pytest.raises(SettingsError, match=r'schedule: Rateless has groups.*Set schedule to "fixed"'):
        train(settings_for(tiny_set, **plain), mixed)
    assert train(settings_for(tiny_set, **plain, steps=1, schedule="fixed"), mixed).status == "complete"


def test_a_rate_may_be_a_tensor(tiny_set: Path, tmp_path: Path, plain: dict[str, Any]) -> None:
    logs = Log(), Log()
    settings = settings_for(tiny_set, **plain, checkpoint_every=2)
    train(settings, partial(SGD, lr=0.125), on_metrics=logs[0], out=tmp_path / "number")
    with pytest.raises(KilledError):
        train(
            settings,
            lambda each: SGD(each, lr=torch.tensor(0.125)),
            out=tmp_path / "tensor",
            on_metrics=killed_after(3),
        )
    train(
        settings,
        lambda each: SGD(each, lr=torch.tensor(0.125)),
        out=tmp_path / "tensor",
        resume=True,
        on_metrics=logs[1],
    )
    numbers, tensors = logs[0].of("lr"), logs[1].of("lr")
    assert list(tensors) == [3, 4, 5, 6]
    assert [*tensors.values()] == pytest.approx([numbers[step] for step in tensors])
    ends = [weights(tmp_path / name / LAST_FILE) for name in ("number", "tensor")]
    for name in ends[0]:
        torch.testing.assert_close(ends[0][name], ends[1][name])


@pytest.mark.parametrize("length", [{"steps": 4}, {"steps": None, "seconds": 0.2}], ids=["steps", "seconds"])
def test_a_fixed_rate_is_the_given_one_from_the_first_step_on(
    tiny_set: Path, plain: dict[str, Any], length: dict[str, Any]
) -> None:
    log = Log()
    train(
        settings_for(tiny_set, **plain, schedule="fixed", warmup=0.5, **length), partial(SGD, lr=0.01), on_metrics=log
    )
    assert set(log.of("lr").values()) == {0.01}


# --- a frozen backbone ------------------------------------------------------------------------------------------------


def sam_noting(frozen: list[bool]) -> OptimizerMaker:
    """A maker of SAM that notes at each of its steps whether the backbone is frozen."""

    def build(training: Training) -> Optimizer:
        assert training.network is not None
        backbone = training.network.get_submodule("backbone")

        class Noting(Sam):
            def step(self, closure: Any) -> None:  # type: ignore[override]
                frozen.append(not next(backbone.parameters()).requires_grad)
                super().step(closure)

        return Noting(training.parameters, lr=1e-2, momentum=0.9)

    return OptimizerMaker(build, Driving("after_gradients"))


@pytest.mark.parametrize(("epochs", "updates"), [(1, 2), long(2, 3), long(9, 6)])
def test_a_backbone_is_frozen_for_epochs_of_gradients(
    tiny_set: Path, tmp_path: Path, epochs: int, updates: int
) -> None:
    """Three gradients an epoch, and two an update: the front is released by the first update after its epochs."""
    settings = settings_for(
        tiny_set, steps=None, epochs=4, frozen_backbone_epochs=epochs, val_every=12, checkpoint_every=4
    )
    straight: list[bool] = []
    result = train(settings, sam_noting(straight), out=tmp_path / "straight")
    assert (result.step, result.metrics["updates"]) == (12, 6)
    assert straight == [True] * updates + [False] * (6 - updates)
    stopped: list[bool] = []
    with pytest.raises(KilledError):
        train(settings, sam_noting(stopped), out=tmp_path / "stopped", on_metrics=killed_after(4))
    train(settings, sam_noting(stopped), out=tmp_path / "stopped", resume=True)
    assert stopped == [*straight[:3], *straight[2:]], "the third update was not saved"
    assert equal(weights(tmp_path / "straight" / LAST_FILE), weights(tmp_path / "stopped" / LAST_FILE))


def test_a_plateau_waits_for_the_backbone(tiny_set: Path) -> None:
    """Of the validations at 4, 6, 10, 12, 16 and 18 the first that counts is that at 10, and that at 12 lowers."""
    log = Log()
    plateau = {"schedule": "plateau", "warmup": 0, "gamma": 0.5, "plateau": {"patience": 0, "threshold": 0.99}}
    settings = settings_for(tiny_set, steps=None, epochs=6, frozen_backbone_epochs=2, val_every=None, **plateau)
    train(settings, partial(Sam, lr=1e-2), on_metrics=log)
    assert list(log.of("val_loss")) == [4, 6, 10, 12, 16, 18]
    assert list(log.of("lr").values()) == pytest.approx([1e-2] * 7 + [5e-3] * 2)
