"""People -> heatmaps and Part Affinity Fields: the maps that the network learns.

Cell i of a stride-s map is centred at input pixel i * s + (s - 1) / 2, for heatmaps and PAFs alike.
Source: Cao et al., CVPR 2017, sections 2.2 and 2.3.
"""

import math

import numpy as np
import torch
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
GAUSSIAN_REACH = 4.5
"""Standard deviations within which a Gaussian is drawn: beyond, it is below 1e-4, less than float16 tells from 0.9."""
REACH = PAF_HALF_WIDTH + 1e-6
"""Inclusive, whatever the rounding."""
_LEVEL = 1e-3
"""Of a limb whose direction rises less, all columns are looked at: it crosses a few rows only."""
_ROUNDING = 1e-6


def sigma_cells(geometry: InputSettings) -> float:
    """Standard deviation of a heatmap's Gaussian, in cells."""
    return max(SIGMA_PIXELS * geometry.size / SIGMA_SIZE / geometry.stride, SIGMA_CELLS_MIN)


def to_cells(xy: NDArray[np.floating], stride: int) -> NDArray[np.floating]:
    """Input pixels -> map cells."""
    return (xy + 0.5) / stride - 0.5


def to_pixels(xy: NDArray[np.floating], stride: int) -> NDArray[np.floating]:
    """Map cells -> input pixels: the inverse of ``to_cells``."""
    return (xy + 0.5) * stride - 0.5


def half(values: NDArray[np.float32]) -> NDArray[np.float16]:
    """float32 -> float16 by PyTorch: NumPy takes a hundred times as long for numbers near zero."""
    return torch.from_numpy(values).half().numpy()


def make_heatmaps(people: NDArray[np.floating], geometry: InputSettings) -> NDArray[np.float32]:
    """People (N, 18, 3) in input pixels -> (19, cells, cells): a Gaussian a part, max over people, background last."""
    cells = geometry.cells
    maps = np.zeros((skeleton.NUM_HEATMAPS, cells, cells), np.float32)
    parts = maps[: skeleton.NUM_PARTS]
    sigma = sigma_cells(geometry)
    reach = math.ceil(GAUSSIAN_REACH * sigma)
    centres = to_cells(np.asarray(people[..., :2], np.float64), geometry.stride)
    near = (np.asarray(people[..., 2]) > 0) & (np.abs(centres - cells / 2) < cells / 2 + reach + 1).all(axis=-1)
    part, centre = np.nonzero(near)[1], centres[near]
    cell = np.rint(centre).astype(np.int64)[:, :, None] + np.arange(-reach, reach + 1)
    # A Gaussian is separable: exp of two short vectors instead of a whole window.
    gaussians = np.exp(-0.5 / sigma**2 * (cell - centre[:, :, None]) ** 2).astype(np.float32)
    values = gaussians[:, 1, :, None] * gaussians[:, 0, None, :]
    places = (part[:, None] * cells + cell[:, 1])[:, :, None] * cells + cell[:, 0, None, :]
    inside = (cell >= 0) & (cell < cells)
    if not inside.all():
        shown = inside[:, 1, :, None] & inside[:, 0, None, :]
        values, places = values[shown], places[shown]
    np.maximum.at(parts.reshape(-1), places.reshape(-1), values.reshape(-1))
    np.subtract(1, parts.max(axis=0), out=maps[skeleton.BACKGROUND])
    return maps


def make_pafs(
    people: NDArray[np.floating], geometry: InputSettings, dtype: type[np.float32 | np.float16] = np.float32
) -> NDArray[np.floating]:
    """People (N, 18, 3) in input pixels -> (38, cells, cells): channels 2i, 2i + 1 hold limb i's unit vector (x, y).

    A cell carries it if its centre is at most one cell from the limb's segment; where limbs of several people overlap,
    the mean. Joints outside the input still define the limb's inside part.
    """
    cells = geometry.cells
    centres = to_cells(np.asarray(people[..., :2], np.float64), geometry.stride)
    labelled = np.asarray(people[..., 2]) > 0
    person, limb = np.nonzero(labelled[:, skeleton.LIMB_FROM] & labelled[:, skeleton.LIMB_TO])
    start, end = centres[person, skeleton.LIMB_FROM[limb]], centres[person, skeleton.LIMB_TO[limb]]
    along = end - start
    length = np.hypot(along[:, 0], along[:, 1])
    drawn = length > 0
    person, limb, start, end, length = person[drawn], limb[drawn], start[drawn], end[drawn], length[drawn]
    unit = along[drawn] / length[:, None]
    of, x, y = _cells_near(start, end, unit, cells)
    start_x, start_y, unit_x, unit_y, reach = np.column_stack([start, unit, length]).T[:, of]
    from_x, from_y = x - start_x, y - start_y
    # Distance from the segment: across its line, and along it beyond its ends.
    across = from_x * unit_y - from_y * unit_x
    beyond = from_x * unit_x + from_y * unit_y
    beyond -= np.clip(beyond, 0, reach)
    inside = across * across + beyond * beyond <= REACH * REACH
    channel, cell = limb[of[inside]], (y * cells + x)[inside]
    vector_x, vector_y = unit_x[inside], unit_y[inside]
    if (person > person[:1]).any():  # of one person alone no two limbs share a cell of a channel
        place = channel * (cells * cells) + cell
        count = np.bincount(place)[place]
        vector_x = np.bincount(place, vector_x)[place] / count
        vector_y = np.bincount(place, vector_y)[place] / count
    vectors = np.stack([vector_x, vector_y]).astype(np.float32)
    place = 2 * channel * (cells * cells) + cell
    pafs = np.zeros(skeleton.NUM_PAFS * cells * cells, dtype)
    pafs[place], pafs[place + cells * cells] = half(vectors) if dtype is np.float16 else vectors
    return pafs.reshape(skeleton.NUM_PAFS, cells, cells)


def _cells_near(
    start: NDArray[np.float64], end: NDArray[np.float64], unit: NDArray[np.float64], cells: int
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Segment number, x and y of all cells that may lie within reach of segments (L, 2) -> (L, 2), and few others.

    Row by row: what lies within reach of the segment's line, and in the segment's own range of columns. All segments
    at once, since a Python loop over limbs would cost more than reading the image; but not their whole windows, which
    for a slanted limb are mostly empty.
    """
    low = np.clip(np.ceil(np.minimum(start, end) - REACH), 0, cells).astype(np.int64)
    high = np.clip(np.floor(np.maximum(start, end) + REACH) + 1, low, cells).astype(np.int64)
    of, y = _ranges(low[:, 1], high[:, 1])
    # The line's points of a row have x = slope * (y - start_y) + start_x; level ones reach over all columns.
    level = np.abs(unit[:, 1]) < _LEVEL
    rise = np.where(level, 1.0, unit[:, 1])
    slope, half_width = np.where(level, 0.0, unit[:, 0] / rise), np.where(level, np.inf, REACH / np.abs(rise))
    offset = start[:, 0] - slope * start[:, 1]
    middle = slope[of] * y + offset[of]
    left = np.maximum(np.ceil(middle - half_width[of] - _ROUNDING), low[of, 0]).astype(np.int64)
    right = np.minimum(np.floor(middle + half_width[of] + _ROUNDING) + 1, high[of, 0]).astype(np.int64)
    row, x = _ranges(left, right)
    return of[row], x, y[row]


def _ranges(first: NDArray[np.int64], last: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Number of its range and value of every integer in the ranges ``first[i]`` up to, without, ``last[i]``."""
    lengths = np.maximum(last - first, 0)
    of = np.repeat(np.arange(len(first)), lengths)
    ends = np.cumsum(lengths)
    return of, np.arange(len(of)) + (first - ends + lengths)[of]
