"""Draw `Bars` and `Intervals` panels, which have a row for each name."""

import math
import textwrap
from collections.abc import Sequence

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.patches import Patch

from bench.report.findings import Bars, BarSeries, Chart, Intervals
from bench.report.style import (
    COLOURS,
    HEADROOM,
    INK,
    NOTHING_TO_SHOW,
    QUIET,
    RANGE_ALPHA,
    note,
    nothing_to_show,
    series_style,
    shortened,
)
from bench.storage.visible import visible

NAME_LINE, NOTE_LINE, MOST_NOTE_LINES = 30, 44, 3
"""Maximum number of characters of a line at the left of a row and at its right, and of lines at its right."""
NARROW, FEW_TICKS = 0.05, 4
"""If the x axis is narrower than NARROW (in its own units), it gets at most FEW_TICKS ticks."""
FAINT_ALPHA = 0.3
BARS_OF_A_NAME = 0.78
"""Fraction of a row's height that its bars fill."""


def bar_room(chart: Chart) -> float:
    """Return the longest bar of all panels, which share one scale; 0 if there is none."""
    panels = [panel for panel in chart.panels if isinstance(panel, Bars)]
    values = [value for panel in panels for series in panel.series for value in series.values]
    return max((value for value in values if not math.isnan(value)), default=0.0)


def draw_bars(axis: Axes, panel: Bars, highest: float, names: int) -> dict[str, Artist]:
    """Draw the panel and return its legend handles by label.

    Args:
        axis: The axes to draw on.
        panel: The panel.
        highest: Longest bar that the x axis has room for.
        names: Number of rows that the y axis has room for.
    """
    axis.set_title(visible(panel.title))
    if not panel.names or not highest > 0:
        nothing_to_show(axis, visible(panel.note) or NOTHING_TO_SHOW)
        return {}
    handles: dict[str, Artist] = {}
    height = BARS_OF_A_NAME / len(panel.series)
    for index, series in enumerate(panel.series):
        colour = COLOURS[index % len(COLOURS)]
        rows = np.arange(len(panel.names)) + (index - (len(panel.series) - 1) / 2) * height
        for row, value, faint in zip(rows, series.values, _faint(series), strict=True):
            alpha = FAINT_ALPHA if faint else 1.0
            axis.barh(row, value, height=0.9 * height, color=colour, alpha=alpha)
            if not math.isnan(value):
                axis.text(value + 0.012 * highest, row, f"{value:.2f}", va="center", ha="left", fontsize=9)
        handles[series.label] = Patch(color=colour, label=series.label)
    axis.set_yticks(range(len(panel.names)), [*map(_in_lines, panel.names)])
    axis.set_ylim(names - 0.5, -0.5)
    axis.set_xlim(0, highest * HEADROOM)
    axis.set_xlabel(visible(panel.x_label))
    axis.grid(visible=False, axis="y")
    if panel.note:
        note(axis, visible(panel.note))
    return handles


def draw_intervals(axis: Axes, panel: Intervals) -> dict[str, Artist]:
    """Draw the panel; return its legend handles by label."""
    axis.set_title(visible(panel.title))
    if not any(map(math.isfinite, [*panel.middle, *panel.low, *panel.high])):
        nothing_to_show(axis, NOTHING_TO_SHOW)
        return {}
    handles: dict[str, Artist] = {}
    if panel.band is not None:
        axis.axvspan(*panel.band, color=QUIET, alpha=RANGE_ALPHA * 2.5, linewidth=0, zorder=0)
        if panel.band_label:
            handles[panel.band_label] = Patch(color=QUIET, alpha=0.35, label=panel.band_label)
    if panel.line is not None:
        axis.axvline(panel.line, color=INK, linewidth=1, zorder=1)
    rows = zip(panel.middle, panel.low, panel.high, panel.style_indices or [None] * len(panel.names), strict=True)
    for row, (middle, low, high, index) in enumerate(rows):
        style = series_style(index)
        if math.isfinite(low) and math.isfinite(high):
            axis.plot([low, high], [row, row], color=style["color"], linewidth=2.4, solid_capstyle="round", zorder=2)
        if math.isfinite(middle):
            axis.scatter([middle], [row], s=80, zorder=3, clip_on=False, edgecolors="white", linewidth=0.8, **style)
    axis.set_yticks(range(len(panel.names)), [*map(_in_lines, panel.names)])
    axis.set_ylim(len(panel.names) - 0.5, -0.5)
    if panel.zero:
        axis.set_xlim(left=0)
    left, right = axis.get_xlim()
    if right - left < NARROW:
        axis.locator_params(axis="x", nbins=FEW_TICKS)  # the labels have many digits
    axis.set_xlabel(visible(panel.x_label))
    axis.grid(visible=False, axis="y")
    for row, text in enumerate(panel.notes):
        axis.text(
            1.02, row, note_lines(text), transform=axis.get_yaxis_transform(), va="center", ha="left", fontsize=10
        )
    return handles


def _in_lines(name: str) -> str:
    """Return a row's name, wrapped into two lines and shortened if it is longer."""
    return "\n".join(textwrap.wrap(shortened(visible(name), 2 * NAME_LINE), NAME_LINE))


def note_lines(text: str) -> str:
    """Return a row's note with its own line breaks, long lines wrapped."""
    lines = [line for part in text.split("\n") for line in textwrap.wrap(visible(part), NOTE_LINE)]
    return "\n".join(lines[:MOST_NOTE_LINES])


def has_faint(panel: Bars) -> bool:
    """Return whether a bar is drawn pale and the legend explains it."""
    return bool(panel.faint_label) and any(any(_faint(series)) for series in panel.series)


def _faint(series: BarSeries) -> Sequence[bool]:
    return series.faint or [False] * len(series.values)
