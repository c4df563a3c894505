"""The plan: pure, equal budgets, each tuning by its own records alone, the same in any company, fresh paired seeds."""

import math
import random
from collections import Counter, defaultdict
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.kinds.optimizers.controls import controlled, limit_settings
from bench.kinds.optimizers.kind import KIND
from bench.kinds.optimizers.plan import (
    OptimizerSearch,
    looks_of,
    optimizers_by_tuning,
    outcomes_of,
    plan,
    planned_trials,
    rounds,
    total_trials,
    typical_trials,
)
from bench.kinds.optimizers.search import TrialOutcome, rounds_of
from bench.kinds.optimizers.simulation import SimulatedTrial, preset_study, simulated_scores
from bench.kinds.optimizers.size import Size
from bench.kinds.optimizers.spec import MAX_TRIALS, MAX_TUNINGS
from bench.optimizers.space import from_document, rate_of
from bench.trials.phases import CONFIRM, TUNE
from bench.trials.record import make_record
from bench.trials.spec import FIRST_CONFIRM_SEED
from bench.trials.status import Status
from tests.support.examples import few
from tests.support.plans import confirm_trials, first_trials, tune_trials, whole_plan

SIX = ["sgd", "nesterov", "adagrad", "adadelta", "adam", "adabound"]


def points(trials):
    found = defaultdict(list)
    for trial in trials:
        found[trial.optimizer].append(trial.hyperparameters)
    return dict(found)


def of_tuning(trials, optimizer, tuning):
    return [trial for trial in trials if (trial.optimizer, trial.tuning) == (optimizer, tuning)]


def by_chance(seed, *, broken=0.2, unknown=0.2):
    """Outcomes that hang on a trial's optimizer, tuning, phase, settings and seed, in no order that anybody knows."""

    def outcome(trial):
        draw = random.Random(f"{seed} {trial.id}")
        if draw.random() < broken:
            return TrialOutcome(None, draw.choice([None, 3.0]))
        return TrialOutcome(draw.choice([0.0, draw.random()]), None if draw.random() < unknown else draw.random() + 0.1)

    return outcome


def test_the_plan_is_the_same_each_time(make_spec):
    spec = make_spec(optimizers=SIX, trials=8)
    assert first_trials(spec) == first_trials(spec)
    assert whole_plan(spec, by_chance(0)) == whole_plan(spec, by_chance(0))


def test_planning_needs_no_data_and_leaves_no_file(make_spec, hermetic):
    whole_plan(make_spec())
    assert first_trials(make_spec(data="/no/such/people"))
    assert list(hermetic.iterdir()) == []


def test_every_optimizer_gets_the_same_budget(make_spec):
    spec = make_spec(optimizers=SIX, tunings=3, trials=5, seeds=3, tune_steps=8, steps=11, controls=True)
    tune, confirm = tune_trials(spec), confirm_trials(spec)
    assert Counter(trial.optimizer for trial in tune) == dict.fromkeys(SIX, 3 * 5)
    assert Counter(trial.optimizer for trial in confirm) == dict.fromkeys([*SIX, "adabound (limit)"], 3 * 3)
    assert {trial.train.steps for trial in confirm} == {11}
    assert len(tune) + len(confirm) == total_trials(spec)


@given(seed=st.integers(0, 10_000), trials=st.integers(1, 14), tunings=st.integers(1, 3))
@few(8)
def test_in_each_round_every_optimizer_gets_as_many_trials_of_the_same_lengths(make_spec, seed, trials, tunings):
    """Whatever comes of them."""
    spec = make_spec(optimizers=SIX, tunings=tunings, trials=trials, tune_steps=40)
    counts = Counter(
        (trial.optimizer, trial.tuning, trial.round, trial.train.steps) for trial in tune_trials(spec, by_chance(seed))
    )
    expected = [
        (number, 40 if number == len(rounds_of(trials)) - 1 else 20, count)
        for number, count in enumerate(rounds_of(trials))
    ]
    assert counts == {
        (name, tuning, number, steps): count
        for name in SIX
        for tuning in range(tunings)
        for number, steps, count in expected
    }
    assert [count for count, _ in rounds(spec)] == list(rounds_of(trials))


def test_all_else_is_equal(make_spec):
    spec = make_spec(
        optimizers=SIX, trials=3, weight_decay=1e-4, foreground_weight=3.0, schedule="constant", batch_size=3
    )
    trials = defaultdict(list)
    for trial in whole_plan(spec):
        trials[trial.phase, trial.round].append(trial)
    assert {*trials} == {(TUNE, 0), (TUNE, 1), (CONFIRM, None)}
    for each in trials.values():
        assert {trial.weight_decay for trial in each} == {1e-4}
        assert len({trial.train.model_copy(update={"seed": 0}).model_dump_json() for trial in each}) == 1
        train = each[0].train
        assert (train.foreground_weight, train.schedule, train.loader.batch_size) == (3.0, "constant", 3)
        assert train.hold_out_select


def test_tune_is_scored_on_select_and_confirm_on_report(make_spec):
    assert {trial.train.val_split for trial in tune_trials(make_spec(trials=3))} == {"select"}
    assert {trial.train.val_split for trial in confirm_trials(make_spec())} == {"report"}


@given(seed=st.integers(0, 10_000), trials=st.integers(1, 13), seeds=st.integers(1, 3), tunings=st.integers(1, 4))
@few(8)
def test_indices_and_ids_are_unique_over_the_whole_plan(make_spec, seed, trials, seeds, tunings):
    spec = make_spec(optimizers=["sgd", "adam", "adabound"], tunings=tunings, trials=trials, seeds=seeds, controls=True)
    found = whole_plan(spec, by_chance(seed))
    assert len(found) == total_trials(spec) == planned_trials(spec, {})
    assert len({trial.index for trial in found}) == len({trial.id for trial in found}) == len(found)


def test_indices_go_by_tuning_then_trial_then_optimizer(make_spec):
    found = sorted(whole_plan(make_spec(trials=3)), key=lambda trial: trial.index)
    assert [(t.tuning, t.phase, t.round, t.optimizer) for t in found] == [
        (tuning, *place, name)
        for tuning in (0, 1)
        for place in ((TUNE, 0), (TUNE, 0), (TUNE, 1), (CONFIRM, None))
        for name in ("sgd", "adam")
    ]


def test_a_half_done_plan_is_balanced(make_spec):
    """Over optimizers and their tunings."""
    spec = make_spec(optimizers=SIX, trials=5)
    everyone = [(name, tuning) for name in SIX for tuning in (0, 1)]
    for trials in (first_trials(spec), whole_plan(spec)):
        for done in range(len(trials)):
            counts = Counter((trial.optimizer, trial.tuning) for trial in trials[:done])
            assert max(counts.values(), default=0) - min(counts[each] for each in everyone) <= 1


@given(order=st.permutations(SIX), count=st.integers(1, 6), seed=st.integers(0, 1000))
@few(8)
def test_an_optimizer_is_tried_at_the_same_points_in_any_company(make_spec, order, count, seed):
    """In all rounds and confirmed with the same settings, where the same comes of the same trials."""

    def outcome(trial):
        return by_chance(seed)(trial.model_copy(update={"index": 0}))

    def known(optimizers):
        trials = whole_plan(make_spec(optimizers=optimizers, trials=8), outcome)
        return {name: [trial.id for trial in trials if trial.optimizer == name] for name in optimizers}

    everyone = known(SIX)
    assert known(order[:count]) == {name: everyone[name] for name in order[:count]}


def test_sgd_with_either_momentum_is_tried_at_the_same_points(make_spec):
    found = points(whole_plan(make_spec(optimizers=SIX, trials=13)))
    assert found["sgd"] == found["nesterov"]


def test_more_tunings_keep_the_trials_of_fewer(make_spec):
    few, many = (whole_plan(make_spec(optimizers=SIX, trials=8, tunings=n), by_chance(3)) for n in (2, 4))
    assert [trial for trial in many if trial.tuning < 2] == few


@given(trials=st.integers(1, 40), seed=st.integers(0, 2**32 - 1), chance=st.integers(0, 1000))
@few(8)
def test_points_differ_and_lie_inside_the_space_where_only_rates_may_lie_beyond(make_spec, trials, seed, chance):
    spec = make_spec(optimizers=SIX, trials=trials, tunings=1).model_copy(update={"plan_seed": seed})
    for trial in whole_plan(spec, by_chance(chance)):
        space = from_document(spec.spaces[trial.optimizer], trial.optimizer)
        assert list(trial.hyperparameters) == list(space)
        for key, value in trial.hyperparameters.items():
            dimension = space[key]
            allowed = getattr(dimension, "values", None)
            if allowed is not None:
                assert value in allowed
            elif key == rate_of(space) and trial.round != 0:
                assert 0 < value < math.inf
            else:
                assert dimension.low * (1 - 1e-9) <= value <= dimension.high * (1 + 1e-9)
    for name, values in points(first_trials(spec)).items():
        assert len({value[rate_of(spec.spaces[name])] for value in values}) == rounds_of(trials)[0]


def test_a_first_round_has_one_rate_in_each_equal_part_of_a_log_range_and_all_else_at_its_default(make_spec):
    for seed in range(2):
        spec = make_spec(optimizers=SIX, trials=22).model_copy(update={"plan_seed": seed})
        count = rounds_of(22)[0]
        for name in SIX:
            for tuning in (0, 1):
                values = points(of_tuning(first_trials(spec), name, tuning))[name]
                rate = rate_of(spec.spaces[name])
                low, high = spec.spaces[name][rate]["log"]
                parts = Counter(int(count * math.log(v[rate] / low) / math.log(high / low)) for v in values)
                assert parts == dict.fromkeys(range(count), 1), (name, parts)
                assert len({tuple(v[key] for key in v if key != rate) for v in values}) == 1


def test_tunings_of_an_optimizer_begin_at_different_points(make_spec):
    found = first_trials(make_spec(tunings=3, trials=8))
    for name in ("sgd", "adam"):
        rates = [t.hyperparameters[rate_of(t.hyperparameters)] for t in found if t.optimizer == name]
        assert len({*rates}) == 3 * 3


def test_the_plan_s_seed_moves_the_points(make_spec):
    spec = make_spec(trials=3)
    assert points(first_trials(spec)) != points(first_trials(spec.model_copy(update={"plan_seed": 1})))


def test_confirm_seeds_are_fresh_and_one_block_for_each_tuning_that_all_optimizers_share(make_spec):
    spec = make_spec(optimizers=SIX, tunings=3, trials=4, seeds=2, controls=True)
    blocks = defaultdict(list)
    for trial in confirm_trials(spec, by_chance(1)):
        blocks[trial.optimizer, trial.tuning].append(trial.seed)
    assert blocks == {
        (name, tuning): [1001 + 2 * tuning, 1002 + 2 * tuning]
        for name in [*SIX, "adabound (limit)"]
        for tuning in range(3)
    }
    tuned = {trial.seed for trial in tune_trials(spec, by_chance(1))}
    assert not tuned & {seed for own in blocks.values() for seed in own}


def test_no_tune_seed_of_the_largest_study_is_a_confirm_seed(make_spec):
    """All trials of one point: each has another seed."""
    space = {"lr": {"value": 0.1}, "momentum": {"value": 0.5}}
    spec = make_spec(optimizers=["sgd"], tunings=MAX_TUNINGS, trials=MAX_TRIALS, spaces={"sgd": space})
    assert max(trial.seed for trial in tune_trials(spec)) < FIRST_CONFIRM_SEED


def test_the_finalist_is_confirmed_and_what_is_at_the_border_said(make_spec):
    """What has learned nothing has no weight: with one trial left the finalist is that one."""
    spec = make_spec(trials=2, seeds=2)
    best = first_trials(spec)[0]

    def outcome(trial):
        return TrialOutcome(0.5 if trial.hyperparameters == best.hyperparameters else 0.001)

    confirmed = of_tuning(confirm_trials(spec, outcome), "sgd", 0)
    assert [trial.hyperparameters for trial in confirmed] == [best.hyperparameters] * 2
    own = OptimizerSearch(spec, "sgd")
    for at, border in ((-0.1, ("effective_lr",)), (0.05, ("effective_lr",)), (0.06, ()), (1.3, ("effective_lr",))):
        hyperparameters, found = own.settings((at, 0.5))
        assert found == border
        assert hyperparameters["effective_lr"] == pytest.approx(1e-3 * 30_000**at)
    narrow = {"adam": {"lr": {"log": [0.9, 1.0]}, "one_minus_beta1": {"log": [0.099, 0.5]}}}
    (trial,) = confirm_trials(make_spec(optimizers=["adam"], tunings=1, spaces=narrow))
    assert "one_minus_beta1" in trial.at_border, "its default, a hundredth into the range"
    assert not tune_trials(make_spec(optimizers=["adam"], tunings=1, spaces=narrow))[0].at_border


@pytest.mark.parametrize(("steps", "evaluations"), [(20, 2), (7, 3), (3, 5), (100, 1)])
def test_a_confirm_trial_is_evaluated_as_often_as_asked_at_most(make_spec, steps, evaluations):
    spec = make_spec(steps=steps, evaluations=evaluations)
    train = confirm_trials(spec)[0].train
    assert train.ap_every == train.val_every
    assert 1 <= math.ceil(steps / train.ap_every) <= evaluations


def test_a_tune_trial_is_evaluated_once_at_its_end(make_spec):
    trials = tune_trials(make_spec(trials=3, tune_steps=9))
    assert {(trial.round, trial.train.steps, trial.train.ap_every) for trial in trials} == {(0, 4, 4), (1, 9, 9)}


def test_half_of_a_single_step_is_one(make_spec):
    assert {trial.train.steps for trial in tune_trials(make_spec(trials=3, tune_steps=1))} == {1}


# --- each tuning by its own records -----------------------------------------------------------------------------------


@given(order=st.randoms(use_true_random=False), chance=st.integers(0, 1000), trials=st.integers(1, 13))
@few(8)
def test_in_whatever_order_records_arrive_the_trials_are_the_same(make_spec, order, chance, trials):
    """And what was planned once is planned again from more records."""
    spec = make_spec(optimizers=["sgd", "adam"], trials=trials, seeds=2)
    outcome, outcomes, before = by_chance(chance), {}, {}
    while True:
        found = {trial.index: trial for trial in plan(spec, outcomes)}
        assert before.items() <= found.items()
        waiting = [trial for index, trial in found.items() if index not in outcomes]
        if not waiting:
            break
        arrived = order.choice(waiting)
        outcomes, before = outcomes | {arrived.index: outcome(arrived)}, found
    assert list(found.values()) == whole_plan(spec, outcome)


@given(one=st.integers(0, 1000), other=st.integers(0, 1000), tuning=st.integers(0, 2), name=st.sampled_from(SIX[:3]))
@few(8)
def test_what_comes_of_other_tunings_and_optimizers_changes_no_trial_of_a_tuning(make_spec, one, other, tuning, name):
    spec = make_spec(optimizers=SIX[:3], tunings=3, trials=8)

    def mixed(trial):
        return by_chance(one if (trial.optimizer, trial.tuning) == (name, tuning) else other)(trial)

    own = of_tuning(whole_plan(spec, by_chance(one)), name, tuning)
    assert of_tuning(whole_plan(spec, mixed), name, tuning) == own
    alone = {trial.index: by_chance(one)(trial) for trial in own}
    assert of_tuning(plan(spec, alone), name, tuning) == own


def test_a_tuning_is_confirmed_once_all_its_own_trials_have_ended(make_spec):
    """While another tuning of the same optimizer has not even begun, and neither has another optimizer."""
    spec = make_spec(trials=8, tunings=2)
    own = of_tuning(whole_plan(spec), "adam", 1)
    tune = [trial for trial in own if trial.phase == TUNE]
    outcomes = {trial.index: TrialOutcome(0.3, 0.5) for trial in tune}
    found = plan(spec, outcomes)
    assert of_tuning(found, "adam", 1) == own
    assert [trial.tuning for trial in found if trial.phase == CONFIRM] == [1]
    others = [trial for trial in found if (trial.optimizer, trial.tuning) != ("adam", 1)]
    assert len(others) == 3 * rounds_of(8)[0]
    for trial in tune:  # whichever is the last one
        assert CONFIRM not in {
            each.phase for each in plan(spec, {k: v for k, v in outcomes.items() if k != trial.index})
        }


def test_a_round_follows_once_the_one_before_has_ended(make_spec):
    spec = make_spec(optimizers=["adam"], tunings=1, trials=13)
    every = whole_plan(spec)
    outcomes = {}
    for trial in every:
        known = plan(spec, outcomes)
        before = [each for each in every if trial.phase == CONFIRM or (each.phase, each.round) < (TUNE, trial.round)]
        assert (trial in known) == all(each.index in outcomes for each in before if each.phase == TUNE)
        outcomes[trial.index] = TrialOutcome(0.3, 0.5)
    assert plan(spec, outcomes) == every


STATUSES = [Status.COMPLETE, Status.COMPLETE, Status.DIVERGED, Status.FAILED, Status.OUT_OF_MEMORY, Status.TIMED_OUT]


@given(chance=st.integers(0, 1000))
@few(6)
def test_the_plan_from_records_is_that_from_outcomes(make_spec, chance):
    """Of a trial that has no score the record lacks it; a pruned one has learned nothing, and did not break."""
    spec = make_spec(optimizers=["sgd", "adam"], trials=8, pruner="median")
    outcomes, rows = {}, []
    while new := [trial for trial in plan(spec, outcomes) if trial.index not in outcomes]:
        for trial in new:
            draw = random.Random(f"{chance} {trial.id}")
            status = draw.choice([*STATUSES, Status.PRUNED] if trial.phase == TUNE else STATUSES)
            ap, loss = draw.random(), draw.choice([math.inf, math.nan, draw.random()])
            metrics = {"val_loss": loss} if status != Status.FAILED else {}
            metrics |= {"ap": ap} if status in (Status.COMPLETE, Status.DIVERGED) else {}
            rows.append(make_record(trial, status, steps_done=2, metrics=metrics).as_row())
            known = metrics.get("val_loss", math.nan)
            outcomes[trial.index] = TrialOutcome(
                ap if status == Status.COMPLETE else None, known if math.isfinite(known) else None
            )
            if status == Status.PRUNED:
                outcomes[trial.index] = TrialOutcome(-math.inf)
        assert outcomes_of(pd.DataFrame(rows)) == outcomes
    assert plan(spec, outcomes_of(pd.DataFrame(rows))) == plan(spec, outcomes)


def test_records_none_of_which_has_a_score_are_outcomes_too(make_spec):
    """A frame that is made of rows lacks the columns that no row has."""
    trial = first_trials(make_spec())[0]
    row = make_record(trial, Status.FAILED, steps_done=0, metrics={}, error="it broke").as_row()
    assert outcomes_of(pd.DataFrame([row])) == {trial.index: TrialOutcome(None)}
    assert outcomes_of(pd.DataFrame()) == {}


# --- until it is decided ----------------------------------------------------------------------------------------------


def until_decided(make_spec, **changes):
    names = ("sgd", "adam", "adagrad", "adadelta")
    return make_spec(**{"optimizers": names, "tunings": 3, "trials": 2, "until_decided": True} | changes)


def scored(means, sd=0.002):
    """Confirm trials score about their optimizer's mean."""

    def outcome(trial):
        return TrialOutcome(means.get(trial.optimizer, 0.3) + random.Random(trial.id).gauss(0, sd), 0.5)

    return outcome


def test_without_it_all_optimizers_have_the_same_tunings(make_spec):
    spec = make_spec(optimizers=SIX, tunings=4)
    assert optimizers_by_tuning(spec, {}) == [tuple(SIX)] * 4
    outcomes = {trial.index: scored({"adam": 0.9})(trial) for trial in whole_plan(spec)}
    assert optimizers_by_tuning(spec, outcomes) == [tuple(SIX)] * 4


def test_whoever_a_claim_beats_leaves_after_the_third_tuning_and_the_others_go_on(make_spec):
    spec = until_decided(make_spec)
    outcome = scored({"sgd": 0.5, "adam": 0.5, "adagrad": 0.3, "adadelta": 0.2})
    found = whole_plan(spec, outcome)
    tunings = {name: {trial.tuning for trial in found if trial.optimizer == name} for name in spec.optimizers}
    assert tunings == {
        "sgd": {0, 1, 2, 3, 4, 5}, "adam": {0, 1, 2, 3, 4, 5}, "adagrad": {0, 1, 2}, "adadelta": {0, 1, 2}
    }  # fmt: skip
    assert Counter((trial.optimizer, trial.tuning, trial.phase) for trial in found) == {
        (name, tuning, phase): 2 if phase == TUNE else 1
        for name, own in tunings.items()
        for tuning in own
        for phase in (TUNE, CONFIRM)
    }
    seeds = {(trial.tuning, trial.seed) for trial in found if trial.phase == CONFIRM}
    assert seeds == {(tuning, 1001 + tuning) for tuning in range(6)}, "a block for each tuning, as before"


def test_it_ends_once_one_optimizer_is_left(make_spec):
    spec = until_decided(make_spec)
    found = whole_plan(spec, scored({"adam": 0.6, "sgd": 0.4, "adagrad": 0.3, "adadelta": 0.2}))
    assert {trial.tuning for trial in found} == {0, 1, 2}
    assert len(found) == total_trials(spec)


def test_nobody_is_judged_before_all_have_three_tunings(make_spec):
    """The trials of a fourth tuning wait for all confirm trials of the third: whoever is in is compared with all."""
    spec = until_decided(make_spec)
    outcome = scored({"sgd": 0.5, "adam": 0.5})
    outcomes = {
        trial.index: outcome(trial)
        for trial in whole_plan(spec, outcome)
        if trial.tuning < 3
    }  # fmt: skip
    last = next(trial for trial in plan(spec, outcomes) if (trial.optimizer, trial.tuning, trial.phase) == (
        "adadelta", 2, CONFIRM))  # fmt: skip
    assert {trial.tuning for trial in plan(spec, outcomes)} == {0, 1, 2, 3}
    without = {index: seen for index, seen in outcomes.items() if index != last.index}
    assert {trial.tuning for trial in plan(spec, without)} == {0, 1, 2}


@given(chance=st.integers(0, 1000), most=st.integers(3, 6), sd=st.sampled_from([0.001, 0.01, 0.1]))
@few(8)
def test_decisions_are_replayed_and_there_are_never_more_than_max_tunings(make_spec, chance, most, sd):
    spec = until_decided(make_spec, max_tunings=most, trials=1)
    means = {name: random.Random(f"{chance} {name}").choice([0.3, 0.31, 0.4]) for name in spec.optimizers}
    outcome, outcomes = scored(means, sd), {}
    decided, trials = optimizers_by_tuning(spec, outcomes), planned_trials(spec, outcomes)
    assert trials == total_trials(spec)
    while new := [trial for trial in plan(spec, outcomes) if trial.index not in outcomes]:
        for trial in new:
            outcomes[trial.index] = outcome(trial)
            later = optimizers_by_tuning(spec, outcomes)
            assert later[: len(decided)] == decided, "what was decided stays"
            decided = later
            assert {*decided[-1]} <= {*decided[-2]}
            assert trials <= planned_trials(spec, outcomes)
            trials = planned_trials(spec, outcomes)
    found = plan(spec, outcomes)
    assert 3 <= len(decided) == 1 + max(trial.tuning for trial in found) <= most
    assert len(found) == trials
    assert plan(spec, dict(reversed(outcomes.items()))) == found


@pytest.mark.parametrize("most", [3, 4, 6])
def test_equals_go_on_to_max_tunings(make_spec, most):
    spec = until_decided(make_spec, max_tunings=most, controls=True, optimizers=("adam", "adabound"))
    outcomes = {trial.index: TrialOutcome(0.3, 0.5) for trial in whole_plan(spec)}
    assert optimizers_by_tuning(spec, outcomes) == [("adam", "adabound")] * most
    assert planned_trials(spec, outcomes) == len(outcomes) == most * (2 * 3 + 1), "controls with theirs"
    assert planned_trials(spec, {}) == total_trials(spec) == 3 * 7
    assert list(looks_of(spec)) == [3, 4, 5, 6][: most - 2]


def test_trials_of_a_tuning_that_has_only_begun_are_all_counted(make_spec):
    spec = until_decided(make_spec, trials=8)
    outcome = scored({"sgd": 0.5, "adam": 0.5, "adagrad": 0.3, "adadelta": 0.2})
    outcomes = {trial.index: outcome(trial) for trial in whole_plan(spec, outcome) if trial.tuning < 3}
    fourth = [trial for trial in plan(spec, outcomes) if trial.tuning == 3]
    assert {(trial.optimizer, trial.round) for trial in fourth} == {("sgd", 0), ("adam", 0)}
    assert planned_trials(spec, outcomes) == 3 * 4 * 9 + 2 * 9


def test_a_confirm_trial_that_broke_counts_as_the_worst(make_spec):
    """Adam is as good as the best and breaks once: it is not beaten, since one collapse says little; SGD is."""
    spec = until_decided(make_spec)
    outcome = scored({"adagrad": 0.5, "adam": 0.5, "adadelta": 0.5, "sgd": 0.2})

    def broken(trial):
        return (
            TrialOutcome(None)
            if (trial.optimizer, trial.tuning, trial.phase) == ("adam", 1, CONFIRM)
            else outcome(trial)
        )

    outcomes = {trial.index: broken(trial) for trial in whole_plan(spec, broken) if trial.tuning < 3}
    assert optimizers_by_tuning(spec, outcomes)[3:] == [("adam", "adagrad", "adadelta")]


# --- simulated studies ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("study", [0, 7])
@pytest.mark.parametrize("trials", [1, 4, 13])
def test_simulated_studies_have_the_finalists_and_scores_of_the_plan(study, trials):
    spec = preset_study(trials=trials, tunings=2, seeds=2)
    confirmed = {}

    def outcome(trial):
        draw = random.Random(str(replace(trial, hyperparameters=sorted(trial.hyperparameters.items()))))
        if trial.phase == CONFIRM:
            confirmed[trial.optimizer, trial.tuning, trial.number] = trial.hyperparameters
        return TrialOutcome(None if draw.random() < 0.2 else draw.choice([0.0, draw.random()]), draw.random())

    scores = simulated_scores(spec, outcome, [study])[0]
    simulated, confirmed = confirmed, {}

    def of_plan(trial):
        own = [each for each in known if (each.optimizer, each.tuning) == (trial.optimizer, trial.tuning)]
        same = sorted(each.index for each in own if each.phase == trial.phase)
        length = trial.train.steps / (spec.tune_steps if trial.phase == TUNE else spec.steps)
        return outcome(
            SimulatedTrial(
                trial.optimizer,
                trial.hyperparameters,
                trial.phase,
                length,
                study,
                trial.tuning,
                same.index(trial.index),
            )
        )

    planned, outcomes = spec.model_copy(update={"plan_seed": study}), {}
    while True:
        known = plan(planned, outcomes)
        new = [trial for trial in known if trial.index not in outcomes]
        if not new:
            break
        outcomes |= {trial.index: of_plan(trial) for trial in new}
    assert confirmed == simulated
    assert len(confirmed) == 6 * 2 * 2
    expected = np.full(scores.shape, np.nan)
    for trial in known:
        if trial.phase == CONFIRM:
            place = (spec.optimizers.index(trial.optimizer), trial.tuning, (trial.seed - FIRST_CONFIRM_SEED) % 2)
            score = outcomes[trial.index].score
            expected[place] = 0.0 if score is None else score
    np.testing.assert_array_equal(scores, expected)


# --- a budget in seconds, and a pruner --------------------------------------------------------------------------------


def by_time(make_spec, **changes):
    return make_spec(
        tune_steps=None, steps=None, **({"tune_seconds": 20.0, "seconds": 60.0, "evaluations": 4} | changes)
    )


def test_a_budget_in_seconds_is_that_of_every_trial_and_half_of_it_that_of_an_earlier_round(make_spec):
    spec = by_time(make_spec, optimizers=SIX, trials=8)
    lengths = {(trial.phase, trial.round, trial.train.steps, trial.train.seconds) for trial in whole_plan(spec)}
    assert lengths == {
        (TUNE, 0, None, 10.0),
        (TUNE, 1, None, 10.0),
        (TUNE, 2, None, 20.0),
        (CONFIRM, None, None, 60.0),
    }
    assert {trial.train.evaluations for trial in tune_trials(spec)} == {1}
    assert {trial.train.evaluations for trial in confirm_trials(spec)} == {4}


@pytest.mark.parametrize("pruner", ["median", "hyperband"])
def test_a_pruner_has_tune_trials_evaluated_on_the_way_and_changes_nothing_else(make_spec, pruner):
    spec = make_spec(pruner=pruner, tune_steps=10, steps=20, tune_evaluations=5)
    assert {trial.train.ap_every for trial in tune_trials(spec)} == {2}
    without = spec.model_copy(update={"pruner": "none"})
    assert {trial.train.ap_every for trial in tune_trials(without)} == {10}
    assert confirm_trials(spec) == confirm_trials(without)
    seconds = by_time(make_spec, pruner=pruner, tune_evaluations=3, trials=3)
    assert {trial.train.evaluations for trial in tune_trials(seconds)} == {3}


# --- spaces without anything to search --------------------------------------------------------------------------------


def test_a_point_that_comes_again_is_tried_with_the_next_seed(make_spec):
    space = {"lr": {"value": 0.1}, "momentum": {"value": 0.5}}
    spec = make_spec(optimizers=["sgd", "adam"], trials=4, spaces={"sgd": space})
    tune = tune_trials(spec)
    for tuning in (0, 1):
        sgd = of_tuning(tune, "sgd", tuning)
        assert [trial.hyperparameters for trial in sgd] == [{"lr": 0.1, "momentum": 0.5}] * 4
        assert [(trial.round, trial.seed - tuning) for trial in sgd] == [
            (0, 0), (0, MAX_TUNINGS), (0, 2 * MAX_TUNINGS), (1, 0)
        ]  # fmt: skip
        assert {trial.seed for trial in of_tuning(tune, "adam", tuning)} == {tuning}


@few(8)
@given(trials=st.integers(1, 12), values=st.lists(st.sampled_from([0.1, 0.2, 0.3]), min_size=1, unique=True))
def test_every_planned_trial_is_another_one(make_spec, trials, values):
    spec = make_spec(optimizers=["sgd", "nesterov"], trials=trials, spaces={"sgd": {"lr": {"values": values}}})
    tune = tune_trials(spec)
    assert len({trial.id for trial in tune}) == len(tune)
    for value in values:
        for tuning in (0, 1):
            for number in range(len(rounds_of(trials))):
                seeds = [
                    t.seed - tuning
                    for t in of_tuning(tune, "sgd", tuning)
                    if (t.round, t.hyperparameters["lr"]) == (number, value)
                ]
                assert seeds == [MAX_TUNINGS * at for at in range(len(seeds))]


def test_a_fixed_value_takes_no_dimension_of_the_plan(make_spec):
    lr = {"log": [1e-5, 1e-2]}
    beta1 = {"log": [0.02, 0.5]}
    plain = {"lr": lr, "one_minus_beta1": beta1}
    fixed = {"lr": lr, "beta2": {"value": 0.99}, "one_minus_beta1": beta1}
    first, second = (points(whole_plan(make_spec(trials=8, spaces={"adam": s})))["adam"] for s in (plain, fixed))
    assert [point | {"beta2": 0.99} for point in first] == second


def test_a_weight_decay_that_is_searched_is_that_of_the_trial_and_of_the_finalist(make_spec):
    spec = make_spec(optimizers=["adam", "adamw"], trials=8, weight_decay={"log": [1e-4, 0.1]})
    trials = whole_plan(spec, by_chance(2, broken=0.0))
    assert [trial.weight_decay for trial in trials] == [trial.hyperparameters["weight_decay"] for trial in trials]
    assert all(1e-4 * (1 - 1e-9) <= trial.weight_decay <= 0.1 * (1 + 1e-9) for trial in trials)
    of_rounds = {number: {trial.weight_decay for trial in trials if trial.round == number} for number in (0, 2)}
    own = [10**-2.5, 1e-2]  # in the middle of the range, since Adam has none by itself; AdamW's default
    assert sorted(of_rounds[0]) == pytest.approx(own)
    assert len(of_rounds[2]) > 4, "the last round varies it"


# --- the control of AdaBound's limit ----------------------------------------------------------------------------------


def fixed(**values):
    return {name: {"value": value} for name, value in values.items()}


def test_the_limit_is_sgd_with_the_finalist_s_settings_on_the_same_seeds(make_spec):
    """final_lr 0.3, beta1 0.8: SGD with momentum 0.8 at 0.3 * 0.2."""
    space = fixed(lr=0.1, final_lr=0.3, one_minus_beta1=0.2)
    spec = make_spec(
        optimizers=["adam", "adabound"], tunings=2, seeds=2, weight_decay=1e-4, controls=True,
        spaces={"adabound": space, "adam": fixed(lr=0.1)},
    )  # fmt: skip
    trials = sorted(confirm_trials(spec), key=lambda trial: trial.index)
    for tuning in (0, 1):
        own = [trial for trial in trials if trial.tuning == tuning]
        assert [trial.optimizer for trial in own] == ["adam", "adabound"] * 2 + ["adabound (limit)"] * 2
        for adabound, control in ((own[1], own[4]), (own[3], own[5])):
            assert control.hyperparameters == pytest.approx({"lr": 0.06, "momentum": 0.8})
            assert (control.builds, control.control_of, control.phase) == ("sgd", "adabound", CONFIRM)
            assert (adabound.builds, adabound.control_of) == ("adabound", "")
            assert control.train == adabound.train
            assert control.weight_decay == 1e-4
    assert len(whole_plan(spec)) == total_trials(spec) == 2 * (2 + 6)


def test_a_control_has_the_weight_decay_that_was_tuned(make_spec):
    spec = make_spec(
        optimizers=["adabound"], tunings=1, trials=8, controls=True, weight_decay={"log": [1e-4, 1e-2]},
        spaces={"adabound": fixed(decoupled_weight_decay=False)},
    )  # fmt: skip
    adabound, control = confirm_trials(spec, by_chance(4, broken=0.0))
    assert control.hyperparameters["weight_decay"] == adabound.hyperparameters["weight_decay"]
    assert control.weight_decay == adabound.weight_decay


def test_what_was_not_tuned_of_the_limit_is_the_optimizer_s_default():
    assert limit_settings("adabound", {"lr": 0.1}) == pytest.approx({"lr": 0.1 * 0.1, "momentum": 0.9})
    assert limit_settings("adabound", {"beta1": 0.0, "final_lr": 0.5}) == {"lr": 0.5, "momentum": 0.0}


@pytest.mark.parametrize(
    "name",
    ["AdaBound", "bench.optimizers.adabound.AdaBound", "bench.optimizers.adabound.AMSBound", "adabound.AdaBound"],
)
def test_the_control_goes_by_the_class_whatever_its_name(make_spec, name):
    spec = make_spec(optimizers=[name], tunings=1, seeds=1, controls=True, spaces={name: fixed(lr=0.1, final_lr=0.3)})
    assert total_trials(spec) == 3
    _, control = confirm_trials(spec)
    assert (control.optimizer, control.control_of, control.builds) == (f"{name} (limit)", name, "sgd")
    assert control.hyperparameters == pytest.approx({"lr": 0.03, "momentum": 0.9})


@pytest.mark.parametrize("scaled", [{"value": False}, {"values": [True, False]}])
def test_there_is_no_control_where_final_lr_may_not_follow_the_schedule(make_spec, scaled):
    """SGD under the schedule is then not the limit."""
    spaces = {"adabound": {"scale_final_lr": scaled}, "amsbound": {"scale_final_lr": {"value": True}}}
    spec = make_spec(optimizers=["adabound", "amsbound"], spaces=spaces, seeds=1, controls=True)
    assert controlled(spec.optimizers, spec.spaces, controls=True) == ("amsbound",)
    assert Size.of_spec(spec).planned == total_trials(spec) == 2 * (2 + 3)
    assert controlled(["adabound", "gone.AdaBound", "adamw"], {}, controls=True) == ("adabound",)


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("adabound", {"weight_decay": {"log": [1e-4, 1e-2]}}),
        ("amsbound", {"weight_decay": 0.1, "spaces": {"amsbound": fixed(decoupled_weight_decay=True)}}),
        ("adabound", {"spaces": {"adabound": {"decoupled_weight_decay": {"values": [True, False]}}}}),
        ("adaboundw", {"weight_decay": 0.1}),
        ("bench.optimizers.adabound.AdaBoundW", {}),
    ],
)
def test_there_is_no_control_where_weight_decay_is_decoupled_and_a_warning_says_why(make_spec, name, changes):
    """The limit is then SGD with decoupled decay."""
    spec = make_spec(optimizers=["adam", name, "adabound_reference"], seeds=1, controls=True, **changes)
    assert controlled(spec.optimizers, spec.spaces, controls=True) == ("adabound_reference",)
    assert Size.of_spec(spec).planned == total_trials(spec) == 2 * (3 + 3 + 1)
    (told,) = KIND.warnings(spec)
    assert told.startswith(f"controls: {name} has none, since its limit is SGD with decoupled weight decay, ")
    assert told.endswith("adabound has one." if name.endswith("W") or name == "adaboundw" else "= false for one.")
    assert KIND.warnings(spec.model_copy(update={"controls": False})) == []


def test_a_final_lr_that_does_not_follow_the_schedule_is_warned_of(make_spec):
    spec = make_spec(optimizers=["adabound"], spaces={"adabound": fixed(scale_final_lr=False)}, controls=True)
    (told,) = KIND.warnings(spec)
    assert "its final_lr does not follow the schedule" in told
    assert KIND.warnings(make_spec(optimizers=["adabound"], controls=True)) == []


def test_there_are_controls_where_they_are_asked_for_alone_and_others_have_none(make_spec):
    spec = make_spec(optimizers=SIX)
    assert not spec.controls
    assert {trial.control_of for trial in confirm_trials(spec)} == {""}
    assert total_trials(spec) == len(tune_trials(spec)) + len(confirm_trials(spec))
    assert {trial.control_of for trial in confirm_trials(make_spec(controls=True))} == {""}


def test_the_cost_of_a_study_is_measured_on_a_confirm_trial_of_each_optimizer_and_control(make_spec):
    spec = make_spec(optimizers=SIX, controls=True, seeds=2)
    typical = typical_trials(spec)
    assert list(typical) == [*SIX, "adabound (limit)"]
    assert {trial.phase for trial in typical.values()} == {CONFIRM}
    assert typical["sgd"].hyperparameters == of_tuning(first_trials(spec), "sgd", 0)[0].hyperparameters
