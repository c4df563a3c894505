"""MLflow: the only module that imports it. Holds every record, curve and report; tables are read back from here.

A study is an experiment with a parent run; each trial is a child run. A child counts as a record only once it is closed
and tagged as recorded, so that a run cut off by a kill is never taken for a result.
"""

import json
import math
import os
import sqlite3
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("DO_NOT_TRACK", "true")
os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
os.environ.setdefault("MLFLOW_LOGGING_LEVEL", "WARNING")
os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")

import mlflow
import pandas as pd
from mlflow.entities import Dataset, DatasetInput, InputTag, Metric, Param, RunTag, ViewType
from mlflow.exceptions import MlflowException

from bench.record import FAULTS, TEXT_FIELDS, CurvePoint, Record, Status, now_ms
from bench.spec import StudySpec, TrialSpec, refuse_difference
from posemodel.errors import SettingsError

ARTIFACTS = "mlartifacts"
METRICS_PER_BATCH = 1000
"""MLflow's limit for one log_batch call."""
PARAMETERS_PER_BATCH = 100
PAGE = 1000
EXPECTED_METRICS = ("ap", "ap_best", "val_loss", "images_per_s", "optimizer_step_ms", "train_seconds")
"""Columns that the records always have: NaN where no trial measured them."""
CURVES = ("loss", "val_loss", "ap", "lr", "images_per_s", "data_wait_share")

_STUDY_TAG, _TRIAL_TAG, _RECORDED_TAG = "posebench.study", "posebench.trial", "posebench.recorded"
_STATUS_TAG, _ERROR_TAG, _SPEC_TAG = "posebench.status", "posebench.error", "posebench.spec"
_PARENT_TAG = "mlflow.parentRunId"
_ERROR_LENGTH = 4000
_EXPERIMENT_TAGS = {"mlflow.experimentKind": "custom_model_development"}
"""Opens MLflow's pages on training runs, not on traces of language models."""
_SOURCE_TAGS = {"mlflow.source.name": "posebench", "mlflow.source.type": "LOCAL"}


class Tracker:
    """The MLflow side of one study."""

    def __init__(self, uri: str, study_name: str, *, create: bool = True) -> None:
        """Open the store and the study's experiment; SettingsError if they are out of reach.

        ``create``: make them if needed; else a study that is not there is an error, and no file appears.
        """
        self.uri = uri
        self.study_name = study_name
        _prepare_sqlite(uri, create=create)
        try:
            self.client = mlflow.MlflowClient(tracking_uri=uri)
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
                self._log_parameters(made, _flat(spec.identity()))
                self._log_data(made, spec.data, spec.data_digest, "study")
                return made
            self.client.delete_run(made)  # another process was first
        known = StudySpec.model_validate(self.study_document())
        refuse_difference(spec.name, known.identity(), spec.identity())
        self.client.set_tag(parent, _SPEC_TAG, spec.model_dump_json())  # the data may stand in another folder now
        self.client.update_run(parent, status="RUNNING")
        return parent

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

    def log_report(self, folder: Path) -> None:
        """Attach the report's files to the parent run."""
        parent = self._parent()
        if parent is not None:
            self.client.log_artifacts(parent, str(folder), "report")

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

    def record_trial(self, run_id: str, record: Record, curve: list[CurvePoint]) -> None:
        """Write curve and record, then close the run: only from then on it counts."""
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
                rows.setdefault(record.trial_id, record.as_row() | {"run_id": run.info.run_id})
        expected = [*TEXT_FIELDS, *EXPECTED_METRICS, "run_id"]
        if not rows:
            return pd.DataFrame(columns=expected)  # of objects: a column of NaN could not be merged with ids
        frame = pd.DataFrame(list(rows.values()))
        missing = [name for name in expected if name not in frame]
        return frame.assign(**dict.fromkeys(missing, float("nan"))).sort_values("index", ignore_index=True)

    def curves(self, records: pd.DataFrame) -> pd.DataFrame:
        """Every point of the trials' curves: trial_id, step, train_seconds, and what was measured there (else NaN)."""
        points: list[pd.DataFrame] = []
        for row in records.itertuples():
            columns = {
                name: pd.Series({m.step: _measured(m.value) for m in self.client.get_metric_history(row.run_id, name)})
                for name in (*CURVES, "train_seconds")
            }
            frame = pd.DataFrame(columns).rename_axis("step").reset_index()
            points.append(frame.assign(trial_id=row.trial_id))
        if not points:
            return pd.DataFrame(columns=["trial_id", "step", "train_seconds", *CURVES])
        return pd.concat(points, ignore_index=True)

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
        path.parent.mkdir(parents=True, exist_ok=True)
        connection = sqlite3.connect(path, timeout=60)
        connection.execute("PRAGMA journal_mode=WAL")
        connection.close()


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
