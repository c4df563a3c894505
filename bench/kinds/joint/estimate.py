"""What a joint study will take on this machine: one typical configuration is measured, and scaled to the others.

Rougher than that of an optimizers study: which batch sizes, worker processes and optimizers the search will try, and
how many picks it will have, nobody knows before.
"""

import math
from statistics import fmean, median_low

from bench.kinds.joint.objectives import AP_AND_SPEED, AXES
from bench.kinds.joint.plan import Picked, plan_confirm
from bench.kinds.joint.space import OPTIMIZER, hyperparameters, quasi_random_choices
from bench.kinds.joint.spec import JointSpec
from bench.study import estimate as study_estimate
from bench.study.estimate import RECORD_S, REPORT_S, Estimate
from bench.study.prepared import Prepared
from bench.study.probe import EstimateError, Measured
from bench.trials.spec import TrialSpec
from bench.workloads.protocol import REPORT, SELECT

MOST_PICKS = {AP_AND_SPEED: 3}
"""Configurations that are trained again, by objective, at most; one of any other."""


def typical_trials(spec: JointSpec) -> dict[str, TrialSpec]:
    """A trial of each optimizer with the middle one of each loader setting."""
    loader = {axis: median_low(sorted(getattr(spec, axis))) for axis in AXES}
    tried = quasi_random_choices(spec, len(spec.optimizers))
    typical = [Picked(str(each[OPTIMIZER]), hyperparameters(spec, each), loader) for each in tried]
    return {trial.optimizer: trial for trial in plan_confirm(spec, typical)[: len(typical)]}


def typical_batch(spec: JointSpec) -> int:
    """The batch size that is measured."""
    return median_low(sorted(spec.batch_size))


def measured(prepared: Prepared[JointSpec]) -> Measured:
    """What the study's trials are made of, measured in some seconds."""
    return study_estimate.measured(prepared, typical_trials(prepared.spec), module="bench.kinds.joint.trial")


def add_up(spec: JointSpec, found: Measured, workers: int) -> Estimate:
    """Search trials, then as many picks as there can be, with every seed; an image takes as long in any batch."""
    costs = found.costs
    if spec.images is not None:
        training = spec.images * fmean(costs.step_s.values()) / typical_batch(spec)
    else:
        training = spec.seconds or 0.0
    each = costs.setup_s + training + found.evaluation_s(SELECT) + RECORD_S
    confirming = MOST_PICKS.get(spec.objective, 1) * spec.seeds
    parts = {
        "data_s": found.data_s,
        "search_s": math.ceil(spec.trials / workers) * each,
        "confirm_s": math.ceil(confirming / workers) * (each + found.evaluation_s(REPORT)),
        "other_s": costs.start_s + REPORT_S,
    }
    return Estimate(parts, costs)


def estimate(prepared: Prepared[JointSpec]) -> Estimate:
    """The study's time, added up from its pieces."""
    return add_up(prepared.spec, measured(prepared), prepared.workers)


def estimate_text(prepared: Prepared[JointSpec]) -> str:
    """How long the study will take, measured; what could not be measured is said."""
    try:
        return text_of(prepared, estimate(prepared))
    except EstimateError as error:
        return str(error)


def text_of(prepared: Prepared[JointSpec], found: Estimate) -> str:
    """An estimate in words."""
    spec = prepared.spec
    return found.text(spec.network, prepared.workers, roughly=f"by batch size {typical_batch(spec)}")
