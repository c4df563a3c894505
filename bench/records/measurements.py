"""MLflow for loader studies: a run for each measurement, read back as rows."""

import json
from collections.abc import Mapping
from typing import Any

from bench.storage import mlflow_environment  # noqa: F401 (MLflow reads it)

# isort: split
import pandas as pd
from mlflow.entities import Metric, Param
from mlflow.utils.validation import MAX_TAG_VAL_LENGTH

from bench.measure.loader.outcome import FAULTS
from bench.records.reader import ERROR_TAG, RECORDED_TAG, STATUS_TAG, TRIAL_TAG, StudyRuns
from bench.records.writer import ERROR_LENGTH, PARENT_TAG, SOURCE_TAGS, Tracker
from bench.storage.masking import masked
from bench.storage.visible import visible_lines
from bench.trials.loader_settings import SETTINGS
from bench.trials.record import now_ms

PARAMETERS = (
    "phase",
    "block",
    "arm",
    *SETTINGS,
    "effective_pin_memory",
    "device",
    "memory_kind",
    "page_cache",
)
"""Of a row: what was asked, and what it ran on; as JSON, so that None, true and 1 come back as they were."""
LISTS = ("wait_quantiles_ms", "hashes")
"""Kept as tags: quantiles of the waits in per cent steps, hashes of the first batches."""
_PREFIX = "posebench."
CONFIGURATION_TAG = "configuration"
"""The settings in words: what measurements of one configuration have in common on MLflow's pages."""


class MeasurementTracker(Tracker):
    """The MLflow side of one study that measures."""

    def record_measurement(self, parent: str, row: Mapping[str, Any], *, began_ms: int) -> None:
        """Keep a measurement as a run that counts once it is closed; what is no parameter, list or text is a metric."""
        name = f"{row['phase']}-{row['block']}-{row['arm']}-b{row['batch_size']}-w{row['num_workers']}"
        tags = {
            **SOURCE_TAGS,
            PARENT_TAG: parent,
            TRIAL_TAG: row["id"],
            "arm": row["arm"],
            "phase": row["phase"],
            CONFIGURATION_TAG: _configuration(row),
            STATUS_TAG: row["status"],
            ERROR_TAG: visible_lines(masked(row["error"]))[:ERROR_LENGTH],
            RECORDED_TAG: "true",
            **{_PREFIX + name: json.dumps(row[name]) for name in LISTS},
        }
        run_id = self.client.create_run(self.experiment_id, run_name=name, tags=tags, start_time=began_ms).info.run_id
        no_metrics = {*PARAMETERS, *LISTS, "id", "status", "error"}
        now = now_ms()
        self.client.log_batch(
            run_id,
            params=[Param(name, json.dumps(row[name])) for name in PARAMETERS],
            metrics=[
                Metric(name, float(value), now, 0)
                for name, value in row.items()
                if name not in no_metrics and value is not None
            ],
        )
        self.client.set_terminated(run_id, "FAILED" if row["status"] in FAULTS else "FINISHED")

    def note(self, name: str, document: Any) -> None:
        """Keep something about the whole study with its run."""
        parent, text = self._parent(), json.dumps(document)
        if len(text) > MAX_TAG_VAL_LENGTH:  # it would be cut with a warning, and not be read back
            raise ValueError(f"{name}: {len(text)} characters; MLflow would cut a tag after {MAX_TAG_VAL_LENGTH}")
        if parent is not None:
            self.client.set_tag(parent, _PREFIX + name, text)


def noted(runs: StudyRuns, name: str) -> Any:
    """What the study's run keeps under a name; None where nothing."""
    text = runs.study_tags().get(_PREFIX + name)
    return None if text is None else json.loads(text)


def measurements(runs: StudyRuns) -> pd.DataFrame:
    """All measurements of a study, a row each with its `run_id`, in the order in which they were made."""
    rows: dict[str, dict[str, Any]] = {}
    for run in runs.closed_runs():
        tags = run.data.tags
        row = {name: json.loads(run.data.params[name]) for name in PARAMETERS}
        row |= {"id": tags[TRIAL_TAG], "status": tags[STATUS_TAG], "error": tags.get(ERROR_TAG, "")}
        row |= {name: json.loads(tags[_PREFIX + name]) for name in LISTS}
        row |= {**run.data.metrics, "run_id": run.info.run_id}
        rows.setdefault(row["id"], row)
    return pd.DataFrame(list(rows.values()))


def _configuration(row: Mapping[str, Any]) -> str:
    """`b4 w1 pin_memory prefetch_factor=4`: what is set, short enough for the column of MLflow's groups."""
    others = {name: row[name] for name in SETTINGS if name not in ("batch_size", "num_workers") and row[name]}
    texts = [name if value is True else f"{name}={value}" for name, value in others.items()]
    return " ".join([f"b{row['batch_size']}", f"w{row['num_workers']}", *texts])


def last_moment(runs: StudyRuns) -> int | None:
    """When the last measurement was recorded (milliseconds since the epoch); None before the first."""
    return max((run.info.end_time for run in runs.closed_runs()), default=None)
