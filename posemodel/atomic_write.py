"""Files that are there in full or not at all, whatever ends the process or the machine while they are written."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

TEMPORARY = ".part"
"""Suffix of a file that is being written. One that a kill left behind means nothing and may be removed."""


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Write to the temporary path that this gives, beside ``path``; it gets that name once its content is on the disk.

    Without the wait for the disk a power cut soon after the renaming could leave an empty file on some file systems.
    Makes the folder. If the block raises, ``path`` stays as it was and nothing is left beside it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(path.name + TEMPORARY)
    if temporary.exists() and not os.access(temporary, os.W_OK):
        temporary.unlink()  # of another user's killed process, in a folder that both may write to
    try:
        yield temporary
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def remove_leftovers(folder: Path) -> None:
    """Remove the temporary files that a killed process left in ``folder``."""
    for leftover in folder.glob(f"*{TEMPORARY}"):
        leftover.unlink(missing_ok=True)
