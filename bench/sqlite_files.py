"""SQLite files looked at by another process than the one that works on them: nothing is written, made or left there.

All files here are in WAL mode. A reader of such a file makes `-wal` and `-shm` beside it if they are not there, and one
that must not write cannot remove them again. Where they are missing, though, nobody has the file open, and it can be
read as one that does not change.
"""

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar
from urllib.parse import quote

_Found = TypeVar("_Found")

PREFIX = "sqlite:///"
"""Of the URLs of SQLAlchemy and MLflow."""
ATTEMPTS = 10
"""How often to look again at a file that others open and close all the time."""


def sqlite_file(url: str) -> Path | None:
    """The file of an SQLite URL; None for any other database."""
    return Path(url.removeprefix(PREFIX)) if url.startswith(PREFIX) else None


def read_only_uri(path: Path) -> str:
    """SQLite's own URI of an existing file, to be read as it stands at this moment.

    Good for one connection inside of `looked_at`: whether another process has the file open changes. The path's slashes
    are encoded too, since MLflow makes the folder that it finds before the last one.
    """
    how = "mode=ro" if _is_open(path) else "mode=ro&immutable=1"
    return f"file:{quote(str(path.absolute()), safe='')}?{how}"


def looked_at(path: Path | None, look: Callable[[], _Found]) -> _Found:
    """What ``look`` returns, which makes its connections by `read_only_uri`; None: any other database, no care needed.

    Somebody who opens or closes the file meanwhile changes what was to be read as unchanging (SQLite calls it
    malformed then, or worse, does not notice), or takes away what was to be read beside it. Then ``look`` is called
    again. Its errors are raised where nothing of the kind has happened.
    """
    if path is None:
        return look()
    for _ in range(ATTEMPTS - 1):
        before, was_open = _version(path), _is_open(path)
        try:
            found = look()
        except Exception:
            if (_version(path), _is_open(path)) == (before, was_open):
                raise
            continue
        if (was_open and _is_open(path)) or (_version(path), _is_open(path)) == (before, was_open):
            return found
    return look()


def _is_open(path: Path) -> bool:
    return path.with_name(f"{path.name}-wal").exists()


def _version(path: Path) -> tuple[int, int, int] | None:
    try:
        status = path.stat()
    except FileNotFoundError:
        return None
    return status.st_ino, status.st_mtime_ns, status.st_size
