"""What is loaded and what is done with it: any data set and any step, opened in the measuring process."""

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
from bench.measure.loader.dotted import require_loadable
from bench.measure.loader.loop import Step
from bench.measure.loader.remedies import of_pickling
from bench.measure.loader.samples import Joined, MadeSamples, Seeded, Spread
from bench.measure.loader.stream import Stream
from posemodel.data.loader import prepare_process
from posemodel.data.sampler import EpochSampler
from posemodel.data.worker_faults import require_open_files
from posemodel.errors import SettingsError


@dataclass(frozen=True)
class OpenLoader:
    """A loader and what a measurement has to know of it."""

    loader: Iterable[Any]
    begin_epoch: Callable[[int], object]
    """Hears an epoch's number before its iterator is made."""
    set_length: Callable[[int], object] | None = None
    """Hears how many batches the epochs to come have; None where the loader itself decides."""
    batches_in_flight: int = 0
    """Batches that may have been made before they are asked for, as far as is known."""
    reads_on: bool = False
    """Whether it may read ahead while its processes are stopped, by threads of the process that trains."""
    comparable: bool = True
    """Whether other settings deliver the same batches in the same order: streams and loaders of one's own need not."""
    count_images: Callable[[Any], int] | None = None
    """Images that a batch holds; None: the batch size that was asked for."""


class Workload(Protocol):
    """What is measured. It is pickled into each measuring process and opens nothing before it is there."""

    @property
    def device(self) -> str:
        """Type of the device that steps run on."""

    def open_loader(self, configuration: LoaderConfiguration, batches: int) -> OpenLoader:
        """A loader whose epochs have so many full batches."""
        ...

    def make_step(self) -> Step:
        """A step on a batch of that loader (see `Step`)."""
        ...


def drop_batch(_batch: Any) -> None:
    """The step that computes nothing."""


def no_step() -> Step:
    """Makes the step that computes nothing: for a data set of which only the loading is asked."""
    return drop_batch


@dataclass(frozen=True)
class WaitingStep:
    """Makes a step that waits: as long as a device of that speed would keep its host waiting, without its cores."""

    seconds: float

    def __call__(self) -> Step:
        """The step."""
        return partial(_wait, self.seconds)


def _wait(seconds: float, _batch: Any) -> None:
    time.sleep(seconds)


@dataclass(frozen=True)
class DatasetWorkload:
    """Any data set: a map-style one, shuffled by (seed, epoch), or an IterableDataset in its own order (`Stream`).

    Attributes:
        dataset: Makes the data set (something with ``__len__`` and ``__getitem__``, or an IterableDataset); picklable.
        step: Makes the step; picklable.
        collate_fn: As DataLoader's; None: the data set's own ``collate_fn`` where it has one, else PyTorch's.
        seed: Of the order, and of Python's, NumPy's and PyTorch's generators, which are set for each sample: a data
            set that draws from them yields the same samples with every setting (8 microseconds a sample). Those of
            an IterableDataset are set for each worker.
        device: Type of the device that the step runs on.
        worker_init_fn: As DataLoader's: called in each worker, with its number, before its first sample.
    """

    dataset: Callable[[], Any]
    step: Callable[[], Step] = no_step
    collate_fn: Callable[[list[Any]], Any] | None = None
    seed: int = 0
    device: str = "cpu"
    worker_init_fn: Callable[[int], object] | None = None

    def open_loader(self, configuration: LoaderConfiguration, batches: int) -> OpenLoader:
        """See `Workload`. Raises SettingsError where the data set is none, is empty or cannot reach its workers."""
        samples = self.open_samples()
        if isinstance(samples, Stream):
            samples.set_length(batches, configuration.batch_size)
            return self.load(samples, configuration, self.joined(samples))
        return self.load(Spread(samples, batches * configuration.batch_size), configuration, self.joined(samples))

    def open_samples(self, on_sample: Callable[[int], object] | None = None) -> Seeded | Stream:
        """The samples, by (pass, position) or in their order; SettingsError where there are none."""
        name = getattr(self.dataset, "path", "")
        dataset = require_loadable(self.dataset(), name)
        if isinstance(dataset, IterableDataset):
            return Stream(dataset, self.seed, name=name, on_sample=on_sample)
        return Seeded(dataset, self.seed, name=name, on_sample=on_sample)

    def joined(self, samples: Seeded | Stream) -> Joined:
        """Makes batches of these samples."""
        return Joined(samples, self.collate_fn or getattr(samples.dataset, "collate_fn", None))

    def load(
        self, samples: Spread | Stream, configuration: LoaderConfiguration, collate_fn: Callable[[list[Any]], Any]
    ) -> OpenLoader:
        """A loader of whole batches of these samples; SettingsError where they cannot reach its workers."""
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
        return opened(loader, order, configuration, self.worker_init_fn)

    def make_step(self) -> Step:
        """See `Workload`."""
        return on_device(self.step(), self.device)


def opened(
    loader: DataLoader[Any],
    order: EpochSampler | Stream,
    configuration: LoaderConfiguration,
    worker_init_fn: Callable[[int], object] | None = None,
) -> OpenLoader:
    """An OpenLoader over a loader and its sampler or stream; OpenCV gets its threads where samples are made.

    ``worker_init_fn`` is called in each worker once all else is prepared.
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
    """Whether pinning has an effect: PyTorch pins nothing without an accelerator, and not on MPS."""
    if not configuration.pin_memory or not torch.accelerator.is_available():
        return False
    return torch.accelerator.current_accelerator() != torch.device("mps")


def require_picklable(content: Any, configuration: LoaderConfiguration, made: MadeSamples) -> None:
    """Raises SettingsError where workers are not forked and ``content``, a data set and more, cannot be sent to them;
    ``made``: what the message tells of the data set."""
    method = configuration.start_method or multiprocessing.get_start_method()
    if configuration.num_workers == 0 or method == "fork":
        return
    try:
        pickle.dumps(content)
    except Exception as error:
        raise SettingsError(of_pickling(made.name, method, error, made_by=made.made_by)) from None


def _start_worker(
    first: Callable[[int], object] | None, cv2_threads: int, own: Callable[[int], object] | None, worker_id: int
) -> None:
    if first is not None:
        first(worker_id)
    else:
        # A terminal's Ctrl-C reaches every process; the one that measures decides, and ends these.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        prepare_process()
    cv2.setNumThreads(cv2_threads)
    if own is not None:
        _show_own_data_set()
        own(worker_id)


def _show_own_data_set() -> None:
    """Let `get_worker_info().dataset` be the person's, by which a worker_init_fn may choose the worker's share."""
    info = get_worker_info()
    dataset: Any = None if info is None else info.dataset
    while isinstance(dataset, (Spread, Seeded, Stream)):
        dataset = dataset.dataset
    if dataset is not None:
        object.__setattr__(info, "dataset", dataset)  # it is frozen for those who use it
