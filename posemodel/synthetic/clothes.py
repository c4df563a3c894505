"""Details of a shirt: buttons, ties, prints and an open collar in front, seams and numbers on the back."""

import math
from dataclasses import dataclass

import numpy as np

from posemodel.synthetic.appearance import Appearance
from posemodel.synthetic.canvas import SUPERSAMPLING, Colour, Light, brighter
from posemodel.synthetic.figure import SIDES, Array

Detail = tuple[Array, Colour, int]
"""Image points (N, 2), colour, and thickness in canvas pixels (0: a filled polygon)."""

_AROUND = np.linspace(-math.pi, math.pi, 25)


@dataclass(frozen=True)
class Trunk:
    """Elliptic cross-sections of the torso along the spine."""

    shares: Array
    """Positions of the sections as shares of the spine's length, (N,)."""
    spine: Array
    """Centres of the sections in image pixels, (N, 2)."""
    breadth: Array
    """Half axes from side to side in statures, (N,)."""
    bulk: Array
    """Half axes from front to back in statures, (N,)."""
    stature: float
    """Standing height in image pixels."""


def decorate(look: Appearance, chest: Array, trunk: Trunk, light: Light) -> list[Detail]:
    """Return the visible details of a shirt; ``chest`` is the orientation (3, 3) of the chest in image axes."""
    shades = 1 + (0.95 - 1) * light.contrast
    trim, dark = brighter(look.trim, shades), brighter(look.shirt, 0.68)

    # Marks are positioned by shares of the spine and angles from the front towards the left.
    marks: list[tuple[list[float], list[float], Colour, float]] = []

    def line(shares: list[float], angles: list[float], colour: Colour, width: float) -> None:
        marks.append((shares, angles, colour, width))

    def patch(shares: list[float], angles: list[float], colour: Colour) -> None:
        marks.append((shares, angles, colour, 0.0))

    front, back = chest[2, 2] > -0.5, chest[2, 2] < 0.5
    # A full turn that begins on the far side, so that the visible part is one piece.
    around = list(math.atan2(chest[2, 0], chest[2, 2]) + _AROUND)
    if look.front == "stripes":
        for share in (0.25, 0.40, 0.55, 0.70, 0.83):
            line([share] * 25, around, trim, 0.02)
    # Folds on all sides.
    for angle in (1.0, -1.0, 2.3, -2.3):
        line([0.2, 0.32, 0.42], [angle, angle * 0.9, angle * 0.95], dark, 0.006)
    if front:
        if look.front in ("jacket", "tie"):
            inner = trim if look.front == "jacket" else (232.0, 235.0, 238.0)
            patch([0.14, 0.97, 1.0, 0.97, 0.14], [-0.22, -0.55, 0.0, 0.55, 0.22], inner)
            for sign in SIDES.values():
                line([0.14, 0.6, 0.97], [sign * 0.22, sign * 0.42, sign * 0.6], dark, 0.012)
        if look.front == "tie":
            patch([0.95, 0.3, 0.22, 0.3], [0.0, 0.14, 0.0, -0.14], brighter(look.hat, 0.7))
        if look.front in ("buttons", "pocket"):
            line([0.13, 0.5, 0.95], [0.0, 0.0, 0.0], dark, 0.006)
            for share in (0.25, 0.40, 0.55, 0.70, 0.84):
                line([share, share + 0.012], [0.0, 0.0], trim, 0.014)
        if look.front in ("pocket", "jacket"):
            corners = [look.pocket * angle for angle in (0.35, 0.85, 0.80, 0.38)]
            patch([0.76, 0.76, 0.64, 0.64], corners, dark if look.front == "jacket" else trim)
        if look.front in ("print", "number"):
            patch([0.78, 0.78, 0.50, 0.50], [-0.6, 0.6, 0.55, -0.55], trim)
            for share in (0.72, 0.64, 0.56):
                line([share, share], [-0.4, 0.4], look.hat, 0.012)
        opening = 0.86 if look.front in ("plain", "print", "stripes", "number") else 0.80
        patch([1.02, 0.95, opening, 0.95, 1.02], [-1.2, -0.6, 0.0, 0.6, 1.2], look.skin)
        if look.front in ("buttons", "pocket", "jacket", "tie"):
            for sign in SIDES.values():
                patch([1.02, 0.92, 0.86, 0.97], [sign * 1.2, sign * 1.0, sign * 0.35, sign * 0.1], brighter(trim, 0.97))
        if look.bag is not None:
            for sign in SIDES.values():
                line([0.97, 0.8, 0.5], [sign * 1.2, sign * 0.75, sign * 1.1], brighter(look.bag, 0.8), 0.022)
    if back:
        line([0.84] * 9, list(np.linspace(math.pi - 1.1, math.pi + 1.1, 9)), dark, 0.007)
        line([0.2, 0.8], [math.pi, math.pi], brighter(look.shirt, 0.86), 0.008)
        if look.front == "number":
            patch([0.8, 0.8, 0.42, 0.42], [math.pi - 0.3, math.pi - 0.1, math.pi - 0.1, math.pi - 0.3], trim)
            patch([0.8, 0.8, 0.42, 0.42], [math.pi + 0.3, math.pi + 0.1, math.pi + 0.1, math.pi + 0.3], trim)

    # Project all marks onto the elliptic cross-sections at once.
    shares = np.array([share for mark in marks for share in mark[0]])
    angles = np.array([angle for mark in marks for angle in mark[1]])
    profiles = (trunk.breadth, trunk.bulk, trunk.spine[:, 0], trunk.spine[:, 1])
    a, b, x, y = (np.interp(shares, trunk.shares, profile) for profile in profiles)
    sine, cosine = np.sin(angles), np.cos(angles)
    outward = (a * sine)[:, None] * chest[:2, 0] + (b * cosine)[:, None] * chest[:2, 2]
    points = np.array([x, y]).T + outward * trunk.stature
    visible = sine / a * chest[2, 0] + cosine / b * chest[2, 2] > 0
    details: list[Detail] = []
    start = 0
    for mark_shares, _, colour, width in marks:
        stop = start + len(mark_shares)
        mark_visible = visible[start:stop]
        if width and mark_visible.any():
            thickness = max(1, round(width * trunk.stature * SUPERSAMPLING))
            details.append((points[start:stop][mark_visible], colour, thickness))
        elif not width and mark_visible.all():
            details.append((points[start:stop], colour, 0))
        start = stop
    return details
