"""Repeated passes over a user's IterableDataset, which has an order and no indices."""

import inspect
from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any, ClassVar

import torch
from torch.utils.data import IterableDataset, IterDataPipe, get_worker_info
from torch.utils.data.graph_settings import apply_sharding

from bench.measure.loader.error_texts import empty_stream_text, stream_error_text
from bench.measure.loader.outcome import SampleError, is_lack_of_memory
from bench.measure.loader.samples import MIX, seed_generators

ENDLESS = 1 << 40
"""Number of batches of an epoch: so many that it never ends."""


class Stream(IterableDataset[Any]):
    """Passes over an IterableDataset; one that ends is begun again, so that its length need not be known.

    Each worker iterates its own copy, as in DataLoader, and makes an equal part of an epoch's batches. The data set's
    exceptions are raised as SampleError, except a lack of memory, which the data set does not cause.
    """

    made_by: ClassVar[str] = "__iter__"

    def __init__(
        self,
        dataset: IterableDataset[Any],
        seed: int,
        *,
        name: str = "",
        on_sample: Callable[[int], object] | None = None,
    ) -> None:
        """
        Args:
            dataset: The user's data set.
            seed: Seed of Python's, NumPy's and PyTorch's generators; combined with the worker's number and set as each
                epoch begins.
            name: The data set's name in errors.
            on_sample: Called with the position in the stream of each sample before it is made.
        """
        self.dataset, self.seed, self.on_sample = dataset, seed, on_sample
        self.name = name or type(dataset).__name__
        self.epoch = 0
        """Unused: each epoch begins the stream anew."""
        self._length = torch.tensor(
            [ENDLESS, 1]
        ).share_memory_()  # shared, so that workers that outlive an epoch see changes
        self.unbatched: list[int] = []
        """Positions of the samples that this process has made since its last batch."""

    def __iter__(self) -> Iterator[Any]:
        info = get_worker_info()
        worker, workers = (0, 1) if info is None else (info.id, info.num_workers)
        seed_generators((self.seed * MIX + worker) * MIX)
        batches, batch_size = self._length.tolist()
        share = batches // workers + (worker < batches % workers)
        return islice(self._passes(), share * batch_size)

    def set_length(self, batches: int, batch_size: int) -> None:
        """Set the number of batches over all workers, and the samples in a batch, of the epochs to come."""
        self._length.copy_(torch.tensor([batches, batch_size]))

    def one_pass(self) -> Iterator[Any]:
        """Yield the data set's samples to its end, in this worker."""
        info = get_worker_info()
        worker = None if info is None else info.id
        position = 0
        try:
            if self.on_sample is not None:
                self.on_sample(0)
            if isinstance(self.dataset, IterDataPipe) and info is not None:  # as DataLoader does itself
                apply_sharding(self.dataset, info.num_workers, info.id)
            samples = iter(self.dataset)
            method = "__iter__" if inspect.isgenerator(samples) else "__next__"
        except (Exception, SystemExit) as error:
            if is_lack_of_memory(error):
                raise
            raise SampleError(stream_error_text(self.name, position, "__iter__", error, worker=worker)) from error
        while True:
            try:
                sample = next(samples)
            except StopIteration:
                return
            except (Exception, SystemExit) as error:
                if is_lack_of_memory(error):
                    raise
                raise SampleError(stream_error_text(self.name, position, method, error, worker=worker)) from error
            self.unbatched.append(position)
            yield sample
            position += 1
            if self.on_sample is not None:
                self.on_sample(position)

    def _passes(self) -> Iterator[Any]:
        first = True
        while True:
            count = -1
            for count, sample in enumerate(self.one_pass()):  # noqa: B007 (used after the loop)
                yield sample
            if count < 0:
                raise SampleError(self._empty(first=first))
            first = False

    def _empty(self, *, first: bool) -> str:
        whose, info = f"--dataset {self.name}", get_worker_info()
        if not first:
            return (
                f"{whose}: its stream yields no sample when it is begun again. Let __iter__ begin a new pass each time."
            )
        if info is None or info.num_workers == 1:
            return empty_stream_text(self.name)
        return (
            f"{whose}: worker {info.id} of {info.num_workers} has no samples: the stream has fewer parts than there "
            "are workers. Take fewer workers, or split it into more parts."
        )
