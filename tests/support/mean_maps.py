"""Measure the skill, 1 - loss / (loss of empty maps), of predicting the training images' mean maps for every image.

`python -m tests.support.mean_maps reports/first-ap-cpu COCO_MINI` writes mean-maps.csv, which docs/method.md quotes.
"""

import argparse
import tempfile
from pathlib import Path

import pandas as pd
import torch

from posemodel.config import LoaderSettings
from posemodel.data.batch import Batch, to_device
from posemodel.data.loader import validation_loader
from posemodel.data.open_split import open_split
from posemodel.network import Maps, input_geometry
from posemodel.synthetic import generate
from posemodel.training.loss import background_maps, pose_loss

FILE = "mean-maps.csv"
DRAWN_IMAGES = 200
SIZES, FOREGROUND_WEIGHTS = (64, 128), (1.0, 4.0)


def batches(folder: Path, split: str, size: int) -> list[Batch]:
    """All batches of a split with their targets."""
    geometry = input_geometry("small", size)
    opened = open_split(folder, split)
    loader = validation_loader(opened, geometry, LoaderSettings(batch_size=8))
    return [to_device(batch, torch.device("cpu"), geometry, opened.skeleton) for batch in loader]


def skill_of_mean(train: list[Batch], scored: list[Batch], foreground_weight: float) -> float:
    """1 - loss of the mean maps of ``train`` on ``scored`` / loss of maps with nobody in them."""
    heatmaps, pafs = (torch.cat([getattr(each, name) for each in train]).mean(0) for name in ("heatmaps", "pafs"))
    loss = reference = 0.0
    for batch in scored:
        count = len(batch.images)
        mean = [Maps(heatmaps.expand(count, *heatmaps.shape), pafs.expand(count, *pafs.shape))]
        loss += count * pose_loss(mean, batch, foreground_weight=foreground_weight)[0].item()
        reference += count * pose_loss(background_maps(mean), batch, foreground_weight=foreground_weight)[0].item()
    return 1 - loss / reference


def main() -> None:
    """Write the file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("coco_mini", type=Path)
    given = parser.parse_args()
    rows = []
    with tempfile.TemporaryDirectory() as drawn:
        generate(Path(drawn), images=DRAWN_IMAGES, seed=0, size=(160, 160))
        for data, folder, split in (("drawn people", Path(drawn), "report"), ("photographs", given.coco_mini, "val")):
            for size in SIZES:
                train, scored = batches(folder, "train", size), batches(folder, split, size)
                images = sum(len(each.images) for each in scored)
                for weight in FOREGROUND_WEIGHTS:
                    rows.append((data, size, weight, images, round(skill_of_mean(train, scored, weight), 4)))
    columns = ["data", "size", "foreground_weight", "images", "skill"]
    pd.DataFrame(rows, columns=columns).to_csv(given.out / FILE, index=False)


if __name__ == "__main__":
    main()
