"""Draw a head: a ray-cast skull with hair, and a face, ears and a cap where they face the viewer."""

import math

import cv2
import numpy as np

from posemodel.data.synthetic.canvas import (
    LABELS_PER_PERSON,
    PART_LABELS,
    SUBPIXEL_BITS,
    SUPERSAMPLING,
    Canvas,
    Colour,
    brighter,
    mix,
)
from posemodel.data.synthetic.figure import FACE, HEAD_AXES, SIDES, Array
from posemodel.data.synthetic.look import Look

_FACELESS_BELOW = 28.0
"""Image pixels of stature below which a head is four pixels high."""
_ROUND = np.linspace(0, 2 * math.pi, 11)[:-1, None]


def facing(head: Array, name: str) -> float:
    """Cosine between the viewer and the outward direction of a place on the head; 1 for the other joints.

    ``head`` (3, 3): its left, up and forward in image axes.
    """
    if name not in FACE:
        return 1.0
    outward = FACE[name] / HEAD_AXES
    return float(head[2] @ outward / np.linalg.norm(outward))


def draw_head(canvas: Canvas, owner: int, look: Look, head: Array, skull: Array, stature: float) -> None:
    """Ray-cast the skull with its hair, then draw ears, eyes, brows, nose, mouth and the peak of a cap.

    Args:
        canvas: what to draw on.
        owner: whose head.
        look: skin, hair and head gear.
        head: (3, 3), the head's left, up and forward in image axes.
        skull: (2,), image position of its centre.
        stature: in image pixels.
    """
    colours, labels = canvas.colours, canvas.labels
    axes = HEAD_AXES * look.build.head * stature * SUPERSAMPLING
    centre = skull * SUPERSAMPLING + (SUPERSAMPLING - 1) / 2
    value = owner * LABELS_PER_PERSON + PART_LABELS["head"]

    def project(places: Array) -> Array:
        return centre + (places * axes) @ head[:2].T

    def ellipse(place: Array, breadth: float, height: float, colour: Colour, *, label: bool = False) -> None:
        """Draw an ellipse of half axes in canvas pixels along the head's own left and up."""
        points = project(place) + np.cos(_ROUND) * breadth + np.sin(_ROUND) * height
        fixed = np.rint(points * (1 << SUBPIXEL_BITS)).astype(np.int32)
        cv2.fillPoly(colours, [fixed], colour, cv2.LINE_8, SUBPIXEL_BITS)
        if label:
            cv2.fillPoly(labels, [fixed], value, cv2.LINE_8, SUBPIXEL_BITS)

    def stroke(places: list[Array], colour: Colour, width: float) -> None:
        fixed = np.rint(project(np.array(places)) * (1 << SUBPIXEL_BITS)).astype(np.int32)
        thickness = max(1, round(width * float(axes[1])))
        cv2.polylines(colours, [fixed], False, colour, thickness, cv2.LINE_8, SUBPIXEL_BITS)

    def ear(side: str) -> None:
        if look.head == "long":
            return
        flat = max(0.3, float(np.hypot(*head[:2, 2])))  # an ear lies in the plane of up and forward
        forward = head[:2, 2] / max(float(np.hypot(*head[:2, 2])), 1e-6)
        breadth, height = forward * 0.2 * axes[1] * flat, head[:2, 1] * 0.24 * axes[1]
        ellipse(FACE[f"{side}_ear"], breadth, height, brighter(look.skin, 0.8), label=True)
        ellipse(FACE[f"{side}_ear"], breadth * 0.55, height * 0.6, brighter(look.skin, 0.62))

    for side in SIDES:
        if facing(head, f"{side}_ear") < 0.25:
            ear(side)
    _cast_skull(canvas, value, look, head, centre, axes)
    for side in SIDES:
        if facing(head, f"{side}_ear") >= 0.25:
            ear(side)

    if stature < _FACELESS_BELOW:
        return
    skin, dark = look.skin, brighter(look.hair, 0.9)
    for side, sign in SIDES.items():
        turned = facing(head, f"{side}_eye")
        if turned < 0.12:
            continue
        narrow = head[:2, 0] * axes[0] * max(0.45, turned)
        upward = head[:2, 1] * axes[1]
        eye = FACE[f"{side}_eye"]
        ellipse(eye, narrow * 0.23, upward * 0.105, (238, 240, 240))
        ellipse(eye, narrow * 0.11, upward * 0.10, (30, 32, 36))
        brow = [np.array([sign * x, y, 0.9]) for x, y in ((0.16, 0.25), (0.36, 0.31), (0.58, 0.24))]
        stroke(brow, dark if look.head != "bald" else brighter(skin, 0.5), 0.07)
    if head[2, 2] > -0.25:
        bridge, tip = np.array([0.0, 0.12, 0.98]), FACE["nose"]
        wings = [np.array([sign * 0.14, -0.27, 0.97]) for sign in SIDES.values()]
        shape = np.rint(project(np.array([bridge, wings[0], tip, wings[1]])) * (1 << SUBPIXEL_BITS)).astype(np.int32)
        cv2.fillConvexPoly(colours, cv2.convexHull(shape), brighter(skin, 0.9), cv2.LINE_8, SUBPIXEL_BITS)
        cv2.fillConvexPoly(labels, cv2.convexHull(shape), value, cv2.LINE_8, SUBPIXEL_BITS)
        stroke([wings[0], np.array([0.0, -0.30, 1.08]), wings[1]], brighter(skin, 0.62), 0.05)
        stroke([bridge, tip], brighter(skin, 1.1), 0.05)
    if head[2, 2] > 0.1:
        lips = mix(brighter(skin, 0.62), (70, 60, 170), 0.45)
        stroke(
            [np.array([x, y, z]) for x, y, z in ((-0.3, -0.5, 0.8), (0.0, -0.55, 0.86), (0.3, -0.5, 0.8))],
            lips,
            0.1,
        )
    if look.head == "cap" and head[2, 2] > -0.75:
        sweep = np.linspace(-1.2, 1.2, 9)
        inner = np.stack([np.sin(sweep) * 0.98, np.full(9, 0.36), np.cos(sweep) * 0.95], axis=-1)
        outer = np.stack([np.sin(sweep) * 0.98, np.full(9, 0.27), np.cos(sweep) * 0.95 + 0.65], axis=-1)
        peak = np.rint(project(np.concatenate([inner, outer[::-1]])) * (1 << SUBPIXEL_BITS)).astype(np.int32)
        cv2.fillPoly(colours, [peak], brighter(look.hat, 0.72), cv2.LINE_8, SUBPIXEL_BITS)
        cv2.fillPoly(labels, [peak], value - PART_LABELS["head"] + PART_LABELS["hair"], cv2.LINE_8, SUBPIXEL_BITS)


def _cast_skull(canvas: Canvas, value: int, look: Look, head: Array, centre: Array, axes: Array) -> None:
    """Intersect the line of sight of each pixel with the ellipsoid of the head; colour by place and light."""
    light = canvas.light
    reach = float(axes.max()) * 1.05
    x0, y0 = max(0, math.floor(centre[0] - reach)), max(0, math.floor(centre[1] - reach))
    x1, y1 = (
        min(canvas.labels.shape[1], math.ceil(centre[0] + reach)),
        min(canvas.labels.shape[0], math.ceil(centre[1] + reach)),
    )
    if x1 <= x0 or y1 <= y0:
        return
    x = (np.arange(x0, x1) - centre[0]).astype(np.float32)[None, None, :]
    y = (np.arange(y0, y1) - centre[1]).astype(np.float32)[None, :, None]
    scaled = (head / axes).astype(np.float32)  # rows: image axes; columns: the head's, in half axes
    start = scaled[0][:, None, None] * x + scaled[1][:, None, None] * y
    # A jaw is narrower than a skull: below the eyes, the same column lies further out.
    start[0] *= 1 + 0.22 * np.clip(-start[1], 0, 1) ** 1.5
    ray = scaled[2]
    square, cross = float(ray @ ray), np.tensordot(ray, start, 1)
    inside = cross**2 - square * (np.sum(start * start, axis=0) - 1)
    mask = (inside > 0).astype(np.uint8)
    place = start + ray[:, None, None] * ((np.sqrt(np.maximum(inside, 0)) - cross) / square)
    left, up, forward = place
    shade = np.tensordot((light.towards @ head).astype(np.float32), place, 1)
    shade = 1 + light.contrast * (0.30 * shade - 0.18)

    style = look.head
    hairline = np.interp(forward, [-0.9, -0.3, -0.05, 0.25, 0.7, 1.0], [-0.62, -0.45, 0.0, 0.42, 0.55, 0.6])
    if style == "bald":
        hairline += 0.0 if look.build.girth > 1.05 else 2.0
        covered = (up > hairline) & (up < 0.25) & (forward < 0.3)
    else:
        covered = up > hairline - (0.25 if style == "long" else 0.0) * (np.abs(left) > 0.6)
    strands = 0.96 + 0.07 * np.sin(left * 23 + up * 5)
    colours = np.empty((*shade.shape, 3), np.float32)
    hat = (up > np.where(forward > 0, 0.34, 0.12)) if style == "cap" else None
    for channel in range(3):
        tone = np.where(covered, look.hair[channel] * strands, look.skin[channel])
        if hat is not None:
            tone = np.where(hat, look.hat[channel], tone)
        colours[..., channel] = tone * shade
    pixels = cv2.convertScaleAbs(colours)
    cv2.copyTo(pixels, mask, canvas.colours[y0:y1, x0:x1])
    window = canvas.labels[y0:y1, x0:x1]
    window[mask > 0] = value
