"""Predicts how much /dev/shm and memory a configuration needs, so that one that does not fit is never started."""

from dataclasses import dataclass

from bench.measure.limits import Limits
from bench.measure.loader.configuration import LoaderConfiguration
from bench.measure.loader.probe import Probe

CONSUMER_BATCHES = 2
"""Batches that the consumer keeps while all others are in transit: the one it trains on, and the one kept for the
compute arm."""
COLLATING_BATCHES = 2
"""Memory for making a batch in the training process itself, in batches: one for the samples, one for the batch."""
RESERVE = 0.9
"""Share of free memory that a configuration may use; the remainder is left to other programs."""


@dataclass(frozen=True)
class Need:
    """Bytes that a configuration takes at its peak."""

    shm_bytes: int
    memory_bytes: int
    """Memory including shared memory; the PSS of the processes holds only the mapped part of that."""


def predict(probe: Probe, configuration: LoaderConfiguration) -> Need:
    """Predict the peak: all batches in flight (num_workers * prefetch_factor) are made, and one is being used.

    With pinned memory one more copy of each is in locked memory, which is not in /dev/shm.
    """
    batch = probe.sample_bytes * configuration.batch_size
    process = probe.process_bytes + probe.step_sample_bytes * (configuration.batch_size - 1)
    if configuration.num_workers == 0:
        # The batch in use, the next one's samples, and the batch that they become; pinned, a copy of each.
        batches = COLLATING_BATCHES + CONSUMER_BATCHES + (CONSUMER_BATCHES if configuration.pin_memory else 0)
        return Need(shm_bytes=0, memory_bytes=process + batches * batch)
    shm = batch * (configuration.batches_in_flight + CONSUMER_BATCHES)
    workers = configuration.num_workers * (probe.worker_bytes + batch)  # plus its samples until they are collated
    pinned = shm if configuration.pin_memory else 0
    return Need(shm_bytes=shm, memory_bytes=process + workers + shm + pinned)


def shortfall(need: Need, limits: Limits) -> str:
    """Return the error text of a configuration that does not fit into the share RESERVE of free memory; "" if it
    fits."""
    if limits.shm_free_bytes is not None and need.shm_bytes > RESERVE * limits.shm_free_bytes:
        return _shortfall_text(need.shm_bytes, "/dev/shm", limits.shm_free_bytes)
    if need.memory_bytes > RESERVE * limits.memory_free_bytes:
        return _shortfall_text(need.memory_bytes, "memory", limits.memory_free_bytes)
    return ""


def _shortfall_text(need: int, resource: str, free: int) -> str:
    reserve = "" if need > free else f" ({100 * (1 - RESERVE):.0f} % of it is reserved for other programs)"
    return f"would need {_size(need)} of {resource}, {_size(free)} free{reserve}"


def _size(count: float) -> str:
    return f"{count / 1e9:.1f} GB" if count >= 1e9 else f"{count / 1e6:.3g} MB"
