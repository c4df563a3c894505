"""Draw a `Plot` panel: points, lines, steps and fronts on two numeric axes, with names beside points."""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any, Literal

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from bench.report.findings import Draw, Plot, Series
from bench.report.point_names import name_points
from bench.report.style import (
    BAND_ALPHA,
    HEADROOM,
    NOTHING_TO_SHOW,
    QUIET,
    RANGE_ALPHA,
    log_ticks,
    note,
    nothing_to_show,
    series_style,
)
from bench.storage.visible import visible

LINE_SPACING = 8.0
"""Distance in pixels between points along a front; names should not cover these points."""
NAMED_HEADROOM, NAMED_MARGIN = 1.25, 2.5
"""Room in a panel whose points have names: in place of `HEADROOM`, and as a factor of the x axis' margin."""
MARGIN = 0.06
"""Free room beside the points, as a share of an axis that does not begin at 0."""


def draw_plot(axis: Axes, panel: Plot) -> dict[str, Artist]:
    """Draw the panel; return its legend handles by label."""
    axis.set_title(visible(panel.title))
    if not any(len(series.x) for series in panel.series):
        nothing_to_show(axis, visible(panel.note) or NOTHING_TO_SHOW)
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
        elif which in panel.integer:
            own.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    if panel.note:
        note(axis, visible(panel.note))
    shown = {series.label: _handle(series) for series in panel.series if series.label and len(series.x)}
    return shown | {span.label: Patch(color=QUIET, alpha=0.35, label=span.label) for span in panel.spans}


def _limit(axis: Axes, panel: Plot) -> None:
    """Set the axis limits from everything that is shown, so that drawing a series later does not change them."""
    for which, limit in (("x", axis.set_xlim), ("y", axis.set_ylim)):
        shown = [value for series in panel.series for value in _values_on(series, which)]
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


def _values_on(series: Series, which: str) -> list[float]:
    return list(series.x) if which == "x" else [*series.y, *series.low, *series.high]


def _draw_series(axis: Axes, series: Series) -> None:
    x, y, style = np.asarray(series.x, dtype=float), np.asarray(series.y, dtype=float), series_style(series.style_index)
    if len(series.low):
        step: Literal["post"] | None = "post" if series.draw is Draw.STEPS else None
        axis.fill_between(x, series.low, series.high, step=step, color=style["color"], alpha=BAND_ALPHA, linewidth=0)
    match series.draw:
        case Draw.POINTS:
            axis.scatter(x, y, s=62, alpha=0.85, linewidth=0.6, edgecolors="white", zorder=3, clip_on=False, **style)
        case Draw.CROSSES:
            axis.scatter(x, y, s=48, color=style["color"], marker="x", linewidth=1.6, zorder=3, clip_on=False)
        case Draw.FAINT:
            axis.scatter(x, y, s=26, color=QUIET, linewidth=0, zorder=2, clip_on=False)
        case Draw.RINGS:
            axis.scatter(x, y, s=190, facecolors="none", edgecolors=style["color"], linewidth=1.8, zorder=4)
        case Draw.LINE:
            axis.plot(x, y, zorder=2, **style)
        case Draw.STEPS:
            end = max(axis.get_xlim()[1], x[-1])
            axis.step([*x, end], [*y, y[-1]], where="post", color=style["color"], zorder=2)
        case Draw.FRONT | Draw.LOW_FRONT:
            _draw_front(axis, series, style["color"])


def _draw_front(axis: Axes, series: Series, colour: str) -> None:
    """Draw the front's edge to both axes, and shade the area of what is worse than it."""
    across, up = _edge(axis, series)
    axis.step(across, up, where="pre", color=colour, linewidth=1.4, zorder=2)
    axis.fill_between(across, up[-1], up, step="pre", color=QUIET, alpha=RANGE_ALPHA, linewidth=0, zorder=0)


def _edge(axis: Axes, series: Series) -> tuple[list[float], list[float]]:
    """Return the front's points from the left axis to the worst end of y, each reached at its own x."""
    x, y = np.asarray(series.x, dtype=float), np.asarray(series.y, dtype=float)
    is_low = series.draw is Draw.LOW_FRONT
    order = np.lexsort((y if is_low else -y, x))
    x, y = x[order], y[order]
    return [axis.get_xlim()[0], *x, x[-1]], [y[0], *y, axis.get_ylim()[1 if is_low else 0]]


def _handle(series: Series) -> Line2D:
    style = series_style(series.style_index)
    styles: Mapping[Draw, dict[str, Any]] = {
        Draw.POINTS: {"linewidth": 0, "markersize": 7, **style},
        Draw.CROSSES: {"linewidth": 0, "markersize": 7, "color": style["color"], "marker": "x"},
        Draw.FAINT: {"linewidth": 0, "color": QUIET, "marker": "o", "markersize": 5},
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
        Draw.LOW_FRONT: {"color": style["color"], "linewidth": 1.4},
    }
    return Line2D([], [], label=series.label, **styles[series.draw])


def name_plot_points(axis: Axes, panel: Plot) -> None:
    """Write the names beside the points that have some; call it once the figure's layout is final."""
    positions = [(x, y) for series in panel.series if series.names for x, y in zip(series.x, series.y, strict=True)]
    names = ["\n".join(map(visible, name.split("\n"))) for series in panel.series for name in series.names]
    if names:
        covered = [point for series in panel.series if len(series.x) for point in _covered(axis, series)]
        name_points(axis, positions, names, np.array(covered, dtype=float))


def _covered(axis: Axes, series: Series) -> Sequence[tuple[float, float]]:
    """Return the points that names should not cover: those of the series, and points along a front."""
    if series.draw not in (Draw.FRONT, Draw.LOW_FRONT):
        return list(zip(series.x, series.y, strict=True))
    across, up = _edge(axis, series)
    corners = [
        corner for (x, y), (right, above) in pairwise(zip(across, up, strict=True)) for corner in ((x, y), (x, above))
    ]
    pixels = axis.transData.transform([*corners, (across[-1], up[-1])])
    positions = [
        start + share * (end - start)
        for start, end in pairwise(pixels)
        for share in np.linspace(0, 1, 2 + int(np.hypot(*(end - start)) // LINE_SPACING))
    ]
    return [(x, y) for x, y in axis.transData.inverted().transform(positions).tolist()]
