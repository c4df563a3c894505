"""A study whose trials are a function's: what would its plan and its analysis make of a truth that is known?

`simulated_scores` goes through the tunings as `plan` does, without the ledger and the trials' specifications, so that a
thousand studies take half a minute; `docs/method.md` shows how to attack the method with it.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from bench.kinds.optimizers.kind import KIND
from bench.kinds.optimizers.plan import OwnSearch, rounds
from bench.kinds.optimizers.search import Point, Seen, finalist, next_points
from bench.kinds.optimizers.spec import StudySpec
from bench.optimizers.space import Hyperparameters
from bench.settings.layers import build
from bench.study.settings import Given, resolve
from bench.trials.phases import CONFIRM, TUNE, Phase


@dataclass(frozen=True)
class SimulatedTrial:
    """What a trial's outcome may hang on."""

    optimizer: str
    hyperparameters: Hyperparameters
    phase: Phase
    length: float
    """Of a tune trial: relative to one of the last round. Of a confirm trial: 1."""
    study: int
    tuning: int
    number: int
    """Which trial of its phase and tuning it is, from 0; confirm trials of one number have one seed."""


Outcome = Callable[[SimulatedTrial], Seen]
"""What comes of a trial; a score of None: it diverged."""


def preset_study(preset: str = "small", **settings: Any) -> StudySpec:
    """The study of a preset as it ships, without data: ``settings`` as on a command line (tunings=4, trials=20)."""
    layered = KIND.on_this_machine(
        resolve(StudySpec, Given({"device": "cpu", **settings}, None, preset), preset), preset
    )
    values = {name: layered[name].value for name in StudySpec.model_fields if name in layered}
    derived = {"name": "simulated", "preset": preset, "data": Path(), "data_digest": ""} | KIND.spelled_out(layered)
    return build(StudySpec, values | derived, layered)


def simulated_scores(spec: StudySpec, outcome: Outcome, studies: Sequence[int]) -> np.ndarray:
    """Confirm scores (studies, optimizers, tunings, seeds) of studies that differ in their ``plan_seed`` alone.

    Args:
        spec: The study: its optimizers, spaces, tunings, trials and seeds.
        outcome: What comes of a trial.
        studies: The plan seeds; also `SimulatedTrial.study`.
    """
    searches = [OwnSearch(spec, name) for name in spec.optimizers]
    scores = np.zeros((len(studies), len(searches), spec.tunings, spec.seeds))
    for row, study in enumerate(studies):
        for column, own in enumerate(searches):
            for tuning in range(spec.tunings):
                scores[row, column, tuning] = _tuned(own, outcome, study, tuning)
    return scores


def _tuned(own: OwnSearch, outcome: Outcome, study: int, tuning: int) -> list[float]:
    """The confirm scores of one tuning's finalist."""
    search = own.of(tuning, plan_seed=study)
    points: list[list[Point]] = []
    seen: list[list[Seen]] = []
    number = 0

    def tried(hyperparameters: Hyperparameters, phase: Phase, length: float, at: int) -> Seen:
        return outcome(SimulatedTrial(own.optimizer, hyperparameters, phase, length, study, tuning, at))

    for _, length in rounds(own.spec):
        points.append(next_points(search, points, seen))
        seen.append([tried(own.settings(each)[0], TUNE, length, number + at) for at, each in enumerate(points[-1])])
        number += len(points[-1])
    chosen, _ = own.settings(finalist(search, points[-1], seen[-1]))
    confirmed = [tried(chosen, CONFIRM, 1.0, at).score for at in range(own.spec.seeds)]
    return [own.chance if score is None else score for score in confirmed]
