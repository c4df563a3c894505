"""The trials of one study in the ledger: enqueue them, claim one, close it or give it back.

Every step is one transaction (`bench.ledger.queries`) that can be repeated when its answer was lost, so that a study
on a server goes on after the server was away (`bench.ledger.connection`).
"""

import json
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar

import sqlalchemy
from optuna.storages import RDBStorage
from optuna.trial import FrozenTrial, TrialState

from bench.ledger import queries
from bench.ledger.connection import Connection
from bench.ledger.foreign import find_or_create_study, replace_identity
from bench.ledger.format import (
    AWAITING,
    DEATHS,
    DRIVER,
    EARLIER,
    HEARTBEAT,
    OWNER,
    RESULTS,
    RUNGS,
    RUNNER,
    SESSION,
    SPEC,
    STATUS,
    TOKEN,
    TRIAL_ID,
    is_here,
    is_same_process,
    is_stale,
    lives,
    this_process,
)
from bench.ledger.queries import NewTrial, Row
from bench.storage.patience import OnOutage
from bench.trials.phases import TUNE
from bench.trials.spec import Planned, Slot, TrialSpec, planned_from_json
from bench.trials.status import Status

MAX_DEATHS = 3
"""Number of times that a trial's worker may die by itself before the trial is recorded as failed."""
AHEAD, KNOWN_FOR_S = 100, 5.0
"""Number of waiting trials, the first ones, that claims choose from, and seconds after which these are read again."""
FIXED, CONSTRAINT = "fixed_params", "constraints:"
"""Optuna's names of system attributes of a trial: parameters fixed in advance, and the prefix of constraint values."""

_Result = TypeVar("_Result")
_Round = tuple[str, str | None, int | None, int | None]
"""Phase, optimizer, tuning and round of a trial."""


@dataclass(frozen=True)
class Claim:
    """A trial that one worker holds to run it, or that `Ledger.stale_trials` returns."""

    key: int
    """Id of the trial in the storage."""
    spec: Planned
    deaths: int
    """Number of times that its worker has died by itself: out of memory, a crash. Workers that were killed with their
    driver or their machine are not counted."""


@dataclass(frozen=True)
class OptunaValues:
    """Values of an ended trial for Optuna: copies for its samplers, pruners and dashboards."""

    values: tuple[float, ...]
    """Objective values, all maximised."""
    constraints: Mapping[str, float] = field(default_factory=dict)
    """Constraint values; 0 or less means satisfied."""


class Ledger:
    """The trials of one study in the storage.

    A call waits while the storage's server is away, and raises ServerAwayError after
    `bench.storage.patience.patience_s`.
    """

    def __init__(
        self,
        url: str,
        study_name: str,
        identity: dict[str, Any],
        *,
        objectives: int = 1,
        driver: Mapping[str, Any] | None = None,
    ) -> None:
        """Open or create the study; SettingsError if the name is taken by another one, see `bench.ledger.foreign`.

        Args:
            url: SQLAlchemy URL of the storage.
            study_name: Name of the study.
            identity: Its identity.
            objectives: Number of values that Optuna gets for each trial.
            driver: The process that replaces this one if it dies, and counts its death (`charge_death`).
        """
        self.study_name = study_name
        self.identity = identity
        self.driver = driver
        self.patiently = Connection(url)
        """Makes calls of this ledger's storage that can be repeated; see `bench.ledger.connection.Connection`."""
        self._study = self.patiently(
            lambda: find_or_create_study(self.storage, url, study_name, identity, objectives=objectives)
        )
        self._copies: frozenset[int] | None = None
        self._waiting = range(0)
        self._waiting_until = 0.0
        self._since: float | None = None
        """Time at which this process was registered, in seconds since the epoch."""
        self._rounds: dict[int, tuple[_Round, int]] = {}

    @property
    def storage(self) -> RDBStorage:
        """Optuna's storage."""
        return self.patiently.storage

    def release(self) -> None:
        """Close idle connections to a server, which the next call opens again."""
        self.patiently.release()

    def extend(self, identity: dict[str, Any]) -> None:
        """Replace the study's identity by that of a larger study, whose plan includes all its trials; keep the old."""
        self.patiently(lambda: replace_identity(self.storage, self._study, self.identity, identity))
        self.identity = identity

    def earlier_identities(self) -> list[dict[str, Any]]:
        """Return the study's identities before each of its extensions."""
        attributes = self.patiently(lambda: self.storage.get_study_user_attrs(self._study))
        identities: list[dict[str, Any]] = attributes.get(EARLIER, [])
        return identities

    @contextmanager
    def session(self, workers: int) -> Iterator[None]:
        """Register this process, with its number of workers, as working on the study during the block."""
        self.note_workers(workers)
        try:
            yield
        finally:
            key, _ = self._session_here()
            self.patiently.try_once(lambda: self.storage.set_study_user_attr(self._study, key, None))

    def note_workers(self, workers: int) -> None:
        """Note how many trials this process, which is registered, can run at once from now on."""
        key, owner = self._session_here()
        self._since = time.time() if self._since is None else self._since
        session = {**owner, "workers": workers, "since": self._since}
        self.patiently(lambda: self.storage.set_study_user_attr(self._study, key, session))

    def _session_here(self) -> tuple[str, dict[str, Any]]:
        """Return the study's attribute that registers this process, and its owner entry."""
        owner = this_process()
        return f"{SESSION}{owner['host']}:{owner['pid']}:{owner['started']}", owner

    def has_other_processes(self) -> bool:
        """Return True if another process is registered; a process killed on another host cannot be recognised as
        dead."""
        me = this_process()
        sessions = self._do(lambda connection: queries.sessions(connection, self._study, SESSION))
        return any(
            not is_same_process(each, me) and not (is_here(each) and not lives(each["pid"], each["started"]))
            for each in sessions
        )

    def enqueue(self, specs: Iterable[Planned]) -> int:
        """Add the trials that are not in the ledger yet, and return the number added. Safe to repeat after a kill.

        One transaction, which others that enqueue wait for: all of the trials are added, or none.
        """
        planned = {spec.id: spec for spec in specs}
        ids = {
            key: {key} | (spec.earlier_ids if isinstance(spec, TrialSpec) else set()) for key, spec in planned.items()
        }

        added: set[str] = set()

        def add(connection: sqlalchemy.Connection) -> int:
            queries.lock_study(connection, self._study)
            present = queries.trial_ids(connection, self._study, set().union(*ids.values()))
            new = [spec for key, spec in planned.items() if not ids[key] & present]
            queries.enqueue(connection, self._study, [_as_new(spec) for spec in new])
            added.update(spec.id for spec in new)  # also of an attempt whose answer was lost
            return len(added)

        return self._do(add) if planned else 0

    def claim(self, trial_id: str | None = None) -> Claim | None:
        """Claim and return the first waiting trial; None if there is none. No two workers get the same trial.

        ``trial_id``: claim only the trial with this id.
        """
        owner = {**this_process(), TOKEN: uuid.uuid4().hex}
        if self.driver is not None:
            owner[DRIVER] = {name: self.driver[name] for name in ("pid", "started")}
        attempts = iter(range(1_000_000))

        def claim(connection: sqlalchemy.Connection) -> Row | None:
            if next(attempts):  # the answer to the first attempt was lost, but it may have had its effect
                for row in queries.rows(connection, self._study, states=[TrialState.RUNNING]):
                    if row.attributes.get(OWNER) == owner:
                        return row
            if self._copies is None:
                self._copies = queries.copies(connection, self._study)
            marks = {OWNER: owner, HEARTBEAT: time.time()}
            if trial_id is not None:
                key = next(iter(queries.keys_of(connection, self._study, trial_id)), 0)
                return queries.claim_one(connection, self._study, range(key, key + 1), marks, self._copies)
            if time.monotonic() > self._waiting_until:
                self._waiting = range(0)
            claimed = queries.claim_one(connection, self._study, self._waiting, marks, self._copies)
            last = 0
            while claimed is None:
                self._waiting = queries.first_waiting(connection, self._study, AHEAD, after=last)
                self._waiting_until = time.monotonic() + KNOWN_FOR_S
                if not self._waiting:
                    return None
                last = self._waiting[-1]
                claimed = queries.claim_one(connection, self._study, self._waiting, marks, self._copies)
            return claimed

        row = self._do(claim)
        return None if row is None else _as_claim(row)

    def send_heartbeat(self, key: int) -> None:
        """Write a heartbeat, unless the server is away: the worker of a running trial is alive.

        Nothing happens if another process has the trial by now, whose own heartbeats count.
        """
        self._try_once(self._note(key, {HEARTBEAT: time.time()}))

    def note_waiting_record(self, key: int, since: float | None) -> None:
        """Note that the record of a trial that this process runs waits for MLflow's server; None: no longer.

        ``since``: when the server was first found to be away, in seconds since the epoch.
        """
        self._try_once(self._note(key, {AWAITING: None if since is None else {"since": since}}))

    def note_runner(self, key: int, host: str, pid: int) -> None:
        """Note where a trial that this process runs is trained, if that is elsewhere; for displays alone."""
        self._try_once(self._note(key, {RUNNER: {"host": host, "pid": pid}}))

    def is_owner(self, key: int, on_outage: OnOutage = lambda _outage: None) -> bool:
        """Return True if this process still owns a trial; another process may have taken it for dead and taken over the
        trial.

        ``on_outage``: told if the answer has to wait for the server, see `bench.storage.patience.Patience`.
        """
        row = self.patiently(lambda: self._transaction(lambda connection: queries.row(connection, key)), on_outage)
        return _is_held_by(row, this_process())

    def store_choice(self, key: int, trial: TrialSpec) -> None:
        """Store the trial that was chosen for a slot that this process runs."""
        self._do(self._note(key, {SPEC: trial.model_dump_json()}))

    def fix_parameters(self, key: int, choices: Mapping[str, Any]) -> None:
        """Fix parameters of a slot before Optuna's sampler chooses the rest."""
        self.patiently(lambda: self.storage.set_trial_system_attr(key, FIXED, dict(choices)))

    def finish(
        self, key: int, status: Status, values: OptunaValues | None, results: Mapping[str, float] | None = None
    ) -> None:
        """Close a trial, unless another worker has done so.

        Args:
            key: The trial's key.
            status: Status with which it has ended.
            values: A copy of its results for Optuna; no posebench table reads it.
            results: A copy of those that displays of the study's progress show, which then need not ask MLflow.
        """
        state = TrialState.COMPLETE
        if values is None:
            state = TrialState.PRUNED if status == Status.PRUNED else TrialState.FAIL
        constraints = {} if values is None else {f"{CONSTRAINT}{name}": at for name, at in values.constraints.items()}
        self._do(
            lambda connection: queries.end(
                connection,
                key,
                state,
                attributes={STATUS: str(status)} | ({} if results is None else {RESULTS: dict(results)}),
                system_attributes=constraints,
                values=() if values is None else values.values,
            )
        )

    def delete(self) -> None:
        """Delete the study with all its trials."""
        self._do(lambda connection: queries.delete_study(connection, self._study))

    def begin_evaluations(self, key: int) -> None:
        """Note that a trial that this process runs starts over: its pruner has no state for it yet."""
        self._do(self._note(key, {RUNGS: {}}))

    def note_evaluation(self, key: int, number: int, score: float, rungs: dict[str, Any]) -> None:
        """Store the score of a trial that this process runs at its ``number``-th evaluation, and its pruner's state
        ``rungs``."""
        self.patiently(lambda: self.storage.set_trial_intermediate_value(key, number, score))
        self._do(self._note(key, {RUNGS: rungs}))

    def trials_of_same_round(self, planned: TrialSpec) -> list[FrozenTrial]:
        """Return the tune trials of the same optimizer, tuning and round, in the plan's order, without copies."""
        same = (TUNE, planned.optimizer, planned.tuning, planned.round)

        def read(connection: sqlalchemy.Connection) -> list[FrozenTrial]:
            # The round of a trial never changes: only new trials are read.
            new = queries.specs_after(connection, self._study, next(reversed(self._rounds), 0))
            self._rounds |= {key: _round_of(spec) for key, spec in new.items()}
            first: dict[int, int] = {}
            for key, (its_round, index) in self._rounds.items():
                if its_round == same:
                    first.setdefault(index, key)
            found = queries.with_everything(connection, [first[index] for index in sorted(first)])
            return [self.storage._build_frozen_trial_from_trial_model(trial) for trial in found]

        return self._do(read)

    def put_back(self, key: int) -> None:
        """Give a claimed trial back: it waits again. Nothing happens if another process has it by now.

        A server that is away is not waited for: the trial of a process that has ended waits again anyway.
        """
        me = this_process()
        self._waiting = range(0)  # the next claim finds it
        self._try_once(lambda connection: queries.release(connection, key, lambda row: _is_held_by(row, me), _put_back))

    def put_back_stale(self, key: int) -> None:
        """Give a dead worker's trial back, unless another process did so first and it has a new owner."""
        self._waiting = range(0)
        self._try_once(lambda connection: queries.release(connection, key, self._is_stale, _put_back))

    def charge_death(self, pid: int, started: float) -> None:
        """Count the death of a worker process of this host that died by itself, and give its trial back.

        Nothing happens if it had no trial.

        Args:
            pid: Id of the process.
            started: Its start, in seconds since the epoch, as psutil tells it.
        """
        died = {**this_process(), "pid": pid, "started": started}

        def charge(connection: sqlalchemy.Connection) -> None:
            for row in queries.rows(connection, self._study, states=[TrialState.RUNNING]):
                queries.release(connection, row.key, lambda each: _is_held_by(each, died), _charged)

        self._do(charge)  # repeated after a lost answer it finds no trial of the process

    def charge_death_of(self, key: int) -> None:
        """Count the death of the process elsewhere that ran a trial of this process, and give the trial back.

        Nothing happens if another process has the trial by now.
        """
        me = this_process()
        self._waiting = range(0)  # the next claim finds it
        # Repeated after a lost answer it finds the trial waiting.
        self._do(lambda connection: queries.release(connection, key, lambda row: _is_held_by(row, me), _charged))

    def stale_trials(self) -> list[Claim]:
        """Return the running trials whose worker is dead or has sent no heartbeat for `GRACE_S`."""
        running = self._do(lambda connection: queries.rows(connection, self._study, states=[TrialState.RUNNING]))
        return [_as_claim(row) for row in running if self._is_stale(row)]

    def counts(self) -> Counter[str]:
        """Count the trials by state: `waiting`, `running`, and each final status."""
        counted = self._do(lambda connection: queries.counts(connection, self._study))
        return queries.count_states(counted, str(Status.FAILED))

    def ended_trials(self) -> set[str]:
        """Return the ids of the trials that have ended."""
        return self._do(lambda connection: queries.ended_ids(connection, self._study))

    def is_unfinished(self) -> bool:
        """Return True if a trial waits or runs; takes a fraction of the time of `counts`."""
        return self._do(lambda connection: queries.is_unfinished(connection, self._study))

    def _note(self, key: int, attributes: Mapping[str, Any]) -> Callable[[sqlalchemy.Connection], None]:
        """Return the transaction that sets attributes of a trial, unless another process has it by now."""
        me = this_process()

        def note(connection: sqlalchemy.Connection) -> None:
            if _is_held_by(queries.row(connection, key, lock=True), me):
                queries.set_attributes(connection, key, attributes)

        return note

    def _is_stale(self, row: Row) -> bool:
        return is_stale(row.attributes, row.started, judge_others=self.patiently.others_had_time)

    def _do(self, act: Callable[[sqlalchemy.Connection], _Result]) -> _Result:
        """Return the result of a transaction, which is repeated while the server is away."""
        return self.patiently(lambda: self._transaction(act))

    def _try_once(self, act: Callable[[sqlalchemy.Connection], object]) -> None:
        self.patiently.try_once(lambda: self._transaction(act))

    def _transaction(self, act: Callable[[sqlalchemy.Connection], _Result]) -> _Result:
        with self.patiently.transaction() as connection:
            return act(connection)


def _is_held_by(row: Row, process: Mapping[str, Any]) -> bool:
    return row.state == TrialState.RUNNING and is_same_process(row.attributes.get(OWNER), process)


def _put_back(row: Row) -> dict[str, Any]:
    """Return the attributes of a trial that waits again: no owner or heartbeat that could mislead later checks."""
    return {name: None for name in (OWNER, HEARTBEAT, AWAITING, RUNNER) if name in row.attributes}


def _charged(row: Row) -> dict[str, Any]:
    return {**_put_back(row), DEATHS: row.attributes[DEATHS] + 1}


def _round_of(specification: str) -> tuple[_Round, int]:
    """Return the round of a trial, and its position in the plan."""
    spec = json.loads(specification)
    return (spec["phase"], spec.get("optimizer"), spec.get("tuning"), spec.get("round")), spec["index"]


def _as_new(spec: Planned) -> NewTrial:
    fixed = {FIXED: dict(spec.fixed)} if isinstance(spec, Slot) else {}
    return NewTrial(spec.id, spec.model_dump_json(), fixed)


def _as_claim(row: Row) -> Claim:
    planned, stored_id = planned_from_json(row.attributes[SPEC]), row.attributes[TRIAL_ID]
    if planned.id != stored_id:  # enqueued by an earlier version
        planned = planned.model_copy(update={"slot": stored_id})
    return Claim(row.key, planned, row.attributes[DEATHS])
