"""One process of this machine at a time on a path, without a lock file beside it."""

import hashlib
import tempfile
from pathlib import Path

from filelock import FileLock


def alone_on(path: Path) -> FileLock:
    """A lock to hold (``with``) while working on a path; who comes second waits. A killed process's lock is free."""
    key = hashlib.sha256(str(path.resolve()).encode()).hexdigest()[:16]
    return FileLock(Path(tempfile.gettempdir(), f"posebench-{key}.lock"))
