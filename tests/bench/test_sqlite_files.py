"""SQLite files that are looked at while others open, write and close them."""

import contextlib
import os
import sqlite3
import subprocess
import sys

import pytest

from bench.storage.sqlite_files import ATTEMPTS, read_undisturbed, sqlite_file

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
    os.utime(path, (0, 0))  # not of a moment ago
    return path


def add_row(path):
    with contextlib.closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("INSERT INTO one VALUES (1)")


def count(uri, table):
    with contextlib.closing(sqlite3.connect(uri, uri=True, timeout=60)) as connection:
        return connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0]


def test_uris_tell_open_files_from_closed_ones(file):
    assert sqlite_file(f"sqlite:///{file}") == file
    assert sqlite_file("postgresql://host/base") is None
    assert read_undisturbed(file, lambda make_uri: make_uri()).endswith("a%20b.db?mode=ro&immutable=1")
    with contextlib.closing(sqlite3.connect(file)) as connection:
        connection.execute("SELECT * FROM one")
        assert read_undisturbed(file, lambda make_uri: make_uri()).endswith("a%20b.db?mode=ro")
        assert read_undisturbed(file, lambda make_uri: count(make_uri(), "one")) == 0


@pytest.mark.parametrize("failing", [False, True])
def test_what_was_written_meanwhile_is_looked_at_again(file, failing):
    seen = []

    def look(make_uri):
        seen.append(count(make_uri(), "one"))
        if len(seen) == 1:
            add_row(file)
            if failing:
                raise sqlite3.DatabaseError("database disk image is malformed")
        return seen[-1]

    assert read_undisturbed(file, look) == 1
    assert seen == [0, 1]


@pytest.mark.parametrize("failing", [False, True])
def test_two_changes_within_a_tick_have_one_time_and_are_looked_at_again(file, failing):
    """A look begins just after one of them, and the other one leaves no sign."""
    seen = []
    add_row(file)
    changed = file.stat()

    def look(make_uri):
        seen.append(count(make_uri(), "one"))
        if len(seen) == 1:
            add_row(file)
            os.utime(file, ns=(changed.st_atime_ns, changed.st_mtime_ns))
            if failing:
                raise sqlite3.DatabaseError("database disk image is malformed")
        return seen[-1]

    assert read_undisturbed(file, look) == 2
    assert seen[0] == 1


def test_a_file_that_was_closed_and_opened_meanwhile_is_looked_at_again(file):
    """It is open before and after, but for a moment it was read as unchanging."""
    owner, results = sqlite3.connect(file), []
    owner.execute("SELECT * FROM one").fetchall()

    def look(make_uri):
        nonlocal owner
        if results:
            return count(make_uri(), "one"), count(make_uri(), "two")
        owner.close()
        first = count(make_uri(), "one")
        owner = sqlite3.connect(file)
        for table in ("one", "two"):
            owner.execute(f"INSERT INTO {table} VALUES (1)")
        owner.commit()
        results.append((first, count(make_uri(), "two")))
        return results[0]

    try:
        assert read_undisturbed(file, look) == (1, 1)
    finally:
        owner.close()
    assert results == [(0, 1)], "torn, and not taken"


def test_an_error_of_an_unchanged_file_is_raised_at_once(file):
    calls = []

    def look(make_uri):
        calls.append(make_uri())
        raise sqlite3.DatabaseError("database disk image is malformed")

    with pytest.raises(sqlite3.DatabaseError):
        read_undisturbed(file, look)
    assert len(calls) == 1


def test_other_databases_are_looked_at_once():
    assert read_undisturbed(None, lambda _: 3) == 3


def test_a_file_that_is_never_at_rest_is_read_under_sqlite_s_own_locks(file):
    uris = []

    def look(make_uri):
        uris.append(make_uri())
        add_row(file)
        return len(uris)

    assert read_undisturbed(file, look) == ATTEMPTS + 1
    assert "immutable" in uris[0]
    assert uris[-1].endswith("mode=ro")


def test_looks_are_whole_while_a_writer_opens_and_closes_the_file(file):
    """Each of its transactions adds as many rows to one table as to the other."""

    def look(make_uri):
        return count(make_uri(), "one"), count(make_uri(), "two")

    def look_once(make_uri):
        with contextlib.closing(sqlite3.connect(make_uri(), uri=True, timeout=60)) as connection:
            return connection.execute("SELECT (SELECT count(*) FROM one), (SELECT count(*) FROM two)").fetchone()

    writer = subprocess.Popen([sys.executable, "-c", WRITER, str(file)])
    try:
        looks = 0
        while writer.poll() is None:
            one, two = read_undisturbed(file, look_once)
            assert one == two
            looks += 1
    finally:
        writer.kill()
        writer.wait()
    assert looks > 2
    assert read_undisturbed(file, look) == (8000, 8000)
