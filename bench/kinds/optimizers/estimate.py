"""What an optimizers study will take on this machine, from a short measurement of its own pieces."""

import math

from bench.kinds.optimizers.plan import rounds, typical_trials
from bench.kinds.optimizers.size import Size
from bench.kinds.optimizers.spec import StudySpec
from bench.study import estimate as study_estimate
from bench.study.estimate import RECORD_S, REPORT_S, Estimate
from bench.study.prepared import Prepared
from bench.study.probe import Measured
from bench.trials.phases import CONFIRM, TUNE, Phase
from bench.workloads.protocol import REPORT, SELECT, Split

SCORED: dict[Phase, Split] = {TUNE: SELECT, CONFIRM: REPORT}
"""The split that each phase is scored on."""


def measured(prepared: Prepared[StudySpec]) -> Measured:
    """What the study's trials are made of, measured in some seconds."""
    return study_estimate.measured(prepared, typical_trials(prepared.spec), module="bench.kinds.optimizers.trial")


def tuning_s(spec: StudySpec, found: Estimate) -> float:
    """Wall time of one tuning of each optimizer, its confirm trials included."""
    return (found.parts["tune_s"] + found.parts["confirm_s"]) / spec.tunings


def estimate(prepared: Prepared[StudySpec]) -> Estimate:
    """The plan of a study (of a series, of its first) added up from its pieces."""
    return add_up(prepared.spec, measured(prepared), prepared.workers)


def add_up(spec: StudySpec, found: Measured, workers: int) -> Estimate:
    """Trials go to whichever worker is free: the last ones end half a trial apart, at the mean."""
    size, costs = Size.of_spec(spec), found.costs
    tune, confirm = 0.0, 0.0
    for name in costs.step_s:
        if name in spec.optimizers:
            tune += sum(count * _trial_s(size, TUNE, found, name, share) for count, share in rounds(spec))
        confirm += spec.seeds * _trial_s(size, CONFIRM, found, name, 1.0)
    last_ones = _last_ones(spec.tunings * spec.seeds * len(costs.step_s), workers)
    parts = {
        "data_s": found.data_s,
        "tune_s": spec.tunings * tune / workers,
        "confirm_s": last_ones * spec.tunings * confirm / workers,
        "other_s": costs.start_s + REPORT_S,
    }
    return Estimate(parts, costs)


def _last_ones(trials: int, workers: int) -> float:
    """How much longer so many trials take for being whole."""
    return math.ceil(trials / workers) / (trials / workers)


def _trial_s(size: Size, phase: Phase, found: Measured, name: str, share: float) -> float:
    """Seconds of a trial of ``share`` of a phase's length; its first step is part of its setup."""
    costs = found.costs
    scoring = size.evaluations_of(phase) * found.evaluation_s(SCORED[phase])
    if phase == CONFIRM:  # scored on the split that settings are chosen by, too
        scoring += found.evaluation_s(SELECT)
    length = share * size.length(phase)
    training = (length - 1) * costs.step_s[name] if size.steps is not None else length
    return costs.setup_s + training + scoring + RECORD_S
