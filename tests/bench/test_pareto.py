"""Fronts and hypervolumes against their definitions."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from bench.statistics.pareto import hypervolume, hypervolume_history, on_front

NAN = float("nan")
COARSE = st.one_of(st.integers(-1, 5).map(float), st.just(NAN))
"""Few values, so that ties and duplicates are common."""


def rows(columns):
    shape = st.tuples(st.integers(0, 12), st.just(columns))
    return arrays.arrays(float, shape, elements=COARSE)


def beats(one, other):
    return (one >= other).all() and (one > other).any()


def front_by_definition(values):
    known = np.isfinite(values).all(axis=1)
    return np.array(
        [
            known[i] and not any(known[j] and beats(values[j], values[i]) for j in range(len(values)))
            for i in range(len(values))
        ],
        dtype=bool,
    )


def area_by_counting(values):
    """The unit cells below at least one row: exact for whole numbers."""
    known = values[np.isfinite(values).all(axis=1)]
    return sum(
        any((row >= corner).all() for row in known) for corner in np.ndindex(*(6,) * values.shape[1]) if min(corner) > 0
    )


@given(rows(2))
def test_the_front_is_what_no_other_row_beats(values):
    assert on_front(values).tolist() == front_by_definition(values).tolist()


@given(rows(1))
def test_with_one_objective_it_is_the_highest(values):
    assert on_front(values).tolist() == front_by_definition(values).tolist()
    assert on_front(values[:, 0]).tolist() == on_front(values).tolist()


@given(rows(2))
def test_the_hypervolume_is_the_area_below_the_rows(values):
    assert hypervolume(values) == area_by_counting(values)


@given(rows(1))
def test_with_one_objective_the_hypervolume_is_the_best_value(values):
    assert hypervolume(values) == area_by_counting(values)


@given(rows(2))
def test_the_history_is_the_hypervolume_of_each_beginning(values):
    assert hypervolume_history(values).tolist() == [hypervolume(values[: k + 1]) for k in range(len(values))]


@given(st.permutations(range(5)))
def test_the_order_of_the_rows_changes_nothing(order):
    values = np.array([[1, 5], [2, 4], [2, 4], [1, 4], [3, 1]], dtype=float)
    assert on_front(values[order]).tolist() == np.array([True, True, True, False, True])[order].tolist()
    assert hypervolume(values[order]) == pytest.approx(5 + 4 + 1)


def test_none_counts_as_not_measured():
    assert on_front(np.array([[0.3, None], [0.2, 50.0]], dtype=object)).tolist() == [False, True]


def test_no_rows():
    assert on_front(np.zeros((0, 2))).tolist() == []
    assert hypervolume(np.zeros((0, 2))) == 0
    assert hypervolume_history(np.zeros((0, 2))).tolist() == []


def test_three_objectives_are_refused():
    with pytest.raises(ValueError, match="1 or 2 objectives"):
        on_front(np.zeros((2, 3)))
