"""Whether a database can be used for a study's ledger or records: looked at before anything is written into it.

Optuna and MLflow make their tables wherever they are pointed at, and MLflow takes a database of an earlier version to
the present one unasked. What a person has made by another program or version is refused here and stays as it is.
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
from bench.storage.sqlite_files import MakeUri, looked_at, sqlite_file

_T = TypeVar("_T")

ANSWER_S = 7.0
"""How long a database or a server may take to answer before it is said that it does not."""
VERSION_TABLE = "alembic_version"
"""Of both programs: what version their tables are of."""
NAMED = 4
"""Tables of another program that an error names."""
DRIVERS = {
    "postgresql": ('"psycopg[binary]"', "postgresql+psycopg"),
    "mysql": ("pymysql", "mysql+pymysql"),
    "mariadb": ("pymysql", "mariadb+pymysql"),
    "mssql": ("pyodbc", "mssql+pyodbc"),
    "oracle": ("oracledb", "oracle+oracledb"),
}
"""By kind of database: the package of a driver, and what an address begins with that asks for it."""


@dataclass(frozen=True)
class _Tables:
    """How one of the two programs is known by its tables."""

    marks: frozenset[str]
    """Tables that tell a database of this program."""
    made_first: frozenset[str]
    """Tables that may be there before the version is: another process is making them at this moment."""
    migrations: str
    """Its package's folder of versions."""
    upgrade: str
    """The command that takes a database to the installed version."""


_OPTUNA = frozenset({"studies", "trials", "version_info", "study_directions"}) | {
    f"{owner}_{what}"
    for owner in ("study", "trial")
    for what in ("user_attributes", "system_attributes", "params", "values", "intermediate_values", "heartbeats")
}
_OF = {
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
    """What stands in a database: its tables, and the version that one of the two programs has noted."""

    tables: frozenset[str]
    version: str | None


class NoAnswerError(Exception):
    """Something has not ended within its time."""


def within(seconds: float, act: Callable[[], _T]) -> _T:
    """What ``act`` returns or raises; NoAnswerError where that takes longer, whatever it waits for.

    It goes on in a thread then that keeps no process from ending.
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
    """SettingsError, with the remedy, where the database at ``address`` is none for this store; nothing is changed.

    ``write``: it is to be written to, and made if it is not there; else one that is not there is none of ours.
    """
    check_form(store, address)
    file = sqlite_file(address)
    if file is not None:
        _check_file(store, address, file, write=write)
        if not file.exists():
            return
    found = contents(store, address)
    why = _refusal(store, address, found, is_file=file is not None)
    if why:
        store.refuse(address, why)


def contents(store: Store, address: str) -> Contents:
    """What stands in an existing database; SettingsError where it cannot be read, or does not answer."""
    file = sqlite_file(address)
    try:
        if file is not None:
            return looked_at(file, _contents_of_file)
        return within(ANSWER_S, lambda: _contents_of_server(address))
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
            asked = f"SELECT * FROM {VERSION_TABLE}"
            row = connection.exec_driver_sql(asked).first() if VERSION_TABLE in tables else None
    finally:
        engine.dispose()
    return Contents(tables, None if row is None else str(row[0]))


def _driver(address: str) -> str:
    """How the driver of an address is installed."""
    kind = address.partition(":")[0].partition("+")[0].lower()
    if kind not in DRIVERS:
        return "Install the driver that SQLAlchemy's documentation names for it."
    package, scheme = DRIVERS[kind]
    return f"Install one (pip install {package}) and begin the address with {scheme}://."


def _check_file(store: Store, address: str, file: Path, *, write: bool) -> None:
    """Refuse what is no file, and what cannot be written where it is to be."""
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
        folder = next((each for each in (folder, *folder.parents) if each.exists()), folder)  # the rest is made
    if not folder.is_dir():
        store.refuse(address, f"cannot be opened (there is no folder {folder}). Make it, or {another}.")
    if not os.access(folder, os.W_OK | os.X_OK):
        store.refuse(address, f"cannot be opened (the folder {folder} cannot be written to): {another}.")
    if file.exists() and not os.access(file, os.R_OK | os.W_OK):
        store.refuse(address, f"cannot be opened (the file cannot be read and written by you): {another}.")


def _refusal(store: Store, address: str, found: Contents, *, is_file: bool) -> str:
    """Why what stands in a database forbids its use, and the remedy; empty where nothing does."""
    own = _OF[store.program]
    other = next(name for name in _OF if name != store.program)
    place = "another file" if is_file else "another database"
    named = f"Set {store.variable} to {place}"
    if own.marks <= found.tables:
        head, known = _versions(own.migrations)
        if found.version == head or (found.version is None and not is_file):
            return ""
        if found.version is None:
            made = found.tables <= own.made_first | {VERSION_TABLE}
            return "" if made else f"is no whole database of {store.program}: its tables have no version. {named}."
        if found.version in known:
            return (
                f"was made by an earlier version of {store.program} (tables of version {found.version}, not {head}). "
                f"Keep a copy and run `{own.upgrade} {shlex.quote(address)}`, or set {store.variable} to {place}."
            )
        if not _OF[other].marks <= found.tables:
            return (
                f"was made by a later version of {store.program} (tables of version {found.version}, not {head}), or "
                f"by another program. Update it (pip install --upgrade {store.program.lower()}), or set "
                f"{store.variable} to {place}."
            )
    if _OF[other].marks <= found.tables:
        return (
            f"is {other}'s database. {store.program} keeps the version of its tables in one of the same name, and "
            f"needs a database of its own. {named}."
        )
    foreign = found.tables - own.made_first - {VERSION_TABLE}
    if not found.tables or (not foreign and found.version is None):
        return ""
    if is_file or VERSION_TABLE in found.tables:
        shown = sorted(foreign or found.tables)
        more = f" and {len(shown) - NAMED} more" if len(shown) > NAMED else ""
        return f"is another program's database (tables: {', '.join(shown[:NAMED])}{more}). {named}."
    return ""


@functools.cache
def _versions(migrations: str) -> tuple[str, frozenset[str]]:
    """The version of the tables that the installed program needs, and all versions that it knows."""
    package, _, folder = migrations.partition("/")
    found = importlib.util.find_spec(package)
    assert found is not None
    assert found.submodule_search_locations is not None
    scripts = ScriptDirectory(str(Path(found.submodule_search_locations[0], folder)))
    return scripts.get_heads()[0], frozenset(each.revision for each in scripts.walk_revisions())
