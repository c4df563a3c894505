"""Measure how much of a GPU's arithmetic training uses, and whether a data loader is fast enough for it."""

import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from bench.optimizers import optimizer_entry
from bench.speed.compare import Pair, Row, compare, summarize
from bench.speed.data import labelled_images
from bench.speed.train import memory_batches
from posemodel.config import AugmentSettings, InputSettings, LoaderSettings
from posemodel.data.batch import Batch, to_device
from posemodel.data.dataset import PoseDataset
from posemodel.data.loader import build_loader
from posemodel.device import synchronize
from posemodel.network import PoseNetwork, build_network, input_geometry
from posemodel.network.cost import network_cost
from posemodel.skeleton import COCO_PERSON
from posemodel.training.loss import pose_loss

NETWORK = "rtpose_vgg"
MATMUL_SIDE = 8192
"""Rows and columns of the square matrices of the yardstick."""
PASSES = 3
"""Operations of forward and backward pass together, in forward passes."""
STEPS = 5
"""Training steps, or matrix products, in one turn of each side."""
LOADER_WORKERS = 4
LOADER_BATCHES = 20
MIN_UTILISATION = 0.4
MIN_HEADROOM = 2.0


def measure(
    device: torch.device,
    data: Path | None,
    *,
    network: str = NETWORK,
    size: int | None = None,
    batch_size: int = 32,
    matmul_side: int = MATMUL_SIDE,
    compiled: bool = True,
    repeats: int = 15,
) -> list[Row]:
    """Time bf16 training steps against the same number of operations in large matrix products.

    The inverse of the ratio is the model FLOP utilisation, relative to what this GPU reaches in a bf16 product of two
    square matrices. A step is complete: it copies pinned images and people to the GPU and makes the targets there.
    Rows: weights contiguous, channels last (as images always are), and channels last compiled; then a loader with four
    workers against the fastest of these; then making targets on the GPU against copying targets made by workers.
    """
    geometry = input_geometry(network, size)
    batches = memory_batches(geometry, batch_size, 4, device, with_targets=False)
    flops = 2e9 * float(network_cost(network, size)["gmacs"]) * PASSES * batch_size
    product = _matrix_product(device, matmul_side)
    rows: list[Row] = []
    steps: dict[str, Callable[[], None]] = {}
    for name, memory_format, compile_it in (
        ("weights contiguous", torch.contiguous_format, False),
        ("channels_last", torch.channels_last, False),
        ("channels_last, compiled", torch.channels_last, True),
    ):
        if compile_it and not compiled:
            continue
        model = build_network(network, seed=0).to(device, memory_format=memory_format).train()  # type: ignore[call-overload]
        model.precision = "bf16"
        step = _make_step(model, batches, geometry, device, compile_it=compile_it)
        steps[name] = step
        ours, theirs = _alternate(step, product, device, repeats)
        rate = 2 * matmul_side**3 / (theirs / 1000)
        rows.append(
            summarize(
                f"train on the GPU, {name}",
                "its operations in matrix products",
                ours,
                flops / rate * 1000,
                max_ratio=1 / MIN_UTILISATION,
                utilisation=float(np.median(flops / rate * 1000) / np.median(ours)),
                images_per_s=float(1000 * batch_size / np.median(ours)),
                matmul_tflops=float(np.median(rate) / 1e12),
                network=network,
                size=geometry.size,
                batch_size=batch_size,
                device=device.type,
            )
        )
    fastest = min(steps, key=lambda name: next(row.median_ms for row in rows if row.name.endswith(name)))
    rows.append(_headroom(steps[fastest], fastest, data, geometry, device, batch_size, repeats))
    rows.append(_targets_row(geometry, batch_size, device, repeats))
    return rows


def _make_step(
    model: PoseNetwork, batches: list[Batch], geometry: InputSettings, device: torch.device, *, compile_it: bool
) -> Callable[[], None]:
    """Return a function that runs one training step on the next batch, cycling through the batches."""
    optimizer = optimizer_entry("adam").factory({"lr": 1e-4})(model.parameters())
    forward = torch.compile(model) if compile_it else model
    turn = 0

    def step() -> None:
        nonlocal turn
        batch = to_device(batches[turn % len(batches)], device, geometry, model.skeleton)
        turn += 1
        loss, _ = pose_loss(forward(batch.images), batch)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()

    return step


def _matrix_product(device: torch.device, side: int) -> Callable[[], object]:
    a, b = (torch.randn(side, side, device=device, dtype=torch.bfloat16) for _ in range(2))
    return lambda: a @ b


def _alternate(
    ours: Callable[[], object], yardstick: Callable[[], object], device: torch.device, repeats: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return milliseconds per call of both sides, each (repeats,): means over `STEPS` calls run back to back."""
    times = np.empty((2, repeats))
    for repeat in range(-3, repeats):  # the first turns compile and choose kernels
        for side, work in enumerate((ours, yardstick)):
            synchronize(device)
            began = time.perf_counter()
            for _ in range(STEPS):
                work()
            synchronize(device)
            if repeat >= 0:
                times[side, repeat] = 1000 * (time.perf_counter() - began) / STEPS
    return times[0], times[1]


def _headroom(
    step: Callable[[], None],
    name: str,
    data: Path | None,
    geometry: InputSettings,
    device: torch.device,
    batch_size: int,
    repeats: int,
) -> Row:
    """Compare the loader's time for a batch with the GPU's, alternately: a ratio of 0.5 is a headroom of 2."""
    with labelled_images(data) as split:
        files = len(split)
        positions = [number % files for number in range(batch_size * LOADER_BATCHES)]
        dataset = PoseDataset(split.subset(positions), geometry, augment=AugmentSettings(), with_targets=False)
        settings = LoaderSettings(
            batch_size=batch_size,
            num_workers=LOADER_WORKERS,
            persistent_workers=True,
            pin_memory=device.type == "cuda",
        )
        loader, sampler = build_loader(dataset, settings, training=True)
        times = np.empty((2, max(repeats // 3, 3)))
        for epoch in range(-1, times.shape[1]):  # the first epoch starts the workers and reads files from disk
            sampler.epoch = epoch + 1
            began = time.perf_counter()
            batches = sum(1 for _ in loader)
            loading_ended = time.perf_counter()
            for _ in range(batches):
                step()
            synchronize(device)
            if epoch >= 0:
                times[:, epoch] = (loading_ended - began, time.perf_counter() - loading_ended)
    ours, theirs = 1000 * times / batches
    return summarize(
        f"loader of {LOADER_WORKERS} workers",
        f"training steps on the GPU, {name}",
        ours,
        theirs,
        max_ratio=1 / MIN_HEADROOM,
        headroom=float(np.median(theirs) / np.median(ours)),
        loader_images_per_s=float(1000 * batch_size / np.median(ours)),
        workers=LOADER_WORKERS,
        files=files,
        page_cache="warm",
    )


def _targets_row(geometry: InputSettings, batch_size: int, device: torch.device, repeats: int) -> Row:
    """Compare copying people and making their maps on the GPU with copying maps made by workers."""
    (batch_without_targets,) = memory_batches(geometry, batch_size, 1, device, with_targets=False)
    (batch_with_targets,) = memory_batches(geometry, batch_size, 1, torch.device("cpu"))
    if device.type == "cuda":
        batch_with_targets = Batch._make(
            None if tensor is None else tensor.pin_memory() for tensor in batch_with_targets
        )
    pair = Pair(
        lambda: to_device(batch_without_targets, device, geometry, COCO_PERSON),
        lambda: to_device(batch_with_targets, device, geometry, COCO_PERSON),
    )
    return compare(
        "targets on the GPU",
        "copying the workers' targets",
        [pair],
        repeats=repeats,
        warm_up=3,
        synchronize=lambda: synchronize(device),
        batch_size=batch_size,
    )
