"""One measurement: a workload, a configuration and an arm, in a fresh process; a row comes out whatever happens."""

import math
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from bench.measure.gpu import GpuSampler
from bench.measure.loader.comparison import compare_samples
from bench.measure.loader.configuration import LoaderConfiguration
from bench.measure.loader.delivered import delivered_hashes
from bench.measure.loader.figures import figures, steady_batches
from bench.measure.loader.isolated import STALL_S, Progress, run_isolated
from bench.measure.loader.loop import LoopPlan, run_loop
from bench.measure.loader.outcome import MeasurementStatus
from bench.measure.loader.steady import GROUPS, group_length
from bench.measure.loader.workload import DatasetWorkload, Workload, drop_batch, effective_pin_memory
from bench.measure.process_tree import tree_cpu_seconds

HASHED_BATCHES = 16
"""Compared between configurations; more than any shuffle or worker's generator could get right by chance."""


class Arm(StrEnum):
    """What is measured: loading alone, computing alone (the same batch again and again), or training as it is."""

    LOADER = "loader"
    COMPUTE = "compute"
    END_TO_END = "end_to_end"


@dataclass(frozen=True)
class Measurement:
    """A row of a loader study's results."""

    arm: Arm
    configuration: LoaderConfiguration
    status: MeasurementStatus
    error: str = ""
    effective_pin_memory: bool = False
    device: str = ""
    metrics: dict[str, float] = field(default_factory=dict)
    """See `figures`, and ``peak_memory_bytes``, ``shm_peak_bytes``, ``shm_tree_peak_bytes``, ``cores_used``."""
    memory_kind: str = ""
    waits_ms: tuple[float, ...] = ()
    """Of the steady batches, in order."""
    hashes: tuple[int, ...] = ()
    """Of the first batches of epoch 0, delivered once more after the timed loop; none in the arm `compute`."""

    def as_row(self) -> dict[str, Any]:
        """The flat row: settings, status, metrics (None where not finite); waits and hashes stay with the object."""
        row = {
            "arm": str(self.arm),
            **self.configuration.model_dump(),
            "effective_pin_memory": self.effective_pin_memory,
            "device": self.device,
            "status": str(self.status),
            "error": self.error,
            "memory_kind": self.memory_kind,
        }
        return row | {name: value if math.isfinite(value) else None for name, value in self.metrics.items()}


@dataclass(frozen=True)
class _Measured:
    metrics: dict[str, float]
    waits_ms: tuple[float, ...]
    hashes: tuple[int, ...]
    effective_pin_memory: bool


def measure(
    workload: Workload,
    configuration: LoaderConfiguration,
    arm: Arm,
    plan: LoopPlan | None = None,
    *,
    batches: int | None = None,
    hashed_batches: int = HASHED_BATCHES,
    reference: Sequence[int] = (),
    compare_s: float = 0.0,
    stall_s: float = STALL_S,
    memory_limit_bytes: int | None = None,
) -> Measurement:
    """Measure one arm of one configuration in a fresh process.

    ``batches`` is an epoch's length (None: `default_batches`); ``plan`` says how many epochs, and for how long at most.
    ``hashed_batches`` of epoch 0 are loaded again and hashed, after the loop; 0 where another repeat has done so.
    ``reference``: hashes of what one process makes of the samples (`comparison`), which workers then make once more,
    for about ``compare_s`` seconds at most; none where nothing is compared.
    ``stall_s`` and ``memory_limit_bytes``: see `run_isolated`. Raises nothing but KeyboardInterrupt.
    """
    answer = run_isolated(
        _measure,
        workload,
        configuration,
        arm,
        plan or LoopPlan(),
        batches or default_batches(configuration),
        hashed_batches,
        reference,
        compare_s,
        stall_s=stall_s,
        memory_limit_bytes=memory_limit_bytes,
    )
    found: _Measured = answer.value or _Measured({}, (), (), False)
    memory = {
        "peak_memory_bytes": float(answer.peak_bytes),
        "shm_peak_bytes": float(answer.shm_peak_bytes),
        "shm_tree_peak_bytes": float(answer.shm_tree_peak_bytes),
        "sampling_s": answer.sampling_s,
        "memory_samples": float(answer.memory_samples),
        "wall_s": answer.wall_s,
    }
    return Measurement(
        arm=arm,
        configuration=configuration,
        status=answer.status,
        error=answer.error,
        effective_pin_memory=found.effective_pin_memory,
        device=workload.device,
        metrics=found.metrics | memory,
        memory_kind=answer.memory_kind,
        waits_ms=found.waits_ms,
        hashes=found.hashes,
    )


def skipped(configuration: LoaderConfiguration, arm: Arm, why: str) -> Measurement:
    """The row of a configuration that was not tried; ``why`` as `prediction.shortfall` words it."""
    return Measurement(arm, configuration, MeasurementStatus.SKIPPED, why)


def default_batches(configuration: LoaderConfiguration) -> int:
    """Batches of an epoch: GROUPS groups of whole rounds, and the first batch, which belongs to no group."""
    return GROUPS * group_length(configuration.round_length) + 1


def _measure(
    progress: Progress,
    workload: Workload,
    configuration: LoaderConfiguration,
    arm: Arm,
    plan: LoopPlan,
    batches: int,
    hashed_batches: int,
    reference: Sequence[int],
    compare_s: float,
) -> _Measured:
    settings = configuration if arm is not Arm.COMPUTE else _without_workers(configuration)
    opened = workload.open_loader(settings, batches)
    step = drop_batch if arm is Arm.LOADER else workload.make_step()
    loader: Any = opened.loader
    if arm is Arm.COMPUTE:
        loader = [next(iter(opened.loader))] * batches
    marks: list[tuple[float, float]] = []

    def on_batch(count: int) -> None:
        if count == 1:
            marks.append((time.perf_counter(), tree_cpu_seconds(os.getpid())))
        progress(count)

    progress(0)
    with GpuSampler(workload.device) as gpu:
        timeline = run_loop(loader, step, plan, begin_epoch=opened.begin_epoch, on_batch=on_batch)
    marks.append((time.perf_counter(), tree_cpu_seconds(os.getpid())))
    seconds, busy = (end - begin for begin, end in zip(*marks, strict=True))
    opened.begin_epoch(0)
    timed = len(timeline.epoch)
    hashes = (
        () if arm is Arm.COMPUTE else delivered_hashes(loader, hashed_batches, lambda count: progress(timed + count))
    )
    compared: dict[str, float] = {}
    if reference and settings.num_workers and isinstance(workload, DatasetWorkload):
        done = timed + len(hashes)
        compared = compare_samples(progress, workload, settings, reference, seconds=compare_s, done=done).metrics()
    kept, _ = steady_batches(timeline, settings.round_length)
    return _Measured(
        metrics=figures(timeline, configuration.batch_size, settings.round_length)
        | {"cores_used": busy / seconds if seconds > 0 else math.nan}
        | gpu.summary(since=marks[0][0])
        | compared,
        waits_ms=tuple((1000 * timeline.waits[kept]).tolist()),
        hashes=hashes,
        effective_pin_memory=effective_pin_memory(configuration),
    )


def _without_workers(configuration: LoaderConfiguration) -> LoaderConfiguration:
    """The same batch from the process itself: in the arm `compute` no worker may take time from the step."""
    return LoaderConfiguration(
        batch_size=configuration.batch_size, pin_memory=configuration.pin_memory, cv2_threads=configuration.cv2_threads
    )
