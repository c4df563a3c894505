"""The SQLite file of MLflow's records: made whole or not at all, and in the mode that lets others look."""

import contextlib
import os
import shutil
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bench.storage import mlflow_environment  # noqa: F401 (MLflow reads it)

# isort: split
import mlflow
import sqlalchemy

from bench.storage.addresses import RECORDS
from bench.storage.database_check import check_database
from bench.storage.locks import path_lock
from bench.storage.sqlite_files import sqlite_file, url_of


def prepare_sqlite(uri: str, *, create: bool) -> None:
    """Make the file of an SQLite URI where it is needed; SettingsError where it cannot be, or is not there to be read.

    WAL lets readers (the UI, `posebench report`) look while a worker writes; it is a property of the file.
    """
    path = sqlite_file(uri)
    if path is None:
        return
    if not create:
        if not path.exists():
            RECORDS.refuse(uri, "no such file here. Run a study first, or set MLFLOW_TRACKING_URI.")
        return
    check_database(RECORDS, uri, write=True)
    try:
        _make_sqlite(path)
        with contextlib.closing(sqlite3.connect(path, timeout=60)) as connection:
            connection.execute("PRAGMA journal_mode=WAL")
    except (OSError, sqlite3.Error) as error:
        RECORDS.refuse(uri, f"cannot be opened ({error}). Set MLFLOW_TRACKING_URI to another file.", cause=error)


_WORKSHOP = ".posebench-mlflow-"
"""How the name of the folder begins in which a database is made."""


def _make_sqlite(path: Path) -> None:
    """Make MLflow's tables where there are none, elsewhere first: it takes over 1,500 statements, seconds of time.

    A file that a kill leaves halfway through them is refused by MLflow for good.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path_lock(path):
        if path.is_file():
            return
        for killed in path.parent.glob(f"{_WORKSHOP}*"):
            shutil.rmtree(killed, ignore_errors=True)
        with tempfile.TemporaryDirectory(prefix=_WORKSHOP, dir=path.parent, ignore_cleanup_errors=True) as workshop:
            made = Path(workshop) / path.name
            with _unsynchronized():
                mlflow.MlflowClient(tracking_uri=url_of(made)).search_experiments(max_results=1)
            with made.open("rb+") as file:
                os.fsync(file.fileno())
            made.replace(path)


@contextmanager
def _unsynchronized() -> Iterator[None]:
    """SQLite waits for the disk after none of the block's statements: two thirds of the time of making the tables.

    For a file that counts only once it is whole.
    """

    def connected(connection: Any, _record: Any) -> None:
        connection.execute("PRAGMA synchronous=OFF")

    sqlalchemy.event.listen(sqlalchemy.Engine, "connect", connected)
    try:
        yield
    finally:
        sqlalchemy.event.remove(sqlalchemy.Engine, "connect", connected)
