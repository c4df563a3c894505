"""Canvas of a scene, which holds colours and part labels, and the light of the scene.

The label of a pixel says whose part is visible there. The owner of a part is the scene (number 0) or a person (from 1).
"""

from dataclasses import dataclass
from typing import NamedTuple

import cv2
import numpy as np

from posemodel.synthetic.figure import SIDES, Array

Colour = tuple[float, float, float]
"""Blue, green, red; 0 to 255."""

SUPERSAMPLING = 2
"""Canvas pixels per image pixel and axis; shapes are drawn without anti-aliasing, then averaged."""

SUBPIXEL_BITS = 4
"""Fractional bits of OpenCV's drawing coordinates."""

PART_LABELS: dict[str, int] = {
    name: index + 1
    for index, name in enumerate(
        ["torso", "pelvis", "neck", "head", "hair", "bag"]
        + [f"{side}_{part}" for side in SIDES for part in ("arm", "forearm", "hand", "thigh", "shin", "foot")]
    )
}
"""Label of each body part, from 1."""
LABELS_PER_PERSON = 32
"""Number of labels reserved for each owner; a canvas label is ``owner * LABELS_PER_PERSON + part``."""
OWNERS = 256 // LABELS_PER_PERSON
"""Number of owners, the scene and seven people: labels are uint8, so that they fit into the fourth channel."""

LABEL = 3
"""Channel of the canvas that holds the labels."""


class Shape(NamedTuple):
    """Shape to draw: image points (N, 2), a colour, thickness in canvas pixels (0: a filled polygon) and a label."""

    points: Array
    colour: Colour
    thickness: int
    label: int


@dataclass(frozen=True)
class Light:
    """Light of one image.

    ``towards`` is the unit vector to it in image axes (x right, y down, z to the viewer), ``contrast`` the strength of
    the shading.
    """

    towards: Array
    contrast: float


def brighter(colour: Colour, factor: float) -> Colour:
    """Scale a colour; channels are clipped at 255."""
    return (min(colour[0] * factor, 255.0), min(colour[1] * factor, 255.0), min(colour[2] * factor, 255.0))


def mix(one: Colour, other: Colour, share: float) -> Colour:
    """Blend two colours; ``share`` (0 to 1) is the weight of the second."""
    rest = 1 - share
    return (
        one[0] * rest + other[0] * share,
        one[1] * rest + other[1] * share,
        one[2] * rest + other[2] * share,
    )


def fixed_point(points: Array) -> Array:
    """Convert image pixels (..., 2) to OpenCV's fixed-point coordinates on the supersampled canvas, int32."""
    scale = SUPERSAMPLING << SUBPIXEL_BITS
    return np.rint(points * scale + (SUPERSAMPLING - 1) / 2 * (1 << SUBPIXEL_BITS)).astype(np.int32)


@dataclass
class Canvas:
    """Supersampled pixels (H, W, 4) uint8 (blue, green, red, label), and the light."""

    pixels: Array
    light: Light

    @classmethod
    def blank(cls, width: int, height: int, light: Light) -> "Canvas":
        """Make a black canvas for an image of this size in pixels."""
        return cls(np.zeros((height * SUPERSAMPLING, width * SUPERSAMPLING, 4), np.uint8), light)

    @property
    def labels(self) -> Array:
        """View of the labels (H, W)."""
        return self.pixels[..., LABEL]

    def fill(self, points: Array, colour: Colour) -> None:
        """Fill a polygon (N, 2), in image pixels, as part of the scene; colours and labels below it are overwritten."""
        fixed = [fixed_point(np.asarray(points, float))]
        cv2.fillPoly(self.pixels, fixed, (*colour, 0), cv2.LINE_8, SUBPIXEL_BITS)

    def draw(self, shapes: list[Shape]) -> None:
        """Draw shapes in this order; all points are converted at once, for speed."""
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
