"""The analysis on hand-made cases with known answers, and on simulated studies whose truth is known."""

import json
import math
from itertools import combinations

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from bench.kinds.optimizers.analysis import (
    at_border,
    best_settings,
    default_target,
    holm,
    mean_interval,
    mean_intervals,
    minimal_detectable_difference,
    paired_comparisons,
    paired_interval,
    paired_t_p,
    score,
    score_table,
    signed_rank_p,
    summarize,
    time_to_target,
    verdict,
)
from bench.kinds.optimizers.analysis.comparisons import claimed_signs, paired_differences, paired_t_tests
from bench.statistics.json_safe import to_json_safe
from tests.support.records import NO_CURVES, SIX, confirm_records, curve_rows, noisy, record, text_of

# --- intervals ---


def test_interval_without_spread_or_seeds():
    assert mean_interval([]).estimate is None
    one = mean_interval([0.4])
    assert (one.estimate, one.low, one.high, one.method) == (0.4, None, None, "none")
    equal = mean_interval([0.1] * 7)
    assert (equal.estimate, equal.low, equal.high, equal.method) == (0.1, 0.1, 0.1, "equal")
    assert mean_interval([0.1 + 0.2, 0.3, 0.3]).method == "equal"  # equal but for rounding


def test_interval_is_students_t_below_five_values():
    values = np.array([0.4, 0.5, 0.45, 0.52])
    interval = mean_interval(values)
    low, high = stats.t.interval(0.95, 3, values.mean(), stats.sem(values))
    assert interval.method == "student_t"
    assert (interval.low, interval.high) == pytest.approx((low, high))


def test_interval_falls_back_to_t_where_resampling_degenerates():
    assert mean_interval([0.5] * 6 + [0.6]).method == "student_t"
    assert mean_interval([0.5, 0.51, 0.49, 0.52, 0.47]).method == "bootstrap_t"


def test_interval_ignores_order_and_repeats_itself():
    values = np.random.default_rng(1).normal(0.4, 0.05, 9)
    assert mean_interval(values) == mean_interval(values[::-1]) == mean_interval(list(values))


def test_interval_of_skewed_values_reaches_further_into_the_tail():
    values = np.random.default_rng(0).exponential(size=12)
    interval = mean_interval(values)
    assert interval.high - interval.estimate > interval.estimate - interval.low


def test_interval_scales_with_its_values():
    values = np.random.default_rng(3).normal(0.4, 0.05, 8)
    unit, scaled = mean_interval(values), mean_interval(values * 1e6 + 7)
    assert (scaled.low, scaled.high) == pytest.approx((unit.low * 1e6 + 7, unit.high * 1e6 + 7))


def test_interval_refuses_what_is_not_finite():
    with pytest.raises(ValueError, match="finite"):
        mean_interval([0.1, float("nan")])
    with pytest.raises(ValueError, match="level"):
        mean_interval([0.1, 0.2], level=95)


def test_paired_interval_of_a_constant_difference_has_no_width():
    interval = paired_interval(np.array([0.3, 0.4, 0.9, 0.5, 0.6]) - np.array([0.2, 0.3, 0.8, 0.4, 0.5]))
    assert (interval.low, interval.high) == (0.1, 0.1)


@pytest.mark.parametrize("n", [5, 7, 10])
@pytest.mark.parametrize("shape", ["normal", "skewed", "left_skewed", "bounded", "heavy_tailed", "unequal_variances"])
def test_interval_covers_the_truth(n, shape):
    rng = np.random.default_rng(n)
    size = (1000, n)
    samples, truth = {
        "normal": lambda: (rng.normal(size=size), 0),
        "skewed": lambda: (rng.lognormal(0, 0.5, size=size), math.exp(0.125)),
        "left_skewed": lambda: (-rng.gamma(2, size=size), -2),
        "bounded": lambda: (rng.beta(2, 6, size=size), 0.25),
        "heavy_tailed": lambda: (rng.standard_t(3, size=size), 0),
        "unequal_variances": lambda: (rng.normal(size=size) * np.linspace(1, 4, n), 0),
    }[shape]()
    covered = np.mean([i.low <= truth <= i.high for i in mean_intervals(samples, resamples=999)])
    assert 0.92 <= covered <= 0.98


# --- p values ---


def test_holm_by_hand():
    # sorted .01 .02 .03 .04 -> x4 .04, x3 .06, x2 .06, x1 .04 -> running maximum .04 .06 .06 .06
    assert holm([0.03, 0.01, 0.04, 0.02]) == pytest.approx([0.06, 0.04, 0.06, 0.06])
    assert holm([0.6, 0.5]) == pytest.approx([1.0, 1.0])
    assert holm([]).size == 0


def test_holm_counts_an_undefined_comparison():
    adjusted = holm([0.01, float("nan"), 0.02])
    assert adjusted[[0, 2]] == pytest.approx([0.03, 0.04])
    assert math.isnan(adjusted[1])


def test_signed_rank_is_exact_by_hand_and_against_scipy():
    assert signed_rank_p([1, 2, 3, 4, 5]) == pytest.approx(2 / 32)
    assert signed_rank_p([1, 2, 3, 4, -0.5]) == pytest.approx(4 / 32)
    assert signed_rank_p([0, 0, 0]) == 1
    assert signed_rank_p([1, 1, 1, 0]) == pytest.approx(2 / 8)  # ties, and a zero that is left out
    assert math.isnan(signed_rank_p([]))
    values = np.random.default_rng(0).normal(0.3, 1, 10)
    assert signed_rank_p(values) == pytest.approx(stats.wilcoxon(values, method="exact").pvalue)


def test_paired_t_against_scipy_and_without_spread():
    values = np.random.default_rng(0).normal(0.3, 1, 10)
    assert paired_t_p(values) == pytest.approx(stats.ttest_1samp(values, 0).pvalue)
    assert paired_t_p([0, 0, 0]) == 1
    assert math.isnan(paired_t_p([0.1, 0.1, 0.1]))
    assert math.isnan(paired_t_p([0.1]))


# --- comparisons ---


def test_one_row_for_each_pair_with_known_numbers():
    scores = pd.DataFrame({"adam": [0.5, 0.6, 0.7, 0.5, 0.6], "sgd": [0.4, 0.6, 0.5, 0.6, 0.3]})
    (row,) = paired_comparisons(scores).to_dict("records")
    assert (row["a"], row["b"], row["n"], row["better"]) == ("adam", "sgd", 5, "")
    assert row["mean_difference"] == pytest.approx(0.1)
    assert row["low"] < 0.1 < row["high"]
    assert row["probability_of_improvement"] == pytest.approx(3.5 / 5)
    assert row["t_p"] == row["t_p_adjusted"] == pytest.approx(stats.ttest_rel(scores["adam"], scores["sgd"]).pvalue)
    assert row["wilcoxon_smallest_adjusted_p"] == pytest.approx(0.0625)


@pytest.mark.parametrize(("n", "smallest"), [(1, 1.0), (3, 1.0), (5, 0.9375), (10, 15 / 512)])
def test_wilcoxon_states_what_it_could_reach_over_fifteen_pairs(n, smallest):
    rng = np.random.default_rng(0)
    frame = paired_comparisons(pd.DataFrame(rng.random((n, 6)), columns=list(SIX)))
    assert len(frame) == 15
    assert frame["wilcoxon_smallest_adjusted_p"].tolist() == pytest.approx([smallest] * 15)
    assert (frame["wilcoxon_p_adjusted"] >= smallest - 1e-12).all()


def test_equal_scores_and_a_constant_gap_are_no_claim():
    gap = pd.DataFrame({"a1": [0.3, 0.4, 0.9, 0.5, 0.6], "b1": [0.2, 0.3, 0.8, 0.4, 0.5]})
    frame = paired_comparisons(gap.assign(c1=gap["a1"])).set_index(["a", "b"])
    assert frame.loc[("a1", "c1"), "t_p"] == 1
    assert frame.loc[("a1", "c1"), "probability_of_improvement"] == 0.5
    assert math.isnan(frame.loc[("a1", "b1"), "t_p"])
    assert frame.loc[("a1", "b1"), "low"] == frame.loc[("a1", "b1"), "high"] == 0.1
    assert (frame["better"] == "").all()


def test_only_shared_seeds_are_paired_and_failures_stay_in():
    rows = [record("adam", s, ap=0.5 + 0.01 * s) for s in range(6)] + [record("sgd", s, ap=0.3) for s in range(1, 5)]
    rows.append(record("sgd", 5, ap=0.9, status="timed_out"))
    table = score_table(pd.DataFrame(rows))
    assert table.loc[5, "sgd"] == 0
    (row,) = paired_comparisons(table).to_dict("records")
    assert row["n"] == 5
    assert row["mean_difference"] == pytest.approx(np.mean([0.51, 0.52, 0.53, 0.54, 0.55]) - 0.3 * 4 / 5)


def test_a_big_gap_is_found_in_both_directions():
    aps = noisy({"adam": 0.5, "sgd": 0.2, "adagrad": 0.5}, 6)
    frame = paired_comparisons(pd.DataFrame(aps)).set_index(["a", "b"])
    assert frame.loc[("adam", "sgd"), "better"] == "a"
    assert frame.loc[("sgd", "adagrad"), "better"] == "b"
    assert frame.loc[("adam", "adagrad"), "better"] == ""


def false_claims(draw, n, studies=300):
    """Share of studies of six equal optimizers that call any of them better."""
    rng = np.random.default_rng(n)
    differences = paired_differences(np.stack([draw(rng, (n, 6)) for _ in range(studies)]))
    _, adjusted = paired_t_tests(differences)
    return (claimed_signs(differences, adjusted) != 0).any(axis=1).mean()


@pytest.mark.parametrize("n", [3, 10])
def test_equal_optimizers_are_rarely_told_apart(n):
    def normal(rng, size):
        return 0.4 + 0.02 * rng.normal(size=size)

    assert false_claims(normal, n) <= 0.08  # 0.05 and two standard errors


@pytest.mark.parametrize("n", [3, 5])
def test_equal_optimizers_that_work_or_collapse_are_rarely_told_apart(n):
    def two_humps(rng, size):
        return np.where(rng.random(size) < 0.5, 0.2, 0.4) + 0.001 * rng.normal(size=size)

    assert false_claims(two_humps, n) <= 0.08


def test_no_scores_give_an_empty_frame_with_columns():
    frame = paired_comparisons(score_table(pd.DataFrame()))
    assert frame.empty
    assert "t_p_adjusted" in frame.columns


def test_minimal_detectable_difference_is_what_a_study_detects():
    sd, n = 0.03, 8
    one_pair = pd.DataFrame({"n": [n], "sd_difference": [sd]})
    least = minimal_detectable_difference(one_pair)
    freedom, shift = n - 1, least * math.sqrt(n) / sd
    assert stats.nct.sf(stats.t.ppf(0.975, freedom), freedom, shift) == pytest.approx(0.8, abs=0.002)
    fifteen = pd.concat([one_pair] * 15)
    assert minimal_detectable_difference(fifteen) > least
    assert minimal_detectable_difference(pd.DataFrame({"n": [2] * 15, "sd_difference": [sd] * 15})) > 1
    assert minimal_detectable_difference(pd.DataFrame({"n": [1], "sd_difference": [float("nan")]})) is None


# --- scores, targets, selection ---


def test_a_trial_that_did_not_complete_has_the_worst_score():
    rows = [record("adam", i, ap=0.5, status=s) for i, s in enumerate(("complete", "diverged", "failed", "timed_out"))]
    rows.append(record("adam", 9, ap=float("nan")))
    assert score(pd.DataFrame(rows)).tolist() == [0.5, 0, 0, 0, 0]


def test_two_records_for_one_seed_are_an_error():
    with pytest.raises(ValueError, match="adam has more than one confirm record with seed 3"):
        score_table(pd.DataFrame([record("adam", 3), record("adam", 3, index=1)]))


def test_records_without_a_needed_column_are_an_error():
    with pytest.raises(ValueError, match="lack the column"):
        summarize(pd.DataFrame([record("adam")]).drop(columns="status"), NO_CURVES)


def test_time_to_target_is_the_first_evaluation_that_reaches_it():
    records = pd.DataFrame([record("adam", 0), record("adam", 1), record("adam", 2, status="diverged")])
    ids = records["trial_id"].tolist()
    rows = curve_rows(ids[0], [(300, 30.0, 0.6), (100, 10.0, 0.1), (200, 20.0, 0.5)])
    rows += curve_rows(ids[1], [(100, 10.0, 0.1)]) + curve_rows(ids[2], [(100, 10.0, 0.9)])
    times = time_to_target(records, pd.DataFrame(rows), 0.5)
    assert times["seconds"].tolist() == [20, math.inf, math.inf]
    assert times["steps"].tolist() == [200, math.inf, math.inf]
    assert times["reached"].tolist() == [True, False, False]
    assert not time_to_target(records, pd.DataFrame(rows), None)["reached"].any()


def test_default_target_comes_from_the_best_optimizer():
    assert default_target({"adam": [0.5, 0.6, 0.4], "sgd": [0.2, 0.2, 0.3], "late": []}) == pytest.approx(0.45)
    assert default_target({"adam": [0.0, 0.0]}) is None
    assert default_target({}) is None


def test_best_settings_by_ap_then_loss_then_position():
    def tune(index, lr, **more):
        return record("adam", phase="tune", index=index, hyperparameters=json.dumps({"lr": lr}), **more)

    rows = [
        tune(0, 0.1, ap=0.4, val_loss=1.0),
        tune(3, 0.2, ap=0.5, val_loss=2.0),
        tune(2, 0.3, ap=0.5, val_loss=1.5),
        tune(1, 0.4, ap=0.5, val_loss=float("nan")),
        tune(4, 0.5, ap=0.5, val_loss=1.5),
        tune(5, 0.6, ap=0.9, status="diverged"),
        record("sgd", phase="tune", status="diverged", val_loss=float("nan"), index=1, hyperparameters='{"lr": 1}'),
        record("sgd", phase="tune", status="diverged", val_loss=float("nan"), index=0, hyperparameters='{"lr": 2}'),
        record("adam", phase="confirm", ap=1.0, hyperparameters='{"lr": 9}'),
    ]
    expected = {"adam": {"lr": 0.3}, "sgd": {"lr": 2}}
    for seed in range(5):
        assert best_settings(pd.DataFrame(rows).sample(frac=1, random_state=seed)) == expected
    assert best_settings(pd.DataFrame()) == {}


def test_a_complete_trial_at_zero_is_chosen_before_a_diverged_one():
    rows = [
        record("adam", phase="tune", index=0, status="diverged", val_loss=0.1),
        record("adam", phase="tune", index=1, ap=0.0, val_loss=9.0, hyperparameters='{"lr": 0.7}'),
    ]
    assert best_settings(pd.DataFrame(rows)) == {"adam": {"lr": 0.7}}


@pytest.mark.parametrize(
    ("lr", "flagged"),
    [(1e-4, True), (1.5e-4, True), (1.7e-4, False), (1e-2, False), (0.6, False), (0.7, True), (2, True)],
)
def test_a_value_near_the_end_of_its_log_range_is_flagged(lr, flagged):
    found = at_border({"lr": lr, "initial_accumulator_value": 0}, {"lr": (1e-4, 1.0)})
    assert found == (["lr"] if flagged else [])


def test_a_choice_is_no_range():
    with pytest.raises(ValueError, match="leave choices out"):
        at_border({"initial_accumulator_value": 0}, {"initial_accumulator_value": (0, 0.1)})


# --- rankings ---


def test_summary_by_hand():
    rows = [
        record("adam", 0, ap=0.4, ap_best=0.5, images_per_s=10),
        record("adam", 1, ap=0.6, ap_best=0.7, images_per_s=30),
        record("adam", 2, ap=0.8, status="diverged", ap_best=0.8, images_per_s=99),
        record("adam", phase="tune", status="failed", index=0),
        record("adam", phase="tune", status="out_of_memory", index=1),
        record("adam", phase="tune", ap=0.3, index=2, at_border="lr, one_minus_beta1"),
        record("sgd", phase="tune", ap=0.2, images_per_s=7, hyperparameters='{"momentum":0.9,"lr":0.2}'),
    ]
    records = pd.DataFrame(rows)
    curves = pd.DataFrame(
        curve_rows(rows[0]["trial_id"], [(100, 5.0, 0.45)]) + curve_rows(rows[1]["trial_id"], [(200, 15.0, 0.6)])
    )
    adam, sgd = summarize(records, curves, target=0.45).to_dict("records")
    assert (adam["rank"], adam["name"], adam["n"], adam["settings"]) == (1, "adam", 3, '{"lr": 0.1}')
    assert (adam["ap_mean"], adam["ap_median"]) == pytest.approx((1 / 3, 0.4))
    assert adam["ap_low"] == 0  # kept within 0..1
    assert adam["best_checkpoint_ap_mean"] == pytest.approx(0.4)
    assert (adam["time_to_target_s"], adam["steps_to_target"], adam["targets_reached"]) == (15, 200, 2)
    assert (adam["diverged"], adam["failed"], adam["confirm_unfinished"], adam["tune_trials"]) == (1, 2, 1, 3)
    assert adam["at_border"] == ["lr", "one_minus_beta1"]
    assert (sgd["name"], sgd["n"], sgd["settings"]) == ("sgd", 0, '{"lr": 0.2, "momentum": 0.9}')
    assert math.isnan(sgd["ap_mean"])
    assert math.isnan(sgd["rank"])


def test_an_infinite_median_time_is_unknown():
    records = confirm_records({"adam": [0.5, 0.5, 0.5]})
    curves = pd.DataFrame(curve_rows(records["trial_id"][0], [(100, 5.0, 0.5)]))
    (row,) = summarize(records, curves, target=0.4).to_dict("records")
    assert row["targets_reached"] == 1
    assert math.isnan(row["time_to_target_s"])


def test_ties_share_a_rank_and_a_failure_lowers_it():
    aps = {"adam": [0.2, 0.4, 0.3], "sgd": [0.3, 0.2, 0.4], "adagrad": [0.1, 0.1, 0.1]}
    records = confirm_records(aps)
    summary = summarize(records, NO_CURVES)
    assert summary[["name", "rank"]].to_numpy().tolist() == [["adam", 1], ["sgd", 1], ["adagrad", 3]]
    records.loc[(records["optimizer"] == "adam") & (records["seed"] == 1), "status"] = "failed"
    lowered = summarize(records, NO_CURVES).set_index("name")["rank"].to_dict()
    assert lowered == {"sgd": 1, "adam": 2, "adagrad": 3}


def test_shuffled_rows_change_nothing():
    records = confirm_records(noisy({"adam": 0.5, "sgd": 0.49, "adagrad": 0.3}, 7))
    records.loc[3, "status"] = "diverged"
    curves = pd.DataFrame(
        [r for t in records["trial_id"] for r in curve_rows(t, [(100, 5.0, 0.2), (200, 9.0, 0.48), (300, 14.0, 0.6)])]
    )
    summary, comparisons = summarize(records, curves), paired_comparisons(score_table(records))
    for seed in range(3):
        other = records.sample(frac=1, random_state=seed)
        pd.testing.assert_frame_equal(summarize(other, curves.sample(frac=1, random_state=seed)), summary)
        pd.testing.assert_frame_equal(paired_comparisons(score_table(other)), comparisons)
        assert text_of(other, curves) == verdict(summary, comparisons)


# --- json ---


def test_json_safe_has_no_nan_and_only_plain_types():
    records = confirm_records({"adam": [0.5], "sgd": [0.4]})
    summary = summarize(records, NO_CURVES)
    plain = to_json_safe({"optimizers": summary, "pairs": paired_comparisons(score_table(records))})
    text = json.dumps(plain, allow_nan=False)
    assert json.loads(text)["optimizers"][0]["ap_low"] is None
    value = {1: np.float32("inf"), "b": (np.int64(3), np.bool_(True), pd.NA, pd.NaT, {2, 1}), "c": np.array([math.nan])}
    assert to_json_safe(value) == {"1": None, "b": [3, True, None, None, [1, 2]], "c": [None]}
    interval = to_json_safe(mean_interval([0.5]))
    assert interval["low"] is None
    assert type(to_json_safe(np.float64(0.5))) is float
    with pytest.raises(TypeError, match="no plain JSON form"):
        to_json_safe(object())


def test_pairs_are_all_pairs():
    frame = paired_comparisons(pd.DataFrame(noisy(dict.fromkeys(SIX, 0.4), 5)))
    assert list(zip(frame["a"], frame["b"], strict=True)) == list(combinations(SIX, 2))
