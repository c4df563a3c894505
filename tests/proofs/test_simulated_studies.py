"""What the analysis claims, on 1,000 studies of each case whose truth is known: one by one, data frames and all.

Its short sibling, tests/bench/test_simulated_studies.py, takes the same studies as arrays.
"""

import pytest

from tests.support import simulated_arrays as arrays
from tests.support.simulated_truth import PROVED_CASES, PROVED_GAPS, equal_optimizers, power

SHARD = "simulations"
COVERS = (
    "bench/kinds/optimizers/analysis/*.py",
    "bench/statistics/*.py",
    "bench/trials/scores.py",
    "bench/trials/columns.py",
    "bench/report/names.py",
    "bench/report/wording.py",
    "bench/report/no_result.py",
    "tests/support/simulated_truth.py",
    "tests/support/simulated_arrays.py",
)
STUDIES = 1000
IDS = [f"{case}, {' and '.join(pair)}" for case, pair in PROVED_GAPS]


@pytest.mark.parametrize("case", PROVED_CASES)
def test_of_a_thousand_studies_of_six_equal_optimizers_few_claim_a_winner_and_intervals_cover_the_truth(case, figures):
    found = equal_optimizers(case, STUDIES)
    figures["means covered"] = found.mean_coverage
    figures["differences covered"] = found.difference_coverage
    figures["studies with a false claim"] = found.false_claims
    assert 0.92 <= found.mean_coverage <= 0.98
    assert 0.92 <= found.difference_coverage <= 0.98
    assert found.false_claims <= 0.065
    assert found == arrays.equal_optimizers(case, STUDIES), "the short sibling says the same"


@pytest.mark.parametrize(("case", "pair"), PROVED_GAPS, ids=IDS)
def test_a_gap_of_two_standard_deviations_of_the_paired_difference_is_found(case, pair, figures):
    found = power(case, STUDIES, pair)
    figures["studies that find the gap"] = found
    assert found >= 0.9
    assert found == arrays.power(case, STUDIES, pair), "the short sibling says the same"
