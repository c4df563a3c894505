"""The canvas that a scene is drawn on, colours and labels at once, and the light that falls on it."""

from dataclasses import dataclass
from typing import NamedTuple

import cv2
import numpy as np

from posemodel.synthetic.figure import SIDES, Array

Colour = tuple[float, float, float]

SUPERSAMPLING = 2
"""Canvas pixels per image pixel: drawn without anti-aliasing, then averaged."""

SUBPIXEL_BITS = 4
"""Fractional bits of OpenCV's drawing coordinates."""

PART_LABELS: dict[str, int] = {
    name: index + 1
    for index, name in enumerate(
        ["torso", "pelvis", "neck", "head", "hair", "bag"]
        + [f"{side}_{part}" for side in SIDES for part in ("arm", "forearm", "hand", "thigh", "shin", "foot")]
    )
}
LABELS_PER_PERSON = 32
"""A canvas label is ``owner * LABELS_PER_PERSON + part``; owner 0 is the scene."""
OWNERS = 256 // LABELS_PER_PERSON
"""Labels are bytes, so that they fit beside the three bytes of a colour: the scene and seven people."""

LABEL = 3
"""Channel of the canvas that holds the labels."""


class Shape(NamedTuple):
    """What is to be drawn: image points (N, 2), a colour, thickness in canvas pixels (0: a filled polygon), a label."""

    points: Array
    colour: Colour
    thickness: int
    label: int


@dataclass(frozen=True)
class Light:
    """Light of one image: towards the light in image axes (x right, y down, z to the viewer), and its contrast."""

    towards: Array
    contrast: float


def brighter(colour: Colour, factor: float) -> Colour:
    """Scale a colour; it saturates."""
    return (min(colour[0] * factor, 255.0), min(colour[1] * factor, 255.0), min(colour[2] * factor, 255.0))


def mix(one: Colour, other: Colour, share: float) -> Colour:
    """Blend two colours; ``share`` is the second one's."""
    keep = 1 - share
    return (
        one[0] * keep + other[0] * share,
        one[1] * keep + other[1] * share,
        one[2] * keep + other[2] * share,
    )


def fixed_point(points: Array) -> Array:
    """Image pixels (..., 2) -> OpenCV's fixed-point coordinates on the supersampled canvas."""
    scale = SUPERSAMPLING << SUBPIXEL_BITS
    return np.rint(points * scale + (SUPERSAMPLING - 1) / 2 * (1 << SUBPIXEL_BITS)).astype(np.int32)


@dataclass
class Canvas:
    """Supersampled pixels (H, W, 4) uint8: blue, green, red, label; and the light."""

    pixels: Array
    light: Light

    @classmethod
    def blank(cls, width: int, height: int, light: Light) -> "Canvas":
        """Make a black canvas for an image of that size in pixels."""
        return cls(np.zeros((height * SUPERSAMPLING, width * SUPERSAMPLING, 4), np.uint8), light)

    @property
    def labels(self) -> Array:
        """A view of the labels, (H, W)."""
        return self.pixels[..., LABEL]

    def fill(self, points: Array, colour: Colour) -> None:
        """Fill a polygon of image pixels (N, 2) with a part of the scene: it hides the people drawn so far."""
        fixed = [fixed_point(np.asarray(points, float))]
        cv2.fillPoly(self.pixels, fixed, (*colour, 0), cv2.LINE_8, SUBPIXEL_BITS)

    def draw(self, shapes: list[Shape]) -> None:
        """Draw shapes in this order; their points are converted in one go."""
        if not shapes:
            return
        fixed = fixed_point(np.concatenate([shape.points for shape in shapes]))
        start = 0
        for points, colour, thickness, label in shapes:
            stop = start + len(points)
            outline = [fixed[start:stop]]
            if thickness:
                cv2.polylines(self.pixels, outline, False, (*colour, label), thickness, cv2.LINE_8, SUBPIXEL_BITS)
            else:
                cv2.fillPoly(self.pixels, outline, (*colour, label), cv2.LINE_8, SUBPIXEL_BITS)
            start = stop
