"""Limbs that connect all parts: the shortest, symmetric where parts mirror each other, and quickly for many points."""

import numpy as np
import pytest

from posemodel.data.annotations.spanning_limbs import (
    CHUNK,
    MOST_OBJECTS,
    connected,
    connecting_limbs,
    evenly,
    measure_distances,
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


@pytest.mark.parametrize("parts", [1, 17, 294])
def test_measured_objects_are_few_and_evenly_spread(parts: int) -> None:
    objects = np.broadcast_to(np.arange(100_000, dtype=np.float32)[:, None, None], (100_000, parts, 3))
    few = evenly(objects, parts)
    assert len(few) <= MOST_OBJECTS
    assert (few[0, 0, 0], few[-1, 0, 0]) == (0, 99_999)
    assert np.ptp(np.diff(few[:, 0, 0])) <= 1
    assert evenly(few[:5], parts) is not None
    assert CHUNK // parts**2 >= 1
