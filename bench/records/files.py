"""Create MLflow's SQLite file, completely or not at all, in WAL mode so that it can be read while it is written."""

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
    """Make the file of an SQLite URI ready for use; do nothing for other URIs.

    WAL mode, a property of the file, lets readers (the UI, `posebench report`) read while a worker writes.

    Args:
        uri: Address of the MLflow store.
        create: Create the file if it is missing; otherwise a missing file is an error.

    Raises SettingsError if the file is missing or cannot be created.
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
        _create_sqlite(path)
        with contextlib.closing(sqlite3.connect(path, timeout=60)) as connection:
            connection.execute("PRAGMA journal_mode=WAL")
    except (OSError, sqlite3.Error) as error:
        RECORDS.refuse(uri, f"cannot be opened ({error}). Set MLFLOW_TRACKING_URI to another file.", cause=error)


_FOLDER_PREFIX = ".posebench-mlflow-"
"""Name prefix of the temporary folder in which a database is created."""


def _create_sqlite(path: Path) -> None:
    """Create MLflow's tables in a temporary file, and move it to its path: a killed creation then leaves no file.

    Creation takes over 1,500 statements, some seconds, and MLflow refuses a partially created file for good.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path_lock(path):
        if path.is_file():
            return
        for leftover in path.parent.glob(f"{_FOLDER_PREFIX}*"):
            shutil.rmtree(leftover, ignore_errors=True)
        with tempfile.TemporaryDirectory(prefix=_FOLDER_PREFIX, dir=path.parent, ignore_cleanup_errors=True) as folder:
            new_file = Path(folder) / path.name
            with _without_disk_sync():
                mlflow.MlflowClient(tracking_uri=url_of(new_file)).search_experiments(max_results=1)
            with new_file.open("rb+") as file:
                os.fsync(file.fileno())
            new_file.replace(path)


@contextmanager
def _without_disk_sync() -> Iterator[None]:
    """Do not wait for the disk after each SQLite statement in the block; that is two thirds of the creation time.

    Only for a file that is not used before it is complete.
    """

    def connected(connection: Any, _record: Any) -> None:
        connection.execute("PRAGMA synchronous=OFF")

    sqlalchemy.event.listen(sqlalchemy.Engine, "connect", connected)
    try:
        yield
    finally:
        sqlalchemy.event.remove(sqlalchemy.Engine, "connect", connected)
