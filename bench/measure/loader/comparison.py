"""Checks, before measuring, that workers make the same samples of a user's data set as a single process.

One process makes the samples first (`look_at_samples`), alone and in order. That finds samples that cannot be made or
collated, and samples that differ when they are made a second time. Each configuration's workers then make them once
more (`compare_samples`), all at once: a file handle, a connection or a generator that forked workers have in common is
noticed only if two of them use it at the same time. Hashes are compared, which are computed in the process that makes
the sample. At most SAMPLES samples are compared, for no longer than the caller allows.
"""

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from bench.measure.loader.batch_contents import batch_hash
from bench.measure.loader.configuration import LoaderConfiguration
from bench.measure.loader.isolated import NO_SAMPLE, Answer, Progress, run_isolated
from bench.measure.loader.outcome import MeasurementStatus
from bench.measure.loader.samples import Seeded, Spread
from bench.measure.loader.sharding import StreamLook, sharding_of
from bench.measure.loader.stream import Stream
from bench.measure.loader.stream_probe import look_alone, look_in_workers
from bench.measure.loader.workload import DatasetWorkload

SAMPLES = 1000
"""Maximum number of samples compared. If workers use one file handle, at least a few per cent of the samples come out
wrong when making one takes as long as decoding an image, so that this number suffices."""
LEAST_S = 5.0
"""Minimum time limit of a comparison in seconds, also if the measured loops are shorter."""
ROUNDS = 8
"""Minimum number of batches per worker (if there are enough samples), so that all workers run at the same time."""
REPEATED_SAMPLES = 16
"""Number of samples that one process makes twice: a sample that differs depends on more than its index."""


@dataclass(frozen=True)
class Reference:
    """Samples as one process makes them."""

    hashes: tuple[int, ...]
    """Hashes of the first samples of epoch 0, in order."""
    unlike: int | None
    """Position of a sample that differed when it was made a second time; None if none did."""


@dataclass(frozen=True)
class Compared:
    """Samples as a configuration's workers made them, compared with the reference."""

    samples: int
    """Number of samples compared."""
    different: int
    """Number of samples that differed from the reference."""
    first: int | None
    """Position in the data set of the first one that differed; None if none did."""

    def metrics(self) -> dict[str, float]:
        """Return the counts for a measurement's row."""
        figures = {"compared_samples": float(self.samples), "different_samples": float(self.different)}
        return figures if self.first is None else figures | {"first_different_sample": float(self.first)}


def limit_s(seconds: float) -> float:
    """Return how many seconds a comparison may take: as long as a measured loop, but at least LEAST_S."""
    return max(LEAST_S, seconds)


def look_at_samples(
    workload: DatasetWorkload, *, batch_size: int, seconds: float, stall_s: float, most_workers: int = 0
) -> Answer:
    """Make samples one by one, and batches of ``batch_size`` of them, in a fresh process.

    The answer's value is a `Reference`, or for an IterableDataset a `StreamLook`. If several workers will be measured
    (``most_workers`` above 1), the `StreamLook` also says whether workers divide the samples between them. ``stall_s``:
    seconds without progress after which the process is killed. If the status is not COMPLETE, the error names the
    sample.
    """
    answer = run_isolated(_look, workload, batch_size, limit_s(seconds), stall_s=stall_s)
    if answer.status == MeasurementStatus.COMPLETE:
        if isinstance(answer.value, StreamLook) and most_workers > 1:
            return replace(answer, value=_with_sharding(workload, answer.value, seconds=seconds, stall_s=stall_s))
        return answer
    if "--dataset" in answer.error:
        return answer
    where = f"--dataset {getattr(workload.dataset, 'path', type(workload.dataset).__name__)}"
    where += f", sample {answer.sample}" if answer.sample != NO_SAMPLE else ""
    error = f"{where}: {answer.error}"
    if answer.status == MeasurementStatus.TIMED_OUT:
        error = (
            f"{where}: not made after {stall_s:g} s. If it needs so long, raise stall_s in the study file, or "
            "POSEBENCH_STALL_S."
        )
    elif answer.status == MeasurementStatus.FAILED and answer.sample != NO_SAMPLE:
        error += ". Fix what ends the process there (a C library, os._exit), or leave that sample out."
    return replace(answer, error=error)


def _with_sharding(workload: DatasetWorkload, alone: StreamLook, *, seconds: float, stall_s: float) -> StreamLook:
    """Return the StreamLook with what two workers deliver added; if they fail, the error is left to the measured
    configurations."""
    answer = run_isolated(look_in_workers, workload, limit_s(seconds), SAMPLES, stall_s=stall_s)
    if answer.status != MeasurementStatus.COMPLETE:
        return replace(alone, why=f"two workers could not be examined: {answer.error}")
    sharding, why = sharding_of(alone, answer.value)
    return replace(alone, sharding=sharding, why=why)


def _look(progress: Progress, workload: DatasetWorkload, batch_size: int, seconds: float) -> Reference | StreamLook:
    progress(0)
    seeded = workload.open_samples(progress.making_sample)
    if isinstance(seeded, Stream):
        return look_alone(progress, workload, seeded, batch_size, seconds, SAMPLES)
    collate = workload.collate_for(seeded)
    number = -(-min(SAMPLES, len(seeded)) // batch_size) * batch_size  # whole batches: a small set is passed twice
    spread = Spread(seeded, number)
    hashes: list[int] = []
    batch: list[Any] = []
    until = time.monotonic() + seconds
    while len(hashes) < number and (not hashes or time.monotonic() < until):
        batch.append(spread[0, len(hashes)])
        hashes.append(batch_hash(batch[-1]))
        progress(len(hashes))
        if len(batch) == batch_size:
            collate(batch)
            batch = []
    _ = seeded[0, len(seeded) - 1]  # the last one fails if __len__ is too large
    unlike = None
    for at, known in enumerate(hashes[:REPEATED_SAMPLES]):
        if batch_hash(spread[0, at]) != known:
            unlike = spread.position(0, at)[1]
            break
        progress(len(hashes) + at + 1)
    return Reference(tuple(hashes), unlike)


class Hashed(Spread):
    """Yields each sample's hash instead of the sample, computed in the process that makes it."""

    def __init__(self, dataset: Seeded, length: int) -> None:
        super().__init__(dataset, length)
        vars(self).pop("__getitems__", None)  # one by one, as in the reference

    def __getitem__(self, index: tuple[int, int]) -> int:
        return batch_hash(super().__getitem__(index))


def compare_samples(
    progress: Progress,
    workload: DatasetWorkload,
    configuration: LoaderConfiguration,
    reference: Sequence[int],
    *,
    seconds: float,
    done: int,
) -> Compared:
    """Let a configuration's workers make the reference's samples as fast as they can, and compare.

    Args:
        progress: Receives the number of batches.
        workload: The user's data set.
        configuration: The loader settings.
        reference: Hashes of the samples that one process made.
        seconds: Maximum time in seconds from the first batch on (at least LEAST_S is allowed).
        done: Number of batches that ``progress`` has already counted.
    """
    workers = configuration.num_workers
    size = max(1, min(configuration.batch_size, len(reference) // (ROUNDS * workers)))
    settings = configuration.model_copy(
        update={"batch_size": size, "pin_memory": False, "persistent_workers": False, "prefetch_factor": None}
    )
    seeded = workload.open_samples()
    assert isinstance(seeded, Seeded), "a stream's samples cannot be asked for: it has no reference"
    samples = Hashed(seeded, -(-len(reference) // size) * size)
    hashes: list[int] = []
    until = math.inf
    for batch in workload.load(samples, settings, list).loader:
        hashes += batch
        done += 1
        progress(done)
        until = min(until, time.monotonic() + limit_s(seconds))
        if time.monotonic() > until:
            break
    compared = min(len(hashes), len(reference))
    unlike = [at for at in range(compared) if hashes[at] != reference[at]]
    return Compared(compared, len(unlike), samples.position(0, unlike[0])[1] if unlike else None)
