"""The ledger looked at from outside, while studies run: nothing is written, locked or made."""

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
from bench.storage.sqlite_files import MakeUri, looked_at, sqlite_file
from bench.trials.status import Status

_Found = TypeVar("_Found")

WAITING, RUNNING, LOST = "waiting", "running", "lost"
"""States of an entry that has not ended; lost: its worker is dead, and the next one settles it."""
BUSY_TIMEOUT_S = 60
"""How long to wait for the moment in which a writer closes or opens the file."""


@dataclass(frozen=True)
class Entry:
    """A trial as one who only looks sees it."""

    trial_id: str
    phase: str
    optimizer: str
    seed: int
    steps: int | None
    """None where its budget is in seconds."""
    seconds: float | None
    """Its budget in seconds of training."""
    state: str
    """`waiting`, `running`, `lost`, or the status with which it ended."""
    since: float | None
    """When its worker took it (seconds since the epoch)."""
    host: str
    pid: int
    """Its worker; 0 where there is none."""


@dataclass(frozen=True)
class Look:
    """A study as one who only looks sees it."""

    identity: dict[str, Any]
    entries: list[Entry]
    active: bool
    """Whether a living process works on it."""
    workers: int
    """Trials that can run at once in those processes."""
    last_active: float | None
    """Seconds since the epoch; None: nothing has happened yet."""


def look(url: str) -> dict[str, Look]:
    """Every study of a storage by name, without writing or making anything; empty where there is no storage yet.

    SettingsError if there is one that cannot be read.
    """
    return _read(url, lambda storage: dict(_looks(storage)), {})


def identities(url: str) -> dict[str, dict[str, Any] | None]:
    """The identity of each study of a storage, by name, looked at as by `look`; None: posebench did not make it."""

    def read(storage: RDBStorage) -> dict[str, dict[str, Any] | None]:
        return {study.study_name: study.user_attrs.get(STUDY) for study in storage.get_all_studies()}

    return _read(url, read, {})


def foreign_studies(url: str) -> set[str]:
    """The names of a storage's studies that posebench did not make."""
    return {name for name, identity in identities(url).items() if identity is None}


def _read(url: str, read: Callable[[RDBStorage], _Found], nothing: _Found) -> _Found:
    """What ``read`` finds in a storage; ``nothing`` where there is no storage yet."""
    check_database(LEDGER, url, write=False)
    try:
        return looked_at(sqlite_file(url), lambda make_uri: _read_by(url, make_uri, read, nothing))
    except (sqlalchemy.exc.SQLAlchemyError, CommandError, ImportError, RuntimeError) as error:
        LEDGER.refuse(url, f"cannot be read ({getattr(error, 'orig', None) or error}).", cause=error)


def _read_by(url: str, make_uri: MakeUri, read: Callable[[RDBStorage], _Found], nothing: _Found) -> _Found:
    storage = _open_to_look(url, make_uri)
    if storage is None:
        return nothing
    try:
        return read(storage)
    finally:
        storage.engine.dispose()


def _open_to_look(url: str, make_uri: MakeUri) -> RDBStorage | None:
    file = sqlite_file(url)
    arguments: dict[str, Any] = {}
    if file is not None:
        if not file.is_file():
            return None
        # A connection for each look: one that stays open would keep the writer from clearing up after itself.
        arguments = {
            "creator": lambda: sqlite3.connect(make_uri(), uri=True, timeout=BUSY_TIMEOUT_S),
            "poolclass": sqlalchemy.pool.NullPool,
        }
        url = "sqlite://"
    engine = sqlalchemy.create_engine(url, **arguments)
    try:
        # Optuna sets up what is not there; where it is being set up at this moment, there is no study yet.
        with engine.connect() as connection:
            if not sqlalchemy.inspect(connection).has_table("alembic_version"):
                return None
            if connection.exec_driver_sql("SELECT count(*) FROM alembic_version").scalar() == 0:
                return None
    finally:
        engine.dispose()
    return RDBStorage(url, engine_kwargs=arguments, skip_compatibility_check=True, skip_table_creation=True)


def _looks(storage: RDBStorage) -> Iterator[tuple[str, Look]]:
    for study in storage.get_all_studies():
        identity = study.user_attrs.get(STUDY)
        if identity is None:
            continue  # somebody else's
        trials = storage.get_all_trials(study._study_id, deepcopy=False)
        trials = [t for t in trials if TRIAL_ID in t.user_attrs and t.user_attrs.get(STATUS) != DUPLICATE]
        entries = [_as_entry(trial) for trial in trials]
        owners = [value for key, value in study.user_attrs.items() if key.startswith(SESSION) and value is not None]
        at_work = {entry.host for entry in entries if entry.state == RUNNING}
        sessions = [each for each in owners if _session_lives(each, at_work)]
        times = [each["since"] for each in owners] + [time for trial in trials for time in _times(trial)]
        yield (
            study.study_name,
            Look(
                identity=identity,
                entries=entries,
                active=bool(sessions) or bool(at_work),
                workers=sum(each["workers"] for each in sessions),
                last_active=max(times, default=None),
            ),
        )


def _as_entry(trial: FrozenTrial) -> Entry:
    spec = json.loads(trial.user_attrs[SPEC])
    if trial.state == TrialState.WAITING:
        state = WAITING
    elif trial.state == TrialState.RUNNING:
        state = LOST if is_stale(trial) else RUNNING
    else:
        state = trial.user_attrs.get(STATUS, str(Status.FAILED))
    owner = trial.user_attrs.get(OWNER) or {"host": "", "pid": 0}
    train = spec.get("train", {})  # a place of a search has none before it is chosen what is tried there
    return Entry(
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
    """When something happened to a trial that has been taken."""
    if trial.state == TrialState.WAITING:
        return []
    stamps = [stamp.timestamp() for stamp in (trial.datetime_start, trial.datetime_complete) if stamp]
    return [*stamps, trial.user_attrs.get(HEARTBEAT) or 0.0]


def _session_lives(owner: dict[str, Any], at_work: set[str]) -> bool:
    """Whether a process that said it works on a study still does; of another host, by its workers' trials."""
    if owner["host"] == socket.gethostname():
        return lives(owner["pid"], owner["started"])
    return owner["host"] in at_work
