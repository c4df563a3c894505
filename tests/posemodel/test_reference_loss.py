"""The loss of maps with nobody in them: known by hand, the same for any weights, and recorded once at a run's end."""

from functools import partial
from pathlib import Path

import pytest
import torch

from posemodel.config import InputSettings, LoaderSettings, TrainSettings
from posemodel.data.loader import validation_loader
from posemodel.data.open_split import PackedSplit, open_split
from posemodel.network import Maps, build_network
from posemodel.training.loop import train
from posemodel.training.loss import background_maps, pose_loss
from posemodel.training.validation import validate
from tests.posemodel.test_loss import batch_of
from tests.support.training_runs import Log

GEOMETRY = InputSettings(size=64, stride=8)
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def split(tiny_set: Path) -> PackedSplit:
    return open_split(tiny_set, "val")


def test_maps_background_maps_are_all_background_and_keep_what_a_stage_lacks() -> None:
    full, only_pafs = background_maps(
        [Maps(torch.full((2, 19, 3, 3), 7.0), torch.full((2, 38, 3, 3), 7.0)), Maps(None, torch.ones(2, 38, 3, 3))]
    )
    assert full.heatmaps is not None
    assert full.pafs is not None
    assert (full.heatmaps[:, -1] == 1).all()
    assert full.heatmaps.sum() == 2 * 9
    assert not full.pafs.any()
    assert only_pafs.heatmaps is None
    assert only_pafs.pafs is not None


def test_where_there_is_nobody_it_costs_nothing_and_where_somebody_is_what_is_missed() -> None:
    stages = [Maps(torch.rand(2, 19, 3, 3), torch.rand(2, 38, 3, 3))] * 2
    assert pose_loss(background_maps(stages), batch_of())[0].item() == 0
    # Half a person in every channel and cell: 19 errors of 0.5 a cell, (19 x 0.25) / 2, in both stages.
    assert pose_loss(background_maps(stages), batch_of(fill=0.5))[0].item() == pytest.approx(19 * 0.25)


@pytest.mark.parametrize("foreground_weight", [1.0, 4.0])
def test_it_depends_on_no_weights_and_no_batch_size(split: PackedSplit, foreground_weight: float) -> None:
    found = []
    for seed, batch_size in ((0, 1), (1, 3)):
        torch.manual_seed(seed)
        network = build_network("small")
        geometry = InputSettings(size=64, stride=network.stride)
        loader = validation_loader(split, geometry, LoaderSettings(batch_size=batch_size))
        validated = partial(validate, network, loader, split, geometry, CPU, foreground_weight=foreground_weight)
        assert validated().reference_loss is None
        found.append(validated(with_reference=True))
    assert found[0].reference_loss == pytest.approx(found[1].reference_loss, rel=1e-5)
    assert found[0].reference_loss is not None
    assert found[0].reference_loss > 0
    assert found[0].loss != found[1].loss


@pytest.mark.usefixtures("one_thread")
def test_a_run_says_it_once_with_its_last_evaluation(tiny_set: Path) -> None:
    log = Log()
    settings = TrainSettings(
        data=tiny_set,
        network="small",
        size=64,
        steps=4,
        val_every=2,
        loader=LoaderSettings(batch_size=4),
        device="cpu",
    )
    result = train(settings, partial(torch.optim.Adam, lr=1e-3), on_metrics=log)
    said = [(step, metrics["reference_loss"]) for step, metrics in log.rows if "reference_loss" in metrics]
    assert said == [(4, result.metrics["reference_loss"])]
