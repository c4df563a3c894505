"""What a study will take on this machine: time and memory, from a short measurement of its own pieces."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from bench.kinds.optimizers.plan import rounds, typical_trials
from bench.kinds.optimizers.probe import SCORED, measure
from bench.kinds.optimizers.size import Size
from bench.kinds.optimizers.spec import StudySpec
from bench.measure.cores import usable_cores
from bench.trials.phases import CONFIRM, TUNE, Phase
from bench.workloads.of_study import own_settings, workload_of
from bench.workloads.protocol import SELECT, Costs, Split

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
    tunings: int
    """Of each optimizer."""

    @property
    def tuning_s(self) -> float:
        """Wall time of one tuning of each optimizer, its confirm trials included."""
        return (self.tune_s + self.confirm_s) / self.tunings

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
    return measure(typical_trials(spec), data, processes=workers, threads=threads, libraries=WORKER)


def _add_up(spec: StudySpec, costs: Costs, workers: int, images: Mapping[Split, int], *, data_s: float) -> Estimate:
    """Trials go to whichever worker is free: the last ones end half a trial apart, at the mean."""
    size = Size.of_spec(spec)
    tune, confirm = 0.0, 0.0
    for name in costs.step_s:
        if name in spec.optimizers:
            tune += sum(count * _trial_s(size, TUNE, costs, images, name, share) for count, share in rounds(spec))
        confirm += spec.seeds * _trial_s(size, CONFIRM, costs, images, name, 1.0)
    return Estimate(
        data_s=data_s,
        tune_s=spec.tunings * tune / workers,
        confirm_s=_last_ones(spec.tunings * spec.seeds * len(costs.step_s), workers) * spec.tunings * confirm / workers,
        other_s=costs.start_s + REPORT_S,
        memory_bytes=costs.memory_bytes,
        gpu_memory_bytes=costs.gpu_memory_bytes,
        tunings=spec.tunings,
    )


def _last_ones(trials: int, workers: int) -> float:
    """How much longer so many trials take for being whole."""
    return math.ceil(trials / workers) / (trials / workers)


def _trial_s(size: Size, phase: Phase, costs: Costs, images: Mapping[Split, int], name: str, share: float) -> float:
    """Seconds of a trial of ``share`` of a phase's length; its first step is part of its setup."""
    split = SCORED[phase]
    scoring = size.evaluations_of(phase) * (costs.score_s[split] + images[split] * costs.image_s)
    if phase == CONFIRM:  # scored on the split that settings are chosen by, too
        scoring += costs.score_s[SELECT] + images[SELECT] * costs.image_s
    length = share * size.length(phase)
    training = (length - 1) * costs.step_s[name] if size.steps is not None else length
    return costs.setup_s + training + scoring + RECORD_S
