"""Measure at which validation loss AP rises above 0, and how well `bench.trials.needed_length` predicts that.

    python -m tests.support.first_ap FOLDER --train COCO_MINI    # trains longer and longer; then as below
    python -m tests.support.first_ap FOLDER                      # predictions.csv from trainings.csv

`trainings.csv` has a row for each training, a whole run with its own schedule: its steps, validation loss, loss of maps
that show no people, and AP. Synthetic people are scored on images that are not trained on; coco-mini has too few
photographs for that, so that train and val are the same images. `predictions.csv` has a row for each pair of trainings
of which one is twice as long and neither has an AP above 0, like an earlier and the last round of a study: the lengths
predicted from each and from both, and the steps and the skill at which AP reached the minimum (log-linear between the
trainings).
"""

import argparse
import csv
import math
import shutil
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd

from bench.optimizers import optimizer_entry
from bench.trials.needed_length import NeededLength, estimate_needed_length
from bench.trials.phases import TUNE
from bench.trials.score_scale import AP_FLOOR
from bench.trials.status import Status
from posemodel.config import AugmentSettings, LoaderSettings, TrainSettings
from posemodel.synthetic import generate
from posemodel.training.loop import train

STEPS = (20, 40, 80, 160, 320, 640)
BATCH_SIZE = 8
COLUMNS = ("data", "optimizer", "lr", "foreground_weight", "steps", "batch_size", "val_loss", "reference_loss", "ap")
SERIES = COLUMNS[:4]
RUNS = (
    ("drawn people", "adam", 1e-3, 1.0),
    ("photographs by heart", "adam", 1e-3, 1.0),
    ("drawn people", "adam", 1e-3, 4.0),
    ("photographs by heart", "adam", 1e-3, 4.0),
    ("photographs by heart", "sgd", 0.1, 4.0),
    ("drawn people", "sgd", 0.1, 1.0),
)
"""Data, optimizer, learning rate and foreground weight of each series."""


def main() -> None:
    """Train where that is asked for, and write what the rule makes of the trainings."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--train", type=Path, metavar="COCO_MINI")
    given = parser.parse_args()
    if given.train is not None:
        _train_all(given.train, given.folder / "trainings.csv")
    found = predictions(pd.read_csv(given.folder / "trainings.csv"))
    found.to_csv(given.folder / "predictions.csv", index=False, float_format="%.6g", lineterminator="\n")


def predictions(trainings: pd.DataFrame) -> pd.DataFrame:
    """What the rule promises from each training that does not score, and from it with the one half as long."""
    rows = []
    for series, own in trainings.groupby([*SERIES], sort=False):
        own = own.sort_values("steps", ignore_index=True)
        first = first_steps(own)
        if math.isnan(first):
            continue  # it never scored, or always did
        skill = np.interp(math.log(first), np.log(own["steps"]), 1 - own["val_loss"] / own["reference_loss"])
        for place in range(len(own)):
            for before in (None, place - 1):
                if before == -1 or own["steps"][place] >= first:
                    continue
                found = _needed(own.loc[[place] if before is None else [before, place]])
                holds = found.low is not None and found.low <= first <= (found.high or math.inf)
                said = "none" if found.low is None else "yes" if holds else "no"
                basis = "one length" if before is None else "two lengths"
                rows.append([*series, basis, own["steps"][place], found.low, found.high, round(first), skill, said])
    found = pd.DataFrame(rows, columns=[*SERIES, "basis", "steps", "low", "high", "first_ap_steps", "skill", "holds"])
    return found.assign(span=found["high"] / found["low"])


def first_steps(series: pd.DataFrame) -> float:
    """Steps from which on AP stays above the floor."""
    scored = series["ap"] >= AP_FLOOR
    place = len(series) - int(scored[::-1].cummin().sum())
    if place in (0, len(series)):
        return math.nan
    (low, high), (below, above) = (series[name][place - 1 : place + 1] for name in ("steps", "ap"))
    share = (AP_FLOOR - below) / (above - below)
    return float(low * (high / low) ** share)


def _needed(trainings: pd.DataFrame) -> NeededLength:
    records = trainings.assign(phase=TUNE, status=Status.COMPLETE, round=range(len(trainings)))
    return estimate_needed_length(records, TUNE, length=float(trainings["steps"].max()), unit="step")


def _train_all(coco_mini: Path, out: Path) -> None:
    """Write the rows as they come."""
    with tempfile.TemporaryDirectory() as folder, out.open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file, lineterminator="\n")
        rows.writerow(COLUMNS)
        folders = {
            "drawn people": _drawn(Path(folder) / "drawn"),
            "photographs by heart": _by_heart(coco_mini, Path(folder) / "heart"),
        }
        for data, optimizer, rate, weight in RUNS:
            for steps in STEPS:
                found = _trained(folders[data], optimizer, rate, weight, steps)
                values = [f"{found[name]:.6g}" for name in COLUMNS[-3:]]
                rows.writerow([data, optimizer, rate, weight, steps, BATCH_SIZE, *values])
                file.flush()


def _trained(data: Path, optimizer: str, rate: float, weight: float, steps: int) -> dict[str, float]:
    settings = TrainSettings(
        data=data,
        network="small",
        size=128,
        steps=steps,
        foreground_weight=weight,
        augment=AugmentSettings(enabled=False),
        loader=LoaderSettings(batch_size=BATCH_SIZE, num_workers=0),
        device="cpu",
    )
    return train(settings, optimizer_entry(optimizer).factory({"lr": rate})).metrics


def _drawn(folder: Path) -> Path:
    generate(folder, images=400, seed=0, num_workers=0)
    return folder


def _by_heart(coco_mini: Path, folder: Path) -> Path:
    shutil.copytree(coco_mini / "images" / "train2017", folder / "images" / "train2017")
    (folder / "images" / "val2017").symlink_to(folder / "images" / "train2017")
    (folder / "annotations").mkdir()
    for split in ("train", "val"):
        source = coco_mini / "annotations" / "person_keypoints_train2017.json"
        shutil.copy(source, folder / "annotations" / f"person_keypoints_{split}2017.json")
    return folder


if __name__ == "__main__":
    main()
