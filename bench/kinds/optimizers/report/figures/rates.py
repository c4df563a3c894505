"""AP of the tune trials by the rate that was searched: where each optimizer learns, and where training breaks."""

import math

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from bench.kinds.optimizers.analysis.sensitivity import rate_of
from bench.kinds.optimizers.report.figures.panels import panel_grid
from bench.kinds.optimizers.report.result import StudyResult
from bench.kinds.optimizers.search import rounds_of
from bench.report.style import HEADROOM, INK, QUIET, RANGE_ALPHA, RC, Look, decade_ticks, legend_below, look
from bench.storage.visible import visible
from bench.trials.columns import rows_of
from bench.trials.status import FAULTS, Status

BROKEN = {"diverged": ("x", (Status.DIVERGED,)), "failed": ("s", FAULTS), "pruned": ("v", (Status.PRUNED,))}
"""Marks of the trials without an AP, which stand on the bottom line."""
TOP_MARK = 0.97
"""Where a finalist's rate is marked, as a share of the panel's height."""


def has_rates(result: StudyResult) -> bool:
    """Whether a tune trial with a rate has an AP above 0, or broke."""
    found = result.analysis.sensitivity
    return bool((found["ap"] > 0).any() or (found["status"] != Status.COMPLETE).any())


def rates(result: StudyResult) -> Figure:
    """AP of each tune trial by its rate, all rounds and tunings: a panel an optimizer, all on one scale."""
    found = result.analysis.sensitivity
    shown = {*found["optimizer"]}
    names = [name for name in result.analysis.summary["name"] if name in shown]
    last = len(rounds_of(result.spec.trials)) - 1
    finalists = _finalist_rates(result)
    with plt.rc_context(RC):
        figure, panels = panel_grid(
            [visible(result.analysis.names[name]) for name in names],
            [_diverged(found[found["optimizer"] == name]) for name in names],
            x_label="effective learning rate",
            y_label=f"{result.measure.name} (select split)",
        )
        highest = float(found["ap"].max())
        for axis, name in zip(panels, names, strict=True):
            style = look(result.spec.optimizers.index(name))
            searched = result.analysis.lr_ranges.get(name)
            if searched:
                axis.axvspan(*searched, color=QUIET, alpha=RANGE_ALPHA * 2, linewidth=0, zorder=0)
            _trials(axis, found[found["optimizer"] == name], style, last)
            for rate in finalists.get(name, ()):
                axis.axvline(rate, color=INK, linewidth=0.9, linestyle=":", zorder=1)
                axis.plot(
                    *([rate], [TOP_MARK]), color=INK, marker="v", markersize=7, zorder=4, clip_on=False, linewidth=0,
                    transform=axis.get_xaxis_transform(),
                )  # fmt: skip
        panels[0].set_xscale("log")
        decade_ticks(panels[0].xaxis)
        panels[0].set_ylim(0, highest * HEADROOM if highest > 0 else 1.0)
        legend_below(figure, _legend(result, found, last, bool(finalists)))
    return figure


def _finalist_rates(result: StudyResult) -> dict[str, list[float]]:
    """The rates of each optimizer's finalists, of those that have one."""
    rates = {
        row["name"]: [rate_of(each["settings"]) for each in row["finalists"]]
        for row in rows_of(result.analysis.summary)
    }
    return {name: known for name, own in rates.items() if (known := [rate for rate in own if math.isfinite(rate)])}


def _trials(axis: Axes, own: pd.DataFrame, style: Look, last: int) -> None:
    complete = own["status"] == Status.COMPLETE
    for of_last, face in ((False, "white"), (True, style["color"])):
        trials = own[complete & ((own["round"] == last) == of_last)]
        axis.scatter(
            *(trials["rate"], trials["ap"]), s=34, zorder=3 + of_last, clip_on=False, marker="o", linewidth=1.2,
            facecolors=face, edgecolors=style["color"],
        )  # fmt: skip
    for marker, statuses in BROKEN.values():
        broken = own["rate"][own["status"].isin(statuses)]
        if broken.empty:
            continue
        face = style["color"] if marker == "x" else "white"
        bottom = np.zeros(len(broken))
        marks = axis.scatter(broken, bottom, s=44, zorder=5, clip_on=False, marker=marker, linewidth=1.6, color=face)
        marks.set_edgecolor(style["color"])


def _diverged(own: pd.DataFrame) -> str:
    diverged = int((own["status"] == Status.DIVERGED).sum())
    return f"{diverged} of {len(own)} diverged" if diverged else ""


def _legend(result: StudyResult, found: pd.DataFrame, last: int, finalists: bool) -> list[Artist]:
    complete = found[found["status"] == Status.COMPLETE]
    handles: list[Artist] = []
    if (complete["round"] < last).any():
        handles.append(_mark("o", "tune trial of an earlier round, half as long", face="white"))
    if (complete["round"] == last).any():
        handles.append(_mark("o", "of the last round" if last else "a tune trial"))
    for text, (marker, statuses) in BROKEN.items():
        if found["status"].isin(statuses).any():
            handles.append(_mark(marker, f"{text}: no {result.measure.name}", face=None if marker == "x" else "white"))
    if finalists:
        handles.append(
            Line2D([], [], color=INK, marker="v", markersize=7, linestyle=":", linewidth=0.9, label="finalist's rate")
        )
    if result.analysis.lr_ranges:
        handles.append(Patch(color=QUIET, alpha=RANGE_ALPHA * 4, linewidth=0, label="range given"))
    return handles


def _mark(marker: str, text: str, face: str | None = None) -> Line2D:
    return Line2D([], [], color=INK, marker=marker, markersize=6.5, linewidth=0, label=text, markerfacecolor=face)
