"""The figures of a loader study: workers against batch size, the knee, how long batches are waited for, batch sizes."""

import math
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle

from bench.kinds.loaders.analysis.choice import USUAL_CV2_THREADS
from bench.kinds.loaders.analysis.configurations import COMPUTE, END_TO_END
from bench.kinds.loaders.report.result import LoaderResult
from bench.report.style import BAND_ALPHA, COLOURS, MARKERS, QUIET, RC, WIDTH, log_ticks, nothing_to_show, save
from bench.report.wording import counted
from bench.trials.status import Status

NOTHING = "no configuration has completed"
MOST_PANELS = 3
LEAST_WAIT_MS = 0.01
HEADROOM = 1.2
DARK = 0.55
"""Share of the map's range above which its colours want white text."""


def heat_map(result: LoaderResult, path: Path) -> None:
    """Images/s by workers and batch size, a panel for pinned memory where it was measured; the chosen one framed."""
    frame = of_grid(result)
    pinned = sorted(frame["pin_memory"].unique()) if len(frame) else [False]
    with plt.rc_context(RC):
        figure, axes = plt.subplots(1, len(pinned), figsize=(WIDTH, 1.8 + 0.7 * len(result.spec.batch_size)))
        top = frame["images_per_s"].max() if len(frame) else math.nan
        for axis, pin in zip(np.atleast_1d(axes), pinned, strict=True):
            if not top > 0:
                nothing_to_show(axis, NOTHING)
                continue
            _heat_panel(axis, result, frame[frame["pin_memory"] == pin], top)
            if len(pinned) > 1:
                axis.set_title(f"pin_memory={bool(pin)}")
        save(figure, path)


def _heat_panel(axis: Axes, result: LoaderResult, frame: pd.DataFrame, top: float) -> None:
    workers, batches = sorted(result.spec.num_workers), sorted(result.spec.batch_size)
    cells = {(row["batch_size"], row["num_workers"]): row for _, row in frame.iterrows()}
    speeds = [[_speed(cells.get((batch, count))) for count in workers] for batch in batches]
    axis.imshow(np.array(speeds, dtype=float), cmap="Blues", vmin=0, vmax=top, aspect="auto")
    chosen = result.verdict.recommended or {}
    for down, batch in enumerate(batches):
        for along, count in enumerate(workers):
            row, speed = cells.get((batch, count)), speeds[down][along]
            text = f"{speed:.3g}" if speed > 0 else "" if row is None else str(row["status"]).replace("_", "\n")
            axis.text(along, down, text, ha="center", va="center", color="white" if speed > DARK * top else "black")
            is_chosen = (chosen.get("batch_size"), chosen.get("num_workers")) == (batch, count)
            if is_chosen and row is not None and chosen["pin_memory"] == row["pin_memory"]:
                axis.add_patch(Rectangle((along - 0.48, down - 0.46), 0.96, 0.92, fill=False, ec=COLOURS[3], lw=2.5))
    axis.set_xticks(range(len(workers)), [str(count) for count in workers])
    axis.set_yticks(range(len(batches)), [str(batch) for batch in batches])
    axis.set(xlabel="num_workers", ylabel="batch_size")
    axis.grid(visible=False)


def _speed(row: pd.Series | None) -> float:
    return float("nan") if row is None else float(row["images_per_s"])


def knee_plot(result: LoaderResult, path: Path) -> None:
    """Training against the number of workers, beside what loading and computing alone would allow."""
    frame = of_grid(result)
    frame = frame[frame["status"] == Status.COMPLETE]
    chosen = result.verdict.recommended
    if chosen is not None:
        frame = frame[frame["pin_memory"] == chosen["pin_memory"]]
    sizes = sorted(frame["batch_size"].unique()) if len(frame) else []
    sizes = sizes if len(sizes) <= MOST_PANELS else [sizes[0], sizes[len(sizes) // 2], sizes[-1]]
    with plt.rc_context(RC):
        figure, axes = plt.subplots(1, max(1, len(sizes)), figsize=(WIDTH, 4.2), sharey=True)
        panels = np.atleast_1d(axes)
        if not sizes:
            nothing_to_show(panels[0], NOTHING)
        for axis, size in zip(panels, sizes, strict=False):
            own = frame[frame["batch_size"] == size].sort_values("num_workers")
            _line(axis, own, "loader_", "loading alone", COLOURS[0], MARKERS[0])
            _line(axis, own, "compute_", "computing alone", COLOURS[1], MARKERS[1])
            axis.plot(
                own["num_workers"], own["limit_images_per_s"], color=QUIET, ls=":", label="min(loading, computing)"
            )
            _line(axis, own, "", "training", COLOURS[3], MARKERS[3])
            axis.set_title(f"batch_size={size}")
            axis.set_xlabel("num_workers")
            axis.set_xticks(own["num_workers"])
        if sizes:
            medians = frame[["images_per_s", "loader_images_per_s", "compute_images_per_s"]].max().max()
            panels[0].set_ylim(0, HEADROOM * medians)  # intervals of two repeats reach anywhere
            panels[0].set_ylabel("images/s, 95 % interval")
            handles, labels = panels[0].get_legend_handles_labels()
            figure.legend(handles, labels, loc="outside lower center", ncols=4)
        save(figure, path)


def _line(axis: Axes, own: pd.DataFrame, prefix: str, label: str, colour: str, marker: str) -> None:
    known = own[own[f"{prefix}images_per_s"].notna()]
    if known.empty:
        return
    axis.plot(known["num_workers"], known[f"{prefix}images_per_s"], color=colour, marker=marker, label=label)
    axis.fill_between(
        known["num_workers"].astype(float),
        known[f"{prefix}low"],
        known[f"{prefix}high"],
        color=colour,
        alpha=BAND_ALPHA,
        lw=0,
    )


def wait_distribution(result: LoaderResult, path: Path) -> None:
    """How long training waits for a batch: the share of batches that are waited for longer, by workers."""
    chosen = result.verdict.recommended
    rows = result.rows
    drawn = False
    with plt.rc_context(RC):
        figure, axis = plt.subplots(figsize=(WIDTH, 4.2))
        if chosen is not None:
            rows = rows[(rows["phase"] == "grid") & (rows["arm"] == END_TO_END) & (rows["status"] == Status.COMPLETE)]
            rows = rows[(rows["batch_size"] == chosen["batch_size"]) & (rows["pin_memory"] == chosen["pin_memory"])]
            for place, (workers, own) in enumerate(rows.groupby("num_workers")):
                quantiles = np.array([each for each in own["wait_quantiles_ms"] if each])
                if not len(quantiles):
                    continue
                waits = np.maximum(np.median(quantiles, axis=0), LEAST_WAIT_MS)
                share = 100 * (1 - np.linspace(0, 1, len(waits)))
                axis.plot(
                    waits,
                    share,
                    color=COLOURS[place % len(COLOURS)],
                    label=counted(int(workers), "worker"),
                    drawstyle="steps",
                )
                drawn = True
        if drawn:
            axis.set_xscale("log")
            log_ticks(axis.xaxis)
            axis.set(xlabel="wait (ms)", ylabel="batches waited for longer (%)", ylim=(0, 102))
            axis.legend(title=f"batch_size={chosen['batch_size']}" if chosen else None)
        else:
            nothing_to_show(axis, NOTHING)
        save(figure, path)


def batch_curve(result: LoaderResult, path: Path) -> None:
    """Images/s of the step alone against batch size, up to the largest that fits."""
    rows = result.rows
    rows = rows[(rows["arm"] == COMPUTE) & (rows["status"] == Status.COMPLETE)] if len(rows) else rows
    with plt.rc_context(RC):
        figure, axis = plt.subplots(figsize=(WIDTH, 4))
        if not len(rows):
            nothing_to_show(axis, NOTHING)
        else:
            speeds = rows.groupby("batch_size")["images_per_s"].median()
            axis.plot(speeds.index, speeds.to_numpy(), color=COLOURS[1], marker=MARKERS[1])
            axis.set_xscale("log", base=2)
            axis.set_xticks(list(speeds.index), [str(size) for size in speeds.index])
            axis.minorticks_off()
            axis.set(xlabel="batch_size", ylabel="images/s of the step alone", ylim=(0, None))
        save(figure, path)


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
