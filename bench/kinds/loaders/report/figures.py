"""Figures of a loader study's sections: heat map of workers and batch size, speed by workers, waits, batch sizes.

Each has a ``has_...`` function that says whether there is anything to show; otherwise the page leaves it out.
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
from bench.kinds.loaders.analysis.configurations import COMPUTE
from bench.kinds.loaders.phases import GRID
from bench.kinds.loaders.report.forest import CHOSEN
from bench.kinds.loaders.report.result import LoaderResult
from bench.kinds.loaders.report.tables import leading_rows
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
"""Maximum number of batch sizes in the figure of speed by workers ("the knee")."""
LEAST_WAIT_MS = 0.01
"""Minimum wait in milliseconds on the logarithmic axis; shorter waits are drawn at this value."""
HEADROOM = 1.45
"""Top of the knee's axis, in multiples of the upper end of training's intervals; higher values are cut and written as
numbers."""
DARK = 0.7
"""Share of the map's range above which pale text is easier to read than dark; both have a contrast of at least 4."""
ON_LIGHT, ON_DARK = "#101418", "#fefefe"
"""Text colours on the map's cells. The cells look the same on a light and on a dark page, so these must too: neither is
a colour that `bench.report.style.as_svg` swaps."""
BEHIND = (
    ("loader_images_per_s", "loading alone", COLOURS[0], "-"),
    ("compute_images_per_s", "computing alone", COLOURS[1], "-"),
    ("modelled_images_per_s", "modelled", QUIET, ":"),
)
"""Lines behind training in the knee: column, label, colour, style."""


def has_heat_map(result: LoaderResult) -> bool:
    """Return whether several numbers of workers and batch sizes are complete, and more of them than the forest
    shows."""
    frame = _complete(grid_configurations(result))
    if not result.verdict.chosen or {*frame["key"]} <= {row["key"] for row in leading_rows(result)}:
        return False
    return all(len({*frame[name]}) > 1 for name in ("num_workers", "batch_size"))


def heat_map(result: LoaderResult) -> Figure:
    """Draw images/s by workers and batch size, a panel for pinned memory if it was measured; the picks are framed."""
    frame = grid_configurations(result)
    pinned = sorted(_complete(frame)["pin_memory"].unique())
    sizes = frame["batch_size"].nunique()
    figure, axes = plt.subplots(1, len(pinned), figsize=(WIDTH, 1.6 + 0.6 * sizes), squeeze=False)
    top = float(frame["images_per_s"].max())
    for axis, pin in zip(axes.flat, pinned, strict=True):
        _heat_panel(axis, result, frame[frame["pin_memory"] == pin], top)
        axis.set_title(f"images/s with pin_memory={bool(pin)}" if len(pinned) > 1 else "images/s")
    return figure


def _heat_panel(axis: Axes, result: LoaderResult, frame: pd.DataFrame, top: float) -> None:
    grid = grid_configurations(result)
    workers, batches = sorted(grid["num_workers"].unique()), sorted(grid["batch_size"].unique())
    cells = {(row["batch_size"], row["num_workers"]): row for row in rows_of(frame)}
    speeds = [[_speed(cells.get((batch, count))) for count in workers] for batch in batches]
    axis.imshow(np.array(speeds, dtype=float), cmap="Blues", vmin=0, vmax=top, aspect="auto")
    picked = {pick.key for pick in result.verdict.picks}
    for down, batch in enumerate(batches):
        for along, count in enumerate(workers):
            row, speed = cells.get((batch, count)), speeds[down][along]
            known = speed > 0
            text = speed_text(speed) if known else "" if row is None else _fate(str(row["status"]))
            colour = (ON_DARK if speed > DARK * top else ON_LIGHT) if known else INK
            axis.text(along, down, text, ha="center", va="center", color=colour, fontsize=11 if known else 9)
            if row is not None and row["key"] in picked:
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
    """Return whether several numbers of workers are complete at one batch size."""
    return bool(_knee_sizes(result))


def knee(result: LoaderResult) -> Figure:
    """Draw training against the number of workers, with intervals; behind it loading alone, computing alone, and the
    modelled speed.

    The axis fits training: higher values are written at its top.
    """
    frame, sizes = _curves(result), _knee_sizes(result)
    figure, axes = plt.subplots(1, len(sizes), figsize=(WIDTH, 4.2), squeeze=False)
    panels = list(axes.flat)
    for axis, size in zip(panels, sizes, strict=True):
        own = frame[frame["batch_size"] == size].sort_values("num_workers")
        top = HEADROOM * float(own[["images_per_s", "high"]].max().max())
        axis.set_ylim(0, top)
        if result.computes:
            for column, label, colour, style in BEHIND:
                _line_behind(axis, own, column, label, colour, style)
            _say_cut(axis, own, top)
        _training_line(axis, own, "training" if result.computes else "loading")
        axis.set_title(f"batches of {size}")
        axis.set_xlabel("workers (num_workers)")
        axis.set_xticks(own["num_workers"])
        axis.margins(x=0.08)
    panels[0].set_ylabel("images/s, 95 % interval")
    handles = {str(line.get_label()): line for axis in panels for line in axis.get_legend_handles_labels()[0]}
    if len(handles) > 1:
        order = ("training", *(label for _, label, _, _ in BEHIND))
        legend_below(figure, [handles[label] for label in order if label in handles])
    return figure


def _training_line(axis: Axes, own: pd.DataFrame, label: str) -> None:
    """Draw training as a thick line in front of all others, with its intervals as a band."""
    known = own[own["low"].notna() & own["high"].notna()]
    workers, colour = known["num_workers"].astype(float), COLOURS[CHOSEN]
    axis.fill_between(workers, known["low"], known["high"], color=colour, alpha=2 * BAND_ALPHA, lw=0, zorder=3)
    axis.plot(
        own["num_workers"], own["images_per_s"],
        color=colour, marker=MARKERS[CHOSEN], lw=2.6, ms=7, mec="white", mew=0.8, zorder=5, label=label,
    )  # fmt: skip


def _line_behind(axis: Axes, own: pd.DataFrame, column: str, label: str, colour: str, style: str) -> None:
    known = own[own[column].notna()]
    if len(known) > 1:
        axis.plot(known["num_workers"], known[column], color=colour, ls=style, lw=1.3, label=label, zorder=2)


def _say_cut(axis: Axes, own: pd.DataFrame, top: float) -> None:
    """Write loading alone and computing alone as numbers at the axis's top if they lie above it."""
    cut = [(label, own.loc[own[column] > top, column], colour) for column, label, colour, _ in BEHIND[:2]]
    for line, (label, speeds, colour) in enumerate(each for each in cut if len(each[1])):
        ends = dict.fromkeys((speed_text(speeds.min()), speed_text(speeds.max())))
        text = f"↑ {label}: {' to '.join(ends)}"
        axis.text(
            0.98, 0.985 - 0.065 * line, text, transform=axis.transAxes, color=colour, fontsize=9, ha="right", va="top",
            zorder=6, bbox={"facecolor": "white", "edgecolor": "none", "alpha": 0.8, "pad": 1},
        )  # fmt: skip


def _curves(result: LoaderResult) -> pd.DataFrame:
    """Return the complete combinations with the recommended pin_memory."""
    frame, chosen = _complete(grid_configurations(result)), result.verdict.recommended
    return frame if chosen is None or frame.empty else frame[frame["pin_memory"] == chosen["pin_memory"]]


def _knee_sizes(result: LoaderResult) -> list[int]:
    """Return the batch sizes at which several numbers of workers are complete; if these are more than MOST_PANELS, the
    smallest, the largest, and the recommended one (or the middle one)."""
    frame = _curves(result)
    if frame.empty or not result.verdict.chosen:
        return []
    counts = frame.groupby("batch_size")["num_workers"].count()
    sizes = [int(size) for size in sorted(counts.index[counts > 1])]
    if len(sizes) <= MOST_PANELS:
        return sizes
    chosen = int((result.verdict.recommended or {}).get("batch_size", 0))
    return [sizes[0], chosen if chosen in sizes[1:-1] else sizes[len(sizes) // 2], sizes[-1]]


def has_waits(result: LoaderResult) -> bool:
    """Return whether the waits of several numbers of workers are known at the recommended batch size."""
    return len(_waits(result)) > 1


def waits(result: LoaderResult) -> Figure:
    """Draw how long training waits for a batch: the share of batches that are waited for longer, by workers."""
    figure, axis = plt.subplots(figsize=(WIDTH, 4.2))
    for index, (workers, own) in enumerate(_waits(result).items()):
        share = 100 * (1 - np.linspace(0, 1, len(own)))
        style = LINE_STYLES[index // len(COLOURS) % len(LINE_STYLES)]
        colour = COLOURS[index % len(COLOURS)]
        axis.plot(own, share, color=colour, ls=style, label=counted(workers, "worker"), drawstyle="steps")
    axis.set_xscale("log")
    log_ticks(axis.xaxis)
    least = min(float(own.min()) for own in _waits(result).values())
    no_wait = f" ({LEAST_WAIT_MS:g}: none)" if least <= LEAST_WAIT_MS else ""
    axis.set(xlabel=f"wait for a batch, in ms{no_wait}", ylabel="batches that are waited for longer (%)", ylim=(0, 102))
    legend_below(figure, axis.get_legend_handles_labels()[0])
    return figure


def _waits(result: LoaderResult) -> dict[int, np.ndarray]:
    """Return quantiles of the waits in milliseconds by the number of workers, each the median over the blocks."""
    chosen, processes = result.verdict.recommended, result.processes
    if chosen is None:
        return {}
    processes = processes[
        (processes["phase"] == GRID) & (processes["own_loader"] == "") & (processes["status"] == Status.COMPLETE)
    ]
    processes = processes[
        (processes["batch_size"] == chosen["batch_size"]) & (processes["pin_memory"] == chosen["pin_memory"])
    ]
    quantiles_of = {}
    for workers, own in processes.groupby("num_workers"):
        quantiles = np.array([each for each in own["wait_quantiles_ms"] if len(each)])
        if len(quantiles):
            quantiles_of[int(workers)] = np.maximum(np.median(quantiles, axis=0), LEAST_WAIT_MS)
    return quantiles_of


def has_batch_sizes(result: LoaderResult) -> bool:
    """Return whether the step alone was measured at several batch sizes."""
    return len(_step_speeds(result)) > 1


def batch_sizes(result: LoaderResult) -> Figure:
    """Draw images/s of the step alone against batch size, up to the largest that fits."""
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
    slices = result.slices
    if not len(slices):
        return pd.Series(dtype=float)
    slices = slices[slices["arm"] == COMPUTE]
    return (slices["images"] / slices["seconds"]).groupby(slices["batch_size"]).median()


def grid_configurations(result: LoaderResult) -> pd.DataFrame:
    """Return the grid's configurations, without a user's own loader and without variants."""
    frame = result.configurations
    if frame.empty:
        return frame
    keep = frame["persistent_workers"].eq(False) & frame["own_loader"].eq("")
    for name in ("prefetch_factor", "start_method"):
        keep &= frame[name].isna()
    keep &= frame["cv2_threads"] == USUAL_CV2_THREADS
    return frame[keep]


def _complete(frame: pd.DataFrame) -> pd.DataFrame:
    return frame[frame["status"] == Status.COMPLETE] if len(frame) else frame
