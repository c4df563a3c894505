"""Place names beside points of a figure so that they cover no point, no other name and no edge."""

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
"""Distances from the point to the nearest corner or edge of its name, tried in turn, in points (1/72 inch)."""
POINT_COST, NAME_COST, EDGE_COST = 1.0, 20.0, 20.0
"""Costs of a covered point, of a touched name, and of leaving the panel."""
REACH_COST = 0.4
MARK = 5.0
"""Half a point's mark and a little air, in points (1/72 inch)."""


def name_points(
    axis: Axes, positions: Sequence[tuple[float, float]], names: Sequence[str], covered: np.ndarray
) -> None:
    """Write each name beside its point, with a thin line to it; the panel's limits must be final.

    Args:
        axis: The panel.
        positions: Positions of the named points, in the panel's data coordinates.
        names: Their names.
        covered: All points (n, 2) that should stay visible, in data coordinates.
    """
    figure = cast("Figure", axis.figure)  # our panels are never in a subfigure
    figure.draw_without_rendering()  # computes the layout, which moves the panels
    scale = figure.dpi / 72
    inside = axis.get_window_extent()
    points = axis.transData.transform(covered) if len(covered) else np.zeros((0, 2))
    taken: list[Bbox] = []
    for (x, y), name in zip(positions, names, strict=True):
        shown = _annotation(axis, (x, y), name)
        point = axis.transData.transform((x, y))
        size = Text.get_window_extent(shown)  # the text alone: an annotation's extent includes its line
        best, box = min(
            (
                (cost, rank, offset, box)
                for rank, (offset, box) in enumerate(_candidates(point, size.width, size.height, scale))
                for cost in [_cost(box, points, taken, inside, MARK * scale) + REACH_COST * (rank // len(DIRECTIONS))]
            ),
            key=lambda candidate: candidate[:2],
        )[2:]
        shown.set_position((best[0] / scale, best[1] / scale))
        taken.append(box)


def _annotation(axis: Axes, position: tuple[float, float], name: str) -> Annotation:
    shown = axis.annotate(
        name,
        position,
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


def _candidates(point: np.ndarray, width: float, height: float, scale: float) -> list[tuple[tuple[float, float], Bbox]]:
    """Return candidate positions in pixels, nearest first: offset of the name's middle from its point, and its box."""
    candidates = []
    for reach in REACHES:
        for angle in DIRECTIONS:
            along, up = math.cos(angle), math.sin(angle)
            right = along * reach * scale + np.sign(round(along, 6)) * width / 2
            above = up * reach * scale + np.sign(round(up, 6)) * height / 2
            middle = point + np.array([right, above])
            box = Bbox.from_bounds(middle[0] - width / 2, middle[1] - height / 2, width, height)
            candidates.append(((right, above), box))
    return candidates


def _cost(box: Bbox, points: np.ndarray, taken: Sequence[Bbox], inside: Bbox, margin: float) -> float:
    wide = box.padded(margin)
    hidden = ((points >= wide.min) & (points <= wide.max)).all(axis=1).sum()
    outside = box.x0 < inside.x0 or box.x1 > inside.x1 or box.y0 < inside.y0 or box.y1 > inside.y1
    touched = sum(wide.overlaps(other) for other in taken)
    return float(POINT_COST * hidden + NAME_COST * touched + EDGE_COST * outside)
