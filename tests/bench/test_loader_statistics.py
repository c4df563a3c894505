"""What intervals of loader studies promise, on a few studies of known truth; tests/proofs/test_loader_statistics.py has
hundreds."""

import itertools
import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from bench.kinds.loaders.analysis.findings import Comparison, Ratio
from bench.kinds.loaders.analysis.ratios import (
    ALPHA,
    FLOOR,
    TOO_WIDE,
    Paired,
    Ratios,
    Times,
    _freedom,
    _separated,
    _within,
    is_disturbed_by_others,
    level_at,
    looks,
    paired,
    pairs_of,
    ratio_columns,
    seconds_per_image,
    speed_ratios,
    speeds,
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


NAN = math.nan


def quantile(freedom, level):
    """The two-sided one of Student's t."""
    return stats.t.ppf(1 - level / 2, freedom)


def ends(value, reach, n):
    return Ratio(*map(pytest.approx, (value, value * math.exp(-reach), value * math.exp(reach))), n)


def test_a_pair_is_the_ratio_of_means_and_the_scatter_round_it():
    """In blocks of 1 and 2 s against 2 and 2 s, a third of each mean is scatter, one way and the other."""
    found = paired(np.array([1.0, 2.0, NAN]), np.array([2.0, 2.0, 9.0]))
    assert found == Paired(pytest.approx(math.log(2 / 1.5)), pytest.approx(2 / 9), 2)
    assert paired(np.array([1.0]), np.array([2.0])) == Paired(math.log(2), pytest.approx(NAN, nan_ok=True), 1)
    assert str(paired(np.array([NAN]), np.array([2.0]))) == "Paired(log=nan, variance=nan, n=0)"


def test_an_interval_of_two_takes_their_own_scatter():
    times = Times(("a", "b"), np.array([[1.0, 2.0], [2.0, 2.0]]))
    assert Ratios(times, 0.5).between("a", "b") == ends(4 / 3, quantile(1, 0.5) * math.sqrt(2 / 9 / 2), 2)
    assert Ratios(times, 0.5).between("b", "a") == ends(3 / 4, quantile(1, 0.5) * math.sqrt(2 / 9 / 2), 2)
    alike = Times(("a", "b"), np.ones((4, 2)))
    assert Ratios(alike, 0.05).between("a", "b") == ends(1.0, quantile(3, 0.05) * FLOOR / 2, 4), "less is chance"


def test_an_interval_is_the_longer_one_of_pooled_and_own_scatter():
    """Four blocks, in which `c` scatters three times as much as the others, all independently."""
    unit = 0.01
    signs = np.array([[1, 1, 3], [-1, 1, -3], [1, -1, -3], [-1, -1, 3]])
    ratios = Ratios(Times(("a", "b", "c"), 1 + unit * signs), 0.05)
    each = 4 * unit**2 / 3
    pooled = quantile(6, 0.05) * math.sqrt((2 + 10 + 10) / 3 * each / 4)
    own = quantile(10**2 * 3 / (1 + 81), 0.05) * math.sqrt(10 * each / 4)
    assert own > pooled > quantile(6, 0.05) * math.sqrt(2 * each / 4)
    assert ratios.between("a", "b") == ends(1.0, pooled, 4)
    assert ratios.between("a", "c") == ends(1.0, own, 4)


def test_an_interval_that_says_nothing_is_none():
    reach = math.log(TOO_WIDE)
    assert _within(2.0, reach, 3) == Ratio(2.0, pytest.approx(0.5), pytest.approx(8.0), 3)
    assert _within(2.0, reach * 1.001, 3) == Ratio(2.0, None, None, 3)


def test_a_table_s_freedom_is_its_cells_less_those_that_its_means_take():
    assert _freedom(np.ones((4, 3))) == 12 - 4 - 3 + 1
    holes = np.ones((4, 3))
    holes[0] = [1, NAN, NAN]
    assert _freedom(holes) == 9 - 3 - 3 + 1, "a block of one tells nothing"
    holes[1:, 2] = [1, NAN, NAN]
    assert _freedom(holes) == 6 - 3 - 2 + 1, "nor does what was measured in one block"
    assert _freedom(np.ones((1, 3))) == 1


def test_a_configuration_s_scatter_is_told_from_that_of_its_pairs():
    three = [(0, 1), (0, 2), (1, 2)]

    def told(pairs, variances, count, weights=None):
        given = np.array(weights or [1.0] * len(variances))
        pairs = {pair: Paired(0.0, NAN, 2) for pair in pairs}
        return _separated(pairs, given, np.array(variances), count)

    assert told(three, [3.0, 4.0, 5.0], 3) == pytest.approx([1, 2, 3])
    assert told(three, [1.0, 4.0, 5.0], 3) == pytest.approx([10 / 3 / 8, 1, 4]), "none is free of chance"
    assert told(three, [1.0, 4.0, 5.0], 3, [1.0, 1.0, 2.0]) == pytest.approx([15 / 4 / 8, 1, 4])
    assert told([(0, 1)], [3.0], 2) is None
    assert told(three[:2], [3.0, 4.0], 3) is None, "fewer pairs than configurations"
    circle = [(0, 1), (1, 2), (2, 3), (0, 3)]
    assert told(circle, [1.0, 1.0, 1.0, 1.0], 4) is None, "any share of each may be the neighbours'"
    four = [*itertools.combinations(range(4), 2)]
    weighed = told(four, [2.0, 2.0, 2.0, 2.0, 2.0, 5.0], 4, [1.0] * 5 + [1e6])
    assert weighed[2] + weighed[3] == pytest.approx(5.0, rel=1e-4), "what is known best counts most"


def test_speeds_have_the_larger_one_of_their_own_and_the_usual_scatter():
    """Variances of 0 and 1/2 of the squared means: 1/4 is usual."""
    seconds = np.array([[0.01, 0.01, 0.02, NAN], [0.01, 0.03, NAN, NAN]])
    steady, odd, once, never = speeds(Times(tuple("abcd"), seconds), 0.5)
    assert steady == ends(100.0, quantile(1, 0.5) * math.sqrt(0.25 / 2), 2)
    assert odd == ends(50.0, quantile(1, 0.5) * math.sqrt(0.5 / 2), 2)
    assert once == Ratio(50.0, None, None, 1)
    assert (math.isnan(never.value), never.low, never.high, never.n) == (True, None, None, 0)
    (alike,) = speeds(Times(("a",), np.full((4, 1), 0.01)), 0.05)
    assert alike == ends(100.0, quantile(3, 0.05) * FLOOR / 2, 4)


def test_ratios_of_columns_have_the_larger_one_of_their_own_and_the_usual_scatter():
    same, one, two = np.ones(3), np.array([1.0, 2.0]), np.array([2.0, 2.0])
    once = np.array([4.0])
    steady, odd, single, never = speed_ratios([(same, same), (one, two), (once, once / 2), (once, once * NAN)], 0.5)
    assert steady == ends(1.0, quantile(3, 0.5) * math.sqrt(2 / 9 / 3 / 3), 3)
    assert odd == ends(4 / 3, quantile(3, 0.5) * math.sqrt(2 / 9 / 2), 2)
    assert single == Ratio(pytest.approx(0.5), None, None, 1)
    assert (math.isnan(never.value), never.low, never.high, never.n) == (True, None, None, 0)
    assert speed_ratios([(same, same)], 0.05) == [ends(1.0, quantile(2, 0.05) * FLOOR / math.sqrt(3), 3)]
    assert speed_ratios([(once, once)], 0.05) == [Ratio(1.0, None, None, 1)]


def test_times_are_seconds_for_an_image_and_their_means_leave_gaps_out():
    at = pd.MultiIndex.from_tuples([(3, "a"), (5, "a"), (5, "b")])
    times = seconds_per_image(pd.DataFrame({"cpu_s": [2.0, 8.0, 1.0], "images": [4, 4, 10]}, index=at), "abc", [3, 5])
    assert times.keys == ("a", "b", "c")
    assert np.array_equal(times.seconds, [[0.5, NAN, NAN], [2.0, 0.1, NAN]], equal_nan=True)
    assert np.array_equal(times.means, [1.25, 0.1, NAN], equal_nan=True)
    assert np.array_equal(times.column("b"), [NAN, 0.1], equal_nan=True)


def test_columns_of_ratios_have_gaps_for_what_is_unknown():
    found = ratio_columns("of", [Ratio(2.0, 1.0, 3.0, 2), None, Ratio(2.0, None, None, 1)])
    assert str(found) == "{'of': [2.0, nan, 2.0], 'of_low': [1.0, nan, nan], 'of_high': [3.0, nan, nan]}"


def test_a_slice_is_dropped_above_a_twentieth_more_than_usual():
    shares = [0.25, 0.25, 0.25, 0.3, 0.31, NAN]
    found = is_disturbed_by_others(pd.DataFrame({"others_share": shares}))
    assert found.tolist() == [False, False, False, False, True, False]
    assert len(is_disturbed_by_others(pd.DataFrame())) == 0


def test_the_error_level_is_shared_by_the_looks_in_proportion_to_their_blocks():
    plan = Comparison((4, 6, 10), 1)
    assert [level_at(plan, blocks) for blocks in (1, 4, 5, 6, 7, 10, 11)] == pytest.approx(
        [ALPHA * each / 20 for each in (4, 4, 6, 6, 10, 10, 10)]
    )
    assert sum(level_at(plan, look) for look in plan.looks) == pytest.approx(0.05)
