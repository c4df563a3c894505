"""Time making a training sample against reading its image file, and the parts of a sample."""

import statistics
import time
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from random import Random

import cv2
import numpy as np
import torch

from bench.speed.compare import Pair, Row, compare, threads
from bench.speed.data import data_name, labelled_images
from bench.speed.parts import chain, max_ratio, with_chains
from posemodel.config import AugmentSettings, InputSettings
from posemodel.data.augment import letterbox, random_colour, random_warp
from posemodel.data.batch import collate
from posemodel.data.dataset import PoseDataset
from posemodel.data.device_targets import make_targets
from posemodel.data.images.files import decode_reduced
from posemodel.data.loader import prepare_process
from posemodel.data.open_split import PackedSplit
from posemodel.data.targets import make_heatmaps, make_pafs
from posemodel.skeleton import Skeleton

GEOMETRY = InputSettings(size=368, stride=8)
"""OpenPose's input in pixels and its maps: 46 x 46 cells."""
AUGMENT = AugmentSettings()
BATCH_SIZE = 8
PARTS_REPEATS = 5


def measure(data: Path | None, *, parts: int | None = None, repeats: int = 15) -> list[Row]:
    """Time augmented samples at 368 pixels against ``cv2.imread`` of the same files, on one thread.

    All images of the split `train` with labelled people, augmented differently in every repeat. A sample is the work of
    a loader's worker: decode, affine warp, colour, mask, and all target maps unless the device makes these. A further
    row compares targets made by PyTorch on the CPU with targets made by workers; with ``parts``, the last one compares
    workers' targets of chains of this many parts with those of the images' people.
    """
    with threads(1), labelled_images(data) as split:
        prepare_process()
        with_targets = _row(split, data, "sample", max_ratio=1.6, repeats=repeats, with_targets=True)
        with_targets.facts["parts_ms"] = part_times(PoseDataset(split, GEOMETRY))
        without_targets = _row(
            split, data, "sample, targets on the device", max_ratio=1.3, repeats=repeats, with_targets=False
        )
        rows = [with_targets, without_targets, _targets(split, repeats)]
        return rows if parts is None else [*rows, _targets_of_parts(split, parts, repeats)]


def _row(
    split: PackedSplit, data: Path | None, name: str, *, max_ratio: float, repeats: int, with_targets: bool
) -> Row:
    dataset = PoseDataset(split, GEOMETRY, augment=AUGMENT, with_targets=with_targets)
    pairs = [_pair(dataset, split, position) for position in range(len(split))]
    people = sum(split.people_count(position) for position in range(len(split)))
    return compare(
        name,
        "cv2.imread",
        pairs,
        repeats=repeats,
        max_ratio=max_ratio,
        images=len(split),
        people=people,
        size=GEOMETRY.size,
        data=data_name(data),
        page_cache="warm",
    )


def _pair(dataset: PoseDataset, split: PackedSplit, position: int) -> Pair:
    epochs = count()
    path = str(split.path(position))
    return Pair(lambda: dataset[next(epochs), position], lambda: cv2.imread(path))


def _targets(split: PackedSplit, repeats: int) -> Row:
    """Compare the targets of a batch made by PyTorch on the CPU with those that a worker makes image by image."""
    dataset = PoseDataset(split, GEOMETRY, augment=AUGMENT, with_targets=False)
    chosen = [number % len(split) for number in range(BATCH_SIZE)]
    batch = collate([dataset[0, position] for position in chosen])
    people = [each[(each[..., 2] > 0).any(axis=1)] for each in batch.people.numpy()]
    pair = Pair(
        lambda: make_targets(batch.people, GEOMETRY, split.skeleton),
        lambda: [_worker_targets(each, split.skeleton) for each in people],
    )
    return compare(
        "targets by PyTorch on the CPU", f"targets by NumPy, {BATCH_SIZE} images", [pair], repeats=repeats
    )  # fmt: skip


def _targets_of_parts(split: PackedSplit, parts: int, repeats: int) -> Row:
    """Compare a worker's targets of all images with a chain of ``parts`` parts for each person with the people's."""
    skeleton, usual = chain(parts), split.skeleton
    pairs = []
    for position in range(len(split)):
        people = letterbox(*split.size(position), GEOMETRY.size).people(split.people(position), usual)
        pairs.append(_targets_pair(with_chains(people, parts), skeleton, people, usual))
    return compare(
        f"targets of {parts} parts",
        f"targets of {usual.num_parts} parts",
        pairs,
        repeats=repeats,
        max_ratio=max_ratio(parts, usual.num_parts),
        parts=parts,
        limbs=skeleton.num_limbs,
        images=len(split),
    )


def _targets_pair(ours: np.ndarray, skeleton: Skeleton, theirs: np.ndarray, usual: Skeleton) -> Pair:
    return Pair(lambda: _worker_targets(ours, skeleton), lambda: _worker_targets(theirs, usual))


def _worker_targets(people: np.ndarray, skeleton: Skeleton) -> tuple[torch.Tensor, torch.Tensor]:
    heatmaps = torch.from_numpy(make_heatmaps(people, GEOMETRY)).half()
    return heatmaps, torch.from_numpy(make_pafs(people, GEOMETRY, skeleton, dtype=np.float16))


def part_times(dataset: PoseDataset) -> dict[str, float]:
    """Return the milliseconds of each part of a sample: mean over the images, median over the repeats."""
    times: dict[str, list[float]] = {}
    for repeat in range(PARTS_REPEATS + 1):
        sums: dict[str, float] = {}
        for position in range(len(dataset)):
            for part, work in _parts(dataset, repeat, position):
                began = time.perf_counter()
                work()
                sums[part] = sums.get(part, 0.0) + time.perf_counter() - began
        if repeat:  # the first repeat warms up
            for part, seconds in sums.items():
                times.setdefault(part, []).append(1000 * seconds / len(dataset))
    return {part: statistics.median(values) for part, values in times.items()}


def _parts(dataset: PoseDataset, epoch: int, position: int) -> Iterator[tuple[str, Callable[[], object]]]:
    """Yield the parts of ``PoseDataset.__getitem__``: a name, and a function that runs the part alone."""
    split = dataset.split
    rng = Random(f"{epoch} {position}")
    people = split.people(position)
    warp = random_warp(rng, *split.size(position), people, GEOMETRY.size, AUGMENT)
    image, reduction = decode_reduced(split.path(position), warp.reduction())
    assert image is not None, "opening the split has checked that the image can be read"
    pixels = image
    warped = warp.image(pixels, GEOMETRY.size, reduction)
    moved = warp.people(people, split.skeleton)
    yield "decode", lambda: decode_reduced(split.path(position), reduction)
    yield "warp", lambda: warp.image(pixels, GEOMETRY.size, reduction)
    yield "colour", lambda: random_colour(rng, warped, AUGMENT)
    yield "mask", lambda: warp.mask(split.ignore_mask(position), GEOMETRY.size, GEOMETRY.cells)
    yield "heatmaps", lambda: torch.from_numpy(make_heatmaps(moved, GEOMETRY)).half()
    yield "PAFs", lambda: make_pafs(moved, GEOMETRY, split.skeleton, dtype=np.float16)
