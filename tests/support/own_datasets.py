"""Data sets as people write them, each with one thing that DataLoader, a worker or a comparison does not take."""

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


class Stream(IterableDataset[Any]):
    """Has an order only."""

    def __iter__(self) -> Any:
        return iter(range(4))


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
