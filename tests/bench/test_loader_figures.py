"""A timeline's figures: timelines whose answer is known."""

import math

import numpy as np
import pytest

from bench.measure.loader.figures import figures, steady_batches
from bench.measure.loader.timeline import Timeline
from tests.support.round_robin import simulate_round_robin


def jittered(n, seed=0):
    return 1 + 0.01 * np.random.default_rng(seed).standard_normal(n)


def test_a_steady_loop_without_workers():
    found = figures(simulate_round_robin(0.03 * jittered(61), 0.01, num_workers=0, epochs=2), 4, 1)
    assert found["images_per_s"] == pytest.approx(100, rel=0.01)
    assert found["data_wait_share"] == pytest.approx(0.75, abs=0.01)
    assert found["au"] == pytest.approx(0.25, abs=0.01)
    assert found["au"] + found["data_wait_share"] == pytest.approx(1)
    assert found["wait_p50_ms"] == pytest.approx(30, rel=0.01)
    assert found["wait_p50_ms"] <= found["wait_p95_ms"] <= found["wait_p99_ms"]
    assert found["compute_ms"] == pytest.approx(10)
    assert found["steady"] == 1
    assert found["batches"] == 122


def test_workers_whose_batches_come_in_bursts_are_counted_in_whole_rounds():
    """Four workers of equal speed deliver four batches at once, then none for a while: 100 batches a second."""
    found = figures(simulate_round_robin(0.04 * jittered(97), 0.0, num_workers=4, epochs=2), 1, 4)
    assert found["images_per_s"] == pytest.approx(100, rel=0.02)


def test_the_first_batch_and_the_epochs_border_are_told_apart_from_the_speed():
    costs = np.tile(0.01 * jittered(61), (3, 1))
    costs[0, 0], costs[1:, 0] = 5.0, 2.0
    found = figures(simulate_round_robin(costs, 0.01, num_workers=0, epochs=3), 1, 1)
    assert found["first_batch_s"] == pytest.approx(5)
    assert found["epoch_gap_s"] == pytest.approx(2)
    assert found["images_per_s"] == pytest.approx(50, rel=0.01)


def test_a_slow_warm_up_is_not_in_the_speed():
    costs = 0.01 * jittered(121)
    costs[:20] *= 10
    timeline = simulate_round_robin(costs, 0.0, num_workers=0)
    kept, reached = steady_batches(timeline, 1)
    assert reached
    assert kept.min() >= 20
    assert figures(timeline, 1, 1)["images_per_s"] == pytest.approx(100, rel=0.02)


def test_one_slow_batch_in_twelve_is_in_the_speed():
    costs = 0.01 * jittered(241)
    costs[::12] = 0.13
    found = figures(simulate_round_robin(costs, 0.0, num_workers=0, epochs=2), 1, 1)
    assert found["images_per_s"] == pytest.approx(50, rel=0.06)
    assert found["wait_p99_ms"] == pytest.approx(130, rel=0.01)


def test_a_run_that_gets_slower_to_its_end_is_not_steady():
    found = figures(simulate_round_robin(np.linspace(0.01, 0.5, 61), 0.0, num_workers=0), 1, 1)
    assert found["steady"] == 0


@pytest.mark.parametrize("batches", [1, 2, 4])
def test_a_loop_shorter_than_a_group_has_figures_and_is_not_called_steady(batches):
    found = figures(simulate_round_robin([0.5] * batches, 0.5, num_workers=0), 2, 1)
    assert found["images_per_s"] == pytest.approx(2)
    assert found["steady"] == 0
    assert math.isnan(found["epoch_gap_s"])


def test_a_timeline_finds_its_epochs():
    timeline = Timeline(np.arange(5.0), np.arange(5.0), np.arange(5.0), np.array([0, 0, 1, 1, 1]))
    assert timeline.firsts.tolist() == [0, 2]
