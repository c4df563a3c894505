"""MLflow: holds every record, curve and report; tables are read back from here (`bench.records.reader`).

A study is an experiment with a parent run; each trial is a child run. A child counts as a record only once it is closed
and tagged as recorded, so that a run cut off by a kill is never taken for a result. Only these two import MLflow,
`bench.records.files` and `bench.records.measurements`.
"""

import json
import math
import re
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from itertools import pairwise
from pathlib import Path
from types import MappingProxyType
from typing import Any

from bench.storage import mlflow_environment  # noqa: F401 (MLflow reads it)

# isort: split
import cv2
import mlflow
import numpy as np
import sqlalchemy
from alembic.util.exc import CommandError
from mlflow.entities import Dataset, DatasetInput, InputTag, Metric, Param, RunTag, ViewType
from mlflow.exceptions import MlflowException

from bench.records.files import prepare_sqlite
from bench.records.mlflow_views import SavedView, artifact_page, outdated_views, saved_views, study_tags
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
    client_to_look,
    why_not,
)
from bench.storage.addresses import RECORDS, check_form, is_server
from bench.storage.masking import masked
from bench.storage.visible import visible, visible_lines
from bench.trials.identity import without_unused
from bench.trials.record import PLACE_FIELDS, TEXT_FIELDS, CurvePoint, Record, Session, now_ms
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
"""Characters of a metric's name; MLflow takes 250."""
SHEET_IN_CHARTS = cv2.IMREAD_REDUCED_COLOR_2
"""The sheet in MLflow's image charts has half the side of the file's: they keep it as PNG."""

PARENT_TAG, _NOTE_TAG = "mlflow.parentRunId", "mlflow.note.content"
_NOTE_LENGTH, _EXPERIMENT_NOTE_LENGTH = 8000, 5000
"""Characters that MLflow keeps of a run's tag, and of an experiment's."""
EXTENDED_TAG = "posebench.extended"
"""How a study was extended, a line each time."""
_PAGES = ("report.html", "report.md")
"""The pages of a report, the one that a note links to first."""
ERROR_LENGTH, HEADLINE_LENGTH = 4000, 5000
HEADLINE_METRIC = "headline."
"""What the names of the parent run's metrics begin with."""
_PRESENT = ("IntegrityError", "UniqueViolation")
"""How SQLite's driver and PostgreSQL's name an insert of what is there already, in a server's answer."""
_EXPERIMENT_TAGS = {"mlflow.experimentKind": "custom_model_development"}
"""Opens MLflow's pages on training runs, not on traces of language models."""
SOURCE_TAGS = {"mlflow.source.name": "posebench", "mlflow.source.type": "LOCAL"}


class Tracker(StudyRuns):
    """The MLflow side of one study: its runs written, and read."""

    def __init__(self, uri: str, study_name: str, *, create: bool = True) -> None:
        """Open the store and the study's experiment; SettingsError if they are out of reach.

        ``create``: make them if needed; else a study that is not there is an error, no file appears, and a store that
        is an SQLite file is opened only to be read.
        """
        check_form(RECORDS, uri)
        prepare_sqlite(uri, create=create)
        try:
            client = mlflow.MlflowClient(tracking_uri=uri) if create else client_to_look(uri)
            super().__init__(client, _open_experiment(client, uri, study_name, create=create), uri, study_name)
        except (MlflowException, sqlalchemy.exc.SQLAlchemyError, CommandError, ImportError) as error:
            RECORDS.refuse(uri, f"cannot be used ({why_not(error)}).", cause=error)

    def open_study(
        self,
        spec: StudyBase,
        machine: Mapping[str, str],
        views: Sequence[SavedView] = (),
        earlier: Sequence[Mapping[str, Any]] = (),
    ) -> str:
        """The study's parent run: made once, set to RUNNING again when the study goes on.

        ``views``: of MLflow's page, added where they are not there yet; the parent run is shown in each of them.
        ``earlier``: what the study was before it was extended. What it is now becomes known here; parameters of MLflow
        cannot be changed, and go on saying how it was begun.

        The specification is a tag of the run's creation, so that no kill can leave a parent without it. SettingsError
        shows the difference if the name stands for another study.
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
            made: str = self.client.create_run(self.experiment_id, run_name=spec.name, tags=tags).info.run_id
            parent = self._parent()
            if parent is None or parent == made:
                self._describe_study(made, spec)
                return made
            self.client.set_terminated(made, "KILLED")  # another process was first
            self.client.delete_run(made)
        known = self._identity(spec)
        extended = self.was_extended(spec, earlier)
        if extended:
            self._note_looks(parent, spec)
            self.client.update_run(parent, status="RUNNING")  # first: what has ended would only be shown again
            self.client.set_tag(parent, EXTENDED_TAG, "\n".join(_extensions([*earlier, spec.identity()])))
        else:
            refuse_difference(spec.name, known, spec.identity())
        self.client.set_tag(parent, SPEC_TAG, spec.model_dump_json())  # the data may stand in another folder now
        run = self.client.get_run(parent)
        for key, value in study_tags(views).items():  # earlier versions wrote none of these
            if run.data.tags.get(key) != value:
                _insert(self.client.set_tag, parent, key, value)
        if run.inputs is None or not run.inputs.dataset_inputs:
            self._describe_study(parent, spec)  # a kill came in between
        if extended:
            new = {key: value for key, value in _flat(spec.identity()).items() if key not in run.data.params}
            self._log_parameters(parent, new)
        if not self.finished():  # what has ended stays so while it is only shown again
            self.client.update_run(parent, status="RUNNING")
        return parent

    def was_extended(self, spec: StudyBase, earlier: Sequence[Mapping[str, Any]]) -> bool:
        """Whether the study was extended, and MLflow does not know it yet; ``earlier``: as of `open_study`."""
        if self._parent() is None or not earlier:
            return False
        known = self._identity(spec)
        return known != spec.identity() and any(known == without_unused(type(spec), each) for each in earlier)

    def _note_looks(self, parent: str, spec: StudyBase) -> None:
        """Keep with which amounts the study has ended: somebody has seen its result then."""
        self.client.set_tag(parent, LOOKED_TAG, json.dumps(sorted(self.looked(spec.extends_by))))

    def _identity(self, spec: StudyBase) -> dict[str, Any]:
        """The study's identity as MLflow has it."""
        document = without_unused(type(spec), self.study_document())
        return {name: value for name, value in document.items() if name not in spec.outside}

    def _refuse_foreign(self) -> None:
        """SettingsError where the study's experiment holds runs already, and none of a study: it is somebody else's."""
        found = self.client.search_runs([self.experiment_id], run_view_type=ViewType.ALL, max_results=PAGE)
        others = [run for run in found if not {STUDY_TAG, TRIAL_TAG} & {*run.data.tags}]
        if others and len(others) == len(found):
            raise SettingsError(
                f"name: MLflow at {masked(self.uri)} holds an experiment {self.study_name!r} with runs that posebench "
                "did not make, and does not write into. Give another --name, or set MLFLOW_TRACKING_URI to another "
                "store."
            )

    def _describe_study(self, parent: str, spec: StudyBase) -> None:
        self._log_parameters(parent, _flat(spec.identity()))
        self._log_data(parent, spec.data, spec.data_digest, "study")  # last: what is there says that all is

    def _save_views(self, views: Sequence[SavedView]) -> None:
        """Views of the experiment's page that are not there as they are now; one that a person has changed stays so."""
        present, outdated = self.client.get_experiment(self.experiment_id).tags, outdated_views(views)
        for key, value in saved_views(views).items():
            if present.get(key) in (None, outdated[key]):
                _insert(self.client.set_experiment_tag, self.experiment_id, key, value)

    def close_study(self, status: str) -> None:
        """End the parent run: FINISHED, or KILLED when the study was interrupted."""
        parent = self._parent()
        if parent is not None:
            self.client.set_terminated(parent, status)

    def note_session(self, session: Session) -> None:
        """Keep how long a process has worked on the study so far; a later note of the same process replaces it."""
        parent = self._parent()
        if parent is not None:
            self.client.set_tag(parent, f"{SESSION_TAG}{session.key}", json.dumps(asdict(session)))

    def log_report(
        self, folder: Path, note: str = "", *, headline: str = "", metrics: Mapping[str, float] = MappingProxyType({})
    ) -> None:
        """Attach the report's files to the parent run, with what it says in short.

        ``note`` (Markdown): what the pages of the parent run and of the experiment in MLflow's UI begin with, after a
        link to the report's page. ``headline``: the same in plain sentences, as a tag. ``metrics``: the headline's
        numbers by name; what is not finite is left out. What an earlier report logged and this one does not becomes
        NaN, and stays in the metric's history.
        """
        parent = self._parent()
        if parent is None:
            return
        self.client.log_artifacts(parent, str(folder), REPORT_FOLDER)
        page = next((name for name in _PAGES if (folder / name).is_file()), None)
        shown = visible_lines(note)
        if page is not None and shown:
            shown = f"[Report]({artifact_page(self.experiment_id, parent, f'{REPORT_FOLDER}/{page}')}): {shown}"
        _insert(self.client.set_tag, parent, _NOTE_TAG, shown[:_NOTE_LENGTH])
        _insert(self.client.set_experiment_tag, self.experiment_id, _NOTE_TAG, shown[:_EXPERIMENT_NOTE_LENGTH])
        _insert(self.client.set_tag, parent, HEADLINE_TAG, visible(headline)[:HEADLINE_LENGTH])
        now = now_ms()
        numbers = [
            Metric(f"{HEADLINE_METRIC}{_metric_name(name)}", value, now, 0)
            for name, value in metrics.items()
            if math.isfinite(value)
        ]
        known = {metric.key for metric in numbers}
        numbers += [
            Metric(name, math.nan, now, 0)  # MLflow keeps the last value: of an answer that no longer stands, too
            for name, value in self.client.get_run(parent).data.metrics.items()
            if name.startswith(HEADLINE_METRIC) and name not in known and math.isfinite(value)
        ]
        for first in range(0, len(numbers), METRICS_PER_BATCH):
            self.client.log_batch(parent, metrics=numbers[first : first + METRICS_PER_BATCH])

    def start_trial(self, spec: TrialSpec, parent: str) -> str:
        """Begin a child run."""
        name = f"{spec.phase}-{spec.optimizer}-{spec.index}"
        tags = {
            **SOURCE_TAGS,
            PARENT_TAG: parent,
            TRIAL_TAG: spec.id,
            "optimizer": spec.optimizer,
            "phase": spec.phase,
        }
        run_id: str = self.client.create_run(self.experiment_id, run_name=name, tags=tags).info.run_id
        self._log_data(run_id, spec.run.data, spec.data_digest, spec.run.val_split)
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
        fields |= {name: value for name in PLACE_FIELDS if (value := getattr(record, name)) is not None}
        fields |= {f"hp.{name}": _shown(value) for name, value in json.loads(record.hyperparameters).items()}
        self._log_parameters(run_id, fields)
        tags = {STATUS_TAG: str(record.status), ERROR_TAG: record.error[:ERROR_LENGTH], RECORDED_TAG: "true"}
        self.client.log_batch(run_id, tags=[RunTag(key, value) for key, value in tags.items()])
        self.client.set_terminated(run_id, "FAILED" if record.status in FAULTS else "FINISHED")

    def abandon(self, trial_id: str | None = None) -> None:
        """Close as KILLED the runs that a dead worker left open (of one trial, or all of the study's trials)."""
        condition = f"attributes.status = 'RUNNING' and tags.`{TRIAL_TAG}` {_matches(trial_id)}"
        for run in self._search(condition):
            self.client.set_terminated(run.info.run_id, "KILLED")

    def _log_samples(self, run_id: str, samples: Samples, step: int) -> None:
        """Both files, and the sheet once more for the charts of MLflow's pages, which show images by key and step."""
        with tempfile.TemporaryDirectory() as folder:
            Path(folder, SAMPLES_FILE).write_text(json.dumps(samples.document))
            if samples.sheet is not None:
                Path(folder, SHEET_FILE).write_bytes(samples.sheet)
            self.client.log_artifacts(run_id, folder)
        if samples.sheet is not None:
            image = cv2.imdecode(np.frombuffer(samples.sheet, np.uint8), SHEET_IN_CHARTS)
            assert image is not None, "the sheet is a JPEG of our own"
            self.client.log_image(run_id, cv2.cvtColor(image, cv2.COLOR_BGR2RGB), key="samples", step=step)

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
    """The id of the study's experiment."""
    found = client.get_experiment_by_name(study_name)
    if found is None and not create:
        have = ", ".join(sorted(e.name for e in client.search_experiments() if e.name != "Default")) or "none"
        raise SettingsError(f"study: there is no study {study_name!r} at {masked(uri)} (studies here: {have}).")
    if found is None:
        # Left alone, MLflow would choose ./mlruns; a server chooses for itself.
        location = None if is_server(uri) else (Path(ARTIFACTS) / study_name).absolute().as_uri()
        try:
            return client.create_experiment(study_name, artifact_location=location, tags=_EXPERIMENT_TAGS)
        except MlflowException:
            found = client.get_experiment_by_name(study_name)  # another process was first
            if found is None:
                raise
    if found.lifecycle_stage != "active":
        raise SettingsError(f"name: MLflow's experiment {study_name!r} is deleted; restore it or use --name.")
    return found.experiment_id


def _matches(trial_id: str | None) -> str:
    return f"= '{trial_id}'" if trial_id is not None else "LIKE '%'"


def _metric_name(name: str) -> str:
    """A name as MLflow takes it: other characters than these are underscores."""
    return re.sub(r"[^A-Za-z0-9_.-]", "_", name)[:_METRIC_LENGTH]


def _text(value: Any) -> str:
    """Exactly invertible by ``json.loads`` for numbers and booleans; text stays as it is."""
    return value if isinstance(value, str) else json.dumps(value)


def _shown(value: Any) -> Any:
    """A hyperparameter as MLflow's pages show it; the record itself has it in `hyperparameters`."""
    return visible(value) if isinstance(value, str) else value


def _flat(document: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in document.items() if key != "spaces"} | {
        f"space.{name}": space for name, space in document.get("spaces", {}).items()
    }


def _extensions(identities: Sequence[Mapping[str, Any]]) -> list[str]:
    """How a study was extended, a line each time."""
    return ["; ".join(differences(old, new, absent="none")) for old, new in pairwise(identities)]


def _insert(write: Callable[..., object], *arguments: Any) -> None:
    """Write what another process may be writing too: MLflow looks, then inserts; once it is there, it is updated."""
    try:
        write(*arguments)
    except MlflowException as error:
        here = isinstance(error.__cause__, sqlalchemy.exc.IntegrityError)
        if not here and not any(name in str(error) for name in _PRESENT):  # a server tells its database's words
            raise
        write(*arguments)
