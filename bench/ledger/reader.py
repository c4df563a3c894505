"""Read the ledger while studies run, without writing, locking or creating anything."""

import json
import socket
import sqlite3
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, TypeVar

import sqlalchemy
from alembic.util.exc import CommandError
from optuna.storages import RDBStorage
from optuna.trial import FrozenTrial, TrialState

from bench.ledger.format import (
    DUPLICATE,
    HEARTBEAT,
    OWNER,
    SESSION,
    SPEC,
    STATUS,
    STUDY,
    TRIAL_ID,
    is_stale,
    lives,
)
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
    return _read(url, lambda storage: dict(_looks(storage)), {})


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


def _looks(storage: RDBStorage) -> Iterator[tuple[str, LedgerView]]:
    for study in storage.get_all_studies():
        identity = study.user_attrs.get(STUDY)
        if identity is None:
            continue  # not created by posebench
        trials = storage.get_all_trials(study._study_id, deepcopy=False)
        trials = [t for t in trials if TRIAL_ID in t.user_attrs and t.user_attrs.get(STATUS) != DUPLICATE]
        entries = [_as_entry(trial) for trial in trials]
        owners = [value for key, value in study.user_attrs.items() if key.startswith(SESSION) and value is not None]
        busy_hosts = {entry.host for entry in entries if entry.state == RUNNING}
        sessions = [each for each in owners if _session_lives(each, busy_hosts)]
        times = [each["since"] for each in owners] + [time for trial in trials for time in _times(trial)]
        yield (
            study.study_name,
            LedgerView(
                identity=identity,
                entries=entries,
                active=bool(sessions) or bool(busy_hosts),
                workers=sum(each["workers"] for each in sessions),
                last_active=max(times, default=None),
            ),
        )


def _as_entry(trial: FrozenTrial) -> LedgerEntry:
    spec = json.loads(trial.user_attrs[SPEC])
    if trial.state == TrialState.WAITING:
        state = WAITING
    elif trial.state == TrialState.RUNNING:
        state = LOST if is_stale(trial) else RUNNING
    else:
        state = trial.user_attrs.get(STATUS, str(Status.FAILED))
    owner = trial.user_attrs.get(OWNER) or {"host": "", "pid": 0}
    train = spec.get("train", {})  # a slot has none until its trial is chosen
    return LedgerEntry(
        trial_id=trial.user_attrs[TRIAL_ID],
        phase=spec["phase"],
        optimizer=spec.get("optimizer", ""),
        seed=train.get("seed", spec["index"]),
        steps=train.get("steps"),
        seconds=train.get("seconds"),
        state=state,
        since=trial.datetime_start.timestamp() if trial.datetime_start else None,
        host=owner["host"],
        pid=owner["pid"],
    )


def _times(trial: FrozenTrial) -> list[float]:
    """Return the times of a claimed trial's start, end and last heartbeat, in seconds since the epoch."""
    if trial.state == TrialState.WAITING:
        return []
    stamps = [stamp.timestamp() for stamp in (trial.datetime_start, trial.datetime_complete) if stamp]
    return [*stamps, trial.user_attrs.get(HEARTBEAT) or 0.0]


def _session_lives(owner: dict[str, Any], busy_hosts: set[str]) -> bool:
    """Return True if a registered process still works on a study; a process on another host does if that host runs
    trials of it."""
    if owner["host"] == socket.gethostname():
        return lives(owner["pid"], owner["started"])
    return owner["host"] in busy_hosts
