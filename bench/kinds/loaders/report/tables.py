"""The tables of a loader study's report: plain cells, a row for each configuration."""

from typing import Any

import pandas as pd

from bench.kinds.loaders.analysis.choice import USUAL_CV2_THREADS
from bench.kinds.loaders.analysis.claims import speed_text
from bench.kinds.loaders.report.result import LoaderResult
from bench.report.cells import known, number_cell
from bench.report.findings import Table
from bench.report.wording import counted
from bench.trials.columns import rows_of
from bench.trials.status import Status

MOST_ROWS = 12
"""Configurations with a result on the main page; all are in the appendix."""
MOST_FAULTS = 4
"""Configurations without a result on the main page."""
WHOLE_COLUMNS = (
    "configuration",
    "images/s [95 %]",
    "n",
    "waiting",
    "AU",
    "bottleneck",
    "of min(loader, compute)",
    "status",
)
DETAIL_COLUMNS = (
    "configuration",
    "loading alone",
    "computing alone",
    "wait p50 / p95 / p99 (ms)",
    "first batch (s)",
    "epoch border (s)",
    "cores",
    "memory (GB)",
    "/dev/shm (MB)",
)
GPU_COLUMNS = ("configuration", "GPU busy (%)", "GPU memory (GB)")
NEED_COLUMNS = ("num_workers", "batch_size", "memory (GB)", "/dev/shm (MB)")
FAULT_COLUMNS = ("configuration", "arm", "status", "why", "times")


def main_table(result: LoaderResult) -> Table:
    """The fastest configurations, the recommended one and the defaults among them; then those that failed.

    Narrow enough for a terminal of 80 columns; ``also`` (what else differs from PyTorch's defaults) where it is needed.
    """
    rows = shown_rows(result)
    also = [_also(row) for row in rows]
    cells = [
        [
            str(row["num_workers"]),
            str(row["batch_size"]),
            *([text or "-"] if any(also) else []),
            _speed_cell(row),
            number_cell(row["data_wait_share"], ".0f", " %", scale=100),
        ]
        for row, text in zip(rows, also, strict=True)
    ]
    return Table(("workers", "batch", *(["also"] if any(also) else []), "images/s [95 %]", "waiting"), cells)


def shown_rows(result: LoaderResult) -> list[dict[str, Any]]:
    """The configurations of the main table."""
    frame = result.configurations
    if frame.empty:
        return []
    complete = result.verdict.leading(MOST_ROWS)
    faulty = frame[~frame["status"].isin([Status.COMPLETE, "missing"])].head(MOST_FAULTS)
    return rows_of(pd.concat([complete, faulty]))


def whole_rows(result: LoaderResult) -> list[list[str]]:
    """Cells of the table of all configurations, the fastest first."""
    return [
        [
            configuration_text(row),
            _interval_cell(row),
            str(row["n"]),
            number_cell(row["data_wait_share"], ".0f", " %", scale=100),
            number_cell(row["au"], ".2f"),
            row["bottleneck"],
            number_cell(1 - row["gap"], ".0f", " %", scale=100),
            str(row["status"]).replace("_", " "),
        ]
        for row in rows_of(result.configurations)
    ]


def detail_rows(result: LoaderResult) -> list[list[str]]:
    """Cells of the table of what each configuration took."""
    return [
        [
            configuration_text(row),
            _known_speed(row["loader_images_per_s"]),
            _known_speed(row["compute_images_per_s"]),
            " / ".join(number_cell(row[f"wait_p{share}_ms"], ".1f") for share in (50, 95, 99)),
            number_cell(row["first_batch_s"], ".2f"),
            number_cell(row["epoch_gap_s"], ".3f"),
            number_cell(row["cores_used"], ".2f"),
            number_cell(row["peak_memory_bytes"], ".2f", scale=1e-9),
            number_cell(row["shm_peak_bytes"], ".1f", scale=1e-6),
        ]
        for row in rows_of(result.verdict.complete)
    ]


def gpu_rows(result: LoaderResult) -> list[list[str]]:
    """Cells of the table of what each configuration took of the GPU; none where that is not known."""
    frame = result.configurations
    if "gpu_memory_bytes" not in frame or not frame["gpu_memory_bytes"].notna().any():
        return []
    return [
        [
            configuration_text(row),
            number_cell(row["gpu_utilization_percent"], ".0f"),
            number_cell(row["gpu_memory_bytes"], ".1f", scale=1e-9),
        ]
        for row in rows_of(result.verdict.complete)
    ]


def need_rows(result: LoaderResult) -> list[list[str]]:
    """Cells of the table of what each configuration was predicted to need."""
    return [
        [
            str(need["num_workers"]),
            str(need["batch_size"]) + (" (pinned)" if need["pin_memory"] else ""),
            number_cell(need["memory_bytes"], ".2f", scale=1e-9),
            number_cell(need["shm_bytes"], ".1f", scale=1e-6),
        ]
        for need in result.needs
    ]


def fault_rows(result: LoaderResult) -> list[list[str]]:
    """Cells of the table of measurements without a result, equal ones counted."""
    faulty = [row for row in rows_of(result.measured) if row["status"] != Status.COMPLETE]
    counts: dict[tuple[str, ...], int] = {}
    for row in faulty:
        status, why = str(row["status"]).replace("_", " "), str(row["error"]) if row["error"] else "-"
        told = (configuration_text(row), str(row["arm"]).replace("_", " "), status, why)
        counts[told] = counts.get(told, 0) + 1
    return [[*told, str(number)] for told, number in counts.items()]


def configuration_text(row: Any) -> str:
    """`2 workers, batch 16, pinned`: what differs from PyTorch's defaults."""
    parts = [counted(int(row["num_workers"]), "worker"), f"batch {row['batch_size']}", _also(row)]
    return ", ".join(filter(None, parts))


def _also(row: Any) -> str:
    """What differs from PyTorch's defaults besides workers and batch size."""
    parts = [*(["pinned"] if row["pin_memory"] else []), *(["persistent"] if row["persistent_workers"] else [])]
    if known(row["prefetch_factor"]):
        parts.append(f"prefetch {int(row['prefetch_factor'])}")
    if isinstance(row["start_method"], str):
        parts.append(row["start_method"])
    if row["cv2_threads"] != USUAL_CV2_THREADS:
        parts.append(f"cv2 threads {row['cv2_threads']}")
    return ", ".join(parts)


def _speed_cell(row: dict[str, Any]) -> str:
    """Images/s with their interval; of a configuration without a result, how it ended."""
    return _interval_cell(row) if row["status"] == Status.COMPLETE else str(row["status"]).replace("_", " ")


def _interval_cell(row: dict[str, Any]) -> str:
    low, high = row["low"], row["high"]
    ends = f" [{speed_text(low)}, {speed_text(high)}]" if known(low) and known(high) else ""
    return _known_speed(row["images_per_s"]) + ends


def _known_speed(images_per_s: float) -> str:
    return speed_text(images_per_s) if known(images_per_s) else "-"
