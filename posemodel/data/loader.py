"""The DataLoader of a split: its workers, their signals, and errors that arrive as they were raised."""

import contextlib
import ctypes
import os
import signal
import sys
from collections.abc import Iterator
from multiprocessing import resource_tracker

import cv2
import torch
from torch.utils.data import DataLoader, Dataset

from posemodel.config import InputSettings, LoaderSettings
from posemodel.data.batch import Batch, collate
from posemodel.data.coco import PackedSplit
from posemodel.data.dataset import PoseDataset
from posemodel.data.sampler import EpochSampler
from posemodel.data.worker_faults import require_open_files
from posemodel.errors import DataError, SettingsError
from posemodel.launch import launched

CV2_THREADS_PER_WORKER = 1
"""OpenCV would start as many threads as the machine has cores in every worker."""
KEPT_BYTES = 64 << 20
"""Freed memory that a process may keep, in each of glibc's arenas."""
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
"""Of glibc's malloc.h."""


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


def validation_loader(
    split: PackedSplit, geometry: InputSettings, settings: LoaderSettings, *, with_targets: bool = True
) -> DataLoader[Batch]:
    """Letterboxed, in order, every image once."""
    loader, _ = build_loader(PoseDataset(split, geometry, with_targets=with_targets), settings, training=False)
    return loader
