"""What the analysis claims, on 1,000 studies with fixed seeds where differences are skewed: half up, half down."""

from tests.support.simulated_truth import equal_optimizers, power

CASE = "skewed apart"
STUDIES = 1000


def test_of_a_thousand_studies_of_six_equal_optimizers_few_claim_a_winner_and_intervals_cover_the_truth():
    found = equal_optimizers(CASE, STUDIES)
    assert 0.92 <= found.mean_coverage <= 0.98
    assert 0.92 <= found.difference_coverage <= 0.98
    assert found.false_claims <= 0.065


def test_a_gap_of_two_standard_deviations_of_the_paired_difference_is_found():
    assert power(CASE, STUDIES) >= 0.9
