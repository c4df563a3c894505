"""SQLite files looked at by another process than the one that works on them: nothing is written, made or left there.

All files here are in WAL mode. A reader of such a file makes `-wal` and `-shm` beside it if they are not there, and one
that must not write cannot remove them again. Where they are missing, though, nobody has the file open, and it can be
read as one that does not change.
"""

from pathlib import Path
from urllib.parse import quote

PREFIX = "sqlite:///"
"""Of the URLs of SQLAlchemy and MLflow."""


def sqlite_file(url: str) -> Path | None:
    """The file of an SQLite URL; None for any other database."""
    return Path(url.removeprefix(PREFIX)) if url.startswith(PREFIX) else None


def read_only_uri(path: Path) -> str:
    """SQLite's own URI of an existing file, to be read as it stands at this moment.

    Good for one connection: whether another process has the file open changes. The path's slashes are encoded too,
    since MLflow makes the folder that it finds before the last one.
    """
    how = "mode=ro" if path.with_name(f"{path.name}-wal").exists() else "mode=ro&immutable=1"
    return f"file:{quote(str(path.absolute()), safe='')}?{how}"
