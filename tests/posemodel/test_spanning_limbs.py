"""Limbs that connect all parts: the shortest, symmetric where parts mirror each other, and quickly for many points."""

import numpy as np
import pytest

from posemodel.data.annotations.spanning_limbs import (
    CHUNK,
    MOST_DISTANCES,
    MOST_OBJECTS,
    OF_EACH_POINT,
    connected,
    connecting_limbs,
    measure_distances,
    measured_objects,
)

CHAIN = np.array([[0, 0, 2], [10, 0, 2], [19, 0, 2], [40, 0, 2]], float)


def itself(parts: int) -> np.ndarray:
    return np.arange(parts)


def test_distances_are_relative_to_the_box_of_the_labelled_points() -> None:
    people = np.stack([CHAIN, CHAIN * (3, 3, 1)])
    distances = measure_distances(people)
    assert distances.objects == 2
    np.testing.assert_allclose(distances.mean[0], [0, 0.25, 0.475, 1], rtol=1e-6)
    assert (distances.together == 2).all()


def test_points_that_are_not_labelled_together_have_no_distance_and_single_points_count_for_nothing() -> None:
    people = np.stack([CHAIN, CHAIN, CHAIN])
    people[0, 3], people[1, 0], people[2, 1:] = 0, 0, 0
    distances = measure_distances(people)
    assert distances.objects == 2
    assert np.isnan(distances.mean[0, 3])
    assert (distances.together[0, 3], distances.together[1, 2], distances.together[0, 0]) == (0, 2, 1)


def test_the_shortest_limbs_in_their_order() -> None:
    distances = measure_distances(CHAIN[None])
    assert connecting_limbs([], distances, itself(4)) == ((1, 2), (0, 1), (2, 3))
    assert connecting_limbs([(0, 2)], distances, itself(4)) == ((1, 2), (2, 3))
    assert connecting_limbs([(0, 1), (1, 2), (2, 3)], distances, itself(4)) == ()


def test_added_limbs_have_their_mirror_images() -> None:
    # A head, a neck, two shoulders and two hands; the left arm is annotated slightly longer than the right one.
    person = np.array([[0, 0, 2], [0, 10, 2], [-9, 11, 2], [9, 11, 2], [-20, 25, 2], [21, 27, 2]], float)
    flipped = np.array([0, 1, 3, 2, 5, 4])
    limbs = connecting_limbs([], measure_distances(person[None]), flipped)
    assert connected(6, limbs)
    assert {(int(flipped[a]), int(flipped[b])) for a, b in limbs} == {*limbs}
    assert set(map(frozenset, limbs)) == set(map(frozenset, [(0, 1), (1, 2), (1, 3), (2, 4), (3, 5)]))


def test_parts_never_labelled_together_come_last() -> None:
    people = np.stack([CHAIN, CHAIN])
    people[0, 2:], people[1, :2] = 0, 0
    limbs = connecting_limbs([], measure_distances(people), itself(4))
    assert {*limbs[:2]} == {(0, 1), (2, 3)}
    assert len(limbs) == 3


def test_without_objects_limbs_still_connect_all() -> None:
    nobody = measure_distances(np.zeros((0, 5, 3)))
    assert connected(5, connecting_limbs([], nobody, itself(5)))
    assert connecting_limbs([], measure_distances(np.zeros((0, 1, 3))), itself(1)) == ()


@pytest.mark.parametrize(("parts", "limbs", "whole"), [(1, [], True), (2, [], False), (3, [(0, 1), (2, 1)], True)])
def test_connected(parts: int, limbs: list[tuple[int, int]], whole: bool) -> None:
    assert connected(parts, limbs) is whole


@pytest.mark.parametrize("parts", [2, 17, 294])
def test_measured_objects_are_few_and_evenly_spread(parts: int) -> None:
    labelled = np.broadcast_to(np.arange(100_000)[:, None] % 2 == 1, (100_000, parts))
    rows = measured_objects(labelled)
    assert len(rows) == min(MOST_OBJECTS, MOST_DISTANCES // parts**2)
    assert (rows % 2 == 1).all(), "those without two labelled points tell no distance"
    assert (rows[0], rows[-1]) == (1, 99_999)
    assert np.diff(rows).max() <= 1.2 * 100_000 / len(rows)
    assert measured_objects(labelled[:5]).tolist() == [1, 3]
    assert CHUNK // parts**2 >= 1


def test_points_of_one_object_have_no_distance() -> None:
    assert measured_objects(np.ones((9, 1), bool)).tolist() == []


def test_rarely_labelled_points_are_measured_and_joined_among_themselves() -> None:
    """Clothes: each category has points of its own, and one of them is rare."""
    rng = np.random.default_rng(0)
    counts = {0: 12_000, 40: 8000, 80: 53, 100: 3}
    ends = {0: 40, 40: 80, 80: 100, 100: 120}
    places = rng.uniform(0, 100, (120, 2))
    people = np.zeros((sum(counts.values()), 120, 3), np.float32)
    kinds = rng.permutation(np.repeat([*counts], [*counts.values()]))
    for first, last in ends.items():
        rows = kinds == first
        people[rows, first:last, :2] = places[first:last]
        people[rows, first:last, 2] = 2 * (rng.random((rows.sum(), last - first)) < 0.7)
    labelled = people[..., 2] > 0
    rows = measured_objects(labelled)
    assert len(rows) == MOST_DISTANCES // 120**2
    assert (labelled[rows].sum(axis=0) >= np.minimum(OF_EACH_POINT, labelled.sum(axis=0))).all()
    limbs = connecting_limbs([], measure_distances(people[rows]), itself(120))
    for first, last in ends.items():
        inside = [(a - first, b - first) for a, b in limbs if first <= a < last and first <= b < last]
        assert connected(last - first, inside)
