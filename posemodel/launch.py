"""What the environment says of a process that `torchrun` (or a launcher like it) has started beside others."""

import os

_ADDRESS = ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")


def launched() -> bool:
    """Whether this is one of several processes started to train together."""
    return all(name in os.environ for name in _ADDRESS) and told("WORLD_SIZE") > 1


def is_first() -> bool:
    """Whether this process speaks for all: it alone prints and writes. True where it is the only one."""
    return not launched() or told("RANK") == 0


def place_on_machine() -> int:
    """Which of its machine's processes this is, from 0."""
    return told("LOCAL_RANK")


def told(name: str) -> int:
    """A number that the environment tells; 0 where it tells none."""
    text = os.environ.get(name, "")
    return int(text) if text.isdigit() else 0
