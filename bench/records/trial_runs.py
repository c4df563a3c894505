"""Write the MLflow runs of a study's trials; only a run that is complete and closed counts as a record."""

import json
import socket
import tempfile
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from bench.storage import mlflow_environment  # noqa: F401 (MLflow reads it)

# isort: split
import cv2
import mlflow
import numpy as np
import sqlalchemy
from mlflow.entities import Dataset, DatasetInput, InputTag, Metric, Param, RunTag
from mlflow.exceptions import MlflowException
from mlflow.utils.mlflow_tags import MLFLOW_LOGGED_IMAGES

from bench.records.patient_client import patiently
from bench.records.reader import (
    ERROR_TAG,
    RECORDED_TAG,
    SAMPLES_FILE,
    SHEET_FILE,
    STATUS_TAG,
    TRIAL_TAG,
    StudyRuns,
)
from bench.storage.addresses import RECORDS
from bench.storage.patience import status_of
from bench.storage.printing import log
from bench.storage.visible import visible
from bench.trials.record import OPTIONAL_FIELDS, TEXT_FIELDS, CurvePoint, Record, now_ms
from bench.trials.spec import TrialSpec
from bench.trials.status import FAULTS
from bench.workloads.protocol import Samples

METRICS_PER_BATCH = 1000
"""MLflow's limit for one log_batch call."""
PARAMETERS_PER_BATCH = 100
SHEET_IN_CHARTS = cv2.IMREAD_REDUCED_COLOR_2
"""Reads the sample sheet at half its side length for MLflow's image charts, which store PNG files."""

PARENT_TAG = "mlflow.parentRunId"
ERROR_LENGTH = 4000
"""Longest error in characters."""
_ALREADY_PRESENT = ("IntegrityError", "UniqueViolation")
"""Names of the error for inserting an existing row, as SQLite's and PostgreSQL's drivers put them in an answer."""
HOST_TAG, GPU_TAG = "posebench.host", "posebench.gpu"
"""Tags of a trial's run: the machine that it ran on, and the model and UUID of its GPU."""
SOURCE_TAGS = {"mlflow.source.name": "posebench", "mlflow.source.type": "LOCAL"}


class TrialRuns(StudyRuns):
    """Writes the runs of one study's trials, and reads all runs of the study as `StudyRuns` does."""

    def start_trial(self, spec: TrialSpec, parent: str, *, began_ms: int | None = None, host: str | None = None) -> str:
        """Begin the child run of a trial and return its id.

        Args:
            spec: The trial.
            parent: Id of the study's run.
            began_ms: When it began, in milliseconds since the epoch; None: now.
            host: Machine that runs it; None: this one.
        """
        name = f"{spec.phase}-{spec.optimizer}-{spec.index}"
        tags = {
            **SOURCE_TAGS,
            PARENT_TAG: parent,
            TRIAL_TAG: spec.id,
            "optimizer": spec.optimizer,
            "phase": spec.phase,
            HOST_TAG: socket.gethostname() if host is None else host,
        }
        run_id: str = self.client.create_run(self.experiment_id, began_ms, tags=tags, run_name=name).info.run_id
        self._log_data(run_id, spec.run.data, spec.data_digest, spec.run.val_split)
        return run_id

    def record_trial(
        self,
        run_id: str,
        record: Record,
        curve: list[CurvePoint],
        samples: Samples | None = None,
        *,
        ended_ms: int | None = None,
        waited: bool = False,
        written: set[str] | None = None,
    ) -> None:
        """Write curve, record and samples, then close the run; only a closed run counts as a record.

        Can be repeated after an error that cut it off, with the same ``ended_ms``.

        Args:
            run_id: Id of the trial's run.
            record: The trial's result.
            curve: Its curve.
            samples: Its samples.
            ended_ms: Time at which the trial ended, in milliseconds since the epoch; None: now.
            waited: The record has waited for the server since then: part of it may be in the run, which ended then.
            written: Names of the parts that are in the run already, to which each part that is written is added: a
                connection that breaks again and again then delays a record instead of preventing it.
        """
        written = set() if written is None else written

        def write(part: str, act: Callable[[], object]) -> None:
            if part not in written:
                act()
                written.add(part)

        metrics = [
            Metric(key, float(value), point.time_ms, point.step)
            for point in curve
            for key, value in point.metrics.items()
        ]
        now = now_ms() if ended_ms is None else ended_ms
        metrics += [
            Metric(f"final.{key}", float(value), now, record.steps_done)
            for key, value in record.metrics.items()
            if value is not None
        ]
        for first in range(0, len(metrics), METRICS_PER_BATCH):
            some = metrics[first : first + METRICS_PER_BATCH]
            write(f"metrics from {first}", partial(self.client.log_batch, run_id, metrics=some))
        fields = {name: getattr(record, name) for name in TEXT_FIELDS if name not in ("status", "error")}
        fields |= {name: value for name in OPTIONAL_FIELDS if (value := getattr(record, name)) is not None}
        fields |= {f"hp.{name}": _visible_value(value) for name, value in json.loads(record.hyperparameters).items()}
        write("parameters", partial(self._log_parameters, run_id, fields))
        if samples is not None and not (waited and self._has_samples(run_id)):
            write("samples", partial(self._try_samples, run_id, samples, record))
        tags = {STATUS_TAG: str(record.status), ERROR_TAG: record.error[:ERROR_LENGTH], RECORDED_TAG: "true"}
        tags |= {} if record.gpu is None else {GPU_TAG: record.gpu}
        run_tags = [RunTag(key, value) for key, value in tags.items()]
        write("tags", partial(self.client.log_batch, run_id, tags=run_tags))
        self.client.set_terminated(run_id, _end_status(record.status), ended_ms if waited else None)

    def has_run(self, run_id: str) -> bool:
        """Return True if a run is in the study's experiment, and not deleted."""
        return bool(self._search(f"attributes.run_id = '{run_id}'"))

    def abandon(self, trial_id: str | None = None) -> None:
        """Close runs that dead workers left open, as KILLED: those of one trial, or of all the study's trials."""
        condition = f"attributes.status = 'RUNNING' and tags.`{TRIAL_TAG}` {_matches(trial_id)}"
        for run in self._search(condition):
            self.abandon_run(run.info.run_id)

    def abandon_run(self, run_id: str) -> None:
        """Close the run of a dead worker as KILLED, if it is open; one that holds a complete record becomes a record.

        Each attempt of a call that waits for the server looks anew: the worker may have closed the run meanwhile.
        """
        patiently(self.client, partial(_close_open, run_id=run_id))

    def _try_samples(self, run_id: str, samples: Samples, record: Record) -> None:
        """Log the samples, or say that they are missing: a server that cannot store files must not hold back a record.

        Raises the error of a server that is away.
        """
        try:
            self._log_samples(run_id, samples, record.steps_done)
        except Exception as error:
            if status_of(error) is None:
                raise
            self.client.get_run(run_id)  # raises an error too if the server is away as a whole
            try:
                self._log_samples(run_id, samples, record.steps_done)  # it may have been away for a moment
            except Exception as still:
                if status_of(still) is None:
                    raise
                self.client.get_run(run_id)
                log(
                    f"posebench: the samples of trial {record.trial_id} are left out: the server of "
                    f"{RECORDS.title} cannot store files (HTTP {status_of(still)}), its log says why"
                )

    def _log_samples(self, run_id: str, samples: Samples, step: int) -> None:
        """Log both sample files, and the sheet again as an image, which MLflow's charts show by key and step."""
        with tempfile.TemporaryDirectory() as folder:
            Path(folder, SAMPLES_FILE).write_text(json.dumps(samples.document))
            if samples.sheet is not None:
                Path(folder, SHEET_FILE).write_bytes(samples.sheet)
            self.client.log_artifacts(run_id, folder)
        if samples.sheet is not None:
            image = cv2.imdecode(np.frombuffer(samples.sheet, np.uint8), SHEET_IN_CHARTS)
            assert image is not None, "the sheet is a JPEG of our own"
            self.client.log_image(run_id, cv2.cvtColor(image, cv2.COLOR_BGR2RGB), key="samples", step=step)

    def _has_samples(self, run_id: str) -> bool:
        """Return True if `_log_samples` has been completed: MLflow marks a run with images last."""
        return MLFLOW_LOGGED_IMAGES in self.client.get_run(run_id).data.tags

    def _log_parameters(self, run_id: str, values: Mapping[str, Any]) -> None:
        parameters = [Param(key, _text(value)) for key, value in values.items()]
        for first in range(0, len(parameters), PARAMETERS_PER_BATCH):
            insert(self.client.log_batch, run_id, (), parameters[first : first + PARAMETERS_PER_BATCH])

    def _log_data(self, run_id: str, folder: Path, digest: str, context: str) -> None:
        dataset = Dataset(
            name=visible(folder.name), digest=digest, source_type="local", source=json.dumps({"uri": folder.as_posix()})
        )  # fmt: skip
        inputs = [DatasetInput(dataset, [InputTag("mlflow.data.context", context)])]
        insert(self.client.log_inputs, run_id, inputs)


def _close_open(client: mlflow.MlflowClient, *, run_id: str) -> None:
    run = client.get_run(run_id)
    if run.info.status != "RUNNING":
        return
    tags = run.data.tags
    if tags.get(RECORDED_TAG) == "true":  # the last that was written before the run's end
        client.set_terminated(run_id, _end_status(tags[STATUS_TAG]))
    else:
        client.set_terminated(run_id, "KILLED")


def _end_status(status: str) -> str:
    """Return MLflow's status of a trial's closed run."""
    return "FAILED" if status in FAULTS else "FINISHED"


def _matches(trial_id: str | None) -> str:
    return f"= '{trial_id}'" if trial_id is not None else "LIKE '%'"


def _text(value: Any) -> str:
    """Convert a parameter to text: strings unchanged, others as JSON, so that ``json.loads`` restores them exactly."""
    return value if isinstance(value, str) else json.dumps(value)


def _visible_value(value: Any) -> Any:
    """Return a hyperparameter for display on MLflow's pages; the record has the original in `hyperparameters`."""
    return visible(value) if isinstance(value, str) else value


def insert(write: Callable[..., object], *arguments: Any) -> None:
    """Call an MLflow write that another process may be making too, and repeat it if the other process inserted the row
    first.

    MLflow checks for the row, then inserts it; on the second call it finds the row and updates it.
    """
    try:
        write(*arguments)
    except MlflowException as error:
        is_local = isinstance(error.__cause__, sqlalchemy.exc.IntegrityError)
        if not is_local and not any(name in str(error) for name in _ALREADY_PRESENT):  # a server's error is only text
            raise
        write(*arguments)
