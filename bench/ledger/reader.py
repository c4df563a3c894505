"""Read the ledger while studies run, without writing, locking or creating anything."""

import json
import socket
import sqlite3
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

import sqlalchemy
from alembic.util.exc import CommandError
from optuna.storages import RDBStorage
from optuna.trial import TrialState

from bench.ledger import queries
from bench.ledger.format import (
    AWAITING,
    DUPLICATE,
    HEARTBEAT,
    OWNER,
    RESULTS,
    RUNNER,
    SESSION,
    SPEC,
    STATUS,
    STUDY,
    TRIAL_ID,
    is_stale,
    lives,
)
from bench.ledger.queries import Row
from bench.storage.addresses import LEDGER
from bench.storage.database_check import check_database
from bench.storage.sqlite_files import MakeUri, read_undisturbed, sqlite_file
from bench.trials.status import Status

_Result = TypeVar("_Result")

WAITING, RUNNING, LOST = "waiting", "running", "lost"
"""States of a trial that has not ended; LOST: its worker is dead, and the next worker closes or repeats the trial."""
BUSY_TIMEOUT_S = 60
"""Seconds to wait while a writer opens or closes the SQLite file."""


@dataclass(frozen=True)
class LedgerEntry:
    """Read-only view of a trial in the ledger."""

    trial_id: str
    phase: str
    optimizer: str
    seed: int
    steps: int | None
    """Budget in steps; None if the budget is in seconds."""
    seconds: float | None
    """Budget in seconds of training; None if the budget is in steps."""
    state: str
    """`waiting`, `running`, `lost`, or the status with which it ended."""
    since: float | None
    """Time at which its worker claimed it (took it to run), in seconds since the epoch."""
    host: str
    pid: int
    """Process id of its worker; 0 if there is none."""
    runner: tuple[str, int] | None = None
    """Host and process that train it, if these are not its worker's; None otherwise."""
    awaiting_since: float | None = None
    """Time since which its record waits for MLflow's server, in seconds since the epoch; None if it does not."""
    results: Mapping[str, float] | None = None
    """What displays show of an ended trial; None if an earlier version closed it."""


@dataclass(frozen=True)
class LedgerView:
    """Read-only view of a study in the ledger."""

    identity: dict[str, Any]
    entries: list[LedgerEntry]
    active: bool
    """True if a living process works on it."""
    workers: int
    """Trials that can run at once in those processes."""
    last_active: float | None
    """Last activity in seconds since the epoch; None if there was none."""


def read_studies(url: str) -> dict[str, LedgerView]:
    """Return every posebench study of a storage by name, read-only; empty if there is no storage yet.

    Raises SettingsError if the storage exists but cannot be read.
    """

    def read(storage: RDBStorage) -> dict[str, LedgerView]:
        views = {study.study_name: _view(storage, study._study_id) for study in storage.get_all_studies()}
        return {name: view for name, view in views.items() if view is not None}

    return _read(url, read, {})


def read_study(url: str, name: str) -> LedgerView | None:
    """Return one study of a storage, read-only; None if posebench created none of that name there.

    Raises SettingsError if the storage exists but cannot be read.
    """

    def read(storage: RDBStorage) -> LedgerView | None:
        try:
            study = storage.get_study_id_from_name(name)
        except KeyError:
            return None
        return _view(storage, study)

    return _read(url, read, None)


def read_identities(url: str) -> dict[str, dict[str, Any] | None]:
    """Return the identity of each study of a storage by name, read-only; None if posebench did not create the study."""

    def read(storage: RDBStorage) -> dict[str, dict[str, Any] | None]:
        return {study.study_name: study.user_attrs.get(STUDY) for study in storage.get_all_studies()}

    return _read(url, read, {})


def foreign_studies(url: str) -> set[str]:
    """Return the names of a storage's studies that posebench did not create."""
    return {name for name, identity in read_identities(url).items() if identity is None}


def _read(url: str, read: Callable[[RDBStorage], _Result], default: _Result) -> _Result:
    """Return the result of ``read`` on a storage, or ``default`` if there is no storage yet."""
    check_database(LEDGER, url, write=False)
    try:
        return read_undisturbed(sqlite_file(url), lambda make_uri: _read_by(url, make_uri, read, default))
    except (sqlalchemy.exc.SQLAlchemyError, CommandError, ImportError, RuntimeError) as error:
        LEDGER.refuse(url, f"cannot be read ({getattr(error, 'orig', None) or error}).", cause=error)


def _read_by(url: str, make_uri: MakeUri, read: Callable[[RDBStorage], _Result], default: _Result) -> _Result:
    storage = _open_read_only(url, make_uri)
    if storage is None:
        return default
    try:
        return read(storage)
    finally:
        storage.engine.dispose()


def _open_read_only(url: str, make_uri: MakeUri) -> RDBStorage | None:
    file = sqlite_file(url)
    arguments: dict[str, Any] = {}
    if file is not None:
        if not file.is_file():
            return None
        # A new connection for each read: one kept open would prevent the writer from removing its temporary files.
        arguments = {
            "creator": lambda: sqlite3.connect(make_uri(), uri=True, timeout=BUSY_TIMEOUT_S),
            "poolclass": sqlalchemy.pool.NullPool,
        }
        url = "sqlite://"
    engine = sqlalchemy.create_engine(url, **arguments)
    try:
        # Optuna would create missing tables. If they are being created at this moment, there is no study yet.
        with engine.connect() as connection:
            if not sqlalchemy.inspect(connection).has_table("alembic_version"):
                return None
            if connection.exec_driver_sql("SELECT count(*) FROM alembic_version").scalar() == 0:
                return None
    finally:
        engine.dispose()
    return RDBStorage(url, engine_kwargs=arguments, skip_compatibility_check=True, skip_table_creation=True)


def _view(storage: RDBStorage, study: int) -> LedgerView | None:
    """Return the view of a study; None if posebench did not create it."""
    of_study = storage.get_study_user_attrs(study)
    identity = of_study.get(STUDY)
    if identity is None:
        return None
    with storage.engine.connect() as connection:
        rows = queries.rows(connection, study, names=(SPEC, STATUS, HEARTBEAT, RESULTS))
    trials = [row for row in rows if row.attributes.get(STATUS) != DUPLICATE]
    entries = [_as_entry(row) for row in trials]
    owners = [value for key, value in of_study.items() if key.startswith(SESSION) and value is not None]
    busy_hosts = {entry.host for entry in entries if entry.state == RUNNING}
    sessions = [each for each in owners if _session_lives(each, busy_hosts)]
    times = [each["since"] for each in owners] + [time for row in trials for time in _times(row)]
    return LedgerView(
        identity=identity,
        entries=entries,
        active=bool(sessions) or bool(busy_hosts),
        workers=sum(each["workers"] for each in sessions),
        last_active=max(times, default=None),
    )


def _as_entry(row: Row) -> LedgerEntry:
    spec = json.loads(row.attributes[SPEC])
    if row.state == TrialState.WAITING:
        state = WAITING
    elif row.state == TrialState.RUNNING:
        state = LOST if is_stale(row.attributes, row.started) else RUNNING
    else:
        state = row.attributes.get(STATUS, str(Status.FAILED))
    owner: Mapping[str, Any] = row.attributes.get(OWNER) or {"host": "", "pid": 0}
    train = spec.get("train", {})  # a slot has none until its trial is chosen
    awaiting = row.attributes.get(AWAITING) if state == RUNNING else None
    runner = row.attributes.get(RUNNER)
    return LedgerEntry(
        trial_id=row.attributes[TRIAL_ID],
        phase=spec["phase"],
        optimizer=spec.get("optimizer", ""),
        seed=train.get("seed", spec["index"]),
        steps=train.get("steps"),
        seconds=train.get("seconds"),
        state=state,
        since=row.started,
        host=owner["host"],
        pid=owner["pid"],
        runner=None if runner is None else (runner["host"], runner["pid"]),
        awaiting_since=None if awaiting is None else awaiting["since"],
        results=row.attributes.get(RESULTS),
    )


def _times(row: Row) -> list[float]:
    """Return the times of a claimed trial's start, end and last heartbeat, in seconds since the epoch."""
    if row.state == TrialState.WAITING:
        return []
    return [*(at for at in (row.started, row.ended) if at is not None), row.attributes.get(HEARTBEAT) or 0.0]


def _session_lives(owner: dict[str, Any], busy_hosts: set[str]) -> bool:
    """Return True if a registered process still works on a study; a process on another host does if that host runs
    trials of it."""
    if owner["host"] == socket.gethostname():
        return lives(owner["pid"], owner["started"])
    return owner["host"] in busy_hosts
