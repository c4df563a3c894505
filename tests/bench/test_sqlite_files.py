"""SQLite files that are looked at while others open, write and close them."""

import contextlib
import sqlite3
import subprocess
import sys

import pytest

from bench.sqlite_files import looked_at, read_only_uri, sqlite_file

WRITER = """
import contextlib, sqlite3, sys
for round in range(400):
    with contextlib.closing(sqlite3.connect(sys.argv[1], isolation_level=None, timeout=60)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        for table in ("one", "two"):
            connection.executemany(f"INSERT INTO {table} VALUES (?)", [("x" * 500,)] * 20)
        connection.execute("COMMIT")
"""


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "a b.db"
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("CREATE TABLE one (value)")
        connection.execute("CREATE TABLE two (value)")
    return path


def add_row(path):
    with contextlib.closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("INSERT INTO one VALUES (1)")


def rows(path, table):
    with contextlib.closing(sqlite3.connect(read_only_uri(path), uri=True, timeout=60)) as connection:
        return connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0]


def test_uris_tell_open_files_from_closed_ones(file):
    assert sqlite_file(f"sqlite:///{file}") == file
    assert sqlite_file("postgresql://host/base") is None
    assert read_only_uri(file).endswith("a%20b.db?mode=ro&immutable=1")
    with contextlib.closing(sqlite3.connect(file)) as connection:
        connection.execute("SELECT * FROM one")
        assert read_only_uri(file).endswith("a%20b.db?mode=ro")
        assert rows(file, "one") == 0


@pytest.mark.parametrize("failing", [False, True])
def test_what_was_written_meanwhile_is_looked_at_again(file, failing):
    seen = []

    def look():
        seen.append(rows(file, "one"))
        if len(seen) == 1:
            add_row(file)
            if failing:
                raise sqlite3.DatabaseError("database disk image is malformed")
        return seen[-1]

    assert looked_at(file, look) == 1
    assert seen == [0, 1]


def test_an_error_of_an_unchanged_file_is_raised_at_once(file):
    calls = []

    def look():
        calls.append(1)
        raise sqlite3.DatabaseError("database disk image is malformed")

    with pytest.raises(sqlite3.DatabaseError):
        looked_at(file, look)
    assert calls == [1]


def test_other_databases_are_looked_at_once():
    assert looked_at(None, lambda: 3) == 3


def test_a_file_that_is_never_at_rest_is_looked_at_in_the_end(file):
    def look():
        add_row(file)
        return "found"

    assert looked_at(file, look) == "found"


def test_looks_are_whole_while_a_writer_opens_and_closes_the_file(file):
    """Each of its transactions adds as many rows to one table as to the other."""

    def look():
        with contextlib.closing(sqlite3.connect(read_only_uri(file), uri=True, timeout=60)) as connection:
            return connection.execute("SELECT (SELECT count(*) FROM one), (SELECT count(*) FROM two)").fetchone()

    writer = subprocess.Popen([sys.executable, "-c", WRITER, str(file)])
    try:
        looks = 0
        while writer.poll() is None:
            one, two = looked_at(file, look)
            assert one == two
            looks += 1
    finally:
        writer.kill()
        writer.wait()
    assert looks > 10
    assert (rows(file, "one"), rows(file, "two")) == (8000, 8000)
