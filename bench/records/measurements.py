"""MLflow for loader studies: a run for each process that was measured, with its slices, read back as rows."""

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
from bench.records.writer import ERROR_LENGTH, PARENT_TAG, SOURCE_TAGS, Tracker
from bench.storage.masking import masked
from bench.storage.visible import visible_lines
from bench.trials.loader_settings import SETTINGS
from bench.trials.record import now_ms
from bench.trials.status import Status

PLACE = ("phase", "panel", "block", *SETTINGS, "own_loader")
"""Of a row: what is measured, and where in the study's order. As parameters they are JSON: None, true and 1 come back
as they were."""
BEGUN = ("device", "page_cache")
"""Of a row, known from the beginning: what it runs on."""
STARTED = "effective_pin_memory"
"""Known once the process takes orders."""
ENDED = "memory_kind"
"""Known at the end."""
OF_START = (
    "start_s",
    "first_batch_s",
    "epoch_gap_s",
    "compared_samples",
    "different_samples",
    "first_different_sample",
)
"""Numbers of a row that are known once the process takes orders."""
NUMBERS = (
    *OF_START,
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
"""Of a row: NaN where something was not measured."""
LISTS = ("wait_quantiles_ms", "hashes")
"""Kept as tags: quantiles of the waits in per cent steps, hashes of the first batches."""
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
"""Of a slice, in this order."""
SLICES_TAG = "posebench.slices."
"""Tags that begin so hold a run's slices, SLICES_A_TAG of them each."""
SLICES_A_TAG = 24
_PREFIX = "posebench."
CONFIGURATION_TAG = "configuration"
"""The settings in words: what measurements of one configuration have in common on MLflow's pages."""


class MeasurementTracker(Tracker):
    """The MLflow side of one study that measures."""

    def begin_measurement(self, parent: str, row: Mapping[str, Any]) -> str:
        """A run for a process that is about to be measured; the id of the run.

        It counts from its first slice on, and is a record once it is closed by `end_measurement`.
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
        self.client.log_batch(run_id, params=[Param(name, json.dumps(row[name])) for name in (*PLACE, *BEGUN)])
        return run_id

    def note_start(self, run_id: str, row: Mapping[str, Any]) -> None:
        """Keep how a process has started: an interruption does not lose what it has delivered."""
        now, known = now_ms(), [name for name in OF_START if math.isfinite(row.get(name, math.nan))]
        self.client.log_batch(
            run_id,
            params=[Param(STARTED, json.dumps(row[STARTED]))],
            metrics=[Metric(name, float(row[name]), now, 0) for name in known],
            tags=[RunTag(f"{_PREFIX}hashes", json.dumps(row["hashes"]))],
        )

    def keep_slices(self, run_id: str, slices: Sequence[Mapping[str, Any]]) -> None:
        """Keep the slices that a process has finished so far, of which the last one is new."""
        number = (len(slices) - 1) // SLICES_A_TAG
        own = slices[number * SLICES_A_TAG :]
        text = json.dumps([[_short(each[name]) for name in SLICE] for each in own], separators=(",", ":"))
        self.client.set_tag(run_id, f"{SLICES_TAG}{number}", text)

    def end_measurement(self, run_id: str, row: Mapping[str, Any]) -> None:
        """Close a run with what became of the process; what is no parameter, list or text is a metric."""
        tags = {
            STATUS_TAG: row["status"],
            ERROR_TAG: visible_lines(masked(row["error"]))[:ERROR_LENGTH],
            RECORDED_TAG: "true",
            **{_PREFIX + name: json.dumps(row[name]) for name in LISTS},
        }
        no_metrics = {*PLACE, *BEGUN, STARTED, ENDED, *LISTS, *OF_START, "id", "status", "error"}
        now = now_ms()
        self.client.log_batch(
            run_id,
            params=[Param(ENDED, json.dumps(row[ENDED]))],
            metrics=[
                Metric(name, float(value), now, 0)
                for name, value in row.items()
                if name not in no_metrics and value is not None
            ],
            tags=[RunTag(name, value) for name, value in tags.items()],
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
    """A row for each process that was measured, with its `run_id`, in the order in which they were begun.

    One that was interrupted counts as complete, with what it had finished: only what is known at its end is missing.
    """
    rows: dict[str, dict[str, Any]] = {}
    for run in _measured(runs):
        tags, params = run.data.tags, run.data.params
        row = {name: json.loads(params[name]) for name in PLACE}
        row |= {name: json.loads(params[name]) for name in BEGUN}
        row |= {STARTED: params.get(STARTED) == "true", ENDED: json.loads(params.get(ENDED, '""'))}
        row |= {"id": tags[TRIAL_TAG], "error": tags.get(ERROR_TAG, "")}
        row["status"] = tags.get(STATUS_TAG, str(Status.COMPLETE))
        row |= {name: json.loads(tags.get(_PREFIX + name, "[]")) for name in LISTS}
        row |= dict.fromkeys(NUMBERS, math.nan) | {**run.data.metrics, "run_id": run.info.run_id}
        rows.setdefault(row["id"], row)
    return pd.DataFrame(list(rows.values()))


def slices(runs: StudyRuns) -> pd.DataFrame:
    """A row for each finished slice of a study's processes (PLACE and SLICE), whatever became of the process."""
    found = []
    for run in _measured(runs):
        place = {name: json.loads(run.data.params[name]) for name in PLACE}
        for values in _kept(run.data.tags):
            own = dict(zip(SLICE, values, strict=True))
            found.append(
                place | own | {"others_share": math.nan if own["others_share"] is None else own["others_share"]}
            )
    return pd.DataFrame(found, columns=[*PLACE, *SLICE])


def _measured(runs: StudyRuns) -> list[Any]:
    """The runs that count: those that are recorded, and those that were interrupted after a slice."""
    return [
        run
        for run in runs.child_runs()
        if (RECORDED_TAG in run.data.tags or _kept(run.data.tags)) and {*PLACE, *BEGUN} <= {*run.data.params}
    ]


def _kept(tags: Mapping[str, str]) -> list[list[Any]]:
    numbers = sorted(int(name.removeprefix(SLICES_TAG)) for name in tags if name.startswith(SLICES_TAG))
    return [values for number in numbers for values in json.loads(tags[f"{SLICES_TAG}{number}"])]


def _short(value: Any) -> Any:
    """A number in as many digits as are measured; None where it is not finite."""
    if not isinstance(value, float):
        return value
    return float(f"{value:.7g}") if math.isfinite(value) else None


def _configuration(row: Mapping[str, Any]) -> str:
    """`b4 w1 pin_memory prefetch_factor=4`: what is set, short enough for the column of MLflow's groups."""
    others = {name: row[name] for name in SETTINGS if name not in ("batch_size", "num_workers") and row[name]}
    texts = [name if value is True else f"{name}={value}" for name, value in others.items()]
    own = [row["own_loader"]] if row["own_loader"] else []
    return " ".join([f"b{row['batch_size']}", f"w{row['num_workers']}", *texts, *own])


def last_moment(runs: StudyRuns) -> int | None:
    """When a process was last ended or begun (milliseconds since the epoch); None before the first."""
    return max((run.info.end_time or run.info.start_time for run in runs.child_runs()), default=None)
