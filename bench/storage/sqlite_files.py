"""Read SQLite files while another process may be writing them, without creating or leaving files beside them.

All files here are in WAL mode. A reader of such a file creates missing `-wal` and `-shm` files beside it, and a
read-only one cannot remove them again. If they are missing, however, no process has the file open, and it can be read
with SQLite's `immutable` option, which needs none of them.
"""

import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple, TypeVar
from urllib.parse import quote, unquote

import sqlalchemy

_Result = TypeVar("_Result")

PREFIX = "sqlite:///"
"""Prefix of SQLite URLs of SQLAlchemy and MLflow."""
ATTEMPTS = 10
"""Number of attempts to read a file that other processes keep opening and closing."""
TICK_S = 0.02
"""Seconds within which two changes of a file may have the same time: file systems use ticks of up to 10 ms."""


def sqlite_file(url: str) -> Path | None:
    """Return the file of an SQLite URL; None for any other database, or one in memory.

    The URL may name a driver, have a query, or contain SQLite's own URI (`sqlite:///file:NAME?uri=true`).
    """
    if not url.lower().startswith("sqlite"):
        return None
    try:
        parsed = sqlalchemy.make_url(url)
    except sqlalchemy.exc.ArgumentError:
        return None
    if parsed.get_backend_name() != "sqlite" or not parsed.database or parsed.database == ":memory:":
        return None
    if parsed.query.get("uri") == "true" and parsed.database.startswith("file:"):
        return Path(unquote(parsed.database.removeprefix("file:").partition("?")[0]))
    return Path(parsed.database)


def url_of(path: Path) -> str:
    """Return the SQLite URL of a file; its name may contain any characters."""
    return sqlalchemy.URL.create("sqlite", database=str(path)).render_as_string()


MakeUri = Callable[[], str]
"""Makes SQLite's URI for one connection; it depends on whether another process has the file open at that moment."""


def read_undisturbed(path: Path | None, read: Callable[[MakeUri], _Result]) -> _Result:
    """Return the result of ``read``, repeating it if another process disturbed the reading.

    A process that opens or closes the file during the reading may change a file that is being read as immutable (SQLite
    then reports it as malformed or, worse, does not notice), or remove the files beside it. ``read`` is then called
    again; its errors are raised only if it was not disturbed.

    Args:
        path: The SQLite file; None for another database, for which ``read`` must not call its argument.
        read: Reads the database; calls its argument before each connection to get the URI.
    """
    if path is None:
        return read(lambda: "")
    for number in range(ATTEMPTS):
        if number:
            time.sleep(TICK_S)
        attempt = _Attempt(path)
        try:
            result = read(attempt.make_uri)
        except Exception:
            if attempt.is_undisturbed():
                raise
        else:
            if not attempt.used_immutable or attempt.is_undisturbed():
                return result
    # Disturbed every time: SQLite's own locks are always correct, but may leave files beside the database.
    return read(lambda: read_only_uri(path, immutable=False))


class _State(NamedTuple):
    """Whether a process has a file open, and the file's version (inode, time of change in ns, size); None: no file."""

    is_open: bool
    version: tuple[int, int, int] | None


class _Attempt:
    """One attempt to read a file, which can tell whether another process disturbed it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.used_immutable = False
        self._before = _state(path)
        changed_ns = self._before.version[1] if self._before.version else 0
        self._new = abs(time.time_ns() - changed_ns) < TICK_S * 1e9

    def make_uri(self) -> str:
        """Return `uri_now`, and remember whether it was immutable."""
        immutable = not _is_open(self.path)
        self.used_immutable |= immutable
        return read_only_uri(self.path, immutable=immutable)

    def is_undisturbed(self) -> bool:
        """Return True if no process opened, wrote or closed the file since this attempt began."""
        unsafe = self._before.is_open or self._new  # it may have been closed, or written again within the same tick
        return _state(self.path) == self._before and not (unsafe and self.used_immutable)


def uri_now(path: Path) -> str:
    """Return the URI for a connection at this moment: immutable if no process has the file open."""
    return read_only_uri(path, immutable=not _is_open(path))


def read_only_uri(path: Path, *, immutable: bool) -> str:
    """Return SQLite's read-only URI of an existing file.

    ``immutable``: no process has the file open, so SQLite need not create files beside it. The path's slashes are
    encoded too, since MLflow creates the folder before the last slash of an address.
    """
    options = "mode=ro&immutable=1" if immutable else "mode=ro"
    return f"file:{quote(str(path.absolute()), safe='')}?{options}"


def _is_open(path: Path) -> bool:
    return path.with_name(f"{path.name}-wal").exists()


def _state(path: Path) -> _State:
    try:
        status = path.stat()
    except FileNotFoundError:
        return _State(False, None)
    return _State(_is_open(path), (status.st_ino, status.st_mtime_ns, status.st_size))
