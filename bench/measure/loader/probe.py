"""One look at a workload before anything is measured: what a sample, a worker and a step take."""

import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from bench.measure.loader.configuration import LoaderConfiguration
from bench.measure.loader.delivered import batch_bytes
from bench.measure.loader.isolated import STALL_S, Answer, Progress, run_isolated
from bench.measure.loader.loop import Step, run_loop
from bench.measure.loader.outcome import MeasurementStatus, SampleError, is_lack_of_memory
from bench.measure.loader.remedies import kind_of, quoted
from bench.measure.loader.timeline import Timeline
from bench.measure.loader.workload import Workload, drop_batch
from bench.measure.process_tree import tree_memory

TIMED_BATCHES = 6
MANY = 4
"""Samples of the second batch that is looked at: what a step takes for each is told by the difference to one."""
PROC = Path("/proc/self")
RESET_PEAK = "5"
"""Written to clear_refs: the peak of resident memory begins anew (proc(5), Linux)."""


@dataclass(frozen=True)
class Probe:
    """What one look found; bytes and seconds."""

    sample_bytes: int
    """Of one collated sample; an image with more people may be larger."""
    process_bytes: int
    """The process that trains, at the peak of a step on one sample: data set, network, gradients, optimizer state."""
    worker_bytes: int
    """What each worker adds: pages of its own, while it makes one sample at a time."""
    step_sample_bytes: int = 0
    """What the step holds for each further sample of a batch, in the host's memory (activations, on a CPU)."""
    sample_s: float = 0.0
    """Making one sample, and a batch of it."""
    step_fixed_s: float = 0.0
    step_sample_s: float = 0.0
    """A step on a batch of n takes ``step_fixed_s + n * step_sample_s``, about."""
    worker_error: str = ""
    """Why a worker could not be looked at: its need is then unknown, and its measurements will say what they meet."""


def probe(
    workload: Workload, *, with_workers: bool = True, least_batch: int = MANY, stall_s: float = STALL_S
) -> Answer:
    """Load and train on single samples and on MANY in a fresh process; then load with one worker in another.

    The answer's value is a `Probe`; its status is that of a measurement where the process itself could not do it. Where
    only the worker could not, the probe says so and knows nothing of workers. Samples that cannot be joined are none of
    its troubles where batches of one are asked for (``least_batch``): a step is then taken to cost the same each time.
    """
    here = run_isolated(_look, workload, least_batch, stall_s=stall_s)
    if here.status != MeasurementStatus.COMPLETE or not with_workers:
        return here
    worker = run_isolated(_look_at_worker, workload, stall_s=stall_s)
    found: dict[str, Any] = vars(here.value)
    if worker.status == MeasurementStatus.COMPLETE:
        found = found | {"worker_bytes": worker.value}
    else:
        found = found | {"worker_error": worker.error}
    return Answer(**vars(here) | {"value": Probe(**found)})


def _look(progress: Progress, workload: Workload, least_batch: int) -> Probe:
    step = _named(workload.make_step(), getattr(getattr(workload, "step", None), "path", ""))
    sizes: list[int] = []
    done = 0

    def timed(size: int) -> tuple[Timeline, int]:
        nonlocal done
        opened = workload.open_loader(LoaderConfiguration(batch_size=size), batches=TIMED_BATCHES)
        before = done

        def noted(batch: Any) -> object:
            sizes.append(batch_bytes(batch) // size)
            return step(batch)

        def told(count: int) -> None:
            progress(before + count)

        _begin_peak()
        timeline = run_loop(opened.loader, noted, begin_epoch=opened.begin_epoch, on_batch=told)
        done = before + TIMED_BATCHES
        return timeline, _peak()

    one, peak_of_one = timed(1)
    held, resident = tree_memory(os.getpid()).bytes, psutil.Process().memory_info().rss
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
        process_bytes=held + max(0, peak_of_one - resident),
        worker_bytes=0,
        step_sample_bytes=max(0, (peak_of_many - peak_of_one) // (MANY - 1) - sample_bytes),
        sample_s=float(np.median(one.waits)),
        step_fixed_s=max(0.0, one_s - step_sample_s),
        step_sample_s=step_sample_s,
    )


def _named(step: Step, path: str) -> Step:
    """The step, whose errors name the option that gave it."""

    def named(batch: Any) -> object:
        try:
            return step(batch)
        except (Exception, SystemExit) as error:
            if not path or is_lack_of_memory(error):
                raise
            raise SampleError(
                f"--step {path}: the step raised {quoted(error)}. It gets what the loader delivers: {kind_of(batch)}."
            ) from error

    return named


def _look_at_worker(progress: Progress, workload: Workload) -> int:
    """What one worker adds while it makes samples and nothing is done with them."""
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
    """Most resident memory since `_begin_peak`; what is resident now where the system keeps no peak."""
    if sys.platform == "linux":
        for line in (PROC / "status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return 1024 * int(line.split()[1])
    return int(psutil.Process().memory_info().rss)
