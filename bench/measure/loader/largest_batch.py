"""The largest batch that fits: doubled until one fails, then halved between; each try in a process of its own."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from bench.measure.loader.configuration import LoaderConfiguration
from bench.measure.loader.outcome import MeasurementStatus
from posemodel.errors import SettingsError

RESOLUTION = 0.05
"""The search ends where the largest that fits and the smallest that does not are this close (relative)."""
TOO_LARGE = (MeasurementStatus.OUT_OF_MEMORY, MeasurementStatus.SKIPPED, MeasurementStatus.BUS_ERROR)


@dataclass(frozen=True)
class Try:
    """One batch size, tried in a process of its own."""

    configuration: LoaderConfiguration
    status: MeasurementStatus
    error: str = ""


@dataclass(frozen=True)
class Search:
    """What the search found, and every try on the way."""

    largest: int | None
    """None where not even the first size fits."""
    limited: bool
    """Whether a larger one failed for want of memory; False where the search ended at its limit."""
    ended: str
    """Why it ended early: a try failed for another reason than memory; "" where it went its way."""
    tries: Sequence[Try]
    """In the order in which they were made."""


def largest_that_fits(attempt: Callable[[int], Try], *, start: int = 1, limit: int = 4096) -> Search:
    """Double the batch size from ``start`` until ``attempt`` runs out of memory or ``limit`` is reached, then bisect.

    ``attempt`` measures one batch size in a process that gives its memory back. Memory is expected to grow with the
    batch. A try that fails for another reason says nothing about memory: the search ends with what has fitted so far.
    """
    if not 1 <= start <= limit:
        raise SettingsError(f"batch_size: the search cannot start at {start} and end at {limit}. Start lower.")
    tries: list[Try] = []

    def fits(size: int) -> bool | None:
        found = attempt(size)
        tries.append(found)
        if found.status not in (*TOO_LARGE, MeasurementStatus.COMPLETE):
            return None
        return found.status == MeasurementStatus.COMPLETE

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
