"""What the figures and the cost table are made of, on hand-made records with known answers."""

import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.kinds.optimizers.analysis import (
    chosen_rows,
    costs,
    curve_bands,
    leader,
    lr_sensitivity,
    rate_ranges,
    run_curves,
    seed_rows,
    time_use,
)
from tests.support.examples import few


def record(optimizer, seed=0, *, phase="confirm", ap=0.5, status="complete", index=0, **more):
    name = f"{phase}-{optimizer}-{seed}-{index}"
    row = {
        "trial_id": name,
        "run_id": f"run-{name}",
        "phase": phase,
        "optimizer": optimizer,
        "hyperparameters": '{"lr": 0.1}',
        "seed": seed,
        "index": index,
        "status": status,
        "ap": ap,
    }
    return row | more


def curve(trial, points):
    return [{"trial_id": trial, "step": s, "train_seconds": t, "ap": a, "val_loss": loss} for s, t, a, loss in points]


TWO_SEEDS = pd.DataFrame([record("adam", 1), record("adam", 2)])
TWO_CURVES = pd.DataFrame(
    curve("confirm-adam-1-0", [(10, 1.0, 0.0, 8.0), (20, 2.0, 0.2, 4.0), (30, 3.0, 0.4, 2.0)])
    + curve("confirm-adam-2-0", [(10, 2.0, 0.1, 6.0), (20, 4.0, 0.4, 6.0), (30, 6.0, 0.5, 2.0)])
)


THREE_SEEDS = pd.DataFrame([record("adam", seed, tuning=seed) for seed in (1, 2, 3)])
THREE_CURVES = pd.concat(
    [
        TWO_CURVES,
        pd.DataFrame(curve("confirm-adam-3-0", [(10, 1.5, 0.3, 7.0), (20, 3.5, 0.6, 3.0), (30, 5.5, 0.8, 1.0)])),
    ]
)


def bands(records, curves, *, value="ap", over="step", **more):
    return curve_bands(run_curves(records, curves, value=value, over=over, **more))


def test_a_band_is_median_and_quartiles_evaluation_by_evaluation():
    found = bands(THREE_SEEDS, THREE_CURVES)
    assert list(found["x"]) == [10, 20, 30]
    assert list(found["evaluation"]) == [1, 2, 3]
    assert found["median"].tolist() == [0.1, 0.4, 0.5]
    assert found["low"].tolist() == pytest.approx([0.05, 0.3, 0.45])
    assert found["high"].tolist() == pytest.approx([0.2, 0.5, 0.65])
    assert set(found["n"]) == {3}
    assert set(found["optimizer"]) == {"adam"}


def test_over_seconds_nothing_is_interpolated():
    found = bands(THREE_SEEDS, THREE_CURVES, over="train_seconds")
    assert found["x"].tolist() == [1.5, 3.5, 5.5], "the median run's own times"
    assert found["median"].tolist() == [0.1, 0.4, 0.5]
    runs = run_curves(THREE_SEEDS, THREE_CURVES, value="ap", over="train_seconds")
    assert {*zip(runs["x"], runs["y"], strict=True)} == {*zip(THREE_CURVES.train_seconds, THREE_CURVES.ap, strict=True)}


@pytest.mark.parametrize("fate", [{"status": "diverged"}, {"status": "failed"}, {"ap": 0.01}])
def test_a_run_that_did_not_learn_is_shown_and_in_no_band(fate):
    records = pd.DataFrame([record("adam", 1), record("adam", 2), record("adam", 3) | fate])
    runs = run_curves(records, THREE_CURVES, value="ap", over="step")
    assert runs.groupby("trial_id")["learned"].all().to_dict() == {
        "confirm-adam-1-0": True,
        "confirm-adam-2-0": True,
        "confirm-adam-3-0": False,
    }
    assert len(runs) == 9
    assert runs["complete"].sum() == (9 if "ap" in fate else 6)
    pd.testing.assert_frame_equal(curve_bands(runs), bands(TWO_SEEDS, TWO_CURVES))
    assert bands(records, THREE_CURVES, floor=0.6).empty, "none learned: there is no band"


def test_a_trial_that_broke_off_has_its_own_evaluations_alone():
    records = pd.DataFrame([record("adam", 1), record("adam", 2, status="diverged", steps_done=25)])
    curves = TWO_CURVES[~((TWO_CURVES["trial_id"] == "confirm-adam-2-0") & (TWO_CURVES["step"] == 30))]
    runs = run_curves(records, curves, value="ap", over="step")
    assert runs["x"][runs["trial_id"] == "confirm-adam-2-0"].tolist() == [10, 20]


def test_tune_trials_and_trials_without_evaluations_draw_nothing():
    tune = pd.DataFrame([record("adam", 1, phase="tune")])
    assert bands(tune, TWO_CURVES).empty
    nothing = run_curves(TWO_SEEDS, pd.DataFrame(), value="ap", over="step")
    assert nothing.empty
    assert not nothing["learned"].any()
    assert curve_bands(nothing).empty
    half = TWO_CURVES[TWO_CURVES["trial_id"] == "confirm-adam-1-0"]
    assert set(bands(TWO_SEEDS, half)["n"]) == {1}
    empty = bands(pd.DataFrame(), pd.DataFrame())
    assert list(empty.columns)[:3] == ["optimizer", "evaluation", "x"]
    assert empty["median"].dtype == float
    others = pd.DataFrame([record("adagrad", 1), *(record("adam", seed) for seed in (1, 2))])
    assert set(bands(others, TWO_CURVES)["optimizer"]) == {"adam"}


def test_an_infinite_loss_is_no_point_of_a_curve_and_moves_no_other():
    curves = TWO_CURVES.assign(val_loss=[8.0, math.inf, 2.0, 6.0, 6.0, 4.0])
    found = bands(TWO_SEEDS, curves, value="val_loss").set_index("evaluation")
    assert found["median"].tolist() == [7.0, 6.0, 3.0]
    assert found["n"].tolist() == [2, 1, 2]
    assert found["x"].tolist() == [10, 20, 30]


@few(25)
@given(
    st.lists(st.lists(st.tuples(st.floats(0.1, 10), st.floats(0, 1)), min_size=1, max_size=6), min_size=1, max_size=4)
)
def test_a_band_holds_its_median_and_never_leaves_the_points(seeds):
    records = pd.DataFrame([record("adam", number) for number in range(len(seeds))])
    points = []
    for number, steps in enumerate(seeds):
        seconds = np.cumsum([gap for gap, _ in steps])
        own = [(place + 1, seconds[place], ap, 1.0) for place, (_, ap) in enumerate(steps)]
        points += curve(f"confirm-adam-{number}-0", own)
    found = bands(records, pd.DataFrame(points).sample(frac=1, random_state=0), over="train_seconds")
    assert (found["low"] <= found["median"]).all()
    assert (found["median"] <= found["high"]).all()
    for row in found.itertuples():
        aps = [steps[row.evaluation - 1][1] for steps in seeds if len(steps) >= row.evaluation]
        assert row.n == len(aps)
        assert row.median == pytest.approx(np.median(aps))
        assert min(aps) - 1e-12 <= row.low <= row.high <= max(aps) + 1e-12
    assert len(found) == max(map(len, seeds))


def tune(optimizer, index, lr, ap, status="complete"):
    return record(optimizer, 0, phase="tune", index=index, ap=ap, status=status, hyperparameters=f'{{"lr": {lr}}}')


def test_sensitivity_has_every_tune_trial_with_a_rate():
    rows = [
        tune("sgd", 0, 1.0, None, "diverged"),
        tune("sgd", 1, 0.01, 0.2) | {"tuning": 1, "round": 1},
        tune("sgd", 2, 0.1, 0.3) | {"hyperparameters": '{"effective_lr": 0.5, "lr": 0.05, "momentum": 0.9}'},
        tune("adam", 3, 0.001, 0.4),
        record("adam", 7),
        record("own", 0, phase="tune", hyperparameters='{"momentum": 0.9}'),
        record("own", 0, phase="tune", hyperparameters='{"lr": "auto"}', index=1),
    ]
    found = lr_sensitivity(pd.DataFrame(rows))
    assert found[["optimizer", "tuning", "round", "rate", "ap", "status"]].to_numpy().tolist() == [
        ["adam", 0, 0, 0.001, 0.4, "complete"],
        ["sgd", 1, 1, 0.01, 0.2, "complete"],
        ["sgd", 0, 0, 0.5, 0.3, "complete"],
        ["sgd", 0, 0, 1.0, 0.0, "diverged"],
    ]
    assert found.index.tolist() == [0, 1, 2, 3]
    assert lr_sensitivity(pd.DataFrame()).empty
    ranges = rate_ranges(found, {"adam": (1e-5, 0.1)}).set_index("optimizer")
    assert ranges.loc["adam"].tolist() == [1e-5, 0.1, 1]
    assert ranges.loc["sgd"].tolist() == [0.01, 1.0, 3], "the sampled extent where the range is not known"
    assert rate_ranges(lr_sensitivity(pd.DataFrame())).empty


def timed(optimizer, seed, start_s, end_s, **more):
    return record(optimizer, seed, started_ms=1000 * start_s, ended_ms=1000 * end_s, concurrent_trials=1) | more


def test_costs_are_medians_of_complete_confirm_trials_and_shares_count_all():
    rows = [
        timed("adam", 1, 0, 10, images_per_s=10.0, optimizer_step_ms=1.0, train_seconds=8.0, eval_seconds=1.0),
        timed("adam", 2, 10, 20, images_per_s=20.0, optimizer_step_ms=3.0, train_seconds=9.0, eval_seconds=0.5),
        timed("adam", 3, 20, 30, status="failed"),
        timed("adam", 0, 30, 40, phase="tune", images_per_s=99.0),
        timed("sgd", 0, 40, 50, phase="tune", images_per_s=50.0, optimizer_state_bytes=4e6),
    ]
    found = costs(pd.DataFrame(rows)).set_index("name")
    assert found.loc["adam", ["images_per_s", "optimizer_step_ms", "train_s", "eval_s"]].tolist() == [15, 2, 8.5, 0.75]
    assert found.loc["sgd", ["images_per_s", "optimizer_state_bytes"]].tolist() == [50.0, 4e6]
    assert math.isnan(found.loc["sgd", "train_s"])
    assert found["timed_trials"].to_dict() == {"adam": 2, "sgd": 1}
    assert found["trials"].to_dict() == {"adam": 4, "sgd": 1}
    assert found["trial_s_sum"].to_dict() == {"adam": 40.0, "sgd": 10.0}
    assert found["time_share"].to_dict() == {"adam": 0.8, "sgd": 0.2}


def test_costs_of_records_without_times_are_unknown():
    found = costs(pd.DataFrame([record("adam", 1)]))
    assert found[["images_per_s", "trial_s_sum", "time_share"]].isna().all(axis=None)
    assert costs(pd.DataFrame()).empty


def session(began, heard, workers=1, data_s=0.0):
    return {"began_ms": 1000 * began, "heard_ms": 1000 * heard, "workers": workers, "data_s": data_s}


def sessions(*rows):
    return pd.DataFrame(rows, columns=["began_ms", "heard_ms", "workers", "data_s"])


def test_time_is_training_evaluation_data_and_the_rest():
    rows = [
        timed("adam", 1, 30, 70, train_seconds=30.0, eval_seconds=5.0),
        timed("adam", 2, 70, 100, train_seconds=20.0, eval_seconds=5.0),
        timed("adam", 3, 100, 105, status="failed"),
    ]
    found = time_use(pd.DataFrame(rows), sessions(session(10, 110, data_s=15.0)))
    assert (found.wall_s, found.train_s, found.eval_s, found.data_s) == pytest.approx((100, 50, 10, 15))
    assert found.other_s == pytest.approx(25)
    assert found.overhead_share == pytest.approx(0.25)
    assert (found.train_share, found.eval_share, found.data_share) == pytest.approx((0.5, 0.1, 0.15))
    assert (found.workers, found.sessions) == (1, 1)


def test_with_two_trials_at_once_their_seconds_count_half_and_data_in_full():
    rows = [
        timed("adam", 1, 20, 100, train_seconds=60.0, eval_seconds=10.0),
        timed("sgd", 1, 20, 60, train_seconds=40.0, eval_seconds=0.0),
    ]
    found = time_use(pd.DataFrame(rows), sessions(session(0, 100, workers=2, data_s=20.0)))
    assert (found.train_s, found.eval_s, found.data_s, found.other_s) == pytest.approx((50, 5, 20, 25))
    assert found.workers == 2


def test_pauses_are_no_time_of_the_study_and_a_killed_session_ends_with_its_last_record():
    rows = [
        timed("adam", 1, 5, 50, train_seconds=40.0, eval_seconds=5.0),
        timed("adam", 2, 1010, 1050, train_seconds=30.0, eval_seconds=5.0),
    ]
    found = time_use(pd.DataFrame(rows), sessions(session(1000, 1060), session(0, 10)))  # killed after 50
    assert (found.wall_s, found.train_s, found.eval_s, found.other_s) == pytest.approx((110, 70, 10, 30))
    assert found.sessions == 2
    nothing_recorded = time_use(pd.DataFrame(rows[1:]), sessions(session(0, 10), session(1000, 1060)))
    assert nothing_recorded.wall_s == pytest.approx(70)


def test_sessions_of_different_width_offer_what_their_workers_can():
    rows = [
        timed("adam", 1, 0, 100, train_seconds=100.0),
        timed("sgd", 1, 200, 300, train_seconds=100.0),
        timed("sgd", 2, 200, 300, train_seconds=100.0),
        timed("sgd", 3, 200, 300, train_seconds=100.0),
    ]
    found = time_use(pd.DataFrame(rows), sessions(session(0, 100), session(200, 300, workers=3)))
    assert (found.wall_s, found.train_s, found.workers) == pytest.approx((200, 200, 2))
    assert found.overhead_share == pytest.approx(0)


def test_where_sessions_are_unknown_so_is_where_the_time_went():
    trial = pd.DataFrame([timed("adam", 1, 5, 50, train_seconds=40.0)])
    assert time_use(trial, sessions()) is None
    assert time_use(trial, sessions(session(10, 60))) is None, "it ran before the first session that is known"
    assert time_use(pd.DataFrame([record("adam", 1)]), sessions(session(0, 60))) is None
    assert time_use(trial, sessions(session(0, 60), session(30, 90))) is None, "two worked on it at the same time"
    empty = time_use(pd.DataFrame(), sessions(session(0, 60)))
    assert (empty.wall_s, empty.overhead_share) == (60, 1)


@given(
    st.lists(
        st.tuples(st.integers(1, 4), st.integers(1, 50), st.lists(st.integers(1, 100), max_size=6)),
        min_size=1,
        max_size=4,
    )
)
def test_the_shares_are_those_of_a_plain_sum(stretches):
    """Sessions one after the other, each with its workers, seconds of data, and trials in turn."""
    clock, rows, known, offered, trained = 0, [], [], 0.0, 0.0
    for number, (workers, data_s, lengths) in enumerate(stretches):
        began, clock = clock, clock + data_s
        for length in lengths:
            rows.append(timed("adam", number, clock, clock + length, train_seconds=length / 2, eval_seconds=length / 4))
            trained += length / 2
            clock += length
        known.append(session(began, clock, workers, data_s))
        offered += workers * (clock - began)
        clock += 1000
    found = time_use(pd.DataFrame(rows), sessions(*known))
    assert found.train_share == pytest.approx(trained / offered)
    assert found.eval_share == pytest.approx(trained / 2 / offered)
    assert found.data_share == pytest.approx(sum(row["workers"] * row["data_s"] for row in known) / offered)
    total = found.train_share + found.eval_share + found.data_share + found.overhead_share
    assert total == pytest.approx(1)
    assert found.train_s + found.eval_s + found.data_s + found.other_s == pytest.approx(found.wall_s)


def test_the_rows_behind_a_mean_name_trial_and_run():
    rows = [
        record("sgd", 2, status="diverged", ap=0.7, tuning=1),
        record("sgd", 3, status="failed", tuning=1),
        record("sgd", 1, ap=0.2, tuning=0),
        tune("sgd", 5, 0.1, 0.3) | {"tuning": 0},
        tune("sgd", 6, 0.2, 0.5) | {"tuning": 1},
        tune("adam", 7, 0.2, 0.4),
    ]
    found = seed_rows(pd.DataFrame(rows))
    assert list(found["tuning"]) == [0, 1, 1]
    assert list(found["seed"]) == [1, 2, 3]
    assert list(found["ap_counted"]) == [0.2, 0.0, 0.0]
    assert list(found["collapsed"]) == [False, True, False]
    assert list(found["run_id"])[:2] == ["run-confirm-sgd-1-0", "run-confirm-sgd-2-0"]
    chosen = chosen_rows(pd.DataFrame(rows), {"sgd": 0})
    assert chosen["name"].tolist() == ["adam", "sgd"]
    assert chosen["tune_trial_id"].tolist() == ["tune-adam-0-7", "tune-sgd-0-5"], "of the tuning that is shown"
    assert chosen["tune_run_id"].tolist() == ["run-tune-adam-0-7", "run-tune-sgd-0-5"]
    assert chosen["tune_ap"].tolist() == [0.4, 0.3]
    assert chosen_rows(pd.DataFrame(rows), {}).set_index("name").loc["sgd", "tune_ap"] == 0.5


def test_the_leader_has_the_highest_mean_whatever_the_order():
    summary = pd.DataFrame({"name": ["a", "b", "c"], "tunings": [2, 2, 0], "score_mean": [0.1, 0.3, np.nan]})
    assert leader(summary) == "b"
    assert leader(summary[summary["tunings"] == 0]) is None
