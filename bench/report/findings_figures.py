"""Draw any `Chart`: plots of points, lines, steps and fronts, and horizontal bars."""

import math
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from bench.report.findings import Bars, BarSeries, Chart, Draw, Panel, Plot, Series
from bench.report.point_names import name_points
from bench.report.style import (
    BAND_ALPHA,
    COLOURS,
    HEADROOM,
    QUIET,
    RANGE_ALPHA,
    RC,
    WIDTH,
    Look,
    legend_below,
    log_ticks,
    look,
    note,
    nothing_to_show,
    save,
)

MOST_COLUMNS = {Plot: 3, Bars: 2}
"""Panels in a row."""
PLOT_HEIGHT, BAR_HEIGHT, BAR_ROOM = 4.2, 0.26, 1.0
"""Inches: of a plot, of one bar, and of what else a panel of bars has."""
NAMED_HEIGHT = 5.4
"""Of a plot whose points have names."""
INK = "#000000"
FAINT_ALPHA = 0.3
BARS_OF_A_NAME = 0.78
"""Of the room that a name has, what its bars fill."""
NOTHING = "nothing to show yet"
LINE_SPACING = 8.0
"""Pixels between the places along a front that names should not cover."""
NAMED_HEADROOM, NAMED_MARGIN = 1.25, 2.5
"""Of a panel whose points have names: in place of `HEADROOM`, and times the margin on the x axis."""
MARGIN = 0.06
"""Free room beside the points on an axis that does not begin at 0, as a share of it."""


def draw_chart(chart: Chart, path: Path) -> None:
    """Write a chart as PNG: the same chart, the same bytes."""
    with plt.rc_context(RC):
        columns = min(len(chart.panels), *(MOST_COLUMNS[type(panel)] for panel in chart.panels))
        rows = [chart.panels[start : start + columns] for start in range(0, len(chart.panels), columns)]
        heights = [max(map(_height, row)) for row in rows]
        figure, grid = plt.subplots(
            len(rows),
            columns,
            figsize=(WIDTH, sum(heights) + 0.4),
            squeeze=False,
            gridspec_kw={"height_ratios": heights},
        )
        handles: dict[str, Artist] = {}
        axes = list(grid.flat)
        room = _bar_room(chart)
        for place, (axis, panel) in enumerate(zip(axes, chart.panels, strict=False)):
            if isinstance(panel, Plot):
                handles |= _draw_plot(axis, panel)
            else:
                names = max(len(other.names) for other in rows[place // columns] if isinstance(other, Bars))
                handles |= _draw_bars(axis, panel, room, names)
        if any(isinstance(panel, Bars) and _has_faint(panel) for panel in chart.panels):
            label = next(panel.faint_label for panel in chart.panels if isinstance(panel, Bars) and _has_faint(panel))
            handles[label] = Patch(color=QUIET, alpha=FAINT_ALPHA, label=label)
        for axis in axes[len(chart.panels) :]:
            axis.set_axis_off()
        if handles:
            legend_below(figure, list(handles.values()))
        for axis, panel in zip(axes, chart.panels, strict=False):
            if isinstance(panel, Plot):
                _name_points(axis, panel)
        save(figure, path)


def _height(panel: Panel) -> float:
    """Inches."""
    if isinstance(panel, Plot):
        return NAMED_HEIGHT if any(series.names for series in panel.series) else PLOT_HEIGHT
    return BAR_ROOM + BAR_HEIGHT * max(len(panel.names) * max(len(panel.series), 1), 2)


def _draw_plot(axis: Axes, panel: Plot) -> dict[str, Artist]:
    """Draw it; its legend's handles by their labels."""
    axis.set_title(panel.title)
    if not any(len(series.x) for series in panel.series):
        nothing_to_show(axis, panel.note or NOTHING)
        return {}
    for which, scaled in (("x", axis.set_xscale), ("y", axis.set_yscale)):
        if which in panel.log:
            scaled("log")
    for span in panel.spans:
        axis.axvspan(span.low, span.high, color=QUIET, alpha=RANGE_ALPHA * 2, linewidth=0, zorder=0)
    _limit(axis, panel)
    for series in panel.series:
        if len(series.x):
            _draw_series(axis, series)
    axis.set(xlabel=panel.x_label, ylabel=panel.y_label)
    for which, own in (("x", axis.xaxis), ("y", axis.yaxis)):
        if which in panel.log:
            log_ticks(own)
        elif which in panel.whole:
            own.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    if panel.note:
        note(axis, panel.note)
    shown = {series.label: _handle(series) for series in panel.series if series.label and len(series.x)}
    return shown | {span.label: Patch(color=QUIET, alpha=0.35, label=span.label) for span in panel.spans}


def _limit(axis: Axes, panel: Plot) -> None:
    """Limits from all that is shown, so that no series moves them later."""
    for which, limit in (("x", axis.set_xlim), ("y", axis.set_ylim)):
        shown = [value for series in panel.series for value in _along(series, which)]
        shown += [end for span in panel.spans for end in (span.low, span.high)] if which == "x" else []
        low, high = min(shown), max(shown)
        named = any(series.names for series in panel.series)
        margin = MARGIN * (NAMED_MARGIN if named and which == "x" else 1)
        if which in panel.log:
            room = (high / low) ** margin if high > low else 2.0
            limit(low / room, high * room)
        elif which in panel.zero:
            headroom = NAMED_HEADROOM if which == "y" and named else HEADROOM
            limit(min(low, 0.0), high * headroom if high > 0 else 1.0)
        else:
            room = margin * (high - low) or margin * abs(high) or 1.0
            limit(low - room, high + room)


def _along(series: Series, which: str) -> list[float]:
    return list(series.x) if which == "x" else [*series.y, *series.low, *series.high]


def _style(series: Series) -> Look:
    return {"color": INK, "marker": "o"} if series.place is None else look(series.place)


def _draw_series(axis: Axes, series: Series) -> None:
    x, y, style = np.asarray(series.x, dtype=float), np.asarray(series.y, dtype=float), _style(series)
    if len(series.low):
        step: Literal["post"] | None = "post" if series.draw is Draw.STEPS else None
        axis.fill_between(x, series.low, series.high, step=step, color=style["color"], alpha=BAND_ALPHA, linewidth=0)
    match series.draw:
        case Draw.POINTS:
            axis.scatter(x, y, s=62, alpha=0.85, linewidth=0.6, edgecolors="white", zorder=3, clip_on=False, **style)
        case Draw.CROSSES:
            axis.scatter(x, y, s=48, color=style["color"], marker="x", linewidth=1.6, zorder=3, clip_on=False)
        case Draw.RINGS:
            axis.scatter(x, y, s=190, facecolors="none", edgecolors=style["color"], linewidth=1.8, zorder=4)
        case Draw.LINE:
            axis.plot(x, y, zorder=2, **style)
        case Draw.STEPS:
            end = max(axis.get_xlim()[1], x[-1])
            axis.step([*x, end], [*y, y[-1]], where="post", color=style["color"], zorder=2)
        case Draw.FRONT:
            _draw_front(axis, x, y, style["color"])


def _draw_front(axis: Axes, x: np.ndarray, y: np.ndarray, colour: str) -> None:
    """The edge to both axes, and what lies under it."""
    across, up = _edge(axis, x, y)
    bottom = axis.get_ylim()[0]
    axis.step(across, up, where="pre", color=colour, linewidth=1.4, zorder=2)
    axis.fill_between(across, bottom, up, step="pre", color=QUIET, alpha=RANGE_ALPHA, linewidth=0, zorder=0)


def _edge(axis: Axes, x: np.ndarray, y: np.ndarray) -> tuple[list[float], list[float]]:
    """The front's points from the left axis to the bottom, each reached from above at its own x."""
    order = np.lexsort((-y, x))
    x, y = x[order], y[order]
    left, bottom = axis.get_xlim()[0], axis.get_ylim()[0]
    return [left, *x, x[-1]], [y[0], *y, bottom]


def _handle(series: Series) -> Line2D:
    style = _style(series)
    given: Mapping[Draw, dict[str, Any]] = {
        Draw.POINTS: {"linewidth": 0, "markersize": 7, **style},
        Draw.CROSSES: {"linewidth": 0, "markersize": 7, "color": style["color"], "marker": "x"},
        Draw.RINGS: {
            "linewidth": 0,
            "color": style["color"],
            "marker": "o",
            "markersize": 12,
            "markerfacecolor": "none",
            "markeredgewidth": 1.8,
        },
        Draw.LINE: {**style},
        Draw.STEPS: {"color": style["color"]},
        Draw.FRONT: {"color": style["color"], "linewidth": 1.4},
    }
    return Line2D([], [], label=series.label, **given[series.draw])


def _name_points(axis: Axes, panel: Plot) -> None:
    places = [(x, y) for series in panel.series if series.names for x, y in zip(series.x, series.y, strict=True)]
    names = [name for series in panel.series for name in series.names]
    if names:
        covered = [point for series in panel.series if len(series.x) for point in _covered(axis, series)]
        name_points(axis, places, names, np.array(covered, dtype=float))


def _covered(axis: Axes, series: Series) -> Sequence[tuple[float, float]]:
    """What names should leave in sight: the points, and places along a front."""
    if series.draw is not Draw.FRONT:
        return list(zip(series.x, series.y, strict=True))
    across, up = _edge(axis, np.asarray(series.x, dtype=float), np.asarray(series.y, dtype=float))
    corners = [
        corner for (x, y), (right, above) in pairwise(zip(across, up, strict=True)) for corner in ((x, y), (x, above))
    ]
    pixels = axis.transData.transform([*corners, (across[-1], up[-1])])
    places = [
        start + share * (end - start)
        for start, end in pairwise(pixels)
        for share in np.linspace(0, 1, 2 + int(np.hypot(*(end - start)) // LINE_SPACING))
    ]
    return [(x, y) for x, y in axis.transData.inverted().transform(places).tolist()]


def _bar_room(chart: Chart) -> float:
    """The longest bar of all panels, which share one scale; 0 where there is none."""
    panels = [panel for panel in chart.panels if isinstance(panel, Bars)]
    values = [value for panel in panels for series in panel.series for value in series.values]
    return max((value for value in values if not math.isnan(value)), default=0.0)


def _draw_bars(axis: Axes, panel: Bars, highest: float, names: int) -> dict[str, Artist]:
    """Draw it, with room for so many ``names`` and bars up to ``highest``; its legend's handles by their labels."""
    axis.set_title(panel.title)
    if not panel.names or not highest > 0:
        nothing_to_show(axis, panel.note or NOTHING)
        return {}
    handles: dict[str, Artist] = {}
    height = BARS_OF_A_NAME / len(panel.series)
    for place, series in enumerate(panel.series):
        colour = COLOURS[place % len(COLOURS)]
        rows = np.arange(len(panel.names)) + (place - (len(panel.series) - 1) / 2) * height
        for row, value, faint in zip(rows, series.values, _faint(series), strict=True):
            alpha = FAINT_ALPHA if faint else 1.0
            axis.barh(row, value, height=0.9 * height, color=colour, alpha=alpha, linewidth=0)
            if not math.isnan(value):
                axis.text(value + 0.012 * highest, row, f"{value:.2f}", va="center", ha="left", fontsize=9)
        handles[series.label] = Patch(color=colour, label=series.label)
    axis.set_yticks(range(len(panel.names)), list(panel.names))
    axis.set_ylim(names - 0.5, -0.5)
    axis.set_xlim(0, highest * HEADROOM)
    axis.set_xlabel(panel.x_label)
    axis.grid(visible=False, axis="y")
    if panel.note:
        note(axis, panel.note)
    return handles


def _has_faint(panel: Bars) -> bool:
    return bool(panel.faint_label) and any(any(_faint(series)) for series in panel.series)


def _faint(series: BarSeries) -> Sequence[bool]:
    return series.faint or [False] * len(series.values)
