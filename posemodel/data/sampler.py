"""The order of a split's samples in each epoch, divided among the processes of a distributed training."""

from collections.abc import Iterator

import numpy as np
from torch.utils.data import Sampler

_SHUFFLE_STREAM = 1


class EpochSampler(Sampler[tuple[int, int]]):
    """Yields (epoch, position) of the samples of one epoch, shuffled by (seed, epoch), starting after ``skip`` samples.

    The epoch is part of the index, so that persistent workers see it change too. ``epoch`` and ``skip`` are attributes
    that the caller sets before each pass.

    ``shares`` = (batch size, batches of each process in a step, process, processes) yields this process's samples. The
    samples of a step are the same, in the same order, as in a single process that takes the whole step as one batch;
    batches are handed out to the processes in turn, and an incomplete last step is dropped. ``length`` and ``skip``
    count the samples of all processes.
    """

    def __init__(
        self, length: int, *, shuffle: bool, seed: int = 0, shares: tuple[int, int, int, int] | None = None
    ) -> None:
        self.length = length
        self.shuffle = shuffle
        self.seed = seed
        self.shares = shares
        self.epoch = 0
        self.skip = 0

    def __len__(self) -> int:
        """Number of samples that this process still yields in the epoch, after ``skip``."""
        if self.shares is None:
            return self.length - self.skip
        batch, batches, _, processes = self.shares
        per_step = batch * batches * processes
        return max(self.length - self.skip, 0) // per_step * per_step // processes

    def __iter__(self) -> Iterator[tuple[int, int]]:
        epoch = self.epoch
        if not self.shuffle and self.shares is None:  # lazily: no list of all indices is needed
            return ((epoch, position) for position in range(self.skip, self.length))
        order = np.arange(self.length)
        if self.shuffle:
            order = np.random.default_rng([self.seed, _SHUFFLE_STREAM, self.epoch]).permutation(self.length)
        order = order[self.skip :]
        if self.shares is not None:
            batch, _, process, processes = self.shares
            order = order[: len(self) * processes].reshape(-1, processes, batch)[:, process].ravel()
        return iter([(epoch, int(position)) for position in order])
