"""Style of all figures: Okabe and Ito's colours, which the colour-blind tell apart, and a marker for each."""

import io
import math
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypedDict

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter, NullLocator

from bench.report.text import figure_text
from posemodel.atomic_write import atomic_path

if TYPE_CHECKING:
    from matplotlib.typing import RcKeyType  # missing from the oldest supported matplotlib

Marker = Literal["o", "s", "^", "D", "v", "P", "X", "*"]
LineStyle = Literal["-", "--", ":"]

COLOURS = ("#0072B2", "#E69F00", "#009E73", "#D55E00", "#CC79A7", "#56B4E9", "#000000", "#882255")
"""Okabe and Ito's colours, except yellow, which is too pale for a thin line on white and is replaced by Tol's wine."""
COLOURS_ON_DARK = ("#56A8E8", "#E69F00", "#1FBF93", "#F07E26", "#DE9AC0", "#8FD0F5", "#F2F2F2", "#D9688F")
"""Variant of `COLOURS` for a dark page: those that would be hard to see are lighter."""
DARK, INK_ON_DARK = "#15181d", "#e8e8e8"
"""Background of a dark page, and text on it."""
MARKERS: tuple[Marker, ...] = ("o", "s", "^", "D", "v", "P", "X", "*")
LINE_STYLES: tuple[LineStyle, ...] = ("-", "--", ":")
LEGEND_CHARACTERS, LEGEND_MARK, LONGEST_LABEL = 110, 9, 90
"""Number of characters of a legend's line at `WIDTH` and of a mark with its gaps, and maximum number of a label's
characters."""
INK = "#1a1a1a"
"""Colour of text, axes and series without an optimizer."""
QUIET = "#8C8C8C"
"""Grey of secondary elements: joining lines, points for comparison, notes."""
WIDTH = 10.0
"""Width of a figure in inches; at 150 dots an inch and 11 points, text is readable at half the size."""
DPI = 150
BAND_ALPHA = 0.15
HEADROOM = 1.12
RANGE_ALPHA = 0.09
NOTHING_TO_SHOW = "nothing to show yet"
RAISED = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
NARROW = 6
"""Ratio of highest to lowest value below which a logarithmic axis counts as narrow."""
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


class SeriesStyle(TypedDict):
    """Matplotlib arguments that distinguish an optimizer from the others."""

    color: str
    marker: Marker


def series_style(index: int | None) -> SeriesStyle:
    """Return the colour and marker of an index in the study's list, the same in every figure; None: black.

    The list holds, for instance, the study's optimizers or networks. The first 64 entries differ in the pair of colour
    and marker, the first 8 in both.
    """
    if index is None:
        return {"color": INK, "marker": "o"}
    markers = len(MARKERS)
    return {"color": COLOURS[index % len(COLOURS)], "marker": MARKERS[(index + index // len(COLOURS)) % markers]}


def legend_below(figure: Figure, handles: Sequence[Artist]) -> None:
    """Draw a legend below the panels, in as many columns as fit; labels show any text literally."""
    for handle in handles:
        handle.set_label(shortened(figure_text(str(handle.get_label())), LONGEST_LABEL))
    room = round(LEGEND_CHARACTERS * figure.get_figwidth() / WIDTH)
    columns = _legend_columns([len(str(handle.get_label())) for handle in handles], room)
    figure.legend(handles=handles, loc="outside lower center", ncols=columns, columnspacing=1.4)


def shortened(text: str, most: int) -> str:
    """Return the text, cut to at most ``most`` characters."""
    return text if len(text) <= most else f"{text[: most - 1]}…"


def _legend_columns(lengths: list[int], room: int) -> int:
    """Return the maximum number of columns in which labels of these lengths fit ``room`` characters, filled column by
    column."""
    for columns in range(len(lengths), 1, -1):
        rows = -(-len(lengths) // columns)
        widths = [max(lengths[start : start + rows]) for start in range(0, len(lengths), rows)]
        if sum(widths) + LEGEND_MARK * len(widths) <= room:
            return len(widths)
    return 1


def note(axis: Axes, text: str) -> None:
    """Write a text into a panel, such as why it is empty or flat."""
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
    """Show an empty panel with a text in place of meaningless axes."""
    note(axis, text)
    axis.set(xticks=[], yticks=[])


def log_ticks(axis: Any) -> None:
    """Put plain numbers on a logarithmic axis: 1, 2 and 5 of each decade, or evenly if it is too narrow."""
    low, high = axis.get_view_interval()
    axis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)) if high > NARROW * low else MaxNLocator(5))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_minor_formatter(NullFormatter())
    if high <= NARROW * low:
        axis.set_minor_locator(NullLocator())


def decade_ticks(axis: Any) -> None:
    """Put powers of ten on a logarithmic axis, as many as fit."""
    axis.set_major_locator(LogLocator())
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"10{str(round(math.log10(value))).translate(RAISED)}"))
    axis.set_minor_formatter(NullFormatter())


@contextmanager
def laid_out(figure: Figure) -> Iterator[None]:
    """Compute a figure's layout for `DPI`, and keep it in this block: an engine draws everything once more for each
    file, and moves it anew."""
    engine = figure.get_layout_engine()
    figure.set_dpi(DPI)
    if engine is not None:
        engine.execute(figure)
    with plt.rc_context({"figure.constrained_layout.use": False}):  # else Matplotlib makes an engine again
        figure.set_layout_engine(None)
        yield


def save(figure: Figure, path: Path) -> None:
    """Write a figure as PNG, without time or program version: the same study gives the same bytes."""
    with atomic_path(path) as temporary:
        figure.savefig(temporary, dpi=DPI, format="png", metadata={"Software": None})
    plt.close(figure)


def as_svg(figure: Figure) -> str:
    """Return a figure as SVG whose colours follow the reader's choice of light or dark; the same bytes each time.

    Its text is drawn as paths, so that the reader's fonts do not move it.
    """
    written = io.StringIO()
    figure.savefig(written, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    svg = written.getvalue()
    svg = svg[svg.index("<svg") :]
    svg = re.sub("|".join(_SVG_COLOURS), lambda match: f"var(--{_SVG_COLOURS[match[0].lower()]})", svg, flags=re.I)
    start = svg.index(">") + 1
    return f"{svg[:start]}<style>{_SVG_STYLE}</style>{svg[start:]}"


def _svg_colours() -> tuple[dict[str, str], str]:
    """Return the names of the colours' CSS variables, and the style sheet that defines them."""
    pairs = [(INK, INK_ON_DARK), ("#ffffff", DARK), *zip(COLOURS, COLOURS_ON_DARK, strict=True)]
    names = {light.lower(): f"c{number}" for number, (light, _) in enumerate(pairs)}
    light, dark = (
        ":root{" + "".join(f"--c{number}:{pair[which]};" for number, pair in enumerate(pairs)) + "}" for which in (0, 1)
    )
    return names, f"{light}@media screen and (prefers-color-scheme:dark){{{dark}}}"


_SVG_COLOURS, _SVG_STYLE = _svg_colours()
