"""Time the training loop against bare forward, loss, backward and optimizer step on the same batches."""

import copy
import statistics
import time
from collections.abc import Callable, Sequence

import torch
from torch.optim.lr_scheduler import LambdaLR

from bench.optimizers import optimizer_entry
from bench.speed.compare import Pair, Row, compare
from posemodel.config import InputSettings
from posemodel.data.batch import Batch, to_device
from posemodel.data.device_targets import make_targets
from posemodel.device import synchronize
from posemodel.network import PoseNetwork, build_network, input_geometry
from posemodel.network.own import check_output
from posemodel.skeleton import COCO_PERSON
from posemodel.training.loss import pose_loss
from posemodel.training.schedule import schedule_factor
from posemodel.training.step import TrainingStep
from posemodel.training.throughput import ThroughputMeter

NETWORK, SIZE, BATCH_SIZE = "small", 160, 4
"""The settings of the `small` preset, whose steps are the shortest: the loop's overhead weighs most there."""
BATCHES = 8
STEPS = 10
"""Steps in one turn of each side: one window of the loop."""
OPTIMIZER = "adam"


def measure(device: torch.device, *, network: str | None = None, repeats: int = 25) -> list[Row]:
    """Time windows of the training loop against as many bare steps (forward, loss, backward, optimizer).

    ``network`` is a name or the path of a class, at its own size; None is the `small` preset's. The batches are on the
    device before. The loop adds the schedule, timing, accounting and the end of a window.
    """
    network, size = (NETWORK, SIZE) if network is None else (network, None)
    geometry = input_geometry(network, size)
    batches = memory_batches(geometry, BATCH_SIZE, BATCHES, device)
    built = build_network(network, seed=0)
    check_output(built, geometry.size, network)
    built = built.to(device, memory_format=torch.channels_last).train()  # type: ignore[call-overload]
    pair = Pair(
        _loop(copy.deepcopy(built), batches, geometry, device, repeats),
        _bare(copy.deepcopy(built), batches),
    )
    row = compare(
        "train",
        f"bare forward + backward + step, {STEPS} steps",
        [pair],
        repeats=repeats,
        max_ratio=1.03,
        warm_up=2,
        synchronize=lambda: synchronize(device),
        device=device.type,
        network=network,
        size=geometry.size,
        batch_size=BATCH_SIZE,
        steps=STEPS,
    )
    row.facts["parts_ms"] = part_times(built, batches, device)
    return [row]


def part_times(network: PoseNetwork, batches: Sequence[Batch], device: torch.device) -> dict[str, float]:
    """Return the median milliseconds of each part of a step; the device is synchronised after each part."""
    optimizer = optimizer_entry(OPTIMIZER).factory({"lr": 1e-4})(network.parameters())
    times: dict[str, list[float]] = {}
    for batch in [*batches, *batches]:
        began = time.perf_counter()

        def lap(part: str) -> None:
            nonlocal began
            synchronize(device)
            now = time.perf_counter()
            times.setdefault(part, []).append(1000 * (now - began))
            began = now

        images = network.normalize(batch.images)
        lap("normalise")
        stages = network.stages(images)
        lap("forward")
        loss, _ = pose_loss(stages, batch)
        lap("loss")
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        lap("backward")
        optimizer.step()
        lap("optimizer")
    return {part: statistics.median(values[len(batches) :]) for part, values in times.items()}


def memory_batches(
    geometry: InputSettings, batch_size: int, number: int, device: torch.device, *, with_targets: bool = True
) -> list[Batch]:
    """Make ``number`` batches of random pixels and COCO's people: on the device, or without targets in CPU memory.

    Batches without targets are as a loader delivers them: pinned if the device is a CUDA one.
    """
    generator = torch.Generator().manual_seed(0)
    side, cells = geometry.size, geometry.cells
    batches = []
    for _ in range(number):
        people = torch.rand((batch_size, 2, COCO_PERSON.num_parts, 3), generator=generator) * side
        heatmaps, pafs = make_targets(people, geometry, COCO_PERSON) if with_targets else (None, None)
        pixels = torch.randint(0, 256, (batch_size, side, side, 3), generator=generator, dtype=torch.uint8)
        batch = Batch(
            images=pixels.permute(0, 3, 1, 2),
            heatmaps=heatmaps,
            pafs=pafs,
            mask=torch.ones((batch_size, 1, cells, cells), dtype=torch.uint8),
            people=people,
            warps=torch.zeros((batch_size, 2, 3), dtype=torch.float64),
            image_ids=torch.arange(batch_size),
        )
        if with_targets:
            batch = to_device(batch, device, geometry, COCO_PERSON)
        elif device.type == "cuda":
            batch = Batch._make(None if tensor is None else tensor.pin_memory() for tensor in batch)
        batches.append(batch)
    return batches


def _loop(
    network: PoseNetwork, batches: Sequence[Batch], geometry: InputSettings, device: torch.device, windows: int
) -> Callable[[], object]:
    optimizer = optimizer_entry(OPTIMIZER).factory({"lr": 1e-4})(network.parameters())
    scheduler = LambdaLR(optimizer, schedule_factor("cosine", 0.05, 2 * windows * STEPS))
    meter = ThroughputMeter(device)
    step = TrainingStep(network, optimizer, scheduler, geometry, meter)

    def window() -> None:
        meter.start()
        for batch in meter.waiting(batches[number % len(batches)] for number in range(STEPS)):
            step(batch)
        meter.pause()
        step.mean_loss()

    return window


def _bare(network: PoseNetwork, batches: Sequence[Batch]) -> Callable[[], object]:
    optimizer = optimizer_entry(OPTIMIZER).factory({"lr": 1e-4})(network.parameters())

    def steps() -> None:
        for number in range(STEPS):
            batch = batches[number % len(batches)]
            loss, _ = pose_loss(network(batch.images), batch)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()

    return steps
