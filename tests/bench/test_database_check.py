"""Databases that are none of ours are refused with the reason and the remedy, and stay as they are to the last byte."""

import contextlib
import hashlib
import os
import socket
import sqlite3
import threading

import optuna
import pytest

from bench.ledger.connection import open_storage
from bench.ledger.reader import read_studies
from bench.ledger.store import Ledger
from bench.records.reader import studies
from bench.records.store_check import check_storage, check_stores, check_tracking
from bench.records.writer import Tracker
from bench.storage import database_check
from bench.storage.addresses import LEDGER
from bench.storage.database_check import NoAnswerError, call_within, contents
from posemodel.errors import SettingsError

STORES = {"storage": check_storage, "tracking": check_tracking}


def execute(file, script):
    with contextlib.closing(sqlite3.connect(file)) as connection:
        connection.executescript(script)


def of_another_program(file):
    execute(file, "CREATE TABLE notes (text TEXT); CREATE TABLE alembic_version (version_num VARCHAR(32));")


def without_a_version(file):
    execute(file, "CREATE TABLE notes (text TEXT)")


def no_database(file):
    file.write_bytes(b"not a database at all " * 400)


def half_a_database(file):
    execute(file, "CREATE TABLE notes (text TEXT)")
    file.write_bytes(file.read_bytes()[:700])


def of_version(version):
    def make(file):
        execute(file, f"UPDATE alembic_version SET version_num = '{version}'")

    return make


def folder(file):
    file.unlink(missing_ok=True)
    file.mkdir()


EMPTY = {
    of_another_program: "is another program's database (tables: notes)",
    without_a_version: "is another program's database (tables: notes)",
    no_database: "cannot be read (file is not a database)",
    half_a_database: "cannot be read (",
    folder: "it is a folder",
}
VERSIONS = {
    "storage": {
        "v1.3.0.a": "earlier version of Optuna (tables of version v1.3.0.a, not ",
        "v9.9.0.a": "later version of Optuna",
    },
    "tracking": {
        "451aebb31d03": "earlier version of MLflow (tables of version 451aebb31d03, not ",
        "ffff00000000": "later version of MLflow",
    },
}
REMEDIES = {
    "storage": {"v1.3.0.a": "`optuna storage upgrade --storage ", "v9.9.0.a": "pip install --upgrade optuna"},
    "tracking": {"451aebb31d03": "`mlflow db upgrade ", "ffff00000000": "pip install --upgrade mlflow"},
}
VARIABLES = {"storage": "POSEBENCH_STORAGE", "tracking": "MLFLOW_TRACKING_URI"}


@pytest.fixture
def stores(storage_url, tracking_uri):
    """Addresses of a ledger and of records that are set up."""
    return {"storage": storage_url, "tracking": tracking_uri}


@pytest.fixture
def unchanged(hermetic):
    """That nothing in the test's folder changes in the rest of the test."""

    def contents():
        return {
            path.name: hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else "folder"
            for path in hermetic.iterdir()
        }

    before = []
    yield lambda: before.append(contents())
    if before:
        assert contents() == before[0]


def refuse(kind, address, write):
    with pytest.raises(SettingsError) as error:
        STORES[kind](address, write=write)
    text = str(error.value)
    assert address in text
    assert VARIABLES[kind] in text
    assert "\n" not in text
    return text


@pytest.mark.parametrize("write", [True, False])
@pytest.mark.parametrize("kind", STORES)
@pytest.mark.parametrize("make", EMPTY)
def test_what_is_no_database_of_ours_is_refused(hermetic, unchanged, make, kind, write):
    make(hermetic / "it.db")
    unchanged()
    assert EMPTY[make] in refuse(kind, "sqlite:///it.db", write)


@pytest.mark.parametrize("write", [True, False])
@pytest.mark.parametrize(("kind", "version"), [(kind, version) for kind in VERSIONS for version in VERSIONS[kind]])
def test_other_versions_are_refused_and_not_taken_to_this_one(stores, unchanged, kind, version, write):
    of_version(version)(stores[kind].removeprefix("sqlite:///"))
    unchanged()
    text = refuse(kind, stores[kind], write)
    assert VERSIONS[kind][version] in text
    assert REMEDIES[kind][version] in text


@pytest.mark.parametrize("kind", STORES)
def test_the_database_of_the_other_program_is_known(stores, unchanged, kind):
    other = stores["tracking" if kind == "storage" else "storage"]
    unchanged()
    text = refuse(kind, other, write=True)
    assert ("is MLflow's database" if kind == "storage" else "is Optuna's database") in text


def test_both_tables_in_one_database_are_ours_once_they_are_there(storage_url):
    """A person's own tables beside those of a ledger are no reason to stop."""
    execute(storage_url.removeprefix("sqlite:///"), "CREATE TABLE notes (text TEXT)")
    check_storage(storage_url, write=True)


@pytest.mark.parametrize("make", [of_another_program, no_database])
def test_opening_refuses_as_looking_does(hermetic, unchanged, make_spec, make):
    make(hermetic / "it.db")
    unchanged()
    url = "sqlite:///it.db"
    for act in (
        lambda: Ledger(url, "study", make_spec().identity()),
        lambda: open_storage(url),
        lambda: read_studies(url),
        lambda: Tracker(url, "study"),
        lambda: Tracker(url, "study", create=False),
        lambda: studies(url),
    ):
        with pytest.raises(SettingsError, match=r"it\.db: (is another program's|cannot be read)"):
            act()


def test_a_ledger_that_is_being_made_is_no_foreign_database(hermetic):
    """Another process makes its tables at this moment: the version comes last."""
    execute(hermetic / "it.db", "CREATE TABLE studies (study_id INTEGER); CREATE TABLE version_info (x INTEGER);")
    check_storage("sqlite:///it.db", write=True)
    assert read_studies("sqlite:///it.db") == {}


@pytest.mark.parametrize(
    "url", ["sqlite:///q.db?timeout=60", "sqlite+pysqlite:///q.db", "sqlite:///file:q.db?uri=true"]
)
def test_an_address_with_a_query_is_the_file_that_it_names(hermetic, make_spec, url):
    Ledger(url, "study", make_spec().identity())
    assert [path.name for path in hermetic.glob("*.db*") if not path.name.endswith(("-wal", "-shm"))] == ["q.db"]
    assert list(read_studies(url)) == ["study"]
    assert list(read_studies("sqlite:///q.db")) == ["study"]


def test_records_at_an_address_with_a_query_are_in_the_file_that_it_names(new_store, hermetic):
    new_store("q.db")
    url = "sqlite:///q.db?timeout=60"
    Tracker(url, "study")
    assert sorted(path.name for path in hermetic.iterdir() if ".db" in path.name and "-" not in path.name) == ["q.db"]
    assert Tracker(url, "study", create=False).records().empty
    assert studies(url) == {}


def test_a_folder_that_is_not_there_is_named(hermetic):
    text = refuse("storage", "sqlite:///no/optuna.db", write=True)
    assert "there is no folder no" in text
    check_tracking("sqlite:///no/mlflow.db", write=True)  # it is made, with its folder
    assert list(hermetic.iterdir()) == []


@pytest.mark.skipif(os.name == "nt", reason="POSIX permissions")
@pytest.mark.skipif(hasattr(os, "geteuid") and os.geteuid() == 0, reason="root may write everywhere")
@pytest.mark.parametrize("kind", STORES)
def test_a_folder_that_cannot_be_written_to_is_named(hermetic, kind):
    hermetic.chmod(0o500)
    try:
        assert "the folder . cannot be written to" in refuse(kind, "sqlite:///it.db", write=True)
    finally:
        hermetic.chmod(0o700)


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("postgresql+nosuchdriver://me:hunter22@127.0.0.1/base", "cannot be opened"),
        ("oracle+oracledb://me:hunter22@127.0.0.1/base", "pip install oracledb"),
        ("mysql://me:hunter22@127.0.0.1/base", "pip install pymysql"),
    ],
)
def test_a_driver_that_is_not_installed_is_named(url, why):
    with pytest.raises(SettingsError) as error:
        check_storage(url, write=True)
    assert why in str(error.value)
    assert "hunter22" not in str(error.value)


def test_nothing_is_made_where_one_of_the_two_is_refused(hermetic):
    no_database(hermetic / "text.db")
    for addresses in (("sqlite:///text.db", "sqlite:///mlflow.db"), ("sqlite:///optuna.db", "sqlite:///text.db")):
        with pytest.raises(SettingsError, match=r"text\.db"):
            check_stores(*addresses)
    with pytest.raises(SettingsError, match="both are the database"):
        check_stores("sqlite:///all.db", "sqlite:///./all.db")
    assert [path.name for path in hermetic.iterdir()] == ["text.db"]


def test_a_server_that_does_not_answer_in_time_is_said(monkeypatch):
    pytest.importorskip("psycopg", reason="psycopg is not installed (extra `postgres`)")
    monkeypatch.setattr(database_check, "ANSWER_S", 0.2)
    with contextlib.closing(socket.create_server(("127.0.0.1", 0))) as silent:
        address = f"postgresql+psycopg://me:hunter22@127.0.0.1:{silent.getsockname()[1]}/base"
        with pytest.raises(SettingsError, match=r"does not answer within 0 s\. Start it, or set POSEBENCH_ST") as told:
            contents(LEDGER, address)
    assert "hunter22" not in str(told.value)
    assert isinstance(told.value.__cause__, NoAnswerError)


def test_what_takes_too_long_is_left_alone():
    never = threading.Event()
    with pytest.raises(NoAnswerError):
        call_within(0.05, never.wait)
    never.set()
    assert call_within(60, lambda: 3) == 3
    with pytest.raises(ZeroDivisionError):
        call_within(60, lambda: 1 // 0)


def test_optuna_s_and_mlflow_s_own_databases_are_of_their_versions(hermetic, new_store):
    optuna.create_study(storage="sqlite:///own.db", study_name="own")
    check_storage("sqlite:///own.db", write=True)
    check_tracking(new_store(), write=True)
