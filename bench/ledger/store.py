"""The plan's state in an Optuna storage: enqueued once, claimed by one worker, finished, failed, retried.

On SQLite Optuna's own claim of a waiting trial is not atomic (it reads, then writes, in a transaction that takes no
lock before the write). Every transaction here begins with BEGIN IMMEDIATE, which takes the lock first. On PostgreSQL
Optuna's SELECT ... FOR UPDATE does that.
"""

import json
import logging
import time
from collections import Counter, deque
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import optuna
import sqlalchemy
from alembic.util.exc import CommandError
from optuna.storages import RDBStorage
from optuna.trial import FrozenTrial, TrialState, create_trial

from bench.ledger.foreign import replace_identity, study_in
from bench.ledger.format import (
    ATTEMPTS,
    DUPLICATE,
    EARLIER,
    HEARTBEAT,
    OWNER,
    RUNGS,
    SESSION,
    SPEC,
    STATUS,
    TRIAL_ID,
    claimant_attribute,
    is_here,
    is_stale,
    lives,
    this_process,
)
from bench.storage.addresses import LEDGER, check_form
from bench.storage.database_check import check_database
from bench.storage.sqlite_files import sqlite_file
from bench.trials.phases import TUNE
from bench.trials.spec import Planned, Slot, TrialSpec, planned_from_json
from bench.trials.status import Status

BUSY_TIMEOUT_S = 60
"""How long a worker waits for another one's transaction."""
MAX_ATTEMPTS = 3
"""A trial that ended three workers is recorded as failed."""
FIXED, CONSTRAINT = "fixed_params", "constraints:"
"""System attributes of a trial, by Optuna's own names: choices made beforehand, and each constraint's value."""

optuna.logging.set_verbosity(optuna.logging.WARNING)
logging.getLogger("alembic").setLevel(logging.WARNING)


@dataclass(frozen=True)
class Claim:
    """A trial that a worker has taken (or that is looked at): its key in the storage and what is planned."""

    key: int
    spec: Planned
    attempts: int


@dataclass(frozen=True)
class OptunaValues:
    """What Optuna is told of a trial that has ended: copies for its samplers, pruners and dashboards."""

    values: tuple[float, ...]
    """Of the objectives, all maximised."""
    constraints: Mapping[str, float] = field(default_factory=dict)
    """Constraint values; 0 or less means satisfied."""


def open_storage(url: str) -> RDBStorage:
    """Open (or make) the Optuna storage at an SQLAlchemy URL, with atomic transactions on SQLite.

    SettingsError, with the remedy, where there can be none; a file that is another program's or version's stays as it
    is. Of a database on a server that is looked at once, when a study begins (`bench.records.store_check`).
    """
    check_form(LEDGER, url)
    sqlite = sqlite_file(url) is not None
    if sqlite:
        check_database(LEDGER, url, write=True)
    # What the URL itself says about waiting goes before.
    waits = sqlite and "timeout" not in sqlalchemy.make_url(url).query
    arguments: dict[str, Any] = {"connect_args": {"timeout": BUSY_TIMEOUT_S}} if waits else {}
    for attempt in range(5):
        try:
            storage = RDBStorage(url, engine_kwargs=arguments)
            break
        except (sqlalchemy.exc.OperationalError, sqlalchemy.exc.IntegrityError) as error:
            # Two processes that open a new file at once both try to create its tables.
            if attempt == 4:
                LEDGER.refuse(url, f"cannot be opened ({error.orig}).", cause=error)
            time.sleep(0.2 * (attempt + 1))
        except (ImportError, RuntimeError, CommandError, sqlalchemy.exc.SQLAlchemyError) as error:
            LEDGER.refuse(url, f"cannot be opened ({str(error).partition(chr(10))[0]}).", cause=error)
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


class Ledger:
    """One study's trials in the storage."""

    def __init__(self, url: str, study_name: str, identity: dict[str, Any], *, objectives: int = 1) -> None:
        """Open the study or create it; SettingsError where the name stands for another one, see `bench.ledger.foreign`.

        ``objectives``: how many values a trial is told with.
        """
        self.storage = open_storage(url)
        self.study_name = study_name
        self._waiting: deque[tuple[int, bool]] = deque()
        self.identity = identity
        self._study = study_in(self.storage, url, study_name, identity, objectives=objectives)

    def extend(self, identity: dict[str, Any]) -> None:
        """From now on the study is this one, whose plan holds all of its trials; what it was is kept beside it."""
        replace_identity(self.storage, self._study, self.identity, identity)
        self.identity = identity

    def earlier(self) -> list[dict[str, Any]]:
        """What the study was before each time that it was extended."""
        found: list[dict[str, Any]] = self.storage.get_study_user_attrs(self._study).get(EARLIER, [])
        return found

    @contextmanager
    def session(self, workers: int) -> Iterator[None]:
        """Say, for whoever looks, that this process works on the study with so many workers."""
        owner = this_process()
        key = f"{SESSION}{owner['host']}:{owner['pid']}:{owner['started']}"
        session = {**owner, "workers": workers, "since": time.time()}
        self.storage.set_study_user_attr(self._study, key, session)
        try:
            yield
        finally:
            self.storage.set_study_user_attr(self._study, key, None)

    def others(self) -> bool:
        """Whether another process works on the study, too; of a killed one on another host nobody can tell."""
        me = this_process()
        attributes = self.storage.get_study_user_attrs(self._study)
        sessions = [value for name, value in attributes.items() if name.startswith(SESSION) and value]
        return any(
            {**each, **me} != each and not (is_here(each) and not lives(each["pid"], each["started"]))
            for each in sessions
        )

    def enqueue(self, specs: Iterable[Planned]) -> int:
        """Add the trials that are not there yet; returns how many were added. Safe to repeat after a kill."""
        there = {trial.user_attrs[TRIAL_ID] for trial in self._trials()}
        added = 0
        for spec in specs:
            if spec.id in there or (isinstance(spec, TrialSpec) and spec.earlier_ids & there):
                continue
            attributes = {TRIAL_ID: spec.id, SPEC: spec.model_dump_json(), ATTEMPTS: 0}
            fixed = {FIXED: dict(spec.fixed)} if isinstance(spec, Slot) else {}
            trial = create_trial(state=TrialState.WAITING, user_attrs=attributes, system_attrs=fixed)
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
                me = this_process()
                self.storage.set_trial_user_attr(key, claimant_attribute(me), me)
                taken = self.storage.set_trial_state_values(key, TrialState.RUNNING)
            except optuna.exceptions.UpdateFinishedTrialError:
                taken = False  # another worker took it and has finished it since
            if taken and is_copy:
                self.storage.set_trial_user_attr(key, STATUS, DUPLICATE)
                self.storage.set_trial_state_values(key, TrialState.FAIL)
            elif taken:
                trial = self.storage.get_trial(key)
                attempts = trial.user_attrs[ATTEMPTS] + 1
                self.storage.set_trial_user_attr(key, OWNER, this_process())
                self.storage.set_trial_user_attr(key, ATTEMPTS, attempts)
                self.beat(key)
                return _as_claim(trial, attempts)
            if not self._waiting:
                self._look()
        return None

    def _look(self) -> None:
        """Remember what waits: (key, whether it is a later copy of a trial, enqueued by two processes at once)."""
        first: dict[str, int] = {}
        for trial in self._trials():
            earliest = first.setdefault(trial.user_attrs[TRIAL_ID], trial.number)
            if trial.state == TrialState.WAITING:
                self._waiting.append((trial._trial_id, earliest != trial.number))

    def beat(self, key: int) -> None:
        """Say that the worker of a running trial lives."""
        self.storage.set_trial_user_attr(key, HEARTBEAT, time.time())

    def owned(self, key: int) -> bool:
        """Whether this process still holds a trial (it may have been taken for dead)."""
        trial = self.storage.get_trial(key)
        return trial.state == TrialState.RUNNING and trial.user_attrs.get(OWNER) == this_process()

    def settle(self, key: int, trial: TrialSpec) -> None:
        """Keep what has been chosen for a place of the plan."""
        self.storage.set_trial_user_attr(key, SPEC, trial.model_dump_json())

    def fix(self, key: int, choices: Mapping[str, Any]) -> None:
        """Fix the choices of a place of the plan, before they are made."""
        self.storage.set_trial_system_attr(key, FIXED, dict(choices))

    def finish(self, key: int, status: Status, values: OptunaValues | None) -> None:
        """Close a trial. ``values``: a copy for Optuna; no table of ours reads it."""
        try:
            self.storage.set_trial_user_attr(key, STATUS, str(status))
            if values is not None:
                for name, value in values.constraints.items():
                    self.storage.set_trial_system_attr(key, f"{CONSTRAINT}{name}", value)
                self.storage.set_trial_state_values(key, TrialState.COMPLETE, list(values.values))
            elif status == Status.PRUNED:
                self.storage.set_trial_state_values(key, TrialState.PRUNED)
            else:
                self.storage.set_trial_state_values(key, TrialState.FAIL)
        except optuna.exceptions.UpdateFinishedTrialError:
            return  # two workers that sweep at once close a dead one's trial twice

    def note_evaluation(self, key: int, number: int, score: float, rungs: dict[str, Any]) -> None:
        """Keep what a running trial scored at its ``number``-th evaluation, and where its pruner has put it."""
        self.storage.set_trial_intermediate_value(key, number, score)
        self.storage.set_trial_user_attr(key, RUNGS, rungs)

    def trials_beside(self, planned: TrialSpec) -> list[FrozenTrial]:
        """The tune trials of the same optimizer, tuning and round, in the plan's order; without copies of a trial."""
        same = (TUNE, planned.optimizer, planned.tuning, planned.round)
        first: dict[int, FrozenTrial] = {}
        for trial in self._trials():
            spec = json.loads(trial.user_attrs[SPEC])
            if (spec["phase"], spec.get("optimizer"), spec.get("tuning"), spec.get("round")) == same:
                first.setdefault(spec["index"], trial)
        return [first[index] for index in sorted(first)]

    def put_back(self, key: int, *, attempts: int) -> None:
        """Give a claimed trial back: it waits again and forgets its worker, with whom the next could be confused.

        ``attempts``: how many workers it has ended so far; one that gave it back on purpose does not count.
        """
        try:
            self.storage.set_trial_user_attr(key, ATTEMPTS, attempts)
            self.storage.set_trial_user_attr(key, OWNER, None)
            self.storage.set_trial_user_attr(key, HEARTBEAT, None)
            self.storage.set_trial_state_values(key, TrialState.WAITING)
            self._waiting.clear()  # the next claim looks again
        except optuna.exceptions.UpdateFinishedTrialError:
            return  # another worker has run it since

    def put_back_stale(self, key: int) -> None:
        """Give a dead worker's trial back, unless another sweep did so before and it is somebody's again."""
        trial = self.storage.get_trial(key)
        if trial.state == TrialState.RUNNING and is_stale(trial):
            self.put_back(key, attempts=trial.user_attrs[ATTEMPTS])

    def stale(self) -> list[Claim]:
        """Running trials whose worker is dead or has been silent for too long."""
        return [
            _as_claim(trial, trial.user_attrs[ATTEMPTS])
            for trial in self._trials()
            if trial.state == TrialState.RUNNING and is_stale(trial)
        ]

    def counts(self) -> Counter[str]:
        """Trials by state: `waiting`, `running`, and each final status."""
        counts: Counter[str] = Counter()
        for trial in self._trials():
            if trial.state == TrialState.WAITING:
                counts["waiting"] += 1
            elif trial.state == TrialState.RUNNING:
                counts["running"] += 1
            elif trial.user_attrs.get(STATUS) != DUPLICATE:
                counts[trial.user_attrs.get(STATUS, str(Status.FAILED))] += 1
        return counts

    def _trials(self) -> list[FrozenTrial]:
        found = self.storage.get_all_trials(self._study, deepcopy=False)
        return [trial for trial in found if TRIAL_ID in trial.user_attrs]  # a person may have added others by a script


def _as_claim(trial: FrozenTrial, attempts: int) -> Claim:
    planned, known = planned_from_json(trial.user_attrs[SPEC]), trial.user_attrs[TRIAL_ID]
    if planned.id != known:  # an earlier version's
        planned = planned.model_copy(update={"slot": known})
    return Claim(trial._trial_id, planned, attempts)
