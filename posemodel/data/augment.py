"""One affine warp from image to network input (letterbox or augmentation), then colour.

Pixel centres are at integer coordinates, as in OpenCV: scaling by f maps x to (x + 0.5) * f - 0.5, and a flip of a
square of side s maps x to s - 1 - x.
"""

import math
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from posemodel import skeleton
from posemodel.config import AugmentSettings

BORDER_RGB = (124, 116, 104)
"""ImageNet's mean colour: what lies outside the image is zero once normalised."""


@dataclass(frozen=True)
class Warp:
    """``matrix`` (2, 3) float64 takes source pixel coordinates to input pixel coordinates; ``flipped``: mirrored."""

    matrix: NDArray[np.float64]
    flipped: bool = False

    def points(self, xy: NDArray[np.floating]) -> NDArray[np.float64]:
        """Source pixels (..., 2) -> input pixels (..., 2)."""
        return xy @ self.matrix[:, :2].T + self.matrix[:, 2]

    def people(self, people: NDArray[np.floating]) -> NDArray[np.float32]:
        """People (N, 18, 3) in source pixels -> input pixels; left and right parts change places under a flip.

        Points that leave the input keep their coordinates: limbs that cross the border still have their inside part.
        """
        moved = np.array(people, np.float32)
        moved[..., :2] = self.points(np.asarray(people[..., :2], np.float64))
        moved[moved[..., 2] == 0] = 0
        return moved[:, skeleton.FLIPPED_PARTS] if self.flipped else moved

    def people_back(self, people: NDArray[np.floating]) -> NDArray[np.float64]:
        """People (N, 18, 3) in input pixels -> source pixels: the inverse of ``people``."""
        back = Warp(cv2.invertAffineTransform(self.matrix), self.flipped)
        moved = np.array(people, np.float64)
        moved[..., :2] = back.points(moved[..., :2])
        moved[moved[..., 2] == 0] = 0
        return moved[:, skeleton.FLIPPED_PARTS] if self.flipped else moved

    def image(self, image: NDArray[np.uint8], size: int) -> NDArray[np.uint8]:
        """Source BGR (h, w, 3) -> RGB (size, size, 3)."""
        warped = cv2.warpAffine(
            image, self.matrix, (size, size), flags=cv2.INTER_LINEAR, borderValue=BORDER_RGB[::-1]
        )  # fmt: skip
        return cv2.cvtColor(warped, cv2.COLOR_BGR2RGB)

    def mask(self, ignored: NDArray[np.uint8] | None, size: int, cells: int) -> NDArray[np.uint8]:
        """Ignore mask (h, w) -> (cells, cells) uint8, 1 where a cell counts: at least half of it is not ignored."""
        if ignored is None:
            return np.ones((cells, cells), np.uint8)
        warped = cv2.warpAffine(ignored * np.uint8(255), self.matrix, (size, size), flags=cv2.INTER_LINEAR)
        return (cv2.resize(warped, (cells, cells), interpolation=cv2.INTER_AREA) <= 128).astype(np.uint8)


def letterbox(width: int, height: int, size: int) -> Warp:
    """The whole image, centred in a square of ``size`` pixels, its longer side filling it."""
    return _about(width / 2, height / 2, size / max(width, height), 0.0, size / 2, size / 2, flip=False, size=size)


def random_warp(
    rng: np.random.Generator,
    width: int,
    height: int,
    people: NDArray[np.floating],
    size: int,
    settings: AugmentSettings,
) -> Warp:
    """A random zoom, rotation, shift and flip about a point between the image's centre and a random person."""
    zoom = math.exp(rng.uniform(math.log(settings.scale_min), math.log(settings.scale_max)))
    angle = math.radians(rng.uniform(-settings.rotation, settings.rotation))
    shift = rng.uniform(-settings.shift, settings.shift, 2) * size
    toward_person = rng.uniform()
    flip = bool(rng.uniform() < settings.flip)
    centre = np.array([width / 2, height / 2])
    if len(people):
        person = people[rng.integers(len(people))]
        labelled = person[person[:, 2] > 0, :2]
        centre += toward_person * (labelled.mean(axis=0) + 0.5 - centre)
    scale = size / max(width, height) * zoom
    return _about(centre[0], centre[1], scale, angle, size / 2 + shift[0], size / 2 + shift[1], flip=flip, size=size)


def _about(
    from_x: float, from_y: float, scale: float, angle: float, to_x: float, to_y: float, *, flip: bool, size: int
) -> Warp:
    """Scale and rotate about a point and move it to another; points are continuous (a pixel's centre is at +0.5)."""
    cosine, sine = scale * math.cos(angle), scale * math.sin(angle)
    linear = np.array([[cosine, -sine], [sine, cosine]])
    offset = np.array([to_x, to_y]) - linear @ [from_x, from_y]
    offset += linear @ [0.5, 0.5] - 0.5
    matrix = np.column_stack([linear, offset])
    if flip:
        matrix[0] = -matrix[0]
        matrix[0, 2] += size - 1
    return Warp(matrix, flip)


def random_colour(rng: np.random.Generator, image: NDArray[np.uint8], settings: AugmentSettings) -> NDArray[np.uint8]:
    """Brightness and contrast, a little different for each channel: one table look-up per pixel."""
    offset = 255 * rng.uniform(-settings.brightness, settings.brightness)
    gain = 1 + rng.uniform(-settings.contrast, settings.contrast)
    gains = gain * (1 + rng.uniform(-settings.contrast, settings.contrast, 3) / 4)
    levels = np.arange(256)[:, None]
    table = np.clip((levels - 128) * gains + 128 + offset, 0, 255).astype(np.uint8)
    return cv2.LUT(image, table.reshape(1, 256, 3))
