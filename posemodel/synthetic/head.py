"""Drawing of a head: a ray-cast skull with hair, and the visible parts of face, ears and cap."""

import math
from collections.abc import Callable

import cv2
import numpy as np

from posemodel.synthetic.appearance import Appearance
from posemodel.synthetic.canvas import (
    LABEL,
    LABELS_PER_PERSON,
    PART_LABELS,
    SUPERSAMPLING,
    Canvas,
    Colour,
    Shape,
    brighter,
    mix,
)
from posemodel.synthetic.figure import FACE, HEAD_AXES, SIDES, Array

_FACELESS_BELOW = 28.0
"""Stature in image pixels below which a face is not drawn: the head is then at most four pixels high."""
_ROUND = np.stack([np.cos(np.arange(10) * math.pi / 5), np.sin(np.arange(10) * math.pi / 5)], axis=-1)
_SWEEP = np.linspace(-1.2, 1.2, 9)

# Positions on the head in half axes: left, up, forward.
_BROWS = {
    side: np.array([[sign * x, y, 0.9] for x, y in ((0.16, 0.25), (0.36, 0.31), (0.58, 0.24))])
    for side, sign in SIDES.items()
}
_NOSE = np.array([[0.0, 0.12, 0.98], [0.14, -0.27, 0.97], [-0.14, -0.27, 0.97], FACE["nose"]])
_NOSTRILS = np.array([[0.14, -0.27, 0.97], [0.0, -0.30, 1.08], [-0.14, -0.27, 0.97]])
_BRIDGE = _NOSE[[0, 3]]
_MOUTH = np.array([[-0.3, -0.5, 0.8], [0.0, -0.55, 0.86], [0.3, -0.5, 0.8]])
_PEAK = np.concatenate(
    [
        np.stack([np.sin(_SWEEP) * 0.98, np.full(9, 0.36), np.cos(_SWEEP) * 0.95], axis=-1),
        np.stack([np.sin(_SWEEP) * 0.98, np.full(9, 0.27), np.cos(_SWEEP) * 0.95 + 0.65], axis=-1)[::-1],
    ]
)
_HAIRLINE = np.interp(
    (np.arange(256) - 128) / 100, [-0.9, -0.3, -0.05, 0.25, 0.7, 1.0], [-0.62, -0.45, 0.0, 0.42, 0.55, 0.6]
).astype(np.float32)
"""Height of the hairline by the position forward, both in half axes: entry 128 + 100 x forward."""

_DIRECTIONS = {name: position / HEAD_AXES / np.linalg.norm(position / HEAD_AXES) for name, position in FACE.items()}


def facing(head: Array, name: str) -> float:
    """Return the cosine between the viewer and the outward direction of a point of the face; 1 for other joints.

    ``head`` (3, 3): the head's left, up and forward in image axes.
    """
    if name not in FACE:
        return 1.0
    return float(head[2] @ _DIRECTIONS[name])


def draw_head(canvas: Canvas, owner: int, look: Appearance, head: Array, skull: Array, stature: float) -> None:
    """Ray-cast the skull with its hair, then draw ears, eyes, brows, nose, mouth and the peak of a cap.

    Args:
        canvas: Canvas to draw on.
        owner: Number of the person.
        look: Skin, hair and head gear.
        head: (3, 3), the head's left, up and forward in image axes.
        skull: (2,), centre of the head in image pixels.
        stature: Standing height of the person in image pixels.
    """
    axes = HEAD_AXES * look.build.head * stature
    label = owner * LABELS_PER_PERSON + PART_LABELS["head"]
    basis = (head[:2] * axes).T
    shapes: list[Shape] = []

    def ellipse(position: Array, breadth: Array, height: Array, colour: Colour) -> None:
        """Draw an ellipse whose half axes are vectors in image pixels."""
        shapes.append(Shape(skull + position @ basis + _ROUND @ np.array([breadth, height]), colour, 0, label))

    def stroke(positions: Array, colour: Colour, width: float) -> None:
        thickness = max(1, round(width * float(axes[1]) * SUPERSAMPLING))
        shapes.append(Shape(skull + positions @ basis, colour, thickness, label))

    def ear(side: str) -> None:
        if look.head == "long":
            return
        length = float(np.hypot(head[0, 2], head[1, 2]))  # an ear lies in the plane of up and forward
        forward = head[:2, 2] / max(length, 1e-6)
        breadth, height = forward * (0.2 * axes[1] * max(0.3, length)), head[:2, 1] * (0.24 * axes[1])
        ellipse(FACE[f"{side}_ear"], breadth, height, brighter(look.skin, 0.8))
        if stature >= _FACELESS_BELOW:
            ellipse(FACE[f"{side}_ear"], breadth * 0.55, height * 0.6, brighter(look.skin, 0.62))

    near = {side: facing(head, f"{side}_ear") >= 0.25 for side in SIDES}
    for side in SIDES:
        if not near[side]:
            ear(side)
    canvas.draw(shapes)
    _cast_skull(canvas, label, look, head, skull, axes)
    shapes.clear()
    for side in SIDES:
        if near[side]:
            ear(side)
    if stature >= _FACELESS_BELOW:
        _face(look, head, axes, ellipse, stroke)
        if head[2, 2] > -0.25:
            outline = cv2.convexHull((skull + _NOSE @ basis).astype(np.float32))[:, 0]
            shapes.append(Shape(outline, brighter(look.skin, 0.9), 0, label))
            stroke(_NOSTRILS, brighter(look.skin, 0.62), 0.05)
            stroke(_BRIDGE, brighter(look.skin, 1.1), 0.05)
        if look.head == "cap" and head[2, 2] > -0.75:
            hair = label - PART_LABELS["head"] + PART_LABELS["hair"]
            shapes.append(Shape(skull + _PEAK @ basis, brighter(look.hat, 0.72), 0, hair))
    canvas.draw(shapes)


def _face(
    look: Appearance,
    head: Array,
    axes: Array,
    ellipse: Callable[[Array, Array, Array, Colour], None],
    stroke: Callable[[Array, Colour, float], None],
) -> None:
    """Draw the eyes and brows that face the viewer, and the mouth."""
    brow_tone = brighter(look.hair, 0.9) if look.head != "bald" else brighter(look.skin, 0.5)
    for side in SIDES:
        turned = facing(head, f"{side}_eye")
        if turned < 0.12:
            continue
        narrow, upward = head[:2, 0] * (axes[0] * max(0.45, turned)), head[:2, 1] * axes[1]
        eye = FACE[f"{side}_eye"]
        ellipse(eye, narrow * 0.23, upward * 0.105, (238, 240, 240))
        ellipse(eye, narrow * 0.11, upward * 0.10, (30, 32, 36))
        stroke(_BROWS[side], brow_tone, 0.07)
    if head[2, 2] > 0.1:
        stroke(_MOUTH, mix(brighter(look.skin, 0.62), (70, 60, 170), 0.45), 0.1)


def _cast_skull(canvas: Canvas, label: int, look: Appearance, head: Array, skull: Array, axes: Array) -> None:
    """Intersect each pixel's line of sight with the ellipsoid of the head; colour it by position and light."""
    light = canvas.light
    centre = skull * SUPERSAMPLING + (SUPERSAMPLING - 1) / 2
    axes = axes * SUPERSAMPLING
    reach = float(axes.max()) * 1.05
    x0, y0 = max(0, math.floor(centre[0] - reach)), max(0, math.floor(centre[1] - reach))
    x1 = min(canvas.pixels.shape[1], math.ceil(centre[0] + reach))
    y1 = min(canvas.pixels.shape[0], math.ceil(centre[1] + reach))
    if x1 <= x0 or y1 <= y0:
        return
    x = np.arange(x0, x1, dtype=np.float32) - np.float32(centre[0])
    y = (np.arange(y0, y1, dtype=np.float32) - np.float32(centre[1]))[:, None]
    scaled = (head / axes).tolist()  # rows: image axes; columns: the head's, in half axes
    left, up, forward = (scaled[0][k] * x + scaled[1][k] * y for k in range(3))
    # A jaw is narrower than a skull: below the eyes, the same column is further out on the ellipsoid.
    left *= 1 + 0.22 * np.clip(-up, 0, 1)
    ray = scaled[2]
    square = ray[0] ** 2 + ray[1] ** 2 + ray[2] ** 2
    cross = ray[0] * left + ray[1] * up + ray[2] * forward
    inside = cross * cross - square * (left * left + up * up + forward * forward - 1)
    mask = (inside > 0).view(np.uint8)
    depth = (np.sqrt(np.maximum(inside, 0)) - cross) / square
    left, up, forward = left + ray[0] * depth, up + ray[1] * depth, forward + ray[2] * depth

    style = look.head
    # The hair reaches further down towards the back.
    hairline = cv2.LUT(cv2.convertScaleAbs(forward, alpha=100, beta=128), _HAIRLINE)
    if style == "bald":
        covered = (up < 0.25) & (forward < 0.3)
        covered &= up > hairline + (0.0 if look.build.girth > 1.05 else 2.0)
    elif style == "long":
        covered = up > hairline - 0.25 * (np.abs(left) > 0.6)
    else:
        covered = up > hairline
    tones = np.empty((*mask.shape, 4), np.uint8)
    tones[:] = (*look.skin, 255)
    tones[covered] = (*brighter(look.hair, 0.99), 255)
    if style == "cap":
        tones[up > np.where(forward > 0, 0.34, 0.12)] = (*look.hat, 255)
    towards = (light.contrast * 0.30 * (light.towards @ head)).tolist()
    shade = towards[0] * left + towards[1] * up + towards[2] * forward + (1 - 0.18 * light.contrast)
    shade += 0.04 * covered * np.sin(left * 23 + up * 5)  # strands
    shade8 = cv2.convertScaleAbs(shade, alpha=128)
    lit = cv2.multiply(tones, cv2.merge([shade8] * 4), scale=1 / 128)
    lit[..., LABEL] = label
    cv2.copyTo(lit, mask, canvas.pixels[y0:y1, x0:x1])
