"""What intervals of loader studies promise, on a few studies of known truth; tests/proofs/test_loader_statistics.py has
hundreds."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.kinds.loaders.analysis.findings import Comparison
from bench.kinds.loaders.analysis.ratios import (
    ALPHA,
    TOO_WIDE,
    Ratios,
    Times,
    is_disturbed_by_others,
    level_at,
    looks,
    paired,
    pairs_of,
)
from tests.support.loader_worlds import NOISES, excludes_truth, finds, simulated_frames, with_costs


def test_looks_grow_and_end_with_the_last_block():
    assert looks(28, 4) == (4, 6, 9, 13, 19, 28)
    assert looks(10, 4) == (4, 6, 10)
    assert looks(3, 4) == looks(3, 3) == (3,)
    assert pairs_of([5, 5, 3]) == 23
    assert pairs_of([1]) == 1


@given(st.integers(1, 200), st.integers(1, 12))
def test_looks_ascend_and_their_levels_sum_to_what_a_study_may_spend(blocks, least):
    found = looks(blocks, least)
    assert found[-1] == blocks
    assert all(a < b for a, b in itertools.pairwise(found))
    plan = Comparison(found, 1)
    assert sum(level_at(plan, at) for at in found) == pytest.approx(ALPHA)
    assert level_at(plan, max(1, found[0] - 1)) == level_at(plan, found[0])
    assert level_at(plan, blocks + 1) == level_at(plan, blocks)


TABLES = st.integers(2, 5).flatmap(
    lambda count: st.lists(
        st.lists(st.floats(0.5, 2.0), min_size=count, max_size=count), min_size=2, max_size=8
    )
)  # fmt: skip


@given(TABLES)
def test_a_ratio_is_the_other_one_turned_round_and_lies_in_its_interval(table):
    seconds = np.array(table)
    ratios = Ratios(Times(tuple(map(str, range(seconds.shape[1]))), seconds), 0.01)
    for a, b in itertools.permutations(ratios.times.keys, 2):
        one, other = ratios.between(a, b), ratios.between(b, a)
        assert one.value == pytest.approx(1 / other.value)
        assert (one.low is None) == (other.high is None)
        if one.low is not None:
            assert one.value / TOO_WIDE <= one.low <= one.value <= one.high <= one.value * TOO_WIDE
            assert one.low == pytest.approx(1 / other.high)
        assert one.value == pytest.approx(seconds[:, int(b)].mean() / seconds[:, int(a)].mean())


@given(TABLES)
def test_a_missing_cell_leaves_its_block_out(table):
    seconds = np.array(table)
    whole = paired(seconds[:, 0], seconds[:, 1])
    longer = np.vstack([seconds, np.full(seconds.shape[1], np.nan)])
    longer[-1, 0] = 1.0
    assert paired(longer[:, 0], longer[:, 1]) == whole


def test_what_slows_a_block_down_for_all_widens_no_interval_much():
    alike = np.array([[1.0, 2.0], [1.01, 1.99], [0.99, 2.01], [1.0, 2.0]])
    drifting = alike * np.array([[1.0], [2.0], [1.0], [2.0]])
    found = Ratios(Times(("a", "b"), drifting), 0.05).between("a", "b")
    assert found.low > 1.9
    assert found.high < 2.1


def test_equal_blocks_are_not_believed_to_be_free_of_chance():
    found = Ratios(Times(("a", "b"), np.array([[1.0, 2.0]] * 4)), 0.01).between("a", "b")
    assert found.value == 2
    assert found.low < 2 < found.high


def test_one_block_has_no_interval():
    found = Ratios(Times(("a", "b"), np.array([[1.0, 2.0]])), 0.01).between("a", "b")
    assert (found.value, found.low, found.high, found.n) == (2, None, None, 1)
    nothing = Ratios(Times(("a", "b"), np.array([[1.0, np.nan]])), 0.01).between("a", "b")
    assert nothing.n == 0


def test_slices_are_dropped_by_what_others_take_more_than_usual():
    _, slices = simulated_frames(NOISES["bursts"], 0, 10)
    assert (is_disturbed_by_others(slices) == (slices["others_share"] > 0.1)).all()
    assert not is_disturbed_by_others(slices.assign(others_share=np.nan)).any()
    assert not is_disturbed_by_others(slices.assign(others_share=0.4)).any(), "that is usual here"


@pytest.mark.parametrize("name", NOISES)
def test_few_studies_exclude_the_truth(name, studies=12):
    assert sum(excludes_truth(NOISES[name], seed, 28) for seed in range(studies)) <= max(2, 0.05 * studies)


def test_a_difference_of_five_percent_is_found(studies=10):
    world = with_costs(NOISES["quiet"], 1, 1, 1, 1, 0.95)
    assert sum(finds(world, seed, 28, fast=4, slow=0) for seed in range(studies)) >= 0.8 * studies
