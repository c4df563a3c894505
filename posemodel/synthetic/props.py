"""Drawing of everything in a scene except people: background, clutter, chairs, shadows, objects in front of people."""

import math
from collections.abc import Sequence

import cv2
import numpy as np

from posemodel.synthetic.canvas import LABEL, SUPERSAMPLING, Canvas, Colour, Shape, brighter
from posemodel.synthetic.figure import Array
from posemodel.synthetic.person import Person


def _arc(start: float, stop: float, count: int) -> Array:
    """Return points (count, 2) of the unit circle, evenly spaced from one angle to another (radians)."""
    angles = np.linspace(start, stop, count)
    return np.array([np.cos(angles), np.sin(angles)]).T


_HALF_TURN = _arc(-math.pi / 2, math.pi / 2, 7)
_OCTAGON = _arc(0, 1.75 * math.pi, 8)
_CIRCLE = _arc(0, 2 * math.pi, 20)


def random_colour(rng: np.random.Generator, low: float = 25, high: float = 235) -> Colour:
    """Draw a random muted colour (BGR)."""
    grey = rng.uniform(low, high)
    blue, green, red = (min(max(grey + tint, 0.0), 255.0) for tint in rng.normal(0, 22, 3).tolist())
    return (blue, green, red)


def background(rng: np.random.Generator, width: int, height: int, horizon: float) -> Array:
    """Return canvas pixels of a wall or sky above a floor or ground: gradients with coarse and fine texture."""
    rows = np.arange(height, dtype=np.float32)[:, None]
    above = [np.array(random_colour(rng, 60, 240), np.float32) for _ in range(2)]
    below = [np.array(random_colour(rng, 40, 200), np.float32) for _ in range(2)]
    up = np.clip(rows / max(horizon, 1), 0, 1)
    down = np.clip((rows - horizon) / max(height - horizon, 1), 0, 1)
    column = np.where(rows < horizon, above[0] * (1 - up) + above[1] * up, below[0] * (1 - down) + below[1] * down)
    coarse, fine = int(rng.integers(3, 7)), int(rng.integers(16, 60))
    texture = np.zeros((fine, int(fine * rng.uniform(0.6, 2.5)), 3), np.float32)
    for cells, strength in ((coarse, rng.uniform(4, 24)), (fine, rng.uniform(2, 14))):
        coloured = rng.random() < 0.25
        across = max(2, round(cells * texture.shape[1] / fine))
        noise = rng.normal(0, strength * (0.5 if coloured else 1.0), (cells, across, 3 if coloured else 1))
        noise[: round(cells * horizon / height)] *= rng.uniform(0, 1)  # walls and skies are smoother than floors
        smooth = cv2.resize(noise.astype(np.float32), texture.shape[1::-1], interpolation=cv2.INTER_CUBIC)
        texture += smooth if coloured else smooth[..., None]
    # Bytes from here on, for speed: 128 stands for 0 in the texture. The fourth channel holds the labels, all 0.
    centred = cv2.add(texture, (128.0, 128.0, 128.0, 0.0), dtype=cv2.CV_8U)  # type: ignore[call-overload]  # stub: no scalars
    byte_texture: Array = cv2.cvtColor(centred, cv2.COLOR_BGR2BGRA)
    byte_texture[..., LABEL] = 0
    grain = cv2.resize(byte_texture, (width, height), interpolation=cv2.INTER_CUBIC)
    gradient = np.zeros((height, 1, 4), np.uint8)
    gradient[:, 0, :LABEL] = np.rint(column)
    image = cv2.addWeighted(np.repeat(gradient.view(np.uint32), width, 1).view(np.uint8), 1, grain, 1, -128)
    if rng.random() < 0.35:  # planks, tiles or bricks
        period = rng.integers(8, 40)
        joints = [image[round(horizon) :: period]]
        if rng.random() < 0.5:
            joints.append(image[:, :: int(period * rng.uniform(0.8, 2))])
        for joint in joints:
            joint[:] = (joint * rng.uniform(0.75, 0.92)).astype(np.uint8)
    return cv2.resize(image, None, fx=SUPERSAMPLING, fy=SUPERSAMPLING, interpolation=cv2.INTER_NEAREST)


def clutter(rng: np.random.Generator, canvas: Canvas, width: int, height: int, horizon: float) -> None:
    """Draw objects behind the people: boxes, windows, poles, foliage, balls, and bent sticks that resemble limbs."""
    for _ in range(int(rng.integers(1, 7))):
        kind = rng.integers(6)
        x, base = width * rng.uniform(0, 1), horizon + (height - horizon) * rng.uniform(-0.15, 0.5)
        tall = height * rng.uniform(0.08, 0.5)
        colour = random_colour(rng)
        if kind == 0:
            _box(rng, canvas, x, base, tall * rng.uniform(0.4, 1.6), tall, colour)
        elif kind == 1:  # a window or a picture
            w, y = tall * rng.uniform(0.5, 1.3), horizon * rng.uniform(0.1, 0.5)
            frame = _rectangle(x, y, w, tall * 0.7)
            canvas.fill(frame, colour)
            canvas.fill(frame * 0.86 + frame.mean(0) * 0.14, random_colour(rng, 120, 250))
        elif kind == 2:  # a pole or trunk
            half = width * rng.uniform(0.005, 0.022)
            canvas.fill(_stick([(x, -5), (x + rng.normal(0, 6), base)], half, half), colour)
        elif kind == 3:
            _foliage(rng, canvas, x, base, tall * 0.5)
        elif kind == 4:  # a ball or lamp where a head could be
            radius = height * rng.uniform(0.02, 0.06)
            circle = (x, base - tall) + radius * _CIRCLE
            canvas.fill(circle, colour)
            canvas.fill(circle * 0.6 + (circle.mean(0) - radius * 0.2) * 0.4, brighter(colour, 1.2))
        else:  # sticks that resemble an arm or a leg
            for _ in range(int(rng.integers(1, 4))):
                length, heading = height * rng.uniform(0.05, 0.16), rng.uniform(0, 2 * math.pi)
                start = np.array([width * rng.uniform(0, 1), height * rng.uniform(0.1, 0.9)])
                middle = start + length * np.array([math.cos(heading), math.sin(heading)])
                heading += rng.uniform(-1.4, 1.4)
                end = middle + length * np.array([math.cos(heading), math.sin(heading)])
                thick = length * rng.uniform(0.08, 0.18)
                skin = (rng.uniform(60, 170), rng.uniform(90, 195), rng.uniform(130, 230))
                tone = skin if rng.random() < 0.5 else random_colour(rng)
                for part in ((start, middle), (middle, end)):
                    canvas.fill(_stick(part, thick, thick * 0.8), brighter(tone, 0.75))
                    canvas.fill(_stick(part, thick * 0.6, thick * 0.45), tone)


def occlude(rng: np.random.Generator, canvas: Canvas, person: Person) -> None:
    """Draw an object in front of a person: a box, a table, a pole, a bush, or a ball or board at a hand."""
    kind = rng.integers(6)
    tall, colour = person.stature, random_colour(rng)
    names = ("left_knee", "right_knee", "left_hip", "right_hip", "left_elbow", "right_elbow", "collar", "left_ankle")
    target = person.at[names[rng.integers(len(names))]]
    floor = person.feet[1] + 0.02 * tall
    if kind == 0:
        _box(rng, canvas, target[0], floor, tall * rng.uniform(0.2, 0.5), tall * rng.uniform(0.15, 0.4), colour)
    elif kind == 1:
        half, top = tall * rng.uniform(0.25, 0.5), floor - tall * rng.uniform(0.3, 0.45)
        canvas.fill(_rectangle(target[0], top, 2 * half, 0.04 * tall), brighter(colour, 1.2))
        for leg in (-0.9, 0.86):
            canvas.fill(_rectangle(target[0] + leg * half, top, 0.035 * tall, floor - top), brighter(colour, 0.7))
    elif kind == 2:
        half = tall * rng.uniform(0.012, 0.04)
        x = target[0] + rng.normal(0, 0.03) * tall
        ends = [(x, -5), (x + rng.normal(0, 0.04) * tall, floor)]
        canvas.fill(_stick(ends, half, half), brighter(colour, 0.8))
        canvas.fill(_stick(ends, half * 0.5, half * 0.5), colour)
    elif kind == 3:
        _foliage(rng, canvas, target[0], floor, tall * rng.uniform(0.1, 0.22))
    else:  # a carried object: a ball, or a bag or board
        wrist = person.at["left_wrist" if rng.random() < 0.5 else "right_wrist"]
        size = tall * rng.uniform(0.04, 0.09)
        turned = rng.uniform(0, math.pi)
        angles = turned + (np.linspace(0, 2 * math.pi, 18) if kind == 4 else np.array([0.7, 2.4, 3.8, 5.5]))
        outline = wrist + size * np.stack([np.cos(angles), np.sin(angles)], axis=-1)
        canvas.fill(outline, brighter(colour, 0.8))
        canvas.fill(outline * 0.75 + outline.mean(0) * 0.25, colour)


def _rectangle(x: float, top: float, wide: float, tall: float) -> Array:
    """Return the corners of an upright rectangle centred on ``x``."""
    half = wide / 2
    return np.array([[x - half, top], [x + half, top], [x + half, top + tall], [x - half, top + tall]])


def _stick(ends: Sequence[Array | tuple[float, float]], half_start: float, half_end: float) -> Array:
    """Return the outline of a straight tapered stick with rounded ends."""
    start, end = np.asarray(ends[0], float), np.asarray(ends[1], float)
    along = end - start
    along /= max(float(np.hypot(*along)), 1e-6)
    across = np.array([-along[1], along[0]])
    cap = _HALF_TURN @ np.array([along, across])
    return np.concatenate([end + half_end * cap, start - half_start * cap])


def _box(
    rng: np.random.Generator,
    canvas: Canvas,
    x: float,
    base: float,
    wide: float,
    tall: float,
    colour: Colour,
) -> None:
    """Draw a crate or cupboard: a front with a line or two, a lighter top, a darker side."""
    skew = rng.uniform(-0.25, 0.25) * wide
    depth = 0.12 * tall
    left, right, top = x - wide / 2, x + wide / 2, base - tall
    canvas.fill(np.array([[left, top], [right, top], [right, base], [left, base]]), colour)
    lid = np.array([[left, top], [right, top], [right + skew, top - depth], [left + skew, top - depth]])
    canvas.fill(lid, brighter(colour, 1.2))
    edge, shift = (right, skew) if skew > 0 else (left, skew)
    side = np.array([[edge, top], [edge + shift, top - depth], [edge + shift, base - depth], [edge, base]])
    canvas.fill(side, brighter(colour, 0.65))
    for share in rng.uniform(0.2, 0.8, int(rng.integers(0, 3))):
        shelf = _rectangle(x, top + share * tall, wide * 0.9, max(0.02 * tall, 0.6))
        canvas.fill(shelf, brighter(colour, 0.75))


def _foliage(rng: np.random.Generator, canvas: Canvas, x: float, base: float, radius: float) -> None:
    """Draw a bush of overlapping leaves."""
    green = np.array([rng.uniform(20, 80), rng.uniform(70, 150), rng.uniform(30, 100)])
    leaves = 9
    angles = rng.uniform(0, 2 * math.pi, leaves)
    spread = radius * np.sqrt(rng.uniform(0, 1, leaves))
    centres = np.stack([x + spread * np.cos(angles), base - radius + spread * np.sin(angles)], axis=-1)
    outlines = centres[:, None] + radius * rng.uniform(0.3, 0.6, (leaves, 8))[..., None] * _OCTAGON
    tones = (green * rng.uniform(0.6, 1.3, leaves)[:, None]).tolist()
    canvas.draw([Shape(outline, (*tone,), 0, 0) for outline, tone in zip(outlines, tones, strict=True)])


def chair(canvas: Canvas, person: Person, colour: Colour, *, front: bool) -> None:
    """Draw seat and legs of a chair, behind a seated person, or, with ``front``, its back rest, in front of them."""
    tall = person.stature
    x, y = person.at["pelvis"]
    y += 0.055 * tall
    wide = 0.25 * tall
    if not front:
        for leg in (-0.45, 0.45):
            canvas.fill(_rectangle(x + leg * wide, y, 0.02 * tall, person.feet[1] - y), brighter(colour, 0.6))
        canvas.fill(_rectangle(x, y, wide, 0.045 * tall), colour)
    else:
        canvas.fill(_rectangle(x, y - 0.2 * tall, wide, 0.11 * tall), brighter(colour, 0.9))
        for post in (-0.45, 0.45):
            canvas.fill(_rectangle(x + post * wide, y - 0.2 * tall, 0.02 * tall, 0.24 * tall), brighter(colour, 0.7))


def shadow(canvas: Canvas, person: Person) -> None:
    """Darken the ground around a person's feet."""
    x, y = (np.array(person.feet) * SUPERSAMPLING).tolist()
    wide, tall = 0.2 * person.stature * SUPERSAMPLING, 0.03 * person.stature * SUPERSAMPLING
    x0, x1 = max(0, round(x - wide)), min(canvas.pixels.shape[1], round(x + wide))
    y0, y1 = max(0, round(y - tall)), min(canvas.pixels.shape[0], round(y + tall))
    if x1 - x0 < 2 or y1 - y0 < 2:
        return
    columns, rows = np.arange(x0, x1, dtype=np.float32), np.arange(y0, y1, dtype=np.float32)
    inside = np.clip(1 - ((columns - x) / wide)[None, :] ** 2 - ((rows - y) / tall)[:, None] ** 2, 0, 1)
    window = canvas.pixels[y0:y1, x0:x1]
    inside[window[..., LABEL] > 0] = 0
    remaining = cv2.convertScaleAbs(inside, alpha=-0.5 * 255, beta=255)
    dark = cv2.multiply(window, cv2.merge([remaining, remaining, remaining, remaining]), scale=1 / 255)
    dark[..., LABEL] = window[..., LABEL]
    window[:] = dark
