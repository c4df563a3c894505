"""What a trial left, one flat row, failed trials included; and when a process worked on a study."""

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
    """A row of the results. ``metrics`` holds every number measured, by the names of ``posemodel.training.loop``."""

    trial_id: str
    phase: str
    index: int
    optimizer: str
    hyperparameters: str
    """JSON with sorted keys."""
    at_border: str
    """Names of hyperparameters, separated by commas."""
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
    """What took the steps, e.g. `torch.optim.adam.Adam (fused)`; empty where nothing was built."""
    control_of: str = ""
    """The optimizer whose control this trial is; empty for all others."""
    tuning: int | None = None
    """The number of the tuning that it belongs to; None: of a kind of study that has none."""
    round: int | None = None
    """The number of its round within the tuning; None: in none."""
    metrics: dict[str, float] = field(default_factory=dict)

    def as_row(self) -> dict[str, Any]:
        """The flat row: fields (without a place in a tuning that it has not), then metrics; one not finite is None."""
        row = {name: value for name, value in asdict(self).items() if not (name in PLACE_FIELDS and value is None)}
        metrics = row.pop("metrics")
        return row | {name: value if math.isfinite(value) else None for name, value in metrics.items()}


@dataclass(frozen=True)
class CurvePoint:
    """What was measured at one step of a trial, and when (milliseconds since the epoch)."""

    step: int
    metrics: dict[str, float]
    time_ms: int


@dataclass(frozen=True)
class Session:
    """A stretch of time in which one process worked on a study; times in milliseconds since the epoch."""

    began_ms: int
    """When its command began."""
    heard_ms: int
    """When it was last heard of: its end, unless it was killed."""
    workers: int
    """Trials that it ran at once, at most."""
    data_s: float
    """Seconds of it that went into generating the data set, before the first trial."""
    host: str
    pid: int

    @property
    def key(self) -> str:
        """Unique key within the study."""
        return f"{self.began_ms}-{self.host}-{self.pid}"


def now_ms() -> int:
    """Milliseconds since the epoch."""
    return int(time.time() * 1000)


PLACE_FIELDS = ("tuning", "round")
"""Fields that only the trials of some kinds have."""
TEXT_FIELDS = tuple(f.name for f in fields(Record) if f.name not in ("metrics", *PLACE_FIELDS))
"""Fields that all have, but for the metrics."""


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
) -> Record:
    """The record of a trial that ended with ``status``."""
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
        metrics=metrics,
    )
