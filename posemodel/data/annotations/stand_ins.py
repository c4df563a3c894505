"""Boxes and areas for annotations that have none: a box around the joints, and an area computed from a box."""

import math

BOX_SHARE = 0.53
"""Area of a person as a share of the annotated box. crowdposetools uses this value, because CrowdPose has no `area`."""
THINNEST = 0.3
"""Minimum ratio of the shorter to the longer side of a box around joints; around few or collinear joints it is widened.

The area of such a box serves as the person's area without a further factor: for the 74 people of coco-mini with two
joints or more, `area` / box has the geometric mean 0.96. Without the minimum it is 0.98, with more spread.
"""
ONE_JOINT_SHARE = 1 / 32
"""Area of a person with a single labelled joint, as a share of the image's: the true size cannot be inferred.

For the four such people in coco-mini the geometric mean is 0.04.
"""


SMALLEST_AREA, FAR_APART = 1.0, 20.0
"""An area of at most ``SMALLEST_AREA`` square pixels is wrong if labelled joints are over ``FAR_APART`` pixels apart.
"""


def too_small(area: float, points: list[tuple[float, float]]) -> bool:
    """Return whether an area is too small for these labelled joints: a fraction of the image, say, or a placeholder."""
    if area > SMALLEST_AREA or not points:
        return False
    extent: float = max(max(side) - min(side) for side in zip(*points, strict=True))
    return extent > FAR_APART


def joints_box(points: list[tuple[float, float]], width: int, height: int) -> list[float]:
    """Return a box [x, y, width, height] around labelled joints, inside the image and with positive sides.

    A side that was widened to the minimum length is moved into the image if it reaches outside.
    """
    xs, ys = [x for x, _ in points], [y for _, y in points]
    across, down = max(xs) - min(xs), max(ys) - min(ys)
    longer = max(across, down)
    minimum = THINNEST * longer if longer > 0 else math.sqrt(ONE_JOINT_SHARE * width * height)
    x, across = _widen(min(xs), across, minimum, width)
    y, down = _widen(min(ys), down, minimum, height)
    return [x, y, across, down]


def _widen(low: float, length: float, minimum: float, side: int) -> tuple[float, float]:
    """Return (start, length) of an interval at least ``minimum`` long, with the same centre but inside the image."""
    if length >= minimum:
        return low, length
    longer = min(minimum, float(side))
    return min(max(low + (length - longer) / 2, 0.0), side - longer), longer
