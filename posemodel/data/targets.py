"""Make heatmaps and Part Affinity Fields (PAFs) from people: the maps that the network learns.

Cell i of a stride-s map is centred at input pixel i * s + (s - 1) / 2, for heatmaps and PAFs alike.
Source: Cao et al., CVPR 2017, sections 2.2 and 2.3.
"""

import math
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray

from posemodel.config import InputSettings
from posemodel.skeleton import COCO_PERSON, Skeleton

SIGMA_PIXELS = 7.0
"""Standard deviation of a heatmap's Gaussian in pixels of a 368-pixel input (OpenPose's published value)."""
SIGMA_SIZE = 368
SIGMA_CELLS_MIN = 0.8
"""Smallest standard deviation in cells: below it a peak between two cells could not be located."""
PAF_HALF_WIDTH = 1.0
"""Cells to either side of a limb that carry its vector (OpenPose's published value)."""
GAUSSIAN_REACH = 4.5
"""Half side, in standard deviations, of the square in which a Gaussian is drawn; beyond, it is below 1e-4, less than
float16 resolves at 0.9."""
REACH = PAF_HALF_WIDTH + 1e-6
"""Half width with a margin, so that rounding never excludes a cell at exactly ``PAF_HALF_WIDTH``."""
_LEVEL = 1e-3
"""Vertical component of a limb's direction below which all columns of its box are checked; it crosses few rows."""
_ROUNDING = 1e-6

Coordinates = TypeVar("Coordinates", NDArray[np.floating], torch.Tensor)


def sigma_cells(geometry: InputSettings) -> float:
    """Return the standard deviation of a heatmap's Gaussian, in cells."""
    return max(SIGMA_PIXELS * geometry.size / SIGMA_SIZE / geometry.stride, SIGMA_CELLS_MIN)


def to_cells(xy: Coordinates, stride: int) -> Coordinates:
    """Convert input pixels to map cells."""
    return (xy + 0.5) / stride - 0.5


def to_pixels(xy: Coordinates, stride: int) -> Coordinates:
    """Convert map cells to input pixels: the inverse of ``to_cells``."""
    return (xy + 0.5) * stride - 0.5


def to_float16(values: NDArray[np.float32]) -> NDArray[np.float16]:
    """Convert float32 to float16 with PyTorch; NumPy takes a hundred times as long for numbers near zero."""
    return torch.from_numpy(values).half().numpy()


def make_heatmaps(people: NDArray[np.floating], geometry: InputSettings) -> NDArray[np.float32]:
    """Turn people (N, P, 3) in input pixels into heatmaps (P + 1, cells, cells).

    Each part of a person is a Gaussian of peak 1; people are combined by the maximum; the background is the last map.
    """
    cells = geometry.cells
    maps = np.zeros((people.shape[1] + 1, cells, cells), np.float32)
    parts = maps[:-1]
    sigma = sigma_cells(geometry)
    reach = math.ceil(GAUSSIAN_REACH * sigma)
    centres = to_cells(np.asarray(people[..., :2], np.float64), geometry.stride)
    near = (np.asarray(people[..., 2]) > 0) & (np.abs(centres - cells / 2) < cells / 2 + reach + 1).all(axis=-1)
    part, centre = np.nonzero(near)[1], centres[near]
    cell = np.rint(centre).astype(np.int64)[:, :, None] + np.arange(-reach, reach + 1)
    # A Gaussian is separable: exp of two short vectors instead of a full window.
    gaussians = np.exp(-0.5 / sigma**2 * (cell - centre[:, :, None]) ** 2).astype(np.float32)
    values = gaussians[:, 1, :, None] * gaussians[:, 0, None, :]
    cell_index = (part[:, None] * cells + cell[:, 1])[:, :, None] * cells + cell[:, 0, None, :]
    inside = (cell >= 0) & (cell < cells)
    if not inside.all():
        shown = inside[:, 1, :, None] & inside[:, 0, None, :]
        values, cell_index = values[shown], cell_index[shown]
    np.maximum.at(parts.reshape(-1), cell_index.reshape(-1), values.reshape(-1))
    np.subtract(1, parts.max(axis=0), out=maps[-1])
    return maps


def make_pafs(
    people: NDArray[np.floating],
    geometry: InputSettings,
    skeleton: Skeleton = COCO_PERSON,
    *,
    dtype: type[np.float32 | np.float16] = np.float32,
) -> NDArray[np.floating]:
    """Turn people (N, P, 3) in input pixels into PAFs (2L, cells, cells) along the limbs of their skeleton.

    Channels 2i and 2i + 1 hold limb i's unit vector (x, y), in cells whose centre is at most one cell from the limb's
    segment; where limbs of several people overlap, their mean. A limb with a joint outside the input is drawn as far as
    it lies inside.
    """
    cells = geometry.cells
    centres = to_cells(np.asarray(people[..., :2], np.float64), geometry.stride)
    labelled = np.asarray(people[..., 2]) > 0
    person, limb = np.nonzero(labelled[:, skeleton.limb_from] & labelled[:, skeleton.limb_to])
    start, end = centres[person, skeleton.limb_from[limb]], centres[person, skeleton.limb_to[limb]]
    along = end - start
    length = np.hypot(along[:, 0], along[:, 1])
    drawn = length > 0
    person, limb, start, end, length = person[drawn], limb[drawn], start[drawn], end[drawn], length[drawn]
    unit = along[drawn] / length[:, None]
    segment, x, y = _cells_near(start, end, unit, cells)
    start_x, start_y, unit_x, unit_y, reach = np.column_stack([start, unit, length]).T[:, segment]
    from_x, from_y = x - start_x, y - start_y
    # Distance from the segment: across its line, and along it beyond its ends.
    across = from_x * unit_y - from_y * unit_x
    beyond = from_x * unit_x + from_y * unit_y
    beyond -= np.clip(beyond, 0, reach)
    inside = across * across + beyond * beyond <= REACH * REACH
    channel, cell = limb[segment[inside]], (y * cells + x)[inside]
    vector_x, vector_y = unit_x[inside], unit_y[inside]
    if (person > person[:1]).any():  # the limbs of a single person never share a cell of a channel
        cell_index = channel * (cells * cells) + cell
        count = np.bincount(cell_index)[cell_index]
        vector_x = np.bincount(cell_index, vector_x)[cell_index] / count
        vector_y = np.bincount(cell_index, vector_y)[cell_index] / count
    vectors = np.stack([vector_x, vector_y]).astype(np.float32)
    cell_index = 2 * channel * (cells * cells) + cell
    pafs = np.zeros(skeleton.num_pafs * cells * cells, dtype)
    pafs[cell_index], pafs[cell_index + cells * cells] = to_float16(vectors) if dtype is np.float16 else vectors
    return pafs.reshape(skeleton.num_pafs, cells, cells)


def _cells_near(
    start: NDArray[np.floating], end: NDArray[np.floating], unit: NDArray[np.floating], cells: int
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Return segment index, x and y of all cells that may be within reach of the segments from (L, 2) to (L, 2).

    Few cells beyond reach are returned: in each row, those within reach of the segment's line and in the segment's
    range of columns. Bounding boxes would be mostly empty for slanted limbs. All segments are treated at once, since a
    Python loop over limbs would cost more than reading the image.
    """
    low = np.clip(np.ceil(np.minimum(start, end) - REACH), 0, cells).astype(np.int64)
    high = np.clip(np.floor(np.maximum(start, end) + REACH) + 1, low, cells).astype(np.int64)
    segment, y = _ranges(low[:, 1], high[:, 1])
    # In row y the line is at x = slope * (y - start_y) + start_x; for nearly horizontal lines all columns are in reach.
    level = np.abs(unit[:, 1]) < _LEVEL
    rise = np.where(level, 1.0, unit[:, 1])
    slope, half_width = np.where(level, 0.0, unit[:, 0] / rise), np.where(level, np.inf, REACH / np.abs(rise))
    offset = start[:, 0] - slope * start[:, 1]
    middle = slope[segment] * y + offset[segment]
    left = np.maximum(np.ceil(middle - half_width[segment] - _ROUNDING), low[segment, 0]).astype(np.int64)
    right = np.minimum(np.floor(middle + half_width[segment] + _ROUNDING) + 1, high[segment, 0]).astype(np.int64)
    row, x = _ranges(left, right)
    return segment[row], x, y[row]


def _ranges(first: NDArray[np.int64], last: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return range number and value of every integer from ``first[i]`` (inclusive) to ``last[i]`` (exclusive)."""
    lengths = np.maximum(last - first, 0)
    segment = np.repeat(np.arange(len(first)), lengths)
    ends = np.cumsum(lengths)
    return segment, np.arange(len(segment)) + (first - ends + lengths)[segment]
