"""Run trainings of a few steps on a handful of tiny images, and check their results."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch

from posemodel.config import TrainSettings
from posemodel.network.weights import load_network

CPU = torch.device("cpu")
Sgd = partial(torch.optim.SGD, lr=1e-2, momentum=0.9)


def settings_for(data: Path, **changes: Any) -> TrainSettings:
    """6 steps of 4 images at 64 pixels: two epochs of the tiny set's 12 train images."""
    base = {"data": data, "network": "small", "size": 64, "steps": 6, "loader": {"batch_size": 4}, "device": "cpu"}
    return TrainSettings.model_validate(base | {"log_every": 1, "val_every": 3, "seed": 2} | changes)


class Log:
    """Collects what `on_metrics` is given."""

    def __init__(self) -> None:
        self.rows: list[tuple[int, dict[str, float]]] = []

    def __call__(self, step: int, metrics: dict[str, float]) -> None:
        self.rows.append((step, metrics))

    def of(self, name: str) -> dict[int, float]:
        return {step: row[name] for step, row in self.rows if name in row}


class KilledError(Exception):
    """Stands for whatever kills a run."""


def killed_after(step: int) -> Callable[[int, dict[str, float]], None]:
    def on_metrics(now: int, _: dict[str, float]) -> None:
        if now > step:
            raise KilledError

    return on_metrics


def weights(path: Path) -> dict[str, torch.Tensor]:
    return load_network(path, CPU)[0].state_dict()


def equal(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor]) -> bool:
    return first.keys() == second.keys() and all(torch.equal(first[key], second[key]) for key in first)
