"""Figure: AP of the tune trials by learning rate, showing where each optimizer learns and where training breaks."""

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
from bench.kinds.optimizers.report.figures.score_axis import set_score_axis
from bench.kinds.optimizers.report.result import StudyResult
from bench.kinds.optimizers.search import rounds_of
from bench.report.style import (
    HEADROOM,
    INK,
    QUIET,
    RANGE_ALPHA,
    RC,
    SeriesStyle,
    decade_ticks,
    legend_below,
    series_style,
)
from bench.storage.visible import visible
from bench.trials.columns import rows_of
from bench.trials.status import FAULTS, Status

BROKEN = {"diverged": ("x", (Status.DIVERGED,)), "failed": ("s", FAULTS), "pruned": ("v", (Status.PRUNED,))}
"""Marks of the trials without an AP, which are drawn at the worse end."""
TOP_MARK = 0.97
"""Height of the mark of a finalist's rate, as a share of the panel's."""


def has_rates(result: StudyResult) -> bool:
    """Return whether a tune trial with a rate has an AP above 0, or broke."""
    trials = result.analysis.sensitivity
    return bool((trials["ap"] > result.measure.chance).any() or (trials["status"] != Status.COMPLETE).any())


def rates(result: StudyResult) -> Figure:
    """Draw AP of each tune trial by its rate, all rounds and tunings: one panel an optimizer, all on one scale."""
    measure, trials = result.measure, result.analysis.sensitivity
    trials = trials.assign(ap=measure.shown(trials["ap"]))
    with_trials = {*trials["optimizer"]}
    names = [name for name in result.analysis.summary["name"] if name in with_trials]
    last_round = len(rounds_of(result.spec.trials)) - 1
    finalists = _finalist_rates(result)
    with plt.rc_context(RC):
        figure, panels = panel_grid(
            [visible(result.analysis.names[name]) for name in names],
            [_diverged_text(trials[trials["optimizer"] == name]) for name in names],
            x_label="effective learning rate",
            y_label=result.measure.axis_label("select"),
        )
        highest, bottom = float(trials["ap"].max()), 0.0
        if measure.is_own:
            complete = trials["status"] == Status.COMPLETE
            bottom = set_score_axis(panels[0], trials["ap"][complete], measure, side="y")
        else:
            panels[0].set_ylim(0, highest * HEADROOM if highest > 0 else 1.0)
        for axis, name in zip(panels, names, strict=True):
            style = series_style(result.spec.optimizers.index(name))
            rate_range = result.analysis.lr_ranges.get(name)
            if rate_range:
                axis.axvspan(*rate_range, color=QUIET, alpha=RANGE_ALPHA * 2, linewidth=0, zorder=0)
            _draw_trials(axis, trials[trials["optimizer"] == name], style, last_round, bottom)
            for rate in finalists.get(name, ()):
                axis.axvline(rate, color=INK, linewidth=0.9, linestyle=":", zorder=1)
                axis.plot(
                    *([rate], [TOP_MARK]), color=INK, marker="v", markersize=7, zorder=4, clip_on=False, linewidth=0,
                    transform=axis.get_xaxis_transform(),
                )  # fmt: skip
        panels[0].set_xscale("log")
        decade_ticks(panels[0].xaxis)
        legend_below(figure, _legend(result, trials, last_round, bool(finalists)))
    return figure


def _finalist_rates(result: StudyResult) -> dict[str, list[float]]:
    """Return the known rates of each optimizer's finalists; without optimizers that have none."""
    rates = {
        row["name"]: [rate_of(each["settings"]) for each in row["finalists"]]
        for row in rows_of(result.analysis.summary)
    }
    return {
        name: finite
        for name, finalist_rates in rates.items()
        if (finite := [rate for rate in finalist_rates if math.isfinite(rate)])
    }


def _draw_trials(axis: Axes, trials: pd.DataFrame, style: SeriesStyle, last_round: int, bottom: float) -> None:
    complete = trials["status"] == Status.COMPLETE
    for of_last, face in ((False, "white"), (True, style["color"])):
        drawn = trials[complete & ((trials["round"] == last_round) == of_last)]
        axis.scatter(
            *(drawn["rate"], drawn["ap"]), s=34, zorder=3 + of_last, clip_on=False, marker="o", linewidth=1.2,
            facecolors=face, edgecolors=style["color"],
        )  # fmt: skip
    for marker, statuses in BROKEN.values():
        broken = trials["rate"][trials["status"].isin(statuses)]
        if broken.empty:
            continue
        face = style["color"] if marker == "x" else "white"
        at_bottom = np.full(len(broken), bottom)
        marks = axis.scatter(broken, at_bottom, s=44, zorder=5, clip_on=False, marker=marker, linewidth=1.6, color=face)
        marks.set_edgecolor(style["color"])


def _diverged_text(trials: pd.DataFrame) -> str:
    diverged = int((trials["status"] == Status.DIVERGED).sum())
    return f"{diverged} of {len(trials)} diverged" if diverged else ""


def _legend(result: StudyResult, trials: pd.DataFrame, last_round: int, finalists: bool) -> list[Artist]:
    complete = trials[trials["status"] == Status.COMPLETE]
    handles: list[Artist] = []
    if (complete["round"] < last_round).any():
        handles.append(_mark("o", "tune trial of an earlier round, half as long", face="white"))
    if (complete["round"] == last_round).any():
        handles.append(_mark("o", "of the last round" if last_round else "a tune trial"))
    for text, (marker, statuses) in BROKEN.items():
        if trials["status"].isin(statuses).any():
            handles.append(_mark(marker, f"{text}: no {result.measure.name}", face=None if marker == "x" else "white"))
    if finalists:
        handles.append(
            Line2D([], [], color=INK, marker="v", markersize=7, linestyle=":", linewidth=0.9, label="finalist's rate")
        )
    if result.analysis.lr_ranges:
        handles.append(Patch(color=QUIET, alpha=RANGE_ALPHA * 4, linewidth=0, label="searched range"))
    return handles


def _mark(marker: str, text: str, face: str | None = None) -> Line2D:
    return Line2D([], [], color=INK, marker=marker, markersize=6.5, linewidth=0, label=text, markerfacecolor=face)
