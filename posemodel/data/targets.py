"""People -> heatmaps and Part Affinity Fields: the maps that the network learns.

Cell i of a stride-s map is centred at input pixel i * s + (s - 1) / 2, for heatmaps and PAFs alike.
Source: Cao et al., CVPR 2017, sections 2.2 and 2.3.
"""

import numpy as np
from numpy.typing import NDArray

from posemodel import skeleton
from posemodel.config import InputSettings

SIGMA_PIXELS = 7.0
"""Standard deviation of a heatmap's Gaussian in pixels of a 368-pixel input (OpenPose's published value)."""
SIGMA_SIZE = 368
SIGMA_CELLS_MIN = 0.8
"""Below this a peak between two cells could not be located."""
PAF_HALF_WIDTH = 1.0
"""Cells to either side of a limb that carry its vector (OpenPose's published value)."""
_INCLUSIVE = 1e-6


def sigma_cells(geometry: InputSettings) -> float:
    """Standard deviation of a heatmap's Gaussian, in cells."""
    return max(SIGMA_PIXELS * geometry.size / SIGMA_SIZE / geometry.stride, SIGMA_CELLS_MIN)


def to_cells(xy: NDArray[np.floating], stride: int) -> NDArray[np.floating]:
    """Input pixels -> map cells."""
    return (xy + 0.5) / stride - 0.5


def to_pixels(xy: NDArray[np.floating], stride: int) -> NDArray[np.floating]:
    """Map cells -> input pixels: the inverse of ``to_cells``."""
    return (xy + 0.5) * stride - 0.5


def make_heatmaps(people: NDArray[np.floating], geometry: InputSettings) -> NDArray[np.float32]:
    """People (N, 18, 3) in input pixels -> (19, cells, cells): a Gaussian a part, max over people, background last."""
    cells = geometry.cells
    maps = np.zeros((skeleton.NUM_HEATMAPS, cells, cells), np.float32)
    if len(people):
        centres = to_cells(np.asarray(people[..., :2], np.float64), geometry.stride)
        grid = np.arange(cells)
        scale = -0.5 / sigma_cells(geometry) ** 2
        # A Gaussian is separable: exp of two short vectors instead of a whole plane.
        across = np.exp(scale * (grid - centres[..., 0, None]) ** 2).astype(np.float32)
        down = np.exp(scale * (grid - centres[..., 1, None]) ** 2).astype(np.float32)
        across *= (people[..., 2] > 0)[..., None]
        for person_down, person_across in zip(down, across, strict=True):
            gaussians = person_down[:, :, None] * person_across[:, None, :]
            np.maximum(maps[: skeleton.NUM_PARTS], gaussians, out=maps[: skeleton.NUM_PARTS])
    maps[skeleton.BACKGROUND] = 1 - maps[: skeleton.NUM_PARTS].max(axis=0)
    return maps


def make_pafs(people: NDArray[np.floating], geometry: InputSettings) -> NDArray[np.float32]:
    """People (N, 18, 3) in input pixels -> (38, cells, cells): channels 2i, 2i + 1 hold limb i's unit vector (x, y).

    A cell carries it if its centre is at most one cell from the limb's segment; where limbs of several people overlap,
    the mean. Joints outside the input still define the limb's inside part.
    """
    cells = geometry.cells
    centres = to_cells(np.asarray(people[..., :2], np.float64), geometry.stride)
    labelled = np.asarray(people[..., 2]) > 0
    person, limb = np.nonzero(labelled[:, skeleton.LIMB_FROM] & labelled[:, skeleton.LIMB_TO])
    start, end = centres[person, skeleton.LIMB_FROM[limb]], centres[person, skeleton.LIMB_TO[limb]]
    length = np.hypot(*(end - start).T)
    low = np.maximum(np.ceil(np.minimum(start, end) - PAF_HALF_WIDTH - _INCLUSIVE), 0)
    high = np.minimum(np.floor(np.maximum(start, end) + PAF_HALF_WIDTH + _INCLUSIVE) + 1, cells)
    drawn = (length > 0) & (low < high).all(axis=1)
    limb, start, end, length = limb[drawn], start[drawn], end[drawn], length[drawn]
    low, high = low[drawn].astype(np.int64), high[drawn].astype(np.int64)
    # The cells of all limbs' windows in one long row: a Python loop over limbs would cost more than the image.
    width, height = (high - low).T
    areas = width * height
    of = np.repeat(np.arange(len(limb)), areas)
    place = np.arange(len(of)) - np.repeat(np.cumsum(areas) - areas, areas)
    cell_y, cell_x = np.divmod(place, width[of])
    cell_x += low[of, 0]
    cell_y += low[of, 1]
    unit = (end - start) / length[:, None]
    x, y = cell_x - start[of, 0], cell_y - start[of, 1]
    unit_x, unit_y = unit[of].T
    along = np.clip(x * unit_x + y * unit_y, 0, length[of])
    inside = (x - along * unit_x) ** 2 + (y - along * unit_y) ** 2 <= (PAF_HALF_WIDTH + _INCLUSIVE) ** 2
    cell = ((limb[of] * cells + cell_y) * cells + cell_x)[inside]
    count = np.maximum(np.bincount(cell, minlength=skeleton.NUM_LIMBS * cells * cells), 1)
    pafs = np.empty((skeleton.NUM_LIMBS, 2, cells, cells), np.float32)
    for axis, component in enumerate((unit_x, unit_y)):
        summed = np.bincount(cell, weights=component[inside], minlength=len(count))
        pafs[:, axis] = (summed / count).reshape(skeleton.NUM_LIMBS, cells, cells)
    return pafs.reshape(skeleton.NUM_PAFS, cells, cells)
