"""MLflow looked at: what a study left, read back; and the studies of a store, which stays as it is.

A child run counts as a record only once it is closed and tagged as recorded (`bench.records.writer` writes them).
"""

import contextlib
import json
import math
import sqlite3
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import MISSING, dataclass, fields
from pathlib import Path
from typing import Any

from bench.storage import mlflow_environment  # noqa: F401 (MLflow reads it)
from bench.trials.columns import rows_of

# isort: split
import mlflow
import pandas as pd
import sqlalchemy
from alembic.util.exc import CommandError
from mlflow.entities import ViewType
from mlflow.environment_variables import MLFLOW_SQLALCHEMYSTORE_POOLCLASS
from mlflow.exceptions import MlflowException

from bench.records.store_check import check_tracking
from bench.storage.addresses import RECORDS, check_form
from bench.storage.masking import masked
from bench.storage.sqlite_files import PREFIX, MakeUri, looked_at, sqlite_file, uri_now
from bench.trials.record import PLACE_FIELDS, TEXT_FIELDS, Record, Session
from bench.trials.status import Status
from bench.workloads.protocol import Samples
from posemodel.errors import SettingsError

PAGE = 1000
EXPECTED_METRICS = ("ap", "ap_best", "val_loss", "images_per_s", "optimizer_step_ms", "train_seconds")
"""Columns that the records always have: NaN where no trial measured them."""
RUN_COLUMNS = ("run_id", "started_ms", "ended_ms")
"""What a row of the records has from its MLflow run: id, begin and end (milliseconds since the epoch)."""
EVALUATED = ("ap", "val_loss")
CURVES = ("loss", *EVALUATED, "lr", "images_per_s", "data_wait_share")
SAMPLES_FILE, SHEET_FILE = "samples.json", "samples.jpg"
REPORT_FOLDER = "report"
"""Of a study's run: the artifacts that are its report."""

STUDY_TAG, TRIAL_TAG, RECORDED_TAG = "posebench.study", "posebench.trial", "posebench.recorded"
STATUS_TAG, ERROR_TAG, SPEC_TAG = "posebench.status", "posebench.error", "posebench.spec"
HEADLINE_TAG = "posebench.headline"
"""What a study found, in plain sentences, as of its last report."""
LOOKED_TAG = "posebench.looked"
"""The amounts, such as tunings, with which a study had ended before it was extended."""
SESSION_TAG = "posebench.session."
"""Tags of a study's run that begin so say when a process worked on it."""


class StudyRuns:
    """The runs of one study, read."""

    def __init__(self, client: mlflow.MlflowClient, experiment_id: str, uri: str, study_name: str) -> None:
        """``client``: of the store at ``uri``; ``experiment_id``: of the study's experiment."""
        self.client, self.experiment_id = client, experiment_id
        self.uri, self.study_name = uri, study_name

    def study_document(self) -> dict[str, Any]:
        """The study's specification as stored; SettingsError if it was never begun."""
        parent = self._parent()
        if parent is None:
            raise SettingsError(f"study: MLflow at {masked(self.uri)} has no study called {self.study_name!r}.")
        document: dict[str, Any] = json.loads(self.client.get_run(parent).data.tags[SPEC_TAG])
        return document

    def machine(self) -> dict[str, str]:
        """The fingerprint of the machine that began the study."""
        tags = self.study_tags()
        return {key.removeprefix("machine."): value for key, value in tags.items() if key.startswith("machine.")}

    def sessions(self) -> pd.DataFrame:
        """When processes worked on the study: a row for each, with the fields of `Session`; none in old studies."""
        sessions = [json.loads(value) for key, value in self.study_tags().items() if key.startswith(SESSION_TAG)]
        return pd.DataFrame(sessions, columns=[field.name for field in fields(Session)])

    def finished(self) -> bool:
        """Whether the study has ended, its report included."""
        parent = self._parent()
        return parent is not None and self.client.get_run(parent).info.status == "FINISHED"

    def looked(self, extends_by: Sequence[str]) -> frozenset[int]:
        """The amounts of what it can be extended by (`StudyBase.extends_by`) with which the study has ended."""
        known = frozenset(json.loads(self.study_tags().get(LOOKED_TAG, "[]")))
        document = self.study_document()
        return known | {document[name] for name in extends_by if self.finished()}

    def recorded(self, trial_id: str) -> Record | None:
        """The record of a trial, if there is one."""
        runs = self._search(f"tags.`{RECORDED_TAG}` = 'true' and tags.`{TRIAL_TAG}` = '{trial_id}'")
        closed = [run for run in runs if run.info.status in ("FINISHED", "FAILED")]
        return _as_record(min(closed, key=_age)) if closed else None

    def records(self) -> pd.DataFrame:
        """All records of the study, one row each with its `run_id`, in the plan's order; a trial has one row."""
        rows: dict[str, dict[str, Any]] = {}
        for run in self.closed_runs():
            record = _as_record(run)
            place = (run.info.run_id, run.info.start_time, run.info.end_time)
            rows.setdefault(record.trial_id, record.as_row() | dict(zip(RUN_COLUMNS, place, strict=True)))
        expected = [*TEXT_FIELDS, *EXPECTED_METRICS, *RUN_COLUMNS]
        if not rows:
            return pd.DataFrame(columns=expected)  # of objects: a column of NaN could not be merged with ids
        frame = pd.DataFrame(list(rows.values()))
        missing = [name for name in expected if name not in frame]
        return frame.assign(**dict.fromkeys(missing, float("nan"))).sort_values("index", ignore_index=True)

    def closed_runs(self) -> list[Any]:
        """The runs that count as records, the oldest first."""
        runs = sorted(self._search(f"tags.`{RECORDED_TAG}` = 'true'"), key=_age)
        return [run for run in runs if run.info.status in ("FINISHED", "FAILED")]

    def child_runs(self) -> list[Any]:
        """The runs of the study but its own, the oldest first, in whatever state they are."""
        return sorted(self._search(f"tags.`{TRIAL_TAG}` LIKE '%'"), key=_age)

    def study_tags(self) -> dict[str, str]:
        """The tags of the study's own run; none before it was begun."""
        parent = self._parent()
        return dict(self.client.get_run(parent).data.tags) if parent is not None else {}

    def curves(self, records: pd.DataFrame, names: Sequence[str] = CURVES) -> pd.DataFrame:
        """The trials' curves: trial_id, step, train_seconds, and ``names`` (NaN where not measured at that step).

        One row for each step at which one of ``names`` was measured. MLflow answers one request for each run and name
        (5 ms on SQLite): `EVALUATED` asks for little.
        """
        columns = ["trial_id", "step", "train_seconds", *names]
        points: list[pd.DataFrame] = []
        for row in rows_of(records):
            trial_id, run_id = row["trial_id"], row["run_id"]
            history = {
                name: pd.Series({m.step: _measured(m.value) for m in self.client.get_metric_history(run_id, name)})
                for name in (*names, "train_seconds")
            }
            frame = pd.DataFrame(history).rename_axis("step").reset_index().dropna(subset=list(names), how="all")
            points.append(frame.assign(trial_id=trial_id))
        return pd.concat(points, ignore_index=True)[columns] if points else pd.DataFrame(columns=columns)

    def samples(self, run_id: str) -> Samples | None:
        """The samples of a recorded trial; None where it left none, or where they are out of reach or damaged."""
        document, sheet = (self._artifact(run_id, name) for name in (SAMPLES_FILE, SHEET_FILE))
        try:
            return Samples(json.loads(document), sheet) if document is not None else None
        except ValueError:
            return None

    def report_files(self) -> list[str]:
        """The names of the files of the report that hangs on the study's run; none where they are out of reach."""
        parent = self._parent()
        try:
            found = self.client.list_artifacts(parent, REPORT_FOLDER) if parent is not None else []
        except (MlflowException, OSError):
            return []
        return sorted(Path(each.path).name for each in found if not each.is_dir)

    def report_file(self, name: str) -> bytes | None:
        """One of these files; None where it is not there, or out of reach."""
        parent = self._parent()
        if parent is None or name not in self.report_files():
            return None
        return self._artifact(parent, f"{REPORT_FOLDER}/{name}")

    def _parent(self) -> str | None:
        """The study's own run; None before it was begun."""
        runs = self._search(f"tags.`{STUDY_TAG}` LIKE '%'")
        return min(runs, key=_age).info.run_id if runs else None

    def _search(self, condition: str) -> list[Any]:
        """All runs of the study that fit a condition of MLflow's."""
        found: list[Any] = []
        token = None
        while True:
            page = self.client.search_runs(
                [self.experiment_id], condition, ViewType.ACTIVE_ONLY, max_results=PAGE, page_token=token
            )
            found.extend(page)
            token = page.token
            if not token:
                return found

    def _artifact(self, run_id: str, name: str) -> bytes | None:
        with tempfile.TemporaryDirectory() as folder:
            try:
                return Path(self.client.download_artifacts(run_id, name, folder)).read_bytes()
            except (MlflowException, OSError):
                return None


@dataclass(frozen=True)
class StudyRun:
    """A study as MLflow has it: its own run."""

    document: dict[str, Any]
    """Its specification as stored."""
    experiment_id: str
    run_id: str
    status: str
    """MLflow's: `RUNNING` while a process works on it and after one was killed, `FINISHED` once it has ended."""
    began_ms: int
    ended_ms: int | None
    headline: str
    """What it found, as of its last report; empty where there was none."""
    experiment_tags: frozenset[str]
    """The names of its experiment's tags."""


def study_runs(uri: str) -> dict[str, StudyRun]:
    """Every study of a store by name, looked at only; empty where there is no store yet."""
    check_form(RECORDS, uri)
    file = sqlite_file(uri)
    if file is not None and not file.exists():
        return {}
    try:
        found = looked_at(file, lambda make_uri: _study_runs(uri, make_uri))
    except (MlflowException, sqlalchemy.exc.SQLAlchemyError, CommandError, ImportError) as error:
        RECORDS.refuse(uri, f"cannot be read ({why_not(error)}).", cause=error)
    return {run.document["name"]: run for run in found}


def studies(uri: str) -> dict[str, dict[str, Any]]:
    """The specification of every study in a store by name, looked at only; empty where there is no store yet."""
    return {name: run.document for name, run in study_runs(uri).items()}


def _study_runs(uri: str, make_uri: MakeUri) -> list[StudyRun]:
    """The oldest first."""
    client = client_to_look(uri, make_uri)
    tags = {each.experiment_id: frozenset(each.tags) for each in client.search_experiments()}
    found = client.search_runs([*tags], f"tags.`{STUDY_TAG}` LIKE '%'", max_results=PAGE)
    return [
        StudyRun(
            document=json.loads(run.data.tags[SPEC_TAG]),
            experiment_id=run.info.experiment_id,
            run_id=run.info.run_id,
            status=run.info.status,
            began_ms=run.info.start_time,
            ended_ms=run.info.end_time,
            headline=run.data.tags.get(HEADLINE_TAG, ""),
            experiment_tags=tags[run.info.experiment_id],
        )
        for run in sorted(found, key=_age)
        if SPEC_TAG in run.data.tags
    ]


def client_to_look(uri: str, make_uri: MakeUri | None = None) -> mlflow.MlflowClient:
    """A client that leaves an SQLite store as it is: good for one look. ``make_uri``: of `looked_at`."""
    check_tracking(uri, write=False)
    file = sqlite_file(uri)
    if file is None:
        return mlflow.MlflowClient(tracking_uri=uri)
    read_only = uri_now(file) if make_uri is None else make_uri()
    try:
        # MLflow tries for minutes to open what cannot be opened.
        with contextlib.closing(sqlite3.connect(read_only, uri=True)) as connection:
            connection.execute("SELECT 1 FROM experiments")
    except sqlite3.Error as error:
        RECORDS.refuse(uri, f"cannot be read ({error}).", cause=error)
    waits = sqlalchemy.make_url(uri).query.get("timeout")
    more = "&uri=true" + (f"&timeout={waits}" if waits is not None else "")
    made = f"{PREFIX}{read_only}{more}"
    if sqlalchemy.make_url(made).database != read_only.partition("?")[0]:  # it decodes, or not, by its version
        made = f"{PREFIX}{read_only.replace('%', '%25')}{more}"
    # A connection that stays open would keep the writer from clearing up after itself.
    pool = MLFLOW_SQLALCHEMYSTORE_POOLCLASS
    before = pool.get_raw()
    pool.set("NullPool")
    try:
        return mlflow.MlflowClient(tracking_uri=made)
    finally:
        pool.set(before) if before is not None else pool.unset()


def why_not(error: BaseException) -> str:
    """The first line of what a library says of a store."""
    return str(getattr(error, "orig", None) or error).strip().partition("\n")[0]


def _age(run: Any) -> tuple[int, str]:
    return run.info.start_time, run.info.run_id


def _measured(value: float) -> float:
    """Undo what MLflow's SQL store does to infinity: it keeps the largest float in its place."""
    return math.copysign(math.inf, value) if abs(value) == sys.float_info.max else value


def _as_record(run: Any) -> Record:
    parameters, tags = run.data.params, run.data.tags
    values: dict[str, Any] = {"status": Status(tags[STATUS_TAG]), "error": tags.get(ERROR_TAG, "")}
    later = {field.name for field in fields(Record) if field.default is not MISSING}  # unknown to earlier versions
    for name in (*TEXT_FIELDS, *PLACE_FIELDS):
        if name not in values and (name in parameters or name not in later):
            kind = Record.__annotations__[name]
            values[name] = parameters[name] if kind is str else json.loads(parameters[name])
    metrics = {
        key.removeprefix("final."): _measured(value)
        for key, value in run.data.metrics.items()
        if key.startswith("final.")
    }
    return Record(**values, metrics=metrics)
