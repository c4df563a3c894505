"""Draw skeletons on images: predicted people in colours for left and right, true people as thin outlined lines.

Images are BGR, as OpenCV reads them. No function changes its input image.
"""

from collections.abc import Sequence
from functools import cache
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from posemodel.skeleton import COCO_PERSON, Skeleton

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


class Colours(NamedTuple):
    """Colours of the L limbs and P parts of a skeleton."""

    limbs: tuple[Colour, ...]
    parts: tuple[Colour, ...]


@cache
def side_colours(skeleton: Skeleton) -> Colours:
    """Return the colours of a skeleton's sides: the first part of each mirror pair is left, the second is right.

    A limb is left if one of its ends is, else right if one of its ends is; all else is in the middle.
    """
    left, right = {pair[0] for pair in skeleton.mirror}, {pair[1] for pair in skeleton.mirror}

    def side(*names: str) -> Colour:
        return LEFT if left.intersection(names) else RIGHT if right.intersection(names) else MIDDLE

    parts = skeleton.parts
    return Colours(tuple(side(parts[a], parts[b]) for a, b in skeleton.limbs), tuple(map(side, parts)))


def draw_people(
    image: NDArray[np.uint8],
    predicted: NDArray[np.floating] | None = None,
    true: NDArray[np.floating] | None = None,
    *,
    skeleton: Skeleton = COCO_PERSON,
) -> NDArray[np.uint8]:
    """Return a copy of an image with skeletons drawn on it.

    Args:
        image: BGR (height, width, 3).
        predicted: People (N, P, 3) in the image's pixels; a part whose third value is 0 is absent. They get thick
            limbs: left ones blue, right ones vermilion, the middle (neck to nose) yellow.
        true: People in the same form, drawn as thin white lines with a black rim.
        skeleton: Limbs, and sides by the mirror pairs, of the people.

    Returns:
        A new image of the same shape.

    Raises:
        ValueError: people have another number of parts than the skeleton.
    """
    canvas = image.copy()
    colours = side_colours(skeleton)
    truth = true if true is not None else np.zeros((0, skeleton.num_parts, 3))
    # The outline lies under the predicted limbs, the white line over them: a correct limb shows colour around a white
    # core, a missed one white with a black rim on any background.
    for person in truth:
        _draw(canvas, person, skeleton, _plain(OUTLINE, skeleton), *TRUE_OUTLINE)
    for person in predicted if predicted is not None else ():
        _draw(canvas, person, skeleton, colours, *PREDICTED)
    for person in truth:
        _draw(canvas, person, skeleton, _plain(INNER, skeleton), *TRUE)
    return canvas


def draw_to_scale(
    image: NDArray[np.uint8], people: NDArray[np.floating], *, skeleton: Skeleton = COCO_PERSON
) -> NDArray[np.uint8]:
    """Draw predicted people (N, P, 3) like `draw_people`, with line widths that suit the image and each person.

    Small people are drawn last, so that large ones do not cover them.
    """
    canvas = image.copy()
    extents = [_extent(person) for person in people]
    for index in np.argsort([-extent for extent in extents], kind="stable").tolist():
        of_image, of_person = max(image.shape[:2]) / SIDE_OF_WIDTHS, extents[index] / EXTENT_OF_WIDTHS
        scale = min(of_image, of_person) if skeleton.limbs else of_image  # lone points do not tell a size
        width, radius = (max(round(each * scale), 1) for each in PREDICTED)
        rim = max(round(RIM * scale), 1) if width > 1 else 0  # around a line of one pixel, it would hide the line
        if rim:
            _draw(canvas, people[index], skeleton, _plain(OUTLINE, skeleton), width + 2 * rim, radius + rim)
        _draw(canvas, people[index], skeleton, side_colours(skeleton), width, radius)
    return canvas


def scale_people(people: NDArray[np.floating], factor: float) -> NDArray[np.float64]:
    """Scale people (N, P, 3) to an image resized by ``factor`` (pixel centres are at integers)."""
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


def _draw(
    canvas: NDArray[np.uint8],
    person: NDArray[np.floating],
    skeleton: Skeleton,
    colours: Colours,
    width: int,
    radius: int,
) -> None:
    """Draw limbs, then joints, of a person (P, 3)."""
    if len(person) != skeleton.num_parts:
        raise ValueError(
            f"people have {len(person)} parts, the skeleton {skeleton.name!r} {skeleton.num_parts}: give theirs"
        )
    for (start, end), colour in zip(skeleton.limbs, colours.limbs, strict=True):
        if person[start, 2] > 0 and person[end, 2] > 0:
            ends = _fixed(person[start]), _fixed(person[end])
            cv2.line(canvas, *ends, colour, width, cv2.LINE_AA, FRACTION_BITS)
    for part in np.flatnonzero(person[:, 2] > 0).tolist():
        centre = _fixed(person[part])
        cv2.circle(canvas, centre, radius << FRACTION_BITS, colours.parts[part], cv2.FILLED, cv2.LINE_AA, FRACTION_BITS)


def _plain(colour: Colour, skeleton: Skeleton) -> Colours:
    return Colours((colour,) * skeleton.num_limbs, (colour,) * skeleton.num_parts)


def _fixed(point: NDArray[np.floating]) -> tuple[int, int]:
    x, y = np.clip(point[:2].astype(np.float64), -FAR, FAR) * 2**FRACTION_BITS
    return round(float(x)), round(float(y))
