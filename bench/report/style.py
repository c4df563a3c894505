"""How figures look, in one place: Okabe and Ito's colours, which the colour-blind tell apart, and a marker for each."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypedDict

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter, NullLocator

from posemodel.atomic_write import replacing

if TYPE_CHECKING:
    from matplotlib.typing import RcKeyType  # the oldest matplotlib that is allowed has none

Marker = Literal["o", "s", "^", "D", "v", "P", "X", "*"]
LineStyle = Literal["-", "--", ":"]

COLOURS = ("#0072B2", "#E69F00", "#009E73", "#D55E00", "#CC79A7", "#56B4E9", "#000000", "#882255")
"""Their yellow is too pale for a thin line on white: Tol's wine stands in its place."""
MARKERS: tuple[Marker, ...] = ("o", "s", "^", "D", "v", "P", "X", "*")
LINE_STYLES: tuple[LineStyle, ...] = ("-", "--", ":")
LEGEND_CHARACTERS, LEGEND_MARK = 110, 9
"""Characters that fit beside each other at `WIDTH`, and those that a line, its mark and the gaps take."""
QUIET = "#8C8C8C"
"""Grey of what stands beside the data: lines that join, points for comparison, notes."""
WIDTH = 10.0
"""Inches; at 150 dots an inch and 11 points, text can still be read at half the size."""
DPI = 150
BAND_ALPHA = 0.15
HEADROOM = 1.12
ALL_ZERO = "AP is 0 everywhere"
NOTHING_YET = "no confirm trial\nhas been evaluated"
NO_TUNE_TRIAL = "no tune trial yet"
RANGE_ALPHA = 0.09
NARROW = 6
"""Highest over lowest value below which a logarithmic axis is narrow."""
RC: "dict[RcKeyType, Any]" = {
    "font.size": 11,
    "axes.titlesize": 11,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.alpha": 0.3,
    "legend.frameon": False,
    "lines.linewidth": 2,
    "lines.markersize": 6,
    "figure.constrained_layout.use": True,
}


class Look(TypedDict):
    """Arguments of matplotlib's that tell an optimizer from the others."""

    color: str
    marker: Marker


class LineLook(Look):
    """Those of a line."""

    linestyle: LineStyle


def look(place: int) -> Look:
    """Colour and marker of the optimizer at this place of the study's list: the same in every figure.

    The first 64 differ in their pair of both, the first 8 in each.
    """
    markers = len(MARKERS)
    return {"color": COLOURS[place % len(COLOURS)], "marker": MARKERS[(place + place // len(COLOURS)) % markers]}


def line_look(place: int) -> LineLook:
    """`look` of a line: from the ninth on dashed, from the seventeenth on dotted, so that colours may come again."""
    return {**look(place), "linestyle": LINE_STYLES[place // len(COLOURS) % len(LINE_STYLES)]}


def name_the_optimizers(figure: Figure, names: dict[int, str]) -> None:
    """A legend below the panels: the look of each optimizer, by its place, with its name."""
    if not names:
        return
    legend_below(figure, [Line2D([], [], label=name, **line_look(place)) for place, name in names.items()])


def legend_below(figure: Figure, handles: Sequence[Artist]) -> None:
    """A legend below the panels, in as many columns as fit."""
    columns = _legend_columns([len(str(handle.get_label())) for handle in handles])
    figure.legend(handles=handles, loc="outside lower center", ncols=columns, columnspacing=1.4)


def _legend_columns(lengths: list[int]) -> int:
    """The most columns, filled one after the other, in which names of these lengths fit."""
    for columns in range(len(lengths), 1, -1):
        rows = -(-len(lengths) // columns)
        widths = [max(lengths[start : start + rows]) for start in range(0, len(lengths), rows)]
        if sum(widths) + LEGEND_MARK * len(widths) <= LEGEND_CHARACTERS:
            return len(widths)
    return 1


def note(axis: Axes, text: str) -> None:
    """Say in words why a panel is empty or flat."""
    axis.text(
        *(0.5, 0.5, text),
        transform=axis.transAxes,
        ha="center",
        va="center",
        color="#404040",
        wrap=True,
        bbox={"facecolor": "white", "edgecolor": "none", "alpha": 0.8},
    )


def nothing_to_show(axis: Axes, text: str) -> None:
    """An empty panel: words instead of an axis without meaning."""
    note(axis, text)
    axis.set(xticks=[], yticks=[])


def ap_axis(axis: Axes, highest: float) -> None:
    """From 0 to a little over the highest value; in words where there is nothing above 0."""
    if highest > 0:
        axis.set_ylim(0, min(highest * HEADROOM, 1.0))
    else:
        axis.set_ylim(0, 1)
        note(axis, ALL_ZERO)


def log_ticks(axis: Any) -> None:
    """Plain numbers on a logarithmic axis: 1, 2 and 5 of each decade, or evenly in a range too narrow for these."""
    low, high = axis.get_view_interval()
    axis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)) if high > NARROW * low else MaxNLocator(5))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_minor_formatter(NullFormatter())
    if high <= NARROW * low:
        axis.set_minor_locator(NullLocator())


def save(figure: Figure, path: Path) -> None:
    """Write a figure as PNG, without the time and the program's version: the same study, the same bytes."""
    with replacing(path) as temporary:
        figure.savefig(temporary, dpi=DPI, format="png", metadata={"Software": None})
    plt.close(figure)
