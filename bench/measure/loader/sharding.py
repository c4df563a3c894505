"""Whether the workers of a stream share its samples or repeat them, by what a process and two workers have read."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum


class Sharding(StrEnum):
    """What a stream's workers deliver."""

    BY_WORKER = "by_worker"
    """Each its share: a sample comes once."""
    WHOLE = "whole"
    """Each the whole stream: a sample comes once from each worker."""
    UNKNOWN = "unknown"


@dataclass(frozen=True)
class Part:
    """The first samples of a pass that one process or worker reads."""

    hashes: tuple[int, ...]
    ended: bool
    """Whether these are all."""


@dataclass(frozen=True)
class StreamLook:
    """What a look at a stream has found."""

    samples: int
    """That one process has read."""
    ended: bool
    """Whether these are all of a pass."""
    sharding: Sharding = Sharding.UNKNOWN
    why: str = "no two workers were tried"
    """Why it is not known whether workers share the samples; "" where it is."""
    repeatable: bool = True
    """Whether the data set, made anew, has yielded the same first samples."""


def sharding_of(alone: StreamLook, parts: Sequence[Part]) -> tuple[Sharding, str]:
    """What workers deliver, and why that is not known ("" where it is).

    Args:
        alone: What one process has read.
        parts: What each of the workers has read, seeded alike.
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
        return Sharding.UNKNOWN, "all samples that were looked at are the same"
    if not alone.repeatable:
        return Sharding.UNKNOWN, "its samples are others each time it is begun"
    if set(first) & set(second):
        return Sharding.UNKNOWN, "two workers delivered some samples both, and others one of them alone"
    return Sharding.BY_WORKER, ""
