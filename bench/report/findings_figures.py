"""Draw a `Chart` with Matplotlib: its panels in a grid, with one legend for all."""

import matplotlib.pyplot as plt
from matplotlib.artist import Artist
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from bench.report.findings import Bars, Chart, Intervals, Panel, Plot
from bench.report.plot_panel import draw_plot, name_plot_points
from bench.report.row_panels import FAINT_ALPHA, bar_room, draw_bars, draw_intervals, has_faint, note_lines
from bench.report.style import QUIET, RC, WIDTH, legend_below

MOST_COLUMNS = {Plot: 3, Bars: 2, Intervals: 2}
"""Maximum number of panels in a row, by type of panel."""
PLOT_HEIGHT, BAR_HEIGHT, BAR_ROOM, ROW_HEIGHT = 4.2, 0.26, 1.0, 0.46
"""Heights in inches: a plot, one bar, everything else in a panel of bars or intervals, and an interval's row."""
NARROW_WIDTH = 7.5
"""Width in inches of a figure with one panel: its text is still readable on a telephone."""
NOTE_HEIGHT = 0.19
"""Height in inches of a line of text at the right of an interval's row."""
NAMED_HEIGHT = 5.4
"""Height in inches of a plot whose points have names."""


def chart_figure(chart: Chart) -> Figure:
    """Draw a chart as a Matplotlib figure."""
    with plt.rc_context(RC):
        columns = min(len(chart.panels), *(MOST_COLUMNS[type(panel)] for panel in chart.panels))
        rows = [chart.panels[start : start + columns] for start in range(0, len(chart.panels), columns)]
        heights = [max(map(_height, row)) for row in rows]
        figure, grid = plt.subplots(
            len(rows),
            columns,
            figsize=(_width(chart), sum(heights) + 0.4),
            squeeze=False,
            gridspec_kw={"height_ratios": heights},
        )
        handles: dict[str, Artist] = {}
        axes = list(grid.flat)
        room = bar_room(chart)
        for index, (axis, panel) in enumerate(zip(axes, chart.panels, strict=False)):
            if isinstance(panel, Plot):
                handles |= draw_plot(axis, panel)
            elif isinstance(panel, Intervals):
                handles |= draw_intervals(axis, panel)
            else:
                names = max(len(other.names) for other in rows[index // columns] if isinstance(other, Bars))
                handles |= draw_bars(axis, panel, room, names)
        if any(isinstance(panel, Bars) and has_faint(panel) for panel in chart.panels):
            label = next(panel.faint_label for panel in chart.panels if isinstance(panel, Bars) and has_faint(panel))
            handles[label] = Patch(color=QUIET, alpha=FAINT_ALPHA, label=label)
        for axis in axes[len(chart.panels) :]:
            axis.set_axis_off()
        if handles:
            legend_below(figure, list(handles.values()))
        for axis, panel in zip(axes, chart.panels, strict=False):
            if isinstance(panel, Plot):
                name_plot_points(axis, panel)
        return figure


def _width(chart: Chart) -> float:
    """Return the figure's width in inches."""
    return NARROW_WIDTH if len(chart.panels) == 1 and not isinstance(chart.panels[0], Bars) else WIDTH


def _height(panel: Panel) -> float:
    """Return a panel's height in inches."""
    if isinstance(panel, Plot):
        return NAMED_HEIGHT if any(series.names for series in panel.series) else PLOT_HEIGHT
    if isinstance(panel, Intervals):
        lines = max((note_lines(text).count("\n") + 1 for text in panel.notes), default=1)
        return BAR_ROOM + max(ROW_HEIGHT, NOTE_HEIGHT * lines) * max(len(panel.names), 2)
    return BAR_ROOM + BAR_HEIGHT * max(len(panel.names) * max(len(panel.series), 1), 2)
