"""The number of processor cores that this process may use, and how worker processes share them."""

import os


def usable_cores() -> int:
    """Return the number of cores that this process may use (its affinity), not all that the host has."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def threads_for_each(workers: int) -> int | None:
    """Return how many threads each of some worker processes computes with; None: PyTorch's own number, for one."""
    return max(1, usable_cores() // workers) if workers > 1 else None
