"""What measuring a loader costs the loop of a slice: clocks, progress, and a sampler that looks on."""

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
from bench.measure.loader.life import Life
from bench.measure.loader.loop import Step
from bench.measure.loader.measurement import Arm
from bench.measure.loader.workload import OpenLoader
from bench.measure.resources import PERIOD_S, ResourceSampler
from bench.speed.compare import Pair, Row, compare
from bench.speed.train import memory_batches
from bench.storage.printing import print_text
from posemodel.network import input_geometry

NETWORK, SIZE, BATCH_SIZE = "small", 160, 4
"""As the `small` preset trains: the smallest batches, so that what is done for each weighs most."""
STEP_S = 0.01
"""A sleep instead of a step, shorter than any of ours: of 5 ms or 50 the measuring takes the same milliseconds."""
STEPS = 50
ASKED = 1.01


def measure(*, repeats: int = 40) -> list[Row]:
    """Time what a slice does for each of its batches against a bare ``for batch in loader: step(batch)``, in turns.

    The batches are in memory and the step sleeps: whatever the measuring takes on top is seen, none of it can hide
    behind the loading. The sampler runs in another process, as in a measurement, and only in our turns.
    """
    geometry = input_geometry(NETWORK, SIZE)
    workload = _InMemory(memory_batches(geometry, BATCH_SIZE, 1, torch.device("cpu"))[0])
    configuration = LoaderConfiguration(batch_size=BATCH_SIZE, num_workers=STEPS)  # a slice is a round of them
    context = multiprocessing.get_context("spawn")
    told, sample = context.RawValue("q", 0), context.RawValue("q", 0)
    life = Life(Progress(told, sample), workload, configuration, os.getpid())
    with _looking_on(context.Event()) as looking:

        def ours() -> None:
            looking.set()
            life.measured(Arm.END_TO_END, 0.0)
            looking.clear()

        def bare() -> None:
            for batch in workload.open_loader(configuration, 1 + STEPS).loader:
                _sleep(batch)

        row = compare(
            "loader measuring",
            f"bare loop, {STEPS} steps of {1000 * STEP_S:g} ms",
            [Pair(ours, bare)],
            repeats=repeats,
            asked=ASKED,
            warm_up=3,
            network=NETWORK,
            size=SIZE,
            batch_size=BATCH_SIZE,
        )
    row.facts["added_us_a_batch"] = 1000 * (row.median_ms - row.yardstick_ms) / STEPS
    return [row]


@dataclass(frozen=True)
class _InMemory:
    """A workload whose batches are all the same one, and cost nothing."""

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
def _looking_on(looking: Event) -> Iterator[Event]:
    """A process that samples this one's resources whenever the event is set."""
    process = multiprocessing.get_context("spawn").Process(target=_look, args=(os.getpid(), looking), daemon=True)
    process.start()
    try:
        yield looking
    finally:
        process.kill()
        process.join()


def _look(pid: int, looking: Event) -> None:
    sampler = ResourceSampler(pid)
    while looking.wait():
        sampler.look()
        time.sleep(PERIOD_S)


def main() -> None:
    """Print the comparison as JSON: `python -m bench.speed.loader_measuring`."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=40)
    print_text(json.dumps([row.as_row() for row in measure(**vars(parser.parse_args()))], indent=2))


if __name__ == "__main__":
    main()
