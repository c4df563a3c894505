"""Measurements of loader settings in, one row for each configuration out: medians, intervals, and what failed."""

import json
import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy import special

from bench.statistics.intervals import mean_interval
from bench.trials.loader_settings import SETTINGS, plain_setting
from bench.trials.status import Status

LOADER, COMPUTE, END_TO_END = "loader", "compute", "end_to_end"

MEDIANS = (
    "data_wait_share",
    "au",
    "wait_p50_ms",
    "wait_p95_ms",
    "wait_p99_ms",
    "compute_ms",
    "first_batch_s",
    "epoch_gap_s",
    "cores_used",
    "steady",
    "gpu_utilization_percent",
)
"""Of the arm `end_to_end`, over the repeats."""
PEAKS = ("peak_memory_bytes", "shm_peak_bytes", "gpu_memory_bytes", "gpu_others_bytes")
"""The largest over the repeats and arms."""

COLUMNS = [*SETTINGS, "key", "n", "status", "error", "images_per_s", "low", "high"]
"""Of a summary without a configuration."""
FEW = 5
"""Repeats under which a configuration's spread is taken from all of them: two values alone say nothing of it."""
LEVEL = 0.95

NOT_COPIED = "The step copies no batch to a device: pin_memory had no effect to measure and is not ranked."
NOT_PINNED = "Without an accelerator pin_memory does nothing: it had no effect to measure and is not ranked."


def pool_pinning(rows: pd.DataFrame) -> tuple[pd.DataFrame, str]:
    """Where nothing was pinned, what was asked with pin_memory is the same configuration as without.

    Args:
        rows: Measurements with ``effective_pin_memory`` and ``device``; in rows that never ran it may be missing.

    Returns:
        The rows, with ``pin_memory`` False throughout where no row pinned anything, and the sentence that says so
        (empty where pinning had an effect, or was not asked for).
    """
    if rows.empty or rows["effective_pin_memory"].fillna(False).astype(bool).any():
        return rows, ""
    asked = rows["pin_memory"].astype(bool).any()
    on_accelerator = rows.loc[rows["status"] == Status.COMPLETE, "device"].isin(["cuda", "xpu"]).any()
    if not asked or on_accelerator:
        return rows, ""
    return rows.assign(pin_memory=False), NOT_PINNED


def configuration_key(row: Any) -> str:
    """One text for the settings of a row: equal for the repeats and arms of a configuration."""
    return json.dumps([plain_setting(row[name]) for name in SETTINGS])


def summarize_configurations(rows: pd.DataFrame) -> pd.DataFrame:
    """One row for each configuration, the fastest first, those without a result last.

    Args:
        rows: One row a measurement: SETTINGS, ``arm``, ``block`` (which repeat), ``status``, ``error``,
            ``images_per_s`` and what else was measured.

    Returns:
        A frame with SETTINGS; ``key``; ``n`` (complete measurements of the arm `end_to_end`); ``status`` and ``error``
        (complete as soon as one is; else the first fault); ``images_per_s``, ``low``, ``high``; the same for the arms
        as ``loader_images_per_s``, ``loader_low`` ... and ``compute_...``; MEDIANS and PEAKS; ``usual_memory_bytes``,
        the median of the peaks in `end_to_end`. What was not measured is NaN. The arm `compute` is matched by batch
        size and pinning: it is measured once for them.
    """
    if rows.empty:
        return pd.DataFrame(columns=COLUMNS)
    rows = rows.assign(key=[configuration_key(row) for _, row in rows.iterrows()])
    if "images_per_s" not in rows:  # nothing has completed
        rows["images_per_s"] = np.nan
    compute = rows[rows["arm"] == COMPUTE]
    spreads = {arm: usual_spread(own) for arm, own in rows.groupby("arm")}
    found = []
    for key, own in rows[rows["arm"] != COMPUTE].groupby("key", sort=False):
        whole = own[(own["arm"] == END_TO_END)]
        complete = whole[whole["status"] == Status.COMPLETE]
        faulty = whole[whole["status"] != Status.COMPLETE]
        first = own.iloc[0]
        row: dict[str, Any] = {name: plain_setting(first[name]) for name in SETTINGS} | {"key": key, "n": len(complete)}
        row["status"] = (
            Status.COMPLETE if len(complete) else (str(faulty.iloc[0]["status"]) if len(faulty) else "missing")
        )
        row["error"] = "" if len(complete) or faulty.empty else str(faulty.iloc[0]["error"])
        row["faults"] = len(faulty)
        for prefix, name, arm in (
            ("", END_TO_END, complete),
            ("loader_", LOADER, _complete(own[own["arm"] == LOADER])),
            ("compute_", COMPUTE, _complete(_same_work(compute, first))),
        ):
            spread = spreads.get(name)
            middle, low, high = throughput_interval(arm["images_per_s"].to_numpy(dtype=float), spread)
            row |= {f"{prefix}images_per_s": middle, f"{prefix}low": low, f"{prefix}high": high}
        row |= {name: _median(complete, name) for name in MEDIANS} | {name: _largest(own, name) for name in PEAKS}
        row["usual_memory_bytes"] = _median(complete, "peak_memory_bytes")
        found.append(row)
    if not found:  # the step alone has been measured so far
        return pd.DataFrame(columns=COLUMNS)
    summary = pd.DataFrame(found)
    return summary.sort_values("images_per_s", ascending=False, na_position="last", kind="stable", ignore_index=True)


@dataclass(frozen=True)
class Spread:
    """Standard deviation of log images/s between repeats, and the degrees of freedom that it rests on."""

    deviation: float
    freedom: int


def usual_spread(rows: pd.DataFrame) -> Spread | None:
    """What repeats of one arm spread by, pooled over the configurations (by ``key``); None without two of any."""
    squares, freedom = 0.0, 0
    for _, own in _complete(rows).groupby("key"):
        values = own["images_per_s"].to_numpy(dtype=float)
        logs = np.log(values[np.isfinite(values) & (values > 0)])
        if len(logs) > 1:
            squares, freedom = squares + float(((logs - logs.mean()) ** 2).sum()), freedom + len(logs) - 1
    return Spread(math.sqrt(squares / freedom), freedom) if freedom else None


def throughput_interval(values: np.ndarray, usual: Spread | None = None) -> tuple[float, float, float]:
    """Median and 95 % interval (low, high) of images/s over repeats; NaN for what so few cannot tell.

    The interval is the mean's (`mean_interval`), drawn out to the median where that lies outside: an interval of the
    median itself reaches 95 % only with six repeats. Of fewer than FEW repeats the spread is the ``usual`` one, by
    Student's t with its degrees of freedom: two values' own interval is 13 standard errors wide and tells nothing.
    """
    values = values[np.isfinite(values)]
    if len(values) == 0:
        return math.nan, math.nan, math.nan
    middle = float(np.median(values))
    if 1 < len(values) < FEW and usual is not None:
        reach = float(special.stdtrit(usual.freedom, (1 + LEVEL) / 2)) * usual.deviation / math.sqrt(len(values))
        mean = float(values.mean())
        return middle, min(mean * math.exp(-reach), middle), max(mean * math.exp(reach), middle)
    interval = mean_interval(values)
    if interval.low is None or interval.high is None:
        return middle, math.nan, math.nan
    return middle, max(0.0, min(interval.low, middle)), max(interval.high, middle)


def _same_work(compute: pd.DataFrame, row: pd.Series) -> pd.DataFrame:
    """Measurements of the step on batches of this size, pinned alike where that was measured."""
    same: pd.DataFrame = compute[compute["batch_size"] == row["batch_size"]]
    alike = same[same["pin_memory"].astype(bool) == bool(row["pin_memory"])]
    return alike if len(alike) else same


def _complete(rows: pd.DataFrame) -> pd.DataFrame:
    return rows[rows["status"] == Status.COMPLETE]


def _median(rows: pd.DataFrame, name: str) -> float:
    return float(rows[name].astype(float).median()) if name in rows and len(rows) else math.nan


def _largest(rows: pd.DataFrame, name: str) -> float:
    return float(rows[name].astype(float).max()) if name in rows and len(rows) else math.nan
