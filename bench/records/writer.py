"""Write a study's records, curves and report to MLflow (`bench.records.reader` reads them back).

A study is an experiment with a parent run; each trial is a child run. A child counts as a record only once it is closed
and tagged as recorded, so that a run cut off by a kill is never taken for a result.
"""

import copy
import json
import math
import re
import socket
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from functools import partial
from itertools import pairwise
from pathlib import Path
from types import MappingProxyType
from typing import Any, Self

from bench.storage import mlflow_environment  # noqa: F401 (MLflow reads it)

# isort: split
import cv2
import mlflow
import numpy as np
import sqlalchemy
from alembic.util.exc import CommandError
from mlflow.entities import Dataset, DatasetInput, InputTag, Metric, Param, RunTag, ViewType
from mlflow.exceptions import MlflowException
from mlflow.utils.mlflow_tags import MLFLOW_LOGGED_IMAGES

from bench.records.files import prepare_sqlite
from bench.records.mlflow_views import SavedView, artifact_page, outdated_views, saved_views, study_tags
from bench.records.patient_client import impatient, patient, patiently
from bench.records.reader import (
    ERROR_TAG,
    HEADLINE_TAG,
    LOOKED_TAG,
    PAGE,
    RECORDED_TAG,
    REPORT_FOLDER,
    SAMPLES_FILE,
    SESSION_TAG,
    SHEET_FILE,
    SPEC_TAG,
    STATUS_TAG,
    STUDY_TAG,
    TRIAL_TAG,
    StudyRuns,
    first_line_of,
    read_only_client,
)
from bench.storage.addresses import RECORDS, check_form, is_server
from bench.storage.locks import path_lock
from bench.storage.masking import masked
from bench.storage.patience import is_outage, status_of
from bench.storage.printing import log
from bench.storage.visible import visible, visible_lines
from bench.trials.identity import without_unused
from bench.trials.record import OPTIONAL_FIELDS, TEXT_FIELDS, CurvePoint, Record, Session, now_ms
from bench.trials.spec import TrialSpec
from bench.trials.status import FAULTS
from bench.trials.study_base import StudyBase, differences, refuse_difference
from bench.workloads.protocol import Samples
from posemodel.errors import SettingsError

ARTIFACTS = "mlartifacts"
METRICS_PER_BATCH = 1000
"""MLflow's limit for one log_batch call."""
PARAMETERS_PER_BATCH = 100
_METRIC_LENGTH = 200
"""Longest metric name in characters; MLflow allows 250."""
SHEET_IN_CHARTS = cv2.IMREAD_REDUCED_COLOR_2
"""Reads the sample sheet at half its side length for MLflow's image charts, which store PNG files."""

PARENT_TAG, _NOTE_TAG = "mlflow.parentRunId", "mlflow.note.content"
_NOTE_LENGTH, _EXPERIMENT_NOTE_LENGTH = 8000, 5000
"""Longest tag of a run, and of an experiment, in characters, as MLflow stores them."""
EXTENDED_TAG = "posebench.extended"
"""Tag that describes a study's extensions, one per line."""
_PAGES = ("report.html", "report.md")
"""Pages of a report; a note links to the first one that exists."""
ERROR_LENGTH, HEADLINE_LENGTH = 4000, 5000
"""Longest error and headline in characters."""
HEADLINE_METRIC = "headline."
"""Prefix of the parent run's metrics."""
_ALREADY_PRESENT = ("IntegrityError", "UniqueViolation")
"""Names of the error for inserting an existing row, as SQLite's and PostgreSQL's drivers put them in an answer."""
_EXPERIMENT_TAGS = {"mlflow.experimentKind": "custom_model_development"}
"""Experiment tag that makes MLflow's pages open on training runs instead of traces of language models."""
HOST_TAG, GPU_TAG = "posebench.host", "posebench.gpu"
"""Tags of a trial's run: the machine that it ran on, and the model and UUID of its GPU."""
SOURCE_TAGS = {"mlflow.source.name": "posebench", "mlflow.source.type": "LOCAL"}


class Tracker(StudyRuns):
    """Writes the MLflow runs of one study, and reads them as `StudyRuns` does.

    Calls wait for a server that is away (`bench.storage.patience`), and raise ServerAwayError if it stays away.
    """

    def __init__(self, uri: str, study_name: str, *, create: bool = True) -> None:
        """Open the store and the study's experiment; SettingsError if they are unreachable.

        ``create``: create them if needed. Otherwise a missing study is an error, no file is created, an SQLite file is
        opened read-only, and no call waits for a server.
        """
        check_form(RECORDS, uri)
        prepare_sqlite(uri, create=create)
        try:
            client = patient(uri, lambda: mlflow.MlflowClient(tracking_uri=uri)) if create else read_only_client(uri)
            super().__init__(client, _open_experiment(client, uri, study_name, create=create), uri, study_name)
        except (MlflowException, sqlalchemy.exc.SQLAlchemyError, CommandError, ImportError) as error:
            if create and is_outage(error):
                raise  # in a block that does not wait for a server
            RECORDS.refuse(uri, f"cannot be used ({first_line_of(error)}).", cause=error)

    @property
    def at_once(self) -> Self:
        """The same tracker, whose calls raise the error of a server that is away instead of waiting for it."""
        other = copy.copy(self)
        other.client = impatient(self.client)
        return other

    def open_study(
        self,
        spec: StudyBase,
        machine: Mapping[str, str],
        views: Sequence[SavedView] = (),
        earlier: Sequence[Mapping[str, Any]] = (),
    ) -> str:
        """Create the study's parent run, or set it to RUNNING when the study continues; return its id.

        The specification is a tag set on creation, so that no kill can leave a parent run without it. If the study was
        extended, the new specification is stored in that tag; MLflow's parameters cannot be changed and keep the old
        values.

        Args:
            spec: The study.
            machine: Fingerprint of this machine; of an extended study, entries that it lacks are added.
            views: Saved views for MLflow's page, added if missing; the parent run is part of each.
            earlier: Identities of the study before each extension.

        Raises SettingsError with the difference if the name belongs to another study.
        """
        parent = self._parent()
        if parent is None:
            self._refuse_foreign()
        self._save_views(views)
        if parent is None:
            tags = {
                **SOURCE_TAGS,
                STUDY_TAG: spec.kind,
                SPEC_TAG: spec.model_dump_json(),
                **{f"machine.{key}": value for key, value in machine.items()},
                **study_tags(views),
            }
            # Of two processes of this machine that begin one study, one creates its run. Of two machines each may see
            # its own run as the first: the clock of the creator orders them, not the store.
            with path_lock(Path(masked(self.uri), self.study_name)):
                parent = self._parent()
                if parent is None:
                    new_run: str = self.client.create_run(self.experiment_id, run_name=spec.name, tags=tags).info.run_id
                    parent = self._parent()
                    if parent is None or parent == new_run:
                        self._describe_study(new_run, spec)
                        return new_run
                    self.client.set_terminated(new_run, "KILLED")  # another machine has created it first
                    self.client.delete_run(new_run)
        stored_identity = self._identity(spec)
        extended = self.was_extended(spec, earlier)
        if extended:
            self._note_looks(parent, spec)
            self.client.update_run(parent, status="RUNNING")  # first: a finished study would only be shown again
            self.client.set_tag(parent, EXTENDED_TAG, "\n".join(_extensions([*earlier, spec.identity()])))
        else:
            refuse_difference(spec.name, stored_identity, spec.identity())
        self.client.set_tag(parent, SPEC_TAG, spec.model_dump_json())  # the data folder may have changed
        run = self.client.get_run(parent)
        for key, value in study_tags(views).items():  # earlier versions did not write these
            if run.data.tags.get(key) != value:
                _insert(self.client.set_tag, parent, key, value)
        if run.inputs is None or not run.inputs.dataset_inputs:
            self._describe_study(parent, spec)  # missing after a kill
        if extended:
            for key, value in machine.items():
                if f"machine.{key}" not in run.data.tags:  # the package of an optimizer that was added
                    _insert(self.client.set_tag, parent, f"machine.{key}", value)
            new = {key: value for key, value in _flat(spec.identity()).items() if key not in run.data.params}
            self._log_parameters(parent, new)
        if not self.finished():  # a finished study stays finished when it is only shown again
            self.client.update_run(parent, status="RUNNING")
        return parent

    def describe_machine(self, machine: Mapping[str, str]) -> None:
        """Store this machine's fingerprint as the study's, unless it has one: a command without workers stores none."""
        parent = self._parent()
        if parent is not None and "machine.cpu" not in (tags := self.study_tags()):
            for key, value in machine.items():
                if f"machine.{key}" not in tags:
                    _insert(self.client.set_tag, parent, f"machine.{key}", value)

    def was_extended(self, spec: StudyBase, earlier: Sequence[Mapping[str, Any]]) -> bool:
        """Return True if an extension of the study is not in MLflow yet; ``earlier``: see `open_study`."""
        if self._parent() is None or not earlier:
            return False
        stored = self._identity(spec)
        return stored != spec.identity() and any(stored == without_unused(type(spec), each) for each in earlier)

    def _note_looks(self, parent: str, spec: StudyBase) -> None:
        """Store the amounts with which the study has finished, since its result may have been seen then."""
        self.client.set_tag(parent, LOOKED_TAG, json.dumps(sorted(self.finished_amounts(spec.extends_by))))

    def _identity(self, spec: StudyBase) -> dict[str, Any]:
        """Return the study's identity as stored in MLflow."""
        document = without_unused(type(spec), self.study_document())
        return {name: value for name, value in document.items() if name not in spec.not_in_identity}

    def _refuse_foreign(self) -> None:
        """Raise SettingsError if the study's experiment has runs, but none that posebench created."""
        runs = self.client.search_runs([self.experiment_id], run_view_type=ViewType.ALL, max_results=PAGE)
        foreign = [run for run in runs if not {STUDY_TAG, TRIAL_TAG} & {*run.data.tags}]
        if foreign and len(foreign) == len(runs):
            raise SettingsError(
                f"name: MLflow at {masked(self.uri)} holds an experiment {self.study_name!r} with runs that posebench "
                "did not make, and does not write into. Give another --name, or set MLFLOW_TRACKING_URI to another "
                "store."
            )

    def _describe_study(self, parent: str, spec: StudyBase) -> None:
        self._log_parameters(parent, _flat(spec.identity()))
        self._log_data(
            parent, spec.data, spec.data_digest, "study"
        )  # last: its presence means that the description is complete

    def _save_views(self, views: Sequence[SavedView]) -> None:
        """Add missing views to the experiment's page and update outdated ones; keep views that a user has changed."""
        present, outdated = self.client.get_experiment(self.experiment_id).tags, outdated_views(views)
        for key, value in saved_views(views).items():
            if present.get(key) in (None, outdated[key]):
                _insert(self.client.set_experiment_tag, self.experiment_id, key, value)

    def close_study(self, status: str) -> None:
        """End the parent run with the status FINISHED, or KILLED if the study was interrupted."""
        parent, *others = [run.info.run_id for run in self._study_runs()] or [None]
        if parent is not None:
            self.client.set_terminated(parent, status)
        for other in others:  # left by a creation whose answer was lost
            self.client.set_terminated(other, "KILLED")
            self.client.delete_run(other)

    def update_session(self, session: Session) -> None:
        """Store a session; a later call with the same session key replaces it."""
        parent = self._parent()
        if parent is not None:
            self.client.set_tag(parent, f"{SESSION_TAG}{session.key}", json.dumps(asdict(session)))

    def log_report(
        self, folder: Path, note: str = "", *, headline: str = "", metrics: Mapping[str, float] = MappingProxyType({})
    ) -> None:
        """Attach the report's files and its summary to the parent run.

        Args:
            folder: Folder of the report.
            note: Summary in Markdown, shown after a link to the report at the top of the run's and experiment's pages.
            headline: Summary in plain sentences, stored as a tag.
            metrics: Numbers of the headline by name; not finite ones are left out. A metric of an earlier report that
                this one lacks is set to NaN, which keeps its history.
        """
        parent = self._parent()
        if parent is None:
            return
        self.client.log_artifacts(parent, str(folder), REPORT_FOLDER)
        page = next((name for name in _PAGES if (folder / name).is_file()), None)
        note_text = visible_lines(note)
        if page is not None and note_text:
            note_text = f"[Report]({artifact_page(self.experiment_id, parent, f'{REPORT_FOLDER}/{page}')}): {note_text}"
        _insert(self.client.set_tag, parent, _NOTE_TAG, note_text[:_NOTE_LENGTH])
        _insert(self.client.set_experiment_tag, self.experiment_id, _NOTE_TAG, note_text[:_EXPERIMENT_NOTE_LENGTH])
        _insert(self.client.set_tag, parent, HEADLINE_TAG, visible(headline)[:HEADLINE_LENGTH])
        now = now_ms()
        numbers = [
            Metric(f"{HEADLINE_METRIC}{_metric_name(name)}", value, now, 0)
            for name, value in metrics.items()
            if math.isfinite(value)
        ]
        logged_names = {metric.key for metric in numbers}
        numbers += [
            Metric(name, math.nan, now, 0)  # otherwise MLflow would keep showing the value of an outdated report
            for name, value in self.client.get_run(parent).data.metrics.items()
            if name.startswith(HEADLINE_METRIC) and name not in logged_names and math.isfinite(value)
        ]
        for first in range(0, len(numbers), METRICS_PER_BATCH):
            self.client.log_batch(parent, metrics=numbers[first : first + METRICS_PER_BATCH])

    def start_trial(self, spec: TrialSpec, parent: str, *, began_ms: int | None = None) -> str:
        """Begin the child run of a trial and return its id.

        Args:
            spec: The trial.
            parent: Id of the study's run.
            began_ms: When it began, in milliseconds since the epoch; None: now.
        """
        name = f"{spec.phase}-{spec.optimizer}-{spec.index}"
        tags = {
            **SOURCE_TAGS,
            PARENT_TAG: parent,
            TRIAL_TAG: spec.id,
            "optimizer": spec.optimizer,
            "phase": spec.phase,
            HOST_TAG: socket.gethostname(),
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
            _insert(self.client.log_batch, run_id, (), parameters[first : first + PARAMETERS_PER_BATCH])

    def _log_data(self, run_id: str, folder: Path, digest: str, context: str) -> None:
        dataset = Dataset(
            name=visible(folder.name), digest=digest, source_type="local", source=json.dumps({"uri": folder.as_posix()})
        )  # fmt: skip
        inputs = [DatasetInput(dataset, [InputTag("mlflow.data.context", context)])]
        _insert(self.client.log_inputs, run_id, inputs)


def _open_experiment(client: mlflow.MlflowClient, uri: str, study_name: str, *, create: bool) -> str:
    """Return the id of the study's experiment, creating it with ``create`` if needed."""
    experiment = client.get_experiment_by_name(study_name)
    if experiment is None and not create:
        have = ", ".join(sorted(e.name for e in client.search_experiments() if e.name != "Default")) or "none"
        raise SettingsError(f"study: there is no study {study_name!r} at {masked(uri)} (studies here: {have}).")
    if experiment is None:
        # MLflow's default location would be ./mlruns; a server chooses its own.
        location = None if is_server(uri) else (Path(ARTIFACTS) / study_name).absolute().as_uri()
        try:
            return client.create_experiment(study_name, artifact_location=location, tags=_EXPERIMENT_TAGS)
        except MlflowException:
            experiment = client.get_experiment_by_name(study_name)  # another process has created it first
            if experiment is None:
                raise
    if experiment.lifecycle_stage != "active":
        raise SettingsError(f"name: MLflow's experiment {study_name!r} is deleted. Restore it, or give another --name.")
    return experiment.experiment_id


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


def _metric_name(name: str) -> str:
    """Return a metric name that MLflow accepts: other characters become underscores."""
    return re.sub(r"[^A-Za-z0-9_.-]", "_", name)[:_METRIC_LENGTH]


def _text(value: Any) -> str:
    """Convert a parameter to text: strings unchanged, others as JSON, so that ``json.loads`` restores them exactly."""
    return value if isinstance(value, str) else json.dumps(value)


def _visible_value(value: Any) -> Any:
    """Return a hyperparameter for display on MLflow's pages; the record has the original in `hyperparameters`."""
    return visible(value) if isinstance(value, str) else value


def _flat(document: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in document.items() if key != "spaces"} | {
        f"space.{_key_of(name)}": space for name, space in document.get("spaces", {}).items()
    }


def _extensions(identities: Sequence[Mapping[str, Any]]) -> list[str]:
    """Describe each extension of a study in a line."""
    return ["; ".join(differences(old, new, absent="none")) for old, new in pairwise(identities)]


def _insert(write: Callable[..., object], *arguments: Any) -> None:
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


def _key_of(optimizer: str) -> str:
    """Return an optimizer's name in the letters that MLflow allows: `muon with adamw`, `my_package.SAM over adamw`."""
    return optimizer.replace("+", " with ").replace("(", " over ").replace(")", "")
