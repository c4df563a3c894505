"""The network that docs/guide/own-network.md shows can be named, and trains for any skeleton."""

import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from posemodel.network import build_network, input_geometry
from posemodel.network.own import check_output
from posemodel.skeleton import COCO_PERSON, Skeleton
from posemodel.training.loop import train
from tests.conftest import REPOSITORY
from tests.support.training_runs import Sgd, settings_for

PAGE = (REPOSITORY / "docs" / "guide" / "own-network.md").read_text()
POINT = Skeleton("buoy", ("top",), limbs=(), sigmas=(0.05,))


@pytest.fixture(autouse=True)
def own_module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    code = re.search(r"^```python\n(.*?)^```", PAGE, re.M | re.S)
    assert code is not None
    (tmp_path / "my_package.py").write_text(code[1])
    monkeypatch.syspath_prepend(tmp_path)
    yield
    sys.modules.pop("my_package", None)


@pytest.mark.parametrize("skeleton", [COCO_PERSON, POINT], ids=lambda each: each.name)
def test_the_page_s_network_fits_every_skeleton(skeleton: Skeleton) -> None:
    network = build_network("my_package:MyNet", skeleton=skeleton, seed=0)
    check_output(network, input_geometry("my_package.MyNet").size, "my_package:MyNet")
    heatmaps, pafs = network(torch.zeros(1, 3, 64, 64, dtype=torch.uint8))[-1].complete()
    assert (heatmaps.shape, pafs.shape) == ((1, skeleton.num_heatmaps, 8, 8), (1, skeleton.num_pafs, 8, 8))


def test_it_learns(tiny_set: Path) -> None:
    losses: list[float] = []
    settings = settings_for(tiny_set, network="my_package:MyNet", steps=12, augment=False)
    train(settings, Sgd, on_metrics=lambda _step, row: losses.append(row["loss"]) if "loss" in row else None)
    assert losses[-1] < losses[0]
