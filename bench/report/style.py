"""How figures look, in one place: Okabe and Ito's colours, which the colour-blind tell apart, and a marker for each."""

import io
import math
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypedDict

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter, NullLocator

from bench.report.text import drawn
from posemodel.atomic_write import replacing

if TYPE_CHECKING:
    from matplotlib.typing import RcKeyType  # the oldest matplotlib that is allowed has none

Marker = Literal["o", "s", "^", "D", "v", "P", "X", "*"]
LineStyle = Literal["-", "--", ":"]

COLOURS = ("#0072B2", "#E69F00", "#009E73", "#D55E00", "#CC79A7", "#56B4E9", "#000000", "#882255")
"""Their yellow is too pale for a thin line on white: Tol's wine stands in its place."""
COLOURS_ON_DARK = ("#56A8E8", "#E69F00", "#1FBF93", "#F07E26", "#DE9AC0", "#8FD0F5", "#F2F2F2", "#D9688F")
"""The same on a dark page: those that would sink into it are lighter."""
DARK, INK_ON_DARK = "#15181d", "#e8e8e8"
"""A dark page, and text on it."""
MARKERS: tuple[Marker, ...] = ("o", "s", "^", "D", "v", "P", "X", "*")
LINE_STYLES: tuple[LineStyle, ...] = ("-", "--", ":")
LEGEND_CHARACTERS, LEGEND_MARK, LONGEST_LABEL = 110, 9, 90
"""Characters that fit beside each other at `WIDTH`, those that a line, its mark and the gaps take, and those of a label
that stands alone."""
INK = "#1a1a1a"
"""Text, axes and what stands for no optimizer."""
QUIET = "#8C8C8C"
"""Grey of what stands beside the data: lines that join, points for comparison, notes."""
WIDTH = 10.0
"""Inches; at 150 dots an inch and 11 points, text can still be read at half the size."""
DPI = 150
BAND_ALPHA = 0.15
HEADROOM = 1.12
RANGE_ALPHA = 0.09
NOTHING_TO_SHOW = "nothing to show yet"
RAISED = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
NARROW = 6
"""Highest over lowest value below which a logarithmic axis is narrow."""
RC: "dict[RcKeyType, Any]" = {
    "font.size": 11,
    "text.color": INK,
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "text.parse_math": False,
    "svg.fonttype": "path",
    "svg.hashsalt": "posebench",
    "axes.titlesize": 11,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": QUIET,
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


def look(place: int | None) -> Look:
    """Colour and marker of the optimizer at this place of the study's list, the same in every figure; None: black.

    The first 64 differ in their pair of both, the first 8 in each.
    """
    if place is None:
        return {"color": INK, "marker": "o"}
    markers = len(MARKERS)
    return {"color": COLOURS[place % len(COLOURS)], "marker": MARKERS[(place + place // len(COLOURS)) % markers]}


def legend_below(figure: Figure, handles: Sequence[Artist]) -> None:
    """A legend below the panels, in as many columns as fit; labels show any text as it is."""
    for handle in handles:
        handle.set_label(shortened(drawn(str(handle.get_label())), LONGEST_LABEL))
    room = round(LEGEND_CHARACTERS * figure.get_figwidth() / WIDTH)
    columns = _legend_columns([len(str(handle.get_label())) for handle in handles], room)
    figure.legend(handles=handles, loc="outside lower center", ncols=columns, columnspacing=1.4)


def shortened(text: str, most: int) -> str:
    """At most so many characters of it."""
    return text if len(text) <= most else f"{text[: most - 1]}…"


def _legend_columns(lengths: list[int], room: int) -> int:
    """The most columns, filled one after the other, in which names of these lengths fit ``room`` characters."""
    for columns in range(len(lengths), 1, -1):
        rows = -(-len(lengths) // columns)
        widths = [max(lengths[start : start + rows]) for start in range(0, len(lengths), rows)]
        if sum(widths) + LEGEND_MARK * len(widths) <= room:
            return len(widths)
    return 1


def note(axis: Axes, text: str) -> None:
    """Say in words why a panel is empty or flat."""
    axis.text(
        *(0.5, 0.5, text),
        transform=axis.transAxes,
        ha="center",
        va="center",
        color=INK,
        wrap=True,
        bbox={"facecolor": "white", "edgecolor": "none", "alpha": 0.8},
    )


def nothing_to_show(axis: Axes, text: str) -> None:
    """An empty panel: words instead of an axis without meaning."""
    note(axis, text)
    axis.set(xticks=[], yticks=[])


def log_ticks(axis: Any) -> None:
    """Plain numbers on a logarithmic axis: 1, 2 and 5 of each decade, or evenly in a range too narrow for these."""
    low, high = axis.get_view_interval()
    axis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)) if high > NARROW * low else MaxNLocator(5))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_minor_formatter(NullFormatter())
    if high <= NARROW * low:
        axis.set_minor_locator(NullLocator())


def decade_ticks(axis: Any) -> None:
    """Powers of ten on a logarithmic axis, as many as fit."""
    axis.set_major_locator(LogLocator())
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"10{str(round(math.log10(value))).translate(RAISED)}"))
    axis.set_minor_formatter(NullFormatter())


def save(figure: Figure, path: Path) -> None:
    """Write a figure as PNG, without the time and the program's version: the same study, the same bytes."""
    with replacing(path) as temporary:
        figure.savefig(temporary, dpi=DPI, format="png", metadata={"Software": None})
    plt.close(figure)


def as_svg(figure: Figure) -> str:
    """A figure as SVG for a page, whose colours follow the reader's choice of light or dark; the same bytes each time.

    Its text is drawn as paths: no font of the reader's moves it.
    """
    written = io.StringIO()
    figure.savefig(written, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    svg = written.getvalue()
    svg = svg[svg.index("<svg") :]
    svg = re.sub("|".join(_SVG_COLOURS), lambda found: f"var(--{_SVG_COLOURS[found[0].lower()]})", svg, flags=re.I)
    start = svg.index(">") + 1
    return f"{svg[:start]}<style>{_SVG_STYLE}</style>{svg[start:]}"


def _svg_colours() -> tuple[dict[str, str], str]:
    """Names of the colours' variables, and the style that gives them their values."""
    pairs = [(INK, INK_ON_DARK), ("#ffffff", DARK), *zip(COLOURS, COLOURS_ON_DARK, strict=True)]
    names = {light.lower(): f"c{number}" for number, (light, _) in enumerate(pairs)}
    light, dark = (
        ":root{" + "".join(f"--c{number}:{pair[which]};" for number, pair in enumerate(pairs)) + "}" for which in (0, 1)
    )
    return names, f"{light}@media screen and (prefers-color-scheme:dark){{{dark}}}"


_SVG_COLOURS, _SVG_STYLE = _svg_colours()
