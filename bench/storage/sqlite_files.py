"""SQLite files looked at by another process than the one that works on them: nothing is written, made or left there.

All files here are in WAL mode. A reader of such a file makes `-wal` and `-shm` beside it if they are not there, and one
that must not write cannot remove them again. Where they are missing, though, nobody has the file open, and it can be
read as one that does not change.
"""

import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple, TypeVar
from urllib.parse import quote, unquote

import sqlalchemy

_Found = TypeVar("_Found")

PREFIX = "sqlite:///"
"""Of the URLs of SQLAlchemy and MLflow."""
ATTEMPTS = 10
"""How often to look again at a file that others open and close all the time."""
TICK_S = 0.02
"""File systems tell the time of a change in steps of up to 10 ms (a kernel's tick): two within one look the same."""


def sqlite_file(url: str) -> Path | None:
    """The file of an SQLite URL, with a driver and a query or without; None for any other database, or one in memory.

    A file that SQLite is told by a URI of its own (`sqlite:///file:NAME?uri=true`) is meant, too.
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
    """The SQLite URL of a file, whatever characters its name has."""
    return sqlalchemy.URL.create("sqlite", database=str(path)).render_as_string(hide_password=False)


MakeUri = Callable[[], str]
"""Makes SQLite's own URI for one connection: whether another process has the file open changes."""


def looked_at(path: Path | None, look: Callable[[MakeUri], _Found]) -> _Found:
    """What ``look`` returns, which asks for a URI before each connection; None: another database, where it never asks.

    Somebody who opens or closes the file meanwhile changes what was to be read as unchanging (SQLite calls it
    malformed then, or worse, does not notice), or takes away what was to be read beside it. Then ``look`` is called
    again. Its errors are raised where nothing of the kind has happened.
    """
    if path is None:
        return look(lambda: "")
    for number in range(ATTEMPTS):
        if number:
            time.sleep(TICK_S)
        attempt = _Attempt(path)
        try:
            found = look(attempt.make_uri)
        except Exception:
            if attempt.undisturbed():
                raise
        else:
            if not attempt.read_as_unchanging or attempt.undisturbed():
                return found
    # Others come and go all the time: SQLite's own locks are right whatever they do, at the price of files left beside.
    return look(lambda: read_only_uri(path, unchanging=False))


class _State(NamedTuple):
    """Whether somebody has a file open, and which version of it stands there (None: there is none)."""

    is_open: bool
    version: tuple[int, int, int] | None


class _Attempt:
    """One look at a file, and whether it could be disturbed."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.read_as_unchanging = False
        self._before = _state(path)
        changed_ns = self._before.version[1] if self._before.version else 0
        self._new = abs(time.time_ns() - changed_ns) < TICK_S * 1e9

    def make_uri(self) -> str:
        """As `uri_now`, remembered."""
        unchanging = not _is_open(self.path)
        self.read_as_unchanging |= unchanging
        return read_only_uri(self.path, unchanging=unchanging)

    def undisturbed(self) -> bool:
        """Whether nobody opened, wrote or closed the file since the look began."""
        unsafe = self._before.is_open or self._new  # closed since, or written again without a sign of it
        return _state(self.path) == self._before and not (unsafe and self.read_as_unchanging)


def uri_now(path: Path) -> str:
    """The URI for a connection at this moment, by who has the file open."""
    return read_only_uri(path, unchanging=not _is_open(path))


def read_only_uri(path: Path, *, unchanging: bool) -> str:
    """SQLite's URI of an existing file. ``unchanging``: nobody has it open, so that nothing need be made beside it.

    The path's slashes are encoded too, since MLflow makes the folder that it finds before the last one.
    """
    how = "mode=ro&immutable=1" if unchanging else "mode=ro"
    return f"file:{quote(str(path.absolute()), safe='')}?{how}"


def _is_open(path: Path) -> bool:
    return path.with_name(f"{path.name}-wal").exists()


def _state(path: Path) -> _State:
    try:
        status = path.stat()
    except FileNotFoundError:
        return _State(False, None)
    return _State(_is_open(path), (status.st_ino, status.st_mtime_ns, status.st_size))
