"""A study sized for a time: the climb by hand, designs from made-up costs, what is given and what is chosen."""

import pytest

from bench.kinds.joint import budget_design as joint_sized
from bench.kinds.optimizers import budget_design as optimizers_sized
from bench.kinds.optimizers.estimate import add_up
from bench.study.budget import TimeBudget, as_budget_option, round_up
from bench.study.prepared import Prepared
from bench.study.probe import Measured
from bench.study.sizing import largest_design, rounded_down
from bench.workloads.protocol import REPORT, SELECT, Costs
from posemodel.errors import SettingsError
from tests.support.asked import prepared

FREE = frozenset(optimizers_sized.CHOSEN)
JOINT_FREE = frozenset(joint_sized.CHOSEN)


def measured(names=("sgd", "adam"), *, step_s=0.05, image_s=0.01, scored=20, trained=400, **changes):
    pieces = {
        "start_s": 5.0,
        "setup_s": 1.0,
        "step_s": dict.fromkeys(names, step_s),
        "score_s": {SELECT: 0.1, REPORT: 0.1},
        "image_s": image_s,
        "memory_bytes": 10**9,
        "gpu_memory_bytes": 0,
    }
    return Measured(Costs(**pieces | changes), {SELECT: scored, REPORT: scored}, 0.0, trained)


def design(spec, seconds, found=None, free=FREE, workers=1, specs=None):
    return optimizers_sized.choose_size(
        Prepared(spec.name, specs or (spec,), workers=workers), found or measured(), free, seconds
    )


@pytest.fixture
def small(make_spec):
    """The numbers of the preset `small`, of two optimizers."""
    return make_spec(tunings=3, trials=16, tune_steps=340, steps=900, evaluations=8, batch_size=4)


@pytest.mark.parametrize(
    ("most", "expected"),
    [
        (8, {"a": 1, "b": 8}),  # b first, as far as it goes; then nothing is left
        (10, {"a": 1, "b": 10}),
        (20, {"a": 2, "b": 10}),
        (60, {"a": 4, "b": 15}),  # the climb is over, and b takes the rest
    ],
)
def test_a_climb_by_hand(most, expected):
    """What fits: a times b at most ``most``."""
    stages = [("b", 10), ("a", 4)]
    assert largest_design({"a": 1, "b": 4}, stages, lambda at: at["a"] * at["b"] <= most, "b") == expected


def test_the_first_number_that_stays_below_its_target_ends_the_climb():
    """What fits: a at most 5, whatever b is."""
    assert largest_design({"a": 1, "b": 1}, [("a", 10), ("b", 3)], lambda at: at["a"] <= 5, None) == {"a": 5, "b": 1}
    assert largest_design({"a": 1, "b": 1}, [("a", 5), ("b", 3)], lambda at: at["a"] <= 5, None) == {"a": 5, "b": 3}
    assert largest_design({"a": 5, "b": 1}, [("a", 5), ("b", 3)], lambda at: at["a"] <= 5, None) == {"a": 5, "b": 3}
    assert largest_design({"a": 0}, [], lambda at: at["a"] <= 5, "a") == {"a": 5}, "also from nothing"


def test_what_is_not_chosen_is_not_raised_and_the_least_stays_where_nothing_fits():
    assert largest_design({"a": 1}, [("b", 10), ("a", 3)], lambda _: True, "b") == {"a": 3}
    assert largest_design({"a": 2, "b": 5}, [("b", 10)], lambda _: False, "b") == {"a": 2, "b": 5}


def test_what_cannot_reach_its_target_ends_the_search():
    assert largest_design({"a": 1, "b": 1}, [("a", 10), ("b", 5)], lambda at: at["a"] <= 3, None) == {"a": 3, "b": 1}


@pytest.mark.parametrize(("amount", "rounded"), [(7, 7), (199, 190), (1234, 1230), (98765, 98700)])
def test_numbers_for_people(amount, rounded):
    assert rounded_down(amount, 7) == rounded


@pytest.mark.parametrize(
    ("text", "seconds"), [("10m", 600), ("90s", 90), ("1h30m", 5400), ("2h", 7200), ("1.5h", 5400), (" 1H 5m ", 3900)]
)
def test_times_that_can_be_typed(text, seconds):
    assert TimeBudget.parse(text, 0.0).seconds == seconds


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("10", "has no unit: give 10m for minutes, 10h or 10s"),
        ("0.5", "give 0.5m"),
        ("ten", "must be a time, such as 90s, 10m, 2h or 1h30m"),
        ("", "must be a time"),
        ("5m2h", "must be a time"),
        ("1.2.3h", "must be a time"),
        ("-5m", "must be a time"),
        ("0m", "must be longer"),
    ],
)
def test_times_that_cannot(text, says):
    with pytest.raises(SettingsError, match=says):
        TimeBudget.parse(text, 0.0)


@pytest.mark.parametrize(
    ("seconds", "rounded", "typed"),
    [(61, 120, "2m"), (601, 900, "15m"), (3601, 3900, "1h5m"), (7201, 9000, "2h30m"), (10800, 10800, "3h")],
)
def test_a_needed_time_is_rounded_up(seconds, rounded, typed):
    assert (round_up(seconds), as_budget_option(round_up(seconds))) == (rounded, typed)


@pytest.mark.parametrize("minutes", [8, 12, 20, 40, 90, 300, 1000])
@pytest.mark.parametrize("workers", [1, 2])
def test_a_design_fits_and_uses_most_of_the_time(small, minutes, workers):
    found = design(small, 60 * minutes, workers=workers)
    spec = small.model_copy(update=found.values)
    takes = add_up(spec, measured(), workers).seconds
    assert takes == found.seconds
    assert 0.85 * 60 * minutes / found.margin <= takes <= 60 * minutes / found.margin
    assert spec.tunings >= 3 and spec.trials >= 8 and spec.evaluations >= 2
    assert 100 <= spec.tune_steps <= spec.steps
    assert type(small).model_validate(spec.model_dump())


def test_more_time_is_spent_in_this_order(small):
    """Two passes over the training images, then trials, then tunings, then longer trials, tunings again."""
    designs = [
        small.model_copy(update=design(small, 60 * minutes).values)
        for minutes in (5, 7, 8, 9, 10, 12, 15, 18, 22, 28, 35, 45, 60, 90, 150, 240, 400)
    ]
    numbers = [(each.steps, each.trials, each.tunings) for each in designs]
    assert numbers[0] == (200, 8, 3)
    assert all(trials == 8 for steps, trials, _ in numbers if steps < 400)
    assert all(tunings == 3 for _, trials, tunings in numbers if trials < 16)
    assert all(steps <= 440 or (trials, tunings) >= (16, 3) for steps, trials, tunings in numbers if trials > 8)
    assert all(tunings <= 4 for steps, _, tunings in numbers if steps < 4 * 400)
    assert numbers[-1][1:] == (16, 6)
    trials = [trials for _, trials, _ in numbers]
    assert trials == sorted(trials)


def test_steps_keep_the_presets_ratio(small):
    found = design(small, 3600).values
    assert found["tune_steps"] / found["steps"] == pytest.approx(340 / 900, rel=0.05)


def test_a_large_data_set_is_seen_once_at_least(small):
    """But no more is asked for than the preset trains."""
    assert design(small, 1, measured(trained=2000)).values["steps"] == 500
    assert design(small, 1, measured(trained=10**6)).values["steps"] == 900


def test_evaluations_that_cost_much_become_fewer(small):
    dear, cheap = (design(small, 1200, measured(image_s=each, scored=100)).values for each in (0.1, 0.001))
    assert (dear["evaluations"], cheap["evaluations"]) == (2, 8)


def test_only_what_nobody_gave_is_chosen(small):
    found = design(small, 3600, free=FREE - {"trials", "steps", "tune_steps"})
    assert found.values.keys() == FREE - {"trials", "steps", "tune_steps", "max_tunings"}
    assert design(small, 1, free=FREE - {"tunings"}).smaller.startswith("a smaller --size")
    five = small.model_copy(update={"tunings": 5})
    assert design(five, 1, free=FREE - {"tunings"}).smaller.startswith("a smaller --tunings")


def test_two_studies_of_a_series_share_the_time(small):
    one, two = design(small, 3600), design(small, 3600, specs=(small, small))
    assert two.seconds <= 3600 / two.margin
    assert two.values["steps"] < one.values["steps"]


def test_a_study_until_it_is_decided_has_time_for_its_last_look(make_spec):
    spec = make_spec(tunings=3, trials=8, tune_steps=100, steps=200, until_decided=True, batch_size=4)
    found = design(spec, 7200, free=FREE - {"tunings"})
    most = found.values["max_tunings"]
    assert 3 <= most <= 6
    as_long = spec.model_copy(update={**found.values, "tunings": most})
    assert add_up(as_long, measured(), 1).seconds == found.seconds


def test_seconds_of_training_that_are_given_stay(make_spec):
    budget = {"tune_steps": None, "steps": None, "tune_seconds": 10.0, "seconds": 30.0}
    found = design(make_spec(trials=4, **budget), 7200, free=FREE - {"tune_steps", "steps"})
    assert not {"steps", "tune_steps"} & found.values.keys()
    assert found.values["trials"] > 8


def test_an_evaluation_that_was_not_measured_is_assumed(small):
    found = design(small, 7200, measured(score_s={}, image_s=0.0))
    assert found.seconds > add_up(small.model_copy(update=found.values), measured(score_s={}, image_s=0.0), 1).seconds


def test_an_image_is_assumed_to_cost_what_it_costs_in_training_by_the_slowest_optimizer():
    found = measured(score_s={}, image_s=0.0, step_s=0.4)
    found.costs.step_s["adam"] = 0.8
    assumed = found.assumed(8).costs
    assert (assumed.score_s, assumed.image_s) == ({SELECT: 0.0, REPORT: 0.0}, 0.1)
    assert measured().assumed(8) == measured(), "what was measured stands"


# --- joint studies --------------------------------------------------------------------------------------------------


@pytest.fixture
def joint(tiny):
    return prepared("joint", {"data": tiny, "size": 64, "device": "cpu"}, None, "small", None)


@pytest.mark.parametrize("minutes", [10, 30, 120, 600])
def test_a_joint_design_fits(joint, minutes):
    found = joint_sized.choose_size(joint, measured(step_s=0.02), JOINT_FREE - {"seconds"}, 60 * minutes)
    assert 0.8 * 60 * minutes <= found.margin * found.seconds <= 60 * minutes
    spec = joint.spec.model_copy(update=found.values)
    assert spec.trials >= 12 and spec.seeds >= 2 and spec.images >= 400 and 4 <= spec.startup_trials <= spec.trials / 3
    assert type(spec).model_validate(spec.model_dump())


def test_a_joint_design_in_seconds(tiny):
    asked = {"data": tiny, "size": 64, "device": "cpu", "objective": "ap-at-time"}
    found = joint_sized.choose_size(
        prepared("joint", asked, None, "small", None), measured(step_s=0.02), JOINT_FREE - {"images"}, 3600
    )
    assert found.values.keys() == JOINT_FREE - {"images"}
    assert found.values["seconds"] >= 2
    assert found.margin * found.seconds <= 3600
