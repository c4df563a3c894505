"""Atomic file writing: a file is complete or absent, even if the process or the machine dies during the write."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

TEMPORARY_SUFFIX = ".part"
"""Suffix of a file that is being written. If a killed process left such a file behind, it is useless and can be
removed."""


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Yield a temporary path to write to, and rename it to ``path`` once its content is on the disk.

    The content is flushed to the disk before the renaming; otherwise a power cut soon afterwards could leave an empty
    file on some file systems. Missing folders are created. If the block raises, ``path`` stays as it was and the
    temporary file is removed.

    Example:
        with atomic_path(Path("result.json")) as temporary:
            temporary.write_text("{}")
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(path.name + TEMPORARY_SUFFIX)
    if temporary.exists() and not os.access(temporary, os.W_OK):
        temporary.unlink()  # left by another user's killed process in a shared folder
    try:
        yield temporary
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def remove_temporary_files(folder: Path) -> None:
    """Remove the temporary files that killed processes left in ``folder``."""
    for leftover in folder.glob(f"*{TEMPORARY_SUFFIX}"):
        leftover.unlink(missing_ok=True)
