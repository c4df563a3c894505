"""Measure the overhead of loader measurements: clocks, progress reports and the resource sampler in a slice's loop."""

import argparse
import json
import multiprocessing
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import repeat
from multiprocessing.synchronize import Event
from typing import Any

import torch

from bench.measure.loader.configuration import LoaderConfiguration
from bench.measure.loader.isolated import Progress
from bench.measure.loader.loop import Step
from bench.measure.loader.measurement import Arm
from bench.measure.loader.measuring_child import OpenedConfiguration
from bench.measure.loader.workload import OpenLoader
from bench.measure.resources import PERIOD_S, ResourceSampler
from bench.speed.compare import Pair, Row, compare
from bench.speed.train import memory_batches
from bench.storage.printing import print_text
from posemodel.network import input_geometry

NETWORK, SIZE, BATCH_SIZE = "small", 160, 4
"""The settings of the `small` preset, whose batches are the smallest: overhead per batch weighs most there."""
STEP_S = 0.01
"""Seconds of the sleep that replaces a training step, shorter than any real step. The overhead in milliseconds is the
same with sleeps of 5 or 50 ms."""
STEPS = 50
"""Steps in one slice."""
MAX_RATIO = 1.01


def measure(*, repeats: int = 40) -> list[Row]:
    """Time a slice of a loader measurement against a bare ``for batch in loader: step(batch)``, alternately.

    The batches are in memory and the step sleeps, so that no overhead is hidden behind loading. As in a measurement the
    resource sampler runs in another process; it runs only in our turns.
    """
    geometry = input_geometry(NETWORK, SIZE)
    workload = _InMemory(memory_batches(geometry, BATCH_SIZE, 1, torch.device("cpu"))[0])
    configuration = LoaderConfiguration(batch_size=BATCH_SIZE, num_workers=STEPS)  # a slice: a batch of each worker
    context = multiprocessing.get_context("spawn")
    count, sample = context.RawValue("q", 0), context.RawValue("q", 0)
    life = OpenedConfiguration(Progress(count, sample), workload, configuration, os.getpid())
    with _sampling_process(context.Event()) as sampling:

        def ours() -> None:
            sampling.set()
            life.measure_stretches(Arm.END_TO_END, 0.0)
            sampling.clear()

        def bare() -> None:
            for batch in workload.open_loader(configuration, 1 + STEPS).loader:
                _sleep(batch)

        row = compare(
            "loader measuring",
            f"bare loop, {STEPS} steps of {1000 * STEP_S:g} ms",
            [Pair(ours, bare)],
            repeats=repeats,
            max_ratio=MAX_RATIO,
            warm_up=3,
            network=NETWORK,
            size=SIZE,
            batch_size=BATCH_SIZE,
        )
    row.facts["added_us_a_batch"] = 1000 * (row.median_ms - row.yardstick_ms) / STEPS
    return [row]


@dataclass(frozen=True)
class _InMemory:
    """A workload whose batches are one batch in memory, repeated: loading costs nothing."""

    batch: Any
    device: str = "cpu"

    def open_loader(self, _configuration: LoaderConfiguration, batches: int) -> OpenLoader:
        """See `Workload`."""
        return OpenLoader(_Repeated(self.batch, batches), begin_epoch=lambda _: None)

    def make_step(self) -> Step:
        """See `Workload`."""
        return _sleep


@dataclass(frozen=True)
class _Repeated:
    batch: Any
    number: int

    def __iter__(self) -> Iterator[Any]:
        return repeat(self.batch, self.number)


def _sleep(_batch: Any) -> None:
    time.sleep(STEP_S)


@contextmanager
def _sampling_process(sampling: Event) -> Iterator[Event]:
    """Run a process that samples this one's resources while the event is set."""
    process = multiprocessing.get_context("spawn").Process(
        target=_sample_resources, args=(os.getpid(), sampling), daemon=True
    )
    process.start()
    try:
        yield sampling
    finally:
        process.kill()
        process.join()


def _sample_resources(pid: int, sampling: Event) -> None:
    sampler = ResourceSampler(pid)
    while sampling.wait():
        sampler.sample_now()
        time.sleep(PERIOD_S)


def main() -> None:
    """Print the comparison as JSON: `python -m bench.speed.loader_measuring`."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=40)
    print_text(json.dumps([row.as_row() for row in measure(**vars(parser.parse_args()))], indent=2))


if __name__ == "__main__":
    main()
