"""The analysis on hand-made cases with known answers, and on simulated studies whose truth is known."""

import json
import math
from itertools import combinations

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from bench.kinds.optimizers.analysis import (
    best_trials,
    finalists_of,
    holm,
    mean_interval,
    mean_intervals,
    paired_interval,
    paired_t_p,
    score,
    score_table,
    shown_finalist,
    study_analysis,
    time_to_target,
    tuned_scores,
)
from bench.kinds.optimizers.analysis.comparisons import COLUMNS
from bench.kinds.optimizers.analysis.rankings import unranked
from bench.statistics import intervals
from bench.statistics.counts import count_interval
from bench.statistics.interval import Interval
from bench.statistics.json_safe import to_json_safe
from bench.statistics.nested import MARGIN
from bench.statistics.shaffer import shaffer
from bench.trials.score_scale import AP_FLOOR, collapse_floor
from bench.trials.scores import collapsed
from bench.workloads import workload
from tests.support.records import (
    NO_CURVES,
    SIX,
    comparison_of,
    confirm_records,
    curve_rows,
    noisy,
    record,
    summary_of,
)

# --- intervals ---


def test_resamples_that_all_share_cannot_be_changed():
    weights = intervals._resample_weights(3, 10, 0)
    assert weights.shape == (10, 3)
    assert weights.sum(axis=1) == pytest.approx(np.ones(10))
    with pytest.raises(ValueError, match="read-only"):
        weights[0] = 0


def test_interval_without_spread_or_seeds():
    assert mean_interval([]).estimate is None
    assert mean_interval([]).clipped(0.0, 1.0) == mean_interval([])
    wide = Interval(0.5, -0.2, 1.3, 3, 0.95, "student_t")
    assert wide.clipped(0.0, 1.0) == Interval(0.5, 0.0, 1.0, 3, 0.95, "student_t")
    assert wide.clipped(-1.0, 2.0) == wide
    one = mean_interval([0.4])
    assert (one.estimate, one.low, one.high, one.method) == (0.4, None, None, "none")
    equal = mean_interval([0.1] * 7)
    assert (equal.estimate, equal.low, equal.high, equal.method) == (0.1, 0.1, 0.1, "equal")
    assert mean_interval([0.1 + 0.2, 0.3, 0.3]).method == "equal"  # equal but for rounding


def test_the_ends_of_a_bootstrap_are_its_order_statistics():
    """At 90 % of 99 resamples: those of rank 5 and 93, counted from 0 (98 * 0.05 and 98 * 0.95, rounded)."""
    values = np.array([0.1, 0.4, 0.5, 0.52, 0.6, 0.9])
    weights = intervals._resample_weights(6, 99, 3)
    standardized = (values - values.mean()) / values.std(ddof=0)
    means, squares = weights @ standardized, weights @ standardized**2
    t = np.sort(means / np.sqrt((squares - means**2) / 5))
    (found,), (usable,) = intervals._bootstrap_t_quantiles(standardized[None], 0.9, 99, 3)
    assert usable
    assert found == pytest.approx([t[5], t[93]], rel=1e-9)


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


def test_paired_t_against_scipy_and_without_spread():
    values = np.random.default_rng(0).normal(0.3, 1, 10)
    assert paired_t_p(values) == pytest.approx(stats.ttest_1samp(values, 0).pvalue)
    assert paired_t_p([0, 0, 0]) == 1
    assert math.isnan(paired_t_p([0.1, 0.1, 0.1]))
    assert math.isnan(paired_t_p([0.1]))


# --- tunings ---


def test_scores_stand_by_optimizer_tuning_and_seed():
    rows = [record("sgd", 1003, tuning=1, ap=0.3), record("sgd", 1001, ap=0.1), record("sgd", 1002, ap=0.2)]
    rows += [record("adam", 1004, tuning=1, ap=0.01), record("adam", 1003, tuning=1, ap=0.5)]
    rows += [record("adam", 1001, status="timed_out"), record("adam", 1002, ap=0.4), record("sgd", phase="tune")]
    for seed in range(3):
        found = tuned_scores(pd.DataFrame(rows).sample(frac=1, random_state=seed))
        assert found.names == ("adam", "sgd")
        assert found.scores[0].tolist() == [[0.0, 0.4], [0.5, 0.01]]
        assert found.scores[1, 0].tolist() == [0.1, 0.2]
        assert found.scores[1, 1, 0] == 0.3
        assert math.isnan(found.scores[1, 1, 1]), "seed 1004 is adam's alone so far"
        assert found.complete.tolist() == [[True, True], [True, False]]
        assert found.collapsed.tolist() == [[False, True], [False, False]], "a run that timed out is no collapse"
        assert found.failed.tolist() == [[True, False], [False, False]]
        assert found.steady.tolist() == [False, True]


def test_a_study_says_how_many_seeds_a_tuning_has():
    rows = pd.DataFrame([record("adam", 1001), record("sgd", 1001)])
    assert tuned_scores(rows).complete.tolist() == [[True], [True]]
    assert tuned_scores(rows, seeds=2).complete.tolist() == [[False], [False]]
    with pytest.raises(ValueError, match="more than 1 confirm seeds"):
        tuned_scores(pd.DataFrame([record("adam", 1001), record("adam", 1002)]), seeds=1)
    with pytest.raises(ValueError, match="adam has more than one confirm record of tuning 0 with seed 3"):
        tuned_scores(pd.DataFrame([record("adam", 3), record("adam", 3, index=1)]))
    empty = tuned_scores(pd.DataFrame())
    assert empty.names == ()
    assert empty.scores.size == 0


def test_records_without_a_tuning_are_of_one():
    rows = pd.DataFrame([record("adam", seed, ap=0.5 + 0.01 * seed) for seed in range(5)])
    found = tuned_scores(rows.drop(columns=["tuning", "round"]))
    assert found.scores.shape == (1, 1, 5)
    assert summary_of(rows.drop(columns=["tuning"]))["tunings"].tolist() == [1]


def test_a_collapsed_run_completed_or_diverged_and_learned_nothing():
    ends = ("complete", "diverged", "failed", "out_of_memory", "timed_out", "complete", "complete")
    aps = [*[0.019] * 5, 0.02, None]
    rows = [record("adam", k, ap=ap, status=end) for k, (end, ap) in enumerate(zip(ends, aps, strict=True))]
    assert collapsed(pd.DataFrame(rows)).tolist() == [True, True, False, False, False, False, True]
    assert collapse_floor(workload("pose").score) == AP_FLOOR


# --- comparisons ---


def test_one_row_for_each_pair_with_known_numbers():
    aps = {"adam": [0.5, 0.6, 0.55], "sgd": [0.40, 0.47, 0.48]}
    found = comparison_of(confirm_records(aps))
    (row,) = found.pairs.to_dict("records")
    assert tuple(row) == COLUMNS
    assert (row["a"], row["b"], row["n"], row["better"], row["level"]) == ("adam", "sgd", 3, "a", 0.05)
    differences = np.subtract(aps["adam"], aps["sgd"])
    assert row["mean_difference"] == pytest.approx(differences.mean())
    error = differences.std(ddof=1) / math.sqrt(3)
    assert row["sd_difference"] == pytest.approx(differences.std(ddof=1))
    reach = stats.t.ppf(0.975, 2) * error
    assert (row["low"], row["high"]) == pytest.approx((differences.mean() - reach, differences.mean() + reach))
    p = 2 * stats.t.sf((differences.mean() - MARGIN) / error, 2)
    assert row["t_p"] == row["t_p_adjusted"] == pytest.approx(p)
    assert row["probability_of_improvement"] == 1
    assert (found.best, found.tunings) == (("adam",), 3)


def test_pairs_are_all_pairs_and_adjusted_together():
    found = comparison_of(confirm_records(noisy(dict.fromkeys(SIX, 0.4), 4)))
    frame = found.pairs
    assert list(zip(frame["a"], frame["b"], strict=True)) == list(combinations(SIX, 2))
    assert frame["t_p_adjusted"].to_numpy() == pytest.approx(shaffer(frame["t_p"].to_numpy(), 6))
    assert found.best == SIX


def test_wins_are_counted_by_seed_and_ties_are_half():
    aps = {"adam": [[0.5, 0.4], [0.3, 0.6]], "sgd": [[0.4, 0.4], [0.4, 0.5]]}
    (row,) = comparison_of(confirm_records(aps)).pairs.to_dict("records")
    assert row["probability_of_improvement"] == (1 + 0.5 + 0 + 1) / 4
    assert row["n"] == 2


def test_a_big_gap_is_found_in_both_directions():
    aps = noisy({"adam": 0.5, "sgd": 0.2, "adagrad": 0.5}, 4)
    found = comparison_of(confirm_records(aps))
    frame = found.pairs.set_index(["a", "b"])
    assert frame.loc[("adam", "sgd"), "better"] == "a"
    assert frame.loc[("adagrad", "sgd"), "better"] == "a"
    assert frame.loc[("adagrad", "adam"), "better"] == ""
    assert found.best == ("adagrad", "adam")
    assert 0.01 < found.detectable < 0.1


def test_only_tunings_that_all_have_are_compared():
    aps = {"adam": [0.5, 0.52, 0.51], "sgd": [0.3, 0.33], "late": []}
    found = comparison_of(confirm_records(aps))
    (row,) = found.pairs.to_dict("records")
    assert (row["n"], found.tunings) == (2, 2)
    assert row["mean_difference"] == pytest.approx(0.51 - 0.315)
    one = comparison_of(confirm_records({"adam": [0.5, 0.52], "sgd": [0.3]}))
    assert one.tunings == 1
    assert one.pairs["t_p"].isna().all()
    assert one.pairs["mean_difference"].tolist() == pytest.approx([0.2])


def test_a_pair_with_a_collapse_has_no_interval():
    found = comparison_of(confirm_records({"adam": [0.5, 0.52, 0.51], "sgd": [0.3, None, 0.33], "x": [0.2, 0.21, 0.2]}))
    frame = found.pairs.set_index(["a", "b"])
    assert frame["low"].isna().to_dict() == {("adam", "sgd"): True, ("adam", "x"): False, ("sgd", "x"): True}
    assert frame.loc[("adam", "x"), "better"] == "a"
    assert frame.loc[("adam", "sgd"), "better"] == ""
    assert found.best == ("adam", "sgd")


def test_no_scores_give_an_empty_frame_with_columns():
    found = comparison_of(pd.DataFrame())
    assert found.pairs.empty
    assert tuple(found.pairs.columns) == COLUMNS
    assert (found.best, found.tunings) == ((), 0)
    assert math.isnan(found.detectable)


def test_looks_keep_their_claims_and_the_rows_say_on_which_they_rest():
    aps = {"adam": [0.50, 0.51, 0.50, 0.52], "sgd": [0.10, 0.11, 0.11], "nesterov": [0.49, 0.50, 0.51, 0.51]}
    found = comparison_of(confirm_records(aps), until_decided=True)
    frame = found.pairs.set_index(["a", "b"])
    assert frame["n"].to_dict() == {("adam", "nesterov"): 4, ("adam", "sgd"): 3, ("nesterov", "sgd"): 3}
    assert frame["better"].to_dict() == {("adam", "nesterov"): "", ("adam", "sgd"): "a", ("nesterov", "sgd"): "a"}
    assert frame.loc[("adam", "nesterov"), "level"] == 0.0167
    assert (found.best, found.tunings, len(found.looks)) == (("adam", "nesterov"), 4, 2)
    early = comparison_of(confirm_records({name: own[:2] for name, own in aps.items()}), until_decided=True)
    assert (early.tunings, early.best) == (0, ("adam", "nesterov", "sgd"))
    assert early.pairs["t_p"].isna().all()


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
        summary_of(pd.DataFrame([record("adam")]).drop(columns="status"))


def test_time_to_target_is_read_between_evaluations():
    records = pd.DataFrame([record("adam", 0), record("adam", 1), record("adam", 2, status="diverged")])
    ids = records["trial_id"].tolist()
    rows = curve_rows(ids[0], [(300, 30.0, 0.6), (100, 10.0, 0.1), (200, 20.0, 0.6)])
    rows += curve_rows(ids[1], [(100, 10.0, 0.1)]) + curve_rows(ids[2], [(100, 10.0, 0.9)])
    times = time_to_target(records, pd.DataFrame(rows), 0.5)
    assert times["seconds"].tolist() == pytest.approx([18, math.inf, math.inf])
    assert times["steps"].tolist() == pytest.approx([180, math.inf, math.inf])
    assert times["reached"].tolist() == [True, False, False]
    assert time_to_target(records, pd.DataFrame(rows), 0.05)["steps"].tolist()[:2] == pytest.approx([50, 50])
    assert time_to_target(records, pd.DataFrame(rows), 0.6)["steps"].tolist()[0] == 200, "the first time"
    assert not time_to_target(records, pd.DataFrame(rows), None)["reached"].any()
    assert time_to_target(pd.DataFrame(), NO_CURVES, 0.5).empty


def best_settings(records):
    """Of each optimizer's best tune trial."""
    return {name: json.loads(text) for name, text in best_trials(records)["hyperparameters"].items()}


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


# --- finalists ---


def finalist_rows(select, tune=(0.3, 0.5, 0.4)):
    rows = []
    for tuning, (on_select, tuned) in enumerate(zip(select, tune, strict=True)):
        settings = json.dumps({"lr": float(tuning + 1)})
        rows.append(record("adam", phase="tune", tuning=tuning, index=tuning, ap=tuned))
        rows.append(record("adam", phase="tune", tuning=tuning, index=9 + tuning, ap=tuned - 0.1))
        for number in range(2):
            more = {"hyperparameters": settings, "ap_select": on_select, "at_border": "lr" if tuning == 1 else ""}
            rows.append(record("adam", 1001 + 2 * tuning + number, tuning=tuning, ap=0.9 - 0.1 * tuning, **more))
    return pd.DataFrame(rows)


def finalists(rows):
    return finalists_of(rows, tuned_scores(rows))["adam"]


def test_the_finalist_to_paste_scored_best_on_select_and_never_on_report():
    own = finalists(finalist_rows([0.1, 0.2, 0.3]))
    assert [each.tuning for each in own] == [0, 1, 2]
    assert [each.tune_score for each in own] == [0.3, 0.5, 0.4]
    assert own[0].scores == (0.9, 0.9)
    assert [each.ap_select for each in own] == pytest.approx([0.1, 0.2, 0.3])
    assert shown_finalist(own).settings == '{"lr": 3.0}'
    assert shown_finalist(finalists(finalist_rows([0.3, 0.3, 0.3]))).tuning == 0
    unmeasured = finalists(finalist_rows([0.3, math.nan, 0.2]))
    assert unmeasured[1].ap_select is None
    assert shown_finalist(unmeasured).tuning == 1, "the best tune trial decides"
    assert shown_finalist(unmeasured).at_border == ("lr",)
    assert shown_finalist(()) is None


def test_a_run_that_did_not_complete_scores_0_on_select_and_an_incomplete_tuning_waits():
    rows = finalist_rows([0.4, 0.3, 0.2])
    first = (rows["phase"] == "confirm") & (rows["seed"] == 1001)
    rows.loc[first, ["status", "ap_select"]] = ["diverged", math.nan]
    assert finalists(rows)[0].ap_select == pytest.approx(0.2)
    assert shown_finalist(finalists(rows)).tuning == 1
    assert finalists(rows)[0].collapsed
    waiting = finalist_rows([0.4, 0.3, 0.2])
    waiting = waiting[~first]
    assert not finalists(waiting)[0].complete
    assert shown_finalist(finalists(waiting)).tuning == 1


# --- rankings ---


def test_summary_by_hand():
    rows = [
        record("adam", 1, tuning=0, ap=0.4, ap_best=0.5, at_border="lr, one_minus_beta1"),
        record("adam", 2, tuning=1, ap=0.6, ap_best=0.7, hyperparameters='{"lr": 0.2}'),
        record("adam", 3, tuning=2, ap=0.8, status="diverged", ap_best=0.8),
        record("adam", phase="tune", status="failed", index=0, tuning=1),
        record("adam", phase="tune", status="out_of_memory", index=1),
        record("adam", phase="tune", status="diverged", index=2),
        record("adam", phase="tune", ap=0.3, index=3),
        record("sgd", phase="tune", ap=0.2, hyperparameters='{"momentum":0.9,"lr":0.2}'),
        record("sgd", 1, status="failed"),
        record("sgd", 2, tuning=1, ap=0.1),
        record("late", phase="tune", ap=0.2, hyperparameters='{"momentum":0.9,"lr":0.2}'),
    ]
    curves = pd.DataFrame(
        curve_rows(rows[0]["trial_id"], [(100, 5.0, 0.4)]) + curve_rows(rows[1]["trial_id"], [(200, 15.0, 0.6)])
    )
    adam, sgd, late = summary_of(pd.DataFrame(rows), curves, target=0.3).to_dict("records")
    assert (adam["rank"], adam["name"], adam["n"], adam["tunings"]) == (1, "adam", 3, 3)
    assert (adam["settings"], adam["settings_tuning"]) == ('{"lr": 0.1}', 0), "tuning 1 has no tune trial with an AP"
    assert adam["at_border"] == ["lr", "one_minus_beta1"]
    assert (adam["ap_mean"], adam["ap_median"], adam["score_mean"]) == pytest.approx((0.5, 0.5, 1 / 3))
    assert math.isnan(adam["ap_low"]), "a tuning collapsed"
    assert adam["collapsed"] == 1
    assert (adam["collapsed_low"], adam["collapsed_high"]) == pytest.approx(count_interval(1, 3))
    assert adam["tuning_sd"] == pytest.approx(np.std([0.4, 0.6, 0], ddof=1))
    assert adam["completed_ap_mean"] == pytest.approx(0.5)
    assert adam["best_checkpoint_ap_mean"] == pytest.approx(0.6)
    assert (adam["time_to_target_s"], adam["steps_to_target"]) == pytest.approx((7.5, 100))
    assert (adam["targets_reached"], adam["target_ap"]) == (2, 0.3)
    assert (adam["diverged"], adam["confirm_diverged"], adam["tune_diverged"]) == (2, 1, 1)
    assert (adam["failed"], adam["confirm_failed"], adam["tune_failed"]) == (2, 0, 2)
    assert (adam["confirm_unfinished"], adam["tune_trials"]) == (1, 4)
    assert [each["settings"] for each in adam["finalists"]] == [{"lr": 0.1}, {"lr": 0.2}, {"lr": 0.1}]
    assert [each["collapsed"] for each in adam["finalists"]] == [False, False, True]
    assert (sgd["name"], sgd["collapsed"], sgd["confirm_failed"]) == ("sgd", 0, 1)
    assert sgd["ap_mean"] == sgd["score_mean"] == pytest.approx(0.05), "a failure counts as 0, and is no collapse"
    assert math.isnan(sgd["ap_low"])
    assert (late["name"], late["n"], late["settings"]) == ("late", 0, '{"lr": 0.2, "momentum": 0.9}')
    assert math.isnan(late["ap_mean"])
    assert math.isnan(late["rank"])
    assert late["finalists"] == []


def test_intervals_share_the_spread_of_the_steady_and_stay_in_range():
    steady = summary_of(confirm_records(noisy({"adam": 0.5, "sgd": 0.3, "adagrad": 0.4}, 3)))
    assert steady["ap_low"].notna().all()
    assert (steady["ap_low"] < steady["ap_mean"]).all()
    assert (steady["ap_mean"] < steady["ap_high"]).all()
    alone = summary_of(confirm_records({"adam": [0.5, 0.52, 0.51]})).iloc[0]
    low, high = stats.t.interval(0.95, 2, 0.51, stats.sem([0.5, 0.52, 0.51]))
    assert (alone["ap_low"], alone["ap_high"]) == pytest.approx((low, high))
    wide = summary_of(confirm_records({"adam": [0.05, 0.9, 0.5]})).iloc[0]
    assert (wide["ap_low"], wide["ap_high"]) == (0, 1)
    left = summary_of(confirm_records({"adam": [0.5, 0.52, 0.51, 0.5], "sgd": [0.3, 0.31, 0.32], "x": [0.4] * 4}))
    assert left["ap_low"].notna().all(), "one that left earlier has fewer tunings"
    assert summary_of(confirm_records({"adam": [0.5]}))["ap_low"].isna().all()


def test_the_order_is_that_of_all_tunings():
    """What claims are about: one that learns in one tuning of three, well, is no leader."""
    summary = summary_of(
        confirm_records({"sgd": [0.9, None, None], "adam": [0.4, 0.41, 0.42], "lost": [0.0, 0.01, None]})
    )
    assert summary["name"].tolist() == ["adam", "sgd", "lost"]
    assert summary["ap_mean"].tolist()[:2] == pytest.approx([0.41, 0.9])
    assert math.isnan(summary["ap_mean"][2])
    assert summary["collapsed"].tolist() == [0, 2, 3]


def test_an_infinite_median_time_is_unknown_and_no_target_is_none():
    records = confirm_records({"adam": [0.5, 0.5, 0.5]})
    curves = pd.DataFrame(curve_rows(records["trial_id"][0], [(100, 5.0, 0.5)]))
    (row,) = summary_of(records, curves, target=0.4).to_dict("records")
    assert row["targets_reached"] == 1
    assert math.isnan(row["time_to_target_s"])
    (row,) = summary_of(records, curves).to_dict("records")
    assert math.isnan(row["target_ap"])
    assert math.isnan(row["targets_reached"])


def test_ties_share_a_rank_and_a_failure_lowers_it():
    aps = {"adam": [0.2, 0.4, 0.3], "sgd": [0.3, 0.2, 0.4], "adagrad": [0.1, 0.1, 0.1]}
    records = confirm_records(aps)
    summary = summary_of(records)
    assert summary[["name", "rank"]].to_numpy().tolist() == [["adam", 1], ["sgd", 1], ["adagrad", 3]]
    records.loc[(records["optimizer"] == "adam") & (records["tuning"] == 1), "status"] = "failed"
    lowered = summary_of(records).set_index("name")["rank"].to_dict()
    assert lowered == {"sgd": 1, "adam": 2, "adagrad": 3}


def whole_study():
    """Records and curves with a collapse, a failure, two seeds a tuning, and tune trials."""
    aps = noisy({"adam": 0.5, "sgd": 0.49, "adagrad": 0.3, "nesterov": 0.3}, 3)
    aps = {name: [[ap, ap + 0.01] for ap in own] for name, own in aps.items()}
    aps["sgd"][1] = [0.0, None]
    records = confirm_records(aps)
    records.loc[3, "status"] = "failed"
    tune = [
        record(name, phase="tune", tuning=r, index=k, ap=0.1 * k) for name in aps for r in range(3) for k in range(4)
    ]
    records = pd.concat([records, pd.DataFrame(tune)], ignore_index=True)
    points = [(100, 5.0, 0.2), (200, 9.0, 0.48), (300, 14.0, 0.6)]
    return records, pd.DataFrame([row for trial in records["trial_id"] for row in curve_rows(trial, points)])


PARTS = ("summary", "comparisons", "seeds", "views", "sensitivity")


def test_shuffled_rows_change_nothing():
    records, curves = whole_study()
    first = study_analysis(records, curves, target=0.4)
    for seed in range(3):
        other = records.sample(frac=1, random_state=seed)
        found = study_analysis(other, curves.sample(frac=1, random_state=seed), target=0.4)
        for part in PARTS:
            pd.testing.assert_frame_equal(getattr(found, part), getattr(first, part))
        assert found.verdict == first.verdict
        assert found.best == first.best


def test_other_names_change_no_number():
    records, curves = whole_study()
    new = {"adam": "zeta", "sgd": "a", "adagrad": "m", "nesterov": "b"}
    renamed = records.assign(optimizer=records["optimizer"].map(new))
    first, found = study_analysis(records, curves, target=0.4), study_analysis(renamed, curves, target=0.4)
    assert {new[name] for name in first.best} == {*found.best}
    before, after = (each.ranking.set_index("name").drop(columns=["finalists", "rank"]) for each in (first, found))
    pd.testing.assert_frame_equal(before.rename(index=new).sort_index(), after.sort_index(), check_index_type=False)
    pairs = {frozenset((row["a"], row["b"])): row for row in found.comparisons.to_dict("records")}
    for row in first.comparisons.to_dict("records"):
        other = pairs[frozenset((new[row["a"]], new[row["b"]]))]
        assert other["t_p_adjusted"] == pytest.approx(row["t_p_adjusted"])
        assert abs(other["mean_difference"]) == pytest.approx(abs(row["mean_difference"]))


# --- json ---


def test_json_safe_has_no_nan_and_only_plain_types():
    records = confirm_records({"adam": [0.5], "sgd": [0.4]})
    plain = to_json_safe({"optimizers": summary_of(records), "pairs": comparison_of(records).pairs})
    text = json.dumps(plain, allow_nan=False)
    assert json.loads(text)["optimizers"][0]["ap_low"] is None
    value = {1: np.float32("inf"), "b": (np.int64(3), np.bool_(True), pd.NA, pd.NaT, {2, 1}), "c": np.array([math.nan])}
    assert to_json_safe(value) == {"1": None, "b": [3, True, None, None, [1, 2]], "c": [None]}
    interval = to_json_safe(mean_interval([0.5]))
    assert interval["low"] is None
    assert type(to_json_safe(np.float64(0.5))) is float
    with pytest.raises(TypeError, match="no plain JSON form"):
        to_json_safe(object())


def test_without_a_ranking_the_order_is_the_study_s_and_nothing_suggests_one():
    numbers = dict.fromkeys(("target_ap", "time_to_target_s", "steps_to_target", "targets_reached"), 1.0)
    rows = [{"name": name, "rank": 1.0, "score_mean": 0.5, "at_border": ["lr"], **numbers} for name in ("a", "b", "c")]
    found = unranked(pd.DataFrame(rows), ["c", "a", "b"])
    assert found["name"].tolist() == ["c", "a", "b"]
    assert found.index.tolist() == [0, 1, 2]
    assert found[["rank", *numbers]].isna().all(axis=None)
    assert found["score_mean"].tolist() == [0.5] * 3
    assert found["at_border"].tolist() == [[], [], []]
