"""A real DataLoader on data of known cost beside its simulation; everything sleeps.

Longer slices, with sleeps twice as long, are a proof: tests/proofs/test_loader_simulation.py.
"""

import pytest

from tests.support.simulated_loader import closest, compare, sample_costs

SECONDS = 0.8


@pytest.mark.parametrize("workers", [0, 2])
def test_a_real_loop_is_as_fast_as_its_simulation(workers):
    """Within 15 %: the figures of a quiet machine (3 %) are those of `python -m tests.support.simulated_loader`."""
    found = closest(
        lambda: compare(sample_costs(0.01), 0.015, seconds=SECONDS, num_workers=workers), repeats=5, enough=0.15
    )
    assert abs(found["apart"]) < 0.15, found
    assert abs(found["au_apart"]) < 0.1, found
