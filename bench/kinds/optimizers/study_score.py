"""The score that judges the trials of an optimizers study: the workload's own, or the skill of the validation loss."""

from typing import Protocol

from bench.trials.score_names import LOSS_SCORE, ScoreName
from bench.trials.scores import REFERENCE_LOSS
from bench.workloads.of_study import TrainsWorkload, workload_of
from bench.workloads.protocol import Score, Workload

SKILL = Score("skill", "maximize", low=0.0, high=1.0, chance=0.0, failure=0.0)
"""The score of a study that is judged by validation loss, see `bench.trials.scores.skill`."""


class ScoredStudy(TrainsWorkload, Protocol):
    """A study specification that says how its trials are judged."""

    @property
    def score(self) -> ScoreName:
        """Name of the score that judges its trials."""


def score_of(study: ScoredStudy) -> Score:
    """Return the score that judges a study's trials."""
    return SKILL if study.score == LOSS_SCORE else workload_of(study).score


def measures_skill(workload: Workload) -> bool:
    """Return whether a workload measures the reference loss that the skill of a validation loss needs."""
    return REFERENCE_LOSS in workload.final_metrics
