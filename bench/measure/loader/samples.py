"""Samples and batches of a person's data set: in which order they are asked for, with which seeds, and by whose fault
one cannot be made. An error names the data set, the sample by its index, what was raised, and what to give.
"""

import io
import math
import pickle
import random
from collections.abc import Callable
from multiprocessing.reduction import ForkingPickler
from typing import Any, ClassVar, Protocol

import numpy as np
import torch
from torch.utils.data import Dataset, default_collate, get_worker_info

from bench.measure.loader.delivered import leaves
from bench.measure.loader.outcome import SampleError, is_lack_of_memory
from bench.measure.loader.remedies import gradients, of_batch, of_handing_over, of_sample

PASSES = 1 << 20
"""Over the data set in one epoch, at most."""
MIX = 0x9E3779B97F4A7C15
"""The 64-bit golden ratio: spreads (seed, epoch, position) over the generators' seeds (as SplitMix64 does)."""


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
    What it raises is raised as SampleError; but lack of memory, which is not the sample's fault, as it is.
    """

    made_by: ClassVar[str] = "__getitem__"

    def __init__(
        self, dataset: Any, seed: int, *, name: str = "", on_sample: Callable[[int], object] | None = None
    ) -> None:
        """``name``: what errors call the data set. ``on_sample`` hears the position of each before it is made."""
        self.dataset, self.seed, self.on_sample = dataset, seed, on_sample
        self.name = name or type(dataset).__name__
        self.asked: list[int] = []
        """Positions of the samples made last in this process, until a batch is made of them."""
        if hasattr(dataset, "__getitems__"):
            self.__getitems__ = self._many

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, index: tuple[int, int]) -> Any:
        self._seed(*index)
        self.asked.append(index[1])
        if self.on_sample is not None:
            self.on_sample(index[1])
        try:
            return self.dataset[index[1]]
        except (Exception, SystemExit) as error:
            if is_lack_of_memory(error):
                raise
            raise self._fault(error, "__getitem__", index[1]) from error

    def _many(self, indices: list[tuple[int, int]]) -> Any:
        self._seed(*indices[0])
        self.asked += (positions := [position for _, position in indices])
        if self.on_sample is not None:
            self.on_sample(positions[0])
        try:
            return self.dataset.__getitems__(positions)
        except (Exception, SystemExit) as error:
            if is_lack_of_memory(error):
                raise
            raise self._fault(error, "__getitems__", *positions) from error

    def _fault(self, error: BaseException, method: str, *asked: int) -> SampleError:
        in_worker = get_worker_info() is not None
        return SampleError(of_sample(self.name, asked, len(self.dataset), method, error, in_worker=in_worker))

    def _seed(self, number: int, position: int) -> None:
        seed_generators((self.seed * MIX + number) * MIX + position)


def seed_generators(seed: int) -> None:
    """Set Python's, NumPy's and PyTorch's generators, those that data sets draw from."""
    random.seed(seed)
    np.random.seed(seed % 2**32)  # noqa: NPY002
    torch.default_generator.manual_seed(seed % 2**63)  # torch.manual_seed would queue a call for CUDA each time


class MadeSamples(Protocol):
    """The samples of a data set, as `Joined` knows them."""

    name: str
    """What errors call the data set."""
    asked: list[int]
    """Positions of the samples made last in this process, until a batch is made of them."""
    made_by: ClassVar[str]
    """The method of the data set that makes them."""


class Joined:
    """Makes batches as ``function`` does (None: PyTorch's default), and says which samples it cannot join.

    It stands in the process that has made the samples, where `Seeded` or `Stream` remembers which these were.
    """

    def __init__(self, samples: MadeSamples, function: Callable[[list[Any]], Any] | None) -> None:
        self.samples, self.function = samples, function
        self.looked = False

    def __call__(self, samples: list[Any]) -> Any:
        """Their batch."""
        asked, self.samples.asked = self.samples.asked[-len(samples) :], []
        try:
            batch = (self.function or default_collate)(samples)
        except (Exception, SystemExit) as error:
            if is_lack_of_memory(error):
                raise
            raise SampleError(
                of_batch(self.samples.name, asked, samples, self.function, error, made_by=self.samples.made_by)
            ) from error
        if not self.looked and get_worker_info() is not None:
            self.looked = True
            self._require_detached(batch)
            self._require_sendable(batch, asked)
        return batch

    def _require_detached(self, batch: Any) -> None:
        """A tensor of an unfinished computation cannot leave its process: PyTorch would say so nowhere, and wait."""
        if any(isinstance(leaf, torch.Tensor) and leaf.requires_grad and not leaf.is_leaf for leaf in leaves(batch)):
            raise SampleError(f"--dataset {self.samples.name}: {gradients(self.samples.made_by)}.")

    def _require_sendable(self, batch: Any, asked: list[int]) -> None:
        """Nor can what cannot be pickled: a thread of the worker's would say so on stderr, and the loader wait."""
        try:
            Contents(io.BytesIO(), pickle.HIGHEST_PROTOCOL).dump(batch)
        except Exception as error:
            raise SampleError(of_handing_over(self.samples.name, asked, batch, self.function, error)) from error


class Contents(ForkingPickler):
    """Pickles as a worker's queue does, but no tensors and arrays: these always reach the other process."""

    def reducer_override(self, value: Any) -> Any:
        """An empty stand-in for those."""
        plain = isinstance(value, (torch.Tensor, torch.UntypedStorage)) or (
            isinstance(value, np.ndarray) and not value.dtype.hasobject
        )
        return (int, ()) if plain else NotImplemented


def _stride(size: int) -> int:
    """A step that visits all positions before it comes back to one, neighbours far apart (the golden section)."""
    stride = max(1, round(size * 0.618))
    while math.gcd(stride, size) != 1:
        stride += 1
    return stride
