"""Write a study's records, curves and report to MLflow (`bench.records.reader` reads them back).

A study is an experiment with a parent run; each trial is a child run. A child counts as a record only once it is closed
and tagged as recorded, so that a run cut off by a kill is never taken for a result.
"""

import copy
import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from itertools import pairwise
from pathlib import Path
from types import MappingProxyType
from typing import Any, Self

from bench.storage import mlflow_environment  # noqa: F401 (MLflow reads it)

# isort: split
import mlflow
import sqlalchemy
from alembic.util.exc import CommandError
from mlflow.entities import Metric, ViewType
from mlflow.exceptions import MlflowException

from bench.records.files import prepare_sqlite
from bench.records.mlflow_views import SavedView, artifact_page, outdated_views, saved_views, study_tags
from bench.records.patient_client import impatient, patient
from bench.records.reader import (
    HEADLINE_TAG,
    LOOKED_TAG,
    PAGE,
    REPORT_FOLDER,
    SESSION_TAG,
    SPEC_TAG,
    STUDY_TAG,
    TRIAL_TAG,
    first_line_of,
    is_finished,
    read_only_client,
)
from bench.records.trial_runs import METRICS_PER_BATCH, SOURCE_TAGS, TrialRuns, insert
from bench.storage.addresses import RECORDS, check_form, is_server
from bench.storage.locks import path_lock
from bench.storage.masking import masked
from bench.storage.patience import is_outage
from bench.storage.visible import visible, visible_lines
from bench.trials.identity import without_unused
from bench.trials.record import Session, now_ms
from bench.trials.study_base import StudyBase, differences, refuse_difference
from posemodel.errors import SettingsError

ARTIFACTS = "mlartifacts"
_METRIC_LENGTH = 200
"""Longest metric name in characters; MLflow allows 250."""
_NOTE_TAG = "mlflow.note.content"
_NOTE_LENGTH, _EXPERIMENT_NOTE_LENGTH = 8000, 5000
"""Longest tag of a run, and of an experiment, in characters, as MLflow stores them."""
EXTENDED_TAG = "posebench.extended"
"""Tag that describes a study's extensions, one per line."""
_PAGES = ("report.html", "report.md")
"""Pages of a report; a note links to the first one that exists."""
HEADLINE_LENGTH = 5000
"""Longest headline in characters."""
HEADLINE_METRIC = "headline."
"""Prefix of the parent run's metrics."""
_EXPERIMENT_TAGS = {"mlflow.experimentKind": "custom_model_development"}
"""Experiment tag that makes MLflow's pages open on training runs instead of traces of language models."""


class Tracker(TrialRuns):
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
                insert(self.client.set_tag, parent, key, value)
        if run.inputs is None or not run.inputs.dataset_inputs:
            self._describe_study(parent, spec)  # missing after a kill
        if extended:
            for key, value in machine.items():
                if f"machine.{key}" not in run.data.tags:  # the package of an optimizer that was added
                    insert(self.client.set_tag, parent, f"machine.{key}", value)
            new = {key: value for key, value in _flat(spec.identity()).items() if key not in run.data.params}
            self._log_parameters(parent, new)
        if not is_finished(run):  # a finished study stays finished when it is only shown again
            self.client.update_run(parent, status="RUNNING")
        return parent

    def describe_machine(self, machine: Mapping[str, str]) -> None:
        """Store this machine's fingerprint as the study's, unless it has one: a command without workers stores none."""
        run = self._study_run()
        if run is not None and "machine.cpu" not in run.data.tags:
            for key, value in machine.items():
                if f"machine.{key}" not in run.data.tags:
                    insert(self.client.set_tag, run.info.run_id, f"machine.{key}", value)

    def was_extended(self, spec: StudyBase, earlier: Sequence[Mapping[str, Any]]) -> bool:
        """Return True if an extension of the study is not in MLflow yet; ``earlier``: see `open_study`."""
        if not earlier or self._parent() is None:
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
                insert(self.client.set_experiment_tag, self.experiment_id, key, value)

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
            entries = {name: value for name, value in asdict(session).items() if value is not None}
            self.client.set_tag(parent, f"{SESSION_TAG}{session.key}", json.dumps(entries))

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
        run = self._study_run()
        if run is None:
            return
        parent = run.info.run_id
        self.client.log_artifacts(parent, str(folder), REPORT_FOLDER)
        page = next((name for name in _PAGES if (folder / name).is_file()), None)
        note_text = visible_lines(note)
        if page is not None and note_text:
            note_text = f"[Report]({artifact_page(self.experiment_id, parent, f'{REPORT_FOLDER}/{page}')}): {note_text}"
        insert(self.client.set_tag, parent, _NOTE_TAG, note_text[:_NOTE_LENGTH])
        insert(self.client.set_experiment_tag, self.experiment_id, _NOTE_TAG, note_text[:_EXPERIMENT_NOTE_LENGTH])
        insert(self.client.set_tag, parent, HEADLINE_TAG, visible(headline)[:HEADLINE_LENGTH])
        now = now_ms()
        numbers = [
            Metric(f"{HEADLINE_METRIC}{_metric_name(name)}", value, now, 0)
            for name, value in metrics.items()
            if math.isfinite(value)
        ]
        logged_names = {metric.key for metric in numbers}
        numbers += [
            Metric(name, math.nan, now, 0)  # otherwise MLflow would keep showing the value of an outdated report
            for name, value in run.data.metrics.items()
            if name.startswith(HEADLINE_METRIC) and name not in logged_names and math.isfinite(value)
        ]
        for first in range(0, len(numbers), METRICS_PER_BATCH):
            self.client.log_batch(parent, metrics=numbers[first : first + METRICS_PER_BATCH])


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


def _metric_name(name: str) -> str:
    """Return a metric name that MLflow accepts: other characters become underscores."""
    return re.sub(r"[^A-Za-z0-9_.-]", "_", name)[:_METRIC_LENGTH]


def _flat(document: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in document.items() if key != "spaces"} | {
        f"space.{_key_of(name)}": space for name, space in document.get("spaces", {}).items()
    }


def _extensions(identities: Sequence[Mapping[str, Any]]) -> list[str]:
    """Describe each extension of a study in a line."""
    return ["; ".join(differences(old, new, absent="none")) for old, new in pairwise(identities)]


def _key_of(optimizer: str) -> str:
    """Return an optimizer's name in the letters that MLflow allows: `muon with adamw`, `my_package.SAM over adamw`."""
    return optimizer.replace("+", " with ").replace("(", " over ").replace(")", "")
