"""The samples and batches of a user's map-style data set: order, seeds, and errors that name the failing sample.

An error names the data set, the sample's index and the exception, and says how to fix it.
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

from bench.measure.loader.batch_contents import leaves
from bench.measure.loader.error_texts import batch_error_text, gradients, handover_error_text, sample_error_text
from bench.measure.loader.outcome import SampleError, is_lack_of_memory

PASSES = 1 << 20
"""Maximum number of passes over the data set in one epoch."""
MIX = 0x9E3779B97F4A7C15
"""The 64-bit golden ratio: spreads (seed, epoch, position) over the generators' seeds (as SplitMix64 does)."""


class Spread(Dataset[Any]):
    """Epochs of ``length`` samples from a data set of any size.

    A small data set is passed several times; an epoch of a large one is a selection spread over the whole data set,
    mostly of other samples than the previous epoch. An index is (epoch, position); the data set is asked for (number of
    the pass, position in it).
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
        """Return (number of the pass, position in the data set) of an epoch's sample; it does not depend on the epoch's
        length."""
        size = len(self.dataset)
        start = (epoch * MIX % 2**64) * size >> 64
        return epoch * PASSES + position // size, (start + position * self.stride) % size


class Seeded(Dataset[Any]):
    """A data set whose samples depend on (seed, pass, position) alone, whichever process makes them.

    If it makes whole batches (``__getitems__``, as PyTorch calls it), each is seeded by the batch's first sample. Its
    exceptions are raised as SampleError, except a lack of memory, which the sample does not cause.
    """

    made_by: ClassVar[str] = "__getitem__"

    def __init__(
        self, dataset: Any, seed: int, *, name: str = "", on_sample: Callable[[int], object] | None = None
    ) -> None:
        """
        Args:
            dataset: The user's data set.
            seed: Seed of all samples.
            name: The data set's name in errors.
            on_sample: Called with the position of each sample before it is made.
        """
        self.dataset, self.seed, self.on_sample = dataset, seed, on_sample
        self.name = name or type(dataset).__name__
        self.unbatched: list[int] = []
        """Positions of the samples that this process has made since its last batch."""
        if hasattr(dataset, "__getitems__"):
            self.__getitems__ = self._many

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, index: tuple[int, int]) -> Any:
        self._seed(*index)
        self.unbatched.append(index[1])
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
        self.unbatched += (positions := [position for _, position in indices])
        if self.on_sample is not None:
            self.on_sample(positions[0])
        try:
            return self.dataset.__getitems__(positions)
        except (Exception, SystemExit) as error:
            if is_lack_of_memory(error):
                raise
            raise self._fault(error, "__getitems__", *positions) from error

    def _fault(self, error: BaseException, method: str, *positions: int) -> SampleError:
        in_worker = get_worker_info() is not None
        return SampleError(
            sample_error_text(self.name, positions, len(self.dataset), method, error, in_worker=in_worker)
        )

    def _seed(self, number: int, position: int) -> None:
        seed_generators((self.seed * MIX + number) * MIX + position)


def seed_generators(seed: int) -> None:
    """Seed Python's, NumPy's and PyTorch's generators, which data sets draw from."""
    random.seed(seed)
    np.random.seed(seed % 2**32)  # noqa: NPY002
    torch.default_generator.manual_seed(seed % 2**63)  # torch.manual_seed would queue a call for CUDA each time


class MadeSamples(Protocol):
    """Interface of a source of samples that `CheckedCollate` needs: its name, and which samples it made last."""

    name: str
    """The data set's name in errors."""
    unbatched: list[int]
    """Positions of the samples that this process has made since its last batch."""
    made_by: ClassVar[str]
    """Name of the data set's method that makes samples."""


class CheckedCollate:
    """A collate function whose errors say which samples could not be collated into a batch.

    It runs in the process that made the samples, where `Seeded` or `Stream` remembers their positions.
    """

    def __init__(self, samples: MadeSamples, function: Callable[[list[Any]], Any] | None) -> None:
        """
        Args:
            samples: The source of the samples.
            function: The collate function; None: PyTorch's default.
        """
        self.samples, self.function = samples, function
        self.checked = False

    def __call__(self, samples: list[Any]) -> Any:
        """Collate samples into a batch. Raises SampleError if they cannot be collated or sent to another process."""
        positions, self.samples.unbatched = self.samples.unbatched[-len(samples) :], []
        try:
            batch = (self.function or default_collate)(samples)
        except (Exception, SystemExit) as error:
            if is_lack_of_memory(error):
                raise
            raise SampleError(
                batch_error_text(
                    self.samples.name, positions, samples, self.function, error, made_by=self.samples.made_by
                )
            ) from error
        if not self.checked and get_worker_info() is not None:
            self.checked = True
            self._require_detached(batch)
            self._require_sendable(batch, positions)
        return batch

    def _require_detached(self, batch: Any) -> None:
        """Refuse tensors that belong to an autograd graph: they cannot be sent to another process, and PyTorch would
        hang silently."""
        if any(isinstance(leaf, torch.Tensor) and leaf.requires_grad and not leaf.is_leaf for leaf in leaves(batch)):
            raise SampleError(f"--dataset {self.samples.name}: {gradients(self.samples.made_by)}.")

    def _require_sendable(self, batch: Any, positions: list[int]) -> None:
        """Refuse a batch that cannot be pickled: a worker's thread would only print the error, and the loader would
        wait forever."""
        try:
            Contents(io.BytesIO(), pickle.HIGHEST_PROTOCOL).dump(batch)
        except Exception as error:
            raise SampleError(handover_error_text(self.samples.name, positions, batch, self.function, error)) from error


class Contents(ForkingPickler):
    """Pickles as a worker's queue does, but skips tensors and arrays: these always reach the other process."""

    def reducer_override(self, value: Any) -> Any:
        """Replace a tensor or array by an empty stand-in."""
        plain = isinstance(value, (torch.Tensor, torch.UntypedStorage)) or (
            isinstance(value, np.ndarray) and not value.dtype.hasobject
        )
        return (int, ()) if plain else NotImplemented


def _stride(size: int) -> int:
    """Return a stride through positions that visits all before it repeats one, with neighbours far apart (golden
    section)."""
    stride = round(size * 0.618)
    while math.gcd(stride, size) != 1:
        stride += 1
    return stride
