"""What is loaded and what is done with it: any map-style data set and any step, opened in the measuring process."""

import contextlib
import importlib
import math
import multiprocessing
import pickle
import random
import signal
import sys
import time
from collections.abc import Callable, Sized
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

import cv2
import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset, IterableDataset

from bench.measure.loader.configuration import LoaderConfiguration
from bench.measure.loader.device_step import on_device
from bench.measure.loader.loop import Step
from posemodel.data.loader import EpochSampler, prepare_process
from posemodel.errors import SettingsError

PASSES = 1 << 20
"""Over the data set in one epoch, at most."""
MIX = 0x9E3779B97F4A7C15
"""The 64-bit golden ratio: spreads (seed, epoch, position) over the generators' seeds (as SplitMix64 does)."""


@dataclass(frozen=True)
class OpenLoader:
    """A loader and what a measurement has to know of it."""

    loader: DataLoader[Any]
    begin_epoch: Callable[[int], object]
    """Hears an epoch's number before its iterator is made."""


class Workload(Protocol):
    """What is measured. It is pickled into each measuring process and opens nothing before it is there."""

    device: str
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
class DottedStep:
    """Makes the step that a dotted path names: a function without arguments that returns the step."""

    path: str

    def factory(self) -> Callable[[], Any]:
        """What the path names, not called: it may take a GPU. Raises SettingsError where it leads nowhere."""
        return _callable_at(self.path, "--step", "a function without arguments that returns the step")

    def __call__(self) -> Step:
        """The step. Raises SettingsError where it cannot be made."""
        try:
            step = self.factory()()
        except SettingsError:
            raise
        except Exception as error:
            raise SettingsError(
                f"--step {self.path}: making it failed with {type(error).__name__}: {error}. It must need no arguments."
            ) from error
        if not callable(step):
            raise SettingsError(f"--step {self.path}: must return a function of a batch, got {type(step).__name__}.")
        return step


@dataclass(frozen=True)
class DottedCollate:
    """The function of a list of samples that a dotted path names."""

    path: str

    def __call__(self, samples: list[Any]) -> Any:
        """Their batch."""
        return self.function()(samples)

    def function(self) -> Callable[[list[Any]], Any]:
        """What the path names; SettingsError where it leads nowhere."""
        return _callable_at(self.path, "--collate", "a function of a list of samples that returns their batch")


@dataclass(frozen=True)
class DatasetWorkload:
    """Any map-style data set, shuffled by (seed, epoch).

    Attributes:
        dataset: Makes the data set (something with ``__len__`` and ``__getitem__``); picklable.
        step: Makes the step; picklable.
        collate_fn: As DataLoader's; None: the data set's own ``collate_fn`` where it has one, else PyTorch's.
        seed: Of the order, and of Python's, NumPy's and PyTorch's generators, which are set for each sample: a data
            set that draws from them yields the same samples with every setting (8 microseconds a sample).
        device: Type of the device that the step runs on.
    """

    dataset: Callable[[], Any]
    step: Callable[[], Step] = no_step
    collate_fn: Callable[[list[Any]], Any] | None = None
    seed: int = 0
    device: str = "cpu"

    def open_loader(self, configuration: LoaderConfiguration, batches: int) -> OpenLoader:
        """See `Workload`. Raises SettingsError where the data set is none, is empty or cannot reach its workers."""
        dataset = require_map_style(self.dataset())
        require_picklable(dataset, configuration)
        prepare_process()
        length = batches * configuration.batch_size
        samples = Spread(Seeded(dataset, self.seed), length)
        sampler = EpochSampler(length, shuffle=False)
        loader = DataLoader(
            samples,
            collate_fn=self.collate_fn or getattr(dataset, "collate_fn", None),
            batch_size=configuration.batch_size,
            sampler=sampler,
            num_workers=configuration.num_workers,
            pin_memory=effective_pin_memory(configuration),
            drop_last=True,
            prefetch_factor=configuration.prefetch_factor,
            persistent_workers=configuration.persistent_workers,
            multiprocessing_context=configuration.start_method,
            generator=torch.Generator().manual_seed(self.seed),
        )
        return opened(loader, sampler, configuration)

    def make_step(self) -> Step:
        """See `Workload`."""
        return on_device(self.step(), self.device)


def opened(loader: DataLoader[Any], sampler: EpochSampler, configuration: LoaderConfiguration) -> OpenLoader:
    """An OpenLoader over a loader and its sampler; OpenCV gets its threads in the processes that make samples."""
    if configuration.num_workers:
        loader.worker_init_fn = partial(_start_worker, loader.worker_init_fn, configuration.cv2_threads)
    else:
        cv2.setNumThreads(configuration.cv2_threads)

    def begin_epoch(epoch: int) -> None:
        sampler.epoch = epoch

    return OpenLoader(loader, begin_epoch)


def effective_pin_memory(configuration: LoaderConfiguration) -> bool:
    """Whether pinning has an effect: PyTorch pins nothing without an accelerator, and not on MPS."""
    if not configuration.pin_memory or not torch.accelerator.is_available():
        return False
    return torch.accelerator.current_accelerator() != torch.device("mps")


class Spread(Dataset[Any]):
    """Epochs of ``length`` samples of a data set of any size: a small one is passed more than once, of a large one
    each epoch takes samples from all over it, mostly others.

    An index is (epoch, position); the data set is asked for (pass over it, position in it).
    """

    def __init__(self, dataset: Any, length: int) -> None:
        self.dataset, self.length = dataset, length
        self.stride = _stride(len(dataset))
        if hasattr(dataset, "__getitems__"):
            self.__getitems__ = self._many

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: tuple[int, int]) -> Any:
        return self.dataset[self.position(*index)]

    def _many(self, indices: list[tuple[int, int]]) -> Any:
        return self.dataset.__getitems__([self.position(*index) for index in indices])

    def position(self, epoch: int, position: int) -> tuple[int, int]:
        """(pass over the data set, position in it) of an epoch's sample, whatever the epoch's length."""
        size = len(self.dataset)
        start = (epoch * MIX % 2**64) * size >> 64
        return epoch * PASSES + position // size, (start + position * self.stride) % size


class Seeded(Dataset[Any]):
    """A data set whose samples depend on (seed, pass, position) alone, whichever process makes them.

    One that makes a whole batch at once (``__getitems__``, as PyTorch calls it) is seeded by the batch's first sample.
    """

    def __init__(self, dataset: Any, seed: int) -> None:
        self.dataset, self.seed = dataset, seed
        if hasattr(dataset, "__getitems__"):
            self.__getitems__ = self._many

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, index: tuple[int, int]) -> Any:
        self._seed(*index)
        return self.dataset[index[1]]

    def _many(self, indices: list[tuple[int, int]]) -> Any:
        self._seed(*indices[0])
        return self.dataset.__getitems__([position for _, position in indices])

    def _seed(self, number: int, position: int) -> None:
        seed = (self.seed * MIX + number) * MIX + position
        random.seed(seed)
        np.random.seed(seed % 2**32)  # noqa: NPY002 (the generator that data sets draw from)
        torch.default_generator.manual_seed(seed % 2**63)  # torch.manual_seed would queue a call for CUDA each time


@dataclass(frozen=True)
class DottedDataset:
    """Makes the data set that a dotted path names, as `--dataset` gives it: a class, a function or an object."""

    path: str

    def __call__(self) -> Any:
        """The data set. Raises SettingsError where the path leads nowhere."""
        found = _at(self.path, "--dataset", "the data set, or a class or function that makes it")
        if not callable(found) or (hasattr(found, "__getitem__") and not isinstance(found, type)):
            return found
        try:
            with contextlib.redirect_stdout(sys.stderr):  # pycocotools tells what it loads; stdout is for results
                return found()
        except Exception as error:
            raise SettingsError(
                f"--dataset {self.path}: making it failed with {type(error).__name__}: {error}. Name an object, or a "
                "class or function that needs no arguments."
            ) from error


def _callable_at(path: str, option: str, wanted: str) -> Callable[..., Any]:
    found = _at(path, option, wanted)
    if not callable(found):
        raise SettingsError(f"{option} {path}: is a {type(found).__name__}; it must name {wanted}.")
    return found


def _at(path: str, option: str, wanted: str) -> Any:
    """What stands at a dotted path, module:name or module.name; SettingsError where it leads nowhere."""
    module_name, colon, name = path.partition(":")
    if not colon:
        module_name, _, name = path.rpartition(".")
    try:
        with contextlib.redirect_stdout(sys.stderr):
            found: Any = importlib.import_module(module_name)
        for part in name.split("."):
            found = getattr(found, part)
    except Exception as error:  # a user's module may raise anything
        told = (
            error
            if isinstance(error, (ImportError, AttributeError, ValueError))
            else f"{type(error).__name__}: {error}"
        )
        raise SettingsError(
            f"{option} {path}: {told}. It must name {wanted}, as module:name, importable from the working directory."
        ) from error
    return found


def require_map_style(dataset: Any) -> Any:
    """The data set, or SettingsError where it is not map-style or has no samples."""
    kind = type(dataset).__name__
    iterable = isinstance(dataset, IterableDataset)
    if iterable or not isinstance(dataset, Sized) or not hasattr(dataset, "__getitem__"):
        raise SettingsError(f"--dataset: {kind} is no map-style data set. It needs __len__ and __getitem__(index).")
    if len(dataset) == 0:
        raise SettingsError(f"--dataset: {kind} has no samples. Point it to where they are.")
    return dataset


def require_picklable(dataset: Any, configuration: LoaderConfiguration) -> None:
    """Raises SettingsError where workers are not forked and the data set cannot be sent to them."""
    method = configuration.start_method or multiprocessing.get_start_method()
    if configuration.num_workers == 0 or method == "fork":
        return
    try:
        pickle.dumps(dataset)
    except Exception as error:
        raise SettingsError(
            f"--dataset: {type(dataset).__name__} cannot be sent to a worker started by {method} ({error}). "
            "Open files and connections in __getitem__ and keep lambdas out of it, or leave this start method out."
        ) from None


def _stride(size: int) -> int:
    """A step that visits all positions before it comes back to one, neighbours far apart (the golden section)."""
    stride = max(1, round(size * 0.618))
    while math.gcd(stride, size) != 1:
        stride += 1
    return stride


def _start_worker(first: Callable[[int], object] | None, cv2_threads: int, worker_id: int) -> None:
    if first is not None:
        first(worker_id)
    else:
        # A terminal's Ctrl-C reaches every process; the one that measures decides, and ends these.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        prepare_process()
    cv2.setNumThreads(cv2_threads)
