"""The ledger of one study: enqueue, claim, finish and retry its trials in an Optuna storage.

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

from bench.ledger.foreign import find_or_create_study, replace_identity
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
"""Seconds that a worker waits for another worker's transaction."""
MAX_ATTEMPTS = 3
"""Number of workers that may die while running a trial before it is recorded as failed."""
FIXED, CONSTRAINT = "fixed_params", "constraints:"
"""Optuna's names of system attributes of a trial: parameters fixed in advance, and the prefix of constraint values."""

optuna.logging.set_verbosity(optuna.logging.WARNING)
logging.getLogger("alembic").setLevel(logging.WARNING)


@dataclass(frozen=True)
class Claim:
    """A trial that one worker holds to run it, or that `Ledger.stale_trials` returns."""

    key: int
    """Id of the trial in the storage."""
    spec: Planned
    attempts: int
    """Number of claims so far, without those given back on purpose."""


@dataclass(frozen=True)
class OptunaValues:
    """Values of an ended trial for Optuna: copies for its samplers, pruners and dashboards."""

    values: tuple[float, ...]
    """Objective values, all maximised."""
    constraints: Mapping[str, float] = field(default_factory=dict)
    """Constraint values; 0 or less means satisfied."""


def open_storage(url: str) -> RDBStorage:
    """Open or create the Optuna storage at an SQLAlchemy URL, with atomic transactions on SQLite.

    Raises SettingsError, which says how to fix it, if the URL is unusable; an SQLite file of another program or version
    is left unchanged. A database on a server is checked for that once, when a study begins
    (`bench.records.store_check`).
    """
    check_form(LEDGER, url)
    sqlite = sqlite_file(url) is not None
    if sqlite:
        check_database(LEDGER, url, write=True)
    # A timeout in the URL itself takes precedence.
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
    """The trials of one study in the storage."""

    def __init__(self, url: str, study_name: str, identity: dict[str, Any], *, objectives: int = 1) -> None:
        """Open or create the study; SettingsError if the name is taken by another one, see `bench.ledger.foreign`.

        ``objectives``: number of values that Optuna gets for each trial.
        """
        self.storage = open_storage(url)
        self.study_name = study_name
        self._waiting: deque[tuple[int, bool]] = deque()
        self.identity = identity
        self._study = find_or_create_study(self.storage, url, study_name, identity, objectives=objectives)

    def extend(self, identity: dict[str, Any]) -> None:
        """Replace the study's identity by that of a larger study, whose plan includes all its trials; keep the old."""
        replace_identity(self.storage, self._study, self.identity, identity)
        self.identity = identity

    def earlier_identities(self) -> list[dict[str, Any]]:
        """Return the study's identities before each of its extensions."""
        identities: list[dict[str, Any]] = self.storage.get_study_user_attrs(self._study).get(EARLIER, [])
        return identities

    @contextmanager
    def session(self, workers: int) -> Iterator[None]:
        """Register this process, with its number of workers, as working on the study during the block."""
        owner = this_process()
        key = f"{SESSION}{owner['host']}:{owner['pid']}:{owner['started']}"
        session = {**owner, "workers": workers, "since": time.time()}
        self.storage.set_study_user_attr(self._study, key, session)
        try:
            yield
        finally:
            self.storage.set_study_user_attr(self._study, key, None)

    def has_other_processes(self) -> bool:
        """Return True if another process is registered; a process killed on another host cannot be recognised as
        dead."""
        me = this_process()
        attributes = self.storage.get_study_user_attrs(self._study)
        sessions = [value for name, value in attributes.items() if name.startswith(SESSION) and value]
        return any(
            {**each, **me} != each and not (is_here(each) and not lives(each["pid"], each["started"]))
            for each in sessions
        )

    def enqueue(self, specs: Iterable[Planned]) -> int:
        """Add the trials that are not in the ledger yet, and return the number added. Safe to repeat after a kill."""
        present = {trial.user_attrs[TRIAL_ID] for trial in self._trials()}
        added = 0
        for spec in specs:
            if spec.id in present or (isinstance(spec, TrialSpec) and spec.earlier_ids & present):
                continue
            attributes = {TRIAL_ID: spec.id, SPEC: spec.model_dump_json(), ATTEMPTS: 0}
            fixed = {FIXED: dict(spec.fixed)} if isinstance(spec, Slot) else {}
            trial = create_trial(state=TrialState.WAITING, user_attrs=attributes, system_attrs=fixed)
            self.storage.create_new_trial(self._study, trial)
            added += 1
        return added

    def claim(self) -> Claim | None:
        """Claim and return the first waiting trial; None if there is none. No two workers get the same trial.

        The list of waiting trials is cached, since reading the whole study costs more than a claim.
        """
        if not self._waiting:
            self._find_waiting()
        while self._waiting:
            key, is_copy = self._waiting.popleft()
            try:
                me = this_process()
                self.storage.set_trial_user_attr(key, claimant_attribute(me), me)
                claimed = self.storage.set_trial_state_values(key, TrialState.RUNNING)
            except optuna.exceptions.UpdateFinishedTrialError:
                claimed = False  # another worker has claimed and finished it meanwhile
            if claimed and is_copy:
                self.storage.set_trial_user_attr(key, STATUS, DUPLICATE)
                self.storage.set_trial_state_values(key, TrialState.FAIL)
            elif claimed:
                trial = self.storage.get_trial(key)
                attempts = trial.user_attrs[ATTEMPTS] + 1
                self.storage.set_trial_user_attr(key, OWNER, this_process())
                self.storage.set_trial_user_attr(key, ATTEMPTS, attempts)
                self.send_heartbeat(key)
                return _as_claim(trial, attempts)
            if not self._waiting:
                self._find_waiting()
        return None

    def _find_waiting(self) -> None:
        """Cache the waiting trials as (key, is_copy); a copy is the later of two enqueued by two processes at once."""
        first: dict[str, int] = {}
        for trial in self._trials():
            earliest = first.setdefault(trial.user_attrs[TRIAL_ID], trial.number)
            if trial.state == TrialState.WAITING:
                self._waiting.append((trial._trial_id, earliest != trial.number))

    def send_heartbeat(self, key: int) -> None:
        """Write a heartbeat: the worker of a running trial is alive."""
        self.storage.set_trial_user_attr(key, HEARTBEAT, time.time())

    def is_owner(self, key: int) -> bool:
        """Return True if this process still owns a trial; another process may have taken it for dead and taken over the
        trial."""
        trial = self.storage.get_trial(key)
        return trial.state == TrialState.RUNNING and trial.user_attrs.get(OWNER) == this_process()

    def store_choice(self, key: int, trial: TrialSpec) -> None:
        """Store the trial that was chosen for a slot."""
        self.storage.set_trial_user_attr(key, SPEC, trial.model_dump_json())

    def fix_parameters(self, key: int, choices: Mapping[str, Any]) -> None:
        """Fix parameters of a slot before Optuna's sampler chooses the rest."""
        self.storage.set_trial_system_attr(key, FIXED, dict(choices))

    def finish(self, key: int, status: Status, values: OptunaValues | None) -> None:
        """Close a trial. ``values``: a copy of its results for Optuna; no posebench table reads it."""
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
            return  # two workers that sweep at once both close a dead worker's trial

    def note_evaluation(self, key: int, number: int, score: float, rungs: dict[str, Any]) -> None:
        """Store a running trial's score at its ``number``-th evaluation, and its pruner's state ``rungs``."""
        self.storage.set_trial_intermediate_value(key, number, score)
        self.storage.set_trial_user_attr(key, RUNGS, rungs)

    def trials_of_same_round(self, planned: TrialSpec) -> list[FrozenTrial]:
        """Return the tune trials of the same optimizer, tuning and round, in the plan's order, without copies."""
        same = (TUNE, planned.optimizer, planned.tuning, planned.round)
        first: dict[int, FrozenTrial] = {}
        for trial in self._trials():
            spec = json.loads(trial.user_attrs[SPEC])
            if (spec["phase"], spec.get("optimizer"), spec.get("tuning"), spec.get("round")) == same:
                first.setdefault(spec["index"], trial)
        return [first[index] for index in sorted(first)]

    def put_back(self, key: int, *, attempts: int) -> None:
        """Give a claimed trial back: it waits again, without an owner or heartbeat that could mislead later checks.

        ``attempts``: number of workers that died with it so far; a worker that gives it back on purpose is not counted.
        """
        try:
            self.storage.set_trial_user_attr(key, ATTEMPTS, attempts)
            self.storage.set_trial_user_attr(key, OWNER, None)
            self.storage.set_trial_user_attr(key, HEARTBEAT, None)
            self.storage.set_trial_state_values(key, TrialState.WAITING)
            self._waiting.clear()  # the next claim reads the study again
        except optuna.exceptions.UpdateFinishedTrialError:
            return  # another worker has run it meanwhile

    def put_back_stale(self, key: int) -> None:
        """Give a dead worker's trial back, unless another process did so first and it has a new owner."""
        trial = self.storage.get_trial(key)
        if trial.state == TrialState.RUNNING and is_stale(trial):
            self.put_back(key, attempts=trial.user_attrs[ATTEMPTS])

    def stale_trials(self) -> list[Claim]:
        """Return the running trials whose worker is dead or has sent no heartbeat for `GRACE_S`."""
        return [
            _as_claim(trial, trial.user_attrs[ATTEMPTS])
            for trial in self._trials()
            if trial.state == TrialState.RUNNING and is_stale(trial)
        ]

    def counts(self) -> Counter[str]:
        """Count the trials by state: `waiting`, `running`, and each final status."""
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
        trials = self.storage.get_all_trials(self._study, deepcopy=False)
        return [trial for trial in trials if TRIAL_ID in trial.user_attrs]  # other scripts may have added trials


def _as_claim(trial: FrozenTrial, attempts: int) -> Claim:
    planned, stored_id = planned_from_json(trial.user_attrs[SPEC]), trial.user_attrs[TRIAL_ID]
    if planned.id != stored_id:  # enqueued by an earlier version
        planned = planned.model_copy(update={"slot": stored_id})
    return Claim(trial._trial_id, planned, attempts)
