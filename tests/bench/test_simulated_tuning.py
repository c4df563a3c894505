"""What one tuning leaves to luck: the warning of docs/method.md, on simulated studies of equal optimizers."""

import math

import numpy as np
import pandas as pd
import pytest

from bench.kinds.optimizers.analysis import paired_comparisons
from tests.support.simulated_tuning import WIDTHS, claims, confirm_scores, false_claims


@pytest.mark.parametrize("width", [width for width in WIDTHS if math.isfinite(width)])
def test_with_a_peaked_curve_many_studies_of_equal_optimizers_claim_a_difference(width):
    assert false_claims(width, 200) > 0.3


def test_between_equally_good_configurations_few_studies_do():
    assert false_claims(math.inf, 2000) <= 0.07


@pytest.mark.parametrize(("width", "sizes"), [(math.inf, (4, 5)), (2.0, (4, 5)), (2.0, (8, 10))])
def test_the_claims_are_those_that_the_suite_makes(width, sizes):
    scores = confirm_scores(np.random.default_rng(1), 40, width, *sizes)
    made = [(paired_comparisons(pd.DataFrame(study), resamples=9)["better"] != "").any() for study in scores]
    assert claims(scores).tolist() == made
