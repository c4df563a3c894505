"""Optimizers with two sets of weights: those that are trained go on as they are, those that are judged are judged."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from posemodel.config import InputSettings, LoaderSettings
from posemodel.data.loader import validation_loader
from posemodel.errors import SettingsError
from posemodel.network import PoseNetwork, build_network
from posemodel.network.weights import load_network
from posemodel.scoring.evaluation import evaluate
from posemodel.training import batch_norm
from posemodel.training.batch_norm import NormImages, recompute_statistics, tracking_norms
from posemodel.training.data import open_training_splits
from posemodel.training.driving import Driving, OptimizerMaker
from posemodel.training.loop import train
from posemodel.training.run import BEST_FILE, LAST_FILE
from posemodel.training.state import RESUME_FILE
from tests.support.coco_builder import CocoBuilder
from tests.support.driven_optimizers import Averaging, Interpolating
from tests.support.long_tests import long
from tests.support.training_runs import CPU, Log, equal, settings_for, weights

pytestmark = pytest.mark.usefixtures("one_thread")


def schedule_free(parameters: Any) -> torch.optim.Optimizer:
    return pytest.importorskip("schedulefree").AdamWScheduleFree(parameters, lr=0.02)


MAKERS: dict[str, Callable[[Any], torch.optim.Optimizer]] = {
    "toy": partial(Averaging, lr=0.01, keep=0.8),
    "schedulefree": schedule_free,
}

AWAY = OptimizerMaker(lambda training: Interpolating(training.parameters, lr=0.05), Driving("only", away=True))
"""Without modes, but its gradients are those at other weights than the network has between steps."""


def trained(folder: Path, size: int) -> PoseNetwork:
    """The network of the weights in training mode, as the state for resuming has them."""
    state = torch.load(folder / RESUME_FILE, weights_only=True)
    network = build_network("small")
    network.load_state_dict(state["network"])
    network.trained_size = size
    return network.eval()


@pytest.mark.parametrize("kind", ["toy", long("schedulefree")])
def test_the_ap_is_that_of_the_checkpoint_and_not_of_the_trained_weights(
    coco_builder: CocoBuilder, tmp_path: Path, kind: str
) -> None:
    """Two images by heart, stopped where AP has begun to rise: judged and trained weights are not equally far."""
    for split in ("train", "val"):
        coco_builder.fill(split, images=2, seed=3)
    data = coco_builder.write()
    loop = {"size": 96, "steps": 16, "val_every": 16, "ap_every": 16, "loader": {"batch_size": 2}, "augment": False}
    settings = settings_for(data, **loop, seed=0, schedule="constant", warmup=0, foreground_weight=4)
    result = train(settings, MAKERS[kind], out=tmp_path)
    ap = result.metrics["ap"]
    assert ap > 0
    for file in (LAST_FILE, BEST_FILE):
        assert evaluate(tmp_path / file, data, device="cpu").ap == ap, file
    assert evaluate(result.network, data).ap == ap
    assert evaluate(trained(tmp_path, 96), data).ap != ap
    assert load_network(tmp_path / LAST_FILE, CPU)[1].training["saved_weights"] == "as judged by the optimizer"


@pytest.mark.parametrize("kind", [long("toy"), "schedulefree", "away"])
def test_validations_leave_no_trace_in_a_training(tiny_set: Path, tmp_path: Path, kind: str) -> None:
    """Validated at each step, with a checkpoint, or at the end alone; the trained weights are the same to the bit."""
    logs = {}
    for name, every in (("often", 1), ("once", 4)):
        logs[name] = Log()
        settings = settings_for(tiny_set, steps=4, val_every=every, ap_every=every)
        train(settings, {**MAKERS, "away": AWAY}[kind], out=tmp_path / name, on_metrics=logs[name])
    assert logs["often"].of("loss") == logs["once"].of("loss")
    states = [torch.load(tmp_path / name / RESUME_FILE, weights_only=True) for name in logs]
    assert equal(states[0]["network"], states[1]["network"])
    assert equal(weights(tmp_path / "often" / LAST_FILE), weights(tmp_path / "once" / LAST_FILE))
    assert logs["often"].of("val_loss")[4] == logs["once"].of("val_loss")[4]
    assert not equal(states[0]["network"], weights(tmp_path / "once" / LAST_FILE))


@pytest.mark.parametrize("ema_decay", [None, 0.5])
def test_statistics_are_those_of_the_weights_between_steps(
    tiny_set: Path, tmp_path: Path, ema_decay: float | None
) -> None:
    settings = settings_for(tiny_set, ema_decay=ema_decay)
    train(settings, AWAY, out=tmp_path)
    saved, _ = load_network(tmp_path / LAST_FILE, CPU)
    state = torch.load(tmp_path / RESUME_FILE, weights_only=True)
    of_steps = state["network"] if ema_decay is None else state["average"]["network"]
    names = [name for name, _ in saved.named_parameters()]
    assert equal({name: saved.state_dict()[name] for name in names}, {name: of_steps[name] for name in names})
    statistics = {name: each.clone() for name, each in saved.state_dict().items() if "running" in name}
    assert all(not torch.equal(each, state["network"][name]) for name, each in statistics.items())
    images = NormImages(open_training_splits(settings)[0], InputSettings(size=64, stride=4), batch_size=4)
    recompute_statistics(saved, tracking_norms(saved), images.batches())
    for name, each in statistics.items():
        torch.testing.assert_close(saved.state_dict()[name], each)


def test_an_average_of_the_loop_s_own_is_refused_beside(tiny_set: Path) -> None:
    with pytest.raises(SettingsError, match=r"ema_decay: Averaging has weights of its own.*Leave ema_decay out"):
        train(settings_for(tiny_set, ema_decay=0.9), MAKERS["toy"])


def test_statistics_are_means_over_the_batches() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.BatchNorm2d(3), nn.Conv2d(3, 2, 1), nn.BatchNorm2d(2))
    batches = [torch.randn(4, 3, 5, 5) + number for number in range(3)]
    norms = tracking_norms(model)
    kept = norms[1].running_mean.clone()
    recompute_statistics(model, norms[:1], batches)
    means = torch.stack([each.mean((0, 2, 3)) for each in batches])
    variances = torch.stack([each.var((0, 2, 3)) for each in batches])
    torch.testing.assert_close(norms[0].running_mean, means.mean(0))
    torch.testing.assert_close(norms[0].running_var, variances.mean(0))
    assert torch.equal(norms[1].running_mean, kept)
    assert [each.momentum for each in norms] == [0.1, 0.1]
    assert not any(each.training for each in model.modules())


def test_a_frozen_backbone_keeps_its_statistics(tiny_set: Path, tmp_path: Path) -> None:
    settings = settings_for(tiny_set, frozen_backbone_epochs=5)
    train(settings, MAKERS["toy"], out=tmp_path)
    judged, kept = weights(tmp_path / LAST_FILE), trained(tmp_path, 64).state_dict()
    names = [name for name in judged if "running" in name]
    frozen = [name for name in names if name.startswith("backbone.")]
    assert frozen
    assert frozen != names
    assert all(torch.equal(judged[name], kept[name]) == (name in frozen) for name in names)


def test_images_are_read_once_as_validation_reads_them(tiny_set: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    split, _ = open_training_splits(settings_for(tiny_set))
    images = NormImages(split, InputSettings(size=64, stride=4), batch_size=5)
    batches = images.batches()
    assert [tuple(each.shape) for each in batches] == [(5, 3, 64, 64)] * 2, "no batch is smaller than the others"
    assert {each.dtype for each in batches} == {torch.uint8}
    assert images.batches() is batches

    monkeypatch.setattr(batch_norm, "IMAGES", 3)
    (few,) = NormImages(split, InputSettings(size=64, stride=4), batch_size=5).batches()
    spread = validation_loader(split.subset([0, 6, 11]), InputSettings(size=64, stride=4), LoaderSettings(batch_size=3))
    assert torch.equal(few, next(iter(spread)).images), "spread evenly over the split"
