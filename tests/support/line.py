"""A workload of milliseconds that trains any optimizer with `train_steps`: a line is fitted to random points."""

import math
from typing import Any

import torch
from torch import nn

from bench.workloads import Score, Settings, WorkloadBase, WorkloadRun, train_steps


class LineSettings(Settings):
    """Its settings."""

    norm: bool = False
    """Whether the network has a batch norm."""


class LineRun(LineSettings, WorkloadRun):
    """One run."""


class Line(WorkloadBase):
    """Fit y = 2 x1 - x2 to random inputs; scored by the mean squared error."""

    settings = LineSettings
    run = LineRun
    score = Score("mse", "minimize", high=math.inf, chance=5, failure=1e6, margin=0.01)

    def __init__(self) -> None:
        self.steps: list[int] = []
        """The number of the step, at each evaluation of the loss."""
        self.network: nn.Module = nn.Identity()
        self.seen: list[list[torch.Tensor]] = []
        """The weights, at each score."""

    def train(self, run: LineRun, make_optimizer: Any, **calls: Any) -> Any:
        """Train with the loop."""
        torch.manual_seed(run.seed)
        layers = [nn.Linear(2, 3), *([nn.BatchNorm1d(3)] if run.norm else []), nn.Linear(3, 1)]
        self.network = nn.Sequential(*layers)

        def batch(step: int) -> tuple[torch.Tensor, torch.Tensor]:
            inputs = torch.randn(run.loader.batch_size, 2, generator=torch.Generator().manual_seed(1000 + step))
            return inputs, (2 * inputs[:, :1] - inputs[:, 1:])

        def loss(step: int) -> torch.Tensor:
            self.steps.append(step)
            inputs, outputs = batch(step)
            return ((self.network(inputs) - outputs) ** 2).mean()

        def error(_split: str) -> float:
            self.seen.append([weight.detach().clone() for weight in self.network.parameters()])
            inputs, outputs = batch(-1)
            return float(((self.network(inputs) - outputs) ** 2).mean())

        return train_steps(run, self.network, make_optimizer, self.score, loss=loss, score_on=error, **calls)


LINE = Line.name
"""Its name in a study file."""
