"""Write thousands of records into MLflow's tables at once: each would take it some hundredths of a second."""

import json
import math
import uuid
from collections.abc import Iterable, Sequence
from typing import Any

import pandas as pd
import sqlalchemy
from mlflow.store.tracking.dbmodels import models
from optuna.trial import TrialState

from bench.engines.trial import score_of
from bench.kinds.optimizers.kind import KIND
from bench.kinds.optimizers.spec import StudySpec
from bench.ledger import queries
from bench.ledger.format import RESULTS, STATUS, TRIAL_ID
from bench.ledger.store import Ledger
from bench.records.reader import SAMPLES_FILE
from bench.records.writer import Tracker
from bench.trials.phases import CONFIRM
from bench.trials.progress import results_for_displays
from bench.trials.record import OPTIONAL_FIELDS, TEXT_FIELDS, CurvePoint, Record, make_record
from bench.trials.spec import TrialSpec
from bench.trials.status import Status

AT_ONCE = 500
BEGAN_MS, SECOND_MS = 1_700_000_000_000, 1000
MEASURED = ("images_per_s", "optimizer_step_ms", "train_seconds", "eval_seconds", "data_wait_share")


def simulated_study(spec: StudySpec) -> list[tuple[Record, list[CurvePoint]]]:
    """All trials that a study plans, each with a score that follows from its learning rate and seed."""
    found: dict[str, tuple[Record, list[CurvePoint]]] = {}
    while True:
        rows = [record.as_row() for record, _ in found.values()]
        new = [trial for trial in KIND.next_trials(spec, pd.DataFrame(rows)) if trial.id not in found]
        if not new:
            return list(found.values())
        found |= {trial.id: _outcome(trial, len(found) + number) for number, trial in enumerate(new)}


def _outcome(trial: TrialSpec, number: int) -> tuple[Record, list[CurvePoint]]:
    rate = next((value for name, value in sorted(trial.hyperparameters.items()) if "lr" in name), 0.1)
    off = math.log10(rate) + 1 + 0.1 * len(trial.optimizer)
    ap = math.exp(-(off**2)) * 0.9 + 0.01 * math.sin(trial.seed + number)
    metrics = {"ap": ap, "ap_best": ap, "ap_best_step": 20.0, "val_loss": 2 - ap} | dict.fromkeys(MEASURED, 1.0)
    metrics |= {"ap_select": ap} if trial.phase == CONFIRM else {}
    ended_ms = BEGAN_MS + number * SECOND_MS
    curve = [
        CurvePoint(step, {"loss": 2 - ap * step / 20, "lr": 0.1, "train_seconds": step / 20}, ended_ms - 40 + step)
        for step in (1, 10, 20)
    ]
    curve += [
        CurvePoint(
            step,
            {"val_loss": 2 - ap * step / 20, "ap": ap * step / 20, "train_seconds": step / 20},
            ended_ms - 10 + step,
        )
        for step in (10, 20)
    ]
    return make_record(trial, Status.COMPLETE, steps_done=20, metrics=metrics), curve


def fill_ledger(url: str, spec: StudySpec, ended: Sequence[tuple[Record, list[CurvePoint]]]) -> None:
    """Enter a study's trials into a ledger as `bench.engines` does, those with a record as ended ones."""
    records = {record.trial_id: record for record, _ in ended}
    ledger = Ledger(url, spec.name, spec.identity())
    ledger.enqueue(KIND.next_trials(spec, pd.DataFrame([record.as_row() for record in records.values()])))
    score = score_of(spec.identity()).name
    with ledger.patiently.transaction() as connection:
        for row in queries.rows(connection, ledger._study, names=(TRIAL_ID,)):
            record = records.get(row.attributes[TRIAL_ID])
            if record is not None:
                shown = results_for_displays(record.metrics, score, 1.0)
                attributes = {STATUS: str(record.status), RESULTS: shown}
                queries.end(
                    connection, row.key, TrialState.COMPLETE, attributes=attributes, system_attributes={}, values=()
                )


def fill(tracker: Tracker, url: str, parent: str, ended: Sequence[tuple[Record, list[CurvePoint]]]) -> None:
    """Record trials as `Tracker.record_trial` does; all confirm trials have the same samples.

    ``url``: of MLflow's database; ``parent``: the study's run.
    """
    tracker.client.log_dict(parent, {"images": [], "annotations": [], "predictions": []}, SAMPLES_FILE)
    engine = sqlalchemy.create_engine(url)
    with engine.begin() as connection:
        runs = models.SqlRun.__table__
        study = connection.execute(runs.select().where(runs.c.run_uuid == parent)).mappings().one()
        tables: dict[Any, list[dict[str, Any]]] = {}
        for number, (record, curve) in enumerate(ended):
            _rows_of(record, curve, number, study, parent, tables)
        for table, rows in tables.items():
            for first in range(0, len(rows), AT_ONCE):
                connection.execute(table.insert(), rows[first : first + AT_ONCE])
    engine.dispose()


def _rows_of(
    record: Record, curve: Iterable[CurvePoint], number: int, study: Any, parent: str, tables: dict[Any, Any]
) -> None:
    run_id, ended_ms = uuid.uuid4().hex, BEGAN_MS + number * SECOND_MS
    fields = {name: getattr(record, name) for name in TEXT_FIELDS if name not in ("status", "error")}
    fields |= {name: value for name in OPTIONAL_FIELDS if (value := getattr(record, name)) is not None}
    fields |= {f"hp.{name}": value for name, value in json.loads(record.hyperparameters).items()}
    tags = {
        "mlflow.parentRunId": parent, "mlflow.runName": record.trial_id, "posebench.trial": record.trial_id,
        "posebench.status": str(record.status), "posebench.error": "", "posebench.recorded": "true",
        "optimizer": record.optimizer, "phase": record.phase,
    }  # fmt: skip
    final = [(f"final.{name}", value, ended_ms, record.steps_done) for name, value in record.metrics.items()]
    points = [(name, value, point.time_ms, point.step) for point in curve for name, value in point.metrics.items()]

    def add(model: Any, **values: Any) -> None:
        tables.setdefault(model.__table__, []).append(values)

    own = {
        "run_uuid": run_id,
        "name": record.trial_id,
        "status": "FINISHED",
        "start_time": ended_ms - SECOND_MS,
        "end_time": ended_ms,
    }
    files = study["artifact_uri"] if record.phase == CONFIRM else study["artifact_uri"].replace(parent, run_id)
    add(models.SqlRun, **{**study, **own, "artifact_uri": files})
    for name, value in fields.items():
        add(models.SqlParam, run_uuid=run_id, key=name, value=value if isinstance(value, str) else json.dumps(value))
    for name, value in tags.items():
        add(models.SqlTag, run_uuid=run_id, key=name, value=value)
    latest = {}
    for name, value, time_ms, step in (*points, *final):
        row = {"run_uuid": run_id, "key": name, "value": value, "timestamp": time_ms, "step": step, "is_nan": False}
        add(models.SqlMetric, **row)
        latest[name] = row
    for row in latest.values():
        add(models.SqlLatestMetric, **row)
