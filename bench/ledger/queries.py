"""SQL on Optuna's tables: the ledger's steps, each of which reads only the trials that it is about.

Every function works in the transaction of the connection that it gets. Other programs may have added trials to a study:
those without an id of posebench are left alone.
"""

import json
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, cast

import sqlalchemy
from optuna.storages._rdb import models
from optuna.trial import TrialState
from sqlalchemy import Connection, Table
from sqlalchemy.dialects import postgresql, sqlite

from bench.ledger.format import DEATHS, DUPLICATE, SPEC, STATUS, TRIAL_ID

BATCH = 500
"""Trials that one query names, or that are inserted at once: SQLite allows 32,766 values in a statement."""
_trials = cast("Table", models.TrialModel.__table__)
_attributes = cast("Table", models.TrialUserAttributeModel.__table__)
_system_attributes = cast("Table", models.TrialSystemAttributeModel.__table__)
_values = cast("Table", models.TrialValueModel.__table__)
_studies = cast("Table", models.StudyModel.__table__)
_study_attributes = cast("Table", models.StudyUserAttributeModel.__table__)


@dataclass(frozen=True)
class Row:
    """A trial as stored, with those of its attributes that were asked for."""

    key: int
    state: TrialState
    started: float | None
    """Time of its claim in seconds since the epoch; None if there was none."""
    ended: float | None
    attributes: Mapping[str, Any]


@dataclass(frozen=True)
class NewTrial:
    """A trial to be added to a study."""

    trial_id: str
    spec: str
    """Its specification as JSON."""
    fixed: Mapping[str, Any]
    """Optuna's system attributes."""


def rows(
    connection: Connection,
    study: int,
    *,
    states: Collection[TrialState] = tuple(TrialState),
    names: Collection[str] | None = None,
) -> list[Row]:
    """Return the trials of a study in these states, in the order of the plan.

    ``names``: the attributes that are read of trials that do not run; None: all, as of those that run.
    """
    columns = (_trials.c.trial_id, _trials.c.state, _trials.c.datetime_start, _trials.c.datetime_complete)
    query = sqlalchemy.select(*columns).where(_trials.c.study_id == study, _trials.c.state.in_(states))
    trials = connection.execute(query.order_by(_trials.c.trial_id)).all()
    # After the trials: what a trial's end adds is then seen of each that has ended.
    conditions: list[sqlalchemy.ColumnElement[bool]] = [_trials.c.study_id == study]
    if len(trials) <= BATCH:
        conditions.append(_attributes.c.trial_id.in_([trial.trial_id for trial in trials]))
    if names is not None:
        of_name = _attributes.c.key.in_({TRIAL_ID, *names})
        conditions.append(sqlalchemy.or_(of_name, _trials.c.state == TrialState.RUNNING))
    stored = sqlalchemy.select(_attributes.c.trial_id, _attributes.c.key, _attributes.c.value_json)
    stored = stored.join(_trials, _trials.c.trial_id == _attributes.c.trial_id).where(*conditions)
    attributes: defaultdict[int, dict[str, Any]] = defaultdict(dict)
    for key, name, value in connection.execute(stored):
        attributes[key][name] = json.loads(value)
    return [
        Row(key, state, _seconds(started), _seconds(ended), attributes[key])
        for key, state, started, ended in trials
        if TRIAL_ID in attributes[key]
    ]


def row(connection: Connection, key: int, *, lock: bool = False) -> Row:
    """Return one trial with all its attributes; ``lock``: no other transaction may change it until this one ends."""
    columns = (_trials.c.state, _trials.c.datetime_start, _trials.c.datetime_complete)
    query = sqlalchemy.select(*columns).where(_trials.c.trial_id == key)
    state, started, ended = connection.execute(query.with_for_update(key_share=True) if lock else query).one()
    return Row(key, state, _seconds(started), _seconds(ended), _attributes_of(connection, key))


def first_waiting(connection: Connection, study: int, number: int, *, after: int = 0) -> range:
    """Return the keys from the first waiting trial of a study, after a key, to its ``number``-th one; empty if none
    waits."""
    query = sqlalchemy.select(_trials.c.trial_id)
    query = query.where(_trials.c.study_id == study, _trials.c.state == TrialState.WAITING, _trials.c.trial_id > after)
    keys = list(connection.scalars(query.order_by(_trials.c.trial_id).limit(number)))
    return range(keys[0], keys[-1] + 1) if keys else range(0)


def claim_one(
    connection: Connection, study: int, keys: range, marks: Mapping[str, Any], copies: Collection[int]
) -> Row | None:
    """Set the first waiting trial among these keys to running, with ``marks`` as attributes; None if none waits.

    Trials that other transactions are claiming are skipped. ``copies``: keys of later copies of trials, which are
    closed instead.
    """
    while keys:
        # A range, not all waiting trials: the first of 10,000 is found in the time in which ten are claimed.
        conditions = (
            _trials.c.trial_id.between(keys[0], keys[-1]),
            _trials.c.study_id == study,
            _trials.c.state == TrialState.WAITING,
        )
        # MySQL locks, and so would skip, every row that it has looked at.
        skips = connection.dialect.name == "postgresql"
        query = sqlalchemy.select(_trials.c.trial_id).where(*conditions).order_by(_trials.c.trial_id).limit(1)
        key = connection.scalars(query.with_for_update(key_share=True, skip_locked=skips)).first()
        if key is None:
            return None
        attributes = _attributes_of(connection, key)
        if TRIAL_ID in attributes and key not in copies:
            now = _now()
            _set_state(connection, key, TrialState.RUNNING, datetime_start=now)
            set_attributes(connection, key, marks)
            return Row(key, TrialState.RUNNING, _seconds(now), None, {**attributes, **marks})
        if TRIAL_ID in attributes:
            set_attributes(connection, key, {STATUS: DUPLICATE})
            _set_state(connection, key, TrialState.FAIL, datetime_complete=_now())
        keys = range(key + 1, keys[-1] + 1)
    return None


def copies(connection: Connection, study: int) -> frozenset[int]:
    """Return the keys of later copies of trials: earlier versions could enqueue a trial twice."""
    ids = (
        sqlalchemy.select(_attributes.c.value_json)
        .join(_trials, _trials.c.trial_id == _attributes.c.trial_id)
        .where(_trials.c.study_id == study, _attributes.c.key == TRIAL_ID)
    )
    doubled = connection.scalars(ids.group_by(_attributes.c.value_json).having(sqlalchemy.func.count() > 1)).all()
    keys: set[int] = set()
    for each in doubled:
        same = ids.with_only_columns(_trials.c.trial_id).where(_attributes.c.value_json == each)
        keys |= set(connection.scalars(same.order_by(_trials.c.trial_id)).all()[1:])
    return frozenset(keys)


def release(
    connection: Connection, key: int, condition: Callable[[Row], bool], changes: Callable[[Row], dict[str, Any]]
) -> bool:
    """Let a running trial that fulfils a condition wait again, with changed attributes; return whether it does."""
    held = row(connection, key, lock=True)
    if held.state != TrialState.RUNNING or not condition(held):
        return False
    set_attributes(connection, key, changes(held))
    _set_state(connection, key, TrialState.WAITING)
    return True


def end(
    connection: Connection,
    key: int,
    state: TrialState,
    *,
    attributes: Mapping[str, Any],
    system_attributes: Mapping[str, Any],
    values: Sequence[float],
) -> None:
    """Close a trial; does nothing if it has ended."""
    locked = sqlalchemy.select(_trials.c.state).where(_trials.c.trial_id == key).with_for_update(key_share=True)
    if connection.scalars(locked).one().is_finished():
        return
    set_attributes(connection, key, attributes)
    set_attributes(connection, key, system_attributes, table=_system_attributes)
    for objective, value in enumerate(values):
        stored, kind = models.TrialValueModel.value_to_stored_repr(value)
        value_of = {"trial_id": key, "objective": objective, "value": stored, "value_type": kind}
        connection.execute(sqlalchemy.insert(_values), value_of)
    _set_state(connection, key, state, datetime_complete=_now())


def enqueue(connection: Connection, study: int, trials: Sequence[NewTrial]) -> None:
    """Add waiting trials to a study that `lock_study` has locked."""
    count = sqlalchemy.select(sqlalchemy.func.count()).where(_trials.c.study_id == study)
    number = connection.scalars(count).one()
    for first in range(0, len(trials), BATCH):
        batch = trials[first : first + BATCH]
        states = [
            {"study_id": study, "number": number + first + each, "state": TrialState.WAITING}
            for each in range(len(batch))
        ]
        keys = _insert_trials(connection, states)
        stored = [
            {"trial_id": key, "key": name, "value_json": json.dumps(value)}
            for key, new in zip(keys, batch, strict=True)
            for name, value in ((TRIAL_ID, new.trial_id), (SPEC, new.spec), (DEATHS, 0))
        ]
        connection.execute(sqlalchemy.insert(_attributes).values(stored))
        fixed = [
            {"trial_id": key, "key": name, "value_json": json.dumps(value)}
            for key, new in zip(keys, batch, strict=True)
            for name, value in new.fixed.items()
        ]
        if fixed:
            connection.execute(sqlalchemy.insert(_system_attributes).values(fixed))


def _insert_trials(connection: Connection, rows: list[dict[str, Any]]) -> list[int]:
    """Insert trials, and return their keys, which ascend in the given order."""
    insert = sqlalchemy.insert(_trials)
    if connection.dialect.insert_returning:
        returning = insert.returning(_trials.c.trial_id, sort_by_parameter_order=True)
        return list(connection.scalars(returning, rows))
    inserted = [connection.execute(insert, each).inserted_primary_key for each in rows]
    return [key[0] for key in inserted if key is not None]


def lock_study(connection: Connection, study: int) -> None:
    """Let no other transaction add trials to the study until this one ends; Optuna takes the same lock."""
    connection.execute(sqlalchemy.select(_studies.c.study_id).where(_studies.c.study_id == study).with_for_update())


def trial_ids(connection: Connection, study: int, among: Collection[str]) -> set[str]:
    """Return which of these ids the trials of a study have."""
    query = sqlalchemy.select(_attributes.c.value_json)
    query = query.join(_trials, _trials.c.trial_id == _attributes.c.trial_id)
    query = query.where(_trials.c.study_id == study, _attributes.c.key == TRIAL_ID)
    if len(among) <= BATCH:
        query = query.where(_attributes.c.value_json.in_([json.dumps(each) for each in among]))
    return {json.loads(value) for value in connection.scalars(query)} & set(among)


def ended_ids(connection: Connection, study: int) -> set[str]:
    """Return the ids of the trials that have ended."""
    query = sqlalchemy.select(_attributes.c.value_json)
    query = query.join(_trials, _trials.c.trial_id == _attributes.c.trial_id)
    ended = _trials.c.state.not_in((TrialState.WAITING, TrialState.RUNNING))
    query = query.where(_trials.c.study_id == study, _attributes.c.key == TRIAL_ID, ended)
    return {json.loads(value) for value in connection.scalars(query)}


def keys_of(connection: Connection, study: int, trial_id: str) -> list[int]:
    """Return the key of the trial with an id; further ones are copies."""
    query = sqlalchemy.select(_trials.c.trial_id)
    query = query.join(_attributes, _trials.c.trial_id == _attributes.c.trial_id)
    has_id = (_attributes.c.key == TRIAL_ID, _attributes.c.value_json == json.dumps(trial_id))
    return list(connection.scalars(query.where(_trials.c.study_id == study, *has_id).order_by(_trials.c.trial_id)))


def counts(connection: Connection, study: int) -> list[tuple[TrialState, str | None, int]]:
    """Count the trials by state and status; the status of one that has not ended is None."""
    status = _attributes.alias()
    joined = sqlalchemy.and_(status.c.trial_id == _trials.c.trial_id, status.c.key == STATUS)
    query = (
        sqlalchemy.select(_trials.c.state, status.c.value_json, sqlalchemy.func.count())
        .outerjoin(status, joined)
        .where(_trials.c.study_id == study, _has_attribute(TRIAL_ID))
        .group_by(_trials.c.state, status.c.value_json)
    )
    return [
        (state, None if value is None else json.loads(value), number)
        for state, value, number in connection.execute(query)
    ]


def is_unfinished(connection: Connection, study: int) -> bool:
    """Return True if a trial waits or runs."""
    states = _trials.c.state.in_((TrialState.WAITING, TrialState.RUNNING))
    query = sqlalchemy.select(_trials.c.trial_id).where(_trials.c.study_id == study, states, _has_attribute(TRIAL_ID))
    return connection.scalars(query.limit(1)).first() is not None


def specs_after(connection: Connection, study: int, key: int) -> dict[int, str]:
    """Return the specifications (JSON) of the trials that were enqueued after the one of this key."""
    query = (
        sqlalchemy.select(_attributes.c.trial_id, _attributes.c.value_json)
        .join(_trials, _trials.c.trial_id == _attributes.c.trial_id)
        .where(_trials.c.study_id == study, _trials.c.trial_id > key, _attributes.c.key == SPEC)
        .order_by(_trials.c.trial_id)
    )
    return {trial: json.loads(value) for trial, value in connection.execute(query)}


def with_everything(connection: Connection, keys: Sequence[int]) -> list[Any]:
    """Return Optuna's objects of these trials, with all that Optuna's own reading loads, in the given order."""
    model = cast("Any", models.TrialModel)
    related = ("params", "values", "user_attributes", "system_attributes", "intermediate_values")
    loading = [sqlalchemy.orm.selectinload(getattr(model, name)) for name in related]
    found: dict[int, Any] = {}
    with sqlalchemy.orm.Session(connection) as session:
        for first in range(0, len(keys), BATCH):
            query = sqlalchemy.select(model).options(*loading).where(model.trial_id.in_(keys[first : first + BATCH]))
            found |= {trial.trial_id: trial for trial in session.scalars(query)}
    return [found[key] for key in keys]


def sessions(connection: Connection, study: int, prefix: str) -> list[Any]:
    """Return the values, without null, of the study's attributes whose names begin with ``prefix``."""
    columns = _study_attributes.c
    query = sqlalchemy.select(columns.value_json)
    query = query.where(columns.study_id == study, columns.key.startswith(prefix, autoescape=True))
    values = [json.loads(value) for value in connection.scalars(query)]
    return [value for value in values if value is not None]


def set_attributes(
    connection: Connection, key: int, attributes: Mapping[str, Any], *, table: Table = _attributes
) -> None:
    """Set attributes of a trial, new ones or others' values."""
    if not attributes:
        return
    stored = [{"trial_id": key, "key": name, "value_json": json.dumps(value)} for name, value in attributes.items()]
    dialect = connection.dialect.name
    if dialect in ("postgresql", "sqlite"):
        insert = (postgresql.insert if dialect == "postgresql" else sqlite.insert)(table).values(stored)
        same = [table.c.trial_id, table.c.key]
        connection.execute(
            insert.on_conflict_do_update(index_elements=same, set_={"value_json": insert.excluded.value_json})
        )
        return
    names = [each["key"] for each in stored]
    connection.execute(sqlalchemy.delete(table).where(table.c.trial_id == key, table.c.key.in_(names)))
    connection.execute(sqlalchemy.insert(table), stored)


def count_states(counted: Iterable[tuple[TrialState, str | None, int]], unknown: str) -> Counter[str]:
    """Sum what `counts` returns by `waiting`, `running` and final status, without later copies.

    ``unknown``: status of a trial that has ended without one.
    """
    total: Counter[str] = Counter()
    for state, status, number in counted:
        if state in (TrialState.WAITING, TrialState.RUNNING):
            total[state.name.lower()] += number
        elif status != DUPLICATE:
            total[status or unknown] += number
    return total


def _attributes_of(connection: Connection, key: int) -> dict[str, Any]:
    query = sqlalchemy.select(_attributes.c.key, _attributes.c.value_json).where(_attributes.c.trial_id == key)
    return {name: json.loads(value) for name, value in connection.execute(query)}


def _set_state(connection: Connection, key: int, state: TrialState, **times: datetime) -> None:
    connection.execute(sqlalchemy.update(_trials).where(_trials.c.trial_id == key).values(state=state, **times))


def _now() -> datetime:
    """Return the present time as Optuna stores it: UTC, without saying so."""
    return datetime.now(UTC).replace(tzinfo=None)


def _has_attribute(name: str) -> Any:
    """Return the condition that a trial has an attribute."""
    return (
        sqlalchemy.exists()
        .where(_attributes.c.trial_id == _trials.c.trial_id, _attributes.c.key == name)
        .correlate(_trials)
    )


def _seconds(utc: datetime | None) -> float | None:
    """Return seconds since the epoch for a time as Optuna stores it: UTC, without saying so."""
    return None if utc is None else utc.replace(tzinfo=UTC).timestamp()


def delete_study(connection: Connection, study: int) -> None:
    """Delete a study with everything that belongs to it; Optuna's own way reads all of it first."""
    keys = sqlalchemy.select(_trials.c.trial_id).where(_trials.c.study_id == study)
    for table in reversed(models.BaseModel.metadata.sorted_tables):
        if table is not _trials and "trial_id" in table.c:
            connection.execute(sqlalchemy.delete(table).where(table.c.trial_id.in_(keys)))
        elif "study_id" in table.c:
            connection.execute(sqlalchemy.delete(table).where(table.c.study_id == study))
