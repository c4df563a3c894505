"""Where a series becomes steady: constructed series whose answer is known."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.measure.loader.steady import group_length, mser_cut, steady_parts


def series(n, *, seed=0, spread=0.02):
    return 1 + spread * np.random.default_rng(seed).standard_normal(n)


@pytest.mark.parametrize("length", [1, 3, 10])
@pytest.mark.parametrize("factor", [1.5, 3.0, 50.0])
def test_a_slow_start_is_cut_where_it_ends(length, factor):
    values = series(40)
    values[:length] *= factor
    assert mser_cut(values) == (length, True)


def test_a_start_that_is_too_fast_is_cut_too():
    values = series(40)
    values[:8] *= 0.5
    assert mser_cut(values) == (8, True)


@pytest.mark.parametrize("seed", range(20))
def test_a_steady_series_loses_little(seed):
    assert mser_cut(series(40, seed=seed)).values <= 8


@pytest.mark.parametrize("place", [5, 12, 19])
def test_a_single_slow_value_in_the_middle_is_no_start(place):
    values = series(40, seed=3)
    values[place] = 30.0
    assert mser_cut(values).values < place


def test_a_run_that_never_settles_is_not_called_steady():
    assert not mser_cut(np.linspace(10, 1, 30)).settled
    assert not steady_parts([np.linspace(10, 1, 30)]).reached


def test_equal_values_stay_all():
    assert mser_cut(np.ones(12)) == (0, True)


@pytest.mark.parametrize("n", [0, 1])
def test_nothing_is_cut_from_nothing(n):
    assert mser_cut(np.ones(n)) == (0, False)


def test_a_cold_first_epoch_is_left_out_whole():
    epochs = [series(12, seed=1) * 1.6, series(12, seed=2), series(12, seed=3)]
    found = steady_parts(epochs)
    assert found.reached
    kept = [values[part] for values, part in zip(epochs, found.parts, strict=True)]
    assert len(kept[0]) == 0
    assert len(kept[1]) + len(kept[2]) >= 16


def test_each_epoch_has_a_start_of_its_own():
    epochs = [series(20, seed=seed) for seed in range(3)]
    for values in epochs:
        values[:2] *= 4
    found = steady_parts(epochs)
    assert found.reached
    assert all(part.start >= 2 for part in found.parts)


def test_too_few_values_are_never_called_steady():
    assert not steady_parts([series(5)]).reached
    assert not steady_parts([]).reached


def test_rare_slow_values_are_not_what_is_cut():
    """With every twentieth value twice as slow, the mean of what is left stays within 2 % on average."""
    rng, off = np.random.default_rng(0), []
    for _ in range(200):
        epochs = [series(12, seed=int(rng.integers(1e9))) + (rng.random(12) < 0.05) for _ in range(3)]
        kept = np.concatenate([values[part] for values, part in zip(epochs, steady_parts(epochs).parts, strict=True)])
        off.append(kept.mean() / np.concatenate(epochs).mean() - 1)
    assert abs(np.mean(off)) < 0.02


@given(st.lists(st.lists(st.floats(1e-3, 1e3), max_size=30), max_size=4))
def test_parts_lie_inside_their_epochs(epochs):
    arrays = [np.array(values) for values in epochs]
    found = steady_parts(arrays)
    assert len(found.parts) == len(arrays)
    for values, part in zip(arrays, found.parts, strict=True):
        assert 0 <= part.start <= part.stop == len(values)


@given(st.integers(1, 64))
def test_a_group_is_whole_rounds_and_at_least_five(workers):
    length = group_length(workers)
    assert length % workers == 0
    assert 5 <= length < 5 + workers
