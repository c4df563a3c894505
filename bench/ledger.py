"""The plan's state in an Optuna storage: enqueued once, claimed by one worker, finished, failed, retried.

On SQLite Optuna's own claim of a waiting trial is not atomic (it reads, then writes, in a transaction that takes no
lock before the write). Every transaction here begins with BEGIN IMMEDIATE, which takes the lock first. On PostgreSQL
Optuna's SELECT ... FOR UPDATE does that.
"""

import logging
import socket
import time
from collections import Counter, deque
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import optuna
import psutil
import sqlalchemy
from optuna.storages import RDBStorage
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState, create_trial

from bench.record import Status
from bench.spec import TrialSpec, refuse_difference
from posemodel.errors import SettingsError

BUSY_TIMEOUT_S = 60
"""How long a worker waits for another one's transaction."""
HEARTBEAT_S = 10
GRACE_S = 60
"""A trial whose worker has not been heard of for so long is given to another one."""
MAX_ATTEMPTS = 3
"""A trial that ended three workers is recorded as failed."""

_SPEC, _ID, _OWNER, _HEARTBEAT, _ATTEMPTS, _STATUS, _STUDY = (
    "spec",
    "trial_id",
    "owner",
    "heartbeat",
    "attempts",
    "status",
    "posebench:identity",
)
_DUPLICATE = "duplicate"

optuna.logging.set_verbosity(optuna.logging.WARNING)
logging.getLogger("alembic").setLevel(logging.WARNING)


@dataclass(frozen=True)
class Claim:
    """A trial that a worker has taken (or that is looked at): its key in the storage and its specification."""

    key: int
    spec: TrialSpec
    attempts: int


def open_storage(url: str) -> RDBStorage:
    """Open (or make) the Optuna storage at an SQLAlchemy URL, with atomic transactions on SQLite."""
    sqlite = url.startswith("sqlite")
    arguments: dict[str, Any] = {"connect_args": {"timeout": BUSY_TIMEOUT_S}} if sqlite else {}
    for attempt in range(5):
        try:
            storage = RDBStorage(url, engine_kwargs=arguments)
            break
        except (sqlalchemy.exc.OperationalError, sqlalchemy.exc.IntegrityError) as error:
            # Two processes that open a new file at once both try to create its tables.
            if attempt == 4:
                raise SettingsError(f"storage {url}: cannot be opened ({error.orig}).") from error
            time.sleep(0.2 * (attempt + 1))
        except (ImportError, sqlalchemy.exc.ArgumentError) as error:
            raise SettingsError(f"storage {url}: cannot be opened ({error}).") from error
    if sqlite:
        _lock_transactions(storage.engine)
    return storage


def _lock_transactions(engine: sqlalchemy.Engine) -> None:
    @sqlalchemy.event.listens_for(engine, "connect")
    def _on_connect(connection: Any, _record: Any) -> None:
        connection.isolation_level = None  # the driver must not begin transactions of its own
        cursor = connection.cursor()
        cursor.execute("PRAGMA journal_mode=WAL")
        cursor.close()

    @sqlalchemy.event.listens_for(engine, "begin")
    def _on_begin(connection: sqlalchemy.Connection) -> None:
        connection.exec_driver_sql("BEGIN IMMEDIATE")

    engine.dispose()  # connections made before the listeners were there


def _owner() -> dict[str, Any]:
    """Who holds a trial: enough to tell, on the same host, whether that process still lives."""
    process = psutil.Process()
    return {"host": socket.gethostname(), "pid": process.pid, "started": process.create_time()}


class Ledger:
    """One study's trials in the storage."""

    def __init__(self, url: str, study_name: str, identity: dict[str, Any]) -> None:
        """Open the study or create it; SettingsError shows the difference if the name stands for another study."""
        self.storage = open_storage(url)
        self.study_name = study_name
        self._waiting: deque[tuple[int, bool]] = deque()
        try:
            self._study = self.storage.create_new_study([StudyDirection.MAXIMIZE], study_name)
        except optuna.exceptions.DuplicatedStudyError:
            self._study = self.storage.get_study_id_from_name(study_name)
        known = self.storage.get_study_user_attrs(self._study).get(_STUDY)
        if known is None:
            self.storage.set_study_user_attr(self._study, _STUDY, identity)
        else:
            refuse_difference(study_name, known, identity)

    def enqueue(self, specs: Iterable[TrialSpec]) -> int:
        """Add the trials that are not there yet; returns how many were added. Safe to repeat after a kill."""
        there = {trial.user_attrs[_ID] for trial in self._trials()}
        added = 0
        for spec in specs:
            if spec.id in there:
                continue
            attributes = {_ID: spec.id, _SPEC: spec.model_dump_json(), _ATTEMPTS: 0}
            trial = create_trial(state=TrialState.WAITING, user_attrs=attributes)
            self.storage.create_new_trial(self._study, trial)
            added += 1
        return added

    def claim(self) -> Claim | None:
        """Take the first waiting trial, or None. No two workers get the same one.

        Waiting trials are remembered from one look at the whole study to the next: looking costs more than claiming.
        """
        if not self._waiting:
            self._look()
        while self._waiting:
            key, is_copy = self._waiting.popleft()
            try:
                taken = self.storage.set_trial_state_values(key, TrialState.RUNNING)
            except optuna.exceptions.UpdateFinishedTrialError:
                taken = False  # another worker took it and has finished it since
            if taken and is_copy:
                self.storage.set_trial_user_attr(key, _STATUS, _DUPLICATE)
                self.storage.set_trial_state_values(key, TrialState.FAIL)
            elif taken:
                trial = self.storage.get_trial(key)
                attempts = trial.user_attrs[_ATTEMPTS] + 1
                self.storage.set_trial_user_attr(key, _OWNER, _owner())
                self.storage.set_trial_user_attr(key, _ATTEMPTS, attempts)
                self.beat(key)
                return _as_claim(trial, attempts)
            if not self._waiting:
                self._look()
        return None

    def _look(self) -> None:
        """Remember what waits: (key, whether it is a later copy of a trial, enqueued by two processes at once)."""
        first: dict[str, int] = {}
        for trial in self._trials():
            earliest = first.setdefault(trial.user_attrs[_ID], trial.number)
            if trial.state == TrialState.WAITING:
                self._waiting.append((trial._trial_id, earliest != trial.number))

    def beat(self, key: int) -> None:
        """Say that the worker of a running trial lives."""
        self.storage.set_trial_user_attr(key, _HEARTBEAT, time.time())

    def owned(self, key: int) -> bool:
        """Whether this process still holds a trial (it may have been taken for dead)."""
        trial = self.storage.get_trial(key)
        return trial.state == TrialState.RUNNING and trial.user_attrs.get(_OWNER) == _owner()

    def finish(self, key: int, status: Status, score: float | None) -> None:
        """Close a trial. The score is a copy for Optuna's dashboards; no table of ours reads it."""
        try:
            self.storage.set_trial_user_attr(key, _STATUS, str(status))
            if status == Status.COMPLETE and score is not None:
                self.storage.set_trial_state_values(key, TrialState.COMPLETE, [score])
            else:
                self.storage.set_trial_state_values(key, TrialState.FAIL)
        except optuna.exceptions.UpdateFinishedTrialError:
            return  # two workers that sweep at once close a dead one's trial twice

    def put_back(self, key: int, *, attempts: int) -> None:
        """Give a claimed trial back: it waits again and forgets its worker, with whom the next could be confused.

        ``attempts``: how many workers it has ended so far; one that gave it back on purpose does not count.
        """
        try:
            self.storage.set_trial_user_attr(key, _ATTEMPTS, attempts)
            self.storage.set_trial_user_attr(key, _OWNER, None)
            self.storage.set_trial_user_attr(key, _HEARTBEAT, None)
            self.storage.set_trial_state_values(key, TrialState.WAITING)
            self._waiting.clear()  # the next claim looks again
        except optuna.exceptions.UpdateFinishedTrialError:
            return  # another worker has run it since

    def put_back_stale(self, key: int) -> None:
        """Give a dead worker's trial back, unless another sweep did so before and it is somebody's again."""
        trial = self.storage.get_trial(key)
        if trial.state == TrialState.RUNNING and _is_stale(trial):
            self.put_back(key, attempts=trial.user_attrs[_ATTEMPTS])

    def stale(self) -> list[Claim]:
        """Running trials whose worker is dead or has been silent for too long."""
        return [
            _as_claim(trial, trial.user_attrs[_ATTEMPTS])
            for trial in self._trials()
            if trial.state == TrialState.RUNNING and _is_stale(trial)
        ]

    def counts(self) -> Counter[str]:
        """Trials by state: `waiting`, `running`, and each final status."""
        counts: Counter[str] = Counter()
        for trial in self._trials():
            if trial.state == TrialState.WAITING:
                counts["waiting"] += 1
            elif trial.state == TrialState.RUNNING:
                counts["running"] += 1
            elif trial.user_attrs.get(_STATUS) != _DUPLICATE:
                counts[trial.user_attrs.get(_STATUS, str(Status.FAILED))] += 1
        return counts

    def _trials(self) -> list[FrozenTrial]:
        return self.storage.get_all_trials(self._study, deepcopy=False)


def _as_claim(trial: FrozenTrial, attempts: int) -> Claim:
    return Claim(trial._trial_id, TrialSpec.model_validate_json(trial.user_attrs[_SPEC]), attempts)


def _is_stale(trial: FrozenTrial) -> bool:
    owner = trial.user_attrs.get(_OWNER)
    if owner is not None and owner["host"] == socket.gethostname():
        return not _lives(owner["pid"], owner["started"])
    heard = trial.user_attrs.get(_HEARTBEAT) or (trial.datetime_start.timestamp() if trial.datetime_start else 0.0)
    return time.time() - heard > GRACE_S


def _lives(pid: int, started: float) -> bool:
    try:
        return abs(psutil.Process(pid).create_time() - started) < 1 and psutil.Process(pid).status() != "zombie"
    except psutil.NoSuchProcess:
        return False
