"""What one tuning leaves to luck: the table of docs/method.md, from 10,000 simulated studies a cell.

The short sibling is `tests/bench/test_simulated_tuning.py`.
"""

import math

import pytest

from tests.support.simulated_tuning import PROTOCOLS, WIDTHS, false_claims

SHARD = "simulations"
COVERS = (
    "bench/kinds/optimizers/analysis/comparisons.py",
    "bench/statistics/p_values.py",
    "tests/support/simulated_tuning.py",
)
STUDIES = 10_000


@pytest.mark.parametrize(("trials", "seeds"), PROTOCOLS)
def test_peaked_curves_make_studies_of_equal_optimizers_claim_differences(trials, seeds, figures):
    for width in WIDTHS:
        share = false_claims(width, STUDIES, trials=trials, seeds=seeds)
        figures["flat" if math.isinf(width) else f"{width:g} decades wide"] = share
        assert share <= 0.065 if math.isinf(width) else share > 0.3
