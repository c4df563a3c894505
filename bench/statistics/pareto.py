"""Pareto front of one or two maximised objectives, and its hypervolume."""

import numpy as np


def on_front(values: np.ndarray) -> np.ndarray:
    """Return which rows are on the front: no other is at least as good in every column and better in one.

    Args:
        values: Array (trials, objectives) of 1 or 2 objectives, all maximised; NaN where not measured (in an array of
            objects, None counts as NaN).

    Returns:
        Booleans (trials). A row with a NaN is never on the front and beats nothing; equal rows are on it together.

    Raises:
        ValueError: There are more than 2 objectives.
    """
    values = _two_columns(values)
    front = np.zeros(len(values), dtype=bool)
    known = np.flatnonzero(np.isfinite(values).all(axis=1))
    best_second, first_of_best = -np.inf, np.nan
    for row in known[np.lexsort((-values[known, 1], -values[known, 0]))]:  # by first column, descending
        first, second = values[row]
        if second > best_second or (second == best_second and first == first_of_best):
            front[row] = True
            best_second, first_of_best = second, first
    return front


def hypervolume(values: np.ndarray) -> float:
    """Return the exact area between the origin and the front; with one objective the best value above 0.

    The origin is the reference point: AP 0 at 0 images/s, the worst possible.

    Args:
        values: As in `on_front`. A row that is not above 0 in every column adds nothing.

    Raises:
        ValueError: There are more than 2 objectives.
    """
    values = _two_columns(values)
    front = np.unique(values[on_front(values) & (values > 0).all(axis=1)], axis=0)
    # np.unique sorts by the first column, ascending; on a front the second then descends.
    widths = np.diff(front[:, 0], prepend=0.0)
    return float(widths @ front[:, 1])


def hypervolume_history(values: np.ndarray) -> np.ndarray:
    """Return the `hypervolume` of the first k rows, for k = 1 to all: array (trials), never falling."""
    values = np.asarray(values, dtype=float)
    kept = values[:0]
    areas = np.zeros(len(values))
    for row in range(len(values)):
        kept = np.vstack([kept, values[row : row + 1]])
        kept = kept[on_front(kept)]
        areas[row] = hypervolume(kept)
    return areas


def _two_columns(values: np.ndarray) -> np.ndarray:
    """Return floats (trials, 2); a single objective gets a second column of ones."""
    values = np.asarray(values, dtype=float)
    values = values[:, None] if values.ndim == 1 else values
    if values.shape[1] == 1:
        return np.hstack([values, np.ones_like(values)])
    if values.shape[1] != 2:
        raise ValueError(f"a front has 1 or 2 objectives, not {values.shape[1]}")
    return values
