"""The simulated DataLoader: cases worked out by hand, and what must hold of any."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from posemodel.errors import SettingsError
from tests.support.round_robin import batch_costs, simulate_round_robin


def test_without_workers_loading_and_computing_take_turns():
    found = simulate_round_robin([1, 2, 3], 10, num_workers=0)
    assert found.asked.tolist() == [0, 11, 23]
    assert found.delivered.tolist() == [1, 13, 26]
    assert found.done.tolist() == [11, 23, 36]


def test_one_worker_makes_the_next_batch_while_this_one_is_computed():
    found = simulate_round_robin([4, 4, 4], 3, num_workers=1)
    assert found.delivered.tolist() == [4, 8, 12]
    assert found.waits.tolist() == [4, 1, 1]


def test_a_slow_step_finds_its_batch_waiting():
    found = simulate_round_robin([1, 1, 1, 1], 5, num_workers=1)
    assert found.delivered.tolist() == [1, 6, 11, 16]
    assert found.waits.tolist() == [1, 0, 0, 0]


def test_batches_are_delivered_in_order_though_a_later_one_is_ready():
    """Worker 0 takes 10 for batch 0; worker 1 has batch 1 ready at 1 and batch 3 at 2."""
    found = simulate_round_robin([10, 1, 1, 1], 0, num_workers=2)
    assert found.delivered.tolist() == [10, 10, 11, 11]


def test_batches_go_round_robin_even_where_the_other_worker_is_free():
    """Batch 2 must wait for worker 0, busy until 10, though worker 1 has nothing left to do from 2 on."""
    found = simulate_round_robin([10, 1, 5], 0, num_workers=2)
    assert found.delivered.tolist() == [10, 10, 15]


def test_no_more_than_prefetch_factor_times_workers_are_under_way():
    """With 1 x 2 in flight batch 2 is asked of the worker when batch 0 is delivered, at 1; batch 3 at 101."""
    found = simulate_round_robin([1, 1, 50, 1], 100, num_workers=1, prefetch_factor=2)
    assert found.delivered.tolist() == [1, 101, 201, 301]
    short = simulate_round_robin([1, 150, 50, 1], 100, num_workers=1, prefetch_factor=1)
    # batch 1 is sent at 1 and ready at 151; batch 2 is sent only then, ready at 201, wanted at 251
    assert short.delivered.tolist() == [1, 151, 251, 351]
    assert simulate_round_robin([1, 1, 150, 50], 100, num_workers=1, prefetch_factor=1).delivered.tolist() == [
        1,
        101,
        251,  # sent at 101
        351,  # sent at 251, ready at 301
    ]


def test_a_second_epoch_begins_with_empty_queues():
    found = simulate_round_robin([4, 1], 2, num_workers=1, epochs=2)
    assert found.epoch.tolist() == [0, 0, 1, 1]
    assert found.delivered.tolist() == [4, 6, 12, 14]
    assert found.firsts.tolist() == [0, 2]


def test_costs_may_differ_by_epoch_and_steps_by_batch():
    found = simulate_round_robin([[1, 1], [3, 3]], [2, 4], num_workers=0, epochs=2)
    assert found.done.tolist() == [3, 8, 13, 20]


def test_a_batch_costs_what_its_samples_cost():
    assert batch_costs([1, 2, 3, 4, 5], 2).tolist() == [3, 7]
    with pytest.raises(SettingsError, match="batch_size: 8 is more than the 5 samples"):
        batch_costs([1, 2, 3, 4, 5], 8)


costs = st.lists(st.floats(0.001, 10), min_size=1, max_size=40)


@given(costs, st.floats(0, 10), st.integers(0, 9), st.integers(1, 4))
def test_time_runs_forward_and_nothing_is_delivered_before_it_is_made(batches, compute, workers, ahead):
    found = simulate_round_robin(batches, compute, num_workers=workers, prefetch_factor=ahead)
    assert (found.waits >= 0).all()
    assert (np.diff(found.delivered) >= 0).all()
    assert np.allclose(found.computes, compute)
    assert (found.delivered >= np.array(batches) - 1e-9).all()
    # no faster than either bound allows, no slower than one after the other
    least = max(sum(batches) / max(workers, 1), len(batches) * compute)
    assert least - 1e-6 <= found.done[-1] <= sum(batches) + len(batches) * compute + 1e-6


@given(st.floats(0.1, 10), st.floats(0.1, 10), st.integers(1, 8))
def test_equal_batches_reach_the_smaller_of_both_rates(cost, compute, workers):
    found = simulate_round_robin([cost] * 200, compute, num_workers=workers)
    period = (found.done[-1] - found.done[-1 - 10 * workers]) / (10 * workers)
    assert period == pytest.approx(max(cost / workers, compute), rel=0.02)


@given(costs, st.floats(0, 10), st.integers(1, 6))
def test_sending_further_ahead_never_hurts(batches, compute, workers):
    near = simulate_round_robin(batches, compute, num_workers=workers, prefetch_factor=1)
    far = simulate_round_robin(batches, compute, num_workers=workers, prefetch_factor=3)
    assert far.done[-1] <= near.done[-1] + 1e-9
