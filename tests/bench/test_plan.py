"""The plan: pure, equal budgets, the same points whatever else is in the study, paired fresh seeds."""

import math
from collections import Counter, defaultdict

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.kinds.optimizers.controls import controlled, limit_settings
from bench.kinds.optimizers.plan import Chosen, plan_confirm, plan_tune, total_trials
from bench.kinds.optimizers.size import Size
from bench.optimizers.space import from_document

SIX = ["sgd", "nesterov", "adagrad", "adadelta", "adam", "adabound"]
ONES = {name: Chosen({"lr": 0.1}) for name in SIX}


def points(trials):
    found = defaultdict(list)
    for trial in trials:
        found[trial.optimizer].append(trial.hyperparameters)
    return dict(found)


def test_the_plan_is_the_same_each_time(make_spec):
    spec = make_spec(optimizers=SIX, trials=4)
    assert plan_tune(spec) == plan_tune(spec)
    assert plan_confirm(spec, ONES) == plan_confirm(spec, ONES)


def test_planning_needs_no_data_and_leaves_no_file(make_spec, hermetic):
    plan_confirm(make_spec(), ONES)
    assert plan_tune(make_spec(data="/no/such/people"))
    assert list(hermetic.iterdir()) == []


def test_every_optimizer_gets_the_same_budget(make_spec):
    spec = make_spec(optimizers=SIX, trials=5, seeds=3, tune_steps=7, steps=11)
    tune, confirm = plan_tune(spec), plan_confirm(spec, ONES)
    assert Counter(trial.optimizer for trial in tune) == dict.fromkeys(SIX, 5)
    assert Counter(trial.optimizer for trial in confirm) == dict.fromkeys([*SIX, "adabound (limit)"], 3)
    assert {trial.train.steps for trial in tune} == {7}
    assert {trial.train.steps for trial in confirm} == {11}
    assert len(tune) + len(confirm) == total_trials(spec)


def test_all_else_is_equal(make_spec):
    spec = make_spec(
        optimizers=SIX, trials=2, weight_decay=1e-4, foreground_weight=3.0, schedule="constant", batch_size=3
    )
    for trials in (plan_tune(spec), plan_confirm(spec, ONES)):
        assert {trial.weight_decay for trial in trials} == {1e-4}
        assert len({trial.train.model_copy(update={"seed": 0}).model_dump_json() for trial in trials}) == 1
        train = trials[0].train
        assert (train.foreground_weight, train.schedule, train.loader.batch_size) == (3.0, "constant", 3)
        assert train.hold_out_select


def test_tune_is_scored_on_select_and_confirm_on_report(make_spec):
    assert {trial.train.val_split for trial in plan_tune(make_spec())} == {"select"}
    assert {trial.train.val_split for trial in plan_confirm(make_spec(), ONES)} == {"report"}


def test_indices_number_the_whole_plan_and_ids_differ(make_spec):
    spec = make_spec(optimizers=SIX, trials=4, seeds=3)
    trials = plan_tune(spec) + plan_confirm(spec, ONES)
    assert [trial.index for trial in trials] == list(range(total_trials(spec)))
    assert len({trial.id for trial in trials}) == len(trials)


def test_a_half_done_phase_is_balanced(make_spec):
    trials = plan_tune(make_spec(optimizers=SIX, trials=4))
    for done in range(len(trials)):
        counts = Counter(trial.optimizer for trial in trials[:done])
        assert max(counts.values(), default=0) - min((counts[name] for name in SIX), default=0) <= 1


@given(st.permutations(SIX), st.integers(1, 6))
def test_an_optimizer_is_tried_at_the_same_points_in_any_company(make_spec, order, count):
    everyone = points(plan_tune(make_spec(optimizers=SIX, trials=4)))
    assert points(plan_tune(make_spec(optimizers=order[:count], trials=4))) == {n: everyone[n] for n in order[:count]}


def test_sgd_with_either_momentum_is_tried_at_the_same_points(make_spec):
    found = points(plan_tune(make_spec(optimizers=SIX, trials=8)))
    assert found["sgd"] == found["nesterov"]


def test_more_trials_keep_the_points_of_fewer(make_spec):
    few, many = (points(plan_tune(make_spec(optimizers=SIX, trials=n))) for n in (3, 9))
    assert {name: values[:3] for name, values in many.items()} == few


@given(trials=st.integers(1, 40), seed=st.integers(0, 2**32 - 1))
def test_points_differ_and_lie_inside_the_space(make_spec, trials, seed):
    spec = make_spec(optimizers=SIX, trials=trials).model_copy(update={"plan_seed": seed})
    for name, values in points(plan_tune(spec)).items():
        space = from_document(spec.spaces[name], name)
        for hyperparameters in values:
            assert list(hyperparameters) == list(space)
            for key, value in hyperparameters.items():
                dimension = space[key]
                allowed = getattr(dimension, "values", None)
                assert value in allowed if allowed else dimension.low <= value <= dimension.high
        assert len({value["lr"] for value in values}) == trials


def test_points_cover_a_log_range_evenly(make_spec):
    """Sixteen learning rates: no quarter of the log range is left with fewer than two or more than six."""
    for seed in range(5):
        spec = make_spec(optimizers=SIX, trials=16).model_copy(update={"plan_seed": seed})
        for name, values in points(plan_tune(spec)).items():
            low, high = spec.spaces[name]["lr"]["log"]
            quarters = Counter(int(4 * math.log(v["lr"] / low) / math.log(high / low)) for v in values)
            assert all(2 <= quarters[quarter] <= 6 for quarter in range(4)), (name, quarters)


def test_the_plan_s_seed_moves_the_points(make_spec):
    spec = make_spec(trials=3)
    assert points(plan_tune(spec)) != points(plan_tune(spec.model_copy(update={"plan_seed": 1})))


def test_confirm_seeds_are_fresh_and_paired(make_spec):
    spec = make_spec(optimizers=SIX, trials=4, seeds=3)
    by_optimizer = defaultdict(list)
    for trial in plan_confirm(spec, ONES):
        by_optimizer[trial.optimizer].append(trial.seed)
    first = by_optimizer["sgd"]
    assert len(set(first)) == 3
    assert by_optimizer == dict.fromkeys([*SIX, "adabound (limit)"], first)
    assert not set(first) & {trial.seed for trial in plan_tune(spec)}


def test_confirm_runs_what_was_chosen_and_says_what_is_at_the_border(make_spec):
    chosen = {"sgd": Chosen({"lr": 0.3, "one_minus_momentum": 0.2}, ("lr",)), "adam": Chosen({"lr": 0.001})}
    for trial in plan_confirm(make_spec(), chosen):
        assert trial.hyperparameters == chosen[trial.optimizer].hyperparameters
        assert trial.at_border == chosen[trial.optimizer].at_border


@pytest.mark.parametrize(("steps", "evaluations"), [(20, 2), (7, 3), (3, 5), (100, 1)])
def test_a_confirm_trial_is_evaluated_as_often_as_asked_at_most(make_spec, steps, evaluations):
    spec = make_spec(steps=steps, evaluations=evaluations)
    train = plan_confirm(spec, ONES)[0].train
    assert train.ap_every == train.val_every
    assert 1 <= math.ceil(steps / train.ap_every) <= evaluations


def test_a_tune_trial_is_evaluated_once_at_its_end(make_spec):
    assert {trial.train.ap_every for trial in plan_tune(make_spec(tune_steps=9))} == {9}


# --- a budget in seconds, and a pruner --------------------------------------------------------------------------------


def by_time(make_spec, **changes):
    return make_spec(
        tune_steps=None, steps=None, **({"tune_seconds": 20.0, "seconds": 60.0, "evaluations": 4} | changes)
    )


def test_a_budget_in_seconds_is_that_of_every_trial(make_spec):
    spec = by_time(make_spec, optimizers=SIX)
    lengths = {(trial.phase, trial.train.steps, trial.train.seconds) for trial in plan_tune(spec)}
    lengths |= {(trial.phase, trial.train.steps, trial.train.seconds) for trial in plan_confirm(spec, ONES)}
    assert lengths == {("tune", None, 20.0), ("confirm", None, 60.0)}
    assert {trial.train.evaluations for trial in plan_tune(spec)} == {1}
    assert {trial.train.evaluations for trial in plan_confirm(spec, ONES)} == {4}


@pytest.mark.parametrize("pruner", ["median", "hyperband"])
def test_a_pruner_has_tune_trials_evaluated_on_the_way_and_changes_nothing_else(make_spec, pruner):
    spec = make_spec(pruner=pruner, tune_steps=10, steps=20, tune_evaluations=5)
    assert {trial.train.ap_every for trial in plan_tune(spec)} == {2}
    without = spec.model_copy(update={"pruner": "none"})
    assert {trial.train.ap_every for trial in plan_tune(without)} == {10}
    assert plan_confirm(spec, ONES) == plan_confirm(without, ONES)
    assert {trial.train.evaluations for trial in plan_tune(by_time(make_spec, pruner=pruner, tune_evaluations=3))} == {
        3
    }


# --- spaces without anything to search --------------------------------------------------------------------------------


def test_a_point_that_comes_again_is_tried_with_the_next_seed(make_spec):
    space = {"lr": {"value": 0.1}, "momentum": {"value": 0.5}}
    spec = make_spec(optimizers=["sgd", "adam"], trials=3, spaces={"sgd": space})
    sgd = [trial for trial in plan_tune(spec) if trial.optimizer == "sgd"]
    assert [trial.hyperparameters for trial in sgd] == [{"lr": 0.1, "momentum": 0.5}] * 3
    assert [trial.seed for trial in sgd] == [0, 1, 2]
    assert {trial.seed for trial in plan_tune(spec) if trial.optimizer == "adam"} == {0}


@given(trials=st.integers(1, 12), values=st.lists(st.sampled_from([0.1, 0.2, 0.3]), min_size=1, unique=True))
def test_every_planned_trial_is_another_one(make_spec, trials, values):
    spec = make_spec(optimizers=["sgd", "nesterov"], trials=trials, spaces={"sgd": {"lr": {"values": values}}})
    tune = plan_tune(spec)
    assert len({trial.id for trial in tune}) == len(tune)
    for value in values:
        seeds = [t.seed for t in tune if t.optimizer == "sgd" and t.hyperparameters["lr"] == value]
        assert seeds == list(range(len(seeds)))


def test_a_fixed_value_takes_no_dimension_of_the_plan(make_spec):
    lr = {"log": [1e-5, 1e-2]}
    beta1 = {"log": [0.02, 0.5]}
    plain = {"lr": lr, "one_minus_beta1": beta1}
    fixed = {"lr": lr, "beta2": {"value": 0.99}, "one_minus_beta1": beta1}
    first, second = (points(plan_tune(make_spec(trials=4, spaces={"adam": s})))["adam"] for s in (plain, fixed))
    assert [point | {"beta2": 0.99} for point in first] == second


# --- the control of AdaBound's limit ----------------------------------------------------------------------------------


def test_the_limit_is_sgd_with_the_chosen_settings_on_the_same_seeds(make_spec):
    """final_lr 0.3, beta1 0.8: SGD with momentum 0.8 at 0.3 * 0.2."""
    spec = make_spec(optimizers=["adam", "adabound"], seeds=2, weight_decay=1e-4)
    chosen = {"adam": Chosen({"lr": 0.1}), "adabound": Chosen({"lr": 0.1, "final_lr": 0.3, "one_minus_beta1": 0.2})}
    trials = plan_confirm(spec, chosen)
    assert [trial.optimizer for trial in trials] == ["adam", "adabound", "adabound (limit)"] * 2
    adabound, control = trials[1], trials[2]
    assert control.hyperparameters == pytest.approx({"lr": 0.06, "momentum": 0.8})
    assert (control.builds, control.control_of, control.phase) == ("sgd", "adabound", "confirm")
    assert (adabound.builds, adabound.control_of) == ("adabound", "")
    assert control.train == adabound.train
    assert control.weight_decay == 1e-4
    assert [trial.index for trial in trials] == list(range(2, 8))
    assert total_trials(spec) == 2 + 6


def test_what_was_not_tuned_of_the_limit_is_the_optimizer_s_default():
    assert limit_settings("adabound", {"lr": 0.1}) == pytest.approx({"lr": 0.1 * 0.1, "momentum": 0.9})
    assert limit_settings("adabound", {"beta1": 0.0, "final_lr": 0.5}) == {"lr": 0.5, "momentum": 0.0}


@pytest.mark.parametrize(
    "name",
    ["AdaBound", "bench.optimizers.adabound.AdaBound", "bench.optimizers.adabound.AMSBound", "adabound.AdaBound"],
)
def test_the_control_goes_by_the_class_whatever_its_name(make_spec, name):
    spec = make_spec(optimizers=[name], seeds=1)
    assert total_trials(spec) == 3
    _, control = plan_confirm(spec, {name: Chosen({"lr": 0.1, "final_lr": 0.3})})
    assert (control.optimizer, control.control_of, control.builds) == (f"{name} (limit)", name, "sgd")
    assert control.hyperparameters == pytest.approx({"lr": 0.03, "momentum": 0.9})


@pytest.mark.parametrize("scaled", [{"value": False}, {"values": [True, False]}])
def test_there_is_no_control_where_final_lr_may_not_follow_the_schedule(make_spec, scaled):
    """SGD under the schedule is then not the limit."""
    spaces = {"adabound": {"scale_final_lr": scaled}, "amsbound": {"scale_final_lr": {"value": True}}}
    spec = make_spec(optimizers=["adabound", "amsbound"], spaces=spaces, seeds=1)
    assert controlled(spec.optimizers, spec.spaces, controls=True) == ("amsbound",)
    assert Size.of_spec(spec).planned == total_trials(spec) == 2 + 3
    assert controlled(["adabound", "gone.AdaBound", "adamw"], {}, controls=True) == ("adabound",)


def test_controls_can_be_left_out_and_others_have_none(make_spec):
    spec = make_spec(optimizers=SIX, controls=False)
    assert {trial.control_of for trial in plan_confirm(spec, ONES)} == {""}
    assert total_trials(spec) == len(plan_tune(spec)) + len(plan_confirm(spec, ONES))
    assert {trial.control_of for trial in plan_confirm(make_spec(), ONES)} == {""}
