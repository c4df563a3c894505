"""The samples of an IterableDataset, again and again: an order, and no indices to ask by."""

import inspect
from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any, ClassVar

import torch
from torch.utils.data import IterableDataset, IterDataPipe, get_worker_info
from torch.utils.data.graph_settings import apply_sharding

from bench.measure.loader.outcome import SampleError, is_lack_of_memory
from bench.measure.loader.remedies import of_no_samples, of_stream
from bench.measure.loader.samples import MIX, seed_generators

ENDLESS = 1 << 40
"""Batches of an epoch that does not end."""


class Stream(IterableDataset[Any]):
    """Passes over an IterableDataset: one that ends is begun again, so that no length need be known.

    Each worker iterates its own copy, as DataLoader has it, and of an epoch makes its share of the batches. What the
    data set raises is raised as SampleError; but lack of memory, which is not the data set's fault, as it is.
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
            dataset: A person's.
            seed: Of Python's, NumPy's and PyTorch's generators, set with the worker's number as each epoch begins.
            name: What errors call the data set.
            on_sample: Hears the position in the stream of each sample before it is made.
        """
        self.dataset, self.seed, self.on_sample = dataset, seed, on_sample
        self.name = name or type(dataset).__name__
        self.epoch = 0
        """Of no consequence: each epoch begins the stream anew."""
        self._length = torch.tensor([ENDLESS, 1]).share_memory_()  # workers that outlive an epoch hear of it too
        self.asked: list[int] = []
        """Positions of the samples made last in this process, until a batch is made of them."""

    def __iter__(self) -> Iterator[Any]:
        info = get_worker_info()
        worker, workers = (0, 1) if info is None else (info.id, info.num_workers)
        seed_generators((self.seed * MIX + worker) * MIX)
        batches, batch_size = self._length.tolist()
        share = batches // workers + (worker < batches % workers)
        return islice(self._passes(), share * batch_size)

    def set_length(self, batches: int, batch_size: int) -> None:
        """Of the epochs to come: their batches, over all workers, and the samples in a batch."""
        self._length.copy_(torch.tensor([batches, batch_size]))

    def one_pass(self) -> Iterator[Any]:
        """The samples of the data set, to its end, in this worker."""
        info = get_worker_info()
        worker = None if info is None else info.id
        position = 0
        try:
            if self.on_sample is not None:
                self.on_sample(0)
            if isinstance(self.dataset, IterDataPipe) and info is not None:  # DataLoader's own doing for such
                apply_sharding(self.dataset, info.num_workers, info.id)
            samples = iter(self.dataset)
            method = "__iter__" if inspect.isgenerator(samples) else "__next__"
        except (Exception, SystemExit) as error:
            if is_lack_of_memory(error):
                raise
            raise SampleError(of_stream(self.name, position, "__iter__", error, worker=worker)) from error
        while True:
            try:
                sample = next(samples)
            except StopIteration:
                return
            except (Exception, SystemExit) as error:
                if is_lack_of_memory(error):
                    raise
                raise SampleError(of_stream(self.name, position, method, error, worker=worker)) from error
            self.asked.append(position)
            yield sample
            position += 1
            if self.on_sample is not None:
                self.on_sample(position)

    def _passes(self) -> Iterator[Any]:
        first = True
        while True:
            count = -1
            for count, sample in enumerate(self.one_pass()):  # noqa: B007 (told after the loop)
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
            return of_no_samples(self.name)
        return (
            f"{whose}: worker {info.id} of {info.num_workers} has no samples: the stream has fewer parts than there "
            "are workers. Take fewer workers, or split it into more parts."
        )
