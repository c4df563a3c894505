"""Workloads with scores of their own, on the base class for everybody's: a valley scored by its loss, one in percent.

Both descend the valley of `tests.support.valley`, whose best learning rate is known.
"""

import math
from typing import Any

import torch
from pydantic import Field

from bench.workloads import MakeOptimizer, Score, Settings, Trained, WorkloadBase, WorkloadRun, train_steps
from tests.support.valley import DIMENSIONS, FLATTEST, STEEPEST

LOSS_VALLEY = "tests.support.scored_valleys:LossValley"
PERCENT_VALLEY = "tests.support.scored_valleys:PercentValley"
FAILURE = 1000.0
"""Loss of a run that failed."""


class ScoredSettings(Settings):
    """What a study says of its valley."""

    noise: float = Field(default=0.05, ge=0)
    """Standard deviation of what each step's gradient is off by."""


class ScoredRun(ScoredSettings, WorkloadRun):
    """One run."""


class LossValley(WorkloadBase):
    """A valley scored by its loss, relative to that at the beginning: 1 is nothing learned, 0 is perfect."""

    settings = ScoredSettings
    run = ScoredRun
    score = Score("remaining_loss", "minimize", high=math.inf, chance=1.0, failure=FAILURE, margin=0.005)

    def train(self, run: ScoredRun, make_optimizer: MakeOptimizer, **calls: Any) -> Trained:
        """Descend."""
        valley = _Valley(run)
        first = valley.height().item()
        return train_steps(
            *(run, valley, make_optimizer, self.score),
            loss=valley.noisy,
            score_on=lambda _split: self.scored(valley.height().item() / first),
            **calls,
        )

    def scored(self, share: float) -> float:
        """The score at a share of the first loss; not finite above the score of a failed run."""
        return share if share < FAILURE else math.nan


class PercentValley(LossValley):
    """A valley scored by the percentage of the way down that is done."""

    score = Score("accuracy", high=100, chance=0)
    sample_name = "digits"

    def scored(self, share: float) -> float:
        """The score at a share of the first loss."""
        return 100 * max(0.0, 1 - share)


class _Valley(torch.nn.Module):
    def __init__(self, run: ScoredRun) -> None:
        super().__init__()
        self.run = run
        self.curvature = torch.logspace(math.log10(FLATTEST), math.log10(STEEPEST), DIMENSIONS, dtype=torch.float64)
        self.target = torch.randn(DIMENSIONS, generator=torch.Generator().manual_seed(run.seed), dtype=torch.float64)
        self.x = torch.nn.Parameter(torch.zeros(DIMENSIONS, dtype=torch.float64))

    def height(self) -> torch.Tensor:
        return 0.5 * (self.curvature * (self.x - self.target) ** 2).sum()

    def noisy(self, step: int) -> torch.Tensor:
        """The height, with a slope that is off by noise."""
        noise = torch.Generator().manual_seed(1_000_003 * (self.run.seed + 1) + step)
        return self.height() + self.run.noise * (self.x * torch.randn(DIMENSIONS, generator=noise)).sum()
