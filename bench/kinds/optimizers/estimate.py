"""Estimate how long an optimizers study takes on this machine, from a short measurement of its parts."""

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
"""The data split that each phase's trials are scored on."""


def measure_costs(prepared: Prepared[StudySpec]) -> Measured:
    """Measure the parts of the study's trials (setup, steps, evaluations) for some seconds."""
    return study_estimate.measure_costs(prepared, typical_trials(prepared.spec), module="bench.kinds.optimizers.trial")


def tuning_s(spec: StudySpec, total: Estimate) -> float:
    """Return the wall time in seconds of one tuning of every optimizer, its confirm trials included."""
    return (total.parts["tune_s"] + total.parts["confirm_s"]) / spec.tunings


def estimate(prepared: Prepared[StudySpec]) -> Estimate:
    """Measure and estimate a study, or the first study of a series."""
    return add_up(prepared.spec, measure_costs(prepared), prepared.workers)


def add_up(spec: StudySpec, measured_parts: Measured, workers: int) -> Estimate:
    """Add up the wall time of a study from its measured parts.

    A free worker takes the next trial, so at the end some workers idle; the confirm phase is scaled up for that.
    """
    size, costs = Size.of_spec(spec), measured_parts.costs
    tune, confirm = 0.0, 0.0
    for name in costs.step_s:
        if name in spec.optimizers:
            tune += sum(count * _trial_s(size, TUNE, measured_parts, name, share) for count, share in rounds(spec))
        confirm += spec.seeds * _trial_s(size, CONFIRM, measured_parts, name, 1.0)
    idle_factor = _idle_factor(spec.tunings * spec.seeds * len(costs.step_s), workers)
    parts = {
        "data_s": measured_parts.data_s,
        "tune_s": spec.tunings * tune / workers,
        "confirm_s": idle_factor * spec.tunings * confirm / workers,
        "other_s": costs.start_s + REPORT_S,
    }
    return Estimate(parts, costs)


def _idle_factor(trials: int, workers: int) -> float:
    """Return how much longer whole trials take than evenly divided work, since some workers are idle in the last
    round."""
    return math.ceil(trials / workers) / (trials / workers)


def _trial_s(size: Size, phase: Phase, measured_parts: Measured, name: str, share: float) -> float:
    """Return the seconds of a trial of ``share`` of a phase's length; of steps, the first counts as setup."""
    costs = measured_parts.costs
    scoring = size.evaluations_of(phase) * measured_parts.evaluation_s(SCORED[phase])
    if phase == CONFIRM:  # also scored on the split that chooses settings
        scoring += measured_parts.evaluation_s(SELECT)
    length = share * size.length(phase)
    training = (length - 1) * costs.step_s[name] if size.steps is not None else length
    return costs.setup_s + training + scoring + RECORD_S
