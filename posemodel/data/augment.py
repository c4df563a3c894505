"""Geometric and colour augmentation: one affine warp from image to network input, then a colour change.

Pixel centres are at integer coordinates, as in OpenCV: scaling by f maps x to (x + 0.5) * f - 0.5, and a flip of a
square of side s maps x to s - 1 - x.
"""

import math
from dataclasses import dataclass
from typing import Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from posemodel.config import AugmentSettings
from posemodel.data.images.files import REDUCTIONS
from posemodel.skeleton import Skeleton

BORDER_RGB = (124, 116, 104)
"""ImageNet's mean colour, used outside the image: it becomes 0 when pixels are normalised."""
_ROUNDING = 1e-9


class Draws(Protocol):
    """Source of random numbers: Python's ``Random``, or NumPy's generator."""

    def random(self) -> float:
        """Return the next number, uniform in [0, 1)."""
        ...


@dataclass(frozen=True)
class Warp:
    """Affine map from source to network-input pixels: ``matrix`` (2, 3) float64; ``flipped``: whether it mirrors."""

    matrix: NDArray[np.float64]
    flipped: bool = False

    def points(self, xy: NDArray[np.floating]) -> NDArray[np.float64]:
        """Map points (..., 2) from source pixels to input pixels."""
        return xy @ self.matrix[:, :2].T + self.matrix[:, 2]

    def people(self, people: NDArray[np.floating], skeleton: Skeleton) -> NDArray[np.float32]:
        """Map people (N, P, 3) from source pixels to input pixels; a flip swaps left and right parts.

        Points outside the input are kept, so that the part of a limb inside the input can be drawn.
        """
        moved = np.array(people, np.float32)
        moved[..., :2] = self.points(np.asarray(people[..., :2], np.float64))
        moved[moved[..., 2] == 0] = 0
        return moved[:, skeleton.flipped_parts] if self.flipped else moved

    def people_back(self, people: NDArray[np.floating]) -> NDArray[np.float64]:
        """Map people (N, P, 3) from input pixels to source pixels: the inverse of ``people`` without a flip.

        Raises ValueError if the warp flips: the letterbox, with which people are predicted, never does.
        """
        if self.flipped:
            raise ValueError("people of a flipped image have left and right exchanged: predict on a letterboxed one")
        back = Warp(np.asarray(cv2.invertAffineTransform(self.matrix), np.float64))
        moved = np.array(people, np.float64)
        moved[..., :2] = back.points(moved[..., :2])
        moved[moved[..., 2] == 0] = 0
        return moved

    def image(self, image: NDArray[np.uint8], size: int, reduction: int = 1) -> NDArray[np.uint8]:
        """Warp a BGR image (h, w, 3) to RGB (size, size, 3).

        ``reduction``: factor by which the source was decoded smaller than the pixels that the matrix refers to.
        """
        matrix = self.matrix
        if (
            reduction > 1
        ):  # pixel i of the small image is centred at i * reduction + (reduction - 1) / 2 of the full one
            linear = matrix[:, :2]
            offset = matrix[:, 2] + linear @ np.full(2, (reduction - 1) / 2)
            matrix = np.column_stack([linear * reduction, offset])
        # Only the visible part is converted, and OpenCV warps four channels faster than three; same result.
        left, top, right, bottom = _seen(matrix, size, image.shape[1], image.shape[0])
        padded = cv2.cvtColor(image[top:bottom, left:right], cv2.COLOR_BGR2BGRA)
        (a, b, x), (c, d, y) = matrix.tolist()
        moved = np.array([[a, b, x + a * left + b * top], [c, d, y + c * left + d * top]])
        border = (*BORDER_RGB[::-1], 0)
        warped = cv2.warpAffine(padded, moved, (size, size), flags=cv2.INTER_LINEAR, borderValue=border)
        return np.asarray(cv2.cvtColor(warped, cv2.COLOR_BGRA2RGB), np.uint8)

    def reduction(self) -> int:
        """Return the factor (1, 2, 4, 8) by which the source may be decoded smaller without the warp enlarging it."""
        (a, b, _), (c, d, _) = self.matrix.tolist()
        shrink = 1 / math.sqrt(abs(a * d - b * c))
        return max(factor for factor in REDUCTIONS if factor <= max(shrink, 1) * (1 + _ROUNDING))

    def mask(self, ignored: NDArray[np.uint8] | None, size: int, cells: int) -> NDArray[np.uint8]:
        """Warp an ignore mask (h, w) to (cells, cells) uint8: 1 where at least half of the cell is not ignored."""
        if ignored is None:
            return np.ones((cells, cells), np.uint8)
        # Masks are stored column by column: transposed, they need not be copied.
        matrix, picture = self.matrix, ignored
        if ignored.flags.f_contiguous:
            matrix, picture = matrix[:, [1, 0, 2]], ignored.T
        warped = cv2.warpAffine(picture, matrix, (size, size), flags=cv2.INTER_NEAREST)
        shares = cv2.resize(warped * np.uint8(254), (cells, cells), interpolation=cv2.INTER_AREA)
        return (shares <= 127).astype(np.uint8)


def _seen(matrix: NDArray[np.float64], size: int, width: int, height: int) -> tuple[int, int, int, int]:
    """Return left, top, right, bottom (the latter two exclusive) of the image region that a warp uses; never empty."""
    (a, b, x), (c, d, y) = matrix.tolist()
    area = a * d - b * c
    corners = [(u - x, v - y) for u in (-1, size) for v in (-1, size)]
    xs = [(d * u - b * v) / area for u, v in corners]
    ys = [(a * v - c * u) / area for u, v in corners]
    left, top = (min(max(math.floor(min(each)) - 1, 0), side - 1) for each, side in ((xs, width), (ys, height)))
    right, bottom = (max(min(math.ceil(max(each)) + 2, side), 1) for each, side in ((xs, width), (ys, height)))
    return left, top, right, bottom


def letterbox(width: int, height: int, size: int) -> Warp:
    """Return the warp that fits the whole image, centred, into a square whose side is ``size`` pixels."""
    return _about(width / 2, height / 2, size / max(width, height), 0.0, size / 2, size / 2, flip=False, size=size)


def random_warp(
    rng: Draws,
    width: int,
    height: int,
    people: NDArray[np.floating],
    size: int,
    settings: AugmentSettings,
) -> Warp:
    """Return a random zoom, rotation, shift and flip about a point between the image's centre and a random person."""
    draws = [rng.random() for _ in range(7)]
    zoom = math.exp(_between(math.log(settings.scale_min), math.log(settings.scale_max), draws[0]))
    angle = math.radians(_between(-settings.rotation, settings.rotation, draws[1]))
    to_x, to_y = (size / 2 + _between(-settings.shift, settings.shift, draw) * size for draw in draws[2:4])
    flip = draws[4] < settings.flip
    from_x, from_y = width / 2, height / 2
    if len(people):
        person = people[int(draws[5] * len(people))]
        x, y = person[person[:, 2] > 0, :2].mean(axis=0, dtype=np.float64).tolist()
        from_x, from_y = _between(from_x, x + 0.5, draws[6]), _between(from_y, y + 0.5, draws[6])
    scale = size / max(width, height) * zoom
    return _about(from_x, from_y, scale, angle, to_x, to_y, flip=flip, size=size)


def _between(low: float, high: float, share: float) -> float:
    return low + share * (high - low)


def _about(
    from_x: float, from_y: float, scale: float, angle: float, to_x: float, to_y: float, *, flip: bool, size: int
) -> Warp:
    """Return a warp that scales and rotates about a point and moves it to another.

    Points are continuous: the centre of the first pixel is at 0.5. ``angle`` is in radians.
    """
    cosine, sine = scale * math.cos(angle), scale * math.sin(angle)
    from_x, from_y = from_x - 0.5, from_y - 0.5
    across = [cosine, -sine, to_x - 0.5 - cosine * from_x + sine * from_y]
    down = [sine, cosine, to_y - 0.5 - sine * from_x - cosine * from_y]
    if flip:
        across = [-across[0], -across[1], size - 1 - across[2]]
    return Warp(np.array([across, down]), flip)


def random_colour(rng: Draws, image: NDArray[np.uint8], settings: AugmentSettings) -> NDArray[np.uint8]:
    """Change brightness and contrast, slightly differently for each channel, by one linear function per channel."""
    draws = [2 * rng.random() - 1 for _ in range(5)]
    offset = 255 * settings.brightness * draws[0]
    gain = 1 + settings.contrast * draws[1]
    matrix = np.zeros((3, 4))
    for channel, draw in enumerate(draws[2:]):
        own = gain * (1 + settings.contrast * draw / 4)
        matrix[channel, channel], matrix[channel, 3] = own, 128 * (1 - own) + offset
    return np.asarray(cv2.transform(image, matrix), np.uint8)
