"""Inside a configuration's measuring process: opens data set, loader and step once, then measures slices on request.

Between two slices the loader's own processes are stopped, so that they take nothing from the configuration measured
then, and the loader's queues stay as they were.
"""

import itertools
import math
import os
import time
from collections.abc import Generator, Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import psutil

from bench.measure.gpu import NVML_LOOKS_BACK_S, GpuSampler
from bench.measure.loader.batch_contents import batch_hash
from bench.measure.loader.comparison import compare_samples
from bench.measure.loader.configuration import LoaderConfiguration
from bench.measure.loader.isolated import Progress
from bench.measure.loader.loop import Step, StepTimes
from bench.measure.loader.measurement import Arm, Slice, Started
from bench.measure.loader.workload import DatasetWorkload, Workload, drop_batch, effective_pin_memory
from bench.measure.other_programs import CpuClock
from bench.measure.process_tree import tree
from posemodel.errors import SettingsError

FIRST_EPOCH = 3
"""Minimum number of batches of the first epoch: its first step is slow, and its last one comes before the epoch's
end."""
ENDLESS = 1 << 32
"""Number of batches of the second epoch: so many that it never ends."""
RUN_IN = 2.0
"""Maximum time of a run-in before a slice, in multiples of the slice's length."""
NO_BATCH = "the loader has delivered no batch in an epoch. Its data set may be smaller than batch_size."

Order = tuple[Arm, float]
"""An arm (loading, computing or training) to measure, and the minimum seconds to measure it for."""
Gpu = dict[str, float]
"""GPU use, from `gpu.summarized`."""


@dataclass(frozen=True)
class Plan:
    """The start-up settings of a measuring process; see `living.MeasuringProcess`."""

    hashed_batches: int
    reference: tuple[int, ...]
    compare_s: float
    measuring_pid: int
    """Id of the process that orders slices, whose CPU time does not count as that of other programs."""
    asked_at: float
    """Time at which that process requested this one, by ``time.monotonic``."""


def serve_slices(
    progress: Progress, workload: Workload, configuration: LoaderConfiguration, plan: Plan
) -> Generator[Started | tuple[Slice, Gpu], Order]:
    """Start, yield the start-up times, then yield a measured slice for each order sent. Errors of data set, loader and
    step are raised unchanged."""
    progress(0)
    began = time.monotonic()
    compared: dict[str, float] = {}
    if plan.reference and configuration.num_workers and isinstance(workload, DatasetWorkload):
        samples = compare_samples(progress, workload, configuration, plan.reference, seconds=plan.compare_s, done=0)
        compared = samples.metrics()
    comparing_s = time.monotonic() - began
    opened = OpenedConfiguration(progress, workload, configuration, plan.measuring_pid)
    first_batch_s, epoch_gap_s, hashes = opened.start(plan.hashed_batches)
    arm, seconds = yield Started(
        first_batch_s=first_batch_s,
        epoch_gap_s=epoch_gap_s,
        start_s=time.monotonic() - plan.asked_at - comparing_s,
        effective_pin_memory=effective_pin_memory(configuration),
        hashes=hashes,
        compared=compared,
    )
    while True:
        arm, seconds = yield opened.slice(arm, seconds), opened.gpu_summary()


class OpenedConfiguration:
    """Data set, loader and step of one configuration, opened and ready to be measured."""

    def __init__(
        self, progress: Progress, workload: Workload, configuration: LoaderConfiguration, measuring_pid: int
    ) -> None:
        self.progress, self.configuration = progress, configuration
        self.clock = CpuClock([measuring_pid])
        self.loader_processes = _LoaderProcesses()
        self.opened = workload.open_loader(configuration, ENDLESS)
        self.loader_processes.include_new()
        self.step: Step = workload.make_step()
        self.loader_processes.exclude_new()
        self.gpu = GpuSampler(workload.device)
        self.gpu_covers_slices = True
        """True while the GPU samples cover nothing but slices of training."""
        self.batches: Iterator[Any] = iter(())
        self.first_batch: Any = None
        """The first batch; the compute arm uses it again and again."""
        self.epoch = -1
        self.batches_done = progress.count
        self.epoch_begun = False
        """True if an epoch has begun since the loader's processes were last listed."""
        self.queue_filler: Arm | None = None
        """The arm that last filled the loader's queues."""

    def start(self, hashed_batches: int) -> tuple[float, float, tuple[int, ...]]:
        """Train on a short first epoch and begin the second one.

        Only the first and last batch of the first epoch are trained on. If the loader decides itself how long an epoch
        is, only its first batches are read.

        Returns:
            Seconds to the first batch; seconds from the end of the first epoch to the second one's first batch (NaN if
            it has not ended); hashes of the first batches.
        """
        hashed_batches = hashed_batches if self.opened.comparable else 0
        number, hashes, epoch_gap_s = max(FIRST_EPOCH, hashed_batches), [], math.nan
        if self.opened.set_length is not None:
            self.opened.set_length(number)
        asked = time.perf_counter()
        self.first_batch, _ = self._next()
        first_batch_s = time.perf_counter() - asked
        self._list_loader_processes()
        batch = self.first_batch
        for position in range(number):
            if position < hashed_batches:
                hashes.append(batch_hash(batch))
            if position in (0, number - 1):
                self._step_on(batch)
                self.loader_processes.exclude_new()
            if position == number - 1 and self.opened.set_length is not None:
                self.opened.set_length(ENDLESS)
            asked = time.perf_counter()
            batch, border = self._next()
            if border:
                epoch_gap_s = time.perf_counter() - asked
                break
            self._count()
        self._step_on(batch)
        self._stop()
        return first_batch_s, epoch_gap_s, tuple(hashes)

    def slice(self, arm: Arm, seconds: float) -> Slice:
        """Measure whole rounds of the workers for at least ``seconds``; preparations are not counted."""
        loads = arm != Arm.COMPUTE
        if loads and (arm != self.queue_filler or self.opened.reads_on):
            self._run_in(arm, RUN_IN * seconds)
            self.queue_filler = arm
        begin = self.clock.mark()
        if loads:
            self.loader_processes.resume()
        stretches = self.measure_stretches(arm, seconds)
        self._stop()
        if arm == Arm.END_TO_END:
            self.gpu_covers_slices &= seconds >= NVML_LOOKS_BACK_S
            self.gpu.sample_now()
        end = self.clock.mark()
        if self.opened.set_length is None:  # a new epoch may begin in any slice
            self.loader_processes.exclude_new()
        waits = [wait for each in stretches for wait in each.waits()]
        total_s = sum(each.seconds() for each in stretches)
        wait_s = sum(waits)
        return Slice(
            arm=arm,
            batches=len(waits),
            images=sum(each.images for each in stretches),
            seconds=total_s,
            wait_s=wait_s,
            host_s=sum(sum(each.host_s[1:]) for each in stretches),
            compute_s=total_s - wait_s,
            cpu_s=(end.tree - begin.tree) * total_s / (end.at - begin.at),
            others_share=self.clock.others_share(begin, end),
            waits_ms=tuple(1000 * wait for wait in waits),
        )

    def measure_stretches(self, arm: Arm, seconds: float) -> "list[Stretch]":
        """Run steps and return them as stretches between borders of epochs. A border belongs to no stretch, unless each
        batch is an epoch."""
        round_length = 1 if arm == Arm.COMPUTE else self.configuration.round_length
        step = self._step_of(arm)
        stretches: list[Stretch] = []
        after_border, counted = False, 0
        while counted == 0 or counted % round_length or sum(each.host_seconds() for each in stretches) < seconds:
            asked = time.perf_counter()
            batch, border = (self.first_batch, False) if arm == Arm.COMPUTE else self._next()
            if not stretches or (border and not after_border):
                if stretches:
                    stretches[-1].times.settle()
                stretches.append(Stretch())
            else:
                counted += 1
                stretches[-1].images += self._images(batch)
            after_border = border
            stretches[-1].turn(asked, batch, step)
            self._count()
        stretches[-1].times.settle()
        return stretches

    def gpu_summary(self) -> Gpu:
        """Return `gpu.summarized`, utilisation over slices of end_to_end alone; NaN if a slice was too short to measure
        utilisation."""
        summary = self.gpu.summary()
        return summary if self.gpu_covers_slices or not summary else summary | {"gpu_utilization_percent": math.nan}

    def _run_in(self, arm: Arm, most_s: float) -> None:
        """Replace the batches in flight: another arm has left the queues fuller or emptier than this one keeps them."""
        self.loader_processes.resume()
        stretch = Stretch()
        until = time.perf_counter() + most_s
        for _ in range(self.opened.batches_in_flight + 1):
            asked = time.perf_counter()
            stretch.turn(asked, self._next()[0], self._step_of(arm))
            self._count()
            if time.perf_counter() > until:
                break
        stretch.times.settle()
        self._stop()

    def _images(self, batch: Any) -> int:
        count = self.opened.count_images
        return self.configuration.batch_size if count is None else count(batch)

    def _step_of(self, arm: Arm) -> Step:
        return drop_batch if arm == Arm.LOADER else self.step

    def _next(self) -> tuple[Any, bool]:
        """Return the next batch, and whether it is the first of an epoch."""
        with suppress(StopIteration):
            return next(self.batches), False
        self.epoch += 1
        self.opened.begin_epoch(self.epoch)
        self.batches = iter(self.opened.loader)
        self.epoch_begun = True
        try:
            return next(self.batches), True
        except StopIteration:
            raise SettingsError(NO_BATCH) from None

    def _step_on(self, batch: Any) -> None:
        """Take a step that is in no slice, and wait for its end."""
        times = StepTimes()
        times.add(0.0, time.perf_counter(), self.step(batch))
        times.settle()
        self._count()

    def _count(self) -> None:
        self.batches_done += 1
        self.progress(self.batches_done)

    def _list_loader_processes(self) -> None:
        if self.epoch_begun:  # a new epoch may have new workers
            self.loader_processes.include_new()
            self.epoch_begun = False

    def _stop(self) -> None:
        self._list_loader_processes()
        self.loader_processes.stop()


class Stretch:
    """Steps that follow each other without an epoch's border; the clock begins at the end of the first."""

    def __init__(self) -> None:
        self.times = StepTimes()
        self.images = 0
        """Images in the batches of all steps but the first."""
        self.host_s: list[float] = []
        """Seconds of the host inside each call of the step."""
        self.began = self.ended = 0.0
        """Times of begin and end by the host's clock."""

    def turn(self, asked: float, batch: Any, step: Step) -> None:
        """Do the next step on a batch that has arrived."""
        delivered = time.perf_counter()
        result = step(batch)
        self.host_s.append(time.perf_counter() - delivered)
        self.times.add(asked, delivered, result)
        self.ended = time.perf_counter()
        self.began = self.began or self.ended

    def host_seconds(self) -> float:
        """Return the seconds so far by the host's clock; a device may still be at work."""
        return self.ended - self.began

    def seconds(self) -> float:
        """Return the seconds from the end of the first step to the end of the last."""
        return self.times.rows[-1][2] - self.times.rows[0][2]

    def waits(self) -> list[float]:
        """Return the seconds between each step's end and the next one's begin."""
        return [row[1] - before[2] for before, row in itertools.pairwise(self.times.rows)]


class _LoaderProcesses:
    """The processes that a loader has started, told apart from those of data set and step."""

    def __init__(self) -> None:
        self._loaders: set[psutil.Process] = set()
        self._others: set[psutil.Process] = set()
        self.exclude_new()

    def include_new(self) -> None:
        """Count all processes started since `exclude_new` as the loader's."""
        self._loaders = _children() - self._others

    def exclude_new(self) -> None:
        """Count all processes started since `include_new` as not the loader's."""
        self._others = _children() - self._loaders

    def stop(self) -> None:
        """Suspend the loader's processes."""
        for process in self._loaders:
            with suppress(psutil.Error, OSError):
                process.suspend()

    def resume(self) -> None:
        """Let the loader's processes go on."""
        for process in self._loaders:
            with suppress(psutil.Error, OSError):
                process.resume()


def _children() -> set[psutil.Process]:
    return set(tree(os.getpid())[1:])
