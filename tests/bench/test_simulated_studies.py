"""What the analysis claims, on studies whose truth is known: 1,000 of each case with fixed seeds, as arrays.

The same studies one by one through the whole analysis are a proof: tests/proofs/test_simulated_studies.py.
"""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.kinds.optimizers.analysis import paired_comparisons, study_analysis
from bench.kinds.optimizers.analysis.comparisons import paired_differences
from tests.support import simulated_arrays as arrays
from tests.support.simulated_truth import (
    CASES,
    FEW_RESAMPLES,
    NO_CURVES,
    OPTIMIZERS,
    PROVED_CASES,
    PROVED_GAPS,
    SEEDS,
    TRUE_AP,
    generator,
    raw_trials,
)

STUDIES = 1000
STATUSES = ["diverged", "failed", "out_of_memory", "timed_out"]
CONFIRM_SEEDS = st.integers(1001, 1000 + SEEDS)


@pytest.mark.parametrize("case", PROVED_CASES)
def test_of_a_thousand_studies_of_six_equal_optimizers_few_claim_a_winner_and_intervals_cover_the_truth(case):
    found = arrays.equal_optimizers(case, STUDIES)
    assert 0.92 <= found.mean_coverage <= 0.98
    assert 0.92 <= found.difference_coverage <= 0.98
    assert found.false_claims <= 0.065


@pytest.mark.parametrize(
    ("case", "pair"), PROVED_GAPS, ids=[f"{case}, {' and '.join(pair)}" for case, pair in PROVED_GAPS]
)
def test_a_gap_of_two_standard_deviations_of_the_paired_difference_is_found(case, pair):
    assert arrays.power(case, STUDIES, pair) >= 0.9


@settings(max_examples=15)
@given(
    case=st.sampled_from(list(CASES)),
    numbers=st.lists(st.integers(0, 100_000), min_size=1, max_size=3),
    optimizer=st.sampled_from(OPTIMIZERS),
    gap=st.floats(-0.1, 0.1),
    lost=st.sets(CONFIRM_SEEDS),
    status=st.sampled_from(STATUSES),
)
def test_as_arrays_studies_have_the_claims_p_values_and_intervals_of_the_whole_analysis(
    case, numbers, optimizer, gap, lost, status
):
    scores = arrays.confirm_scores(case, numbers, {optimizer: gap})
    scores[:, [seed - 1001 for seed in lost], OPTIMIZERS.index(optimizer)] = 0
    claims = arrays.claims(scores)
    mean_ends, difference_ends = arrays.mean_ends(scores), arrays.difference_ends(scores)
    for at, number in enumerate(numbers):
        records = raw_trials(generator(case, number), CASES[case], {optimizer: gap})
        own = (records["phase"] == "confirm") & (records["optimizer"] == optimizer) & records["seed"].isin(lost)
        found = study_analysis(records.assign(status=records["status"].mask(own, status)), NO_CURVES)
        np.testing.assert_array_equal(found.scores, scores[at])
        pairs = found.comparisons
        assert [*zip(pairs["a"], pairs["b"], strict=True)] == arrays.PAIRS
        np.testing.assert_array_equal(pairs["t_p"], claims.p[at])
        np.testing.assert_array_equal(pairs["t_p_adjusted"], claims.adjusted[at])
        np.testing.assert_array_equal(pairs[["low", "high"]], difference_ends[at])
        assert pairs["better"].tolist() == [{1: "a", -1: "b", 0: ""}[sign] for sign in claims.signs[at]]
        means = found.ranking.set_index("name").loc[list(OPTIMIZERS), ["ap_low", "ap_high"]]
        np.testing.assert_array_equal(means, mean_ends[at])


@settings(max_examples=50)
@given(
    seed=st.integers(0, 10_000),
    size=st.tuples(st.integers(1, 5), st.integers(0, 12), st.integers(2, 5)),
    decimals=st.integers(1, 6),
    missing=st.floats(0, 0.5),
)
def test_studies_do_not_touch_each_other_whatever_their_seeds_ties_and_gaps(seed, size, decimals, missing):
    rng = np.random.default_rng(seed)
    scores = rng.random(size).round(decimals)
    scores[:, rng.random(size[1:]) < missing] = np.nan
    claims = arrays.claims(scores)
    for at, study in enumerate(scores):
        pairs = paired_comparisons(pd.DataFrame(study), resamples=FEW_RESAMPLES)
        np.testing.assert_array_equal(pairs["t_p"].to_numpy(float), claims.p[at])
        np.testing.assert_array_equal(pairs["t_p_adjusted"].to_numpy(float), claims.adjusted[at])
        assert pairs["better"].tolist() == [{1: "a", -1: "b", 0: ""}[sign] for sign in claims.signs[at]]


def test_studies_that_lack_different_trials_are_not_taken_together():
    scores = np.full((2, 5, 3), 0.4)
    scores[1, 0, 0] = np.nan
    with pytest.raises(ValueError, match="records of the same trials"):
        paired_differences(scores)


def study(seed, case="normal", **gaps):
    return raw_trials(np.random.default_rng(seed), CASES[case], gaps)


def test_the_score_is_that_of_fresh_seeds_not_of_the_luckiest_tune_trial():
    tuned, confirmed = [], []
    for seed in range(20):
        found = study_analysis(study(seed), NO_CURVES, resamples=FEW_RESAMPLES)
        tuned.append(found.summary["tune_ap"].mean())
        confirmed.append(found.summary["ap_mean"].mean())
    assert np.mean(tuned) > TRUE_AP + 0.02, "the best of several noisy trials flatters"
    assert np.mean(confirmed) == pytest.approx(TRUE_AP, abs=0.005)


@settings(max_examples=40)
@given(
    seed=st.integers(0, 10_000),
    optimizer=st.sampled_from(OPTIMIZERS),
    lost=st.sets(CONFIRM_SEEDS, min_size=1),
    status=st.sampled_from(STATUSES),
    gap=st.floats(-0.1, 0.1),
)
def test_trials_that_do_not_complete_lower_a_rank_and_never_raise_it(seed, optimizer, lost, status, gap):
    records = study(seed, **{optimizer: gap})
    before = study_analysis(records, NO_CURVES, resamples=FEW_RESAMPLES).ranking.set_index("name")
    own = (records["phase"] == "confirm") & (records["optimizer"] == optimizer) & records["seed"].isin(lost)
    lost_some = records.assign(status=records["status"].mask(own, status))
    after = study_analysis(lost_some, NO_CURVES, resamples=FEW_RESAMPLES)
    ranking = after.ranking.set_index("name")
    assert ranking.loc[optimizer, "ap_mean"] < before.loc[optimizer, "ap_mean"]
    assert ranking.loc[optimizer, "confirm_unfinished"] == len(lost)
    if after.comparable:
        assert ranking.loc[optimizer, "rank"] >= before.loc[optimizer, "rank"]
        others = [name for name in OPTIMIZERS if name != optimizer]
        assert (ranking.loc[others, "rank"] <= before.loc[others, "rank"]).all()
    if len(lost) == SEEDS:
        assert ranking.loc[optimizer, "ap_mean"] == 0


@pytest.mark.parametrize("status", ["diverged", "failed", "pruned"])
def test_a_tune_trial_that_does_not_complete_is_not_chosen(status):
    records = study(3)
    tune = records["phase"] == "tune"
    complete = tune & (records["status"] == "complete") & (records["optimizer"] == "adam")
    best = records[complete].sort_values("ap").index[-1]
    found = study_analysis(records.assign(status=records["status"].mask(records.index == best, status)), NO_CURVES)
    row = found.summary.set_index("name").loc["adam"]
    assert row["tune_ap"] == records[complete].drop(index=best)["ap"].max()
    assert (row["failed"], row["pruned"]) == (int(status == "failed"), int(status == "pruned"))


@settings(max_examples=10)
@given(seed=st.integers(0, 10_000), order=st.integers(0, 2**32 - 1))
def test_the_order_of_the_rows_changes_nothing(seed, order):
    records = study(seed, adam=0.03)
    records.loc[records.index[::17], "status"] = "diverged"
    found = study_analysis(records, NO_CURVES)
    other = study_analysis(records.sample(frac=1, random_state=order), NO_CURVES)
    assert other.verdict == found.verdict
    for part in ("summary", "comparisons", "scores", "seeds", "sensitivity", "best_so_far", "views"):
        pd.testing.assert_frame_equal(getattr(other, part), getattr(found, part))


def test_equal_values_give_intervals_without_width_and_no_claim():
    records = study(1)
    confirm = records["phase"] == "confirm"
    found = study_analysis(records.assign(ap=records["ap"].mask(confirm, 0.4)), NO_CURVES)
    assert (found.ranking[["ap_low", "ap_mean", "ap_high"]] == 0.4).all(axis=None)
    assert set(found.ranking["rank"]) == {1}
    assert (found.comparisons[["low", "mean_difference", "high"]] == 0).all(axis=None)
    assert (found.comparisons["better"] == "").all()
    assert "No configuration beats another." in found.verdict
