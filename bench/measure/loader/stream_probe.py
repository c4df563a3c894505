"""Examines an IterableDataset before it is measured: is it readable, and do workers divide or repeat its samples?

DataLoader lets each worker iterate its own copy. One process reads the first samples alone, then two workers read them,
with generators seeded alike: workers of a data set that divides its samples deliver different samples, those of one
that does not deliver the same. If passes are short enough to be read to their ends, their lengths are compared instead.
"""

import time
from collections.abc import Iterator
from itertools import islice
from typing import TYPE_CHECKING, Any

from torch.utils.data import get_worker_info

from bench.measure.loader.batch_contents import batch_hash
from bench.measure.loader.configuration import LoaderConfiguration
from bench.measure.loader.error_texts import empty_stream_text
from bench.measure.loader.isolated import Progress
from bench.measure.loader.outcome import SampleError
from bench.measure.loader.samples import CheckedCollate, seed_generators
from bench.measure.loader.sharding import Part, StreamLook
from bench.measure.loader.stream import Stream

if TYPE_CHECKING:
    from bench.measure.loader.workload import DatasetWorkload

WORKERS = 2
"""Number of workers that are examined: two suffice to notice samples that are delivered more than once."""
REPEATED_SAMPLES = 16
"""Number of samples that are read twice."""


def look_alone(
    progress: Progress, workload: "DatasetWorkload", stream: Stream, batch_size: int, seconds: float, most: int
) -> StreamLook:
    """Read at most ``most`` samples, for about ``seconds``, in this process, and make batches of ``batch_size`` of
    them."""
    part = _read(progress, stream, workload.collate_for(stream), batch_size, seconds, most)
    if not part.hashes:
        raise SampleError(empty_stream_text(stream.name))
    second = workload.open_samples()
    assert isinstance(second, Stream)
    seed_generators(stream.seed)
    repeated = [batch_hash(each) for each in islice(second.one_pass(), min(REPEATED_SAMPLES, len(part.hashes)))]
    return StreamLook(len(part.hashes), part.ended, repeatable=tuple(repeated) == part.hashes[: len(repeated)])


def _read(
    progress: Progress, stream: Stream, collate: CheckedCollate, batch_size: int, seconds: float, most: int
) -> Part:
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
            collate(batch)
            batch = []
        if len(hashes) == most or time.monotonic() > until:
            ended = False
            break
    return Part(tuple(hashes), ended)


def look_in_workers(progress: Progress, workload: "DatasetWorkload", seconds: float, most: int) -> tuple[Part, ...]:
    """Read the first samples in each of WORKERS workers: at most ``most`` samples, for about ``seconds``."""
    stream = workload.open_samples()
    assert isinstance(stream, Stream)
    opened = workload.load(
        Hashed(stream, seconds, most), LoaderConfiguration(batch_size=1, num_workers=WORKERS), _first
    )
    hashes_of: list[list[int]] = [[] for _ in range(WORKERS)]
    ended = [False] * WORKERS
    for count, (worker, hashed) in enumerate(opened.loader):
        progress(count)
        if hashed is None:
            ended[worker] = True
        else:
            hashes_of[worker].append(hashed)
    return tuple(Part(tuple(hashes), each) for hashes, each in zip(hashes_of, ended, strict=True))


class Hashed(Stream):
    """The hashes of one pass of a stream, each as (worker, hash), with None after the last sample."""

    def __init__(self, stream: Stream, seconds: float, most: int) -> None:
        super().__init__(stream.dataset, stream.seed, name=stream.name)
        self.seconds, self.most = seconds, most

    def __iter__(self) -> Iterator[tuple[int, int | None]]:
        info = get_worker_info()
        assert info is not None
        object.__setattr__(info, "seed", self.seed)  # seeded alike, so that only sharding makes workers differ
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
