"""Workloads: any data set with any step, opened in the measuring process."""

import multiprocessing
import pickle
import signal
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

import cv2
import torch
from torch.utils.data import DataLoader, IterableDataset, get_worker_info

from bench.measure.loader.configuration import LoaderConfiguration
from bench.measure.loader.device_step import on_device
from bench.measure.loader.error_texts import pickling_error_text
from bench.measure.loader.loop import Step
from bench.measure.loader.samples import CheckedCollate, MadeSamples, Seeded, Spread
from bench.measure.loader.stream import Stream
from bench.measure.loader.user_code import require_loadable
from posemodel.data.loader import prepare_process
from posemodel.data.sampler import EpochSampler
from posemodel.data.worker_faults import require_open_files
from posemodel.errors import SettingsError


@dataclass(frozen=True)
class OpenLoader:
    """An opened loader, and the properties of it that a measurement must know."""

    loader: Iterable[Any]
    begin_epoch: Callable[[int], object]
    """Called with an epoch's number before its iterator is made."""
    set_length: Callable[[int], object] | None = None
    """Sets the number of batches of the epochs to come; None if the loader itself decides."""
    batches_in_flight: int = 0
    """Maximum number of batches that may have been made before they are requested; 0 if unknown."""
    reads_on: bool = False
    """True if it may read ahead while its processes are stopped, by threads of the training process."""
    comparable: bool = True
    """True if other settings deliver the same batches in the same order; streams and users' own loaders may not."""
    count_images: Callable[[Any], int] | None = None
    """Returns the number of images in a batch; None: the requested batch size."""


class Workload(Protocol):
    """A data set and a step to measure; pickled into each measuring process, nothing is opened before it arrives
    there."""

    @property
    def device(self) -> str:
        """Type of the device that steps run on."""

    def open_loader(self, configuration: LoaderConfiguration, batches: int) -> OpenLoader:
        """Open a loader whose epochs have ``batches`` full batches."""
        ...

    def make_step(self) -> Step:
        """Make a step on a batch of that loader (see `Step`)."""
        ...


def drop_batch(_batch: Any) -> None:
    """Do nothing with a batch: the step that computes nothing."""


def no_step() -> Step:
    """Make the step that computes nothing, to measure loading alone."""
    return drop_batch


@dataclass(frozen=True)
class WaitingStep:
    """Makes a step that waits as long as a device of that speed would keep its host waiting, and uses no core."""

    seconds: float

    def __call__(self) -> Step:
        """Make the step."""
        return partial(_wait, self.seconds)


def _wait(seconds: float, _batch: Any) -> None:
    time.sleep(seconds)


@dataclass(frozen=True)
class DatasetWorkload:
    """Any data set: a map-style one, shuffled by (seed, epoch), or an IterableDataset in its own order (`Stream`).

    Attributes:
        dataset: Makes the data set (something with ``__len__`` and ``__getitem__``, or an IterableDataset); picklable.
        step: Makes the step; picklable.
        collate_fn: DataLoader's collate_fn; None: the data set's own ``collate_fn`` if it has one, else PyTorch's.
        seed: Seed of the order, and of Python's, NumPy's and PyTorch's generators. These are set for each sample, so
            that a data set that draws from them yields the same samples with every setting (8 microseconds a sample);
            for an IterableDataset they are set for each worker.
        device: Type of the device that the step runs on.
        worker_init_fn: DataLoader's worker_init_fn: called in each worker, with its number, before its first sample.
    """

    dataset: Callable[[], Any]
    step: Callable[[], Step] = no_step
    collate_fn: Callable[[list[Any]], Any] | None = None
    seed: int = 0
    device: str = "cpu"
    worker_init_fn: Callable[[int], object] | None = None

    def open_loader(self, configuration: LoaderConfiguration, batches: int) -> OpenLoader:
        """Open the loader, see `Workload`. Raises SettingsError if it is no data set, is empty or cannot be sent to its
        workers."""
        samples = self.open_samples()
        if isinstance(samples, Stream):
            samples.set_length(batches, configuration.batch_size)
            return self.load(samples, configuration, self.collate_for(samples))
        return self.load(Spread(samples, batches * configuration.batch_size), configuration, self.collate_for(samples))

    def open_samples(self, on_sample: Callable[[int], object] | None = None) -> Seeded | Stream:
        """Open the data set's samples, by (pass, position) or in their order. Raises SettingsError if there are none.

        ``on_sample``: called with the position of each sample before it is made.
        """
        name = getattr(self.dataset, "path", "")
        dataset = require_loadable(self.dataset(), name)
        if isinstance(dataset, IterableDataset):
            return Stream(dataset, self.seed, name=name, on_sample=on_sample)
        return Seeded(dataset, self.seed, name=name, on_sample=on_sample)

    def collate_for(self, samples: Seeded | Stream) -> CheckedCollate:
        """Return the collate function for these samples."""
        return CheckedCollate(samples, self.collate_fn or getattr(samples.dataset, "collate_fn", None))

    def load(
        self, samples: Spread | Stream, configuration: LoaderConfiguration, collate_fn: Callable[[list[Any]], Any]
    ) -> OpenLoader:
        """Open a loader of whole batches of these samples. Raises SettingsError if they cannot be sent to its
        workers."""
        made: MadeSamples = samples if isinstance(samples, Stream) else samples.dataset
        require_picklable((samples, collate_fn), configuration, made)
        prepare_process()
        require_open_files(configuration.num_workers, configuration.prefetch_factor)
        order = samples if isinstance(samples, Stream) else EpochSampler(len(samples), shuffle=False)
        loader = DataLoader(
            samples,
            collate_fn=collate_fn,
            batch_size=configuration.batch_size,
            sampler=None if isinstance(order, Stream) else order,
            num_workers=configuration.num_workers,
            pin_memory=effective_pin_memory(configuration),
            drop_last=True,
            prefetch_factor=configuration.prefetch_factor,
            persistent_workers=configuration.persistent_workers,
            multiprocessing_context=configuration.start_method,
            generator=torch.Generator().manual_seed(self.seed),
        )
        return as_open_loader(loader, order, configuration, self.worker_init_fn)

    def make_step(self) -> Step:
        """Make the step, see `Workload`."""
        return on_device(self.step(), self.device)


def as_open_loader(
    loader: DataLoader[Any],
    order: EpochSampler | Stream,
    configuration: LoaderConfiguration,
    worker_init_fn: Callable[[int], object] | None = None,
) -> OpenLoader:
    """Return an OpenLoader over a DataLoader; set OpenCV's threads wherever samples are made.

    Args:
        loader: The DataLoader.
        order: Its sampler or stream.
        configuration: The loader settings.
        worker_init_fn: Called in each worker once everything is prepared.
    """
    if configuration.num_workers:
        first, threads = loader.worker_init_fn, configuration.cv2_threads
        loader.worker_init_fn = partial(_start_worker, first, threads, worker_init_fn)
    else:
        cv2.setNumThreads(configuration.cv2_threads)

    def begin_epoch(epoch: int) -> None:
        order.epoch = epoch

    def set_length(batches: int) -> None:
        if isinstance(order, Stream):
            order.set_length(batches, configuration.batch_size)
        else:
            order.length = batches * configuration.batch_size

    return OpenLoader(
        loader,
        begin_epoch,
        set_length,
        configuration.batches_in_flight,
        comparable=not isinstance(order, Stream),
    )


def effective_pin_memory(configuration: LoaderConfiguration) -> bool:
    """Return whether pinning has an effect: PyTorch pins nothing without an accelerator, and not on MPS."""
    if not configuration.pin_memory or not torch.accelerator.is_available():
        return False
    return torch.accelerator.current_accelerator() != torch.device("mps")


def require_picklable(content: Any, configuration: LoaderConfiguration, made: MadeSamples) -> None:
    """Raise SettingsError if workers are not forked and ``content`` cannot be sent to them.

    Args:
        content: The samples and the collate function.
        configuration: The loader settings.
        made: The source of the samples, which the message names.
    """
    method = configuration.start_method or multiprocessing.get_start_method()
    if configuration.num_workers == 0 or method == "fork":
        return
    try:
        pickle.dumps(content)
    except Exception as error:
        raise SettingsError(pickling_error_text(made.name, method, error, made_by=made.made_by)) from None


def _start_worker(
    first: Callable[[int], object] | None, cv2_threads: int, own: Callable[[int], object] | None, worker_id: int
) -> None:
    if first is not None:
        first(worker_id)
    else:
        # A terminal's Ctrl-C reaches every process; the measuring process handles it and ends these.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        prepare_process()
    cv2.setNumThreads(cv2_threads)
    if own is not None:
        _show_own_data_set()
        own(worker_id)


def _show_own_data_set() -> None:
    """Make `get_worker_info().dataset` the user's data set, with which a worker_init_fn may choose the worker's part of
    the samples."""
    info = get_worker_info()
    dataset: Any = None if info is None else info.dataset
    while isinstance(dataset, (Spread, Seeded, Stream)):
        dataset = dataset.dataset
    if dataset is not None:
        object.__setattr__(info, "dataset", dataset)  # WorkerInfo forbids plain assignment
