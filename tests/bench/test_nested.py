"""Claims about procedures: known answers by hand, what Shaffer adds to Holm, how often a claim is false."""

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import stats

from bench.statistics.counts import count_interval, fisher_p
from bench.statistics.looks import LOOKS, detectable_gap, sequential
from bench.statistics.nested import (
    claimed_signs,
    difference_intervals,
    may_be_best,
    optimizer_mean_intervals,
    pair_tests,
    tuning_spreads,
)
from bench.statistics.p_values import holm
from bench.statistics.shaffer import shaffer, step_factors, true_counts

FLOOR = 0.02


def one(tuned, **options):
    """Spreads and tests of one study, from its tunings' means by optimizer."""
    found = tuning_spreads(np.asarray(tuned, dtype=float)[None, :, :, None], floor=FLOOR)
    return found, pair_tests(found, **options)


# --- Shaffer ---


def test_pairs_that_can_be_equal_at_once():
    assert true_counts(3) == (0, 1, 3)
    assert true_counts(4) == (0, 1, 2, 3, 6)
    assert true_counts(5) == (0, 1, 2, 3, 4, 6, 10)  # as in Shaffer's table
    assert true_counts(6) == (0, 1, 2, 3, 4, 6, 7, 10, 15)
    assert step_factors(3).tolist() == [3, 1, 1]
    assert step_factors(4).tolist() == [6, 3, 3, 3, 2, 1]
    assert step_factors(6).tolist() == [15, 10, 10, 10, 10, 10, 7, 7, 7, 6, 4, 4, 3, 2, 1]
    assert len(step_factors(64)) == 2016
    with pytest.raises(ValueError, match="read-only"):
        step_factors(3)[0] = 1  # all who ask get the same array
    assert step_factors(1).size == step_factors(0).size == 0


def test_shaffer_of_three_by_hand():
    assert shaffer(np.array([0.03, 0.01, 0.04]), 3) == pytest.approx([0.03, 0.03, 0.04])  # Holm: .06, .03, .06
    assert shaffer(np.array([0.2, 0.5, 0.1]), 3) == pytest.approx([0.3, 0.5, 0.3])
    found = shaffer(np.array([0.01, np.nan, 0.02]), 3)
    assert found[[0, 2]] == pytest.approx([0.03, 0.03])
    assert np.isnan(found[1])
    assert shaffer(np.empty((4, 0)), 1).shape == (4, 0)
    with pytest.raises(ValueError, match="3 groups have 3 pairs, not 2"):
        shaffer(np.array([0.1, 0.2]), 3)


@st.composite
def families(draw):
    groups = draw(st.integers(2, 8))
    p = st.one_of(st.floats(0, 1), st.floats(0, 0.05), st.just(float("nan")))
    return groups, draw(arrays(float, groups * (groups - 1) // 2, elements=p))


@given(families(), st.randoms())
def test_shaffer_is_never_weaker_than_holm_nor_than_no_correction(family, random):
    groups, p = family
    found = shaffer(p, groups)
    known = ~np.isnan(p)
    assert (np.isnan(found) == ~known).all()
    assert (found[known] <= holm(p)[known] + 1e-15).all()
    assert (found[known] >= p[known]).all()
    order = np.argsort(p[known])
    assert (np.diff(found[known][order]) >= 0).all()
    assert found[known].size == 0 or found[known].max() <= 1
    places = list(range(len(p)))
    random.shuffle(places)
    np.testing.assert_array_equal(shaffer(p[places], groups), found[places])
    np.testing.assert_array_equal(shaffer(np.stack([p, p[places]]), groups), np.stack([found, found[places]]))


# --- one study by hand ---

STEADY = [[0.30, 0.32, 0.31], [0.20, 0.23, 0.20], [0.25, 0.25, 0.28]]


def test_two_way_variances_by_hand():
    found, tests = one(STEADY, margin=0.005)
    table = np.array(STEADY)
    residuals = table - table.mean(axis=0) - table.mean(axis=1, keepdims=True) + table.mean()
    pooled = (residuals**2).sum() / 4  # (k - 1)(R - 1)
    own = (residuals**2).sum(axis=1) / 2 * 3 / 2
    assert found.pooled_variance[0] == pytest.approx(pooled)
    assert found.variances[0] == pytest.approx(np.maximum(own, pooled))
    assert found.freedoms[0].tolist() == [4, 4, 4]
    assert found.means[0] == pytest.approx(table.mean(axis=1))
    error = np.sqrt((found.variances[0, 0] + found.variances[0, 1]) / 3)
    difference = 0.31 - 0.21
    assert tests.p[0, 0] == pytest.approx(2 * stats.t.sf((difference - 0.005) / error, 4))
    assert tests.sds[0, 0] == pytest.approx(error * np.sqrt(3))
    low, high = difference_intervals(tests)
    free = [2 if each > pooled else 4 for each in own]  # who has a variance of his own has no more of it
    a, b = found.variances[0, :2]
    welch = (a + b) ** 2 / (a**2 / free[0] + b**2 / free[1])
    reach = stats.t.ppf(0.975, min(4, welch)) * error
    assert (low[0, 0], high[0, 0]) == pytest.approx((difference - reach, difference + reach))
    assert 2 in free, "the case has one"
    assert tests.adjusted[0] == pytest.approx(shaffer(tests.p[0], 3))


def test_two_optimizers_are_a_paired_t_test():
    a, b = [0.30, 0.34, 0.31, 0.37], [0.22, 0.23, 0.26, 0.24]
    _, tests = one([a, b], margin=0.0)
    assert tests.p[0, 0] == pytest.approx(stats.ttest_rel(a, b).pvalue)


def test_an_optimizer_that_collapsed_is_judged_by_its_own_spread_and_has_no_interval():
    collapsed = [0.28, 0.0, 0.26]
    found, tests = one([*STEADY[:2], collapsed], margin=0.0)
    alone, pair = one(STEADY[:2], margin=0.0)
    assert found.steady[0].tolist() == [True, True, False]
    assert found.variances[0, :2] == pytest.approx(alone.variances[0])  # the third says nothing of these
    assert tests.p[0, 0] == pytest.approx(pair.p[0, 0])
    blocks = np.mean(STEADY[:2], axis=0)
    own = np.var(np.array(collapsed) - blocks, ddof=1)
    assert found.variances[0, 2] == pytest.approx(own)
    a, b = found.variances[0, 0], own
    freedom = (a + b) ** 2 / (a**2 / 2 + b**2 / 2)
    t = (0.31 - 0.18) / np.sqrt((a + b) / 3)
    assert tests.p[0, 1] == pytest.approx(2 * stats.t.sf(t, freedom))
    low, _ = difference_intervals(tests)
    assert np.isnan(low[0]).tolist() == [False, True, True]
    ends = optimizer_mean_intervals(found)
    assert np.isnan(ends[0][0]).tolist() == np.isnan(ends[1][0]).tolist() == [False, False, True]


def test_one_seed_under_the_floor_makes_an_optimizer_unsteady():
    scores = np.full((1, 2, 3, 2), 0.3)
    scores[0, 1, 2, 0] = 0.019
    assert tuning_spreads(scores, floor=FLOOR).steady.tolist() == [[True, False]]
    scores[0, 1, 2, 0] = 0.02
    assert tuning_spreads(scores, floor=FLOOR).steady.all()


@pytest.mark.parametrize("tuned", [[STEADY[0], [0, 0.2, 0]], [[0.3, 0, 0.3], [0, 0, 0.3]]])
def test_with_one_or_no_steady_optimizer_spreads_are_plain_and_freedoms_small(tuned):
    found, tests = one(tuned, margin=0.0)
    raw = np.var(tuned, axis=1, ddof=1)
    least = [0, raw[0]] if found.steady.any() else raw.mean()
    assert found.variances[0] == pytest.approx(np.maximum(raw, least))
    assert (found.freedoms == 2).all()
    assert np.isnan(found.pooled_variance[0])
    assert 0 < tests.p[0, 0] < 1


def test_one_tuning_or_one_optimizer_claims_nothing():
    found, tests = one([[0.3], [0.1], [0.2]])
    assert np.isnan(tests.p).all()
    assert np.isnan(difference_intervals(tests)).all()
    assert np.isnan(optimizer_mean_intervals(found)).all()
    assert (claimed_signs(tests) == 0).all()
    found, tests = one([[0.3, 0.31, 0.33]])
    assert tests.p.shape == (1, 0)
    low, high = optimizer_mean_intervals(found)
    assert (low[0, 0], high[0, 0]) == pytest.approx(stats.t.interval(0.95, 2, found.means[0, 0], stats.sem(STEADY_ONE)))
    assert may_be_best(claimed_signs(tests), 1).tolist() == [[True]]
    found, tests = one(np.empty((0, 3)))
    assert tests.p.shape == (1, 0)


STEADY_ONE = [0.3, 0.31, 0.33]


def test_without_any_spread_there_is_no_t():
    _, tests = one([[0.3] * 3, [0.2] * 3, [0.297] * 3])
    assert np.isnan(tests.p[0, [0, 2]]).all()
    assert tests.p[0, 1] == 1, "within the margin"
    assert (claimed_signs(tests) == 0).all()
    found, tests = one([[0.3, 0.4, 0.35], [0.2, 0.3, 0.25], [0.1, 0.2, 0.15]])  # but for the blocks
    assert (found.variances == 0).all()
    assert np.isnan(tests.p).all()
    low, high = difference_intervals(tests)
    assert low == pytest.approx(high)


def test_a_difference_within_the_margin_is_none():
    tuned = np.array([[0.300, 0.3001, 0.3002], [0.2955, 0.2957, 0.2956]])
    _, tests = one(tuned, margin=0.005)
    assert tests.p[0, 0] == 1
    assert one(tuned, margin=0.0)[1].p[0, 0] < 0.01


def test_intervals_of_means_stay_where_scores_are():
    found, _ = one([[0.05, 0.2, 0.1], [0.9, 0.99, 0.95]])
    low, high = optimizer_mean_intervals(found)
    assert low.min() >= 0
    assert high.max() <= 1
    assert (low <= found.means).all()
    assert (found.means <= high).all()


def test_incomplete_tunings_are_refused():
    with pytest.raises(ValueError, match="leave incomplete tunings out"):
        tuning_spreads(np.full((1, 2, 3, 1), np.nan), floor=FLOOR)


def test_the_best_are_those_that_no_claim_beats():
    signs = np.array([[1, 1, 0], [0, 0, 0], [0, -1, -1]])  # pairs 0-1, 0-2, 1-2
    assert may_be_best(signs, 3).tolist() == [[True, False, False], [True, True, True], [False, False, True]]


@given(arrays(float, (4, 3, 2), elements=st.floats(0, 1)), st.permutations(range(4)))
def test_names_and_order_change_nothing(scores, order):
    found = tuning_spreads(scores[None], floor=FLOOR)
    turned = tuning_spreads(scores[None, order], floor=FLOOR)
    np.testing.assert_allclose(turned.variances, found.variances[:, order], rtol=1e-7, atol=1e-18)
    p = dict(zip(combinations(range(4), 2), pair_tests(found).p[0], strict=True))
    for (a, b), value in zip(combinations(range(4), 2), pair_tests(turned).p[0], strict=True):
        np.testing.assert_allclose(value, p[tuple(sorted((order[a], order[b])))], rtol=1e-5, atol=1e-12)


@given(arrays(float, (3, 4, 3, 2), elements=st.floats(0, 1)))
def test_studies_at_once_are_studies_one_by_one(scores):
    together = pair_tests(tuning_spreads(scores, floor=FLOOR))
    for number, own in enumerate(scores):
        alone = pair_tests(tuning_spreads(own[None], floor=FLOOR))
        np.testing.assert_array_equal(alone.adjusted[0], together.adjusted[number])
    best = may_be_best(claimed_signs(together), 4)
    assert best.any(axis=1).all(), "somebody may always be the best"
    leaders = tuning_spreads(scores, floor=FLOOR).means.argmax(axis=1)
    assert best[np.arange(3), leaders].all()


# --- many studies ---


def draw(rng, studies, sds, tunings=3, *, gap=0.0, block=0.01):
    errors = rng.normal(size=(studies, len(sds), tunings)) * np.asarray(sds)[:, None]
    errors[:, 0] += gap
    return (0.4 + errors + block * rng.normal(size=(studies, 1, tunings)))[..., None]


@pytest.mark.parametrize("tunings", [3, 4])
@pytest.mark.parametrize("sds", [[0.015] * 6, np.linspace(0.005, 0.03, 6), [0.01] * 5 + [0.05], [0.015] * 2])
def test_equal_procedures_are_rarely_told_apart_and_intervals_cover(sds, tunings):
    scores = draw(np.random.default_rng(len(sds)), 2000, sds, tunings)
    found = tuning_spreads(scores, floor=FLOOR)
    tests = pair_tests(found, margin=0.0)
    assert (claimed_signs(tests) != 0).any(axis=1).mean() <= 0.065
    low, high = difference_intervals(tests)
    covered = ((low <= 0) & (high >= 0)).mean(axis=0)
    assert covered.mean() >= 0.93
    assert covered.min() >= 0.89
    low, high = optimizer_mean_intervals(found)
    covered = ((low <= 0.4) & (high >= 0.4)).mean(axis=0)
    assert covered.mean() >= 0.93
    assert covered.min() >= 0.89


def test_six_that_learn_in_one_tuning_of_two_are_rarely_told_apart():
    rng = np.random.default_rng(0)
    learned = rng.random((2000, 6, 3)) < 0.5
    scores = np.where(learned, 0.3 + 0.01 * rng.normal(size=learned.shape), 0.0)[..., None]
    signs = claimed_signs(pair_tests(tuning_spreads(scores, floor=FLOOR)))
    assert (signs != 0).any(axis=1).mean() <= 0.01


@pytest.mark.parametrize(("tunings", "gap"), [(3, 4.2), (4, 3.3), (5, 2.8), (6, 2.5)])
def test_the_gap_that_six_optimizers_show(tunings, gap):
    assert detectable_gap(tunings, 6) == pytest.approx(gap, abs=0.1)
    scores = draw(np.random.default_rng(1), 2000, [0.01] * 6, tunings, gap=0.01 * gap)
    signs = claimed_signs(pair_tests(tuning_spreads(scores, floor=FLOOR), margin=0.0))
    assert (signs[:, :5] > 0).mean() == pytest.approx(0.8, abs=0.03)


def test_fewer_tunings_or_stricter_looks_show_less():
    assert detectable_gap(3, 6, alpha=LOOKS[3]) > detectable_gap(3, 6) > detectable_gap(4, 6)
    assert np.isnan(detectable_gap(1, 6))
    assert np.isnan(detectable_gap(3, 1))


# --- looks ---


def tunings_of(*rows):
    """Scores (optimizers, tunings, 1) of rows of unequal length."""
    longest = max(map(len, rows))
    return np.array([[*row, *[np.nan] * (longest - len(row))] for row in rows])[..., None]


BEST = [0.40, 0.41, 0.40, 0.42, 0.41, 0.40]
NEAR = [0.38, 0.40, 0.385, 0.395, 0.39, 0.38]
POOR = [0.10, 0.11, 0.11]


def test_whoever_is_beaten_leaves_and_is_not_waited_for():
    looks = sequential(tunings_of(BEST[:3], POOR, NEAR[:3]), floor=FLOOR)
    (first,) = looks
    assert (first.tunings, first.level, first.compared) == (3, 0.0124, (0, 1, 2))
    assert {(claim.winner, claim.loser) for claim in first.claims} == {(0, 1), (2, 1)}
    assert (first.eliminated, first.remaining, first.decided) == ((1,), (0, 2), False)
    scores = tunings_of(BEST[:4], POOR, NEAR[:4])
    again = sequential(scores, floor=FLOOR)
    assert again[0] == first
    assert [look.compared for look in again] == [(0, 1, 2), (0, 2)]
    assert first.remaining == (0, 2)
    assert sequential(tunings_of(BEST[:2], POOR[:2], NEAR[:2]), floor=FLOOR) == [], "before the first look"


def test_a_look_waits_for_all_that_are_in():
    assert sequential(tunings_of(BEST[:3], POOR[:2], NEAR[:3]), floor=FLOOR) == []
    two_seeds = np.repeat(tunings_of(BEST[:3], POOR, NEAR[:3]), 2, axis=2)
    two_seeds[1, 2, 1] = np.nan
    assert sequential(two_seeds, floor=FLOOR) == []


def test_a_claim_is_never_revoked_and_the_last_one_left_ends_it():
    """What an optimizer that has left would have scored later changes nothing."""
    rows = tunings_of(BEST, [*POOR, 0.9, 0.9, 0.9])
    (look,) = sequential(rows, floor=FLOOR)
    assert look.decided
    assert look.remaining == (0,)
    assert look.claims[0].p < 0.0124


def test_looks_end_with_the_last_level():
    same = [0.3, 0.31, 0.32, 0.3, 0.31, 0.32, 0.3]
    other = [0.31, 0.3, 0.31, 0.31, 0.32, 0.3, 0.31]
    assert [look.tunings for look in sequential(tunings_of(same, other), floor=FLOOR)] == [3, 4, 5, 6]
    assert sequential(tunings_of(same), floor=FLOOR) == []


def test_four_looks_at_equal_optimizers_claim_rarely():
    rng = np.random.default_rng(0)
    found = [sequential(scores, floor=FLOOR, margin=0.0) for scores in draw(rng, 500, [0.015] * 6, 6)]
    assert np.mean([any(look.claims for look in looks) for looks in found]) <= 0.065


# --- counts ---


def test_a_rate_seen_once_in_three_is_nearly_unknown():
    assert count_interval(1, 3) == pytest.approx((0.0084, 0.9057), abs=1e-4)
    assert count_interval(0, 3) == pytest.approx((0, 0.7076), abs=1e-4)
    assert count_interval(3, 3) == pytest.approx((0.2924, 1), abs=1e-4)
    assert count_interval(0, 0) == (0, 1)
    reference = stats.binomtest(4, 9).proportion_ci(method="exact")
    assert count_interval(4, 9) == pytest.approx((reference.low, reference.high))
    with pytest.raises(ValueError, match="count must lie between"):
        count_interval(4, 3)


def test_fisher_s_test_of_two_groups_is_scipy_s_and_of_more_a_count_of_tables():
    assert fisher_p([3, 0], [3, 4]) == pytest.approx(stats.fisher_exact([[3, 0], [0, 4]]).pvalue)
    assert fisher_p([2, 1], [6, 5]) == pytest.approx(stats.fisher_exact([[2, 4], [1, 4]]).pvalue)
    assert fisher_p([3, 0, 0, 0, 0, 0], [3] * 6) == pytest.approx(6 / 816)  # any of six, of 18 over 3
    assert fisher_p([1, 0, 0, 0, 0, 0], [3] * 6) == 1
    assert fisher_p([0, 0], [3, 3]) == fisher_p([3, 3], [3, 3]) == fisher_p([2], [3]) == fisher_p([], []) == 1
    many = fisher_p([6, 0, 1] + [0] * 60, [6] * 63)
    assert many < 0.001
    with pytest.raises(ValueError, match="each of the counts"):
        fisher_p([4, 0], [3, 3])


@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), min_size=1, max_size=4), st.randoms())
def test_fisher_s_p_is_one_and_knows_no_order(pairs, random):
    counts, trials = [min(pair) for pair in pairs], [max(pair) for pair in pairs]
    p = fisher_p(counts, trials)
    assert 0 < p <= 1
    places = list(range(len(pairs)))
    random.shuffle(places)
    assert fisher_p([counts[k] for k in places], [trials[k] for k in places]) == pytest.approx(p)
    missed = [n - count for count, n in zip(counts, trials, strict=True)]
    assert fisher_p(missed, trials) == pytest.approx(p)


def test_fisher_s_test_rarely_rejects_where_all_collapse_alike():
    rng = np.random.default_rng(0)
    rejected = [fisher_p(rng.binomial(3, 0.3, 6).tolist(), [3] * 6) <= 0.05 for _ in range(500)]
    assert np.mean(rejected) <= 0.065
