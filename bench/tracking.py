"""MLflow: the only module that imports it. Holds every record, curve and report; tables are read back from here.

A study is an experiment with a parent run; each trial is a child run. A child counts as a record only once it is closed
and tagged as recorded, so that a run cut off by a kill is never taken for a result.
"""

import contextlib
import hashlib
import json
import math
import os
import shutil
import sqlite3
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("DO_NOT_TRACK", "true")
os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
os.environ.setdefault("MLFLOW_LOGGING_LEVEL", "WARNING")
os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")

import cv2
import mlflow
import numpy as np
import pandas as pd
import sqlalchemy
from filelock import FileLock
from mlflow.entities import Dataset, DatasetInput, InputTag, Metric, Param, RunTag, ViewType
from mlflow.environment_variables import MLFLOW_SQLALCHEMYSTORE_POOLCLASS
from mlflow.exceptions import MlflowException

from bench.mlflow_views import saved_views
from bench.record import FAULTS, TEXT_FIELDS, CurvePoint, Record, Samples, Status, now_ms
from bench.spec import StudySpec, TrialSpec, refuse_difference
from bench.sqlite_files import PREFIX, looked_at, read_only_uri, sqlite_file
from posemodel.errors import SettingsError

ARTIFACTS = "mlartifacts"
METRICS_PER_BATCH = 1000
"""MLflow's limit for one log_batch call."""
PARAMETERS_PER_BATCH = 100
PAGE = 1000
EXPECTED_METRICS = ("ap", "ap_best", "val_loss", "images_per_s", "optimizer_step_ms", "train_seconds")
"""Columns that the records always have: NaN where no trial measured them."""
RUN_COLUMNS = ("run_id", "started_ms", "ended_ms")
"""What a row of the records has from its MLflow run: id, begin and end (milliseconds since the epoch)."""
EVALUATED = ("ap", "val_loss")
CURVES = ("loss", *EVALUATED, "lr", "images_per_s", "data_wait_share")
SAMPLES_FILE, SHEET_FILE = "samples.json", "samples.jpg"
SHEET_IN_CHARTS = cv2.IMREAD_REDUCED_COLOR_2
"""The sheet in MLflow's image charts has half the side of the file's: they keep it as PNG."""

_STUDY_TAG, _TRIAL_TAG, _RECORDED_TAG = "posebench.study", "posebench.trial", "posebench.recorded"
_STATUS_TAG, _ERROR_TAG, _SPEC_TAG = "posebench.status", "posebench.error", "posebench.spec"
_PARENT_TAG, _NOTE_TAG = "mlflow.parentRunId", "mlflow.note.content"
_NOTE_LENGTH = 8000
"""Characters that MLflow keeps of a run's tag."""
_ERROR_LENGTH = 4000
_EXPERIMENT_TAGS = {"mlflow.experimentKind": "custom_model_development"}
"""Opens MLflow's pages on training runs, not on traces of language models."""
_SOURCE_TAGS = {"mlflow.source.name": "posebench", "mlflow.source.type": "LOCAL"}


class Tracker:
    """The MLflow side of one study."""

    def __init__(self, uri: str, study_name: str, *, create: bool = True) -> None:
        """Open the store and the study's experiment; SettingsError if they are out of reach.

        ``create``: make them if needed; else a study that is not there is an error, no file appears, and a store that
        is an SQLite file is opened only to be read.
        """
        self.uri = uri
        self.study_name = study_name
        _prepare_sqlite(uri, create=create)
        try:
            self.client = mlflow.MlflowClient(tracking_uri=uri) if create else _client_to_look(uri)
            self.experiment_id = self._open_experiment(create=create)
        except MlflowException as error:
            raise SettingsError(f"MLFLOW_TRACKING_URI {uri}: cannot be used ({error}).") from error

    def _open_experiment(self, *, create: bool) -> str:
        found = self.client.get_experiment_by_name(self.study_name)
        if found is None and not create:
            have = ", ".join(sorted(e.name for e in self.client.search_experiments() if e.name != "Default")) or "none"
            raise SettingsError(f"study: there is no study {self.study_name!r} at {self.uri} (studies here: {have}).")
        if found is None:
            # Left alone, MLflow would choose ./mlruns; a server chooses for itself.
            remote = self.uri.startswith(("http://", "https://"))
            location = None if remote else (Path(ARTIFACTS) / self.study_name).absolute().as_uri()
            try:
                return self.client.create_experiment(self.study_name, artifact_location=location, tags=_EXPERIMENT_TAGS)
            except MlflowException:
                found = self.client.get_experiment_by_name(self.study_name)  # another process was first
                if found is None:
                    raise
        if found.lifecycle_stage != "active":
            raise SettingsError(f"name: MLflow's experiment {self.study_name!r} is deleted; restore it or use --name.")
        return found.experiment_id

    def open_study(self, spec: StudySpec, machine: Mapping[str, str]) -> str:
        """The study's parent run: made once, set to RUNNING again when the study goes on.

        The specification is a tag of the run's creation, so that no kill can leave a parent without it. SettingsError
        shows the difference if the name stands for another study.
        """
        self._save_views(spec.kind)
        parent = self._parent()
        if parent is None:
            tags = {
                **_SOURCE_TAGS,
                _STUDY_TAG: spec.kind,
                _SPEC_TAG: spec.model_dump_json(),
                **{f"machine.{key}": value for key, value in machine.items()},
            }
            made = self.client.create_run(self.experiment_id, run_name=spec.name, tags=tags).info.run_id
            parent = self._parent()
            if parent is None or parent == made:
                self._describe_study(made, spec)
                return made
            self.client.delete_run(made)  # another process was first
        known = StudySpec.model_validate(self.study_document())
        refuse_difference(spec.name, known.identity(), spec.identity())
        self.client.set_tag(parent, _SPEC_TAG, spec.model_dump_json())  # the data may stand in another folder now
        if not self.client.get_run(parent).inputs.dataset_inputs:
            self._describe_study(parent, spec)  # a kill came in between
        self.client.update_run(parent, status="RUNNING")
        return parent

    def _describe_study(self, parent: str, spec: StudySpec) -> None:
        self._log_parameters(parent, _flat(spec.identity()))
        self._log_data(parent, spec.data, spec.data_digest, "study")  # last: what is there says that all is

    def _save_views(self, kind: str) -> None:
        """Views of the experiment's page that are not there yet; one that a person has changed stays so."""
        present = self.client.get_experiment(self.experiment_id).tags
        for key, value in saved_views(kind).items():
            if key not in present:
                self.client.set_experiment_tag(self.experiment_id, key, value)

    def close_study(self, status: str) -> None:
        """End the parent run: FINISHED, or KILLED when the study was interrupted."""
        parent = self._parent()
        if parent is not None:
            self.client.set_terminated(parent, status)

    def study_document(self) -> dict[str, Any]:
        """The study's specification as stored; SettingsError if it was never begun."""
        parent = self._parent()
        if parent is None:
            raise SettingsError(f"study: MLflow at {self.uri} has no study called {self.study_name!r}.")
        return json.loads(self.client.get_run(parent).data.tags[_SPEC_TAG])

    def machine(self) -> dict[str, str]:
        """The fingerprint of the machine that began the study."""
        parent = self._parent()
        tags = self.client.get_run(parent).data.tags if parent is not None else {}
        return {key.removeprefix("machine."): value for key, value in tags.items() if key.startswith("machine.")}

    def log_report(self, folder: Path, note: str = "") -> None:
        """Attach the report's files to the parent run; ``note`` (Markdown) is what its page in MLflow's UI begins with.

        The experiment's page shows the note too.
        """
        parent = self._parent()
        if parent is not None:
            self.client.log_artifacts(parent, str(folder), "report")
            self.client.set_tag(parent, _NOTE_TAG, note[:_NOTE_LENGTH])
            self.client.set_experiment_tag(self.experiment_id, _NOTE_TAG, note[:_NOTE_LENGTH])

    def start_trial(self, spec: TrialSpec, parent: str) -> str:
        """Begin a child run."""
        name = f"{spec.phase}-{spec.optimizer}-{spec.index}"
        tags = {
            **_SOURCE_TAGS,
            _PARENT_TAG: parent,
            _TRIAL_TAG: spec.id,
            "optimizer": spec.optimizer,
            "phase": spec.phase,
        }
        run_id = self.client.create_run(self.experiment_id, run_name=name, tags=tags).info.run_id
        self._log_data(run_id, spec.train.data, spec.data_digest, spec.train.val_split)
        return run_id

    def record_trial(
        self, run_id: str, record: Record, curve: list[CurvePoint], samples: Samples | None = None
    ) -> None:
        """Write samples, curve and record, then close the run: only from then on it counts."""
        if samples is not None:
            self._log_samples(run_id, samples, record.steps_done)
        metrics = [
            Metric(key, float(value), point.time_ms, point.step)
            for point in curve
            for key, value in point.metrics.items()
        ]
        now = now_ms()
        metrics += [
            Metric(f"final.{key}", float(value), now, record.steps_done)
            for key, value in record.metrics.items()
            if value is not None
        ]
        for first in range(0, len(metrics), METRICS_PER_BATCH):
            self.client.log_batch(run_id, metrics=metrics[first : first + METRICS_PER_BATCH])
        fields = {name: getattr(record, name) for name in TEXT_FIELDS if name not in ("status", "error")}
        fields |= {f"hp.{name}": value for name, value in json.loads(record.hyperparameters).items()}
        self._log_parameters(run_id, fields)
        tags = {_STATUS_TAG: str(record.status), _ERROR_TAG: record.error[:_ERROR_LENGTH], _RECORDED_TAG: "true"}
        self.client.log_batch(run_id, tags=[RunTag(key, value) for key, value in tags.items()])
        self.client.set_terminated(run_id, "FAILED" if record.status in FAULTS else "FINISHED")

    def abandon(self, trial_id: str | None = None) -> None:
        """Close as KILLED the runs that a dead worker left open (of one trial, or all of the study's trials)."""
        condition = f"attributes.status = 'RUNNING' and tags.`{_TRIAL_TAG}` {_matches(trial_id)}"
        for run in self._search(condition):
            self.client.set_terminated(run.info.run_id, "KILLED")

    def recorded(self, trial_id: str) -> Record | None:
        """The record of a trial, if there is one."""
        runs = self._search(f"tags.`{_RECORDED_TAG}` = 'true' and tags.`{_TRIAL_TAG}` = '{trial_id}'")
        closed = [run for run in runs if run.info.status in ("FINISHED", "FAILED")]
        return _as_record(min(closed, key=_age)) if closed else None

    def records(self) -> pd.DataFrame:
        """All records of the study, one row each with its `run_id`, in the plan's order; a trial has one row."""
        rows: dict[str, dict[str, Any]] = {}
        for run in sorted(self._search(f"tags.`{_RECORDED_TAG}` = 'true'"), key=_age):
            if run.info.status in ("FINISHED", "FAILED"):
                record = _as_record(run)
                place = (run.info.run_id, run.info.start_time, run.info.end_time)
                rows.setdefault(record.trial_id, record.as_row() | dict(zip(RUN_COLUMNS, place, strict=True)))
        expected = [*TEXT_FIELDS, *EXPECTED_METRICS, *RUN_COLUMNS]
        if not rows:
            return pd.DataFrame(columns=expected)  # of objects: a column of NaN could not be merged with ids
        frame = pd.DataFrame(list(rows.values()))
        missing = [name for name in expected if name not in frame]
        return frame.assign(**dict.fromkeys(missing, float("nan"))).sort_values("index", ignore_index=True)

    def curves(self, records: pd.DataFrame, names: Sequence[str] = CURVES) -> pd.DataFrame:
        """The trials' curves: trial_id, step, train_seconds, and ``names`` (NaN where not measured at that step).

        One row for each step at which one of ``names`` was measured. MLflow answers one request for each run and name
        (5 ms on SQLite): `EVALUATED` asks for little.
        """
        columns = ["trial_id", "step", "train_seconds", *names]
        points: list[pd.DataFrame] = []
        for row in records.itertuples():
            history = {
                name: pd.Series({m.step: _measured(m.value) for m in self.client.get_metric_history(row.run_id, name)})
                for name in (*names, "train_seconds")
            }
            frame = pd.DataFrame(history).rename_axis("step").reset_index().dropna(subset=list(names), how="all")
            points.append(frame.assign(trial_id=row.trial_id))
        return pd.concat(points, ignore_index=True)[columns] if points else pd.DataFrame(columns=columns)

    def samples(self, run_id: str) -> Samples | None:
        """The samples of a recorded trial; None where it left none, or where they are out of reach or damaged."""
        document, sheet = (self._artifact(run_id, name) for name in (SAMPLES_FILE, SHEET_FILE))
        try:
            return Samples(json.loads(document), sheet) if document is not None else None
        except ValueError:
            return None

    def _artifact(self, run_id: str, name: str) -> bytes | None:
        with tempfile.TemporaryDirectory() as folder:
            try:
                return Path(self.client.download_artifacts(run_id, name, folder)).read_bytes()
            except (MlflowException, OSError):
                return None

    def _log_samples(self, run_id: str, samples: Samples, step: int) -> None:
        """Both files, and the sheet once more for the charts of MLflow's pages, which show images by key and step."""
        with tempfile.TemporaryDirectory() as folder:
            Path(folder, SAMPLES_FILE).write_text(json.dumps(samples.document))
            if samples.sheet is not None:
                Path(folder, SHEET_FILE).write_bytes(samples.sheet)
            self.client.log_artifacts(run_id, folder)
        if samples.sheet is not None:
            image = cv2.imdecode(np.frombuffer(samples.sheet, np.uint8), SHEET_IN_CHARTS)
            self.client.log_image(run_id, cv2.cvtColor(image, cv2.COLOR_BGR2RGB), key="samples", step=step)

    def _parent(self) -> str | None:
        runs = self._search(f"tags.`{_STUDY_TAG}` LIKE '%'")
        return min(runs, key=_age).info.run_id if runs else None

    def _search(self, condition: str) -> list[Any]:
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

    def _log_parameters(self, run_id: str, values: Mapping[str, Any]) -> None:
        parameters = [Param(key, _text(value)) for key, value in values.items()]
        for first in range(0, len(parameters), PARAMETERS_PER_BATCH):
            self.client.log_batch(run_id, params=parameters[first : first + PARAMETERS_PER_BATCH])

    def _log_data(self, run_id: str, folder: Path, digest: str, context: str) -> None:
        dataset = Dataset(
            name=folder.name, digest=digest, source_type="local", source=json.dumps({"uri": folder.as_posix()})
        )  # fmt: skip
        self.client.log_inputs(run_id, [DatasetInput(dataset, [InputTag("mlflow.data.context", context)])])


def _prepare_sqlite(uri: str, *, create: bool) -> None:
    """WAL lets readers (the UI, `posebench report`) look while a worker writes; it is a property of the file."""
    if uri.startswith("sqlite:///"):
        path = Path(uri.removeprefix("sqlite:///"))
        if not create and not path.is_file():
            raise SettingsError(f"{uri}: no such file here. Run a study first, or set MLFLOW_TRACKING_URI.")
        if not create:
            return
        _make_sqlite(path)
        connection = sqlite3.connect(path, timeout=60)
        connection.execute("PRAGMA journal_mode=WAL")
        connection.close()


def _make_sqlite(path: Path) -> None:
    """Make MLflow's tables where there are none, elsewhere first: it takes over 1,500 statements, seconds of time.

    A file that a kill leaves halfway through them is refused by MLflow for good.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    workshop = path.with_name(f"{path.name}.part")
    key = hashlib.sha256(str(path.resolve()).encode()).hexdigest()[:16]
    with FileLock(Path(tempfile.gettempdir(), f"posebench-{key}.lock")):
        if not path.is_file():
            shutil.rmtree(workshop, ignore_errors=True)  # a killed process's
            workshop.mkdir()
            mlflow.MlflowClient(tracking_uri=f"sqlite:///{workshop / path.name}").search_experiments(max_results=1)
            (workshop / path.name).replace(path)
        shutil.rmtree(workshop, ignore_errors=True)


def studies(uri: str) -> dict[str, dict[str, Any]]:
    """The specification of every study in a store by name, looked at only; empty where there is no store yet."""
    file = sqlite_file(uri)
    if file is not None and not file.is_file():
        return {}
    try:
        parents = looked_at(file, lambda: _study_runs(uri))
    except (MlflowException, sqlalchemy.exc.SQLAlchemyError) as error:
        why = str(getattr(error, "orig", None) or error).partition("\n")[0]
        raise SettingsError(f"MLFLOW_TRACKING_URI {uri}: cannot be read ({why}).") from error
    documents = [json.loads(run.data.tags[_SPEC_TAG]) for run in sorted(parents, key=_age)]
    return {document["name"]: document for document in documents}


def _study_runs(uri: str) -> list[Any]:
    client = _client_to_look(uri)
    experiments = [each.experiment_id for each in client.search_experiments()]
    return list(client.search_runs(experiments, f"tags.`{_STUDY_TAG}` LIKE '%'", max_results=PAGE))


def _client_to_look(uri: str) -> mlflow.MlflowClient:
    """A client that leaves an SQLite store as it is: good for one look, see `read_only_uri`."""
    file = sqlite_file(uri)
    if file is None:
        return mlflow.MlflowClient(tracking_uri=uri)
    read_only = read_only_uri(file)
    try:
        # MLflow tries for minutes to open what cannot be opened.
        with contextlib.closing(sqlite3.connect(read_only, uri=True)) as connection:
            connection.execute("SELECT 1 FROM experiments")
    except sqlite3.Error as error:
        raise SettingsError(f"MLFLOW_TRACKING_URI {uri}: cannot be read ({error}).") from error
    made = f"{PREFIX}{read_only}&uri=true"
    if sqlalchemy.make_url(made).database != read_only.partition("?")[0]:  # it decodes, or not, by its version
        made = f"{PREFIX}{read_only.replace('%', '%25')}&uri=true"
    # A connection that stays open would keep the writer from clearing up after itself.
    pool = MLFLOW_SQLALCHEMYSTORE_POOLCLASS
    before = pool.get_raw()
    pool.set("NullPool")
    try:
        return mlflow.MlflowClient(tracking_uri=made)
    finally:
        pool.set(before) if before is not None else pool.unset()


def _matches(trial_id: str | None) -> str:
    return f"= '{trial_id}'" if trial_id is not None else "LIKE '%'"


def _age(run: Any) -> tuple[int, str]:
    return run.info.start_time, run.info.run_id


def _text(value: Any) -> str:
    """Exactly invertible by ``json.loads`` for numbers and booleans; text stays as it is."""
    return value if isinstance(value, str) else json.dumps(value)


def _measured(value: float) -> float:
    """Undo what MLflow's SQL store does to infinity: it keeps the largest float in its place."""
    return math.copysign(math.inf, value) if abs(value) == sys.float_info.max else value


def _flat(document: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in document.items() if key != "spaces"} | {
        f"space.{name}": space for name, space in document.get("spaces", {}).items()
    }


def _as_record(run: Any) -> Record:
    parameters, tags = run.data.params, run.data.tags
    values: dict[str, Any] = {"status": Status(tags[_STATUS_TAG]), "error": tags.get(_ERROR_TAG, "")}
    for name in TEXT_FIELDS:
        if name not in values:
            kind = Record.__annotations__[name]
            values[name] = parameters[name] if kind is str else json.loads(parameters[name])
    metrics = {
        key.removeprefix("final."): _measured(value)
        for key, value in run.data.metrics.items()
        if key.startswith("final.")
    }
    return Record(**values, metrics=metrics)
