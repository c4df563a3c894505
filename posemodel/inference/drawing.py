"""Draw skeletons on images: predicted people in the colours of their sides, true people as thin outlined lines.

Images are BGR, as OpenCV reads them. Nothing here changes the image that it is given.
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
"""Sky blue, vermilion and yellow of Okabe and Ito's palette, as BGR: the colour-blind tell them apart."""
INNER: Colour = (255, 255, 255)
OUTLINE: Colour = (0, 0, 0)
PAPER: Colour = (255, 255, 255)

PREDICTED = (5, 4)
TRUE_OUTLINE = (3, 2)
TRUE = (1, 1)
"""Width of the limbs and radius of the joints, in pixels."""
RIM = 1
"""Pixels of black around a person found, so that the colours show on any background."""
SIDE_OF_WIDTHS, EXTENT_OF_WIDTHS = 600, 300
"""Pixels of an image's longer side and of a person for which ``PREDICTED`` is right; smaller ones get thinner lines."""
FRACTION_BITS = 4
"""OpenCV draws at sixteenths of a pixel."""
FAR = 2.0**15
"""Pixels: points beyond are drawn as if here, OpenCV's fixed-point numbers end not far behind."""


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
    """A copy of an image with skeletons on it; what lies outside the image is not drawn.

    Args:
        image: BGR (height, width, 3).
        predicted: People (N, 18, 3) in the image's pixels, a part with a third value of 0 is absent. Thick limbs: left
            ones blue, right ones vermilion, the middle (neck to nose) yellow.
        true: People in the same form: thin white lines over the predicted ones, with a black rim under them.

    Returns:
        A new image of the same shape.
    """
    canvas = image.copy()
    truth = true if true is not None else np.zeros((0, skeleton.NUM_PARTS, 3))
    # The outline lies under the predicted limbs, the white line over them: a limb well found is coloured with a white
    # core, a missed one white with a black rim on any background.
    for person in truth:
        _skeleton(canvas, person, _plain(OUTLINE), *TRUE_OUTLINE)
    for person in predicted if predicted is not None else ():
        _skeleton(canvas, person, (LIMB_COLOURS, PART_COLOURS), *PREDICTED)
    for person in truth:
        _skeleton(canvas, person, _plain(INNER), *TRUE)
    return canvas


def draw_to_scale(image: NDArray[np.uint8], people: NDArray[np.floating]) -> NDArray[np.uint8]:
    """As ``draw_people`` for people who were found, with lines as wide as suits the image and each person.

    Small people are drawn last, over those who stand before them in the picture's larger part.
    """
    canvas = image.copy()
    extents = [_extent(person) for person in people]
    for place in np.argsort([-extent for extent in extents], kind="stable"):
        scale = min(max(image.shape[:2]) / SIDE_OF_WIDTHS, extents[place] / EXTENT_OF_WIDTHS)
        width, radius = (max(round(each * scale), 1) for each in PREDICTED)
        rim = max(round(RIM * scale), 1) if width > 1 else 0  # around a line of one pixel, it would be all one sees
        if rim:
            _skeleton(canvas, people[place], _plain(OUTLINE), width + 2 * rim, radius + rim)
        _skeleton(canvas, people[place], (LIMB_COLOURS, PART_COLOURS), width, radius)
    return canvas


def scale_people(people: NDArray[np.floating], factor: float) -> NDArray[np.float64]:
    """People (N, 18, 3) where an image resized by ``factor`` has them (pixel centres are at integers)."""
    scaled = np.array(people, np.float64)
    scaled[..., :2] = (scaled[..., :2] + 0.5) * factor - 0.5
    scaled[scaled[..., 2] == 0] = 0
    return scaled


def sheet(tiles: Sequence[NDArray[np.uint8]], columns: int, gap: int = 6) -> NDArray[np.uint8]:
    """Arrange images (h, w, 3) of any sizes in rows of ``columns``, each centred in its cell.

    Columns are as wide as the widest tile, a row is as high as its highest; ``gap`` pixels of white lie between them.
    ValueError without a tile.
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
    """Diagonal in pixels of the box around the parts that are there."""
    xy = person[person[:, 2] > 0, :2]
    return float(np.hypot(*np.ptp(xy, axis=0))) if len(xy) else 0.0


def _skeleton(
    canvas: NDArray[np.uint8],
    person: NDArray[np.floating],
    colours: tuple[Sequence[Colour], Sequence[Colour]],
    width: int,
    radius: int,
) -> None:
    """Limbs, then joints; ``colours`` of the limbs and of the parts."""
    limb_colours, part_colours = colours
    for (start, end), colour in zip(skeleton.LIMBS, limb_colours, strict=True):
        if person[start, 2] > 0 and person[end, 2] > 0:
            ends = _fixed(person[start]), _fixed(person[end])
            cv2.line(canvas, *ends, colour, width, cv2.LINE_AA, FRACTION_BITS)
    for part in np.flatnonzero(person[:, 2] > 0):
        centre = _fixed(person[part])
        cv2.circle(canvas, centre, radius << FRACTION_BITS, part_colours[part], cv2.FILLED, cv2.LINE_AA, FRACTION_BITS)


def _plain(colour: Colour) -> tuple[Sequence[Colour], Sequence[Colour]]:
    return [colour] * skeleton.NUM_LIMBS, [colour] * skeleton.NUM_PARTS


def _fixed(point: NDArray[np.floating]) -> tuple[int, int]:
    x, y = np.clip(point[:2].astype(np.float64), -FAR, FAR) * 2**FRACTION_BITS
    return round(float(x)), round(float(y))
