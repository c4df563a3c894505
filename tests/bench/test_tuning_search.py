"""One tuning's search: its rounds, where the next points lie, what the finalist is made of."""

import itertools
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.kinds.optimizers.search import Search, TrialOutcome, finalist, next_points, rounds_of

RATE_ALONE = {"defaults": (0.5,), "choices": (0,), "rate_index": 0}
BROKE = TrialOutcome(None)


def search(trials=16, **changes):
    return Search(**{**RATE_ALONE, "trials": trials, "seed": "a", "floor": 0.02} | changes)


def tuned(own, outcome):
    """Points and outcomes of all rounds, and the finalist, where this comes of a point."""
    points, seen = [], []
    for _ in own.rounds:
        points.append(next_points(own, points, seen))
        seen.append([outcome(point, len(seen)) for point in points[-1]])
    return points, seen, finalist(own, points[-1], seen[-1])


def peak(best, width=0.1, top=0.3):
    """A score that is best at one rate, and never at chance near it."""
    return lambda point, _round: TrialOutcome(top * math.exp(-(((point[0] - best) / width) ** 2) / 2), None)


@pytest.mark.parametrize(
    ("trials", "rounds"),
    [
        *((1, (1,)), (2, (2,)), (3, (2, 1)), (5, (4, 1)), (7, (5, 2)), (8, (3, 3, 2)), (10, (4, 4, 2))),
        *((13, (6, 4, 3)), (16, (5, 2, 5, 4)), (25, (10, 2, 7, 6))),
    ],
)
def test_the_rounds_of_a_tuning(trials, rounds):
    assert rounds_of(trials) == rounds


@given(st.integers(1, 100))
def test_rounds_are_made_of_all_trials(trials):
    assert sum(rounds_of(trials)) == trials
    assert all(count > 0 for count in rounds_of(trials))


def test_the_first_round_covers_the_range_evenly_with_everything_else_at_its_default():
    own = search(defaults=(0.5, 0.7, 2.0), choices=(0, 0, 3))
    points = next_points(own, [], [])
    rates = [point[0] for point in points]
    assert [int(5 * rate) for rate in rates] == [0, 1, 2, 3, 4]
    assert [b - a for a, b in itertools.pairwise(rates)] == pytest.approx([0.2] * 4)
    assert {point[1:] for point in points} == {(0.7, 2.0)}


def test_tunings_have_random_numbers_of_their_own_and_the_same_ones_each_time():
    first, again, other = (next_points(search(seed=seed), [], []) for seed in ("a", "a", "b"))
    assert first == again != other


def test_gaps_beside_the_best_are_halved():
    """The best of 0.1, 0.3, 0.5, 0.7, 0.9 is 0.3: 0.2 and 0.4 come next, then what lies beside the better of these."""
    own, points = search(), [[(x,) for x in (0.1, 0.3, 0.5, 0.7, 0.9)]]
    seen = [[TrialOutcome(score) for score in (0.1, 0.3, 0.2, 0.1, 0.1)]]
    points.append(next_points(own, points, seen))
    assert points[-1] == [(pytest.approx(0.2),), (pytest.approx(0.4),)]
    seen.append([TrialOutcome(0.2), TrialOutcome(0.35)])
    found = [rate for (rate,) in next_points(own, points, seen)]
    assert found[:2] == pytest.approx([0.35, 0.45])
    assert len(found) == 5, "where nothing else is searched, the rest are rates, too"
    assert all(0.3 < rate < 0.5 for rate in found[2:])


@pytest.mark.parametrize(
    ("scores", "next_rates"), [((0.5, 0.4, 0.3, 0.2, 0.1), (-0.1, 0.2)), ((0.1, 0.2, 0.3, 0.4, 0.5), (0.8, 1.1))]
)
def test_beyond_an_outermost_best_the_range_does_not_end(scores, next_rates):
    points = [[(x,) for x in (0.1, 0.3, 0.5, 0.7, 0.9)]]
    found = next_points(search(), points, [[TrialOutcome(score) for score in scores]])
    assert [point[0] for point in found] == pytest.approx(next_rates)


@pytest.mark.parametrize("best", [-0.15, 0.0, 0.33, 0.5, 0.81, 1.0, 1.15])
def test_a_peak_is_found_wherever_it_is(best):
    _, _, chosen = tuned(search(), peak(best))
    assert chosen[0] == pytest.approx(best, abs=0.03)


@pytest.mark.parametrize("edge", [0.21, 0.4, 0.64, 0.79])
def test_what_learns_only_just_below_the_cliff_is_found(edge):
    """At chance everywhere but in the last 0.06 of the range below divergence, as SGD is in short runs."""

    def outcome(point, _round):
        return BROKE if point[0] > edge else TrialOutcome(0.2 if point[0] > edge - 0.06 else 0.0)

    _, _, chosen = tuned(search(), outcome)
    assert edge - 0.06 < chosen[0] <= edge


def test_where_nothing_has_learned_the_edge_is_looked_for_above_the_best():
    """A validation loss of 3 where others have 0.9 is as good as divergence: the edge lies between 0.5 and 0.7."""
    points = [[(x,) for x in (0.1, 0.3, 0.5, 0.7, 0.9)]]
    seen = [[TrialOutcome(0.0, 1.0), TrialOutcome(0.0, 0.95), TrialOutcome(0.0, 0.9), TrialOutcome(0.0, 3.0), BROKE]]
    found = next_points(search(), points, seen)
    assert [point[0] for point in found] == pytest.approx((0.5 + 0.2 / 3, 0.5 + 0.4 / 3))


def test_without_losses_the_edge_is_looked_for_below_the_rates_that_broke():
    points = [[(x,) for x in (0.1, 0.3, 0.5, 0.7, 0.9)]]
    seen = [[TrialOutcome(0.0), TrialOutcome(0.0), TrialOutcome(0.0), BROKE, BROKE]]
    found = next_points(search(), points, seen)
    assert [point[0] for point in found] == pytest.approx((0.5 + 0.2 / 3, 0.5 + 0.4 / 3))


def test_the_others_are_varied_at_the_best_rate_over_all_of_their_ranges():
    own = search(defaults=(0.5, 0.4, 0.0), choices=(0, 0, 2))
    points, seen, _ = tuned(own, lambda point, _round: TrialOutcome(0.3 - abs(point[0] - 0.41) + 0.1 * point[1]))
    varied = points[2][2:]
    assert len({point[0] for point in varied}) == 1
    assert (
        varied[0][0] == max(zip(points[0] + points[1], seen[0] + seen[1], strict=True), key=lambda e: e[1].score)[0][0]
    )
    assert sorted(int(3 * point[1]) for point in varied) == [0, 1, 2]
    assert {point[2] for point in varied} == {0.0, 1.0}


def test_a_better_value_of_another_hyperparameter_is_found():
    """As AdaBound's final_lr: its default is far from where it is best."""
    own = search(defaults=(0.5, 0.2), choices=(0, 0))

    def outcome(point, _round):
        return TrialOutcome(0.3 * math.exp(-(((point[0] - 0.6) / 0.2) ** 2 + ((point[1] - 0.8) / 0.25) ** 2) / 2))

    _, _, chosen = tuned(own, outcome)
    assert chosen[1] == pytest.approx(0.8, abs=0.2)


def test_another_hyperparameter_that_breaks_training_says_nothing_about_the_edge():
    own = search(defaults=(0.5, 0.4), choices=(0, 0))
    plain = [(x, 0.4) for x in (0.1, 0.3, 0.5, 0.7)]
    points = [plain, [(0.55, 0.4), (0.6, 0.4)], [(0.5, 0.9), (0.6, 0.1), (0.6, 0.2)]]
    seen = [
        [TrialOutcome(0.0, 1.0), TrialOutcome(0.0, 0.95), TrialOutcome(0.0, 0.9), BROKE],
        [TrialOutcome(0.0, 0.88), TrialOutcome(0.0, 0.86)],
        [BROKE, BROKE, TrialOutcome(0.0, 0.9)],
    ]
    assert next_points(own, points, seen)[0] == (0.6, 0.4)


def test_without_divergence_the_least_validation_loss_leads_while_no_score_is_above_chance():
    points = [[(x,) for x in (0.1, 0.3, 0.5, 0.7, 0.9)]]
    seen = [
        [
            TrialOutcome(0.001, 1.0),
            TrialOutcome(0.0, 0.8),
            TrialOutcome(0.015, 0.9),
            TrialOutcome(0.0, 1.0),
            TrialOutcome(0.0, 1.1),
        ]
    ]
    assert [point[0] for point in next_points(search(), points, seen)] == pytest.approx((0.2, 0.4))
    unknown = [[TrialOutcome(each.score) for each in seen[0]]]
    assert [point[0] for point in next_points(search(), points, unknown)] == pytest.approx((0.4, 0.6))


def test_where_everything_breaks_slower_rates_come_next():
    points = [[(x,) for x in (0.1, 0.3, 0.5, 0.7, 0.9)]]
    found = next_points(search(), points, [[BROKE] * 5])
    assert [point[0] for point in found] == pytest.approx((-0.1, 0.2))


def test_the_last_round_tries_the_best_once_more_and_spreads_over_what_is_nearly_as_good():
    own = search(trials=7, defaults=(0.5, 0.6, 1.0), choices=(0, 0, 2))
    first = next_points(own, [], [])
    wide = next_points(own, [first], [[TrialOutcome(score) for score in (0.1, 0.25, 0.3, 0.28, 0.1)]])
    narrow = next_points(own, [first], [[TrialOutcome(score) for score in (0.1, 0.1, 0.3, 0.1, 0.1)]])
    for found in (wide, narrow):
        assert found[0] == first[2], "the best"
        assert all(abs(point[1] - 0.6) <= 0.15 for point in found)
        assert {point[2] for point in found} == {1.0}
    rates = [point[0] for point in first]
    assert rates[0] < wide[1][0] < rates[4]
    assert rates[1] < narrow[1][0] < rates[3]


def test_the_finalist_is_a_mean_weighted_by_score_and_takes_choices_from_the_best():
    """A score 8 % below the best weighs 1/e."""
    own = search(trials=2, defaults=(0.5, 0.0), choices=(0, 2))
    chosen = finalist(own, [(0.2, 0.0), (0.4, 1.0)], [TrialOutcome(0.3), TrialOutcome(0.3 * 0.92)])
    assert chosen == (pytest.approx((0.2 + 0.4 / math.e) / (1 + 1 / math.e)), 0.0)


def test_what_broke_or_learned_nothing_has_no_weight():
    own = search(trials=4)
    points = [(0.2,), (0.4,), (0.6,), (0.8,)]
    assert finalist(own, points, [TrialOutcome(0.3), TrialOutcome(0.019, 0.1), BROKE, TrialOutcome(-math.inf)]) == (
        pytest.approx(0.2),
    )
    assert finalist(own, points, [BROKE] * 4) == (0.2,), "the slowest"


def test_at_chance_the_finalist_is_weighted_by_validation_loss():
    own = search(trials=2)
    chosen = finalist(own, [(0.2,), (0.4,)], [TrialOutcome(0.0, 1.0), TrialOutcome(0.0, 1.03)])
    assert chosen == (pytest.approx((0.2 + 0.4 / math.e) / (1 + 1 / math.e)),)


def test_where_no_rate_is_searched_points_cover_all_dimensions():
    own = search(defaults=(0.5, 0.0), choices=(0, 4), rate_index=None)
    points, _, chosen = tuned(own, lambda point, _round: TrialOutcome(0.1 + 0.1 * point[0]))
    assert sorted(int(5 * point[0]) for point in points[0]) == [0, 1, 2, 3, 4]
    assert {point[1] for point in points[0]} == {0.0, 1.0, 2.0, 3.0}
    assert chosen[0] > 0.8


def test_a_space_without_dimensions_has_its_only_point():
    own = search(trials=3, defaults=(), choices=(), rate_index=None)
    points, _, chosen = tuned(own, lambda _point, _round: TrialOutcome(0.1))
    assert points == [[(), ()], [()]]
    assert chosen == ()


@given(
    trials=st.integers(1, 20),
    scores=st.lists(st.one_of(st.none(), st.floats(0, 1)), min_size=20, max_size=20),
    losses=st.lists(st.one_of(st.none(), st.floats(0.01, 10)), min_size=20, max_size=20),
)
def test_whatever_comes_the_rounds_go_on_and_end_in_a_point_of_the_space(trials, scores, losses):
    own = search(trials=trials, defaults=(0.5, 0.3, 1.0), choices=(0, 0, 3))
    left = iter(zip(scores, losses, strict=True))
    points, _, chosen = tuned(own, lambda _point, _round: TrialOutcome(*next(left)))
    for point in [*itertools.chain(*points), chosen]:
        assert math.isfinite(point[0])
        assert 0 <= point[1] <= 1
        assert point[2] in (0.0, 1.0, 2.0)
