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

from bench.kinds.optimizers.analysis.sensitivity import rate_of
from bench.kinds.optimizers.report.result import StudyResult
from bench.report.style import (
    HEADROOM,
    NO_TUNE_TRIAL,
    QUIET,
    RANGE_ALPHA,
    RC,
    WIDTH,
    Marker,
    look,
    note,
    save,
)
from bench.trials.columns import rows_of
from bench.trials.status import FAULTS, Status

PANEL_COLUMNS, MOST_ROWS = 3, 3
"""Panels in a row, one more where they would fill more rows."""
EVENLY = 0.15
"""Distance of marks on a line, as a share of the panel's diagonal."""
TUNING_MARKERS: tuple[Marker, ...] = ("o", "s", "^", "D", "v", "P")
"""One shape a tuning, where a panel has one optimizer."""
FINALIST: dict[str, Any] = {"s": 130, "zorder": 5, "clip_on": False, "facecolors": "none", "edgecolors": "black"}
"""Of the finalist of a tuning."""
RING: dict[str, Any] = {"s": 170, "zorder": 4, "clip_on": False, "facecolors": "none", "edgecolors": "black"}
"""Around a finalist's rate."""


def lr_sensitivity(result: StudyResult, path: Path) -> None:
    """The tune trials' AP by rate, a panel an optimizer on one scale: by tuning and round, with each finalist."""
    found, finalists = result.analysis.sensitivity, _finalists(result)
    with plt.rc_context(RC):
        figure, panels = _panels(result.spec.optimizers, "rate searched (lr or effective lr)")
        for place, (axis, name) in enumerate(zip(panels, result.spec.optimizers, strict=True)):
            _lr_panel(axis, result, name, place, finalists.get(name, []))
        reached = [ap for own in finalists.values() for _, _, ap in own]
        highest = max([float(found["ap"].max()) if len(found) else 0.0, *reached])
        panels[0].set_xscale("log")
        panels[0].set_ylim(0, highest * HEADROOM if highest > 0 else 1.0)
        for axis in panels[:: _columns(len(panels))]:
            axis.set_ylabel("AP")
        shown = [
            Line2D([], [], color="black", marker="o", markerfacecolor="white", linewidth=0, label="first round"),
            _mark("o", "later round"),
            _mark("x", "no AP: diverged, failed or pruned"),
            Line2D(
                [], [], color="black", marker="o", markersize=11, markerfacecolor="none", linewidth=0, label="finalist"
            ),
            Patch(color=QUIET, alpha=0.25, label="range given"),
        ]
        figure.legend(handles=shown, loc="outside lower center", ncols=len(shown), columnspacing=1.0, handletextpad=0.3)
        save(figure, path)


def _finalists(result: StudyResult) -> dict[str, list[tuple[int, float, float]]]:
    """Tuning, rate and mean AP of the confirm trials of each finalist with a rate, by optimizer."""
    found: dict[str, list[tuple[int, float, float]]] = {}
    for row in rows_of(result.analysis.summary):
        for each in row["finalists"]:
            rate = rate_of(each["settings"])
            if np.isfinite(rate):
                found.setdefault(row["name"], []).append((each["tuning"], rate, float(np.mean(each["scores"]))))
    return found


def _columns(panels: int) -> int:
    return min(panels, PANEL_COLUMNS if panels <= PANEL_COLUMNS * MOST_ROWS else PANEL_COLUMNS + 1)


def _lr_panel(
    axis: Axes, result: StudyResult, name: str, place: int, finalists: list[tuple[int, float, float]]
) -> None:
    colour, found = look(place)["color"], result.analysis.sensitivity
    axis.set_title(result.analysis.names[name], color=colour, fontweight="bold")
    searched = result.analysis.lr_ranges.get(name)
    if searched:
        axis.axvspan(*searched, color=colour, alpha=RANGE_ALPHA, linewidth=0)
    own = found[found["optimizer"] == name]
    finished = own["status"] == Status.COMPLETE
    for _, trials in own[finished].groupby(["tuning", "round"]):
        face = "white" if trials["round"].iloc[0] == 0 else colour
        marker = TUNING_MARKERS[int(trials["tuning"].iloc[0]) % len(TUNING_MARKERS)]
        # At the very bottom: half of a mark would lie outside the panel.
        axis.scatter(
            *(trials["rate"], trials["ap"]), s=36, zorder=3, clip_on=False, marker=marker,
            facecolors=face, edgecolors=colour,
        )  # fmt: skip
    axis.scatter(own["rate"][~finished], own["ap"][~finished], s=45, zorder=3, clip_on=False, color=colour, marker="x")
    for tuning, rate, ap in finalists:
        axis.scatter([rate], [ap], marker=TUNING_MARKERS[tuning % len(TUNING_MARKERS)], **FINALIST)
    if own.empty:
        note(axis, NO_TUNE_TRIAL if found.empty or found["optimizer"].ne(name).any() else "no rate")
    elif not finished.any():
        note(axis, "no trial completed")
    elif own["ap"].max() == 0:
        note(axis, "AP 0 in every trial")


def divergence_map(result: StudyResult, path: Path) -> None:
    """Each tune trial on one axis of rates, a row an optimizer: where it completes and where it breaks."""
    names = result.spec.optimizers
    found, finalists = result.analysis.sensitivity, _finalists(result)
    with plt.rc_context(RC):
        figure, axis = plt.subplots(figsize=(WIDTH, 1.6 + 0.5 * len(names)))
        for row, name in enumerate(names):
            colour = look(row)["color"]
            own = found[found["optimizer"] == name]
            searched = result.analysis.lr_ranges.get(name)
            if searched:
                axis.plot(searched, [row, row], color=colour, alpha=0.25, linewidth=9, solid_capstyle="butt", zorder=1)
            for status, marker in _STATUS_MARKS.items():
                rates = own["rate"][own["status"].isin(_STATUSES[status])]
                face: dict[str, Any] = (
                    {"facecolors": "white", "edgecolors": colour} if status == "pruned" else {"color": colour}
                )
                axis.scatter(rates, np.full(len(rates), row), s=60, marker=marker, zorder=3, **face)
            chosen = [rate for _, rate, _ in finalists.get(name, ())]
            axis.scatter(chosen, np.full(len(chosen), row), **RING)
        axis.set_yticks(range(len(names)), [_row_label(found, result, name) for name in names])
        axis.set_ylim(len(names) - 0.4, -0.6)
        axis.set_xlabel("rate searched (lr or effective lr)")
        axis.grid(visible=False, axis="y")
        axis.set_xscale("log")
        if found.empty:
            note(axis, NO_TUNE_TRIAL)
        present = {text for text, own in _STATUSES.items() if found["status"].isin(own).any()}
        shown: list[Artist] = [_mark(marker, text) for text, marker in _STATUS_MARKS.items() if text in present]
        shown += [_ring()] if finalists else []
        shown.append(Patch(color=QUIET, alpha=0.4, label="range given"))
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
    """The best AP that a tuning has found against what its trials cost: a panel an optimizer, others' means in grey."""
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
            Line2D([], [], color="black", marker="o", label="mean over the tunings"),
            Patch(color="black", alpha=0.2, linewidth=0, label="lowest to highest tuning"),
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
    return Line2D(
        [],
        [],
        color="black",
        marker="o",
        markersize=12,
        markerfacecolor="none",
        linewidth=0,
        label="finalist of a tuning",
    )
