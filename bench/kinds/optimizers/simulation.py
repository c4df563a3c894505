"""Simulate optimizers studies whose trials are a function with a known truth, to test the method's error rates.

`simulated_scores` goes through the tunings as `plan` does, without the ledger and trial specifications, so that a
thousand studies take half a minute; `docs/method.md` shows how to attack the method with it.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from bench.kinds.optimizers.kind import KIND
from bench.kinds.optimizers.plan import OptimizerSearch, rounds
from bench.kinds.optimizers.search import Point, TrialOutcome, finalist, next_points
from bench.kinds.optimizers.spec import StudySpec
from bench.optimizers.space import Hyperparameters
from bench.settings.layers import build_model
from bench.study.settings import StudyRequest, resolve
from bench.trials.phases import CONFIRM, TUNE, Phase


@dataclass(frozen=True)
class SimulatedTrial:
    """Everything on which the simulated outcome of a trial may depend."""

    optimizer: str
    hyperparameters: Hyperparameters
    phase: Phase
    length: float
    """Length of a tune trial relative to one of the last round; 1 for a confirm trial."""
    study: int
    tuning: int
    number: int
    """Number of the trial within its phase and tuning, from 0; confirm trials of one number share a seed."""


Outcome = Callable[[SimulatedTrial], TrialOutcome]
"""Returns a trial's outcome; its score is None if the trial diverged."""


def preset_study(preset: str = "small", **settings: Any) -> StudySpec:
    """Return the study of a shipped preset, without data.

    Example:
        spec = preset_study("small", tunings=4, trials=20)  # settings as on the command line
    """
    layered = KIND.resolve_on_machine(
        resolve(StudySpec, StudyRequest({"device": "cpu", **settings}, None, preset), preset), preset
    )
    values = {name: layered[name].value for name in StudySpec.model_fields if name in layered}
    derived = {"name": "simulated", "preset": preset, "data": Path(), "data_digest": ""} | KIND.implicit_values(layered)
    return build_model(StudySpec, values | derived, layered)


def simulated_scores(spec: StudySpec, outcome: Outcome, studies: Sequence[int]) -> np.ndarray:
    """Return confirm scores (studies, optimizers, tunings, seeds) of studies that differ only in their ``plan_seed``.

    Args:
        spec: The study: its optimizers, spaces, tunings, trials and seeds.
        outcome: The function that gives a trial's outcome.
        studies: The plan seeds; also `SimulatedTrial.study`.
    """
    searches = [OptimizerSearch(spec, name) for name in spec.optimizers]
    scores = np.zeros((len(studies), len(searches), spec.tunings, spec.seeds))
    for row, study in enumerate(studies):
        for column, optimizer_search in enumerate(searches):
            for tuning in range(spec.tunings):
                scores[row, column, tuning] = _finalist_scores(optimizer_search, outcome, study, tuning)
    return scores


def _finalist_scores(optimizer_search: OptimizerSearch, outcome: Outcome, study: int, tuning: int) -> list[float]:
    """Return the confirm scores of one tuning's finalist."""
    search = optimizer_search.tuning_search(tuning, plan_seed=study)
    points_by_round: list[list[Point]] = []
    outcomes_by_round: list[list[TrialOutcome]] = []
    number = 0

    def run(hyperparameters: Hyperparameters, phase: Phase, length: float, trial_number: int) -> TrialOutcome:
        return outcome(
            SimulatedTrial(optimizer_search.optimizer, hyperparameters, phase, length, study, tuning, trial_number)
        )

    for _, length in rounds(optimizer_search.spec):
        points_by_round.append(next_points(search, points_by_round, outcomes_by_round))
        outcomes_by_round.append(
            [
                run(optimizer_search.settings(each)[0], TUNE, length, number + trial_number)
                for trial_number, each in enumerate(points_by_round[-1])
            ]
        )
        number += len(points_by_round[-1])
    settings, _ = optimizer_search.settings(finalist(search, points_by_round[-1], outcomes_by_round[-1]))
    confirmed = [run(settings, CONFIRM, 1.0, trial_number).score for trial_number in range(optimizer_search.spec.seeds)]
    return [optimizer_search.chance if score is None else score for score in confirmed]
