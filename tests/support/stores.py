"""Provide empty MLflow stores by copying one: creating the tables takes a second, a copy milliseconds."""

import atexit
import functools
import os
import shutil
import sqlite3
import tempfile
from pathlib import Path

from bench.records.writer import Tracker


@functools.cache
def empty_store() -> Path:
    """An MLflow database of this process, to be copied: set up, and without an experiment of ours."""
    folder = Path(tempfile.mkdtemp(prefix="posebench-store-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    before = Path.cwd()
    os.chdir(folder)
    try:
        Tracker("sqlite:///empty.db", "unused").client.delete_experiment("1")
    finally:
        os.chdir(before)
    connection = sqlite3.connect(folder / "empty.db")
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()
    return folder / "empty.db"
