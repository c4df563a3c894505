"""Whether workers make the samples that one process makes: a person's data set is looked at before it is measured.

One process makes the samples first (`look_at_samples`), alone and in order: that finds those that cannot be made, those
that cannot be joined, and whether a sample is the same when it is asked for again. Each configuration's workers make
them once more (`compare_samples`), all at once: a file, a connection or a generator that forked workers share gives
itself away only where two of them use it at the same time. Compared are hashes, made where the sample is made: SAMPLES
of them, or all, for no longer than the caller allows.
"""

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from bench.measure.loader.configuration import LoaderConfiguration
from bench.measure.loader.delivered import batch_hash
from bench.measure.loader.isolated import NO_SAMPLE, Answer, Progress, run_isolated
from bench.measure.loader.outcome import MeasurementStatus
from bench.measure.loader.samples import Seeded, Spread
from bench.measure.loader.sharding import StreamLook, sharding_of
from bench.measure.loader.stream import Stream
from bench.measure.loader.stream_look import look_alone, look_in_workers
from bench.measure.loader.workload import DatasetWorkload

SAMPLES = 1000
"""Compared at most: a shared file mixes up a few in a hundred at least, where samples take as long as decoding does."""
LEAST_S = 5.0
"""For so long a comparison may go on at least, however short the measured loops are."""
ROUNDS = 8
"""Batches that each worker makes at least, where there are samples enough: all are at work at the same time."""
ASKED_AGAIN = 16
"""Samples that one process makes twice: what is not the same then depends on more than the index."""


@dataclass(frozen=True)
class Reference:
    """What one process makes of the samples."""

    hashes: tuple[int, ...]
    """Of the first samples of epoch 0, in order."""
    unlike: int | None
    """Position of a sample that was another one when it was asked for again; None where all were the same."""


@dataclass(frozen=True)
class Compared:
    """What a configuration's workers made of them."""

    samples: int
    """How many were compared."""
    different: int
    """How many were not what one process makes."""
    first: int | None
    """Position in the data set of the first of these."""

    def metrics(self) -> dict[str, float]:
        """Figures of a measurement's row."""
        found = {"compared_samples": float(self.samples), "different_samples": float(self.different)}
        return found if self.first is None else found | {"first_different_sample": float(self.first)}


def limit_s(seconds: float) -> float:
    """How long a look or a comparison may take: as long as a measured loop, LEAST_S at least."""
    return max(LEAST_S, seconds)


def look_at_samples(
    workload: DatasetWorkload, *, batch_size: int, seconds: float, stall_s: float, most_workers: int = 0
) -> Answer:
    """Make samples in a fresh process, one by one, and batches of ``batch_size`` of them; the value is a `Reference`,
    of an IterableDataset a `StreamLook`, which knows what workers make of it where ``most_workers`` are several.

    Where the status is another than COMPLETE, the error names the sample.
    """
    found = run_isolated(_look, workload, batch_size, limit_s(seconds), stall_s=stall_s)
    if found.status == MeasurementStatus.COMPLETE:
        if isinstance(found.value, StreamLook) and most_workers > 1:
            return replace(found, value=_with_sharding(workload, found.value, seconds=seconds, stall_s=stall_s))
        return found
    if "--dataset" in found.error:
        return found
    where = f"--dataset {getattr(workload.dataset, 'path', type(workload.dataset).__name__)}"
    where += f", sample {found.sample}" if found.sample != NO_SAMPLE else ""
    error = f"{where}: {found.error}"
    if found.status == MeasurementStatus.TIMED_OUT:
        error = (
            f"{where}: not made after {stall_s:g} s. Where it takes so long, allow more: stall_s in a study file, or "
            "POSEBENCH_STALL_S."
        )
    elif found.status == MeasurementStatus.FAILED and found.sample != NO_SAMPLE:
        error += ". Mend what ends the process there (a C library, os._exit), or leave that sample out."
    return replace(found, error=error)


def _with_sharding(workload: DatasetWorkload, alone: StreamLook, *, seconds: float, stall_s: float) -> StreamLook:
    """What two workers deliver; where they cannot, each configuration with workers will say what it meets."""
    found = run_isolated(look_in_workers, workload, limit_s(seconds), SAMPLES, stall_s=stall_s)
    if found.status != MeasurementStatus.COMPLETE:
        return replace(alone, why=f"two workers could not be looked at: {found.error}")
    sharding, why = sharding_of(alone, found.value)
    return replace(alone, sharding=sharding, why=why)


def _look(progress: Progress, workload: DatasetWorkload, batch_size: int, seconds: float) -> Reference | StreamLook:
    progress(0)
    seeded = workload.open_samples(progress.making)
    if isinstance(seeded, Stream):
        return look_alone(progress, workload, seeded, batch_size, seconds, SAMPLES)
    joined = workload.joined(seeded)
    number = -(-min(SAMPLES, len(seeded)) // batch_size) * batch_size  # whole batches: a small set is passed again
    spread = Spread(seeded, number)
    hashes: list[int] = []
    batch: list[Any] = []
    until = time.monotonic() + seconds
    while len(hashes) < number and (not hashes or time.monotonic() < until):
        batch.append(spread[0, len(hashes)])
        hashes.append(batch_hash(batch[-1]))
        progress(len(hashes))
        if len(batch) == batch_size:
            joined(batch)
            batch = []
    _ = seeded[0, len(seeded) - 1]  # the last one: where __len__ says more than there is, it fails
    unlike = None
    for at, known in enumerate(hashes[:ASKED_AGAIN]):
        if batch_hash(spread[0, at]) != known:
            unlike = spread.position(0, at)[1]
            break
        progress(len(hashes) + at + 1)
    return Reference(tuple(hashes), unlike)


class Hashed(Spread):
    """In place of each sample its hash, made in the process that makes the sample."""

    def __init__(self, dataset: Seeded, length: int) -> None:
        super().__init__(dataset, length)
        vars(self).pop("__getitems__", None)  # as the reference: one by one

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
    """Let a configuration's workers make a reference's samples, as fast as they can, for ``seconds`` at most from their
    first batch on; ``done``: batches of which the caller's progress has been told.
    """
    workers = configuration.num_workers
    size = max(1, min(configuration.batch_size, len(reference) // (ROUNDS * workers)))
    settings = configuration.model_copy(
        update={"batch_size": size, "pin_memory": False, "persistent_workers": False, "prefetch_factor": None}
    )
    seeded = workload.open_samples()
    assert isinstance(seeded, Seeded), "a stream's samples cannot be asked for: it has no reference"
    samples = Hashed(seeded, -(-len(reference) // size) * size)
    found: list[int] = []
    until = math.inf
    for batch in workload.load(samples, settings, list).loader:
        found += batch
        done += 1
        progress(done)
        until = min(until, time.monotonic() + limit_s(seconds))
        if time.monotonic() > until:
            break
    compared = min(len(found), len(reference))
    unlike = [at for at in range(compared) if found[at] != reference[at]]
    return Compared(compared, len(unlike), samples.position(0, unlike[0])[1] if unlike else None)
