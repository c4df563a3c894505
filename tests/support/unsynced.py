"""SQLite databases that leave it to the system when what is written reaches the disk."""

import sqlite3
from typing import Any


def write_without_waiting(connection: Any, _record: Any) -> None:
    """Have a new connection of SQLAlchemy not wait for the disk, if it is to SQLite.

    A killed process loses nothing by it, only a machine that loses its power does; waiting takes most of a test's time.
    """
    if isinstance(connection, sqlite3.Connection):
        connection.execute("PRAGMA synchronous=OFF")
