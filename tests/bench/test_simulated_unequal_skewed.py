"""What the analysis claims, on 1,000 studies with fixed seeds and errors of unequal size that are skewed upwards."""

import pytest

from tests.support.simulated_truth import NARROW_PAIR, PAIR, equal_optimizers, power

CASE = "unequal log-normal"
STUDIES = 1000


def test_of_a_thousand_studies_of_six_equal_optimizers_few_claim_a_winner_and_intervals_cover_the_truth():
    found = equal_optimizers(CASE, STUDIES)
    assert 0.92 <= found.mean_coverage <= 0.98
    assert 0.92 <= found.difference_coverage <= 0.98
    assert found.false_claims <= 0.065


@pytest.mark.parametrize("pair", [PAIR, NARROW_PAIR])
def test_a_gap_of_two_standard_deviations_of_the_paired_difference_is_found(pair):
    assert power(CASE, STUDIES, pair) >= 0.9
