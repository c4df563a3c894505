"""Compute target maps cell by cell, as the reference for the fast implementations."""

import math

import numpy as np
from numpy.typing import NDArray

from posemodel.config import InputSettings
from posemodel.data.targets import sigma_cells, to_cells
from posemodel.skeleton import COCO_PERSON, Skeleton


def plain_heatmaps(people: NDArray[np.floating], geometry: InputSettings) -> NDArray[np.float64]:
    """People (N, P, 3) in input pixels -> (P + 1, cells, cells), by the formula of the paper."""
    cells, sigma = geometry.cells, sigma_cells(geometry)
    parts = people.shape[1]
    maps = np.zeros((parts + 1, cells, cells))
    y, x = np.mgrid[:cells, :cells]
    for person in people:
        for part in range(parts):
            if person[part, 2] > 0:
                centre = to_cells(person[part, :2].astype(float), geometry.stride)
                squares = (x - centre[0]) ** 2 + (y - centre[1]) ** 2
                maps[part] = np.maximum(maps[part], np.exp(-squares / (2 * sigma**2)))
    maps[-1] = 1 - maps[:parts].max(axis=0)
    return maps


def plain_pafs(
    people: NDArray[np.floating], geometry: InputSettings, skeleton: Skeleton = COCO_PERSON
) -> NDArray[np.float64]:
    """People (N, P, 3) in input pixels -> (2L, cells, cells), by the definition: every cell against every limb."""
    cells = geometry.cells
    sums = np.zeros((skeleton.num_limbs, 2, cells, cells))
    count = np.zeros((skeleton.num_limbs, cells, cells))
    for person in people:
        for limb, ends in enumerate(skeleton.limbs):
            (start_x, start_y), (end_x, end_y) = (
                to_cells(person[end, :2].astype(float), geometry.stride).tolist() for end in ends
            )
            length = math.hypot(end_x - start_x, end_y - start_y)
            if length == 0 or any(person[end, 2] <= 0 for end in ends):
                continue
            unit = (end_x - start_x) / length, (end_y - start_y) / length
            for y in range(cells):
                for x in range(cells):
                    along = (x - start_x) * unit[0] + (y - start_y) * unit[1]
                    along = min(max(along, 0), length)
                    distance = math.hypot(x - start_x - along * unit[0], y - start_y - along * unit[1])
                    if distance <= 1 + 1e-6:
                        sums[limb, :, y, x] += unit
                        count[limb, y, x] += 1
    return (sums / np.maximum(count, 1)[:, None]).reshape(skeleton.num_pafs, cells, cells)
