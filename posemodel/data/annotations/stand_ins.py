"""Boxes and areas that stand in where an annotation has none: around the joints, or a share of the box."""

import math

BOX_SHARE = 0.53
"""Area of a person relative to the box: CrowdPose's scoring, whose files have no `area` (crowdposetools)."""
THINNEST = 0.3
"""The shorter side of a box around joints, at least, relative to the longer one: few or collinear joints are no body.

With it the area of that box is on average the person's: of the 74 people of coco-mini with two joints or more,
`area` / box has the geometric mean 0.96 (without it 0.98, and more spread), so that no factor is needed."""
ONE_JOINT_SHARE = 1 / 32
"""Area of a person of whom a single joint is labelled, relative to the image's: nothing tells the size. Of the four on
coco-mini the geometric mean is 0.04."""


SMALLEST_AREA, FAR_APART = 1.0, 20.0
"""Square pixels that are no area of a person whose labelled joints lie further apart than that many pixels."""


def too_small(area: float, points: list[tuple[float, float]]) -> bool:
    """Whether an area cannot be that of a person with these labelled joints: a fraction of the image, or a stopgap."""
    if area > SMALLEST_AREA or not points:
        return False
    return max(max(side) - min(side) for side in zip(*points, strict=True)) > FAR_APART


def joints_box(points: list[tuple[float, float]], width: int, height: int) -> list[float]:
    """The box x, y, width, height around labelled joints inside an image, neither without width nor without height.

    Where a side is widened, the box is moved into the image.
    """
    xs, ys = [x for x, _ in points], [y for _, y in points]
    across, down = max(xs) - min(xs), max(ys) - min(ys)
    longer = max(across, down)
    least = THINNEST * longer if longer > 0 else math.sqrt(ONE_JOINT_SHARE * width * height)
    x, across = _widened(min(xs), across, least, width)
    y, down = _widened(min(ys), down, least, height)
    return [x, y, across, down]


def _widened(low: float, length: float, least: float, side: int) -> tuple[float, float]:
    """A stretch of an image's side that is at least ``least`` long, around the same middle as far as it fits."""
    if length >= least:
        return low, length
    longer = min(least, float(side))
    return min(max(low + (length - longer) / 2, 0.0), side - longer), longer
