"""A real DataLoader with data of known cost takes as long as its simulation predicts, in long slices.

Its short sibling, tests/bench/test_loader_simulation.py, has shorter ones and shorter sleeps.
"""

import pytest

from tests.support.simulated_loader import closest, compare, sample_costs

SHARD = "simulations"
COVERS = ("bench/measure/loader/*.py", "tests/support/simulated_loader.py")


@pytest.mark.parametrize("workers", [0, 2])
def test_a_real_loop_is_as_fast_as_its_simulation(workers, figures):
    """Within 15 %: the figures of a quiet machine (3 %) are those of `python -m tests.support.simulated_loader`."""
    found = closest(lambda: compare(sample_costs(0.02), 0.03, num_workers=workers), repeats=5, enough=0.15)
    figures |= {"images/s, real over simulated - 1": found["apart"], "AU, real - simulated": found["au_apart"]}
    assert abs(found["apart"]) < 0.15, found
    assert abs(found["au_apart"]) < 0.1, found
