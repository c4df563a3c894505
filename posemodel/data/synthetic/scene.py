"""One image: a background with clutter, people who hide each other, things in front of them, and COCO annotations."""

import math
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np

from posemodel.data.synthetic.figure import Array
from posemodel.data.synthetic.person import LABELS_PER_PERSON, SUPERSAMPLING, Colour, Light, Person, fixed_point
from posemodel.data.synthetic.person import SUBPIXEL_BITS as BITS

SIZES: tuple[tuple[int, int], ...] = ((320, 240), (320, 240), (240, 320), (320, 214), (320, 320), (288, 216))
"""(width, height) of images whose size is left open: about half of COCO's, in its usual aspects."""

PEOPLE_SHARES = (0.26, 0.26, 0.22, 0.15, 0.11)
"""How often an image holds 1, 2, ... 5 people: 48 % have three or more."""

CROWD_SHARE = 0.07
TINY_SHARE = 0.12
"""Share of images with a crowd far away, and with a person too small to annotate joints."""

HEIGHTS = (0.24, 1.0)
"""Standing height of people as a share of the image's height; poses lower it to some 20..95 %."""

BESIDE_SHARE = 0.4
"""Share of people (after the first) who stand close to the one before, so that one hides part of the other."""

CUT_SHARE = 0.16
"""Share of people whom the border of the image cuts."""

OCCLUDER_SHARE = 0.3
"""Share of people who have something stand in front of them."""

MIN_VISIBLE_SHARE = 0.2
"""A person of whom less is seen (of what lies inside the image) keeps the segment and loses the keypoints."""

_CROWD_OWNER = 60
_POLYGON_TOLERANCE = 0.5
"""Image pixels by which a simplified polygon may leave the outline of the mask."""


@dataclass
class _Canvas:
    """Colours (H, W, 3) uint8 and labels (H, W) uint16, both supersampled, and the light."""

    colours: Array
    labels: Array
    light: Light

    def fill(self, points: Array, colour: Colour, *, covers: bool = True) -> None:
        """Fill a polygon of image pixels (N, 2); ``covers``: it hides the people drawn so far."""
        fixed = [fixed_point(np.asarray(points, float))]
        cv2.fillPoly(self.colours, fixed, colour, cv2.LINE_8, BITS)
        if covers:
            cv2.fillPoly(self.labels, fixed, 0, cv2.LINE_8, BITS)


def render_image(
    rng: np.random.Generator, *, size: tuple[int, int] | None = None
) -> tuple[np.ndarray, list[dict[str, Any]]]:
    """Render one image and its annotations.

    Args:
        rng: the only source of randomness; the same state gives the same image.
        size: (width, height) in pixels; None: one of ``SIZES``.

    Returns:
        The image, uint8 (height, width, 3) in BGR, and COCO annotations without ``id`` and ``image_id``.
    """
    width, height = size if size is not None else SIZES[rng.integers(len(SIZES))]
    towards = np.array([rng.uniform(-0.9, 0.9), rng.uniform(-1.0, -0.2), rng.uniform(0.4, 0.9)])
    light = Light(towards / np.linalg.norm(towards), rng.uniform(0.6, 1.35))
    horizon = height * rng.uniform(0.3, 0.7)
    colours = _background(rng, width, height, horizon)
    canvas = _Canvas(colours, np.zeros(colours.shape[:2], np.uint16), light)
    _clutter(rng, canvas, width, height, horizon)

    with_crowd = rng.random() < CROWD_SHARE
    if with_crowd:
        _draw_crowd(rng, canvas, width, height)
    count = 1 + int(rng.choice(len(PEOPLE_SHARES), p=PEOPLE_SHARES))
    people = _place_people(rng, count, width, height)
    if rng.random() < TINY_SHARE:
        tall = rng.uniform(0.07, 0.11) * height
        people.insert(0, Person.sample(rng, tall, (rng.uniform(0.05, 0.95) * width, rng.uniform(0.4, 0.8) * height)))
    drawn_pixels = []
    for owner, person in enumerate(people, start=1):
        _shadow(canvas, person)
        seat = person.pose.seated and rng.random() < 0.8
        cloth = _random_colour(rng)
        if seat:
            _chair(canvas, person, cloth, front=False)
        person.draw(canvas.colours, canvas.labels, owner, light)
        drawn_pixels.append(cv2.countNonZero(_owned(_crop(canvas.labels, _window(person, width, height)), owner)))
        if seat and person.from_behind:
            _chair(canvas, person, cloth, front=True)
        if rng.random() < OCCLUDER_SHARE:
            _occlude(rng, canvas, person)

    annotations = []
    for owner, (person, drawn) in enumerate(zip(people, drawn_pixels, strict=True), start=1):
        window = _window(person, width, height)
        owned = _owned(_crop(canvas.labels, window), owner)
        annotation = _annotate(owned, window[0], window[1])
        if annotation is None:
            continue
        seen = cv2.countNonZero(owned)
        keypoints = np.zeros((17, 3))
        if person.stature >= 0.12 * height and seen >= MIN_VISIBLE_SHARE * drawn:
            keypoints = person.keypoints(canvas.labels, owner)
            if not (keypoints[:, 2] == 2).any():
                keypoints[:] = 0
        annotation["keypoints"] = [int(value) if value == int(value) else float(value) for value in keypoints.ravel()]
        annotation["num_keypoints"] = int((keypoints[:, 2] > 0).sum())
        annotations.append(annotation)
    if with_crowd:
        crowd = _annotate(_owned(canvas.labels, _CROWD_OWNER), 0, 0, crowd=True)
        if crowd is not None:
            annotations.append(crowd)
    return _photograph(rng, canvas, width, height), annotations


# --- who stands where -----------------------------------------------------------------------------------------------


def _place_people(rng: np.random.Generator, count: int, width: int, height: int) -> list[Person]:
    """Place people in the image, ordered from far to near."""
    people: list[Person] = []
    for _ in range(count):
        if people and rng.random() < BESIDE_SHARE:
            beside = people[-1]
            stature = float(np.clip(beside.stature * rng.uniform(0.8, 1.3), HEIGHTS[0] * height, HEIGHTS[1] * height))
            x = beside.feet[0] + rng.choice([-1, 1]) * rng.uniform(0.2, 0.55) * stature
        else:
            stature = height * rng.uniform(*HEIGHTS)
            x = width * rng.uniform(0.08, 0.92)
        x = min(max(x, 0.05 * width), 0.95 * width)
        room = height - stature
        y = stature + room * rng.uniform(0.1, 0.95) if room > 0 else height * 0.99
        person = Person.sample(rng, stature, (x, y))
        left, top, right, bottom = person.bounds()
        dx = dy = 0.0
        if rng.random() < CUT_SHARE:
            edge = rng.integers(3)
            if edge == 0:
                dx = -left - rng.uniform(0.2, 0.6) * (right - left)
            elif edge == 1:
                dx = width - right + rng.uniform(0.2, 0.6) * (right - left)
            else:
                dy = height - bottom + rng.uniform(0.15, 0.55) * (bottom - top)
        else:
            margin = 0.06 * stature  # of the room that ``bounds`` leaves
            dx = max(0.0, -left - margin) - max(0.0, right - margin - width)
            dy = max(0.0, -top - margin)
        person.move(dx, dy)
        people.append(person)
    return sorted(people, key=lambda person: person.feet[1])


def _draw_crowd(rng: np.random.Generator, canvas: _Canvas, width: int, height: int) -> None:
    """Draw small people in a row far away; together they are one annotation."""
    tall = height * rng.uniform(0.11, 0.17)
    base = height * rng.uniform(0.3, 0.55)
    start = width * rng.uniform(0.0, 0.5)
    for index in range(int(rng.integers(6, 11))):
        x = start + tall * (0.28 * index + rng.uniform(-0.1, 0.1))
        person = Person.sample(rng, tall * rng.uniform(0.85, 1.1), (x, base + tall * rng.uniform(0.8, 1.1)))
        person.draw(canvas.colours, canvas.labels, _CROWD_OWNER, canvas.light)


# --- the scene ------------------------------------------------------------------------------------------------------


def _random_colour(rng: np.random.Generator, low: float = 25, high: float = 235) -> Colour:
    grey = rng.uniform(low, high)
    blue, green, red = np.clip(grey + rng.normal(0, 22, 3), 0, 255)
    return (float(blue), float(green), float(red))


def _background(rng: np.random.Generator, width: int, height: int, horizon: float) -> Array:
    """Wall or sky above, floor or ground below: gradients with coarse and fine texture, on the supersampled canvas."""
    rows = np.arange(height, dtype=np.float32)[:, None]
    above = [np.array(_random_colour(rng, 60, 240), np.float32) for _ in range(2)]
    below = [np.array(_random_colour(rng, 40, 200), np.float32) for _ in range(2)]
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
    image = cv2.resize(texture, (width, height), interpolation=cv2.INTER_CUBIC)
    image += column[:, None]
    image = cv2.add(image, 0, dtype=cv2.CV_8U)  # saturates
    if rng.random() < 0.35:  # planks, tiles or bricks
        period = rng.integers(8, 40)
        joints = [image[round(horizon) :: period]]
        if rng.random() < 0.5:
            joints.append(image[:, :: int(period * rng.uniform(0.8, 2))])
        for joint in joints:
            joint[:] = (joint * rng.uniform(0.75, 0.92)).astype(np.uint8)
    return cv2.resize(image, None, fx=SUPERSAMPLING, fy=SUPERSAMPLING, interpolation=cv2.INTER_LINEAR)


def _clutter(rng: np.random.Generator, canvas: _Canvas, width: int, height: int, horizon: float) -> None:
    """Things behind the people: boxes, windows, poles, foliage, balls, and bent sticks of skin and cloth colours."""
    for _ in range(int(rng.integers(1, 9))):
        kind = rng.integers(6)
        x, base = width * rng.uniform(0, 1), horizon + (height - horizon) * rng.uniform(-0.15, 0.5)
        tall = height * rng.uniform(0.08, 0.5)
        colour = _random_colour(rng)
        if kind == 0:
            _box(rng, canvas, x, base, tall * rng.uniform(0.4, 1.6), tall, colour, covers=False)
        elif kind == 1:  # a window or a picture
            w, y = tall * rng.uniform(0.5, 1.3), horizon * rng.uniform(0.1, 0.5)
            frame = _rectangle(x, y, w, tall * 0.7)
            canvas.fill(frame, colour, covers=False)
            canvas.fill(frame * 0.86 + frame.mean(0) * 0.14, _random_colour(rng, 120, 250), covers=False)
        elif kind == 2:  # a pole or trunk
            half = width * rng.uniform(0.005, 0.022)
            canvas.fill(_stick([(x, -5), (x + rng.normal(0, 6), base)], half, half), colour, covers=False)
        elif kind == 3:
            _foliage(rng, canvas, x, base, tall * 0.5, covers=False)
        elif kind == 4:  # a ball or lamp where a head could be
            radius = height * rng.uniform(0.02, 0.06)
            angles = np.linspace(0, 2 * math.pi, 20)
            circle = np.stack([x + radius * np.cos(angles), base - tall + radius * np.sin(angles)], axis=-1)
            canvas.fill(circle, colour, covers=False)
            canvas.fill(circle * 0.6 + (circle.mean(0) - radius * 0.2) * 0.4, _brighter(colour, 1.2), covers=False)
        else:  # what resembles an arm or a leg
            for _ in range(int(rng.integers(1, 4))):
                length, heading = height * rng.uniform(0.05, 0.16), rng.uniform(0, 2 * math.pi)
                start = np.array([width * rng.uniform(0, 1), height * rng.uniform(0.1, 0.9)])
                middle = start + length * np.array([math.cos(heading), math.sin(heading)])
                heading += rng.uniform(-1.4, 1.4)
                end = middle + length * np.array([math.cos(heading), math.sin(heading)])
                thick = length * rng.uniform(0.08, 0.18)
                skin = (rng.uniform(60, 170), rng.uniform(90, 195), rng.uniform(130, 230))
                tone = skin if rng.random() < 0.5 else _random_colour(rng)
                for part in ((start, middle), (middle, end)):
                    canvas.fill(_stick(part, thick, thick * 0.8), _brighter(tone, 0.75), covers=False)
                    canvas.fill(_stick(part, thick * 0.6, thick * 0.45), tone, covers=False)


def _occlude(rng: np.random.Generator, canvas: _Canvas, person: Person) -> None:
    """Put something in front of a person: a box, a table, a pole, a bush, a ball or a board before the chest."""
    kind = rng.integers(6)
    tall, colour = person.stature, _random_colour(rng)
    names = ("left_knee", "right_knee", "left_hip", "right_hip", "left_elbow", "right_elbow", "collar", "left_ankle")
    target = person.at[names[rng.integers(len(names))]]
    floor = person.feet[1] + 0.02 * tall
    if kind == 0:
        _box(rng, canvas, target[0], floor, tall * rng.uniform(0.2, 0.5), tall * rng.uniform(0.15, 0.4), colour)
    elif kind == 1:
        half, top = tall * rng.uniform(0.25, 0.5), floor - tall * rng.uniform(0.3, 0.45)
        canvas.fill(_rectangle(target[0], top, 2 * half, 0.04 * tall), _brighter(colour, 1.2))
        for leg in (-0.9, 0.86):
            canvas.fill(_rectangle(target[0] + leg * half, top, 0.035 * tall, floor - top), _brighter(colour, 0.7))
    elif kind == 2:
        half = tall * rng.uniform(0.012, 0.04)
        x = target[0] + rng.normal(0, 0.03) * tall
        ends = [(x, -5), (x + rng.normal(0, 0.04) * tall, floor)]
        canvas.fill(_stick(ends, half, half), _brighter(colour, 0.8))
        canvas.fill(_stick(ends, half * 0.5, half * 0.5), colour)
    elif kind == 3:
        _foliage(rng, canvas, target[0], floor, tall * rng.uniform(0.1, 0.22))
    else:  # something carried: a ball, a bag, a board
        wrist = person.at["left_wrist" if rng.random() < 0.5 else "right_wrist"]
        size = tall * rng.uniform(0.04, 0.09)
        turned = rng.uniform(0, math.pi)
        angles = turned + (np.linspace(0, 2 * math.pi, 18) if kind == 4 else np.array([0.7, 2.4, 3.8, 5.5]))
        outline = wrist + size * np.stack([np.cos(angles), np.sin(angles)], axis=-1)
        canvas.fill(outline, _brighter(colour, 0.8))
        canvas.fill(outline * 0.75 + outline.mean(0) * 0.25, colour)


def _brighter(colour: Colour, factor: float) -> Colour:
    return (min(colour[0] * factor, 255.0), min(colour[1] * factor, 255.0), min(colour[2] * factor, 255.0))


def _rectangle(x: float, top: float, wide: float, tall: float) -> Array:
    """Corners of an upright rectangle that is centred on ``x``."""
    half = wide / 2
    return np.array([[x - half, top], [x + half, top], [x + half, top + tall], [x - half, top + tall]])


def _stick(ends: Any, half_start: float, half_end: float) -> Array:
    """Outline of a straight tapered stick with rounded ends."""
    start, end = np.asarray(ends[0], float), np.asarray(ends[1], float)
    along = end - start
    along /= max(float(np.hypot(*along)), 1e-6)
    angles = np.linspace(-math.pi / 2, math.pi / 2, 7)[:, None]
    across = np.array([-along[1], along[0]])
    tip = end + half_end * (np.cos(angles) * along + np.sin(angles) * across)
    tail = start + half_start * (-np.cos(angles) * along - np.sin(angles) * across)
    return np.concatenate([tip, tail])


def _box(
    rng: np.random.Generator,
    canvas: _Canvas,
    x: float,
    base: float,
    wide: float,
    tall: float,
    colour: Colour,
    *,
    covers: bool = True,
) -> None:
    """Draw a crate or cupboard: a front with a line or two, a lighter top, a darker side."""
    skew = rng.uniform(-0.25, 0.25) * wide
    depth = 0.12 * tall
    left, right, top = x - wide / 2, x + wide / 2, base - tall
    canvas.fill(np.array([[left, top], [right, top], [right, base], [left, base]]), colour, covers=covers)
    lid = np.array([[left, top], [right, top], [right + skew, top - depth], [left + skew, top - depth]])
    canvas.fill(lid, _brighter(colour, 1.2), covers=covers)
    edge, shift = (right, skew) if skew > 0 else (left, skew)
    side = np.array([[edge, top], [edge + shift, top - depth], [edge + shift, base - depth], [edge, base]])
    canvas.fill(side, _brighter(colour, 0.65), covers=covers)
    for share in rng.uniform(0.2, 0.8, int(rng.integers(0, 3))):
        shelf = _rectangle(x, top + share * tall, wide * 0.9, max(0.02 * tall, 0.6))
        canvas.fill(shelf, _brighter(colour, 0.75), covers=covers)


def _foliage(
    rng: np.random.Generator, canvas: _Canvas, x: float, base: float, radius: float, *, covers: bool = True
) -> None:
    """Draw a bush of overlapping leaves."""
    green = np.array([rng.uniform(20, 80), rng.uniform(70, 150), rng.uniform(30, 100)])
    leaves = 9
    angles = rng.uniform(0, 2 * math.pi, leaves)
    spread = radius * np.sqrt(rng.uniform(0, 1, leaves))
    turn = np.linspace(0, 2 * math.pi, 9)[:-1]
    for angle, out in zip(angles, spread, strict=True):
        centre = np.array([x + out * math.cos(angle), base - radius + out * math.sin(angle)])
        ragged = radius * rng.uniform(0.3, 0.6, 8)
        tone = green * rng.uniform(0.6, 1.3)
        outline = centre + ragged[:, None] * np.stack([np.cos(turn), np.sin(turn)], axis=-1)
        canvas.fill(outline, (float(tone[0]), float(tone[1]), float(tone[2])), covers=covers)


def _chair(canvas: _Canvas, person: Person, colour: Colour, *, front: bool) -> None:
    """Draw a seat and legs under a seated person, and a back rest: before the person in a view from behind."""
    tall = person.stature
    x, y = person.at["pelvis"]
    y += 0.055 * tall
    wide = 0.25 * tall
    if not front:
        for leg in (-0.45, 0.45):
            canvas.fill(_rectangle(x + leg * wide, y, 0.02 * tall, person.feet[1] - y), _brighter(colour, 0.6))
        canvas.fill(_rectangle(x, y, wide, 0.045 * tall), colour)
    else:
        canvas.fill(_rectangle(x, y - 0.2 * tall, wide, 0.11 * tall), _brighter(colour, 0.9))
        for post in (-0.45, 0.45):
            canvas.fill(_rectangle(x + post * wide, y - 0.2 * tall, 0.02 * tall, 0.24 * tall), _brighter(colour, 0.7))


def _shadow(canvas: _Canvas, person: Person) -> None:
    """Darken the ground around the feet."""
    x, y = (np.array(person.feet) * SUPERSAMPLING).tolist()
    wide, tall = 0.2 * person.stature * SUPERSAMPLING, 0.03 * person.stature * SUPERSAMPLING
    x0, x1 = max(0, round(x - wide)), min(canvas.colours.shape[1], round(x + wide))
    y0, y1 = max(0, round(y - tall)), min(canvas.colours.shape[0], round(y + tall))
    if x1 - x0 < 2 or y1 - y0 < 2:
        return
    columns, rows = (np.arange(x0, x1) - x) / wide, (np.arange(y0, y1) - y) / tall
    inside = np.clip(1 - columns[None, :] ** 2 - rows[:, None] ** 2, 0, 1)
    window = canvas.colours[y0:y1, x0:x1]
    ground = canvas.labels[y0:y1, x0:x1] == 0
    factor = 1 - 0.5 * inside * ground
    window[:] = (window * factor[..., None]).astype(np.uint8)


def _photograph(rng: np.random.Generator, canvas: _Canvas, width: int, height: int) -> Array:
    """Average the canvas down, then light falling off to one side, a little blur, noise, contrast and brightness."""
    image = cv2.resize(canvas.colours, (width, height), interpolation=cv2.INTER_AREA)
    sigma = rng.uniform(0, 0.9)
    if sigma > 0.3:
        image = cv2.GaussianBlur(image, (5, 5), sigma)
    towards = canvas.light.towards
    ramp_x = np.linspace(-1, 1, width, dtype=np.float32) * np.float32(towards[0])
    ramp_y = np.linspace(-1, 1, height, dtype=np.float32) * np.float32(towards[1])
    gain = np.float32(rng.uniform(0.75, 1.2)) + np.float32(rng.uniform(0, 0.18)) * (ramp_x[None, :] + ramp_y[:, None])
    strength = rng.uniform(0.5, 7)
    # In bytes throughout, for speed: gains in 1/100, noise around 128. The sum of two uniform bytes is near enough to
    # sensor noise, and many times faster than normal deviates.
    gains = [cv2.convertScaleAbs(gain, alpha=100 * (1 + tint)) for tint in rng.normal(0, 0.035, 3)]
    lit = cv2.multiply(image, cv2.merge(gains), scale=1 / 100)
    first, second = np.frombuffer(rng.bytes(2 * width * height), np.uint8).reshape(2, height, width)
    deviation = 104.5  # of that sum, whose mean is 255
    noise = cv2.addWeighted(first, strength / deviation, second, strength / deviation, 128 - 255 * strength / deviation)
    return cv2.addWeighted(lit, 1, cv2.merge([noise] * 3), 1, -128)


# --- annotations ----------------------------------------------------------------------------------------------------


def _owned(labels: Array, owner: int) -> Array:
    """Canvas pixels that show this owner: uint8, 255 or 0."""
    first = owner * LABELS_PER_PERSON
    return cv2.inRange(labels, first, first + LABELS_PER_PERSON - 1)


def _window(person: Person, width: int, height: int) -> tuple[int, int, int, int]:
    """Return the image pixels x0, y0, x1, y1 that hold all of a person inside the image."""
    left, top, right, bottom = person.bounds()
    x0, y0 = min(max(math.floor(left), 0), width - 1), min(max(math.floor(top), 0), height - 1)
    return x0, y0, min(max(math.ceil(right), x0 + 1), width), min(max(math.ceil(bottom), y0 + 1), height)


def _crop(labels: Array, window: tuple[int, int, int, int]) -> Array:
    x0, y0, x1, y1 = (edge * SUPERSAMPLING for edge in window)
    return labels[y0:y1, x0:x1]


def _annotate(owned: Array, left: int, top: int, *, crowd: bool = False) -> dict[str, Any] | None:
    """Segment, area, box and the rest of one annotation without keypoints; None if no pixel is seen.

    ``owned``: canvas pixels, from the image pixel (left, top) on; of a crowd all of the canvas.
    """
    size = (owned.shape[1] // SUPERSAMPLING, owned.shape[0] // SUPERSAMPLING)
    mask = (cv2.resize(owned, size, interpolation=cv2.INTER_AREA) >= 127).astype(np.uint8)  # half of the pixel
    x, y, wide, tall = cv2.boundingRect(mask)
    if wide == 0:
        return None
    inside = mask[y : y + tall, x : x + wide]
    x, y = x + left, y + top
    segmentation: Any = _run_lengths(mask) if crowd else _polygons(inside, x, y)
    if not segmentation:
        return None
    return {
        "segmentation": segmentation,
        "area": int(mask.sum()),
        "bbox": [x, y, wide, tall],
        "iscrowd": int(crowd),
        "category_id": 1,
        "keypoints": [0] * 51,
        "num_keypoints": 0,
    }


def _polygons(mask: Array, x: int, y: int) -> list[list[float]]:
    """Outlines of a mask along the edges of its pixels, where pixel i covers [i, i + 1].

    The contour is traced on a lattice of half pixels: pixel i is node 2i + 1, its edges are nodes 2i and 2i + 2.
    """
    lattice = np.zeros((2 * mask.shape[0] + 1, 2 * mask.shape[1] + 1), np.uint8)
    lattice[1::2, 1::2] = mask
    lattice = cv2.dilate(lattice, np.ones((3, 3), np.uint8))
    contours, _ = cv2.findContours(lattice, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    polygons = []
    for contour in contours:
        simple = cv2.approxPolyDP(contour, 2 * _POLYGON_TOLERANCE, True)[:, 0]
        if len(simple) >= 3:
            polygons.append((simple / 2 + (x, y)).ravel().tolist())
    return polygons


def _run_lengths(mask: Array) -> dict[str, Any]:
    """COCO's uncompressed RLE: lengths of runs down the columns, the first of them of zeros."""
    flat = mask.ravel(order="F")
    changes = np.flatnonzero(np.diff(flat)) + 1
    counts = np.diff(np.concatenate([[0], changes, [flat.size]])).tolist()
    return {"counts": [0, *counts] if flat[0] else counts, "size": list(mask.shape)}
