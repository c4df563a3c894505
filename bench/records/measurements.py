"""Write and read a loader study's measurements in MLflow: a run for each measured process, with its slices."""

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

from bench.storage import mlflow_environment  # noqa: F401 (MLflow reads it)

# isort: split
import pandas as pd
from mlflow.entities import Metric, Param, RunTag
from mlflow.utils.validation import MAX_TAG_VAL_LENGTH

from bench.measure.loader.outcome import FAULTS
from bench.records.reader import ERROR_TAG, RECORDED_TAG, STATUS_TAG, TRIAL_TAG, StudyRuns
from bench.records.trial_runs import ERROR_LENGTH, PARENT_TAG, SOURCE_TAGS
from bench.records.writer import Tracker
from bench.storage.masking import masked
from bench.storage.visible import visible_lines
from bench.trials.loader_settings import SETTINGS
from bench.trials.record import now_ms
from bench.trials.status import Status

ROW_KEYS = ("phase", "panel", "block", *SETTINGS, "own_loader")
"""Columns that say what is measured, and its position in the study. Stored as parameters in JSON, so that None, true
and 1 are read back unchanged."""
KNOWN_AT_BEGIN = ("device", "page_cache")
"""Columns known before the process starts: what it runs on."""
KNOWN_AT_START = "effective_pin_memory"
"""Column known once the process is ready."""
KNOWN_AT_END = "memory_kind"
"""Column known at the end."""
START_NUMBERS = (
    "start_s",
    "first_batch_s",
    "epoch_gap_s",
    "compared_samples",
    "different_samples",
    "first_different_sample",
)
"""Numeric columns known once the process is ready."""
NUMBERS = (
    *START_NUMBERS,
    "block_s",
    "peak_memory_bytes",
    "shm_peak_bytes",
    "shm_tree_peak_bytes",
    "gpu_utilization_percent",
    "gpu_memory_bytes",
    "gpu_others_bytes",
    "need_memory_bytes",
    "need_shm_bytes",
    "images_per_s",
    "data_wait_share",
    "cores_used",
)
"""Numeric columns; NaN if not measured."""
LISTS = ("wait_quantiles_ms", "hashes")
"""Columns stored as tags: quantiles of the waiting times in steps of 1 %, and hashes of the first batches."""
SLICE = (
    "place",
    "arm",
    "batches",
    "images",
    "seconds",
    "wait_s",
    "host_s",
    "compute_s",
    "cpu_s",
    "others_share",
)
"""Values of a slice, in the order in which they are stored."""
SLICES_TAG = "posebench.slices."
"""Prefix of the tags that hold a run's slices, `SLICES_A_TAG` in each."""
SLICES_A_TAG = 24
_PREFIX = "posebench."
CONFIGURATION_TAG = "configuration"
"""Tag with the settings in words, by which MLflow's pages group the measurements of a configuration."""


class MeasurementTracker(Tracker):
    """Writes the measurements of one study to MLflow."""

    def begin_measurement(self, parent: str, row: Mapping[str, Any]) -> str:
        """Create a run for a process that is about to be measured, and return its id.

        The run counts from its first slice on, and is a record once `end_measurement` has closed it.

        ``parent``: id of the study's own run.
        """
        name = f"{row['phase']}-{row['panel']}-{row['block']}-{_configuration(row).replace(' ', '-')}"
        tags = {
            **SOURCE_TAGS,
            PARENT_TAG: parent,
            TRIAL_TAG: row["id"],
            "phase": row["phase"],
            CONFIGURATION_TAG: _configuration(row),
        }
        run_id: str = self.client.create_run(self.experiment_id, run_name=name, tags=tags).info.run_id
        self.client.log_batch(
            run_id, params=[Param(name, json.dumps(row[name])) for name in (*ROW_KEYS, *KNOWN_AT_BEGIN)]
        )
        return run_id

    def store_start(self, run_id: str, row: Mapping[str, Any]) -> None:
        """Write what is known once a process is ready, so that an interruption does not lose it."""
        now, finite_numbers = now_ms(), [name for name in START_NUMBERS if math.isfinite(row.get(name, math.nan))]
        self.client.log_batch(
            run_id,
            params=[Param(KNOWN_AT_START, json.dumps(row[KNOWN_AT_START]))],
            metrics=[Metric(name, float(row[name]), now, 0) for name in finite_numbers],
            tags=[RunTag(f"{_PREFIX}hashes", json.dumps(row["hashes"]))],
        )

    def store_slices(self, run_id: str, slices: Sequence[Mapping[str, Any]]) -> None:
        """Write the newest slice of a process; ``slices``: all its finished slices so far."""
        number = (len(slices) - 1) // SLICES_A_TAG
        in_tag = slices[number * SLICES_A_TAG :]
        text = json.dumps([[_short(each[name]) for name in SLICE] for each in in_tag], separators=(",", ":"))
        self.client.set_tag(run_id, f"{SLICES_TAG}{number}", text)

    def end_measurement(self, run_id: str, row: Mapping[str, Any]) -> None:
        """Write the final values of a process and close its run; numbers of ``row`` become metrics."""
        tags = {
            STATUS_TAG: row["status"],
            ERROR_TAG: visible_lines(masked(row["error"]))[:ERROR_LENGTH],
            RECORDED_TAG: "true",
            **{_PREFIX + name: json.dumps(row[name]) for name in LISTS},
        }
        no_metrics = {
            *ROW_KEYS,
            *KNOWN_AT_BEGIN,
            KNOWN_AT_START,
            KNOWN_AT_END,
            *LISTS,
            *START_NUMBERS,
            "id",
            "status",
            "error",
        }
        now = now_ms()
        self.client.log_batch(
            run_id,
            params=[Param(KNOWN_AT_END, json.dumps(row[KNOWN_AT_END]))],
            metrics=[
                Metric(name, float(value), now, 0)
                for name, value in row.items()
                if name not in no_metrics and value is not None
            ],
            tags=[RunTag(name, value) for name, value in tags.items()],
        )
        self.client.set_terminated(run_id, "FAILED" if row["status"] in FAULTS else "FINISHED")

    def store_document(self, name: str, document: Any) -> None:
        """Store a JSON document about the whole study with its run; ValueError if it is too long for a tag."""
        parent, text = self._parent(), json.dumps(document)
        if len(text) > MAX_TAG_VAL_LENGTH:  # MLflow would cut it with a warning, so that it could not be read back
            raise ValueError(f"{name}: {len(text)} characters; MLflow would cut a tag after {MAX_TAG_VAL_LENGTH}")
        if parent is not None:
            self.client.set_tag(parent, _PREFIX + name, text)


def read_document(runs: StudyRuns, name: str) -> Any:
    """Return the document that `MeasurementTracker.store_document` stored under a name; None if there is none."""
    text = runs.study_tags().get(_PREFIX + name)
    return None if text is None else json.loads(text)


def measurements(runs: StudyRuns) -> pd.DataFrame:
    """Return a row for each measured process, with its `run_id`, in the order of their starts.

    An interrupted process counts as complete with its finished slices; only the values known at the end are missing.
    """
    rows: dict[str, dict[str, Any]] = {}
    for run in _measured(runs):
        tags, params = run.data.tags, run.data.params
        row = {name: json.loads(params[name]) for name in ROW_KEYS}
        row |= {name: json.loads(params[name]) for name in KNOWN_AT_BEGIN}
        row |= {
            KNOWN_AT_START: params.get(KNOWN_AT_START) == "true",
            KNOWN_AT_END: json.loads(params.get(KNOWN_AT_END, '""')),
        }
        row |= {"id": tags[TRIAL_TAG], "error": tags.get(ERROR_TAG, "")}
        row["status"] = tags.get(STATUS_TAG, str(Status.COMPLETE))
        row |= {name: json.loads(tags.get(_PREFIX + name, "[]")) for name in LISTS}
        row |= dict.fromkeys(NUMBERS, math.nan) | {**run.data.metrics, "run_id": run.info.run_id}
        rows.setdefault(row["id"], row)
    return pd.DataFrame(list(rows.values()))


def slices(runs: StudyRuns) -> pd.DataFrame:
    """Return a row for each finished slice of a study's processes (columns ROW_KEYS and SLICE), of any status."""
    rows = []
    for run in _measured(runs):
        keys = {name: json.loads(run.data.params[name]) for name in ROW_KEYS}
        for values in _slice_values(run.data.tags):
            row = dict(zip(SLICE, values, strict=True))
            rows.append(keys | row | {"others_share": math.nan if row["others_share"] is None else row["others_share"]})
    return pd.DataFrame(rows, columns=[*ROW_KEYS, *SLICE])


def _measured(runs: StudyRuns) -> list[Any]:
    """Return the runs that count: recorded ones, and those interrupted after at least one slice."""
    return [
        run
        for run in runs.child_runs()
        if (RECORDED_TAG in run.data.tags or _slice_values(run.data.tags))
        and {*ROW_KEYS, *KNOWN_AT_BEGIN} <= {*run.data.params}
    ]


def _slice_values(tags: Mapping[str, str]) -> list[list[Any]]:
    numbers = sorted(int(name.removeprefix(SLICES_TAG)) for name in tags if name.startswith(SLICES_TAG))
    return [values for number in numbers for values in json.loads(tags[f"{SLICES_TAG}{number}"])]


def _short(value: Any) -> Any:
    """Round a float to 7 significant digits, the precision of the measurement; None if it is not finite."""
    if not isinstance(value, float):
        return value
    return float(f"{value:.7g}") if math.isfinite(value) else None


def _configuration(row: Mapping[str, Any]) -> str:
    """Return the settings as `b4 w1 pin_memory prefetch_factor=4`, short enough for MLflow's group column."""
    others = {name: row[name] for name in SETTINGS if name not in ("batch_size", "num_workers") and row[name]}
    texts = [name if value is True else f"{name}={value}" for name, value in others.items()]
    own_loader = [row["own_loader"]] if row["own_loader"] else []
    return " ".join([f"b{row['batch_size']}", f"w{row['num_workers']}", *texts, *own_loader])


def last_moment(runs: StudyRuns) -> int | None:
    """Return the time of the last begin or end of a process in milliseconds since the epoch; None if there is none."""
    return max((run.info.end_time or run.info.start_time for run in runs.child_runs()), default=None)
