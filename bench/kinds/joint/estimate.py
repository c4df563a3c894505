"""Estimate the duration of a joint study: one typical configuration is measured and scaled to the others.

Rougher than the estimate of an optimizers study: it is not known beforehand which batch sizes, worker counts and
optimizers the search will try, nor how many picks it will have.
"""

import math
from statistics import fmean, median_low

from bench.kinds.joint.objectives import AP_AND_SPEED, AXES
from bench.kinds.joint.plan import PickedConfiguration, plan_confirm
from bench.kinds.joint.space import OPTIMIZER, hyperparameters, quasi_random_choices
from bench.kinds.joint.spec import JointSpec
from bench.study import estimate as study_estimate
from bench.study.estimate import RECORD_S, REPORT_S, Estimate
from bench.study.prepared import Prepared
from bench.study.probe import EstimateError, Measured
from bench.trials.spec import TrialSpec
from bench.workloads.protocol import REPORT, SELECT

MOST_PICKS = {AP_AND_SPEED: 3}
"""Maximum number of configurations that are trained again, by objective; 1 for any objective not listed."""


def typical_trials(spec: JointSpec) -> dict[str, TrialSpec]:
    """Return one trial for each optimizer, with the median value of each loader setting."""
    loader = {axis: median_low(sorted(getattr(spec, axis))) for axis in AXES}
    points = quasi_random_choices(spec, len(spec.optimizers))
    typical = [PickedConfiguration(str(each[OPTIMIZER]), hyperparameters(spec, each), loader) for each in points]
    return {trial.optimizer: trial for trial in plan_confirm(spec, typical)[: len(typical)]}


def typical_batch(spec: JointSpec) -> int:
    """Return the batch size that is measured: the median of the study's."""
    return median_low(sorted(spec.batch_size))


def measure_costs(prepared: Prepared[JointSpec]) -> Measured:
    """Measure the setup, step and evaluation times of the study's typical trials; takes some seconds."""
    return study_estimate.measure_costs(prepared, typical_trials(prepared.spec), module="bench.kinds.joint.trial")


def add_up(spec: JointSpec, measurements: Measured, workers: int) -> Estimate:
    """Add up the study's time: search trials, then confirm trials of the maximum number of picks with every seed.

    An image is taken to cost the same in a batch of any size.
    """
    costs = measurements.costs
    if spec.images is not None:
        training = spec.images * fmean(costs.step_s.values()) / typical_batch(spec)
    else:
        training = spec.seconds or 0.0
    trial_s = costs.setup_s + training + measurements.evaluation_s(SELECT) + RECORD_S
    confirm_trials = MOST_PICKS.get(spec.objective, 1) * spec.seeds
    parts = {
        "data_s": measurements.data_s,
        "search_s": math.ceil(spec.trials / workers) * trial_s,
        "confirm_s": math.ceil(confirm_trials / workers) * (trial_s + measurements.evaluation_s(REPORT)),
        "other_s": costs.start_s + REPORT_S,
    }
    return Estimate(parts, costs)


def estimate(prepared: Prepared[JointSpec]) -> Estimate:
    """Measure the study's typical trials and add up its time."""
    return add_up(prepared.spec, measure_costs(prepared), prepared.workers)


def estimate_text(prepared: Prepared[JointSpec]) -> str:
    """Return the estimated duration in words, or why it could not be measured."""
    try:
        return describe_estimate(prepared, estimate(prepared))
    except EstimateError as error:
        return str(error)


def describe_estimate(prepared: Prepared[JointSpec], estimated: Estimate) -> str:
    """Return an estimate in words."""
    spec = prepared.spec
    return estimated.text(spec.network, prepared.workers, prepared.gpus, roughly=f"by batch size {typical_batch(spec)}")
