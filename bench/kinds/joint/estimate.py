"""What a joint study will take on this machine: one typical configuration is measured, and scaled to the others.

Rougher than that of an optimizers study: which batch sizes, worker processes and optimizers the search will try, and
how many picks it will have, nobody knows before.
"""

import math
from dataclasses import dataclass
from statistics import fmean, median_low
from typing import Any

from bench.kinds.joint.objectives import AP_AND_SPEED, AXES
from bench.kinds.joint.plan import Picked, plan_confirm
from bench.kinds.joint.space import OPTIMIZER, hyperparameters, quasi_random_choices
from bench.kinds.joint.spec import JointSpec
from bench.report.wording import counted, duration_text
from bench.study.prepared import Prepared
from bench.study.probe import EstimateError, Measured, bound_text, measure_study, missing_text, pieces_document
from bench.trials.spec import TrialSpec
from bench.workloads.protocol import REPORT, SELECT, Costs

RECORD_S, REPORT_S = 0.3, 5.0
"""What recording takes of each trial, and the report of the study: docs/decisions.md."""
MOST_PICKS = {AP_AND_SPEED: 3}
"""Configurations that are trained again, by objective, at most; one of any other."""


@dataclass(frozen=True)
class Estimate:
    """Seconds of wall time by what they go to."""

    data_s: float
    search_s: float
    confirm_s: float
    """Of as many picks as there can be."""
    other_s: float
    """Starting processes, the report."""
    costs: Costs
    """The pieces that it is added up from."""

    @property
    def seconds(self) -> float:
        """Wall time of the whole study."""
        return self.data_s + self.search_s + self.confirm_s + self.other_s

    def document(self) -> dict[str, Any]:
        """The estimate as JSON."""
        return {
            "seconds": round(self.seconds, 1),
            "data_s": round(self.data_s, 1),
            "search_s": round(self.search_s, 1),
            "confirm_s": round(self.confirm_s, 1),
            "other_s": round(self.other_s, 1),
            "memory_bytes": self.costs.memory_bytes,
            "gpu_memory_bytes": self.costs.gpu_memory_bytes,
            **pieces_document(self.costs),
        }


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
    """What the study's trials are made of: as it was measured for this command already, or measured now."""
    if prepared.measured is not None:
        return prepared.measured
    return measure_study(
        prepared.spec,
        typical_trials(prepared.spec),
        workers=prepared.workers,
        awaited_images=prepared.awaited_images,
        trained=prepared.labelled_images.get("train"),
        module="bench.kinds.joint.trial",
    )


def add_up(spec: JointSpec, found: Measured, workers: int) -> Estimate:
    """Search trials of all optimizers alike, then every pick with every seed; an image takes as long in any batch."""
    costs = found.costs
    if spec.images is not None:
        training = spec.images * fmean(costs.step_s.values()) / typical_batch(spec)
    else:
        training = spec.seconds or 0.0
    each = costs.setup_s + training + found.evaluation_s(SELECT) + RECORD_S
    confirming = MOST_PICKS.get(spec.objective, 1) * spec.seeds
    return Estimate(
        data_s=found.data_s,
        search_s=math.ceil(spec.trials / workers) * each,
        confirm_s=math.ceil(confirming / workers) * (each + found.evaluation_s(REPORT)),
        other_s=costs.start_s + REPORT_S,
        costs=costs,
    )


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
    spec, costs = prepared.spec, found.costs
    parts = {
        "data": found.data_s,
        "searching": found.search_s,
        "confirming": found.confirm_s,
        "the rest": found.other_s,
    }
    spent = ", ".join(f"{name} {duration_text(seconds)}" for name, seconds in parts.items() if seconds >= 1)
    return (
        f"{missing_text(spec.network, costs)}Estimated time, roughly: {bound_text(costs)}"
        f"{duration_text(found.seconds)} ({spent}), with {counted(prepared.workers, 'trial')} at once, "
        f"by batch size {typical_batch(spec)}; "
        f"{costs.memory_bytes / 1e9:.1f} GB of memory."
    )
