"""The tables of a loader study's report: text cells, a row for each configuration."""

import math
import re
from collections.abc import Callable
from typing import Any

import pandas as pd

from bench.kinds.loaders.analysis.choice import USUAL_CV2_THREADS
from bench.kinds.loaders.analysis.claims import speed_text
from bench.kinds.loaders.analysis.findings import Pick, Ratio
from bench.kinds.loaders.phases import GRID
from bench.kinds.loaders.report.result import LoaderResult
from bench.report.cells import known, number_cell
from bench.report.findings import Table
from bench.report.wording import counted
from bench.trials.columns import rows_of
from bench.trials.status import Status

MOST_ROWS = 12
"""Maximum number of configurations with a result on the main page; all are in the appendix."""
MOST_FAULTS = 4
"""Maximum number of configurations without a result on the main page."""
SIZE_COLUMNS = ("batch", "use", "images/s", "times the default", "settled")
BEST = "best"
"""Mark of the best configuration so far, if the choice is not settled."""
MAIN_COLUMNS = ("workers", "batch", "also", "images/s", "% of fastest", "waits")
WHOLE_COLUMNS = (
    "configuration",
    "images/s [95 %]",
    "% of the fastest [95 %]",
    "standing",
    "blocks",
    "waiting",
    "status",
)
LIMIT_COLUMNS = (
    "configuration",
    "training",
    "loading alone",
    "computing alone",
    "possible",
    "modelled",
    "% of model",
    "bottleneck",
    "if loading were free",
    "if computing were free",
)
DETAIL_COLUMNS = (
    "configuration",
    "AU",
    "wait p50 / p95 / p99 (ms)",
    "first batch (s)",
    "epoch border (s)",
    "cores",
    "memory (GB)",
    "/dev/shm (MB)",
)
SLICE_COLUMNS = ("configuration", "blocks", "slices", "dropped", "others' CPU")
GPU_COLUMNS = ("configuration", "GPU busy (%)", "GPU memory (GB)")
NEED_COLUMNS = ("num_workers", "batch_size", "memory (GB)", "/dev/shm (MB)")
FAULT_COLUMNS = ("configuration", "status", "why", "times")


def size_table(result: LoaderResult) -> Table | None:
    """Return what to use with each batch size; None if only one was measured."""
    picks = result.verdict.picks
    if len(picks) < 2:
        return None
    return Table(SIZE_COLUMNS, [_size_cells(result, pick) for pick in picks])


def _size_cells(result: LoaderResult, pick: Pick) -> list[str]:
    if not pick.key:
        return [str(pick.batch_size), "-", "-", "-", "disturbed" if pick.disturbed else "no result"]
    row = result.verdict.configuration(result.used(pick))
    gain = result.verdict.gain if pick is result.verdict.pick else pick.gain
    use = ", ".join(filter(None, (_workers(row), also_text(row))))
    return [str(pick.batch_size), use, _share_interval(row), gain_cell(gain), "yes" if pick.settled else "no"]


def gain_cell(gain: Ratio | None) -> str:
    """Return `1.16 [1.10, 1.22]`; `-` if unknown."""
    if gain is None:
        return "-"
    ends = f" [{gain.low:.2f}, {gain.high:.2f}]" if gain.low is not None and gain.high is not None else ""
    return f"{gain.value:.2f}{ends}"


def main_table(result: LoaderResult) -> Table:
    """Return the picks, PyTorch's defaults and the fastest configurations by batch size; then those that failed.

    Narrow enough for a terminal of 80 columns: the columns ``batch`` and ``also`` (other settings that differ from
    PyTorch's defaults) appear only if needed.
    """
    rows = shown_rows(result)
    marks = {result.used(pick): "use" if pick.settled else BEST for pick in result.verdict.picks}
    cells = [
        [
            str(row["num_workers"]),
            str(row["batch_size"]),
            also_text(row) or "-",
            _share_interval(row) if row["status"] == Status.COMPLETE else str(row["status"]).replace("_", " "),
            _standing_cell(with_share(result, row), marks.get(row["key"], "")),
            number_cell(row["data_wait_share"], ".0f", " %", scale=100),
        ]
        for row in rows
    ]
    kept = [name for name in MAIN_COLUMNS if _is_needed(name, rows)]
    return Table(kept, [[line[MAIN_COLUMNS.index(name)] for name in kept] for line in cells])


def _is_needed(column: str, rows: list[dict[str, Any]]) -> bool:
    """Return whether a column of the main table has different values in its rows, or any value."""
    if column == "batch":
        return has_several_sizes(rows)
    return column != "also" or any(map(also_text, rows))


def has_several_sizes(rows: list[dict[str, Any]]) -> bool:
    """Return whether the configurations have several batch sizes."""
    return len({row["batch_size"] for row in rows}) > 1


def shown_rows(result: LoaderResult) -> list[dict[str, Any]]:
    """Return the configurations of the main table: by batch size, the fastest of each first; those without a result
    last."""
    frame = result.configurations
    if frame.empty:
        return []
    faulty = frame[~frame["status"].isin([Status.COMPLETE, "missing"])].head(MOST_FAULTS)
    return [*leading_rows(result), *rows_of(faulty)]


def leading_rows(result: LoaderResult) -> list[dict[str, Any]]:
    """Return the complete configurations to show (at most MOST_ROWS), sorted by batch size, variants after the grid,
    the fastest first.

    All picks are chosen first, then the configurations they are compared with, then the fastest of each batch size in
    turn.
    """
    named = [{key for pick in result.verdict.picks for key in (pick.key, result.used(pick))}]
    named.append({key for pick in result.verdict.picks for key in (pick.reference, pick.fastest)})
    ranks: dict[int, int] = {}
    ranked = []
    for row in result.complete_rows:
        size = int(row["batch_size"])
        ranks[size] = ranks.get(size, 0) + 1
        first = next((rank for rank, keys in enumerate(named) if row["key"] in keys), len(named))
        ranked.append(((first, ranks[size]), row))
    kept = [row for _, row in sorted(ranked, key=lambda each: each[0])[:MOST_ROWS]]
    return sorted(kept, key=lambda row: (row["batch_size"], row["phase"] != GRID, -row["images_per_s"]))


def whole_rows(result: LoaderResult) -> list[list[str]]:
    """Return the cells of the table of all configurations, the fastest first."""
    return [
        [
            configuration_text(row),
            _interval_cell(row),
            _percent_interval(with_share(result, row), "to_fastest"),
            str(with_share(result, row)["standing"]) or "-",
            str(row["n"]),
            number_cell(row["data_wait_share"], ".0f", " %", scale=100),
            f"{row['status']}{', disturbed' if row['disturbed'] else ''}".replace("_", " "),
        ]
        for row in rows_of(result.configurations)
    ]


def limit_rows(result: LoaderResult) -> list[list[str]]:
    """Return the cells of the table of measured, possible and modelled speeds."""
    return [
        [
            configuration_text(row),
            *(_speed(row[f"{arm}images_per_s"]) for arm in ("", "loader_", "compute_", "possible_", "modelled_")),
            number_cell(row["of_model"], ".0f", scale=100),
            str(row["bottleneck"]),
            _ratio_cell(row, "if_loading_were_free"),
            _ratio_cell(row, "if_computing_were_free"),
        ]
        for row in result.complete_rows
    ]


def detail_rows(result: LoaderResult) -> list[list[str]]:
    """Return the cells of the table of each configuration's costs."""
    return [
        [
            configuration_text(row),
            number_cell(row["au"], ".2f"),
            " / ".join(number_cell(row[f"wait_p{share}_ms"], ".1f") for share in (50, 95, 99)),
            number_cell(row["first_batch_s"], ".2f"),
            number_cell(row["epoch_gap_s"], ".3f"),
            number_cell(row["cores_used"], ".2f"),
            number_cell(row["peak_memory_bytes"], ".2f", scale=1e-9),
            number_cell(row["shm_peak_bytes"], ".1f", scale=1e-6),
        ]
        for row in result.complete_rows
    ]


def slice_rows(result: LoaderResult) -> list[list[str]]:
    """Return the cells of the table of blocks and slices behind each configuration's numbers."""
    return [
        [
            configuration_text(row),
            str(row["n"]),
            number_cell(row["slices"], ".0f"),
            number_cell(row["dropped"], ".0f"),
            number_cell(row["others_share"], ".1f", " %", scale=100),
        ]
        for row in result.complete_rows
    ]


def gpu_rows(result: LoaderResult) -> list[list[str]]:
    """Return the cells of the table of each configuration's use of the GPU; empty if that is unknown."""
    frame = result.configurations
    if "gpu_memory_bytes" not in frame or not frame["gpu_memory_bytes"].notna().any():
        return []
    return [
        [
            configuration_text(row),
            number_cell(row["gpu_utilization_percent"], ".0f"),
            number_cell(row["gpu_memory_bytes"], ".1f", scale=1e-9),
        ]
        for row in result.complete_rows
    ]


def need_rows(result: LoaderResult) -> list[list[str]]:
    """Return the cells of the table of each configuration's predicted memory."""
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
    """Return the cells of the table of processes without a result; processes with the same error share a row with a
    count."""
    counts: dict[tuple[str, ...], int] = {}
    for row in rows_of(result.measured):
        if row["status"] != Status.COMPLETE:
            why = str(row["error"]) if row["error"] else "-"
            cells = (configuration_text(row), str(row["status"]).replace("_", " "), why)
            counts[cells] = counts.get(cells, 0) + 1
    return [[*cells, str(number)] for cells, number in counts.items()]


def configuration_text(row: Any) -> str:
    """Return the settings that differ from PyTorch's defaults, as `2 workers, batch 16, pinned`, or the name of a
    user's own loader."""
    return ", ".join(filter(None, (_workers(row), f"batch {row['batch_size']}", also_text(row))))


def without_batch(row: Any) -> str:
    """Return `2 workers, pinned`: the configuration without its batch size, which is shown elsewhere."""
    return ", ".join(filter(None, (_workers(row), also_text(row))))


def also_text(row: Any) -> str:
    """Return the settings besides workers and batch size that differ from PyTorch's defaults."""
    own = row.get("own_loader")
    parts = [re.split("[.:]", own)[-1]] if isinstance(own, str) and own else []
    parts += [*(["pinned"] if row["pin_memory"] else []), *(["persistent"] if row["persistent_workers"] else [])]
    if known(row["prefetch_factor"]):
        parts.append(f"prefetch {int(row['prefetch_factor'])}")
    if isinstance(row["start_method"], str):
        parts.append(row["start_method"])
    if row["cv2_threads"] != USUAL_CV2_THREADS:
        parts.append(f"cv2 threads {row['cv2_threads']}")
    return ", ".join(parts)


def _workers(row: Any) -> str:
    return counted(int(row["num_workers"]), "worker")


def _standing_cell(row: Any, mark: str) -> str:
    """`99 % use`, `100 % fastest`, `87 % slower`."""
    if row["status"] != Status.COMPLETE:
        return "-"
    share = number_cell(row["to_fastest"], ".0f", " % ", scale=100) if known(row["to_fastest"]) else ""
    return f"{share}{mark or row['standing']}".strip() or "-"


def with_share(result: LoaderResult, row: dict[str, Any]) -> dict[str, Any]:
    """Return a row with its share of the fastest (``to_fastest`` and its ends) and its standing.

    A variant is compared with the configuration that it varies. At a batch size with a disturbed configuration (one
    faster than possible) there are no shares.
    """
    verdict = result.verdict
    if any(pick.batch_size == row["batch_size"] and not pick.key for pick in verdict.picks):
        shares = dict.fromkeys(("to_fastest", "to_fastest_low", "to_fastest_high"), math.nan)
        return row | shares | {"standing": "disturbed" if row["disturbed"] else ""}
    varied = next((each for each in verdict.variants if each.key == row["key"]), None)
    if varied is None:
        return row
    ratio = varied.ratio
    ends = {"to_fastest_low": ratio.low, "to_fastest_high": ratio.high}
    return row | ends | {"to_fastest": ratio.value, "standing": varied.standing}


def _share_interval(row: Any) -> str:
    """Return `121 ±2 %`: the speed with the distance of the farther end of its interval."""
    middle, low, high = (row[name] for name in ("images_per_s", "low", "high"))
    if not (known(low) and known(high)):
        return _speed(middle)
    share = 100 * max(1 - low / middle, high / middle - 1)
    return f"{_speed(middle)} ±{share:.{0 if share >= 1 else 1}f} %"


def _interval_cell(row: Any) -> str:
    return _with_ends(row, "images_per_s", "low", "high", _speed)


def _percent_interval(row: Any, name: str) -> str:
    return _with_ends(row, name, f"{name}_low", f"{name}_high", lambda value: number_cell(value, ".1f", scale=100))


def _ratio_cell(row: Any, name: str) -> str:
    return _with_ends(row, name, f"{name}_low", f"{name}_high", lambda value: number_cell(value, ".2f"))


def _with_ends(row: Any, middle: str, low: str, high: str, text: Callable[[Any], str]) -> str:
    """Return a number with its interval, if it has one."""
    ends = f" [{text(row[low])}, {text(row[high])}]" if known(row[low]) and known(row[high]) else ""
    return text(row[middle]) + ends


def _speed(images_per_s: Any) -> str:
    return speed_text(images_per_s) if known(images_per_s) else "-"


def disturbed_rows(result: LoaderResult) -> pd.DataFrame:
    """Return the configurations that trained faster than loading alone and computing alone allow: something disturbed
    them."""
    frame = result.configurations
    return frame[frame["disturbed"].astype(bool)] if len(frame) else frame
