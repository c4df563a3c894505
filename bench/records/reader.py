"""Read a study's records, curves and report from MLflow, and list the studies of a store, without changing it.

A child run counts as a record only once it is closed and tagged as recorded (written by `bench.records.writer`).
"""

import contextlib
import json
import math
import sqlite3
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import MISSING, dataclass, fields
from pathlib import Path
from typing import Any

from bench.storage import mlflow_environment  # noqa: F401 (MLflow reads it)

# isort: split
import mlflow
import pandas as pd
import sqlalchemy
from alembic.util.exc import CommandError
from mlflow.entities import ViewType
from mlflow.environment_variables import MLFLOW_SQLALCHEMYSTORE_POOLCLASS
from mlflow.exceptions import MlflowException

from bench.records.histories import histories
from bench.records.store_check import check_tracking
from bench.storage.addresses import RECORDS, check_form
from bench.storage.masking import masked
from bench.storage.sqlite_files import PREFIX, MakeUri, read_undisturbed, sqlite_file, uri_now
from bench.trials.record import OPTIONAL_FIELDS, TEXT_FIELDS, Record, Session
from bench.trials.status import Status
from bench.workloads.protocol import Samples
from posemodel.errors import SettingsError

PAGE = 1000
EXPECTED_METRICS = ("ap", "ap_best", "val_loss", "images_per_s", "optimizer_step_ms", "train_seconds")
"""Metric columns that the records always have; NaN if no trial measured them."""
RUN_COLUMNS = ("run_id", "started_ms", "ended_ms")
"""Columns that come from a record's MLflow run: id, begin and end (milliseconds since the epoch)."""
EVALUATION_METRICS = ("ap", "val_loss")
CURVE_METRICS = ("loss", *EVALUATION_METRICS, "lr", "images_per_s", "data_wait_share")
SAMPLES_FILE, SHEET_FILE = "samples.json", "samples.jpg"
REPORT_FOLDER = "report"
"""Artifact folder of the report in a study's own run."""

STUDY_TAG, TRIAL_TAG, RECORDED_TAG = "posebench.study", "posebench.trial", "posebench.recorded"
STATUS_TAG, ERROR_TAG, SPEC_TAG = "posebench.status", "posebench.error", "posebench.spec"
HEADLINE_TAG = "posebench.headline"
"""Tag with a study's result in plain sentences, as of its last report."""
LOOKED_TAG = "posebench.looked"
"""Tag with the amounts (of tunings, for instance) with which a study had finished before it was extended."""
SESSION_TAG = "posebench.session."
"""Prefix of the tags of a study's run that hold its sessions."""


class StudyRuns:
    """Reads the MLflow runs of one study."""

    def __init__(self, client: mlflow.MlflowClient, experiment_id: str, uri: str, study_name: str) -> None:
        """``client``: of the store at ``uri``; ``experiment_id``: id of the study's experiment."""
        self.client, self.experiment_id = client, experiment_id
        self.uri, self.study_name = uri, study_name

    def study_document(self) -> dict[str, Any]:
        """Return the study's stored specification; SettingsError if the study was never begun."""
        document: dict[str, Any] = json.loads(self._begun_run().data.tags[SPEC_TAG])
        return document

    def own_run(self) -> str:
        """Return the id of the study's own run; SettingsError if the study was never begun."""
        run_id: str = self._begun_run().info.run_id
        return run_id

    def machine(self) -> dict[str, str]:
        """Return the fingerprint of the machine that began the study."""
        tags = self.study_tags()
        return {key.removeprefix("machine."): value for key, value in tags.items() if key.startswith("machine.")}

    def sessions(self) -> pd.DataFrame:
        """Return a row for each session, with the fields of `Session`; none in old studies."""
        later = {field.name: field.default for field in fields(Session) if field.default is not MISSING}
        texts = [value for key, value in self.study_tags().items() if key.startswith(SESSION_TAG)]
        columns = [field.name for field in fields(Session)]
        return pd.DataFrame([later | json.loads(text) for text in texts], columns=columns)

    def finished(self) -> bool:
        """Return True if the study and its report are finished."""
        return is_finished(self._study_run())

    def finished_amounts(self, extends_by: Sequence[str]) -> frozenset[int]:
        """Return the amounts with which the study has finished, now or before an extension.

        ``extends_by``: settings by which it can be extended (`StudyBase.extends_by`).
        """
        run = self._begun_run()
        amounts = frozenset(json.loads(run.data.tags.get(LOOKED_TAG, "[]")))
        document = json.loads(run.data.tags[SPEC_TAG])
        return amounts | {document[name] for name in extends_by if is_finished(run)}

    def recorded(self, trial_id: str) -> Record | None:
        """Return the record of a trial; None if there is none."""
        closed = [run for run in self._search(f"tags.`{TRIAL_TAG}` = '{trial_id}'") if _is_record(run)]
        return _as_record(min(closed, key=_age)) if closed else None

    def records(self) -> pd.DataFrame:
        """Return all records of the study in the plan's order: one row per trial, with the columns `RUN_COLUMNS`."""
        rows = self.record_rows()
        expected = [*TEXT_FIELDS, *EXPECTED_METRICS, *RUN_COLUMNS]
        if not rows:
            return pd.DataFrame(columns=expected)  # object columns: a column of NaN could not be merged with ids
        frame = pd.DataFrame(rows)
        missing = [name for name in expected if name not in frame]
        return frame.assign(**dict.fromkeys(missing, float("nan"))).sort_values("index", ignore_index=True)

    def record_rows(self, ended_after_ms: int | None = None) -> list[dict[str, Any]]:
        """Return a row for each recorded trial, with the columns `RUN_COLUMNS`, oldest first.

        ``ended_after_ms``: return only those whose run ended later, by the clock of the machine that recorded it.
        """
        later = "" if ended_after_ms is None else f" and attributes.end_time > {ended_after_ms}"
        oldest: dict[str, tuple[tuple[int, str], dict[str, Any]]] = {}
        for run in self._search_pages(f"tags.`{RECORDED_TAG}` = 'true'{later}"):
            if not _is_record(run):
                continue
            record, age = _as_record(run), _age(run)
            run_values = (run.info.run_id, run.info.start_time, run.info.end_time)
            if record.trial_id not in oldest or age < oldest[record.trial_id][0]:
                row = record.as_row() | dict(zip(RUN_COLUMNS, run_values, strict=True))
                oldest[record.trial_id] = (age, row)
        return [row for _, row in sorted(oldest.values(), key=lambda each: each[0])]

    def closed_runs(self) -> list[Any]:
        """Return the runs that count as records, oldest first."""
        return sorted(filter(_is_record, self._search_pages(f"tags.`{RECORDED_TAG}` = 'true'")), key=_age)

    def child_runs(self) -> list[Any]:
        """Return all runs of the study's trials or measurements, in any state, oldest first."""
        return sorted(self._search(f"tags.`{TRIAL_TAG}` LIKE '%'"), key=_age)

    def study_tags(self) -> dict[str, str]:
        """Return the tags of the study's own run; empty before the study was begun."""
        run = self._study_run()
        return dict(run.data.tags) if run is not None else {}

    def curves(self, records: pd.DataFrame, names: Sequence[str] = CURVE_METRICS) -> pd.DataFrame:
        """Return the trials' curves: a row for each step at which one of the metrics ``names`` was measured.

        Columns: trial_id, step, train_seconds and ``names`` (NaN if not measured at that step).
        """
        columns = ["trial_id", "step", "train_seconds", *names]
        if not len(records):
            return pd.DataFrame(columns=columns)
        trials = dict(zip(records["run_id"], records["trial_id"], strict=True))
        order = {run_id: position for position, run_id in enumerate(trials)}
        values: dict[str, pd.Series] = {}
        wanted: set[tuple[int, int]] = set()
        for name in (*names, "train_seconds"):
            is_shown = name != "train_seconds"  # measured at each window and each evaluation: most may not be wanted
            by_step = {
                (order[run_id], step): _measured(value)
                for run_id, step, value in histories(self.client, list(trials), name)
                if is_shown or (order[run_id], step) in wanted
            }
            wanted.update(by_step)
            index = pd.MultiIndex.from_tuples(by_step, names=["run", "step"])
            values[name] = pd.Series(list(by_step.values()), index, dtype=float)
        frame = pd.DataFrame(values).sort_index().dropna(subset=list(names), how="all").reset_index()
        return frame.assign(trial_id=frame["run"].map(dict(enumerate(trials.values()))))[columns]

    def samples(self, run_id: str) -> Samples | None:
        """Return the samples of a recorded trial; None if it has none, or they are unreachable or damaged."""
        document, sheet = (self._artifact(run_id, name) for name in (SAMPLES_FILE, SHEET_FILE))
        try:
            return Samples(json.loads(document), sheet) if document is not None else None
        except ValueError:
            return None

    def report_files(self) -> list[str]:
        """Return the names of the report's files attached to the study's run; empty if they are unreachable."""
        parent = self._parent()
        try:
            artifacts = self.client.list_artifacts(parent, REPORT_FOLDER) if parent is not None else []
        except (MlflowException, OSError):
            return []
        return sorted(Path(each.path).name for each in artifacts if not each.is_dir)

    def report_file(self, name: str) -> bytes | None:
        """Return the content of one of the report's files; None if it is missing or unreachable."""
        parent = self._parent()
        if parent is None or name not in self.report_files():
            return None
        return self._artifact(parent, f"{REPORT_FOLDER}/{name}")

    def _begun_run(self) -> Any:
        """Return the study's own run; SettingsError if the study was never begun."""
        run = self._study_run()
        if run is None:
            raise SettingsError(f"study: MLflow at {masked(self.uri)} has no study called {self.study_name!r}.")
        return run

    def _parent(self) -> str | None:
        """Return the id of the study's own run; None before the study was begun."""
        run = self._study_run()
        return None if run is None else run.info.run_id

    def _study_run(self) -> Any:
        """Return the study's own run, with its tags and latest metrics; None before the study was begun."""
        return next(iter(self._study_runs()), None)

    def _study_runs(self) -> list[Any]:
        """Return the study's own run, and any that was created at the same moment, oldest first."""
        return sorted(self._search(f"tags.`{STUDY_TAG}` LIKE '%'"), key=_age)

    def _search(self, condition: str) -> list[Any]:
        """Return all runs of the study that match a condition in MLflow's filter language."""
        return list(self._search_pages(condition))

    def _search_pages(self, condition: str) -> Iterator[Any]:
        """Yield these runs while only a page of them is in memory; a run begun meanwhile may make one come twice."""
        token = None
        while True:
            page = self.client.search_runs(
                [self.experiment_id], condition, ViewType.ACTIVE_ONLY, max_results=PAGE, page_token=token
            )
            yield from page
            token = page.token
            if not token:
                return

    def _artifact(self, run_id: str, name: str) -> bytes | None:
        with tempfile.TemporaryDirectory() as folder:
            try:
                return Path(self.client.download_artifacts(run_id, name, folder)).read_bytes()
            except (MlflowException, OSError):
                return None


@dataclass(frozen=True)
class StudyRun:
    """A study's own run in MLflow."""

    document: dict[str, Any]
    """Stored specification of the study."""
    experiment_id: str
    run_id: str
    status: str
    """MLflow's status: `RUNNING` while a process works on it or if one was killed, `FINISHED` once it has ended."""
    began_ms: int
    ended_ms: int | None
    headline: str
    """Result as of its last report; empty if there is none."""
    experiment_tags: frozenset[str]
    """Names of its experiment's tags."""


def study_runs(uri: str) -> dict[str, StudyRun]:
    """Return every study of a store by name, read-only; empty if there is no store yet."""
    check_form(RECORDS, uri)
    file = sqlite_file(uri)
    if file is not None and not file.exists():
        return {}
    try:
        runs = read_undisturbed(file, lambda make_uri: _study_runs(uri, make_uri))
    except (MlflowException, sqlalchemy.exc.SQLAlchemyError, CommandError, ImportError) as error:
        RECORDS.refuse(uri, f"cannot be read ({first_line_of(error)}).", cause=error)
    return {run.document["name"]: run for run in runs}


def studies(uri: str) -> dict[str, dict[str, Any]]:
    """Return the stored specification of every study by name, read-only; empty if there is no store yet."""
    return {name: run.document for name, run in study_runs(uri).items()}


def _study_runs(uri: str, make_uri: MakeUri) -> list[StudyRun]:
    client = read_only_client(uri, make_uri)
    tags = {each.experiment_id: frozenset(each.tags) for each in client.search_experiments()}
    runs = client.search_runs([*tags], f"tags.`{STUDY_TAG}` LIKE '%'", max_results=PAGE)
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
        for run in sorted(runs, key=_age)
        if SPEC_TAG in run.data.tags
    ]


def read_only_client(uri: str, make_uri: MakeUri | None = None) -> mlflow.MlflowClient:
    """Return a client that does not change an SQLite store; use it for a single read.

    ``make_uri``: argument of the function that `read_undisturbed` calls; None outside of it.
    """
    check_tracking(uri, write=False)
    file = sqlite_file(uri)
    if file is None:
        return mlflow.MlflowClient(tracking_uri=uri)
    read_only = uri_now(file) if make_uri is None else make_uri()
    try:
        # Try first: MLflow retries for minutes to open a file that cannot be opened.
        with contextlib.closing(sqlite3.connect(read_only, uri=True)) as connection:
            connection.execute("SELECT 1 FROM experiments")
    except sqlite3.Error as error:
        RECORDS.refuse(uri, f"cannot be read ({error}).", cause=error)
    timeout = sqlalchemy.make_url(uri).query.get("timeout")
    query = "&uri=true" + (f"&timeout={timeout}" if timeout is not None else "")
    read_only_url = f"{PREFIX}{read_only}{query}"
    if sqlalchemy.make_url(read_only_url).database != read_only.partition("?")[0]:  # some versions decode it
        read_only_url = f"{PREFIX}{read_only.replace('%', '%25')}{query}"
    # No connection pool: an open connection would prevent the writer from removing its temporary files.
    pool = MLFLOW_SQLALCHEMYSTORE_POOLCLASS
    before = pool.get_raw()
    pool.set("NullPool")
    try:
        return mlflow.MlflowClient(tracking_uri=read_only_url)
    finally:
        pool.set(before) if before is not None else pool.unset()


def first_line_of(error: BaseException) -> str:
    """Return the first line of a library's error message about a store."""
    return str(getattr(error, "orig", None) or error).strip().partition("\n")[0]


def is_finished(run: Any) -> bool:
    """Return True if a study's own run says that study and report are finished; ``run``: None before it was begun."""
    return run is not None and run.info.status == "FINISHED"


def _is_record(run: Any) -> bool:
    return run.data.tags.get(RECORDED_TAG) == "true" and run.info.status in ("FINISHED", "FAILED")


def _age(run: Any) -> tuple[int, str]:
    return run.info.start_time, run.info.run_id


def _measured(value: float) -> float:
    """Restore infinity, which MLflow's SQL store replaces by the largest float."""
    return math.copysign(math.inf, value) if abs(value) == sys.float_info.max else value


def _as_record(run: Any) -> Record:
    parameters, tags = run.data.params, run.data.tags
    values: dict[str, Any] = {"status": Status(tags[STATUS_TAG]), "error": tags.get(ERROR_TAG, "")}
    later = {field.name for field in fields(Record) if field.default is not MISSING}  # missing in older studies
    for name in (*TEXT_FIELDS, *OPTIONAL_FIELDS):
        if name not in values and (name in parameters or name not in later):
            kind = Record.__annotations__[name]
            values[name] = parameters[name] if kind in (str, str | None) else json.loads(parameters[name])
    metrics = {
        key.removeprefix("final."): _measured(value)
        for key, value in run.data.metrics.items()
        if key.startswith("final.")
    }
    return Record(**values, metrics=metrics)
