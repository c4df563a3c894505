"""Estimates the memory and time of a sample, a worker and a step before anything is measured."""

import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from bench.measure.loader.batch_contents import batch_bytes
from bench.measure.loader.configuration import LoaderConfiguration
from bench.measure.loader.error_texts import quoted, sample_kind
from bench.measure.loader.isolated import STALL_S, Answer, Progress, run_isolated
from bench.measure.loader.loop import Step, run_loop
from bench.measure.loader.outcome import MeasurementStatus, SampleError, is_lack_of_memory
from bench.measure.loader.timeline import Timeline
from bench.measure.loader.workload import Workload, drop_batch
from bench.measure.process_tree import tree_memory

TIMED_BATCHES = 6
"""Batches of each size that are timed."""
MANY = 4
"""Number of samples of the second batch: its difference to a batch of one sample gives the step's cost per sample."""
PROC = Path("/proc/self")
RESET_PEAK = "5"
"""Written to clear_refs, this resets the peak of resident memory (proc(5), Linux)."""


@dataclass(frozen=True)
class Probe:
    """Estimated bytes and seconds of a workload's samples, workers and steps."""

    sample_bytes: int
    """Bytes of one collated sample; an image with more people may be larger."""
    process_bytes: int
    """Bytes of the training process at the peak of a step on one sample: data set, network, gradients, optimizer state.
    """
    worker_bytes: int
    """Bytes that each worker adds with its own pages while it makes one sample at a time."""
    step_sample_bytes: int = 0
    """Host memory in bytes that the step holds for each further sample of a batch (activations, on a CPU)."""
    sample_s: float = 0.0
    """Seconds to make one sample and a batch of it."""
    step_fixed_s: float = 0.0
    step_sample_s: float = 0.0
    """A step on a batch of n takes about ``step_fixed_s + n * step_sample_s`` seconds."""
    worker_error: str = ""
    """Why the worker's memory is unknown; the measurements will then report their own errors."""


def probe(
    workload: Workload, *, with_workers: bool = True, least_batch: int = MANY, stall_s: float = STALL_S
) -> Answer:
    """Load and train on single samples and on MANY in a fresh process; then load with one worker in another.

    The answer's value is a `Probe`; its status is that of the first process. If only the worker fails, the probe holds
    its error instead of its need. If batches of one are asked for (``least_batch``), samples that cannot be collated
    are no error; a step is then assumed to cost the same at every batch size.
    """
    alone = run_isolated(_look, workload, least_batch, stall_s=stall_s)
    if alone.status != MeasurementStatus.COMPLETE or not with_workers:
        return alone
    worker = run_isolated(_look_at_worker, workload, stall_s=stall_s)
    fields: dict[str, Any] = vars(alone.value)
    if worker.status == MeasurementStatus.COMPLETE:
        fields = fields | {"worker_bytes": worker.value}
    else:
        fields = fields | {"worker_error": worker.error}
    return Answer(**vars(alone) | {"value": Probe(**fields)})


def _look(progress: Progress, workload: Workload, least_batch: int) -> Probe:
    step = _named(workload.make_step(), getattr(getattr(workload, "step", None), "path", ""))
    sizes: list[int] = []
    done = 0

    def timed(size: int) -> tuple[Timeline, int]:
        nonlocal done
        opened = workload.open_loader(LoaderConfiguration(batch_size=size), batches=TIMED_BATCHES)
        before = done

        def measured_step(batch: Any) -> object:
            sizes.append(batch_bytes(batch) // size)
            return step(batch)

        def report(count: int) -> None:
            progress(before + count)

        _begin_peak()
        timeline = run_loop(opened.loader, measured_step, begin_epoch=opened.begin_epoch, on_batch=report)
        done = before + TIMED_BATCHES
        return timeline, _peak()

    one, peak_of_one = timed(1)
    memory, resident = tree_memory(os.getpid()).bytes, psutil.Process().memory_info().rss
    try:
        many, peak_of_many = timed(MANY)
    except SampleError:
        if least_batch > 1:
            raise
        many, peak_of_many = one, peak_of_one
    sample_bytes = max(sizes)
    one_s, many_s = (float(np.median(timeline.computes)) for timeline in (one, many))
    step_sample_s = max(0.0, (many_s - one_s) / (MANY - 1))
    return Probe(
        sample_bytes=sample_bytes,
        process_bytes=memory + max(0, peak_of_one - resident),
        worker_bytes=0,
        step_sample_bytes=max(0, (peak_of_many - peak_of_one) // (MANY - 1) - sample_bytes),
        sample_s=float(np.median(one.waits)),
        step_fixed_s=max(0.0, one_s - step_sample_s),
        step_sample_s=step_sample_s,
    )


def _named(step: Step, path: str) -> Step:
    """Return the step, with errors that name the option `--step`."""

    def named(batch: Any) -> object:
        try:
            return step(batch)
        except (Exception, SystemExit) as error:
            if not path or is_lack_of_memory(error):
                raise
            raise SampleError(
                f"--step {path}: the step raised {quoted(error)}. It gets what the loader delivers: "
                f"{sample_kind(batch)}."
            ) from error

    return named


def _look_at_worker(progress: Progress, workload: Workload) -> int:
    """Return the bytes that one worker adds while it makes samples, without a step."""
    opened = workload.open_loader(LoaderConfiguration(batch_size=1, num_workers=1), batches=3)
    opened.begin_epoch(0)
    step: Step = drop_batch
    before = after = tree_memory(os.getpid()).bytes
    for count, batch in enumerate(opened.loader):
        step(batch)
        after = tree_memory(os.getpid()).bytes
        progress(count + 1)
    return max(0, after - before)


def _begin_peak() -> None:
    if sys.platform == "linux":
        (PROC / "clear_refs").write_text(RESET_PEAK)


def _peak() -> int:
    """Return the peak resident memory since `_begin_peak`, or the present resident memory if the system records no
    peak."""
    if sys.platform == "linux":
        for line in (PROC / "status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return 1024 * int(line.split()[1])
    return int(psutil.Process().memory_info().rss)
