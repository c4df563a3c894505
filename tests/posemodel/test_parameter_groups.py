"""Learning rates and weight decays of every weight, and the losses that published ones are for."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torch.optim.lr_scheduler import LambdaLR

from bench.optimizers import optimizer_entry
from posemodel.config import GroupSettings, InputSettings, LossReduction
from posemodel.data.batch import Batch
from posemodel.errors import SettingsError
from posemodel.network import PoseNetwork, build_network
from posemodel.training.loop import train
from posemodel.training.loss import pose_loss
from posemodel.training.parameter_groups import multiply_rates, parameter_groups
from posemodel.training.run import LAST_FILE
from posemodel.training.step import TrainingStep
from posemodel.training.throughput import ThroughputMeter
from tests.support.training_runs import CPU, KilledError, Log, Sgd, equal, killed_after, settings_for, weights

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def batch() -> Batch:
    generator = torch.Generator().manual_seed(0)
    return Batch(
        images=torch.randint(0, 256, (2, 3, 64, 64), generator=generator, dtype=torch.uint8),
        heatmaps=torch.rand((2, 19, 16, 16), generator=generator).half(),
        pafs=torch.rand((2, 38, 16, 16), generator=generator).half(),
        mask=torch.ones((2, 1, 16, 16), dtype=torch.uint8),
        people=torch.zeros((2, 1, 18, 3)),
        warps=torch.zeros((2, 2, 3), dtype=torch.float64),
        image_ids=torch.arange(2),
    )


def published(reduction: LossReduction, network: PoseNetwork, batch: Batch) -> torch.Tensor:
    """The published losses in PyTorch's own words."""
    total = torch.zeros(())
    for maps in network(batch.images):
        for found, target in ((maps.heatmaps, batch.heatmaps.float()), (maps.pafs, batch.pafs.float())):
            if reduction == "sum":
                total = total + nn.functional.mse_loss(found, target, reduction="sum") / 2 / len(batch.images)
            else:
                total = total + nn.functional.mse_loss(found, target)
    return total


@pytest.mark.parametrize("reduction", ["sum", "mean"])
def test_a_published_loss_has_its_own_gradients_and_ours_is_reported(reduction: LossReduction, batch: Batch) -> None:
    network = build_network("small", seed=0).train()
    expected = torch.autograd.grad(published(reduction, network, batch), list(network.parameters()))
    network = build_network("small", seed=0).train()
    optimizer = torch.optim.SGD(network.parameters(), lr=0.0)
    step = TrainingStep(
        network,
        optimizer,
        LambdaLR(optimizer, lambda _: 1.0),
        InputSettings(size=64, stride=4),
        ThroughputMeter(CPU),
        loss_reduction=reduction,
    )
    assert step(batch)
    for parameter, gradient in zip(network.parameters(), expected, strict=True):
        torch.testing.assert_close(parameter.grad, gradient, rtol=1e-3, atol=1e-6)
    reported = pose_loss(build_network("small", seed=0).train()(batch.images), batch)[0]
    assert step.mean_loss() == pytest.approx(reported.item(), rel=1e-5)


STAGED = GroupSettings(later_stage_lr=4, bias_lr=2, bias_weight_decay=False)
MAKERS = {
    "torch": lambda groups: torch.optim.SGD(groups, lr=0.1, weight_decay=0.5),
    "sgd": optimizer_entry("sgd").factory({"lr": 0.1, "weight_decay": 0.5}),
    "adam": optimizer_entry("adam").factory({"lr": 0.1, "weight_decay": 0.5}),
    "adabound": optimizer_entry("adabound").factory({"lr": 0.1, "weight_decay": 0.5}),
    "adabound_reference": optimizer_entry("adabound_reference").factory({"lr": 0.1, "weight_decay": 0.5}),
    "adamw": optimizer_entry("adamw").factory({"lr": 0.1, "weight_decay": 0.5}),
}


def by_name(network: PoseNetwork, optimizer: torch.optim.Optimizer) -> dict[str, tuple[float, float]]:
    """Learning rate and weight decay of every weight."""
    names = {id(parameter): name for name, parameter in network.named_parameters()}
    return {
        names[id(weight)]: (group["lr"], group["weight_decay"])
        for group in optimizer.param_groups
        for weight in group["params"]
    }


@pytest.fixture(scope="module")
def reference() -> PoseNetwork:
    """The network of 2017, without gradients: steps change nothing."""
    return build_network("rtpose_vgg", seed=0)


@pytest.mark.parametrize("maker", MAKERS)
def test_every_weight_of_the_2017_network_has_the_published_rate(maker: str, reference: PoseNetwork) -> None:
    """lr_mult 1 and 2 up to the first stage, 4 and 8 after it; no decay on biases; a schedule scales all alike."""
    network = reference
    optimizer = MAKERS[maker](parameter_groups(network, STAGED))
    multiply_rates(optimizer, STAGED)
    scheduler = LambdaLR(optimizer, lambda step: 0.5**step)
    for factor in (1, 0.5):
        found = by_name(network, optimizer)
        assert found.keys() == dict(network.named_parameters()).keys()
        for name, (rate, decays) in found.items():
            later = name.startswith(("paf_branches.", "heatmap_branches.")) and name.split(".")[1] != "0"
            bias = name.endswith("bias")
            assert rate == pytest.approx(0.1 * (4 if later else 1) * (2 if bias else 1) * factor), name
            assert decays == (0 if bias else 0.5), name
        assert scheduler.get_last_lr()[0] == pytest.approx(0.1 * factor), "what a run reports"
        optimizer.step()
        scheduler.step()


def test_norms_keep_the_rate_and_may_be_spared_the_decay() -> None:
    network = build_network("small", seed=0)
    settings = STAGED.model_copy(update={"norm_weight_decay": False})
    optimizer = MAKERS["torch"](parameter_groups(network, settings))
    multiply_rates(optimizer, settings)
    found = by_name(network, optimizer)
    assert found["second.0.0.weight"] == pytest.approx((0.4, 0.5)), "a convolution of the second stage"
    assert found["second.0.1.weight"] == pytest.approx((0.1, 0.0)), "its norm"
    assert found["second.0.1.bias"] == pytest.approx((0.2, 0.0))
    assert found["second.2.bias"] == pytest.approx((0.8, 0.0))
    assert found["first.weight"] == pytest.approx((0.1, 0.5))


def test_depthwise_convolutions_may_be_spared_the_decay() -> None:
    class Separable(PoseNetwork):
        def __init__(self) -> None:
            super().__init__()
            self.backbone = nn.Conv2d(3, 4, 1)
            self.depthwise = nn.Conv2d(4, 4, 3, groups=4)
            self.grouped = nn.Conv2d(4, 4, 1, groups=2)

        def stages(self, images: torch.Tensor) -> list[Any]:
            return []

    network = Separable()
    groups = parameter_groups(network, GroupSettings(depthwise_weight_decay=False))
    assert [[id(p) for p in group["params"]] for group in groups if group.get("weight_decay") == 0] == [
        [id(network.depthwise.weight)]
    ]
    with pytest.raises(SettingsError, match="Separable has no stage after the first"):
        parameter_groups(network, STAGED)


def test_plain_parameters_where_nothing_tells_them_apart() -> None:
    network = build_network("small", seed=0)
    given = list(parameter_groups(network, GroupSettings()))
    assert all(one is other for one, other in zip(given, network.parameters(), strict=True))
    optimizer = MAKERS["torch"](given)
    multiply_rates(optimizer, GroupSettings())
    assert optimizer.param_groups[0]["lr"] == 0.1


def test_groups_that_an_optimizer_loses_are_missed() -> None:
    groups = parameter_groups(build_network("small", seed=0), STAGED)
    lost = torch.optim.SGD([weight for group in groups for weight in group["params"]], lr=0.1)
    with pytest.raises(SettingsError, match="groups: SGD did not keep the parameter groups"):
        multiply_rates(lost, STAGED)


def test_adabound_s_limit_is_multiplied_as_its_rate_is() -> None:
    """After long, AdaBound is SGD at final_lr: in a group of four times the rate, at four times that."""
    moved = []
    for multiplier in (1.0, 4.0):
        weight = nn.Parameter(torch.zeros(1))
        optimizer = optimizer_entry("adabound").factory({"lr": 1e-3, "gamma": 0.99, "final_lr": 0.1})(
            [{"params": [weight], "lr_multiplier": multiplier}]
        )
        multiply_rates(optimizer, STAGED)
        for _ in range(3000):
            before = weight.item()
            weight.grad = torch.ones(1)
            optimizer.step()
        moved.append(before - weight.item())
    assert moved[1] == pytest.approx(4 * moved[0], rel=1e-3)
    assert moved[0] == pytest.approx(0.1, rel=0.01)


def test_a_run_with_groups_reports_the_rate_itself_and_resumes(tiny_set: Path, tmp_path: Path) -> None:
    log = Log()
    settings = settings_for(tiny_set, groups=STAGED.model_dump(), checkpoint_every=2, schedule="constant", warmup=0)
    train(settings, Sgd, out=tmp_path / "straight", on_metrics=log)
    assert set(log.of("lr").values()) == {1e-2}
    with pytest.raises(KilledError):
        train(settings, Sgd, out=tmp_path / "killed", on_metrics=killed_after(2))
    train(settings, Sgd, out=tmp_path / "killed", resume=True)
    assert equal(weights(tmp_path / "straight" / LAST_FILE), weights(tmp_path / "killed" / LAST_FILE))
    plain = train(settings_for(tiny_set, schedule="constant", warmup=0), Sgd)
    assert not equal(plain.network.state_dict(), weights(tmp_path / "straight" / LAST_FILE))
