"""Importances of parameters whose part in the result is known."""

import numpy as np
import pandas as pd
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from bench.kinds.joint.importances import ALL, MIN_TRIALS, Observed, importances

SPACE = {
    "optimizer": CategoricalDistribution(("sgd", "adam")),
    "num_workers": IntDistribution(0, 3),
    "batch_size": CategoricalDistribution((4, 8, 16)),
    "pin_memory": CategoricalDistribution((False, True)),
    "lr": FloatDistribution(1e-4, 1.0, log=True),
    "momentum": FloatDistribution(0.5, 0.99),
}


def drawn(count, outcomes, *, seed=0, **fixed):
    """Random trials; ``outcomes`` of a trial's parameters and a random generator: AP and images/s."""
    random = np.random.default_rng(seed)
    trials = []
    for _ in range(count):
        shared = {
            "optimizer": str(random.choice(["sgd", "adam"])),
            "num_workers": int(random.integers(4)),
            "batch_size": int(random.choice([4, 8, 16])),
            "pin_memory": bool(random.integers(2)),
        } | fixed
        own = {"lr": 10 ** float(random.uniform(-4, 0))}
        if shared["optimizer"] == "sgd":
            own["momentum"] = float(random.uniform(0.5, 0.99))
        trials.append(Observed(shared["optimizer"], shared, own, SPACE, outcomes(shared | own, random)))
    return trials


def by_workers_and_rate(values, random):
    ap = 0.4 - 0.1 * (np.log10(values["lr"]) + 2) ** 2 + random.normal(0, 0.005)
    return max(ap, 0.0), 50 + 20 * values["num_workers"] + random.normal(0, 2)


@pytest.fixture(scope="module")
def found():
    return importances(drawn(60, by_workers_and_rate), ("ap", "images_per_s"))


def rows_of(frame, objective, scope):
    return frame[(frame["objective"] == objective) & (frame["scope"] == scope)]


def test_the_parameter_that_decides_is_the_most_important(found):
    assert rows_of(found, "images_per_s", ALL).iloc[0]["parameter"] == "num_workers"
    for optimizer in ("adam", "sgd"):
        assert rows_of(found, "ap", optimizer).iloc[0]["parameter"] == "lr"


def test_only_what_decides_is_above_chance(found):
    above = found[found["importance"] > found["chance"]]
    told = {(row["objective"], row["scope"], row["parameter"]) for row in above.to_dict(orient="records")}
    assert told == {("images_per_s", ALL, "num_workers"), ("ap", "adam", "lr"), ("ap", "sgd", "lr")}


def test_importances_are_shares_of_each_objective_and_scope(found):
    sums = found.groupby(["objective", "scope"])["importance"].sum()
    assert sums.to_numpy() == pytest.approx(np.ones(6))
    assert found["scope"].unique().tolist() == [ALL, "adam", "sgd"]


def test_conditional_parameters_count_within_their_optimizer_alone(found):
    assert set(rows_of(found, "ap", "adam")["parameter"]) == {"lr"}
    assert set(rows_of(found, "ap", "sgd")["parameter"]) == {"lr", "momentum"}
    counts = {scope: own["n"].unique().tolist() for scope, own in found.groupby("scope")}
    assert counts[ALL] == [60]
    assert counts["adam"][0] + counts["sgd"][0] == 60


def test_the_same_trials_give_the_same_frame():
    one, other = (importances(drawn(12, by_workers_and_rate), ("ap",)) for _ in range(2))
    pd.testing.assert_frame_equal(one, other)


def test_a_constant_parameter_is_left_out_and_says_why():
    frame = importances(drawn(12, by_workers_and_rate, pin_memory=False), ("ap",))
    pinned = frame[frame["parameter"] == "pin_memory"]
    assert pinned["importance"].isna().all()
    assert set(pinned["why"]) == {"the same value in every trial"}


def test_too_few_trials_say_nothing():
    frame = importances(drawn(MIN_TRIALS - 1, by_workers_and_rate), ("ap",))
    assert frame["importance"].isna().all()
    assert set(frame["why"]) == {"fewer than 8 complete trials"}


def test_equal_results_say_nothing():
    frame = importances(drawn(20, lambda values, random: (0.0, 50.0)), ("ap", "images_per_s"))
    shared = frame[frame["scope"] == ALL]
    assert set(shared["why"]) == {"the objective is equal in all trials"}


def test_many_trials_of_ap_0_still_tell_what_makes_some():
    """More than half of the trials are equal: the good ones are those above."""
    frame = importances(drawn(60, lambda values, random: (float(values["batch_size"] == 16),)), ("ap",))
    first = rows_of(frame, "ap", ALL).iloc[0]
    assert first["parameter"] == "batch_size"
    assert first["importance"] > first["chance"]


def test_no_trials():
    assert importances([], ("ap", "images_per_s")).empty
