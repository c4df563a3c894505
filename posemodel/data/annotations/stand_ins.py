"""Boxes and areas for annotations that have none: derived from the joints, or a share of the box."""

import math

BOX_SHARE = 0.53
"""Area of a person relative to the box: CrowdPose's scoring, whose files have no `area` (crowdposetools)."""
THINNEST = 0.3
"""Least ratio of the shorter to the longer side of a box around joints: few or collinear joints do not span a body.

With it the area of that box is on average the person's: over the 74 people of coco-mini with two joints or more,
`area` / box has the geometric mean 0.96 (without it 0.98, with more spread), so no factor is needed.
"""
ONE_JOINT_SHARE = 1 / 32
"""Area of a person with a single labelled joint, relative to the image's: nothing tells the size.

For the four such people in coco-mini the geometric mean is 0.04.
"""


SMALLEST_AREA, FAR_APART = 1.0, 20.0
"""An area of at most ``SMALLEST_AREA`` square pixels is wrong if labelled joints are over ``FAR_APART`` pixels apart.
"""


def too_small(area: float, points: list[tuple[float, float]]) -> bool:
    """Whether an area is not that of a person with these labelled joints: a fraction of the image or a placeholder."""
    if area > SMALLEST_AREA or not points:
        return False
    extent: float = max(max(side) - min(side) for side in zip(*points, strict=True))
    return extent > FAR_APART


def joints_box(points: list[tuple[float, float]], width: int, height: int) -> list[float]:
    """Return a box [x, y, width, height] around labelled joints, inside the image and with positive sides.

    A widened side is moved into the image.
    """
    xs, ys = [x for x, _ in points], [y for _, y in points]
    across, down = max(xs) - min(xs), max(ys) - min(ys)
    longer = max(across, down)
    minimum = THINNEST * longer if longer > 0 else math.sqrt(ONE_JOINT_SHARE * width * height)
    x, across = _widen(min(xs), across, minimum, width)
    y, down = _widen(min(ys), down, minimum, height)
    return [x, y, across, down]


def _widen(low: float, length: float, minimum: float, side: int) -> tuple[float, float]:
    """Return (start, length) of a stretch at least ``minimum`` long, around the same middle but inside the image."""
    if length >= minimum:
        return low, length
    longer = min(minimum, float(side))
    return min(max(low + (length - longer) / 2, 0.0), side - longer), longer
