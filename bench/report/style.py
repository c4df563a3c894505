"""How figures look, in one place: Okabe and Ito's colours, which the colour-blind tell apart, and a marker for each."""

from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from posemodel.atomic_write import replacing

COLOURS = ("#0072B2", "#E69F00", "#009E73", "#D55E00", "#CC79A7", "#56B4E9", "#000000", "#F0E442")
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")
QUIET = "#8C8C8C"
"""Grey of what stands beside the data: lines that join, points for comparison, notes."""
WIDTH = 10.0
"""Inches; at 150 dots an inch and 11 points, text can still be read at half the size."""
DPI = 150
BAND_ALPHA = 0.15
RANGE_ALPHA = 0.09
RC: dict[str, Any] = {
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


def look(place: int) -> dict[str, str]:
    """Colour and marker of the optimizer at this place of the study's list: the same in every figure."""
    return {"color": COLOURS[place % len(COLOURS)], "marker": MARKERS[place % len(MARKERS)]}


def note(axis: plt.Axes, text: str) -> None:
    """Say in words why a panel is empty or flat."""
    axis.text(0.5, 0.5, text, transform=axis.transAxes, ha="center", va="center", color="#404040", wrap=True)


def log_ticks(axis: Any) -> None:
    """Label 1, 2 and 5 of each decade of a logarithmic axis in plain numbers: a narrow range has ticks too."""
    axis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_minor_formatter(NullFormatter())


def save(figure: Figure, path: Path) -> None:
    """Write a figure as PNG, without the time and the program's version: the same study, the same bytes."""
    with replacing(path) as temporary:
        figure.savefig(temporary, dpi=DPI, format="png", metadata={"Software": None})
    plt.close(figure)
