"""Record of a trial (one flat row, also for failed trials), points of its curve, and sessions of a study."""

import json
import math
import time
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from bench.storage.masking import masked
from bench.storage.visible import visible_lines
from bench.trials.spec import TrialSpec
from bench.trials.status import Status


@dataclass(frozen=True)
class Record:
    """One row of a study's results. ``metrics`` holds every measured number, named as in ``posemodel.training``."""

    trial_id: str
    phase: str
    index: int
    optimizer: str
    hyperparameters: str
    """JSON object with sorted keys."""
    at_border: str
    """Tuned hyperparameters whose value is at the border of its range, separated by commas."""
    weight_decay: float
    seed: int
    status: Status
    steps_done: int
    network: str
    size: int
    batch_size: int
    num_workers: int
    pin_memory: bool
    effective_pin_memory: bool
    device: str
    torch_threads: int
    concurrent_trials: int
    data_digest: str
    error: str = ""
    implementation: str = ""
    """Optimizer implementation used, e.g. `torch.optim.adam.Adam (fused)`; empty if none was built."""
    control_of: str = ""
    """Optimizer for which this trial is a control; empty for all other trials."""
    tuning: int | None = None
    """Number of the tuning that it belongs to; None if its kind of study has no tunings."""
    round: int | None = None
    """Number of its round within the tuning; None if it belongs to no round."""
    driving: str | None = None
    """How the optimizer is driven, in words; None for an ordinary one, or if none was built."""
    gradient_evaluations_per_update: float | None = None
    """Gradient evaluations of one step of the optimizer, on average; ``steps_done`` counts these. None for one."""
    schedule: str | None = None
    """Learning rate schedule, if the optimizer's method fixes another than the study's; None for the study's."""
    gpu: str | None = None
    """Model and UUID of the GPU that it ran on; of a trial that went on elsewhere those of all, with `SEVERAL_GPUS`
    between them; None without CUDA."""
    metrics: dict[str, float] = field(default_factory=dict)

    def as_row(self) -> dict[str, Any]:
        """Return a flat row: fields (`OPTIONAL_FIELDS` only if set), then metrics, with None if not finite."""
        row = {name: value for name, value in asdict(self).items() if not (name in OPTIONAL_FIELDS and value is None)}
        metrics = row.pop("metrics")
        return row | {name: value if math.isfinite(value) else None for name, value in metrics.items()}


@dataclass(frozen=True)
class CurvePoint:
    """Metrics measured at one step of a trial; ``time_ms``: when, in milliseconds since the epoch."""

    step: int
    metrics: dict[str, float]
    time_ms: int


@dataclass(frozen=True)
class Session:
    """A period in which one process worked on a study; times in milliseconds since the epoch."""

    began_ms: int
    """Start of its command."""
    heard_ms: int
    """Last-seen time: its end, unless it was killed."""
    workers: int
    """Largest number of trials that it ran at once."""
    data_s: float
    """Seconds spent on generating the data set before the first trial."""
    host: str
    pid: int
    joined: bool = False
    """True for `posebench worker`: not a session of the study's own command."""
    engine: str | None = None
    """What ran its trials, if not processes of its own machine: `ray`."""

    @property
    def key(self) -> str:
        """Unique key within the study."""
        return f"{self.began_ms}-{self.host}-{self.pid}"


def now_ms() -> int:
    """Return the present time in milliseconds since the epoch."""
    return int(time.time() * 1000)


SEVERAL_GPUS = " + "
"""Stands between the GPUs of one trial."""
TUNING_FIELDS = ("tuning", "round")
"""Fields that only trials of some kinds of study have."""
OPTIONAL_FIELDS = (*TUNING_FIELDS, "driving", "gradient_evaluations_per_update", "schedule", "gpu")
"""Those, the fields that only trials of optimizers with a step or a schedule of their own have, and the GPU."""
TEXT_FIELDS = tuple(f.name for f in fields(Record) if f.name not in ("metrics", *OPTIONAL_FIELDS))
"""Fields that every record has, without the metrics."""


def make_record(
    spec: TrialSpec,
    status: Status,
    *,
    steps_done: int,
    metrics: dict[str, float],
    error: str = "",
    implementation: str = "",
    effective_pin_memory: bool = False,
    torch_threads: int = 0,
    concurrent_trials: int = 0,
    driving: str | None = None,
    gradient_evaluations_per_update: float | None = None,
    gpu: str | None = None,
) -> Record:
    """Return the record of a trial that ended with ``status``; passwords in ``error`` are masked."""
    return Record(
        trial_id=spec.id,
        phase=spec.phase,
        index=spec.index,
        optimizer=spec.optimizer,
        hyperparameters=json.dumps(spec.hyperparameters, sort_keys=True),
        at_border=",".join(spec.at_border),
        weight_decay=spec.weight_decay,
        seed=spec.seed,
        status=status,
        steps_done=steps_done,
        network=spec.run.network,
        size=spec.run.size or 0,
        batch_size=spec.run.loader.batch_size,
        num_workers=spec.run.loader.num_workers,
        pin_memory=spec.run.loader.pin_memory,
        effective_pin_memory=effective_pin_memory,
        device=spec.run.device,
        torch_threads=torch_threads,
        concurrent_trials=concurrent_trials,
        data_digest=spec.data_digest,
        error=visible_lines(masked(error)),
        implementation=implementation,
        control_of=spec.control_of,
        tuning=spec.tuning,
        round=spec.round,
        driving=driving,
        gradient_evaluations_per_update=gradient_evaluations_per_update,
        schedule=spec.own_schedule,
        gpu=gpu,
        metrics=metrics,
    )
