"""What a study will take on this machine: time and memory, from a short measurement of its own pieces."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from bench.kinds.optimizers.plan import Chosen, plan_confirm, plan_tune
from bench.kinds.optimizers.probe import SCORED, measure
from bench.kinds.optimizers.size import Size
from bench.kinds.optimizers.spec import StudySpec
from bench.measure.cores import usable_cores
from bench.trials.phases import CONFIRM, TUNE, Phase
from bench.workloads.of_study import own_settings, workload_of
from bench.workloads.protocol import Costs, Split

RECORD_S = 0.3
"""What the ledger, MLflow and a confirm trial's sample images take of each trial: docs/decisions.md."""
REPORT_S = 5.0
"""Analysis, figures and their upload: docs/decisions.md."""

WORKER = ("bench.engines.worker", "bench.kinds.optimizers.trial")
"""What a process that runs trials imports before its first."""


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

    @property
    def seconds(self) -> float:
        """Wall time of the whole study."""
        return self.data_s + self.tune_s + self.confirm_s + self.other_s

    def document(self) -> dict[str, float]:
        """The estimate as JSON."""
        return {
            "seconds": round(self.seconds, 1),
            "data_s": round(self.data_s, 1),
            "tune_s": round(self.tune_s, 1),
            "confirm_s": round(self.confirm_s, 1),
            "other_s": round(self.other_s, 1),
            "memory_bytes": self.memory_bytes,
            "gpu_memory_bytes": self.gpu_memory_bytes,
        }


def estimate(spec: StudySpec, *, workers: int, synthetic_images: int | None) -> Estimate:
    """Measure for some seconds what the study's trials are made of, and add up its plan.

    ``synthetic_images``: how many the study will make first; None where its data set stands. Then the measurement
    makes a few of its own in a temporary folder.
    """
    its = workload_of(spec)
    with its.probe_data(own_settings(spec), spec.data, synthetic_images, spec.batch_size) as probe:
        costs = _measure(spec, probe.folder, workers)
    return _add_up(spec, costs, workers, probe.scored, data_s=probe.data_s)


def _measure(spec: StudySpec, data: Path, workers: int) -> Costs:
    threads = max(1, usable_cores() // workers) if workers > 1 else None
    # The first tune point of each optimizer stands for the settings that tuning will choose.
    points = {trial.optimizer: Chosen(trial.hyperparameters) for trial in reversed(plan_tune(spec))}
    confirmed = {trial.optimizer: trial for trial in plan_confirm(spec, points)}  # whichever seed
    return measure(confirmed, data, processes=workers, threads=threads, libraries=WORKER)


def _add_up(spec: StudySpec, costs: Costs, workers: int, images: Mapping[Split, int], *, data_s: float) -> Estimate:
    """Trials go to whichever worker is free: the last ones end half a trial apart, at the mean."""
    size = Size.of_spec(spec)
    phases = {}
    names = {TUNE: list(spec.optimizers), CONFIRM: list(costs.step_s)}
    for phase in (TUNE, CONFIRM):
        trials = size.each(phase)
        split = SCORED[phase]
        scoring = size.evaluations_of(phase) * (costs.score_s[split] + images[split] * costs.image_s)
        each = [
            costs.setup_s + _training_s(size, phase, costs.step_s[name]) + scoring + RECORD_S for name in names[phase]
        ]
        rounds = math.ceil(trials * len(each) / workers) / (trials * len(each) / workers)
        phases[phase] = trials * sum(each) / workers * rounds
    return Estimate(
        data_s=data_s,
        tune_s=phases[TUNE],
        confirm_s=phases[CONFIRM],
        other_s=costs.start_s + REPORT_S,
        memory_bytes=costs.memory_bytes,
        gpu_memory_bytes=costs.gpu_memory_bytes,
    )


def _training_s(size: Size, phase: Phase, step_s: float) -> float:
    """Seconds of a trial's training after its first step, which its setup holds."""
    length = size.length(phase)
    return (length - 1) * step_s if size.steps is not None else length
