"""A configuration's process from within: data set, loader and step are opened once, and slices measured when asked for.

Between two slices the loader's own processes are stopped: they take nothing from whoever is measured then, and the
loader's queues are found as they were left.
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
from bench.measure.loader.comparison import compare_samples
from bench.measure.loader.configuration import LoaderConfiguration
from bench.measure.loader.delivered import batch_hash
from bench.measure.loader.isolated import Progress
from bench.measure.loader.loop import Step, StepTimes
from bench.measure.loader.measurement import Arm, Slice, Started
from bench.measure.loader.workload import DatasetWorkload, Workload, drop_batch, effective_pin_memory
from bench.measure.others import CpuClock
from bench.measure.process_tree import tree
from posemodel.errors import SettingsError

FIRST_EPOCH = 3
"""Batches of the first epoch at least: its first step is slow, and its last one comes before the border."""
ENDLESS = 1 << 32
"""Batches of the second epoch, which does not end."""
RUN_IN = 2.0
"""Times a slice's length that its run-in may take, about."""
NO_BATCH = "the loader has delivered no batch in an epoch. Its data set may be smaller than batch_size."

Order = tuple[Arm, float]
"""The arm to be measured, and for how many seconds at least."""
Gpu = dict[str, float]


@dataclass(frozen=True)
class Plan:
    """How a life starts; see `living.Living`."""

    hashed_batches: int
    reference: tuple[int, ...]
    compare_s: float
    measuring_pid: int
    """The process that orders slices: what it takes is not others'."""
    asked_at: float
    """When it has asked for this life, by ``time.monotonic``."""


def live(
    progress: Progress, workload: Workload, configuration: LoaderConfiguration, plan: Plan
) -> Generator[Started | tuple[Slice, Gpu], Order]:
    """Start, then measure a slice for each order. Raises whatever data set, loader and step raise."""
    progress(0)
    began = time.monotonic()
    compared: dict[str, float] = {}
    if plan.reference and configuration.num_workers and isinstance(workload, DatasetWorkload):
        found = compare_samples(progress, workload, configuration, plan.reference, seconds=plan.compare_s, done=0)
        compared = found.metrics()
    comparing_s = time.monotonic() - began
    life = Life(progress, workload, configuration, plan.measuring_pid)
    first_batch_s, epoch_gap_s, hashes = life.start(plan.hashed_batches)
    arm, seconds = yield Started(
        first_batch_s=first_batch_s,
        epoch_gap_s=epoch_gap_s,
        start_s=time.monotonic() - plan.asked_at - comparing_s,
        effective_pin_memory=effective_pin_memory(configuration),
        hashes=hashes,
        compared=compared,
    )
    while True:
        arm, seconds = yield life.slice(arm, seconds), life.gpu_summary()


class Life:
    """Data set, loader and step, open; see `live`."""

    def __init__(
        self, progress: Progress, workload: Workload, configuration: LoaderConfiguration, measuring_pid: int
    ) -> None:
        self.progress, self.configuration = progress, configuration
        self.clock = CpuClock([measuring_pid])
        self.helpers = _Helpers()
        self.opened = workload.open_loader(configuration, ENDLESS)
        self.helpers.found()
        self.step: Step = workload.make_step()
        self.helpers.not_among()
        self.gpu = GpuSampler(workload.device)
        self.gpu_told = True
        """Whether its utilisation is that of slices alone."""
        self.batches: Iterator[Any] = iter(())
        self.kept: Any = None
        """The first batch, on which is computed where nothing is loaded."""
        self.epoch = -1
        self.given = progress.count
        self.border = False
        """Whether an epoch has begun since the loader's processes were looked for."""
        self.queues_of: Arm | None = None
        """The arm that has left the loader's queues as they are."""

    def start(self, hashed_batches: int) -> tuple[float, float, tuple[int, ...]]:
        """(seconds to the first batch, seconds over the border between two epochs, hashes of the first batches).

        A short first epoch, of which the first and the last batch are trained on, and the second one's first batch; of
        a loader that decides itself how long an epoch is, its first batches.
        """
        hashed_batches = hashed_batches if self.opened.comparable else 0
        number, hashes, epoch_gap_s = max(FIRST_EPOCH, hashed_batches), [], math.nan
        if self.opened.set_length is not None:
            self.opened.set_length(number)
        asked = time.perf_counter()
        self.kept, _ = self._next()
        first_batch_s = time.perf_counter() - asked
        self._found()
        batch = self.kept
        for position in range(number):
            if position < hashed_batches:
                hashes.append(batch_hash(batch))
            if position in (0, number - 1):
                self._step_on(batch)
                self.helpers.not_among()
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
        """Measure whole rounds of workers for ``seconds`` at least; what comes before the clock begins is not in it."""
        loads = arm != Arm.COMPUTE
        if loads and (arm != self.queues_of or self.opened.reads_on):
            self._run_in(arm, RUN_IN * seconds)
            self.queues_of = arm
        begin = self.clock.mark()
        if loads:
            self.helpers.resume()
        stretches = self.measured(arm, seconds)
        self._stop()
        if arm == Arm.END_TO_END:
            self.gpu_told &= seconds >= NVML_LOOKS_BACK_S
            self.gpu.look()
        end = self.clock.mark()
        if self.opened.set_length is None:  # the next border may come in any slice
            self.helpers.not_among()
        waits = [wait for each in stretches for wait in each.waits()]
        whole = sum(each.seconds() for each in stretches)
        wait_s = sum(waits)
        return Slice(
            arm=arm,
            batches=len(waits),
            images=sum(each.images for each in stretches),
            seconds=whole,
            wait_s=wait_s,
            host_s=sum(sum(each.host_s[1:]) for each in stretches),
            compute_s=whole - wait_s,
            cpu_s=(end.tree - begin.tree) * whole / (end.at - begin.at),
            others_share=self.clock.others_share(begin, end),
            waits_ms=tuple(1000 * wait for wait in waits),
        )

    def measured(self, arm: Arm, seconds: float) -> "list[Stretch]":
        """Steps between borders of epochs: a border is in none of them, but where each batch is an epoch."""
        round_length = 1 if arm == Arm.COMPUTE else self.configuration.round_length
        step = self._step_of(arm)
        stretches: list[Stretch] = []
        after_border, counted = False, 0
        while counted == 0 or counted % round_length or sum(each.host_seconds() for each in stretches) < seconds:
            asked = time.perf_counter()
            batch, border = (self.kept, False) if arm == Arm.COMPUTE else self._next()
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
        """See `gpu.summarized`; utilisation in slices of end_to_end, NaN where one was too short to tell."""
        found = self.gpu.summary()
        return found if self.gpu_told or not found else found | {"gpu_utilization_percent": math.nan}

    def _run_in(self, arm: Arm, most_s: float) -> None:
        """Another arm has left the queues fuller or emptier than this one keeps them: all that is in flight goes."""
        self.helpers.resume()
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
        """The next batch, and whether it is the first of an epoch."""
        with suppress(StopIteration):
            return next(self.batches), False
        self.epoch += 1
        self.opened.begin_epoch(self.epoch)
        self.batches = iter(self.opened.loader)
        self.border = True
        try:
            return next(self.batches), True
        except StopIteration:
            raise SettingsError(NO_BATCH) from None

    def _step_on(self, batch: Any) -> None:
        """A step that is in no slice, to its end."""
        times = StepTimes()
        times.add(0.0, time.perf_counter(), self.step(batch))
        times.settle()
        self._count()

    def _count(self) -> None:
        self.given += 1
        self.progress(self.given)

    def _found(self) -> None:
        if self.border:  # another epoch's workers
            self.helpers.found()
            self.border = False

    def _stop(self) -> None:
        self._found()
        self.helpers.stop()


class Stretch:
    """Steps that follow each other; the end of the first is where the clock begins."""

    def __init__(self) -> None:
        self.times = StepTimes()
        self.images = 0
        """In the batches of all steps but the first."""
        self.host_s: list[float] = []
        """Within the call of each step."""
        self.began = self.ended = 0.0
        """By the host's clock."""

    def turn(self, asked: float, batch: Any, step: Step) -> None:
        """Do the next step; its batch is there."""
        delivered = time.perf_counter()
        found = step(batch)
        self.host_s.append(time.perf_counter() - delivered)
        self.times.add(asked, delivered, found)
        self.ended = time.perf_counter()
        self.began = self.began or self.ended

    def host_seconds(self) -> float:
        """How long it lasts, as far as the host knows."""
        return self.ended - self.began

    def seconds(self) -> float:
        """How long it took."""
        return self.times.rows[-1][2] - self.times.rows[0][2]

    def waits(self) -> list[float]:
        """Seconds between a step's end and the next one's begin."""
        return [row[1] - before[2] for before, row in itertools.pairwise(self.times.rows)]


class _Helpers:
    """The processes that a loader has started, told apart from those of data set and step."""

    def __init__(self) -> None:
        self._ours: set[psutil.Process] = set()
        self._others: set[psutil.Process] = set()
        self.not_among()

    def found(self) -> None:
        """What has been started since `not_among` is the loader's."""
        self._ours = _children() - self._others

    def not_among(self) -> None:
        """What has been started since `found` is not."""
        self._others = _children() - self._ours

    def stop(self) -> None:
        """They rest, where they are."""
        for process in self._ours:
            with suppress(psutil.Error, OSError):
                process.suspend()

    def resume(self) -> None:
        """They go on."""
        for process in self._ours:
            with suppress(psutil.Error, OSError):
                process.resume()


def _children() -> set[psutil.Process]:
    return set(tree(os.getpid())[1:])
