"""Environment variables that `torchrun` (or a similar launcher) sets in each process of a distributed training."""

import os

_VARIABLES = ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")


def is_distributed() -> bool:
    """Return whether this process is one of several that a launcher started to train together."""
    return all(name in os.environ for name in _VARIABLES) and _number("WORLD_SIZE") > 1


def is_rank_zero() -> bool:
    """Return whether this process has rank 0, and so prints and writes files; True for a single process."""
    return not is_distributed() or _number("RANK") == 0


def rank_on_machine() -> int:
    """Return this process's rank among those of its machine, from 0."""
    return _number("LOCAL_RANK")


def _number(name: str) -> int:
    """Return the number in an environment variable; 0 if it is unset or not a number."""
    text = os.environ.get(name, "")
    return int(text) if text.isdigit() else 0
