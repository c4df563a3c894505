"""Samples and batches: a map-style Dataset whose samples depend on (seed, epoch, position) alone, and its DataLoader.

Because the randomness of a sample is derived from what it is and not from the worker that makes it, every
num_workers, start method and prefetch_factor yields the same batches.
"""

import contextlib
import ctypes
import os
import signal
import sys
from collections.abc import Iterator
from multiprocessing import resource_tracker
from random import Random
from typing import Any, NamedTuple

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional
from torch.utils.data import DataLoader, Dataset, Sampler, default_collate

from posemodel.config import AugmentSettings, InputSettings, LoaderSettings, TargetsPlace
from posemodel.data.augment import Warp, letterbox, random_colour, random_warp
from posemodel.data.coco import PackedSplit
from posemodel.data.image_files import decoded_smaller
from posemodel.data.targets import make_heatmaps, make_pafs
from posemodel.errors import DataError, SettingsError
from posemodel.launch import launched
from posemodel.worker_faults import require_open_files

CV2_THREADS_PER_WORKER = 1
"""OpenCV would start as many threads as the machine has cores in every worker."""
KEPT_BYTES = 64 << 20
"""Freed memory that a process may keep, in each of glibc's arenas."""
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
"""Of glibc's malloc.h."""
_SHUFFLE_STREAM = 1


class Batch(NamedTuple):
    """What a loader yields: B samples of input side S, with C cells a side.

    images (B, 3, S, S) uint8 RGB, channels last in memory; heatmaps (B, 19, C, C) and pafs (B, 38, C, C) float16, None
    where they are still to be made from the people on the device; mask (B, 1, C, C) uint8 with 1 where a cell counts;
    people (B, P, 18, 3) float32 in input pixels, P being the most that an image of the batch has, the others' rows
    zero; warps (B, 2, 3) float64 (image pixels -> input pixels); image_ids (B,) int64.
    A sample is the same without the leading B.
    """

    images: torch.Tensor
    heatmaps: torch.Tensor | None
    pafs: torch.Tensor | None
    mask: torch.Tensor
    people: torch.Tensor
    warps: torch.Tensor
    image_ids: torch.Tensor


class PoseDataset(Dataset[Batch]):
    """Samples of a split. An index is (epoch, position); a plain position is epoch 0."""

    def __init__(
        self,
        split: PackedSplit,
        geometry: InputSettings,
        *,
        augment: AugmentSettings | None = None,
        seed: int = 0,
        with_targets: bool = True,
    ) -> None:
        """``with_targets=False`` leaves the maps to be made on the device (`posemodel.data.device_targets`)."""
        self.split = split
        self.with_targets = with_targets
        self.geometry = geometry
        self.augment = augment if augment is not None and augment.enabled else None
        self.seed = seed

    def __len__(self) -> int:
        return len(self.split)

    def __getitem__(self, index: int | tuple[int, int]) -> Batch:
        epoch, position = index if isinstance(index, tuple) else (0, index)
        size, cells = self.geometry.size, self.geometry.cells
        width, height = self.split.size(position)
        people = self.split.people(position)
        if self.augment is None:
            warp = letterbox(width, height, size)
            pixels = self._pixels(position, warp)
        else:
            rng = Random(f"{self.seed} {epoch} {position}")  # NumPy's takes ten times as long to make, and to ask
            warp = random_warp(rng, width, height, people, size, self.augment)
            pixels = random_colour(rng, self._pixels(position, warp), self.augment)
        people = warp.people(people)
        mask = warp.mask(self.split.ignore_mask(position), size, cells)
        heatmaps = pafs = None
        if self.with_targets:
            heatmaps = torch.from_numpy(make_heatmaps(people, self.geometry)).half()
            pafs = torch.from_numpy(make_pafs(people, self.geometry, np.float16))
        return Batch(
            images=torch.from_numpy(pixels).permute(2, 0, 1),
            heatmaps=heatmaps,
            pafs=pafs,
            mask=torch.from_numpy(mask[None]),
            people=torch.from_numpy(people),
            warps=torch.from_numpy(warp.matrix),
            image_ids=torch.tensor(self.split.image_id(position)),
        )

    def _pixels(self, position: int, warp: Warp) -> NDArray[np.uint8]:
        """The warped image, RGB (S, S, 3); decoded smaller where the warp makes it smaller still."""
        size, reduction = self.geometry.size, warp.reduction()
        if reduction > 1:
            width, height = self.split.size(position)
            image, reduction = decoded_smaller(self.split.path(position), reduction, exif=self.split.exif)
            if image is not None and image.shape[:2] == (-(-height // reduction), -(-width // reduction)):
                return warp.image(image, size, reduction)
        return warp.image(self.split.read_image(position), size)


def targets_in_workers(place: TargetsPlace, device: torch.device) -> bool:
    """Whether the loader makes the target maps; `auto`: only where the network runs on the CPU (docs/decisions.md)."""
    return place == "loader" or (place == "auto" and device.type == "cpu")


class EpochSampler(Sampler[tuple[int, int]]):
    """(epoch, position) of every sample of one epoch; shuffled by (seed, epoch), starting after ``skip`` samples.

    The epoch travels with the index, so that persistent workers see it change too.

    With ``shares`` = (batch size, batches in a step, process, processes) it yields this process's samples of every
    whole step: the steps take their images from the order as those of one process with one batch do, and a step's
    batches, in turn, give each process as many. ``length`` and ``skip`` count the samples of all processes.
    """

    def __init__(
        self, length: int, *, shuffle: bool, seed: int = 0, shares: tuple[int, int, int, int] | None = None
    ) -> None:
        self.length = length
        self.shuffle = shuffle
        self.seed = seed
        self.shares = shares
        self.epoch = 0
        self.skip = 0

    def __len__(self) -> int:
        if self.shares is None:
            return self.length - self.skip
        batch, batches, _, processes = self.shares
        per_step = batch * batches * processes
        return max(self.length - self.skip, 0) // per_step * per_step // processes

    def __iter__(self) -> Iterator[tuple[int, int]]:
        epoch = self.epoch
        if not self.shuffle and self.shares is None:  # as they come, however many
            return ((epoch, position) for position in range(self.skip, self.length))
        order = np.arange(self.length)
        if self.shuffle:
            order = np.random.default_rng([self.seed, _SHUFFLE_STREAM, self.epoch]).permutation(self.length)
        order = order[self.skip :]
        if self.shares is not None:
            batch, _, process, processes = self.shares
            order = order[: len(self) * processes].reshape(-1, processes, batch)[:, process].ravel()
        return iter([(epoch, int(position)) for position in order])


class _Reporting(Dataset["Batch | DataError"]):
    """Returns a sample's DataError instead of raising it: PyTorch would wrap one raised in a worker in a traceback."""

    def __init__(self, dataset: PoseDataset) -> None:
        self.dataset = dataset

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, index: tuple[int, int]) -> "Batch | DataError":
        try:
            return self.dataset[index]
        except DataError as error:
            return error


def _collate_or_report(samples: "list[Batch | DataError]") -> "Batch | DataError":
    error = next((sample for sample in samples if isinstance(sample, DataError)), None)
    return error if error is not None else collate(samples)  # type: ignore[arg-type]


def collate(samples: list[Batch]) -> Batch:
    """Samples -> their batch; images stay channels last, people are filled up to the same number."""
    most = max(len(sample.people) for sample in samples)
    columns: dict[str, tuple[Any, ...]] = dict(zip(Batch._fields, zip(*samples, strict=True), strict=True))
    columns["images"] = tuple(image.permute(1, 2, 0) for image in columns["images"])
    columns["people"] = tuple(
        functional.pad(people, (0, 0, 0, 0, 0, most - len(people))) for people in columns["people"]
    )
    stacked = {name: None if column[0] is None else default_collate(column) for name, column in columns.items()}
    return Batch(**stacked | {"images": stacked["images"].permute(0, 3, 1, 2)})


class PoseLoader(DataLoader[Batch]):
    """A DataLoader that raises a sample's DataError as it was, whichever process met it."""

    def __iter__(self) -> Iterator[Batch]:  # type: ignore[override]
        with _sigterm_waits():
            batches = super().__iter__()
        for batch in batches:
            if isinstance(batch, DataError):
                raise batch
            yield batch


@contextlib.contextmanager
def _sigterm_waits() -> Iterator[None]:
    """Start workers that SIGTERM cannot end before they have left the group of the process that trains.

    torchrun passes SIGTERM on to that whole group: the one that trains stops in good order, which takes its workers.
    """
    if not launched() or not hasattr(signal, "pthread_sigmask"):
        yield
        return
    resource_tracker.ensure_running()  # spawned workers need it; started later, it would let SIGTERM through again
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def prepare_process() -> None:
    """What a process that makes samples does first: OpenCV on one thread, and freed memory kept for the next sample.

    glibc would give an image's memory back to the system after each sample, and the next one's page faults take a
    twentieth of its time. Both hold for the rest of the process.
    """
    cv2.setNumThreads(CV2_THREADS_PER_WORKER)
    if sys.platform == "linux":
        with contextlib.suppress(OSError, AttributeError):  # another C library than glibc
            mallopt = ctypes.CDLL(None).mallopt
            mallopt(_M_TRIM_THRESHOLD, KEPT_BYTES)
            mallopt(_M_MMAP_THRESHOLD, KEPT_BYTES // 2)


def _start_worker(_worker_id: int) -> None:
    # A terminal's Ctrl-C reaches every process; the one that trains decides, and ends these in good order.
    if launched() and hasattr(os, "setpgrp"):
        os.setpgrp()
        signal.signal(signal.SIGTERM, signal.SIG_IGN)  # one that has come meanwhile was for the group
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})  # see `_sigterm_waits`
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)  # forked, they would have the trainer's handler
    prepare_process()


def build_loader(
    dataset: PoseDataset,
    settings: LoaderSettings,
    *,
    training: bool,
    seed: int = 0,
    accumulate: int = 1,
    process: tuple[int, int] = (0, 1),
) -> tuple[PoseLoader, EpochSampler]:
    """A DataLoader and the sampler whose ``epoch`` (and ``skip``) is set before each pass.

    Training is shuffled and drops the last, smaller batch (unless it is the only one); validation does neither.
    Where a step of training takes ``accumulate`` batches, or those of several processes (``process``: which one, of how
    many), an incomplete step is dropped; SettingsError where an epoch has no whole one.
    OpenCV gets one thread here too, not only in the workers: a worker forked from a process whose OpenCV has threads
    waits for ever for the ones that were not forked with it. Raises OSError where the limit of open files is too low
    for the workers.
    """
    prepare_process()
    require_open_files(settings.num_workers, settings.prefetch_factor)
    shares = None
    if training and (accumulate > 1 or process[1] > 1):
        shares = (settings.batch_size, accumulate, *process)
        if len(dataset) < (per_step := settings.batch_size * accumulate * process[1]):
            raise SettingsError(
                f"batch_size: a step takes {per_step} images ({accumulate} batches of {settings.batch_size} in each of "
                f"{process[1]} processes), and an epoch has {len(dataset)}. Give a smaller batch_size or accumulate."
            )
    sampler = EpochSampler(len(dataset), shuffle=training, seed=seed, shares=shares)
    loader = PoseLoader(
        _Reporting(dataset),  # type: ignore[arg-type]
        collate_fn=_collate_or_report,
        batch_size=settings.batch_size,
        sampler=sampler,
        num_workers=settings.num_workers,
        pin_memory=settings.pin_memory and torch.accelerator.is_available(),
        drop_last=training and len(dataset) >= settings.batch_size,
        prefetch_factor=settings.prefetch_factor,
        persistent_workers=settings.persistent_workers,
        multiprocessing_context=settings.start_method if settings.num_workers else None,
        worker_init_fn=_start_worker,
        # Of its own: each pass draws a seed, and a resumed training begins one more pass than one that ran through.
        generator=torch.Generator().manual_seed(seed),
    )
    return loader, sampler
