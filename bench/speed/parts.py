"""A skeleton of any number of parts, and people with it, to measure how costs grow with the number of parts."""

import math

import numpy as np
from numpy.typing import NDArray

from posemodel.skeleton import Skeleton

SIGMA = 0.05
"""OKS sigma of every keypoint: nearer to COCO's wrists (0.062) than to its eyes (0.025)."""


def chain(parts: int) -> Skeleton:
    """Return a skeleton of ``parts`` keypoints, each joined to the next: as many limbs for each part as COCO's."""
    return Skeleton(
        name="chain",
        keypoints=tuple(f"point_{number}" for number in range(1, parts + 1)),
        limbs=tuple((number, number + 1) for number in range(parts - 1)),
        sigmas=(SIGMA,) * parts,
    )


def with_chains(people: NDArray[np.floating], parts: int) -> NDArray[np.float32]:
    """Replace people (N, P, 3) of any skeleton by people (N, parts, 3) of a chain, to and fro through the box of each.

    All points of a person with labelled ones are labelled and visible; people without any have none.
    """
    at = np.linspace(0, 1, parts)
    sweeps = math.ceil(math.sqrt(parts))
    across = np.abs((at * sweeps + 1) % 2 - 1)  # from 0 to 1 and back, `sweeps` times
    shape = np.stack([across, at], axis=1)
    chains = np.zeros((len(people), parts, 3), np.float32)
    for row, person in zip(chains, people, strict=True):
        points = person[person[:, 2] > 0, :2]
        if len(points):
            row[:, :2] = points.min(axis=0) + shape * np.ptp(points, axis=0)
            row[:, 2] = 2
    return chains


def max_ratio(parts: int, usual: int) -> float:
    """Return the largest ratio of a cost with ``parts`` to one with ``usual`` parts: that of the numbers, or 1."""
    return max(parts / usual, 1.0)
