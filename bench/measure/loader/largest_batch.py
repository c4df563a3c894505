"""Searches the largest batch that fits into memory: doubles until one fails, then bisects.

Each attempt runs in a process of its own.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from bench.measure.loader.configuration import LoaderConfiguration
from bench.measure.loader.outcome import MeasurementStatus
from posemodel.errors import SettingsError

RESOLUTION = 0.05
"""The search ends when the smallest size that does not fit exceeds the largest that fits by at most this share."""
TOO_LARGE = (MeasurementStatus.OUT_OF_MEMORY, MeasurementStatus.SKIPPED, MeasurementStatus.BUS_ERROR)
"""Statuses of an attempt that ran out of memory."""


@dataclass(frozen=True)
class Try:
    """One attempt: a batch size, tried in a process of its own."""

    configuration: LoaderConfiguration
    status: MeasurementStatus
    error: str = ""


@dataclass(frozen=True)
class Search:
    """The result of a search, with all its attempts."""

    largest: int | None
    """Largest batch size that fits; None if the first one does not fit."""
    limited: bool
    """True if a larger size failed for lack of memory; False if the search reached its limit."""
    ended: str
    """Why the search ended early, because an attempt failed for another reason than memory; "" if it did not."""
    tries: Sequence[Try]
    """All attempts, in the order in which they were made."""


def largest_that_fits(attempt: Callable[[int], Try], *, start: int = 1, limit: int = 4096) -> Search:
    """Double the batch size from ``start`` until ``attempt`` runs out of memory or ``limit`` is reached, then bisect.

    Memory is expected to grow with the batch. An attempt that fails for another reason says nothing about memory: the
    search then ends with the largest size that has fitted so far.

    Args:
        attempt: Measures one batch size in a process that gives its memory back.
        start: First batch size.
        limit: Largest batch size to try.
    """
    if not 1 <= start <= limit:
        raise SettingsError(f"batch_size: the search cannot start at {start} and end at {limit}. Start lower.")
    tries: list[Try] = []

    def fits(size: int) -> bool | None:
        attempted = attempt(size)
        tries.append(attempted)
        if attempted.status not in (*TOO_LARGE, MeasurementStatus.COMPLETE):
            return None
        return attempted.status == MeasurementStatus.COMPLETE

    def ended_at(size: int) -> Search:
        return Search(fitting or None, bool(failing), f"batch_size {size}: {tries[-1].error}", tries)

    fitting, failing, size = 0, 0, start
    while not failing and fitting < limit:
        match fits(size):
            case True:
                fitting, size = size, min(2 * size, limit)
            case False:
                failing = size
            case None:
                return ended_at(size)
    while failing - fitting > max(1, RESOLUTION * fitting):
        size = (fitting + failing) // 2
        match fits(size):
            case True:
                fitting = size
            case False:
                failing = size
            case None:
                return ended_at(size)
    return Search(fitting or None, bool(failing), "", tries)
