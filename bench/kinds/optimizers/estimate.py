"""What a study will take on this machine: time and memory, from a short measurement of its own pieces."""

import math
from dataclasses import dataclass
from typing import Any

from bench.kinds.optimizers.plan import rounds, typical_trials
from bench.kinds.optimizers.size import Size
from bench.kinds.optimizers.spec import StudySpec
from bench.study.prepared import Prepared
from bench.study.probe import Measured, measure_study, pieces_document
from bench.trials.phases import CONFIRM, TUNE, Phase
from bench.workloads.protocol import REPORT, SELECT, Costs, Split

RECORD_S = 0.3
"""What the ledger, MLflow and a confirm trial's sample images take of each trial: docs/decisions.md."""
REPORT_S = 5.0
"""Analysis, figures and their upload: docs/decisions.md."""
SCORED: dict[Phase, Split] = {TUNE: SELECT, CONFIRM: REPORT}
"""The split that each phase is scored on."""


@dataclass(frozen=True)
class Estimate:
    """Seconds of wall time by what they go to, and bytes at the peak over all processes."""

    data_s: float
    tune_s: float
    confirm_s: float
    other_s: float
    """Starting processes, recording, the report."""
    memory_bytes: int
    gpu_memory_bytes: int
    tunings: int
    """Of each optimizer."""
    costs: Costs
    """The pieces that it is added up from."""

    @property
    def tuning_s(self) -> float:
        """Wall time of one tuning of each optimizer, its confirm trials included."""
        return (self.tune_s + self.confirm_s) / self.tunings

    @property
    def seconds(self) -> float:
        """Wall time of the whole study."""
        return self.data_s + self.tune_s + self.confirm_s + self.other_s

    def document(self) -> dict[str, Any]:
        """The estimate as JSON."""
        return {
            "seconds": round(self.seconds, 1),
            "data_s": round(self.data_s, 1),
            "tune_s": round(self.tune_s, 1),
            "confirm_s": round(self.confirm_s, 1),
            "other_s": round(self.other_s, 1),
            "memory_bytes": self.memory_bytes,
            "gpu_memory_bytes": self.gpu_memory_bytes,
            **pieces_document(self.costs),
        }


def measured(prepared: Prepared[StudySpec]) -> Measured:
    """What the study's trials are made of: as it was measured for this command already, or measured now."""
    if prepared.measured is not None:
        return prepared.measured
    return measure_study(
        prepared.spec,
        typical_trials(prepared.spec),
        workers=prepared.workers,
        awaited_images=prepared.awaited_images,
        trained=prepared.labelled_images.get("train"),
        module="bench.kinds.optimizers.trial",
    )


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
    return Estimate(
        data_s=found.data_s,
        tune_s=spec.tunings * tune / workers,
        confirm_s=_last_ones(spec.tunings * spec.seeds * len(costs.step_s), workers) * spec.tunings * confirm / workers,
        other_s=costs.start_s + REPORT_S,
        memory_bytes=costs.memory_bytes,
        gpu_memory_bytes=costs.gpu_memory_bytes,
        tunings=spec.tunings,
        costs=costs,
    )


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
