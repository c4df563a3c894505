"""Decides whether the workers of a stream divide its samples between them or each deliver all of them."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum


class Sharding(StrEnum):
    """The ways in which the workers of an IterableDataset divide its samples."""

    BY_WORKER = "by_worker"
    """The workers divide the samples between them: each sample is delivered once."""
    WHOLE = "whole"
    """Each worker delivers the whole stream: each sample is delivered once by every worker."""
    UNKNOWN = "unknown"


@dataclass(frozen=True)
class Part:
    """The first samples of a pass, as one process or worker has read them."""

    hashes: tuple[int, ...]
    """Hash of each sample, in order."""
    ended: bool
    """True if these are all samples of the pass."""


@dataclass(frozen=True)
class StreamLook:
    """Facts about an IterableDataset, found before it is measured."""

    samples: int
    """Number of samples that one process has read."""
    ended: bool
    """True if these are all samples of a pass."""
    sharding: Sharding = Sharding.UNKNOWN
    why: str = "no two workers were tried"
    """Why it is unknown whether workers divide the samples; "" if it is known."""
    repeatable: bool = True
    """True if the data set, made a second time, yielded the same first samples."""


def sharding_of(alone: StreamLook, parts: Sequence[Part]) -> tuple[Sharding, str]:
    """Decide how workers divide the samples, and why that is unknown ("" if it is known).

    Args:
        alone: What one process has read.
        parts: What each of two workers has read, with generators seeded alike.
    """
    first, second = (part.hashes for part in parts)
    if alone.ended and all(part.ended for part in parts):
        if len(first) + len(second) == alone.samples:
            return Sharding.BY_WORKER, ""
        if len(first) == len(second) == alone.samples:
            return Sharding.WHOLE, ""
    if not first or not second:
        return Sharding.BY_WORKER, ""
    shared = min(len(first), len(second))
    if first[:shared] == second[:shared]:
        if len(set(first[:shared])) > 1:
            return Sharding.WHOLE, ""
        return Sharding.UNKNOWN, "all samples examined are the same"
    if not alone.repeatable:
        return Sharding.UNKNOWN, "its samples differ on every pass"
    if set(first) & set(second):
        return Sharding.UNKNOWN, "two workers delivered only some samples in common"
    return Sharding.BY_WORKER, ""
