"""What a configuration will need of /dev/shm and of memory, before it is tried until it crashes."""

from dataclasses import dataclass

from bench.measure.limits import Limits
from bench.measure.loader.configuration import LoaderConfiguration
from bench.measure.loader.probe import Probe

HELD = 2
"""Batches that the consumer has in its hands while all others are on their way: the one that it trains on, and the one
that it keeps to compute on where nothing is loaded."""
MADE_HERE = 2
"""Batches' worth of memory that making one takes in the process itself: its samples, and the batch."""
RESERVE = 0.9
"""Share of what is free that a configuration may take: others live on this machine too."""


@dataclass(frozen=True)
class Need:
    """Bytes that a configuration takes at its peak."""

    shm_bytes: int
    memory_bytes: int
    """Shared memory is memory too: it is in here. The PSS of the processes holds only the part of it that is mapped."""


def predict(found: Probe, configuration: LoaderConfiguration) -> Need:
    """The peak: all batches that may be on their way (num_workers * prefetch_factor) are made, one is being used.

    Pinned, one more copy of each is in locked memory, which is not in /dev/shm.
    """
    batch = found.sample_bytes * configuration.batch_size
    process = found.process_bytes + found.step_sample_bytes * (configuration.batch_size - 1)
    if configuration.num_workers == 0:
        # The batch in hand, the next one's samples, and what they are collated into; pinned, a copy.
        batches = MADE_HERE + HELD + (HELD if configuration.pin_memory else 0)
        return Need(shm_bytes=0, memory_bytes=process + batches * batch)
    shm = batch * (configuration.batches_in_flight + HELD)
    workers = configuration.num_workers * (found.worker_bytes + batch)  # its samples, until they are collated
    pinned = shm if configuration.pin_memory else 0
    return Need(shm_bytes=shm, memory_bytes=process + workers + shm + pinned)


def shortfall(need: Need, limits: Limits) -> str:
    """Why a configuration is not tried, in the words of its row; "" where it fits into RESERVE of what is free."""
    if limits.shm_free_bytes is not None and need.shm_bytes > RESERVE * limits.shm_free_bytes:
        return _told(need.shm_bytes, "/dev/shm", limits.shm_free_bytes)
    if need.memory_bytes > RESERVE * limits.memory_free_bytes:
        return _told(need.memory_bytes, "memory", limits.memory_free_bytes)
    return ""


def _told(need: int, of: str, free: int) -> str:
    kept = "" if need > free else f" ({100 * (1 - RESERVE):.0f} % of it is left to others)"
    return f"would need {_size(need)} of {of}, {_size(free)} free{kept}"


def _size(count: float) -> str:
    return f"{count / 1e9:.1f} GB" if count >= 1e9 else f"{count / 1e6:.3g} MB"
