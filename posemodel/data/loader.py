"""The DataLoader of a split: its worker processes, their signals, and errors that are passed on unchanged."""

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
from posemodel.data.dataset import PoseDataset
from posemodel.data.open_split import PackedSplit
from posemodel.data.sampler import EpochSampler
from posemodel.data.worker_faults import require_open_files
from posemodel.errors import DataError, SettingsError
from posemodel.launch import is_distributed

CV2_THREADS_PER_WORKER = 1
"""Threads of OpenCV in each worker; by default it would start one per core of the machine in every worker."""
KEPT_BYTES = 64 << 20
"""Bytes of freed memory that a process may keep, in each of glibc's arenas."""
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
"""Numbers of two options of ``mallopt``, from glibc's malloc.h."""


class _ErrorReturningDataset(Dataset["Batch | DataError"]):
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


def _collate_or_return_error(samples: "list[Batch | DataError]") -> "Batch | DataError":
    sound: list[Batch] = []
    for sample in samples:
        if isinstance(sample, DataError):
            return sample
        sound.append(sample)
    return collate(sound)


class PoseLoader(DataLoader[Batch]):
    """A DataLoader that raises a sample's DataError unchanged, in whichever process it occurred."""

    def __iter__(self) -> Iterator[Batch]:  # type: ignore[override]  # PyTorch annotates its own iterator class
        with _sigterm_blocked():
            batches = super().__iter__()
        for batch in batches:
            if isinstance(batch, DataError):
                raise batch
            yield batch


@contextlib.contextmanager
def _sigterm_blocked() -> Iterator[None]:
    """Block SIGTERM under torchrun while workers start: it must not end them before they have left its process group.

    torchrun sends SIGTERM to that whole group: the training process stops in an orderly way and ends its workers.
    """
    if not is_distributed() or not hasattr(signal, "pthread_sigmask"):
        yield
        return
    resource_tracker.ensure_running()  # spawned workers need it; started later, it would let SIGTERM through again
    previous_mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, previous_mask)


def prepare_process() -> None:
    """Prepare a process that makes samples: OpenCV on one thread, and freed memory kept for the next sample.

    glibc would return an image's memory to the system after each sample, and the next one's page faults take a
    twentieth of its time. Both hold for the rest of the process.
    """
    cv2.setNumThreads(CV2_THREADS_PER_WORKER)
    if sys.platform == "linux":
        with contextlib.suppress(OSError, AttributeError):  # another C library than glibc
            mallopt = ctypes.CDLL(None).mallopt
            mallopt(_M_TRIM_THRESHOLD, KEPT_BYTES)
            mallopt(_M_MMAP_THRESHOLD, KEPT_BYTES // 2)


def _start_worker(_worker_id: int) -> None:
    # A terminal's Ctrl-C reaches every process; the training process decides, and ends the workers.
    if is_distributed() and hasattr(os, "setpgrp"):
        os.setpgrp()
        signal.signal(signal.SIGTERM, signal.SIG_IGN)  # a pending one was sent to the whole group
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})  # see `_sigterm_blocked`
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)  # a forked worker inherits the training process's handler
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
    """Return a DataLoader and its sampler, whose ``epoch`` (and ``skip``) is set before each pass.

    Training is shuffled and drops the last, smaller batch (unless it is the only one); validation does neither. If a
    training step takes ``accumulate`` batches, or those of several processes (``process``: rank, number of processes),
    an incomplete step is dropped; SettingsError if an epoch has no complete one. OpenCV gets one thread here too, not
    only in the workers: a worker forked from a process whose OpenCV has threads waits for ever for threads that were
    not forked with it. Raises OSError if the limit of open files is too low for the workers.

    Example:
        loader, sampler = build_loader(PoseDataset(split, geometry), LoaderSettings(batch_size=8), training=True)
        for sampler.epoch in range(epochs):
            for batch in loader:
                ...
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
        _ErrorReturningDataset(dataset),  # type: ignore[arg-type]  # the loader raises the errors in between
        collate_fn=_collate_or_return_error,
        batch_size=settings.batch_size,
        sampler=sampler,
        num_workers=settings.num_workers,
        pin_memory=settings.pin_memory and torch.accelerator.is_available(),
        drop_last=training and len(dataset) >= settings.batch_size,
        prefetch_factor=settings.prefetch_factor,
        persistent_workers=settings.persistent_workers,
        multiprocessing_context=settings.start_method if settings.num_workers else None,
        worker_init_fn=_start_worker,
        # A separate generator: each pass draws a seed, and a resumed training begins one pass more than an
        # uninterrupted one.
        generator=torch.Generator().manual_seed(seed),
    )
    return loader, sampler


def validation_loader(
    split: PackedSplit, geometry: InputSettings, settings: LoaderSettings, *, with_targets: bool = True
) -> DataLoader[Batch]:
    """Return a loader of every image once, letterboxed, in order."""
    loader, _ = build_loader(PoseDataset(split, geometry, with_targets=with_targets), settings, training=False)
    return loader
