"""Tracking on a real MLflow store: what is recorded comes back exactly, and only what was closed as a record counts."""

import ast
import json
import logging
import math
import sqlite3
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pandas as pd
import pytest
import requests
import sqlalchemy
from mlflow.entities import ViewType
from mlflow.exceptions import MlflowException
from mlflow.telemetry.client import get_telemetry_client

import bench
from bench.kinds.optimizers.kind import KIND
from bench.kinds.optimizers.results import load_result
from bench.kinds.optimizers.spec import StudySpec
from bench.records import histories
from bench.records.mlflow_views import outdated_views, saved_views
from bench.records.patient_client import _PatientClient
from bench.records.reader import EXPECTED_METRICS, RUN_COLUMNS, study_runs
from bench.records.trial_runs import METRICS_PER_BATCH
from bench.records.writer import Tracker
from bench.storage import patience
from bench.storage.addresses import RECORDS
from bench.storage.patience import Patience
from bench.trials.record import TEXT_FIELDS, TUNING_FIELDS, CurvePoint, Session, make_record
from bench.trials.status import Status
from bench.workloads.protocol import Samples
from posemodel.errors import SettingsError
from tests.bench.test_report import write_report
from tests.support.plans import first_trials

MACHINE = {"cpu": "a processor", "cores": "2"}


@pytest.fixture
def spec(make_spec):
    return make_spec(data="/no/such/people", trials=3)


@pytest.fixture
def tracker(tracking_uri, spec):
    return Tracker(tracking_uri, spec.name)


@pytest.fixture
def parent(tracker, spec):
    return tracker.open_study(spec, MACHINE)


@pytest.fixture
def record_one(tracker, parent):
    """Record a trial as a worker does; returns the record and its run."""

    def record(trial, status=Status.COMPLETE, *, curve=(), error="", **metrics):
        run_id = tracker.start_trial(trial, parent)
        made = make_record(trial, status, steps_done=2, metrics=metrics, error=error)
        tracker.record_trial(run_id, made, list(curve))
        return made, run_id

    return record


AWKWARD = {
    "ap": 0.1 + 0.2,
    "third": 1 / 3,
    "smallest": 5e-324,
    "large": 1e300,
    "bytes": float(2**53 - 1),
    "negative": -1e-17,
    "zero": 0.0,
}


@pytest.mark.parametrize("status", list(Status))
def test_a_record_comes_back_to_the_last_bit(tracker, record_one, spec, status):
    trial = first_trials(spec)[1].model_copy(update={"at_border": ("lr", "one_minus_beta1"), "weight_decay": 1 / 3})
    record, _ = record_one(trial, status, error='it\'s "so"\nand é', **AWKWARD)
    assert tracker.recorded(trial.id) == record
    row = tracker.records().iloc[0].to_dict()
    expected = record.as_row()
    assert {name: row[name] for name in expected} == expected


def test_a_record_of_an_earlier_version_comes_back(tracker, record_one, spec, hermetic):
    """It was written without the fields that were added since."""
    record, _ = record_one(first_trials(spec)[0], ap=0.5)
    connection = sqlite3.connect(hermetic / "mlflow.db", timeout=30)
    with connection:
        removed = connection.execute("DELETE FROM params WHERE key IN ('implementation', 'control_of')").rowcount
    connection.close()
    assert removed == 2
    assert tracker.recorded(record.trial_id) == record
    assert tracker.records().iloc[0][["implementation", "control_of"]].to_list() == ["", ""]


def test_a_record_of_a_kind_without_tunings_comes_back_without_a_place_in_one(tracker, record_one, spec):
    placed, other = first_trials(spec)[:2]
    record, _ = record_one(other.model_copy(update=dict.fromkeys(TUNING_FIELDS)), ap=0.5)
    assert tracker.recorded(record.trial_id) == record
    assert not {*TUNING_FIELDS} & {*tracker.records().columns}
    assert (record_one(placed, ap=0.1)[0].tuning, tracker.recorded(placed.id).tuning) == (0, 0)


def test_places_in_a_tuning_come_back_as_whole_numbers(tracker, record_one, spec):
    for trial in first_trials(spec):
        record_one(trial, ap=0.1)
    records = tracker.records()
    assert [records[name].dtype.kind for name in TUNING_FIELDS] == ["i", "i"]
    assert set(records["tuning"]) == {0, 1}
    assert set(records["round"]) == {0}


def test_values_of_every_kind_are_parameters(tracker, record_one, spec):
    values = {"lr": 0.1, "betas": (0.9, 0.999), "nesterov": True, "mode": "original"}
    name = "my_package.Lion (limit)"
    trial = first_trials(spec)[0].model_copy(update={"hyperparameters": values, "optimizer": name})
    record, run_id = record_one(trial, ap=0.5)
    assert tracker.recorded(trial.id) == record
    assert json.loads(record.hyperparameters) == values | {"betas": [0.9, 0.999]}
    run = tracker.client.get_run(run_id)
    shown = {key.removeprefix("hp."): value for key, value in run.data.params.items() if key.startswith("hp.")}
    assert shown == {"lr": "0.1", "betas": "[0.9, 0.999]", "nesterov": "true", "mode": "original"}
    assert run.data.tags["optimizer"] == name


def test_a_study_of_dotted_names_describes_itself(make_spec, tracking_uri):
    name = "tests.support.toy_optimizer.SignSGD"
    spec = make_spec(name="dotted", optimizers=["adam", name])
    tracker = Tracker(tracking_uri, spec.name)
    parameters = tracker.client.get_run(tracker.open_study(spec, {})).data.params
    assert json.loads(parameters[f"space.{name}"]) == spec.identity()["spaces"][name]
    assert StudySpec.from_stored(tracker.study_document()) == spec


def test_what_is_not_finite_comes_back_as_such_and_is_missing_in_the_table(tracker, record_one, spec):
    trial = first_trials(spec)[0]
    record_one(trial, Status.DIVERGED, ap=math.nan, val_loss=math.inf, low=-math.inf, absent=None)
    metrics = tracker.recorded(trial.id).metrics
    assert set(metrics) == {"ap", "val_loss", "low"}
    assert math.isnan(metrics["ap"])
    assert (metrics["val_loss"], metrics["low"]) == (math.inf, -math.inf)
    row = tracker.records().iloc[0]
    assert row[["ap", "val_loss", "low"]].isna().all()


def test_a_table_always_has_its_columns(tracker, record_one, spec):
    expected = {*TEXT_FIELDS, *EXPECTED_METRICS, *RUN_COLUMNS}
    assert tracker.records().empty
    assert set(tracker.records().columns) == expected
    record_one(first_trials(spec)[0], Status.FAILED, error="it broke")
    assert set(tracker.records().columns) == expected | {*TUNING_FIELDS}
    assert tracker.records().iloc[0][list(EXPECTED_METRICS)].isna().all()


def test_rows_are_in_the_plan_s_order_whatever_the_order_of_recording(tracker, record_one, spec):
    plan = sorted(first_trials(spec), key=lambda trial: trial.index)
    runs = {trial.id: record_one(trial, ap=0.1)[1] for trial in reversed(plan)}
    records = tracker.records()
    assert list(records["trial_id"]) == [trial.id for trial in plan]
    assert list(records["run_id"]) == [runs[trial.id] for trial in plan]


def test_only_closed_and_recorded_runs_are_records(tracker, parent, record_one, spec):
    recorded, started, closed, abandoned, cut_off = first_trials(spec)[:5]
    record_one(recorded, ap=0.5)
    tracker.start_trial(started, parent)
    tracker.client.set_terminated(tracker.start_trial(closed, parent), "FINISHED")
    run_id = tracker.start_trial(abandoned, parent)
    tracker.abandon(abandoned.id)
    assert tracker.client.get_run(run_id).info.status == "KILLED"
    # Killed after the tags were written and before the run was closed.
    _, run_id = record_one(cut_off, ap=0.7)
    tracker.client.update_run(run_id, status="RUNNING")
    assert list(tracker.records()["trial_id"]) == [recorded.id]
    assert [tracker.recorded(trial.id) is not None for trial in (recorded, started, closed, abandoned, cut_off)] == [
        True,
        False,
        False,
        False,
        False,
    ]


class AwayOnce:
    """An MLflow client whose server is away at the first end of a run; something happens until it is back."""

    def __init__(self, client, meanwhile):
        self.client, self.meanwhile = client, [meanwhile]

    def __getattr__(self, name):
        return getattr(self.client, name)

    def set_terminated(self, *arguments):
        if self.meanwhile:
            self.meanwhile.pop()()
            raise ConnectionRefusedError("nobody listens")
        self.client.set_terminated(*arguments)


def test_a_trial_that_was_recorded_while_the_server_was_away_stays_recorded(tracker, parent, spec, monkeypatch):
    monkeypatch.setattr(patience, "FIRST_PAUSE_S", 0.01)
    trial, other = first_trials(spec)[:2]
    run_id, left = (tracker.start_trial(each, parent) for each in (trial, other))
    record = make_record(trial, Status.COMPLETE, steps_done=30, metrics={"ap": 0.5})
    owner = tracker.at_once
    waiting = AwayOnce(tracker.client, partial(owner.record_trial, run_id, record, []))
    tracker.client = _PatientClient(waiting, Patience(RECORDS, "http://tracking"))
    tracker.abandon(trial.id)
    assert tracker.recorded(trial.id) == record
    waiting.meanwhile.append(lambda: None)
    tracker.abandon()
    assert owner.client.get_run(left).info.status == "KILLED"


@pytest.mark.parametrize(("status", "run_status"), [(Status.COMPLETE, "FINISHED"), (Status.FAILED, "FAILED")])
def test_the_run_of_a_worker_that_died_after_the_last_tag_is_a_record(
    tracker, parent, spec, monkeypatch, status, run_status
):
    trial = first_trials(spec)[0]
    record = make_record(trial, status, steps_done=30, metrics={"ap": 0.5})
    run_id = tracker.start_trial(trial, parent)
    with monkeypatch.context() as patch:
        patch.setattr(tracker.client, "set_terminated", lambda *_args: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            tracker.record_trial(run_id, record, [])
    assert tracker.recorded(trial.id) is None
    tracker.abandon(trial.id)
    assert tracker.recorded(trial.id) == record
    assert tracker.client.get_run(run_id).info.status == run_status


def refuse_files(*_arguments, **_more):
    raise requests.HTTPError(response=SimpleNamespace(status_code=500))


def test_a_server_that_stores_no_files_costs_the_samples_alone(tracker, parent, spec, monkeypatch, capsys):
    trial = first_trials(spec)[0]
    record = make_record(trial, Status.COMPLETE, steps_done=30, metrics={"ap": 0.5})
    monkeypatch.setattr(tracker.client, "log_artifacts", refuse_files)
    run_id = tracker.start_trial(trial, parent)
    tracker.record_trial(run_id, record, [], SAMPLES)
    assert tracker.recorded(trial.id) == record
    assert tracker.samples(run_id) is None
    assert f"the samples of trial {trial.id} are left out" in capsys.readouterr().err


def test_a_server_that_is_away_as_a_whole_costs_no_samples(tracker, parent, spec, monkeypatch):
    trial = first_trials(spec)[0]
    record = make_record(trial, Status.COMPLETE, steps_done=30, metrics={"ap": 0.5})
    run_id = tracker.start_trial(trial, parent)
    with monkeypatch.context() as patch:
        for name in ("log_artifacts", "get_run"):
            patch.setattr(tracker.client, name, refuse_files)
        with pytest.raises(requests.HTTPError):
            tracker.record_trial(run_id, record, [], SAMPLES)
    tracker.record_trial(run_id, record, [], SAMPLES)
    assert tracker.samples(run_id) == SAMPLES


def test_abandoning_closes_open_trials_and_neither_records_nor_the_study(tracker, parent, record_one, spec):
    plan = first_trials(spec)
    _, done = record_one(plan[0], ap=0.5)
    opened = [tracker.start_trial(trial, parent) for trial in plan[1:4]]

    def statuses():
        return [tracker.client.get_run(run).info.status for run in (done, parent, *opened)]

    tracker.abandon(plan[1].id)
    assert statuses() == ["FINISHED", "RUNNING", "KILLED", "RUNNING", "RUNNING"]
    tracker.abandon()
    assert statuses() == ["FINISHED", "RUNNING", "KILLED", "KILLED", "KILLED"]


def test_a_second_record_of_a_trial_is_ignored(tracker, record_one, spec):
    trial = first_trials(spec)[0]
    _, first = record_one(trial, ap=0.25)
    record_one(trial, ap=0.75)
    records = tracker.records()
    assert list(records["run_id"]) == [first]
    assert list(records["ap"]) == [0.25]
    assert tracker.recorded(trial.id).metrics["ap"] == 0.25


def test_curves_have_one_row_a_step(tracker, record_one, spec):
    trial, other = first_trials(spec)[:2]
    curve = [
        CurvePoint(1, {"loss": 3.0, "lr": 0.5, "train_seconds": 0.25}, 1000),
        CurvePoint(2, {"loss": 1 / 3, "lr": 0.25, "train_seconds": 0.5}, 1001),
        CurvePoint(2, {"val_loss": math.inf, "ap": 0.0, "train_seconds": 0.5}, 1002),
    ]
    record_one(trial, curve=curve, ap=0.0)
    record_one(other, Status.FAILED)
    curves = tracker.curves(tracker.records())
    assert list(curves["trial_id"]) == [trial.id, trial.id]
    assert list(curves["step"]) == [1, 2]
    assert list(curves["loss"]) == [3.0, 1 / 3]
    assert list(curves["train_seconds"]) == [0.25, 0.5]
    assert list(curves["ap"].isna()) == [True, False]
    assert curves["val_loss"].iloc[1] == math.inf
    assert curves["images_per_s"].isna().all()


def test_curves_are_the_same_where_each_run_is_asked_for_its_own(tracker, record_one, spec, monkeypatch):
    """As in stores and versions of MLflow that do not give those of many runs at once, or cut a long answer off."""
    for number, trial in enumerate(first_trials(spec)[:3]):
        curve = [
            CurvePoint(
                step,
                {"loss": step / (number + 3), "train_seconds": step / 7} | ({"ap": 0.5} if step == 2 else {}),
                1000,
            )
            for step in (1, 2, 3)
        ]
        record_one(trial, curve=curve if number != 1 else (), ap=0.5)
    records = tracker.records()
    at_once = tracker.curves(records)
    monkeypatch.setattr(histories, "RUNS_AT_ONCE", 2)
    pd.testing.assert_frame_equal(tracker.curves(records), at_once)
    monkeypatch.setattr(histories, "_POINTS_AT_ONCE", 3)  # reached: what comes may not be all
    pd.testing.assert_frame_equal(tracker.curves(records), at_once)
    assert list(at_once["step"]) == [1, 2, 3, 1, 2, 3]
    assert list(at_once["trial_id"].unique()) == [records["trial_id"][0], records["trial_id"][2]]


@pytest.mark.parametrize(("limit", "asked"), [(100, [6]), (12, [6, 3, 3]), (7, [6, 3, 1, 1, 1, 1, 1, 1]), (3, [])])
def test_runs_whose_answer_is_cut_off_are_asked_for_in_smaller_groups(
    tracker, record_one, spec, monkeypatch, limit, asked
):
    """Only a run that reaches the limit by itself is read point by point."""
    for trial in first_trials(spec)[:6]:
        record_one(
            trial, curve=[CurvePoint(step, {"loss": step / 7, "train_seconds": 1.0}, 1000) for step in (1, 2, 3)]
        )
    run_ids = list(tracker.records()["run_id"])
    whole = list(histories.histories(tracker.client, run_ids, "loss"))
    sizes, alone, at_once = [], [], histories._at_once

    def note(client, run_ids, metric):
        sizes.append(len(run_ids))
        return at_once(client, run_ids, metric)

    def read_alone(run_id, metric):
        alone.append(run_id)
        return type(tracker.client).get_metric_history(tracker.client, run_id, metric)

    monkeypatch.setattr(histories, "_at_once", note)
    monkeypatch.setattr(histories, "_POINTS_AT_ONCE", limit)
    monkeypatch.setattr(tracker.client, "get_metric_history", read_alone)
    assert sorted(histories.histories(tracker.client, run_ids, "loss")) == sorted(whole)
    assert len(whole) == 18
    if asked:
        assert (sizes, alone) == (asked, [])
    else:
        assert (sizes, alone) == ([6, 3, 1, 1, 1, 1, 1, 1], run_ids)


def test_a_metric_that_was_never_measured_has_no_curve(tracker, record_one, spec):
    record_one(first_trials(spec)[0], curve=[CurvePoint(1, {"loss": 3.0, "train_seconds": 0.25}, 1000)])
    assert tracker.curves(tracker.records(), ["ap"]).empty


def test_there_are_curves_without_records(tracker, parent):
    curves = tracker.curves(tracker.records())
    assert curves.empty
    assert {"trial_id", "step", "train_seconds", "ap", "val_loss"} <= set(curves.columns)


def test_a_long_curve_is_kept_whole(tracker, record_one, spec):
    steps = METRICS_PER_BATCH // 2 + 7
    curve = [CurvePoint(step, {"loss": step / 7, "train_seconds": step / 3}, 1000) for step in range(1, steps + 1)]
    record_one(first_trials(spec)[0], curve=curve)
    curves = tracker.curves(tracker.records())
    assert list(curves["step"]) == list(range(1, steps + 1))
    assert list(curves["loss"]) == [step / 7 for step in range(1, steps + 1)]


def test_only_the_curves_asked_for_are_read(tracker, record_one, spec):
    curve = [
        CurvePoint(1, {"loss": 3.0, "train_seconds": 0.25}, 1000),
        CurvePoint(2, {"loss": 2.0, "ap": 0.5, "train_seconds": 0.5}, 1001),
    ]
    record_one(first_trials(spec)[0], curve=curve)
    curves = tracker.curves(tracker.records(), ["ap"])
    assert curves.drop(columns="trial_id").to_dict(orient="records") == [{"step": 2, "train_seconds": 0.5, "ap": 0.5}]


def test_a_record_knows_when_its_run_began_and_ended(tracker, record_one, spec):
    _, run_id = record_one(first_trials(spec)[0], ap=0.5)
    row, info = tracker.records().iloc[0], tracker.client.get_run(run_id).info
    assert (row["run_id"], row["started_ms"], row["ended_ms"]) == (run_id, info.start_time, info.end_time)
    assert row["started_ms"] <= row["ended_ms"]


SAMPLES = Samples(
    {"images": [{"id": 7}], "predictions": []}, cv2.imencode(".jpg", np.full((40, 60, 3), 9, np.uint8))[1].tobytes()
)


def test_samples_come_back_and_stand_where_mlflow_shows_images(tracker, parent, spec):
    trial = first_trials(spec)[0]
    run_id = tracker.start_trial(trial, parent)
    tracker.record_trial(run_id, make_record(trial, Status.COMPLETE, steps_done=30, metrics={}), [], SAMPLES)
    assert tracker.samples(run_id) == SAMPLES
    assert {"samples.json", "samples.jpg", "images"} == {file.path for file in tracker.client.list_artifacts(run_id)}
    charts = [Path(file.path).name for file in tracker.client.list_artifacts(run_id, "images")]
    assert all(name.startswith("samples+step+30+") for name in charts)
    assert tracker.client.get_run(run_id).data.tags["mlflow.loggedImages"] == "True"
    (full,) = [name for name in charts if name.endswith(".png")]
    shown = cv2.imread(tracker.client.download_artifacts(run_id, f"images/{full}"))
    assert shown.shape == (20, 30, 3)
    assert abs(int(shown.mean()) - 9) <= 1


def test_a_trial_without_samples_has_none(tracker, record_one, spec):
    _, run_id = record_one(first_trials(spec)[0], ap=0.5)
    assert tracker.samples(run_id) is None
    assert tracker.samples("0" * 32) is None


def test_damaged_samples_are_none(tracker, parent, spec, tmp_path):
    run_id = tracker.start_trial(first_trials(spec)[0], parent)
    (tmp_path / "samples.json").write_text("{")
    tracker.client.log_artifact(run_id, str(tmp_path / "samples.json"))
    assert tracker.samples(run_id) is None


def test_a_kill_while_samples_are_written_leaves_no_record_and_no_second_one(tracker, parent, spec, monkeypatch):
    trial = first_trials(spec)[0]
    record = make_record(trial, Status.COMPLETE, steps_done=30, metrics={"ap": 0.5})
    with monkeypatch.context() as patch:
        patch.setattr(tracker.client, "log_image", lambda *_args, **_more: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            tracker.record_trial(tracker.start_trial(trial, parent), record, [], SAMPLES)
    assert tracker.recorded(trial.id) is None
    tracker.abandon(trial.id)
    second = tracker.start_trial(trial, parent)
    tracker.record_trial(second, record, [], SAMPLES)
    assert list(tracker.records()["run_id"]) == [second]


@pytest.fixture
def report(tmp_path):
    """The folder of a report."""
    made = tmp_path / "reports" / "study"
    made.mkdir(parents=True)
    (made / "report.md").write_text("so it is")
    return made


def test_the_study_s_page_begins_with_the_note_and_a_link_to_the_report(tracker, parent, report):
    def notes():
        run, experiment = tracker.client.get_run(parent), tracker.client.get_experiment(tracker.experiment_id)
        assert run.data.tags["mlflow.note.content"] == experiment.tags["mlflow.note.content"]
        return run.data.tags["mlflow.note.content"]

    here = f"#/experiments/{tracker.experiment_id}/runs/{parent}/artifacts/report"
    tracker.log_report(report, "so it is")
    assert notes() == f"[Report]({here}/report.md): so it is"
    (report / "report.html").write_text("<p>so it is")
    tracker.log_report(report, "so it is, too")
    assert notes() == f"[Report]({here}/report.html): so it is, too"


def test_a_long_note_is_cut_where_mlflow_would_refuse_it(tracker, parent, report):
    tracker.log_report(report, "x" * 10_000)
    assert len(tracker.client.get_run(parent).data.tags["mlflow.note.content"]) == 8000
    assert len(tracker.client.get_experiment(tracker.experiment_id).tags["mlflow.note.content"]) == 5000


def test_numbers_of_an_answer_that_no_longer_stands_are_none(tracker, parent, report):
    tracker.log_report(report, headline="Use Adam.", metrics={"ap": 0.25, "fresh_seeds": 1.0})
    for _ in range(2):
        tracker.log_report(report, headline="Nothing to recommend.", metrics={"fresh_seeds": 3.0})
    found = tracker.client.get_run(parent).data.metrics
    assert math.isnan(found["headline.ap"])
    assert found["headline.fresh_seeds"] == 3.0
    assert len(tracker.client.get_metric_history(parent, "headline.ap")) == 2


def test_the_headline_hangs_on_the_study_s_run_as_of_the_last_report(tracker, tracking_uri, parent, report):
    tracker.log_report(report, headline="Use Adam.", metrics={"ap": 0.25})
    time.sleep(0.002)  # of two values of one millisecond MLflow takes the higher one
    odd = {"ap": 0.125, "gap to my/own: Lion, 50 %": 0.5, "diverged": math.nan, "low": -math.inf}
    tracker.log_report(report, headline="Use SGD. " + "x" * 9000, metrics=odd)
    run = tracker.client.get_run(parent)
    assert run.data.metrics == {"headline.ap": 0.125, "headline.gap_to_my_own__Lion__50__": 0.5}
    assert run.data.tags["posebench.headline"] == ("Use SGD. " + "x" * 9000)[:5000]
    assert [metric.value for metric in tracker.client.get_metric_history(parent, "headline.ap")] == [0.25, 0.125]
    (found,) = study_runs(tracking_uri).values()
    assert found.headline.startswith("Use SGD.")


def test_a_study_s_run_is_found_with_what_mlflow_s_pages_need(tracker, tracking_uri, parent, spec):
    found = study_runs(tracking_uri)
    assert {*found} == {spec.name}
    run = found[spec.name]
    assert (run.run_id, run.experiment_id, run.status) == (parent, tracker.experiment_id, "RUNNING")
    assert (run.document, run.headline, run.ended_ms) == (tracker.study_document(), "", None)
    assert "mlflow.experimentKind" in run.experiment_tags


def test_the_report_is_read_back_from_the_study_s_run(tracker, parent, report):
    assert tracker.report_files() == []
    (report / "page.html").write_bytes(b"\x00\xff")
    (report / "folder").mkdir()
    (report / "folder" / "file").touch()
    tracker.log_report(report)
    assert tracker.report_files() == ["page.html", "report.md"]
    assert tracker.report_file("page.html") == b"\x00\xff"
    for name in ("nothing.md", "folder", "../report/page.html", "folder/file", "/etc/hostname", ""):
        assert tracker.report_file(name) is None, name


def test_the_study_s_own_run_is_part_of_every_view_and_is_no_record(tracker, tracking_uri, spec):
    parent = tracker.open_study(spec, MACHINE, KIND.views)
    tags = tracker.client.get_run(parent).data.tags
    assert (tags["optimizer"], tags["phase"]) == ("(study)", "(study: confirm, tune)")
    for condition in ("tags.phase LIKE '%confirm%'", "tags.phase LIKE '%tune%'"):
        (found,) = tracker.client.search_runs([tracker.experiment_id], condition)
        assert found.info.run_id == parent
    tracker.close_study("FINISHED")
    assert tracker.records().empty
    assert tracker.closed_runs() == []
    tracker.abandon()
    assert tracker.client.get_run(parent).info.status == "FINISHED"


def test_a_study_of_an_earlier_version_gets_what_it_lacks_and_a_person_s_view_stays(tracker, spec):
    parent = tracker.open_study(spec, MACHINE)
    confirm, tune = saved_views(KIND.views)
    tracker.client.set_experiment_tag(tracker.experiment_id, confirm, outdated_views(KIND.views)[confirm])
    tracker.client.set_experiment_tag(tracker.experiment_id, tune, "my own")
    assert tracker.open_study(spec, MACHINE, KIND.views) == parent
    tags = tracker.client.get_experiment(tracker.experiment_id).tags
    assert tags[confirm] == saved_views(KIND.views)[confirm]
    assert tags[tune] == "my own"
    assert tracker.client.get_run(parent).data.tags["phase"] == "(study: confirm, tune)"


def test_runs_say_what_they_are(tracker, parent, record_one, spec):
    trial = first_trials(spec)[1]
    _, run_id = record_one(trial, ap=0.5)
    run, study = tracker.client.get_run(run_id), tracker.client.get_run(parent)
    assert run.data.tags["mlflow.parentRunId"] == parent
    assert run.data.tags["optimizer"] == "adam"
    assert run.data.tags["phase"] == "tune"
    assert float(run.data.params["hp.lr"]) == trial.hyperparameters["lr"]
    assert study.data.tags["posebench.study"] == "optimizers"
    assert study.data.params["trials"] == "3"
    assert "mlflow.parentRunId" not in study.data.tags
    for logged, context in ((study, "study"), (run, "select")):
        (entry,) = logged.inputs.dataset_inputs
        assert (entry.dataset.name, entry.dataset.digest) == ("people", "feed")
        assert [(tag.key, tag.value) for tag in entry.tags] == [("mlflow.data.context", context)]


def test_a_study_is_begun_once_and_comes_back_whole(tracker, tracking_uri, parent, spec):
    tracker.close_study("KILLED")
    again = Tracker(tracking_uri, spec.name)
    assert again.open_study(spec, {"cpu": "another one"}) == parent
    assert again.client.get_run(parent).info.status == "RUNNING"
    assert again.machine() == MACHINE
    assert type(spec).model_validate(again.study_document()) == spec
    again.close_study("FINISHED")
    assert again.client.get_run(parent).info.status == "FINISHED"


def test_sessions_come_back_one_for_each_process(tracker, parent):
    assert tracker.sessions().empty
    assert not tracker.finished()
    first = Session(1000, 1500, 2, 0.25, "here", 7)
    for session in (first, replace(first, heard_ms=2500), replace(first, began_ms=9000, heard_ms=9001)):
        tracker.update_session(session)
    found = tracker.sessions().sort_values("began_ms")
    assert [Session(**row) for row in found.to_dict(orient="records")] == [
        replace(first, heard_ms=2500),
        replace(first, began_ms=9000, heard_ms=9001),
    ]
    tracker.close_study("FINISHED")
    assert tracker.finished()


def test_making_a_store_leaves_sqlite_as_careful_as_before(databases_wait_for_the_disk, hermetic):
    Tracker("sqlite:///mlflow.db", "study")
    engine = sqlalchemy.create_engine("sqlite:///other.db")
    with engine.connect() as connection:
        assert connection.exec_driver_sql("PRAGMA synchronous").scalar() == 2
    assert sorted(path.name for path in hermetic.iterdir() if not path.name.startswith("mlflow.db-")) == [
        "mlflow.db",
        "other.db",
    ]


def test_artifacts_stand_in_the_working_directory_and_never_in_mlruns(tracker, parent, hermetic, report):
    tracker.log_report(report)
    (copy,) = (hermetic / "mlartifacts" / "study").rglob("report.md")
    assert copy.read_text() == "so it is"
    assert sorted(path.name for path in hermetic.iterdir() if not path.name.startswith("mlflow.db")) == ["mlartifacts"]


def test_studies_do_not_see_each_other_s_records(tracker, tracking_uri, record_one, spec):
    trial = first_trials(spec)[0]
    record_one(trial, ap=0.5)
    other = Tracker(tracking_uri, "other")
    other.open_study(spec.model_copy(update={"name": "other"}), MACHINE)
    assert other.records().empty
    assert other.recorded(trial.id) is None


def test_the_store_is_in_wal_mode(tracker, hermetic):
    connection = sqlite3.connect(hermetic / "mlflow.db")
    assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    connection.close()


def test_looking_for_a_store_that_is_not_there_leaves_nothing_behind(hermetic):
    with pytest.raises(SettingsError, match=r"sqlite:///mlflow\.db: no such file here"):
        Tracker("sqlite:///mlflow.db", "study", create=False)
    assert list(hermetic.iterdir()) == []


def test_looking_for_an_unknown_study_names_those_that_are_there(tracking_uri, tracker):
    Tracker(tracking_uri, "another")
    with pytest.raises(SettingsError, match=r"there is no study 'stduy' .*\(studies here: another, study\)"):
        Tracker(tracking_uri, "stduy", create=False)
    with pytest.raises(SettingsError, match="no study"):
        Tracker(tracking_uri, "stduy", create=False)


def test_a_study_that_was_never_begun_has_no_document(tracker):
    with pytest.raises(SettingsError, match="has no study called 'study'"):
        tracker.study_document()


def test_a_deleted_experiment_is_named(tracker, tracking_uri):
    tracker.client.delete_experiment(tracker.experiment_id)
    with pytest.raises(SettingsError, match="'study' is deleted"):
        Tracker(tracking_uri, "study")


def test_a_report_is_made_of_a_study_without_a_record(tracker, parent, plain_figures, hermetic):
    """`posebench report` on a study whose first trial still runs."""
    result = load_result(tracker)
    report = write_report(result, hermetic / "reports")
    assert result.status() == "unfinished"
    assert "0 of 16 trials" in report.read_text()
    assert not [*report.parent.glob("*.png")], "there is nothing to show yet"


def test_a_report_is_made_where_everything_diverged_or_failed(tracker, record_one, spec, plain_figures, hermetic):
    plan = first_trials(spec)
    point = CurvePoint(1, {"loss": math.inf, "val_loss": math.inf, "train_seconds": 0.1}, 1000)
    record_one(plan[0], Status.DIVERGED, curve=[point])
    record_one(plan[1], Status.FAILED, error="ValueError: the dog ate it")
    result = load_result(tracker)
    report = write_report(result, hermetic / "reports").read_text()
    assert result.trials() | {"planned": 0} == {
        "complete": 0,
        "diverged": 1,
        "failed": 1,
        "out_of_memory": 0,
        "timed_out": 0,
        "pruned": 0,
        "skipped": 0,
        "recorded": 2,
        "planned": 0,
    }
    assert "ValueError: the dog ate it" in report
    assert len(pd.read_csv(Path(hermetic) / "reports" / "records.csv")) == 2


def imported(module):
    """What a module's statements import, in their order."""
    for node in ast.walk(module):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{name.name}" for name in node.names)


def test_mlflow_is_imported_quiet_and_without_telemetry(monkeypatch):
    """It reads its switches when it is imported, so that the order of imports decides."""
    switched = ("bench.storage.mlflow_environment", "bench.records.writer")
    for file in Path(bench.__file__).parent.rglob("*.py"):
        names = list(imported(ast.parse(file.read_text())))
        mlflows = [at for at, name in enumerate(names) if name.split(".")[0] == "mlflow"]
        if mlflows:
            assert any(name.startswith(switched) for name in names[: mlflows[0]]), f"{file} imports MLflow unswitched"
    for variable in ("MLFLOW_DISABLE_TELEMETRY", "DO_NOT_TRACK", "MLFLOW_LOGGING_LEVEL"):
        monkeypatch.delenv(variable, raising=False)
    code = "import os, bench.storage.mlflow_environment; print(*(os.environ[name] for name in os.sys.argv[1:]))"
    switches = ["MLFLOW_DISABLE_TELEMETRY", "DO_NOT_TRACK", "MLFLOW_LOGGING_LEVEL"]
    done = subprocess.run([sys.executable, "-c", code, *switches], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["true", "true", "WARNING"]
    assert get_telemetry_client() is None
    assert logging.getLogger("mlflow").level >= logging.WARNING


@pytest.mark.long
def test_a_process_that_imports_mlflow_has_no_telemetry(monkeypatch):
    for variable in ("MLFLOW_DISABLE_TELEMETRY", "DO_NOT_TRACK", "MLFLOW_LOGGING_LEVEL"):
        monkeypatch.delenv(variable, raising=False)
    code = (
        "import bench.records.writer, logging\n"
        "from mlflow.telemetry.client import get_telemetry_client\n"
        "print(get_telemetry_client(), logging.getLogger('mlflow').level >= logging.WARNING)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["None", "True"]


def test_of_two_processes_that_begin_a_study_one_creates_its_run(tracking_uri, spec, monkeypatch):
    """Each has seen that there is none; the one that is slower to insert its run has the earlier clock."""
    trackers = [Tracker(tracking_uri, spec.name) for _ in range(2)]
    both = threading.Barrier(2)
    for tracker in trackers:
        monkeypatch.setattr(tracker, "_refuse_foreign", lambda: both.wait(60) and None)
    with ThreadPoolExecutor(2) as pool:
        parents = list(pool.map(lambda tracker: tracker.open_study(spec, MACHINE), trackers))
    assert parents[0] == parents[1]
    runs = trackers[0].client.search_runs([trackers[0].experiment_id], run_view_type=ViewType.ALL)
    assert [run.info.run_id for run in runs] == parents[:1], "no second one that was deleted"


SQLITE_REFUSES = "(sqlite3.IntegrityError) UNIQUE constraint failed: params.key, params.run_uuid"
POSTGRESQL_REFUSES = "(psycopg2.errors.UniqueViolation) duplicate key value violates unique constraint"


@pytest.mark.parametrize("answer", ["", SQLITE_REFUSES, POSTGRESQL_REFUSES])
@pytest.mark.parametrize("write", ["log_inputs", "log_batch", "set_experiment_tag"])
def test_what_another_process_writes_at_that_moment_is_no_error(tracker, spec, monkeypatch, write, answer):
    """MLflow's stores refuse the second of two equal inserts that come at once; ``answer``: of a server's, in words."""
    real, refused = getattr(tracker.client, write), []

    def second_at_that_moment(*given):
        if not refused:
            refused.append(True)
            if answer:
                raise MlflowException(answer)
            why = sqlalchemy.exc.IntegrityError("INSERT INTO datasets", {}, Exception("UNIQUE constraint failed"))
            raise MlflowException(str(why)) from why
        return real(*given)

    monkeypatch.setattr(tracker.client, write, second_at_that_moment)
    parent = tracker.open_study(spec, MACHINE, KIND.views)
    assert refused
    assert tracker.client.get_run(parent).data.params["preset"] == spec.preset
    assert len(tracker.client.get_run(parent).inputs.dataset_inputs) == 1
    tags = tracker.client.get_experiment(tracker.experiment_id).tags
    assert {*saved_views(KIND.views)} <= {*tags}
