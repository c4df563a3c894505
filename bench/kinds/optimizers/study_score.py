"""The score that judges the trials of an optimizers study: the workload's own, or the skill of the validation loss.

The planning and the analysis of a study read gains (`Score.gain`) in the columns of AP: `scored` makes them of records.
"""

from typing import Protocol

import pandas as pd

from bench.trials.score_names import LOSS_SCORE, ScoreName
from bench.trials.score_scale import REFERENCE_LOSS, SKILL_SCORE
from bench.trials.scores import as_gains, as_skill, curves_as_skill
from bench.workloads.of_study import TrainsWorkload, workload_of
from bench.workloads.protocol import Workload
from bench.workloads.score import MARGIN_SHARE, Score


class ScoredStudy(TrainsWorkload, Protocol):
    """A study specification that says how its trials are judged."""

    @property
    def score(self) -> ScoreName:
        """Name of the score that judges its trials."""


def score_of(study: ScoredStudy) -> Score:
    """Return the score that judges a study's trials."""
    return SKILL_SCORE if study.score == LOSS_SCORE else workload_of(study).score


def margin_scale(score: Score) -> float:
    """Return the factor from the margin of AP to that of a score: 1 for AP."""
    return score.margin / MARGIN_SHARE


def scored(study: ScoredStudy, records: pd.DataFrame) -> pd.DataFrame:
    """Return a study's records with the gains, or skills, of its trials in the columns of AP."""
    if study.score == LOSS_SCORE:
        return as_skill(records)
    return as_gains(records, workload_of(study).score)


def scored_curves(study: ScoredStudy, curves: pd.DataFrame, records: pd.DataFrame) -> pd.DataFrame:
    """Return the curves likewise; ``records``: the records of the same trials."""
    if study.score == LOSS_SCORE:
        return curves_as_skill(curves, records)
    return as_gains(curves, workload_of(study).score)


def measures_skill(workload: Workload) -> bool:
    """Return whether a workload measures the reference loss that the skill of a validation loss needs."""
    return REFERENCE_LOSS in workload.final_metrics
