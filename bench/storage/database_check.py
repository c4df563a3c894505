"""Check that a database can hold a study's ledger or records, before anything is written into it.

Optuna and MLflow create their tables in any database, and MLflow upgrades a database of an earlier version without
asking. Databases of other programs or versions are therefore refused here, and left unchanged.
"""

import contextlib
import functools
import importlib.util
import os
import shlex
import sqlite3
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, TypeVar

import sqlalchemy
from alembic.script import ScriptDirectory

from bench.storage import mlflow_environment  # noqa: F401 (the scripts of its versions import MLflow)
from bench.storage.addresses import LEDGER, RECORDS, Store, check_form
from bench.storage.sqlite_files import MakeUri, read_undisturbed, sqlite_file

_T = TypeVar("_T")

ANSWER_S = 7.0
"""Seconds that a database may take to answer before an error says that it does not."""
VERSION_TABLE = "alembic_version"
"""Table in which both programs store the version of their tables."""
NAMED_TABLES = 4
"""Maximum number of another program's tables that an error names."""
DRIVERS = {
    "postgresql": ('"psycopg[binary]"', "postgresql+psycopg"),
    "mysql": ("pymysql", "mysql+pymysql"),
    "mariadb": ("pymysql", "mariadb+pymysql"),
    "mssql": ("pyodbc", "mssql+pyodbc"),
    "oracle": ("oracledb", "oracle+oracledb"),
}
"""Driver for each kind of database: its package for pip, and the scheme of addresses that use it."""


@dataclass(frozen=True)
class _Tables:
    """Tables by which a database of one of the two programs is recognised."""

    marks: frozenset[str]
    """Tables that identify a database of this program."""
    made_first: frozenset[str]
    """Tables that may exist before the version does, while another process is creating them."""
    migrations: str
    """Folder of the program's schema versions, beginning with its package."""
    upgrade: str
    """Command that upgrades a database to the installed version; the address is appended."""


_OPTUNA = frozenset({"studies", "trials", "version_info", "study_directions"}) | {
    f"{owner}_{suffix}"
    for owner in ("study", "trial")
    for suffix in ("user_attributes", "system_attributes", "params", "values", "intermediate_values", "heartbeats")
}
_TABLES_OF = {
    LEDGER.program: _Tables(
        frozenset({"studies", "trials", "version_info"}),
        _OPTUNA,
        "optuna/storages/_rdb/alembic",
        "optuna storage upgrade --storage",
    ),
    RECORDS.program: _Tables(
        frozenset({"experiments"}), frozenset(), "mlflow/store/db_migrations", "mlflow db upgrade"
    ),
}


class Contents(NamedTuple):
    """Table names of a database, and the version stored in `VERSION_TABLE`; None if there is none."""

    tables: frozenset[str]
    version: str | None


class NoAnswerError(Exception):
    """A call has not ended within its time limit."""


def call_within(seconds: float, act: Callable[[], _T]) -> _T:
    """Return or raise what ``act`` does; NoAnswerError if it takes longer than ``seconds``.

    The call then continues in a daemon thread, which does not keep the process from ending.
    """
    results: list[_T] = []
    errors: list[BaseException] = []

    def run() -> None:
        try:
            results.append(act())
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=run, daemon=True, name="answer")
    thread.start()
    thread.join(seconds)
    if errors:
        raise errors[0]
    if not results:
        raise NoAnswerError
    return results[0]


def check_database(store: Store, address: str, *, write: bool) -> None:
    """Raise SettingsError, which says how to fix it, if the database at ``address`` cannot be this store; changes
    nothing.

    ``write``: the store will be written to, so it must be writable; a missing SQLite file is accepted either way.
    """
    check_form(store, address)
    file = sqlite_file(address)
    if file is not None:
        _check_file(store, address, file, write=write)
        if not file.exists():
            return
    database = contents(store, address)
    why = _refusal(store, address, database, is_file=file is not None)
    if why:
        store.refuse(address, why)


def contents(store: Store, address: str) -> Contents:
    """Read the tables and version of an existing database; SettingsError if it is unreadable or does not answer."""
    file = sqlite_file(address)
    try:
        if file is not None:
            return read_undisturbed(file, _contents_of_file)
        return call_within(ANSWER_S, lambda: _contents_of_server(address))
    except NoAnswerError as error:
        store.refuse(
            address,
            f"does not answer within {ANSWER_S:.0f} s. Start it, or set {store.variable} to another address.",
            cause=error,
        )
    except ImportError as error:
        store.refuse(
            address, f"cannot be opened (its driver is not installed: {error}). {_driver(address)}", cause=error
        )
    except (sqlite3.Error, sqlalchemy.exc.SQLAlchemyError, OSError, ValueError, TypeError) as error:
        why = str(getattr(error, "orig", None) or error).strip().partition("\n")[0]
        word = "read" if file is not None else "opened"
        remedy = f"Set {store.variable} to {'another file' if file is not None else 'an address that can be reached'}"
        store.refuse(address, f"cannot be {word} ({why}). {remedy}.", cause=error)


def _contents_of_file(make_uri: MakeUri) -> Contents:
    with contextlib.closing(sqlite3.connect(make_uri(), uri=True, timeout=ANSWER_S)) as connection:
        tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        versions = connection.execute(f"SELECT * FROM {VERSION_TABLE}").fetchone() if VERSION_TABLE in tables else None
    return Contents(frozenset(name for name in tables if not name.startswith("sqlite_")), versions and str(versions[0]))


def _contents_of_server(address: str) -> Contents:
    engine = sqlalchemy.create_engine(address, poolclass=sqlalchemy.pool.NullPool)
    try:
        with engine.connect() as connection:
            tables = frozenset(sqlalchemy.inspect(connection).get_table_names())
            query = f"SELECT * FROM {VERSION_TABLE}"
            row = connection.exec_driver_sql(query).first() if VERSION_TABLE in tables else None
    finally:
        engine.dispose()
    return Contents(tables, None if row is None else str(row[0]))


def _driver(address: str) -> str:
    """Return a sentence on how to install the driver for an address."""
    kind = address.partition(":")[0].partition("+")[0].lower()
    if kind not in DRIVERS:
        return "Install the driver that SQLAlchemy's documentation names for it."
    package, scheme = DRIVERS[kind]
    return f"Install one (pip install {package}) and begin the address with {scheme}://."


def _check_file(store: Store, address: str, file: Path, *, write: bool) -> None:
    """Refuse a path that is not a file or, with ``write``, cannot be written."""
    another = f"set {store.variable} to another file"
    try:
        if file.is_dir():
            store.refuse(address, f"cannot be opened (it is a folder). Name a file in it, or {another}.")
        if file.exists() and not file.is_file():
            store.refuse(address, f"cannot be opened (it is no regular file): {another}.")
    except OSError as error:
        store.refuse(address, f"cannot be opened ({error.strerror}): {another}.", cause=error)
    if not write:
        return
    folder = file.parent
    if store is RECORDS:
        folder = next(
            (each for each in (folder, *folder.parents) if each.exists()), folder
        )  # missing folders will be created
    if not folder.is_dir():
        store.refuse(address, f"cannot be opened (there is no folder {folder}). Make it, or {another}.")
    if not os.access(folder, os.W_OK | os.X_OK):
        store.refuse(address, f"cannot be opened (the folder {folder} cannot be written to): {another}.")
    if file.exists() and not os.access(file, os.R_OK | os.W_OK):
        store.refuse(address, f"cannot be opened (you may not read and write the file): {another}.")


def _refusal(store: Store, address: str, database: Contents, *, is_file: bool) -> str:
    """Return why a database cannot be used because of its contents, and how to fix it; empty if it can be used."""
    own_tables = _TABLES_OF[store.program]
    other = next(name for name in _TABLES_OF if name != store.program)
    alternative = "another file" if is_file else "another database"
    remedy = f"Set {store.variable} to {alternative}"
    if own_tables.marks <= database.tables:
        head, known_versions = _versions(own_tables.migrations)
        if database.version == head or (database.version is None and not is_file):
            return ""
        if database.version is None:
            being_created = database.tables <= own_tables.made_first | {VERSION_TABLE}
            return (
                ""
                if being_created
                else f"is an incomplete database of {store.program}: its tables have no version. {remedy}."
            )
        if database.version in known_versions:
            return (
                f"was made by an earlier version of {store.program} (tables of version {database.version}, not "
                f"{head}). Keep a copy and run `{own_tables.upgrade} {shlex.quote(address)}`, or set {store.variable} "
                f"to {alternative}."
            )
        if not _TABLES_OF[other].marks <= database.tables:
            return (
                f"was made by a later version of {store.program} (tables of version {database.version}, not "
                f"{head}), or by another program. Update it (pip install --upgrade {store.program.lower()}), or set "
                f"{store.variable} to {alternative}."
            )
    if _TABLES_OF[other].marks <= database.tables:
        return (
            f"is {other}'s database. {store.program} stores its version in a table of the same name, and needs a "
            f"database of its own. {remedy}."
        )
    foreign = database.tables - own_tables.made_first - {VERSION_TABLE}
    if not database.tables or (not foreign and database.version is None):
        return ""
    if is_file or VERSION_TABLE in database.tables:
        table_names = sorted(foreign or database.tables)
        more = f" and {len(table_names) - NAMED_TABLES} more" if len(table_names) > NAMED_TABLES else ""
        return f"is another program's database (tables: {', '.join(table_names[:NAMED_TABLES])}{more}). {remedy}."
    return ""


@functools.cache
def _versions(migrations: str) -> tuple[str, frozenset[str]]:
    """Return the schema version that the installed program needs, and all versions that it knows."""
    package, _, folder = migrations.partition("/")
    module_spec = importlib.util.find_spec(package)
    assert module_spec is not None
    assert module_spec.submodule_search_locations is not None
    scripts = ScriptDirectory(str(Path(module_spec.submodule_search_locations[0], folder)))
    return scripts.get_heads()[0], frozenset(each.revision for each in scripts.walk_revisions())
