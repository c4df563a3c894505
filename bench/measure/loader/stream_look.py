"""A look at an IterableDataset before it is measured: can it be read, and do workers share its samples or repeat them.

DataLoader lets each worker iterate its own copy. One process reads the first samples alone, then two workers read them,
with their generators seeded alike: workers of a data set that shards deliver other samples, those of one that does not
deliver the same. Where passes are short enough to be read to their ends, their lengths tell.
"""

import time
from collections.abc import Iterator
from itertools import islice
from typing import TYPE_CHECKING, Any

from torch.utils.data import get_worker_info

from bench.measure.loader.configuration import LoaderConfiguration
from bench.measure.loader.delivered import batch_hash
from bench.measure.loader.isolated import Progress
from bench.measure.loader.outcome import SampleError
from bench.measure.loader.remedies import of_no_samples
from bench.measure.loader.samples import Joined, seed_generators
from bench.measure.loader.sharding import Part, StreamLook
from bench.measure.loader.stream import Stream

if TYPE_CHECKING:
    from bench.measure.loader.workload import DatasetWorkload

WORKERS = 2
"""That are looked at: what two deliver twice, more deliver more often."""
AGAIN = 16
"""Samples that are read twice."""


def look_alone(
    progress: Progress, workload: "DatasetWorkload", stream: Stream, batch_size: int, seconds: float, most: int
) -> StreamLook:
    """Read samples, and make batches of ``batch_size`` of them, in this process: ``most`` at most, for about
    ``seconds``."""
    part = _read(progress, stream, workload.joined(stream), batch_size, seconds, most)
    if not part.hashes:
        raise SampleError(of_no_samples(stream.name))
    anew = workload.open_samples()
    assert isinstance(anew, Stream)
    seed_generators(stream.seed)
    again = [batch_hash(each) for each in islice(anew.one_pass(), min(AGAIN, len(part.hashes)))]
    return StreamLook(len(part.hashes), part.ended, repeatable=tuple(again) == part.hashes[: len(again)])


def _read(progress: Progress, stream: Stream, joined: Joined, batch_size: int, seconds: float, most: int) -> Part:
    seed_generators(stream.seed)
    hashes: list[int] = []
    batch: list[Any] = []
    until = time.monotonic() + seconds
    ended = True
    for sample in stream.one_pass():
        hashes.append(batch_hash(sample))
        batch.append(sample)
        progress(len(hashes))
        if len(batch) == batch_size:
            joined(batch)
            batch = []
        if len(hashes) == most or time.monotonic() > until:
            ended = False
            break
    return Part(tuple(hashes), ended)


def look_in_workers(progress: Progress, workload: "DatasetWorkload", seconds: float, most: int) -> tuple[Part, ...]:
    """The first samples that each of WORKERS workers reads: ``most`` at most, for about ``seconds``."""
    stream = workload.open_samples()
    assert isinstance(stream, Stream)
    opened = workload.load(
        Hashed(stream, seconds, most), LoaderConfiguration(batch_size=1, num_workers=WORKERS), _first
    )
    found: list[list[int]] = [[] for _ in range(WORKERS)]
    ended = [False] * WORKERS
    for count, (worker, hashed) in enumerate(opened.loader):
        progress(count)
        if hashed is None:
            ended[worker] = True
        else:
            found[worker].append(hashed)
    return tuple(Part(tuple(hashes), each) for hashes, each in zip(found, ended, strict=True))


class Hashed(Stream):
    """The hashes of one pass of a stream, each as (worker, hash), with None after its last sample."""

    def __init__(self, stream: Stream, seconds: float, most: int) -> None:
        super().__init__(stream.dataset, stream.seed, name=stream.name)
        self.seconds, self.most = seconds, most

    def __iter__(self) -> Iterator[tuple[int, int | None]]:
        info = get_worker_info()
        assert info is not None
        object.__setattr__(info, "seed", self.seed)  # all alike: one that draws from it shards no more for that
        seed_generators(self.seed)
        return self._hashes(info.id)

    def _hashes(self, worker: int) -> Iterator[tuple[int, int | None]]:
        until = time.monotonic() + self.seconds
        for count, sample in enumerate(self.one_pass()):
            if count == self.most or time.monotonic() > until:
                return
            yield worker, batch_hash(sample)
        yield worker, None


def _first(samples: list[Any]) -> Any:
    return samples[0]
