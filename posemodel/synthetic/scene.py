"""Rendering of one image: background, clutter, overlapping people, objects in front of them, and COCO annotations."""

from statistics import NormalDist
from typing import Any

import cv2
import numpy as np

from posemodel.synthetic.annotate import annotate, crop, owner_mask, window
from posemodel.synthetic.canvas import LABEL, OWNERS, Canvas, Light
from posemodel.synthetic.figure import Array
from posemodel.synthetic.person import Person
from posemodel.synthetic.props import background, chair, clutter, occlude, random_colour, shadow

SIZES: tuple[tuple[int, int], ...] = ((320, 240), (240, 320), (288, 288), (288, 288), (288, 288), (304, 272))
"""Sizes (width, height) in pixels to choose from if none is given; square ones fill a square network input best."""

PEOPLE_SHARES = (0.51, 0.13, 0.28, 0.05, 0.03)
"""Shares of images with 1, 2, ... 5 people: 36 % have three or more."""

CROWD_SHARE = 0.05
"""Share of images with a distant crowd."""
TINY_SHARE = 0.06
"""Share of images with a person too small for keypoints."""

HEIGHTS_FEW, HEIGHTS_MANY, HEIGHTS_FAR = (0.6, 1.0), (0.5, 0.95), (0.2, 0.38)
"""Ranges of standing height as a share of the image's height: with few people, with many, and far away."""

MANY = 3
"""Minimum number of people for which ``HEIGHTS_MANY`` applies."""
FAR_SHARE = 0.08
"""Share of people who are far away."""

HUDDLED_SHARE = 0.2
"""Share of images whose people stand so close that they hide parts of each other; elsewhere they are spread out."""

CUT_SHARE = 0.12
"""Share of people who are cut by the border of the image."""

OCCLUDER_SHARE = 0.34
"""Share of people with an object in front of them."""

MIN_VISIBLE_SHARE = 0.2
"""Visible share (of the part inside the image) below which a person has a segmentation but no keypoints."""

_NORMAL_QUANTILES = np.array([NormalDist().inv_cdf((byte + 0.5) / 256) for byte in range(256)])
"""Table from uniform random bytes to normal deviates; drawing these directly takes many times longer."""

CROWD_OWNER = OWNERS - 1
"""Owner number of the crowd; five people and one tiny person have the numbers below."""


def render_image(
    rng: np.random.Generator, *, size: tuple[int, int] | None = None
) -> tuple[np.ndarray, list[dict[str, Any]]]:
    """Render one image and its annotations.

    Args:
        rng: Random generator, the only source of randomness; the same state gives the same image.
        size: (width, height) in pixels; None: one of ``SIZES``.

    Returns:
        The image, uint8 (height, width, 3) in BGR, and COCO annotations without ``id`` and ``image_id``.
    """
    width, height = size if size is not None else SIZES[rng.integers(len(SIZES))]
    towards = np.array([rng.uniform(-0.9, 0.9), rng.uniform(-1.0, -0.2), rng.uniform(0.4, 0.9)])
    light = Light(towards / np.linalg.norm(towards), rng.uniform(0.6, 1.35))
    horizon = height * rng.uniform(0.3, 0.7)
    canvas = Canvas(background(rng, width, height, horizon), light)
    clutter(rng, canvas, width, height, horizon)

    with_crowd = rng.random() < CROWD_SHARE
    if with_crowd:
        _draw_crowd(rng, canvas, width, height)
    count = 1 + int(rng.choice(len(PEOPLE_SHARES), p=PEOPLE_SHARES))
    people = _place_people(rng, count, width, height)
    if rng.random() < TINY_SHARE:
        tall = rng.uniform(0.07, 0.11) * height
        people.insert(0, Person.sample(rng, tall, (rng.uniform(0.05, 0.95) * width, rng.uniform(0.4, 0.8) * height)))
    drawn_areas = []
    for owner, person in enumerate(people, start=1):
        shadow(canvas, person)
        seat = person.pose.seated and rng.random() < 0.8
        cloth = random_colour(rng)
        if seat:
            chair(canvas, person, cloth, front=False)
        person.draw(canvas, owner)
        surroundings = crop(canvas.pixels, window(person, width, height))
        drawn_areas.append(cv2.countNonZero(owner_mask(cv2.extractChannel(surroundings, LABEL), owner)))
        if seat and person.from_behind:
            chair(canvas, person, cloth, front=True)
        if rng.random() < OCCLUDER_SHARE:
            occlude(rng, canvas, person)

    labels = cv2.extractChannel(canvas.pixels, LABEL)
    annotations = []
    for owner, (person, drawn_area) in enumerate(zip(people, drawn_areas, strict=True), start=1):
        inside = window(person, width, height)
        visible = owner_mask(crop(labels, inside), owner)
        annotation = annotate(visible, inside[0], inside[1])
        if annotation is None:
            continue
        visible_area = cv2.countNonZero(visible)
        keypoints = np.zeros((17, 3))
        if person.stature >= 0.12 * height and visible_area >= MIN_VISIBLE_SHARE * drawn_area:
            keypoints = person.keypoints(labels, owner)
            if not (keypoints[:, 2] == 2).any():
                keypoints[:] = 0
        annotation["keypoints"] = [int(value) if value == int(value) else float(value) for value in keypoints.ravel()]
        annotation["num_keypoints"] = int((keypoints[:, 2] > 0).sum())
        annotations.append(annotation)
    if with_crowd:
        crowd = annotate(owner_mask(labels, CROWD_OWNER), 0, 0, crowd=True)
        if crowd is not None:
            annotations.append(crowd)
    return _photograph(rng, canvas, width, height), annotations


# --- positions of the people ----------------------------------------------------------------------------------------


def _place_people(rng: np.random.Generator, count: int, width: int, height: int) -> list[Person]:
    """Make the people of an image, ordered from far to near."""
    people: list[Person] = []
    huddled = rng.random() < HUDDLED_SHARE
    for column in rng.permutation(count):
        far = rng.random() < FAR_SHARE
        stature = height * rng.uniform(*(HEIGHTS_FAR if far else HEIGHTS_MANY if count >= MANY else HEIGHTS_FEW))
        if people and huddled:
            x = people[-1].feet[0] + rng.choice([-1, 1]) * rng.uniform(0.2, 0.45) * stature
        else:
            x = width * (column + 0.5 + rng.uniform(-0.3, 0.3)) / count
        x = min(max(x, 0.05 * width), 0.95 * width)
        room = height - stature
        y = stature + room * rng.uniform(0.2, 0.95) if room > 0 else height * 0.99
        person = Person.sample(rng, stature, (x, y))
        left, top, right, bottom = person.bounds()
        dx = dy = 0.0
        if rng.random() < CUT_SHARE:
            edge = rng.integers(3)
            if edge == 0:
                dx = -left - rng.uniform(0.2, 0.5) * (right - left)
            elif edge == 1:
                dx = width - right + rng.uniform(0.2, 0.5) * (right - left)
            else:
                dy = height - bottom + rng.uniform(0.15, 0.5) * (bottom - top)
        else:
            margin = 0.06 * stature  # the share of the margin of ``bounds`` that may be cut
            dx = max(0.0, -left - margin) - max(0.0, right - margin - width)
            dy = max(0.0, -top - margin)
        person.move(dx, dy)
        people.append(person)
    return sorted(people, key=lambda person: person.feet[1])


def _draw_crowd(rng: np.random.Generator, canvas: Canvas, width: int, height: int) -> None:
    """Draw a row of small, distant people, who share one annotation."""
    tall = height * rng.uniform(0.11, 0.17)
    base = height * rng.uniform(0.3, 0.55)
    start = width * rng.uniform(0.0, 0.5)
    for index in range(int(rng.integers(6, 11))):
        x = start + tall * (0.28 * index + rng.uniform(-0.1, 0.1))
        person = Person.sample(rng, tall * rng.uniform(0.85, 1.1), (x, base + tall * rng.uniform(0.8, 1.1)))
        person.draw(canvas, CROWD_OWNER)


def _photograph(rng: np.random.Generator, canvas: Canvas, width: int, height: int) -> Array:
    """Average the canvas down to the image, and add blur, uneven light, noise, contrast and brightness."""
    image = cv2.cvtColor(cv2.resize(canvas.pixels, (width, height), interpolation=cv2.INTER_AREA), cv2.COLOR_BGRA2BGR)
    sigma = rng.uniform(0, 0.9)
    if sigma > 0.3:
        image = cv2.GaussianBlur(image, (5, 5), sigma)
    towards = canvas.light.towards
    ramp_x = np.linspace(-1, 1, width, dtype=np.float32) * np.float32(towards[0])
    ramp_y = np.linspace(-1, 1, height, dtype=np.float32) * np.float32(towards[1])
    gain = np.float32(rng.uniform(0.75, 1.2)) + np.float32(rng.uniform(0, 0.18)) * (ramp_x[None, :] + ramp_y[:, None])
    strength = rng.uniform(0.5, 7)
    # All in bytes, for speed: gains are in units of 1/100, and 128 stands for no noise.
    gains = [cv2.convertScaleAbs(gain, alpha=100 * (1 + tint)) for tint in rng.normal(0, 0.035, 3)]
    lit = cv2.multiply(image, cv2.merge(gains), scale=1 / 100)
    uniform = np.frombuffer(rng.bytes(width * height), np.uint8).reshape(height, width)
    noise = cv2.LUT(uniform, np.rint(128 + strength * _NORMAL_QUANTILES).astype(np.uint8))
    return cv2.addWeighted(lit, 1, cv2.cvtColor(noise, cv2.COLOR_GRAY2BGR), 1, -128)
