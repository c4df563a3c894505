"""Names beside points of a figure, where they cover no point, no other name and no edge."""

import math
from collections.abc import Sequence
from typing import cast

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.text import Annotation, Text
from matplotlib.transforms import Bbox

from bench.report.style import INK

DIRECTIONS = tuple(math.radians(angle) for angle in (45, 135, 0, 180, 315, 225, 90, 270))
REACHES = (14, 26, 42, 64, 90)
"""Points (1/72 inch) from the point to the nearest corner or edge of its name, tried in turn."""
POINT_COST, NAME_COST, EDGE_COST = 1.0, 20.0, 20.0
"""Of a point that is covered, another name that is touched, and a place outside the panel; a reach costs its rank."""
REACH_COST = 0.4
MARK = 5.0
"""Half a point's mark and a little air, in 1/72 inch."""


def name_points(axis: Axes, places: Sequence[tuple[float, float]], names: Sequence[str], covered: np.ndarray) -> None:
    """Write each name beside its point, with a thin line to it; the panel's limits must stand.

    Args:
        axis: The panel.
        places: Where the named points are, in the panel's data.
        names: Their names.
        covered: All points (n, 2) that should stay in sight, in the panel's data.
    """
    figure = cast("Figure", axis.figure)  # no panel of ours is in a part of one
    figure.draw_without_rendering()  # the layout moves the panels
    scale = figure.dpi / 72
    inside = axis.get_window_extent()
    points = axis.transData.transform(covered) if len(covered) else np.zeros((0, 2))
    taken: list[Bbox] = []
    for (x, y), name in zip(places, names, strict=True):
        shown = _annotation(axis, (x, y), name)
        here = axis.transData.transform((x, y))
        size = Text.get_window_extent(shown)  # an annotation's own has its line in it
        best, box = min(
            (
                (cost, rank, offset, box)
                for rank, (offset, box) in enumerate(_candidates(here, size.width, size.height, scale))
                for cost in [_cost(box, points, taken, inside, MARK * scale) + REACH_COST * (rank // len(DIRECTIONS))]
            ),
            key=lambda found: found[:2],
        )[2:]
        shown.set_position((best[0] / scale, best[1] / scale))
        taken.append(box)


def _annotation(axis: Axes, place: tuple[float, float], name: str) -> Annotation:
    shown = axis.annotate(
        name,
        place,
        xytext=(0, 0),
        textcoords="offset points",
        ha="center",
        va="center",
        zorder=6,
        bbox={"facecolor": "white", "edgecolor": "none", "alpha": 0.85, "pad": 1.5},
        arrowprops={"arrowstyle": "-", "color": INK, "linewidth": 0.9, "shrinkA": 0, "shrinkB": 8},
    )
    shown.set_in_layout(False)
    return shown


def _candidates(here: np.ndarray, width: float, height: float, scale: float) -> list[tuple[tuple[float, float], Bbox]]:
    """Offsets of the middle of a name from its point, and the name's box there, in pixels; the nearest first."""
    found = []
    for reach in REACHES:
        for angle in DIRECTIONS:
            along, up = math.cos(angle), math.sin(angle)
            right = along * reach * scale + np.sign(round(along, 6)) * width / 2
            above = up * reach * scale + np.sign(round(up, 6)) * height / 2
            middle = here + np.array([right, above])
            box = Bbox.from_bounds(middle[0] - width / 2, middle[1] - height / 2, width, height)
            found.append(((right, above), box))
    return found


def _cost(box: Bbox, points: np.ndarray, taken: Sequence[Bbox], inside: Bbox, margin: float) -> float:
    wide = box.padded(margin)
    hidden = ((points >= wide.min) & (points <= wide.max)).all(axis=1).sum()
    outside = box.x0 < inside.x0 or box.x1 > inside.x1 or box.y0 < inside.y0 or box.y1 > inside.y1
    touched = sum(wide.overlaps(other) for other in taken)
    return float(POINT_COST * hidden + NAME_COST * touched + EDGE_COST * outside)
