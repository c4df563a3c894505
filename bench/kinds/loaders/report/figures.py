"""The figures of a loader study: speeds with intervals, workers against batch size, the knee, waits, batch sizes.

Each has a ``has_...`` beside it: what has nothing to show is left out of the page.
"""

import math
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import MaxNLocator

from bench.kinds.loaders.analysis.choice import USUAL_CV2_THREADS
from bench.kinds.loaders.analysis.claims import speed_text
from bench.kinds.loaders.analysis.configurations import COMPUTE, END_TO_END
from bench.kinds.loaders.analysis.headline import is_vague
from bench.kinds.loaders.phases import GRID
from bench.kinds.loaders.report.result import LoaderResult
from bench.kinds.loaders.report.tables import MOST_ROWS, configuration_text
from bench.report.findings import Intervals
from bench.report.style import (
    BAND_ALPHA,
    COLOURS,
    INK,
    LINE_STYLES,
    MARKERS,
    QUIET,
    WIDTH,
    legend_below,
    log_ticks,
)
from bench.report.wording import counted
from bench.trials.columns import rows_of
from bench.trials.status import Status

MOST_PANELS = 3
LEAST_WAIT_MS = 0.01
HEADROOM = 1.2
DARK = 0.7
"""Share of the map's range above which pale text stands out more than dark: either has a contrast of 4 at least."""
ON_LIGHT, ON_DARK = "#101418", "#fefefe"
"""Text on the map's cells, which have the same colours on a light and on a dark page: so must it, and neither is one of
the colours that `bench.report.style.as_svg` swaps."""
CHOSEN = 3
"""Place in the list of looks that stands for the recommendation, in all figures."""
LEAST_BAND = 0.01
"""A machine's noise under which no band is drawn."""
WIDE = 2.0
"""Highest over lowest images/s above which an axis begins at 0."""


def speeds_panel(result: LoaderResult) -> Intervals | None:
    """Images/s of the fastest configurations with intervals, the recommended one marked; None where there is none."""
    found = result.verdict
    rows = rows_of(found.leading(MOST_ROWS)) if found.chosen else []
    if not rows:
        return None
    names = [configuration_text(row) for row in rows]
    middle, low, high = ([float(row[name]) for row in rows] for name in ("images_per_s", "low", "high"))
    fastest = middle[0]
    band = (fastest * (1 - found.noise), fastest) if found.noise >= LEAST_BAND and len(rows) > 1 else None
    more = len(found.complete) - len(rows)
    return Intervals(
        "images/s of training: median, 95 % interval" if result.computes else "images/s: median, 95 % interval",
        names,
        middle,
        low,
        high,
        places=[CHOSEN if row["key"] == found.chosen else None for row in rows],
        notes=[_note(result, row["key"]) for row in rows],
        title=f"{len(rows)} of {len(found.complete)} configurations, the fastest first" if more else "",
        band=band,
        band_label=f"within the machine's noise ({100 * found.noise:.0f} %) of the fastest",
        zero=max(middle) > WIDE * min(middle),
    )


def _note(result: LoaderResult, key: str) -> str:
    found = result.verdict
    default = "PyTorch's default workers" if key == found.defaults else ""
    if key == found.chosen:
        return ", ".join(filter(None, ("" if is_vague(found) else "recommended", default)))
    if default:
        return default
    if key in found.tried:
        return "no reliable gain"
    if found.chosen not in found.tied or key not in found.tied:
        return ""
    return "fastest measured" if key == found.tied[0] else "cannot be told apart"


def has_heat_map(result: LoaderResult) -> bool:
    """Whether combinations of several numbers of workers and several batch sizes are complete."""
    frame = _complete(of_grid(result))
    return bool(result.verdict.chosen) and all(len({*frame[name]}) > 1 for name in ("num_workers", "batch_size"))


def heat_map(result: LoaderResult) -> Figure:
    """Images/s by workers and batch size, a panel for pinned memory where it was measured; the chosen one framed."""
    frame = of_grid(result)
    pinned = sorted(_complete(frame)["pin_memory"].unique())
    sizes = frame["batch_size"].nunique()
    figure, axes = plt.subplots(1, len(pinned), figsize=(WIDTH, 1.6 + 0.6 * sizes), squeeze=False)
    top = float(frame["images_per_s"].max())
    for axis, pin in zip(axes.flat, pinned, strict=True):
        _heat_panel(axis, result, frame[frame["pin_memory"] == pin], top)
        axis.set_title(f"images/s with pin_memory={bool(pin)}" if len(pinned) > 1 else "images/s")
    return figure


def _heat_panel(axis: Axes, result: LoaderResult, frame: pd.DataFrame, top: float) -> None:
    whole = of_grid(result)
    workers, batches = sorted(whole["num_workers"].unique()), sorted(whole["batch_size"].unique())
    cells = {(row["batch_size"], row["num_workers"]): row for row in rows_of(frame)}
    speeds = [[_speed(cells.get((batch, count))) for count in workers] for batch in batches]
    axis.imshow(np.array(speeds, dtype=float), cmap="Blues", vmin=0, vmax=top, aspect="auto")
    chosen = result.verdict.chosen
    for down, batch in enumerate(batches):
        for along, count in enumerate(workers):
            row, speed = cells.get((batch, count)), speeds[down][along]
            known = speed > 0
            text = speed_text(speed) if known else "" if row is None else _fate(str(row["status"]))
            colour = (ON_DARK if speed > DARK * top else ON_LIGHT) if known else INK
            axis.text(along, down, text, ha="center", va="center", color=colour, fontsize=11 if known else 9)
            if row is not None and row["key"] == chosen:
                axis.add_patch(Rectangle((along - 0.48, down - 0.46), 0.96, 0.92, fill=False, ec=COLOURS[CHOSEN], lw=3))
    axis.set_xticks(range(len(workers)), [str(count) for count in workers])
    axis.set_yticks(range(len(batches)), [str(batch) for batch in batches])
    axis.set(xlabel="workers (num_workers)", ylabel="images a batch\n(batch_size)")
    axis.grid(visible=False)


def _fate(status: str) -> str:
    return "" if status == "missing" else status.replace("_", "\n")


def _speed(row: dict[str, Any] | None) -> float:
    return math.nan if row is None else float(row["images_per_s"])


def has_knee(result: LoaderResult) -> bool:
    """Whether several numbers of workers are complete at one batch size."""
    return bool(_knee_sizes(result))


def knee(result: LoaderResult) -> Figure:
    """Training against the number of workers, beside what loading and computing alone would allow."""
    frame, sizes = _curves(result), _knee_sizes(result)
    figure, axes = plt.subplots(1, len(sizes), figsize=(WIDTH, 4.2), sharey=True, squeeze=False)
    panels = list(axes.flat)
    for axis, size in zip(panels, sizes, strict=True):
        own = frame[frame["batch_size"] == size].sort_values("num_workers")
        _line(axis, own, "loader_", "loading alone", 0)
        _line(axis, own, "compute_", "computing alone", 1)
        limit = own[own["limit_images_per_s"].notna()]
        if len(limit) > 1:
            axis.plot(
                limit["num_workers"], limit["limit_images_per_s"], color=QUIET, ls=":", label="the slower of both"
            )
        _line(axis, own, "", "training" if result.computes else "loading", CHOSEN)
        axis.set_title(f"batches of {size}")
        axis.set_xlabel("workers (num_workers)")
        axis.set_xticks(own["num_workers"])
    medians = frame[frame["batch_size"].isin(sizes)][["images_per_s", "loader_images_per_s", "compute_images_per_s"]]
    panels[0].set_ylim(0, HEADROOM * medians.max().max())  # intervals of two repeats reach anywhere
    panels[0].set_ylabel("images/s: median, 95 % interval")
    handles, labels = panels[0].get_legend_handles_labels()
    if len(labels) > 1:
        legend_below(figure, handles)
    return figure


def shows_limit(result: LoaderResult) -> bool:
    """Whether `knee` draws the slower of loading alone and computing alone."""
    frame = _curves(result)
    known = frame[frame["limit_images_per_s"].notna()]
    return any((known["batch_size"] == size).sum() > 1 for size in _knee_sizes(result))


def _curves(result: LoaderResult) -> pd.DataFrame:
    """The complete combinations, pinned as the recommended one is."""
    frame, chosen = _complete(of_grid(result)), result.verdict.recommended
    return frame if chosen is None or frame.empty else frame[frame["pin_memory"] == chosen["pin_memory"]]


def _knee_sizes(result: LoaderResult) -> list[int]:
    """Batch sizes at which several numbers of workers are complete: of more than MOST_PANELS the smallest, the largest,
    and the recommended one or else the middle."""
    frame = _curves(result)
    if frame.empty or not result.verdict.chosen:
        return []
    counts = frame.groupby("batch_size")["num_workers"].count()
    sizes = [int(size) for size in sorted(counts.index[counts > 1])]
    if len(sizes) <= MOST_PANELS:
        return sizes
    chosen = int((result.verdict.recommended or {}).get("batch_size", 0))
    return [sizes[0], chosen if chosen in sizes[1:-1] else sizes[len(sizes) // 2], sizes[-1]]


def _line(axis: Axes, own: pd.DataFrame, prefix: str, label: str, place: int) -> None:
    known = own[own[f"{prefix}images_per_s"].notna()]
    if known.empty:
        return
    colour = COLOURS[place]
    axis.plot(known["num_workers"], known[f"{prefix}images_per_s"], color=colour, marker=MARKERS[place], label=label)
    axis.fill_between(
        known["num_workers"].astype(float),
        known[f"{prefix}low"],
        known[f"{prefix}high"],
        color=colour,
        alpha=BAND_ALPHA,
        lw=0,
    )


def has_waits(result: LoaderResult) -> bool:
    """Whether the waits of several numbers of workers are known at the recommended batch size."""
    return len(_waits(result)) > 1


def waits(result: LoaderResult) -> Figure:
    """How long training waits for a batch: the share of batches that are waited for longer, by workers."""
    figure, axis = plt.subplots(figsize=(WIDTH, 4.2))
    for place, (workers, own) in enumerate(_waits(result).items()):
        share = 100 * (1 - np.linspace(0, 1, len(own)))
        style = LINE_STYLES[place // len(COLOURS) % len(LINE_STYLES)]
        colour = COLOURS[place % len(COLOURS)]
        axis.plot(own, share, color=colour, ls=style, label=counted(workers, "worker"), drawstyle="steps")
    axis.set_xscale("log")
    log_ticks(axis.xaxis)
    least = min(float(own.min()) for own in _waits(result).values())
    none = f" ({LEAST_WAIT_MS:g}: none)" if least <= LEAST_WAIT_MS else ""
    axis.set(xlabel=f"wait for a batch, in ms{none}", ylabel="batches that are waited for longer (%)", ylim=(0, 102))
    legend_below(figure, axis.get_legend_handles_labels()[0])
    return figure


def _waits(result: LoaderResult) -> dict[int, np.ndarray]:
    """Quantiles of the waits in milliseconds by the number of workers, the median over the repeats."""
    chosen, rows = result.verdict.recommended, result.rows
    if chosen is None:
        return {}
    rows = rows[(rows["phase"] == GRID) & (rows["arm"] == END_TO_END) & (rows["status"] == Status.COMPLETE)]
    rows = rows[(rows["batch_size"] == chosen["batch_size"]) & (rows["pin_memory"] == chosen["pin_memory"])]
    found = {}
    for workers, own in rows.groupby("num_workers"):
        quantiles = np.array([each for each in own["wait_quantiles_ms"] if len(each)])
        if len(quantiles):
            found[int(workers)] = np.maximum(np.median(quantiles, axis=0), LEAST_WAIT_MS)
    return found


def has_batch_sizes(result: LoaderResult) -> bool:
    """Whether the step alone was measured at several batch sizes."""
    return len(_step_speeds(result)) > 1


def batch_sizes(result: LoaderResult) -> Figure:
    """Images/s of the step alone against batch size, up to the largest that fits."""
    speeds = _step_speeds(result)
    figure, axis = plt.subplots(figsize=(WIDTH, 4))
    axis.plot(speeds.index, speeds.to_numpy(), color=COLOURS[1], marker=MARKERS[1])
    axis.set_xscale("log", base=2)
    axis.set_xticks(list(speeds.index), [str(size) for size in speeds.index])
    axis.minorticks_off()
    axis.yaxis.set_major_locator(MaxNLocator(6))
    axis.set(xlabel="images a batch (batch_size)", ylabel="images/s of the step alone", ylim=(0, None))
    return figure


def _step_speeds(result: LoaderResult) -> pd.Series:
    rows = result.rows
    if not len(rows) or "images_per_s" not in rows:
        return pd.Series(dtype=float)
    rows = rows[(rows["arm"] == COMPUTE) & (rows["status"] == Status.COMPLETE)]
    return rows.groupby("batch_size")["images_per_s"].median()


def of_grid(result: LoaderResult) -> pd.DataFrame:
    """The configurations of the grid: those around its best have settings of their own."""
    frame = result.configurations
    if frame.empty:
        return frame
    keep = frame["persistent_workers"].eq(False)
    for name in ("prefetch_factor", "start_method"):
        keep &= frame[name].isna()
    keep &= frame["cv2_threads"] == USUAL_CV2_THREADS
    return frame[keep]


def _complete(frame: pd.DataFrame) -> pd.DataFrame:
    return frame[frame["status"] == Status.COMPLETE] if len(frame) else frame
