"""How many processor cores there are to use."""

import os


def usable_cores() -> int:
    """Cores that this process may use, not all that the host has."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
