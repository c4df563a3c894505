"""Figure of `posebench data show --skeleton`: one object with numbered points, limbs and their names."""

from collections.abc import Sequence
from pathlib import Path

import cv2
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure
from matplotlib.lines import Line2D
from matplotlib.patheffects import withStroke
from numpy.typing import NDArray

from bench.report.style import RC, save, shortened
from bench.report.text import figure_text
from posemodel.inference import drawing
from posemodel.inference.drawing import side_colours
from posemodel.skeleton import Skeleton

LEFT, RIGHT, MIDDLE = "#56B4E9", "#D55E00", "#F0E442"
"""Sky blue, vermilion and yellow of Okabe and Ito's palette, as in drawings of predictions."""
_COLOURS = {drawing.LEFT: LEFT, drawing.RIGHT: RIGHT, drawing.MIDDLE: MIDDLE}
LINE = 0.24
"""Height of a line of names in inches, and width of a character in a line of that height, as a share of it, below."""
CHARACTER = 0.42
PICTURE = 8.6
"""Side of the picture in inches."""
MARGIN = 0.12
"""Space around the object's labelled points, as a share of their extent."""
LINES, DENSE_LINES = 34, 66
"""Maximum number of lines in a column of names, with few names and with many."""
LONGEST = 48
"""Maximum number of characters of a line."""
SHORTEST_SIDE = 900
"""A smaller cut-out is enlarged to this many pixels."""
NEIGHBOURS = 3
"""Number of neighbours that a point's number keeps away from."""


def draw_skeleton(
    image: NDArray[np.uint8], person: NDArray[np.floating], skeleton: Skeleton, path: Path, *, title: str
) -> None:
    """Draw one annotated object enlarged, with its points by number, its limbs, and the names of both, as a PNG.

    Keypoints are numbered from 1, as in the category's `skeleton`. Left points and limbs (the first of each mirror
    pair) are blue, right ones vermilion, all others yellow.

    Args:
        image: RGB (height, width, 3).
        person: Its parts (P, 3), x and y in the image's pixels and visibility; 0 is not labelled.
        skeleton: Names, limbs and mirror pairs.
        path: The PNG, replaced if it exists.
        title: Title of the figure.
    """
    number, sides = part_numbers(skeleton), part_sides(skeleton)
    order = sorted(range(skeleton.num_parts), key=lambda part: number[part])
    parts = [f"{number[part]}  {_name(skeleton, part, person)}" for part in order]
    in_order = sorted(
        (number[start], number[end], skeleton.parts[start], skeleton.parts[end], side)
        for (start, end), side in zip(skeleton.limbs, limb_sides(skeleton), strict=True)
    )
    limbs = [f"{first}-{last}  {start} - {end}" for first, last, start, end, _ in in_order]
    blocks = [("Points", parts, [sides[part] for part in order]), ("Limbs", limbs, [side for *_, side in in_order])]
    most = DENSE_LINES if max(len(parts), len(limbs)) > LINES else LINES
    columns = []
    for heading, lines, sides in blocks:
        rows = -(-len(lines) // -(-len(lines) // most)) if lines else 1  # columns of equal length
        for first in range(0, max(len(lines), 1), rows):
            columns.append((heading if first == 0 else "", lines[first : first + rows], sides[first : first + rows]))
    height_of_line = PICTURE / (most + 2)
    widths = [CHARACTER * height_of_line * (4 + max(map(_length, lines), default=6)) for _, lines, _ in columns]
    with plt.rc_context(RC | {"axes.grid": False}):
        figure = plt.figure(figsize=(PICTURE + sum(widths), PICTURE + 1.1))
        figure.suptitle(figure_text(shortened(title, round(10 * (PICTURE + sum(widths))))))
        left, right = figure.subfigures(1, 2, squeeze=False, width_ratios=(PICTURE, sum(widths)))[0]
        _object(left.subplots(), image, person, skeleton)
        _names(right, columns, widths, most, 72 * height_of_line * 0.66)
        _sides_legend(figure, skeleton)
        save(figure, path)


def part_numbers(skeleton: Skeleton) -> list[int]:
    """Return the number of each part: those of keypoints from 1 in the annotations' order, derived parts after them."""
    order = [*skeleton.keypoints, *(name for name, _ in skeleton.derived)]
    return [order.index(name) + 1 for name in skeleton.parts]


def part_sides(skeleton: Skeleton) -> list[str]:
    """Return the colour of each part: ``LEFT``, ``RIGHT`` or ``MIDDLE``, by the mirror pairs."""
    return [_COLOURS[colour] for colour in side_colours(skeleton).parts]


def limb_sides(skeleton: Skeleton) -> list[str]:
    """Return the colour of each limb, by the sides of its ends as in drawings of predictions."""
    return [_COLOURS[colour] for colour in side_colours(skeleton).limbs]


def _name(skeleton: Skeleton, part: int, person: NDArray[np.floating]) -> str:
    name = skeleton.parts[part]
    name += " (derived)" * (name not in skeleton.keypoints)
    return name + " (not here)" * bool(person[part, 2] == 0)


def _length(line: str) -> int:
    return min(len(line), LONGEST)


def _object(axis: Axes, image: NDArray[np.uint8], person: NDArray[np.floating], skeleton: Skeleton) -> None:
    """Draw the cut-out around the labelled points, enlarged, with limbs and numbers."""
    labelled = np.flatnonzero(person[:, 2] > 0)
    xy = person[:, :2].astype(np.float64)
    low, high = xy[labelled].min(axis=0), xy[labelled].max(axis=0)
    half = max(float((high - low).max()) * (0.5 + MARGIN), 16.0)
    middle = (low + high) / 2
    sides = np.array(image.shape[1::-1])
    first = np.clip(np.floor(middle - half), 0, sides - 1).astype(int)
    last = np.maximum(np.clip(np.ceil(middle + half) + 1, 1, sides).astype(int), first + 1)
    cut = np.ascontiguousarray(image[first[1] : last[1], first[0] : last[0]])
    factor = max(SHORTEST_SIDE / max(cut.shape[:2]), 1.0)
    large = cv2.resize(cut, None, fx=factor, fy=factor, interpolation=cv2.INTER_CUBIC)
    axis.imshow(large, extent=(first[0] - 0.5, last[0] - 0.5, last[1] - 0.5, first[1] - 0.5), alpha=0.75)
    axis.set(xticks=[], yticks=[], anchor="N", xlim=(middle[0] - half, middle[0] + half))
    axis.set_ylim(middle[1] + half, middle[1] - half)
    axis.set_facecolor("#DDDDDD")
    many = np.sqrt(max(len(labelled), 12) / 12)
    for (start, end), colour in zip(skeleton.limbs, limb_sides(skeleton), strict=True):
        if person[start, 2] > 0 and person[end, 2] > 0:
            rim = [withStroke(linewidth=4 / many + 2, foreground="black")]
            axis.plot(*xy[[start, end]].T, color=colour, linewidth=4 / many, path_effects=rim, solid_capstyle="round")
    colours, number = np.array(part_sides(skeleton)), part_numbers(skeleton)
    axis.scatter(
        xy[labelled, 0],
        xy[labelled, 1],
        s=110 / many**2,
        c=colours[labelled],
        edgecolors="black",
        linewidths=0.8,
        zorder=3,
    )
    for part, away in zip(labelled.tolist(), _away_from_neighbours(xy[labelled]), strict=True):
        axis.annotate(
            str(number[part]),
            xy[part],
            xytext=tuple(away * (4 + 11 / many)),
            textcoords="offset points",
            ha="center",
            va="center",
            fontsize=max(13 / many, 4.5),
            fontweight="bold",
            path_effects=[withStroke(linewidth=2.4 / np.sqrt(many), foreground="white")],
            zorder=4,
        )


def _away_from_neighbours(xy: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return for each point (N, 2) a direction, y upwards, in which its number is far from its nearest neighbours."""
    apart = xy[:, None] - xy[None]
    distance = np.hypot(apart[..., 0], apart[..., 1])
    directions = np.tile([0.8, 0.6], (len(xy), 1))
    for point in range(len(xy)):
        near = np.argsort(distance[point], kind="stable")[1 : 1 + NEIGHBOURS]
        near = near[distance[point, near] > 0]
        away = (apart[point, near] / distance[point, near, None] ** 2).sum(axis=0)
        length = float(np.hypot(*away))
        if length > 0:
            directions[point] = away / length * (1, -1)
    return directions


def _names(
    figure: SubFigure,
    columns: Sequence[tuple[str, list[str], list[str]]],
    widths: Sequence[float],
    lines: int,
    points: float,
) -> None:
    axes = figure.subplots(1, len(columns), width_ratios=widths, squeeze=False)[0]
    for axis, (heading, texts, colours), width in zip(axes, columns, widths, strict=True):
        axis.set(xlim=(0, width), ylim=(lines + 1, -1))
        axis.set_axis_off()
        axis.text(0, -0.4, heading, fontweight="bold", va="center")
        rows = np.arange(len(texts)) + 0.6
        axis.scatter(np.full(len(texts), 0.08), rows, s=points**2 * 0.6, c=colours, edgecolors="black", linewidths=0.6)
        for row, text in zip(rows, texts, strict=True):
            axis.text(0.08 + points / 72, row, figure_text(shortened(text, LONGEST)), fontsize=points, va="center")


def _sides_legend(figure: Figure, skeleton: Skeleton) -> None:
    names = {LEFT: "left: first of a mirror pair", RIGHT: "right: second of a mirror pair", MIDDLE: "no mirror image"}
    present = {*part_sides(skeleton)}
    marks = [
        Line2D([], [], color=colour, marker="o", markeredgecolor="black", linestyle="none", label=name)
        for colour, name in names.items()
        if colour in present
    ]
    figure.legend(handles=marks, loc="outside lower center", ncols=len(marks))
