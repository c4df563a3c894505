"""What tuning, budgets and controls say, on hand-made records with known answers; and the entry to it all."""

import io
import json
import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from bench.kinds.optimizers.analysis import (
    budget_views,
    control_comparisons,
    control_sentence,
    implementation_rows,
    score_table,
    short_names,
    split_controls,
    study_analysis,
    summarize,
    tuned_scores,
    unpaired_interval,
    welch_t_p,
)

NO_CURVES = pd.DataFrame(columns=["trial_id", "step", "train_seconds", "ap", "val_loss"])


def record(optimizer, seed=0, *, phase="confirm", ap=0.5, status="complete", lr=0.1, index=0, **more):
    row = {
        "trial_id": f"{phase}-{optimizer}-{seed}-{index}",
        "phase": phase,
        "optimizer": optimizer,
        "hyperparameters": json.dumps({"lr": lr}),
        "seed": seed,
        "index": index,
        "status": status,
        "ap": ap,
        "ap_best": ap,
        "val_loss": 1.0,
    }
    return row | more


def tune(optimizer, aps, **more):
    """Tune trials with the given APs; None: diverged."""
    return [
        record(optimizer, phase="tune", index=i, ap=ap, status="diverged" if ap is None else "complete", **more)
        for i, ap in enumerate(aps)
    ]


# --- equal steps, equal time ---


def curve(trial, points):
    return [{"trial_id": trial, "step": s, "train_seconds": t, "ap": ap, "val_loss": 1.0} for s, t, ap in points]


def views(rows, points, **options):
    records = pd.DataFrame(rows)
    return budget_views(records, points, tuned_scores(records), **options)


def test_views_are_read_where_the_first_optimizer_ends():
    rows = [record("fast", 1 + r, tuning=r, ap=0.4, steps_done=100, train_seconds=50.0) for r in range(2)]
    rows += [record("slow", 1 + r, tuning=r, ap=0.6, steps_done=100, train_seconds=100.0) for r in range(2)]
    points = [point for row in rows[:2] for point in curve(row["trial_id"], [(50, 25.0, 0.3), (100, 50.0, 0.4)])]
    points += curve(rows[2]["trial_id"], [(40, 40.0, 0.2), (100, 100.0, 0.6)])
    points += curve(rows[3]["trial_id"], [(80, 80.0, 0.4), (100, 100.0, 0.6)])
    found = views(rows, pd.DataFrame(points), timed=True).set_index("optimizer")
    assert set(found["equal_steps"]) == {100}
    assert set(found["equal_seconds"]) == {50}
    assert found.loc["fast", "ap_at_equal_seconds"] == pytest.approx(0.4)
    at_50 = [0.2 + 0.4 * 10 / 60, 0.4 * 50 / 80]  # between evaluations; from 0 at 0
    assert found.loc["slow", "ap_at_equal_seconds"] == pytest.approx(np.mean(at_50))
    assert (
        found.loc["slow", "ap_at_equal_seconds_low"] <= np.mean(at_50) <= found.loc["slow", "ap_at_equal_seconds_high"]
    )
    assert found.loc["slow", "ap_at_equal_steps"] == pytest.approx(0.6)
    rows.append(record("slow", 3, tuning=2, status="diverged", ap=0.9))
    lost = views(rows, pd.DataFrame(points), timed=True).set_index("optimizer")
    assert lost.loc["slow", "ap_at_equal_steps"] == pytest.approx(0.6), "where it learned"
    assert math.isnan(lost.loc["slow", "ap_at_equal_steps_low"])
    assert lost.loc["slow", "n"] == 3


def test_equal_time_is_read_of_trials_that_were_given_time_alone():
    rows = [record("adam", 1 + r, tuning=r, ap=0.4, steps_done=100, train_seconds=50.0) for r in range(2)]
    assert "equal_seconds" not in views(rows, NO_CURVES)
    assert "ap_at_equal_seconds" in views(rows, NO_CURVES, timed=True)


def test_without_curves_the_record_s_end_counts_and_without_that_nothing_is_known():
    ended = [record("adam", 1 + r, tuning=r, ap=0.4, steps_done=100, train_seconds=50.0) for r in range(2)]
    assert views(ended, NO_CURVES)["ap_at_equal_steps"].tolist() == pytest.approx([0.4])
    unknown = views([record("adam", 1), record("adam", 2, tuning=1)], NO_CURVES, timed=True)
    assert unknown[["equal_steps", "ap_at_equal_steps", "ap_at_equal_seconds_low"]].isna().all(axis=None)
    lost = views([record("adam", 1, status="failed")], NO_CURVES)
    assert lost["ap_at_equal_steps"].isna().all()
    assert budget_views(pd.DataFrame(), NO_CURVES, tuned_scores(pd.DataFrame())).empty


# --- controls ---


def with_control(own, limit, **more):
    """A tuning a seed."""
    settings = json.dumps({"lr": 0.01, "momentum": 0.9})
    rows = [record("adabound", seed, tuning=seed, ap=ap) for seed, ap in enumerate(own)]
    rows += [record("sgd", seed, tuning=seed, ap=0.2 + 0.01 * seed) for seed in range(len(own))]
    rows += [
        record(
            *("adabound (limit)", seed), tuning=seed, ap=ap, control_of="adabound",
            **({"hyperparameters": settings} | more),
        )
        for seed, ap in enumerate(limit)
    ]  # fmt: skip
    return pd.DataFrame(rows)


OWN = np.array([0.40, 0.42, 0.41, 0.39, 0.43, 0.40])
LIMIT = OWN - np.array([0.01, -0.02, 0.02, 0.01, -0.01, 0.0])


def test_a_control_is_compared_with_its_optimizer_alone():
    records = with_control(OWN, LIMIT)
    (row,) = control_comparisons(*split_controls(records)).to_dict("records")
    assert (row["name"], row["control_of"], row["n"], row["unfinished"]) == ("adabound (limit)", "adabound", 6, 0)
    assert json.loads(row["settings"]) == {"lr": 0.01, "momentum": 0.9}
    assert (row["of_ap_mean"], row["ap_mean"]) == pytest.approx((OWN.mean(), LIMIT.mean()))
    assert row["difference"] == pytest.approx((OWN - LIMIT).mean())
    assert row["low"] < row["difference"] < row["high"]
    assert row["t_p"] == pytest.approx(stats.ttest_rel(OWN, LIMIT).pvalue)


def test_controls_are_in_no_ranking_pair_or_sentence():
    records = with_control(OWN, OWN + 0.3)
    found, without = (study_analysis(rows, NO_CURVES) for rows in (records, records[records["control_of"].isna()]))
    assert found.verdict == without.verdict
    assert found.leader == "adabound"
    for part in ("summary", "comparisons", "seeds", "views"):
        pd.testing.assert_frame_equal(getattr(found, part), getattr(without, part))
    assert len(found.controls) == 1
    assert without.controls.empty
    summary = summarize(records, NO_CURVES, tuned_scores(records))
    assert list(score_table(records).columns) == list(summary["name"].sort_values())
    assert "adabound (limit)" not in score_table(records).columns


def test_records_say_the_same_after_a_round_trip_through_csv():
    """An empty `control_of` is read as NaN, a seed without an AP as a float column."""
    records = with_control(OWN, LIMIT)
    records["control_of"] = records["control_of"].fillna("")
    records.loc[1, ["ap", "status"]] = [math.nan, "failed"]
    text = io.StringIO()
    records.to_csv(text, index=False)
    text.seek(0)
    found, again = (study_analysis(rows, NO_CURVES) for rows in (records, pd.read_csv(text)))
    assert again.verdict == found.verdict
    for part in ("summary", "comparisons", "controls", "views"):
        pd.testing.assert_frame_equal(getattr(again, part), getattr(found, part))


@pytest.mark.parametrize(
    ("limit", "said"),
    [
        (LIMIT, "as tuned here it has shown no gain over its untuned limit."),
        (LIMIT - 0.2, "as tuned here it gains over its untuned limit."),
        (LIMIT + 0.2, "its untuned limit alone does better."),
        (OWN - 0.05, "t test undefined: the difference is constant, not corrected"),
        (LIMIT[:3] - 0.2, "too few seeds for a claim."),
        (LIMIT[:1] - 0.2, "(n = 1): no claim is possible."),
    ],
)
def test_what_a_control_says(limit, said):
    found = control_comparisons(*split_controls(with_control(OWN, limit)))
    text = control_sentence(found.iloc[0])
    assert said in text
    assert "against its own limit, untuned SGD with momentum 0.9 at lr 0.01: " in text
    assert "nan" not in text


def test_a_control_that_failed_counts_as_0_and_one_without_a_pair_says_so():
    records = with_control(OWN, LIMIT, status="diverged")
    (row,) = control_comparisons(*split_controls(records)).to_dict("records")
    assert (row["ap_mean"], row["unfinished"]) == (0.0, 6)
    text = control_sentence(control_comparisons(*split_controls(records)).iloc[0])
    assert "6 of the untuned limit's 6 trials diverged or failed and count as AP 0" in text
    assert text.endswith("no claim.")
    alone = records[records["optimizer"] != "adabound"]
    (row,) = (row for _, row in control_comparisons(*split_controls(alone)).iterrows())
    assert "share no confirm seed yet" in control_sentence(row)


# --- names, implementations, the unpaired test ---


def test_short_names_are_the_end_of_a_path_where_that_is_plain():
    names = ["adam", "torch.optim.RAdam", "tests.support.toy.SignSGD", "a.b.Lion", "c.d.Lion", "adabound (limit)"]
    assert list(short_names(names).values()) == ["adam", "RAdam", "SignSGD", "b.Lion", "d.Lion", "adabound (limit)"]
    assert short_names(["radam", "torch.optim.RAdam"]) == {"radam": "radam", "torch.optim.RAdam": "optim.RAdam"}
    assert short_names(["a.Lion", "b.a.Lion"]) == {"a.Lion": "a.Lion", "b.a.Lion": "b.a.Lion"}
    composed = ["a.SAM(b.Lion)", "c.SAM(b.Lion)", "muon+d.e.Adan", "a.SAM(sgd)"]
    assert [*short_names(composed).values()] == ["a.SAM(b.Lion)", "c.SAM(b.Lion)", "muon+Adan", "SAM(sgd)"]


@given(st.lists(st.from_regex(r"[a-c](\.[a-cA-C]){0,3}", fullmatch=True), unique_by=str.lower))
def test_short_names_stay_apart(names):
    found = short_names(names)
    assert len({name.lower() for name in found.values()}) == len(names)
    assert all(name.endswith(short) for name, short in found.items())


def test_the_verdict_and_the_implementation_of_a_dotted_name():
    told = {"implementation": "torch RAdam (foreach)"}
    rows = [record("torch.optim.RAdam", s, tuning=s, ap=0.5 + 0.01 * s, **told) for s in range(4)]
    rows += [record("sgd", s, tuning=s, ap=0.3 + 0.011 * s) for s in range(4)]
    found = study_analysis(pd.DataFrame(rows), NO_CURVES)
    assert found.verdict.startswith("RAdam 0.515 [")
    assert found.best == ("torch.optim.RAdam",)
    assert "torch.optim" not in found.verdict
    assert found.summary.set_index("name")["implementation"].to_dict() == {
        "torch.optim.RAdam": "torch RAdam (foreach)",
        "sgd": "",
    }
    assert implementation_rows(pd.DataFrame()).empty


def test_welch_s_test_and_interval_are_scipy_s():
    rng = np.random.default_rng(0)
    a, b = rng.normal(0.5, 0.1, 6), rng.normal(0.4, 0.02, 9)
    reference = stats.ttest_ind(a, b, equal_var=False)
    assert welch_t_p(a, b) == pytest.approx(reference.pvalue)
    interval, expected = unpaired_interval(a, b), reference.confidence_interval()
    assert (interval.low, interval.high) == pytest.approx((expected.low, expected.high))
    assert interval.estimate == pytest.approx(a.mean() - b.mean())
    assert (interval.n, interval.method) == (6, "welch_t")
    back = unpaired_interval(b, a)
    assert (back.low, back.high) == pytest.approx((-interval.high, -interval.low))


def test_welch_without_spread_or_values_claims_nothing():
    assert welch_t_p([0.4, 0.4], [0.4, 0.4, 0.4]) == 1
    assert math.isnan(welch_t_p([0.4, 0.4], [0.3, 0.3]))
    assert math.isnan(welch_t_p([0.4], [0.3, 0.2]))
    equal = unpaired_interval([0.4, 0.4], [0.3, 0.3])
    assert (equal.low, equal.high, equal.method) == (0.1, 0.1, "equal")
    assert unpaired_interval([0.4], [0.3, 0.2]).low is None
    assert unpaired_interval([], [0.3]).estimate is None
    with pytest.raises(ValueError, match="finite"):
        unpaired_interval([0.4, math.nan], [0.3, 0.2])


def test_welch_s_interval_covers_the_truth_with_unequal_variances_and_sizes():
    rng = np.random.default_rng(0)
    found = [unpaired_interval(rng.normal(0, 1, 5), rng.normal(0, 4, 10)) for _ in range(2000)]
    assert 0.93 <= np.mean([i.low <= 0 <= i.high for i in found]) <= 0.97


# --- the entry ---


def test_a_study_without_a_record_has_all_its_parts():
    found = study_analysis(pd.DataFrame(), pd.DataFrame(), optimizers=("adam", "torch.optim.RAdam"))
    assert found.verdict.startswith("No confirm trial has finished yet: no claim is possible.")
    assert found.leader is None
    assert not found.comparable
    assert found.names == {"adam": "adam", "torch.optim.RAdam": "RAdam"}
    for part in ("summary", "comparisons", "controls", "seeds", "views", "sensitivity"):
        assert getattr(found, part).empty
    assert all(band.empty for band in found.bands.values())
