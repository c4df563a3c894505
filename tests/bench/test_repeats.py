"""How much of a spread is that of repeats: cases whose answer is plain."""

import numpy as np
import pytest

from bench.statistics.repeats import repeats


def test_nothing_measured_twice_says_nothing():
    assert repeats([], []) is None
    assert repeats([1.0, 2.0], ["a", "b"]) is None


def test_repeats_that_agree_are_no_noise():
    found = repeats([1.0, 1.0, 9.0, 9.0], ["a", "a", "b", "b"])
    assert (found.share, found.repeats) == (0.0, 2)
    assert repeats([3.0, 3.0, 3.0], ["a", "b", "b"]).share == 0.0


def test_things_that_differ_no_more_than_their_repeats_are_all_noise():
    assert repeats([1.0, 9.0, 1.0, 9.0], ["a", "a", "b", "b"]).share == 1.0
    assert repeats([1.0, 2.0, 3.0], ["a", "a", "a"]).share == 1.0


def test_a_case_by_hand():
    """Means 2 and 6: mean squares 2 within and 16 between, so (16 - 2) / 2 = 7 of the things and 2 of the repeats."""
    assert repeats([1.0, 3.0, 5.0, 7.0], ["a", "a", "b", "b"]).share == pytest.approx(2 / 9)


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_it_finds_the_share_that_was_made_even_where_most_things_were_measured_once(share):
    random = np.random.default_rng(3)
    things = [*range(400), *(n for n in range(60) for _ in range(4))]
    true = random.normal(0, np.sqrt(1 - share), 400)
    values = [true[thing] + random.normal(0, np.sqrt(share)) for thing in things]
    found = repeats(values, things)
    assert found.repeats == 240
    assert found.share == pytest.approx(share, abs=0.08)


def test_neither_order_nor_scale_matters():
    values, things = [1.0, 3.0, 5.0, 7.0, 4.0], ["a", "a", "b", "b", "c"]
    first = repeats(values, things)
    turned = repeats([10 * value + 3 for value in reversed(values)], things[::-1])
    assert turned.repeats == first.repeats
    assert turned.share == pytest.approx(first.share)
