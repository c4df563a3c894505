"""User-written data sets, each with one property that DataLoader, a worker or a comparison does not accept."""

import collections
import dataclasses
import functools
import os
import sys
import tempfile
from collections.abc import Callable
from typing import Any

import numpy as np
import PIL.Image
import torch
from torch.utils.data import Dataset, IterableDataset, get_worker_info

LENGTH = 32


class Sound(Dataset[Any]):
    """Sample i is a tensor full of i."""

    def __len__(self) -> int:
        return LENGTH

    def __getitem__(self, index: int) -> Any:
        return torch.full((3,), float(index))


@dataclasses.dataclass
class Sample:
    """A class of one's own as a sample."""

    image: torch.Tensor
    name: str


class Returns(Sound):
    """Returns for each index what a function makes of it."""

    def __init__(self, make: Callable[[int], Any]) -> None:
        self.make = make

    def __getitem__(self, index: int) -> Any:
        return self.make(index)


def raised(error: BaseException, *, at: int = 5) -> Callable[[int], Any]:
    """For `Returns`: sound samples, but the one that raises."""

    def make(index: int) -> Any:
        if index == at:
            raise error
        return torch.zeros(2)

    return make


class Longer(Sound):
    """Says that it has more samples than there are."""

    def __len__(self) -> int:
        return LENGTH + 1

    def __getitem__(self, index: int) -> Any:
        return list(range(LENGTH))[index]


class AtOnce(Sound):
    """Makes whole batches; one of them fails."""

    def __getitems__(self, indices: list[int]) -> list[Any]:
        if 5 in indices:
            raise KeyError("label")
        return [self[index] for index in indices]


class Argued(Sound):
    """Needs arguments."""

    def __init__(self, root: str, *, split: str = "train") -> None:
        self.root, self.split = root, split


class Leaves(Sound):
    """Is a program that ends."""

    def __init__(self) -> None:
        sys.exit(4)


class NoLength(Dataset[Any]):
    """Has samples, nobody knows how many."""

    def __getitem__(self, index: int) -> int:
        return index


class BadLength(Sound):
    """Cannot say how long it is."""

    def __len__(self) -> int:
        raise FileNotFoundError("list.txt")


class Negative(Sound):
    """Counts wrongly."""

    def __len__(self) -> int:
        return self.counted

    counted = -1


class Graded(Sound):
    """Its tensors are of an unfinished computation."""

    def __getitem__(self, index: int) -> Any:
        return torch.ones(2, requires_grad=True) * index


class SharedFile(Sound):
    """Opens its file once: forked workers share the place in it."""

    def __init__(self) -> None:
        self.file = tempfile.TemporaryFile(buffering=0)  # noqa: SIM115
        self.file.write(np.repeat(np.arange(len(self), dtype=np.uint32), 512).tobytes())

    def __len__(self) -> int:
        return 200

    def __getitem__(self, index: int) -> Any:
        self.file.seek(index * 2048)
        first = self.file.read(1024)
        os.sched_yield()
        return np.frombuffer(first + self.file.read(1024), np.uint32).copy()


class OpenedInWorker(SharedFile):
    """As `SharedFile`, but that workers open the file anew, by `open_again`."""

    def __init__(self) -> None:
        super().__init__()
        self.path = f"/proc/self/fd/{self.file.fileno()}"


def open_again(_worker_id: int) -> None:
    """As a worker_init_fn."""
    info = get_worker_info()
    assert info is not None
    dataset = info.dataset
    while not isinstance(dataset, OpenedInWorker):
        dataset = dataset.dataset
    dataset.file = open(dataset.path, "rb", buffering=0)  # noqa: SIM115, PTH123


class Drawing(Sound):
    """Draws from a generator of its own, which its forked workers begin alike."""

    def __init__(self) -> None:
        self.generator = np.random.default_rng(0)

    def __getitem__(self, index: int) -> Any:
        return self.generator.random(4)


class PerWorker(Sound):
    """Its samples say who made them."""

    def __getitem__(self, index: int) -> Any:
        info = get_worker_info()
        return torch.tensor([index, -1 if info is None else info.id])


class Slots:
    """An object without a dictionary."""

    __slots__ = ("hidden", "x")

    def __init__(self, x: Any) -> None:
        self.x = x


class Ends(Sound):
    """A C library ends its process at one sample."""

    def __getitem__(self, index: int) -> Any:
        if index == 7:
            os._exit(3)
        return super().__getitem__(index)


PICTURE = PIL.Image.new("RGB", (4, 2))
LOCAL = functools.partial(Returns, lambda index: index)
Pair = collections.namedtuple("Pair", "image label")


class Numbers(IterableDataset[Any]):
    """A stream of numbers as tensors, in parts of its length, each whole in every worker."""

    length = 40
    shard = False

    def __iter__(self) -> Any:
        info = get_worker_info()
        start, step = (0, 1) if info is None or not self.shard else (info.id, info.num_workers)
        for number in range(start, self.length, step):
            yield self.sample(number)

    def sample(self, number: int) -> Any:
        return torch.tensor([number, 0 if get_worker_info() is None else get_worker_info().id])


class Plain(Numbers):
    """Says nothing of who made a sample."""

    def sample(self, number: int) -> Any:
        return torch.full((3,), number)


class Sharded(Plain):
    """Each worker yields every n-th sample."""

    shard = True


class Endless(Plain):
    """Never ends."""

    length = 1 << 40


class EndlessSharded(Endless):
    """Never ends, and is shared by workers."""

    shard = True


class DrawnStream(Endless):
    """Its samples are drawn from the generators that data sets use."""

    def sample(self, number: int) -> Any:
        return torch.rand(3)


class OfItsOwn(Endless):
    """Its samples are drawn from a generator of its own, which nobody seeds."""

    def sample(self, number: int) -> Any:
        return np.random.default_rng().random(3)


class Constant(Endless):
    """All samples are the same."""

    def sample(self, number: int) -> Any:
        return torch.zeros(3)


class InRange(IterableDataset[Any]):
    """As PyTorch's documentation has it: a worker_init_fn sets where each worker begins and ends."""

    def __init__(self) -> None:
        self.start, self.end = 0, 40

    def __iter__(self) -> Any:
        return iter([torch.tensor([number]) for number in range(self.start, self.end)])


def set_range(worker_id: int) -> None:
    """As a worker_init_fn, for `InRange`."""
    info = get_worker_info()
    assert info is not None
    dataset: Any = info.dataset
    dataset.start, dataset.end = 20 * worker_id, 20 * (worker_id + 1)


class EmptyStream(Plain):
    """Yields nothing."""

    length = 0


class OneShard(Plain):
    """Has something for the first worker alone."""

    def __iter__(self) -> Any:
        info = get_worker_info()
        return iter(()) if info is not None and info.id else super().__iter__()


class ReadOnce(Plain):
    """Has one iterator, which ends."""

    def __init__(self) -> None:
        self.only = super().__iter__()

    def __iter__(self) -> Any:
        return self.only


class BrokenStream(Plain):
    """Cannot read one sample."""

    def sample(self, number: int) -> Any:
        if number == 21:
            raise OSError("shard is truncated")
        return super().sample(number)


class BrokenNext(IterableDataset[Any]):
    """Is its own iterator, and cannot read."""

    def __iter__(self) -> Any:
        return self

    def __next__(self) -> Any:
        raise ConnectionError("no route")


class NotIterated(IterableDataset[Any]):
    """Returns a list where an iterator is wanted."""

    def __iter__(self) -> Any:
        return [1, 2]


class RaggedStream(Plain):
    """Its samples differ in shape."""

    def sample(self, number: int) -> Any:
        return torch.zeros(number)


class NonesStream(Plain):
    """Yields None for one sample."""

    def sample(self, number: int) -> Any:
        return None if number == 2 else super().sample(number)


class BatchesOnly:
    """Can be iterated, and is no data set."""

    def __iter__(self) -> Any:
        return iter(())


BATCHES = 5


def batches_of(batch_size: int, num_workers: int = 0, pin_memory: bool = False) -> Any:
    """A loader of one's own: a list of batches."""
    return [torch.full((batch_size, 2), float(number)) for number in range(BATCHES)]


def told_all(**settings: Any) -> Any:
    """One that takes all settings, and yields them."""
    return [settings]


def told_nothing() -> Any:
    """One that knows its settings, and has batches of another size than asked."""
    return [{"images": np.zeros((3, 2)), "n": 3}]


def generated(batch_size: int) -> Any:
    """A generator: it can be iterated once."""
    for number in range(BATCHES):
        yield torch.full((batch_size,), number)


def from_torch(batch_size: int, num_workers: int) -> Any:
    """PyTorch's own, of a data set that cannot make one sample."""
    return torch.utils.data.DataLoader(
        Returns(raised(ValueError("bad picture"), at=9)), batch_size=batch_size, num_workers=num_workers
    )


def needs_more(root: str, batch_size: int) -> Any:
    """One that needs another argument."""


def returns_number(batch_size: int) -> Any:
    """One that returns no iterable."""
    return batch_size


def yields_nothing() -> Any:
    """One without batches."""
    return []


def cannot_be_made(batch_size: int) -> Any:
    """One that fails at once."""
    raise RuntimeError("no decoder")


class ReadsAhead(list[Any]):
    """A loader whose threads read ahead, and that says how far."""

    batches_in_flight = 5
