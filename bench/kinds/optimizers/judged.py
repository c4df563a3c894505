"""What the trials of an optimizers study are judged by: its workload's score, or the skill of validation losses."""

from typing import Protocol

from bench.trials.score_names import LOSS_SCORE, ScoreName
from bench.trials.scores import REFERENCE_LOSS
from bench.workloads.of_study import TrainsWorkload, workload_of
from bench.workloads.protocol import Score, Workload

SKILL = Score("skill", "maximize", low=0.0, high=1.0, chance=0.0, failure=0.0)
"""The score of a study that is judged by validation loss, see `bench.trials.scores.skill`."""


class Judged(TrainsWorkload, Protocol):
    """A study whose trials are judged."""

    @property
    def score(self) -> ScoreName:
        """What they are judged by."""


def score_of(study: Judged) -> Score:
    """What the trials of a study are judged by."""
    return SKILL if study.score == LOSS_SCORE else workload_of(study).score


def has_skill(its: Workload) -> bool:
    """Whether a workload measures what the skill of a validation loss is made of."""
    return REFERENCE_LOSS in its.final_metrics
