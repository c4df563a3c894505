"""What tuning saw: AP by learning rate, where training breaks, and what more trials would bring."""

import math
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from bench.kinds.optimizers.report.result import StudyResult
from bench.report.style import (
    HEADROOM,
    NO_TUNE_TRIAL,
    QUIET,
    RANGE_ALPHA,
    RC,
    WIDTH,
    look,
    note,
    save,
)
from bench.trials.status import FAULTS, Status

PANEL_COLUMNS, MOST_ROWS = 3, 3
"""Panels in a row, one more where they would fill more rows."""
EVENLY = 0.15
"""Distance of marks on a line, as a share of the panel's diagonal."""
RING: dict[str, Any] = {"s": 170, "zorder": 4, "clip_on": False, "facecolors": "none", "edgecolors": "black"}
"""Around the trial that was chosen."""


def lr_sensitivity(result: StudyResult, path: Path) -> None:
    """The tune trials' AP by learning rate: a panel an optimizer, all on one scale, the others' points in grey."""
    found = result.analysis.sensitivity
    with plt.rc_context(RC):
        figure, panels = _panels(result.spec.optimizers, "learning rate")
        highest = found["ap"].max() if len(found) else 0.0
        for place, (axis, name) in enumerate(zip(panels, result.spec.optimizers, strict=True)):
            _lr_panel(axis, result, name, place)
        panels[0].set_xscale("log")
        panels[0].set_ylim(0, highest * HEADROOM if highest > 0 else 1.0)
        for axis in panels[:: _columns(len(panels))]:
            axis.set_ylabel("AP (select split)")
        shown = [
            _mark("o", "tune trial"),
            _mark("x", "no AP: diverged, failed or pruned"),
            _ring(),
            Line2D([], [], color=QUIET, marker=".", linewidth=0, alpha=0.6, label="other optimizers"),
            Patch(color=QUIET, alpha=0.25, label="range searched"),
        ]
        figure.legend(handles=shown, loc="outside lower center", ncols=len(shown), columnspacing=1.0, handletextpad=0.3)
        save(figure, path)


def _columns(panels: int) -> int:
    return min(panels, PANEL_COLUMNS if panels <= PANEL_COLUMNS * MOST_ROWS else PANEL_COLUMNS + 1)


def _lr_panel(axis: Axes, result: StudyResult, name: str, place: int) -> None:
    style, found = look(place), result.analysis.sensitivity
    axis.set_title(result.analysis.names[name], color=style["color"], fontweight="bold")
    searched = result.analysis.lr_ranges.get(name)
    if searched:
        axis.axvspan(*searched, color=style["color"], alpha=RANGE_ALPHA, linewidth=0)
    others, own = found[found["optimizer"] != name], found[found["optimizer"] == name]
    finished = others["status"] == Status.COMPLETE
    axis.scatter(others["lr"][finished], others["ap"][finished], s=10, color=QUIET, alpha=0.6, linewidth=0)
    finished = own["status"] == Status.COMPLETE
    # At the very bottom: half of a mark would lie outside the panel.
    axis.scatter(own["lr"][finished], own["ap"][finished], s=45, zorder=3, clip_on=False, **style)
    axis.scatter(
        own["lr"][~finished], own["ap"][~finished], s=55, zorder=3, clip_on=False, color=style["color"], marker="x"
    )
    chosen = own[own["chosen"]]
    axis.scatter(chosen["lr"], chosen["ap"], **RING)
    if own.empty:
        note(axis, NO_TUNE_TRIAL if found.empty or len(others) else "no learning rate")
    elif not finished.any():
        note(axis, "no trial completed")
    elif own["ap"].max() == 0:
        note(axis, "AP 0 in every trial")


def divergence_map(result: StudyResult, path: Path) -> None:
    """Each tune trial on one axis of learning rates, a row an optimizer: where it completes and where it breaks."""
    names = result.spec.optimizers
    found = result.analysis.sensitivity
    with plt.rc_context(RC):
        figure, axis = plt.subplots(figsize=(WIDTH, 1.6 + 0.5 * len(names)))
        for row, name in enumerate(names):
            colour = look(row)["color"]
            own = found[found["optimizer"] == name]
            searched = result.analysis.lr_ranges.get(name)
            if searched:
                axis.plot(searched, [row, row], color=colour, alpha=0.25, linewidth=9, solid_capstyle="butt", zorder=1)
            for status, marker in _STATUS_MARKS.items():
                lr = own["lr"][own["status"].isin(_STATUSES[status])]
                face: dict[str, Any] = (
                    {"facecolors": "white", "edgecolors": colour} if status == "pruned" else {"color": colour}
                )
                axis.scatter(lr, np.full(len(lr), row), s=60, marker=marker, zorder=3, **face)
            chosen = own[own["chosen"]]
            axis.scatter(chosen["lr"], np.full(len(chosen), row), **RING)
        axis.set_yticks(range(len(names)), [_row_label(found, result, name) for name in names])
        axis.set_ylim(len(names) - 0.4, -0.6)
        axis.set_xlabel("learning rate")
        axis.grid(visible=False, axis="y")
        axis.set_xscale("log")
        if found.empty:
            note(axis, NO_TUNE_TRIAL)
        present = {text for text, own in _STATUSES.items() if found["status"].isin(own).any()}
        shown: list[Artist] = [_mark(marker, text) for text, marker in _STATUS_MARKS.items() if text in present]
        shown += [_ring()] if found["chosen"].any() else []
        shown.append(Patch(color=QUIET, alpha=0.4, label="range searched"))
        figure.legend(handles=shown, loc="outside lower center", ncols=len(shown))
        save(figure, path)


_STATUSES = {"complete": (Status.COMPLETE,), "diverged": (Status.DIVERGED,), "failed": FAULTS}
_STATUSES |= {"pruned": (Status.PRUNED,)}
_STATUS_MARKS = {"complete": "o", "diverged": "x", "failed": "s", "pruned": "v"}


def _row_label(found: pd.DataFrame, result: StudyResult, name: str) -> str:
    own = found[found["optimizer"] == name]
    broken = int((own["status"] == Status.DIVERGED).sum())
    return (
        f"{result.analysis.names[name]}\n{broken} of {len(own)} diverged" if len(own) else result.analysis.names[name]
    )


def best_so_far(result: StudyResult, path: Path) -> None:
    """The best AP found so far against what the tune trials cost: a panel an optimizer, the others' means in grey."""
    found = result.analysis.best_so_far
    over, label = ("steps", "steps") if result.spec.steps is not None else ("train_seconds", "seconds")
    found = found[np.isfinite(found[over].astype(float))]
    with plt.rc_context(RC):
        figure, panels = _panels(result.spec.optimizers, f"{label} of training")
        for place, (axis, name) in enumerate(zip(panels, result.spec.optimizers, strict=True)):
            style = look(place)
            axis.set_title(result.analysis.names[name], color=style["color"], fontweight="bold")
            for other, own in found.groupby("optimizer"):
                if other != name:
                    axis.plot(own[over], own["mean"], color=QUIET, alpha=0.6, linewidth=1)
            own = found[found["optimizer"] == name]
            if own.empty:
                note(axis, NO_TUNE_TRIAL)
                continue
            axis.fill_between(own[over], own["low"], own["high"], color=style["color"], alpha=0.2, linewidth=0)
            axis.plot(own[over], own["mean"], markevery=EVENLY, **style)
            if own["high"].max() == 0:
                note(axis, "AP 0 in every trial")
        panels[0].set_xlim(left=0)
        if len(found):
            panels[0].set_ylim(0, min(HEADROOM * found["high"].max(), 1.0) or 1.0)
        for axis in panels[:: _columns(len(panels))]:
            axis.set_ylabel("best AP so far\n(select split)")
        shown = [
            Line2D([], [], color="black", marker="o", label="mean of so many trials drawn"),
            Patch(color="black", alpha=0.2, linewidth=0, label="90 % of the draws"),
            Line2D([], [], color=QUIET, alpha=0.6, linewidth=1, label="other optimizers"),
        ]
        figure.legend(handles=shown, loc="outside lower center", ncols=len(shown))
        save(figure, path)


def _panels(names: tuple[str, ...], x_label: str) -> tuple[Figure, list[Axes]]:
    """A figure with one panel a name, all on one scale; the x axis is labelled below each column."""
    columns = _columns(len(names))
    rows = math.ceil(len(names) / columns)
    figure, grid = plt.subplots(
        rows, columns, figsize=(WIDTH, 1.2 + 2.5 * rows), sharex=True, sharey=True, squeeze=False
    )
    for place, axis in enumerate(grid.flat):
        if place >= len(names):
            axis.set_axis_off()
        elif place + columns >= len(names):
            axis.tick_params(labelbottom=True)
            axis.set_xlabel(x_label)
    return figure, list(grid.flat[: len(names)])


def _mark(marker: str, text: str) -> Line2D:
    face = "white" if marker == "v" else None
    return Line2D([], [], color="black", marker=marker, markersize=7, linewidth=0, label=text, markerfacecolor=face)


def _ring() -> Line2D:
    return Line2D([], [], color="black", marker="o", markersize=12, markerfacecolor="none", linewidth=0, label="chosen")
