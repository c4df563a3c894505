"""The two canvases that a scene is drawn on, colours and labels, and the light that falls on it."""

from dataclasses import dataclass

import cv2
import numpy as np

from posemodel.data.synthetic.figure import SIDES, Array

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
LABELS_PER_PERSON = 64
"""A canvas label is ``owner * LABELS_PER_PERSON + part``; owner 0 is the scene."""


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
    centre_offset = (SUPERSAMPLING - 1) / 2
    return np.rint((points * SUPERSAMPLING + centre_offset) * (1 << SUBPIXEL_BITS)).astype(np.int32)


@dataclass
class Canvas:
    """Colours (H, W, 3) uint8 and labels (H, W) uint16, both supersampled, and the light."""

    colours: Array
    labels: Array
    light: Light

    def fill(self, points: Array, colour: Colour, *, covers: bool = True) -> None:
        """Fill a polygon of image pixels (N, 2); ``covers``: it hides the people drawn so far."""
        fixed = [fixed_point(np.asarray(points, float))]
        cv2.fillPoly(self.colours, fixed, colour, cv2.LINE_8, SUBPIXEL_BITS)
        if covers:
            cv2.fillPoly(self.labels, fixed, 0, cv2.LINE_8, SUBPIXEL_BITS)
