"""Draw skeletons on images: predicted people in colours for left and right, true people as thin outlined lines.

Images are BGR, as OpenCV reads them. No function changes its input image.
"""

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from posemodel import skeleton

Colour = tuple[int, int, int]

LEFT: Colour = (233, 180, 86)
RIGHT: Colour = (0, 94, 213)
MIDDLE: Colour = (66, 228, 240)
"""Sky blue, vermilion and yellow of Okabe and Ito's colour-blind-safe palette, as BGR."""
INNER: Colour = (255, 255, 255)
OUTLINE: Colour = (0, 0, 0)
PAPER: Colour = (255, 255, 255)

PREDICTED = (5, 4)
TRUE_OUTLINE = (3, 2)
TRUE = (1, 1)
"""Line width of limbs and radius of joints of true people, in pixels."""
RIM = 1
"""Width in pixels of the black rim around a predicted person, visible on any background."""
SIDE_OF_WIDTHS, EXTENT_OF_WIDTHS = 600, 300
"""Minimum image side (the longer) and person size, in pixels, at which ``PREDICTED`` applies; below, lines are thinner.
"""
FRACTION_BITS = 4
"""Fractional bits of OpenCV's drawing coordinates, which are then in sixteenths of a pixel."""
FAR = 2.0**15
"""Largest coordinate in pixels: points beyond are drawn there, because OpenCV's fixed-point numbers overflow."""


def _side(*parts: int) -> Colour:
    names = [skeleton.PARTS[part] for part in parts]
    if any(name.startswith("left_") for name in names):
        return LEFT
    return RIGHT if any(name.startswith("right_") for name in names) else MIDDLE


PART_COLOURS: tuple[Colour, ...] = tuple(_side(part) for part in range(skeleton.NUM_PARTS))
LIMB_COLOURS: tuple[Colour, ...] = tuple(_side(*limb) for limb in skeleton.LIMBS)


def draw_people(
    image: NDArray[np.uint8],
    predicted: NDArray[np.floating] | None = None,
    true: NDArray[np.floating] | None = None,
) -> NDArray[np.uint8]:
    """Return a copy of an image with skeletons drawn on it.

    Args:
        image: BGR (height, width, 3).
        predicted: People (N, 18, 3) in the image's pixels; a part whose third value is 0 is absent. They get thick
            limbs: left ones blue, right ones vermilion, the middle (neck to nose) yellow.
        true: People in the same form, drawn as thin white lines with a black rim.

    Returns:
        A new image of the same shape.
    """
    canvas = image.copy()
    truth = true if true is not None else np.zeros((0, skeleton.NUM_PARTS, 3))
    # The outline lies under the predicted limbs, the white line over them: a correct limb shows colour around a white
    # core, a missed one white with a black rim on any background.
    for person in truth:
        _skeleton(canvas, person, _plain(OUTLINE), *TRUE_OUTLINE)
    for person in predicted if predicted is not None else ():
        _skeleton(canvas, person, (LIMB_COLOURS, PART_COLOURS), *PREDICTED)
    for person in truth:
        _skeleton(canvas, person, _plain(INNER), *TRUE)
    return canvas


def draw_to_scale(image: NDArray[np.uint8], people: NDArray[np.floating]) -> NDArray[np.uint8]:
    """Draw predicted people like `draw_people`, with line widths that suit the image and each person.

    Small people are drawn last, so that large ones do not cover them.
    """
    canvas = image.copy()
    extents = [_extent(person) for person in people]
    for index in np.argsort([-extent for extent in extents], kind="stable").tolist():
        scale = min(max(image.shape[:2]) / SIDE_OF_WIDTHS, extents[index] / EXTENT_OF_WIDTHS)
        width, radius = (max(round(each * scale), 1) for each in PREDICTED)
        rim = max(round(RIM * scale), 1) if width > 1 else 0  # around a line of one pixel, it would hide the line
        if rim:
            _skeleton(canvas, people[index], _plain(OUTLINE), width + 2 * rim, radius + rim)
        _skeleton(canvas, people[index], (LIMB_COLOURS, PART_COLOURS), width, radius)
    return canvas


def scale_people(people: NDArray[np.floating], factor: float) -> NDArray[np.float64]:
    """Scale people (N, 18, 3) to an image resized by ``factor`` (pixel centres are at integers)."""
    scaled = np.array(people, np.float64)
    scaled[..., :2] = (scaled[..., :2] + 0.5) * factor - 0.5
    scaled[scaled[..., 2] == 0] = 0
    return scaled


def sheet(tiles: Sequence[NDArray[np.uint8]], columns: int, gap: int = 6) -> NDArray[np.uint8]:
    """Arrange images (h, w, 3) of any sizes in rows of ``columns``, each centred in its cell.

    Columns are as wide as the widest tile, a row is as high as its highest; ``gap`` pixels of white lie between them.
    Raises ValueError if there are no tiles.
    """
    if not tiles:
        raise ValueError("a sheet needs at least one tile")
    rows = [tiles[first : first + columns] for first in range(0, len(tiles), columns)]
    heights = [max(tile.shape[0] for tile in row) for row in rows]
    width, columns = max(tile.shape[1] for tile in tiles), min(columns, len(tiles))
    canvas = np.full((sum(heights) + gap * (len(rows) - 1), columns * (width + gap) - gap, 3), PAPER, np.uint8)
    row_top = 0
    for row, row_height in zip(rows, heights, strict=True):
        for column, tile in enumerate(row):
            top = row_top + (row_height - tile.shape[0]) // 2
            left = column * (width + gap) + (width - tile.shape[1]) // 2
            canvas[top : top + tile.shape[0], left : left + tile.shape[1]] = tile
        row_top += row_height + gap
    return canvas


def _extent(person: NDArray[np.floating]) -> float:
    """Diagonal in pixels of the box around the visible parts."""
    xy = person[person[:, 2] > 0, :2]
    return float(np.hypot(*np.ptp(xy, axis=0))) if len(xy) else 0.0


def _skeleton(
    canvas: NDArray[np.uint8],
    person: NDArray[np.floating],
    colours: tuple[Sequence[Colour], Sequence[Colour]],
    width: int,
    radius: int,
) -> None:
    """Draw limbs, then joints; ``colours`` are those of the limbs and of the parts."""
    limb_colours, part_colours = colours
    for (start, end), colour in zip(skeleton.LIMBS, limb_colours, strict=True):
        if person[start, 2] > 0 and person[end, 2] > 0:
            ends = _fixed(person[start]), _fixed(person[end])
            cv2.line(canvas, *ends, colour, width, cv2.LINE_AA, FRACTION_BITS)
    for part in np.flatnonzero(person[:, 2] > 0).tolist():
        centre = _fixed(person[part])
        cv2.circle(canvas, centre, radius << FRACTION_BITS, part_colours[part], cv2.FILLED, cv2.LINE_AA, FRACTION_BITS)


def _plain(colour: Colour) -> tuple[Sequence[Colour], Sequence[Colour]]:
    return [colour] * skeleton.NUM_LIMBS, [colour] * skeleton.NUM_PARTS


def _fixed(point: NDArray[np.floating]) -> tuple[int, int]:
    x, y = np.clip(point[:2].astype(np.float64), -FAR, FAR) * 2**FRACTION_BITS
    return round(float(x)), round(float(y))
