"""What a configuration will need of /dev/shm and of memory, before it is tried until it crashes."""

import os
from dataclasses import dataclass

import numpy as np

from bench.measure.limits import Limits
from bench.measure.loader.configuration import LoaderConfiguration
from bench.measure.loader.delivered import batch_bytes
from bench.measure.loader.isolated import Answer, Progress, run_isolated
from bench.measure.loader.loop import LoopPlan, Step, run_loop
from bench.measure.loader.steady import GROUPS, group_length
from bench.measure.loader.workload import Workload
from bench.measure.process_tree import tree_memory

HELD = 1
"""Batches that the consumer has in its hands while all others are on their way."""
MADE_HERE = 2
"""Batches' worth of memory that making one takes in the process itself: its samples, and the batch."""
TIMED_BATCHES = 6
LEAST_GROUPS = 2
"""In an epoch: fewer say nothing of its start."""
RESERVE = 0.9
"""Share of what is free that a configuration may take: others live on this machine too."""


@dataclass(frozen=True)
class Probe:
    """What one look at a workload found; bytes."""

    sample_bytes: int
    """Of one collated sample; an image with more people may be larger."""
    process_bytes: int
    """The process that trains, its data set open and its network built."""
    worker_bytes: int
    """What each worker adds: pages of its own, while it makes one sample at a time."""
    sample_s: float = 0.0
    """Making one sample, and a batch of it."""
    step_s: float = 0.0
    """The step on that batch."""


@dataclass(frozen=True)
class Need:
    """Bytes that a configuration takes at its peak."""

    shm_bytes: int
    memory_bytes: int
    """Shared memory is memory too: it is in here. The PSS of the processes holds only the part of it that is mapped."""


def probe(workload: Workload, configuration: LoaderConfiguration, *, stall_s: float = 120.0) -> Answer:
    """Load single samples with one worker, started as the configuration says, in a fresh process.

    The answer's value is a `Probe`; its status is that of a measurement that could not even load one sample.
    """
    one = LoaderConfiguration(batch_size=1, num_workers=1, start_method=configuration.start_method)
    return run_isolated(_probe, workload, one, stall_s=stall_s)


def predict(found: Probe, configuration: LoaderConfiguration) -> Need:
    """The peak: all batches that may be on their way (num_workers * prefetch_factor) are made, one is being used.

    Pinned, one more copy of each is in locked memory, which is not in /dev/shm.
    """
    batch = found.sample_bytes * configuration.batch_size
    if configuration.num_workers == 0:
        # The batch in hand, the next one's samples, and what they are collated into; pinned, a copy.
        batches = MADE_HERE + HELD + (HELD if configuration.pin_memory else 0)
        return Need(shm_bytes=0, memory_bytes=found.process_bytes + batches * batch)
    shm = batch * (configuration.batches_in_flight + HELD)
    workers = configuration.num_workers * (found.worker_bytes + batch)  # its samples, until they are collated
    pinned = shm if configuration.pin_memory else 0
    return Need(shm_bytes=shm, memory_bytes=found.process_bytes + workers + shm + pinned)


def shortfall(need: Need, limits: Limits) -> str:
    """Why a configuration is not tried, in the words of its row; "" where it fits into RESERVE of what is free."""
    if limits.shm_free_bytes is not None and need.shm_bytes > RESERVE * limits.shm_free_bytes:
        return f"would need {_size(need.shm_bytes)} of /dev/shm, {_size(limits.shm_free_bytes)} free"
    if need.memory_bytes > RESERVE * limits.memory_free_bytes:
        return f"would need {_size(need.memory_bytes)} of memory, {_size(limits.memory_free_bytes)} free"
    return ""


def _probe(progress: Progress, workload: Workload, configuration: LoaderConfiguration) -> Probe:
    step = workload.make_step()
    opened = workload.open_loader(configuration, batches=3)
    opened.begin_epoch(0)
    before = tree_memory(os.getpid())
    sizes, after = [], before
    for count, batch in enumerate(opened.loader):
        sizes.append(batch_bytes(batch))
        step(batch)
        after = tree_memory(os.getpid())
        progress(count + 1)
    return Probe(
        sample_bytes=max(sizes),
        process_bytes=before.bytes,
        worker_bytes=max(0, after.bytes - before.bytes),
        **_seconds(progress, workload, step),
    )


def _seconds(progress: Progress, workload: Workload, step: Step) -> dict[str, float]:
    """What a sample and a step take in this process, of batches of one: medians of a few."""
    opened = workload.open_loader(LoaderConfiguration(batch_size=1), batches=TIMED_BATCHES)
    timeline = run_loop(
        opened.loader, step, LoopPlan(epochs=1), begin_epoch=opened.begin_epoch, on_batch=lambda n: progress(10 + n)
    )
    return {"sample_s": float(np.median(timeline.waits)), "step_s": float(np.median(timeline.computes))}


def epoch_batches(
    found: Probe, settings: LoaderConfiguration, *, seconds: float, cores: float, loads: bool, computes: bool
) -> int:
    """How many batches an epoch of about so many seconds has: whole rounds of the workers, and the first batch.

    Never fewer than two groups, nor more than `measurement.default_batches`; ``loads`` and ``computes``: what the arm
    does. The estimate is rough where a large batch is cheaper by the image than a small one: then it is shorter.
    """
    makers = min(settings.num_workers, max(1.0, cores))
    load = found.sample_s * settings.batch_size * loads
    step = found.step_s * settings.batch_size * computes
    batch_s = load + step if settings.num_workers == 0 else max(load / makers, step)
    group = group_length(settings.round_length)
    groups = int(seconds / batch_s / group) if batch_s > 0 else GROUPS
    return 1 + group * min(max(groups, LEAST_GROUPS), GROUPS)


def _size(count: float) -> str:
    return f"{count / 1e9:.1f} GB" if count >= 1e9 else f"{count / 1e6:.3g} MB"
