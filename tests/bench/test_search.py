"""The search: what is tried at each place of the plan, and that no kill loses or changes it."""

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution

from bench.kinds.joint.plan import PickedConfiguration, plan_confirm, plan_search
from bench.kinds.joint.sampler import choose
from bench.kinds.joint.space import choices_made, distributions, hyperparameters
from bench.kinds.joint.spec import JointSpec
from bench.kinds.joint.trial import choose_trial, optuna_values
from bench.ledger.store import Ledger
from bench.optimizers.space import rate_of
from bench.optimizers.spaces import spaces_of
from bench.trials.phases import CONFIRM, SEARCH
from bench.trials.record import make_record
from bench.trials.spec import Slot, TrialSpec
from bench.trials.status import Status
from posemodel.errors import SettingsError
from tests.support.long_tests import long

LOADER = {"batch_size": 4, "num_workers": 1}


@pytest.fixture
def make_joint():
    """A JointSpec of small numbers."""

    def make(**changes):
        values = {
            "name": "joint",
            "preset": "smoke",
            "data": Path("/no/such/people"),
            "data_digest": "feed",
            "size": 64,
            "device": "cpu",
            "optimizers": ("sgd", "adam"),
            "num_workers": (0, 1),
            "pin_memory": (False,),
            "batch_size": (2, 4),
            "trials": 6,
            "images": 64,
            "startup_trials": 2,
        } | changes
        given = values.pop("spaces", {})
        spaces = spaces_of(values["optimizers"], given, dict.fromkeys(given, "file x.toml"))
        return JointSpec(**values, spaces=spaces)

    return make


@pytest.fixture
def open_ledger(storage_url):
    """A spec's ledger, its search enqueued."""

    def open_it(spec):
        ledger = Ledger(storage_url, spec.name, spec.identity(), objectives=len(spec.objectives))
        ledger.enqueue(plan_search(spec))
        return ledger

    return open_it


def take(ledger, spec):
    """Claim the next place and choose; (key, trial), or None where nothing waits."""
    claim = ledger.claim()
    if claim is None:
        return None
    trial = claim.spec if isinstance(claim.spec, TrialSpec) else choose(ledger, claim.key, claim.spec, spec)
    return claim.key, trial


def outcome(trial, ap, speed, status=Status.COMPLETE, **metrics):
    return make_record(trial, status, steps_done=3, metrics={"ap": ap, "images_per_s": speed, **metrics})


def search(spec, ledger, score):
    """Work a search off on made-up results; the trials in their order."""
    trials = []
    while (taken := take(ledger, spec)) is not None:
        key, trial = taken
        record = score(trial)
        ledger.finish(key, record.status, optuna_values(record, spec.identity()))
        trials.append(trial)
    return trials


def rate(trial):
    return trial.hyperparameters[rate_of(trial.hyperparameters)]


def settings(trial):
    loader = trial.train.loader
    return trial.optimizer, trial.hyperparameters, loader.num_workers, loader.pin_memory, loader.batch_size


def test_a_trial_has_what_was_chosen_within_the_space(make_joint, open_ledger):
    spec = make_joint(
        trials=12, spaces={"adam": {"lr": {"log": [1e-3, 1e-2]}, "betas": {"values": [[0.9, 0.9], [0.5, 0.9]]}}}
    )
    trials = search(spec, open_ledger(spec), lambda trial: outcome(trial, 0.5, 10.0))
    assert [trial.index for trial in trials] == list(range(12))
    assert len({trial.id for trial in trials}) == 12
    assert {trial.optimizer for trial in trials} == {"sgd", "adam"}
    for trial in trials:
        loader = trial.train.loader
        assert (trial.phase, trial.train.val_split, trial.train.hold_out_select) == (SEARCH, "select", True)
        assert loader.num_workers in (0, 1) and loader.batch_size in (2, 4) and not loader.pin_memory
        assert trial.train.steps == 64 // loader.batch_size, "each trains on as many images"
        if trial.optimizer == "adam":
            assert 1e-3 <= trial.hyperparameters["lr"] <= 1e-2
            assert trial.hyperparameters["betas"] in ((0.9, 0.9), (0.5, 0.9))
        else:
            assert {*trial.hyperparameters} == {"effective_lr", "one_minus_momentum"}


def test_the_distributions_are_those_of_the_space_and_what_is_fixed_is_no_choice(make_joint):
    betas = {"values": [[0.9, 0.9], [0.5, 0.9]]}
    spec = make_joint(spaces={"adam": {"eps": 1e-6, "lr": {"log": [1e-3, 1e-2]}, "betas": betas}})
    assert distributions(spec, "adam") == {
        "optimizer": CategoricalDistribution(("sgd", "adam")),
        "num_workers": CategoricalDistribution((0, 1)),
        "pin_memory": CategoricalDistribution((False,)),
        "batch_size": CategoricalDistribution((2, 4)),
        "adam.lr": FloatDistribution(1e-3, 1e-2, log=True),
        "adam.betas": CategoricalDistribution(("[0.9, 0.9]", "[0.5, 0.9]")),
    }
    chosen = {"optimizer": "adam", "adam.lr": 0.002, "adam.betas": "[0.5, 0.9]"}
    assert hyperparameters(spec, chosen) == {"eps": 1e-6, "lr": 0.002, "betas": (0.5, 0.9)}


def test_known_good_configurations_come_first_and_leave_the_rest_open(make_joint, open_ledger):
    fixed = (
        {"optimizer": "ADAM", "lr": 3e-3, "one_minus_beta1": 0.1, "one_minus_beta2": 0.01} | LOADER,
        {"optimizer": "sgd", "batch_size": 2},
        {"optimizer": "sgd", "lr": 0.01, "one_minus_momentum": 0.1},
    )
    spec = make_joint(fixed=fixed)
    first, second, third, *_ = search(spec, open_ledger(spec), lambda trial: outcome(trial, 0.5, 10.0))
    assert settings(first) == ("adam", {"lr": 3e-3, "one_minus_beta1": 0.1, "one_minus_beta2": 0.01}, 1, False, 4)
    assert (second.optimizer, second.train.loader.batch_size) == ("sgd", 2)
    assert third.hyperparameters == {"effective_lr": pytest.approx(0.1), "one_minus_momentum": 0.1}


@pytest.mark.parametrize(
    ("fixed", "message"),
    [
        ({"lr": 1e-3}, r"fixed\[0\].optimizer: must be one of the study's optimizers \(sgd, adam\), got None"),
        ({"optimizer": "adma"}, r"fixed\[0\].optimizer: .* Did you mean adam\?"),
        ({"optimizer": "adam", "lr": 3.0}, r"fixed\[0\].lr: must be a number from 1e-05 to 0.1, the space of adam"),
        ({"optimizer": "sgd", "lr": 0.1}, r"fixed\[0\].lr: is searched as effective_lr = lr / \(1 - momentum\): give"),
        (
            {"optimizer": "sgd", "lr": 10.0, "one_minus_momentum": 0.1},
            r"fixed\[0\].lr: must be a number from 0.001 to 30, the space of sgd, got 100.0",
        ),
        (
            {"optimizer": "sgd", "lr": 10.0, "one_minus_momentum": "x"},
            r"fixed\[0\].one_minus_momentum: must be a number from 0.005 to 0.3, the space of sgd, got 'x'",
        ),
        (
            {"optimizer": "adam", "batch_size": 3},
            r"fixed\[0\].batch_size: must be one of the study's values \(2, 4\), got 3",
        ),
        ({"optimizer": "adam", "num_workers": True}, r"fixed\[0\].num_workers: must be one of .*, got True"),
        ({"optimizer": "adam", "momentum": 0.9}, r"fixed\[0\].momentum: there is no such choice"),
    ],
)
def test_a_configuration_that_does_not_fit_is_refused(make_joint, fixed, message):
    with pytest.raises(SettingsError, match=message):
        plan_search(make_joint(fixed=(fixed,)))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"images": None}, "its budget is images: give images"),
        ({"seconds": 3.0}, "and leave seconds out"),
        ({"objective": "ap-at-time"}, "its budget is seconds: give seconds, and leave images out"),
        ({"images": 15}, "15 are too few for batch_size 4: .* give 16 or more"),
        ({"batch_size": (4, 4)}, "at least one, each once"),
        ({"batch_size": (0,)}, "must be 1 or more"),
        ({"num_workers": ()}, "at least one"),
        ({"fixed": ({"optimizer": "sgd"},) * 7}, "7 configurations are more than trials"),
    ],
)
def test_what_does_not_go_together_is_refused(make_joint, changes, message):
    with pytest.raises(ValueError, match=message):
        make_joint(**changes)


def test_a_quasi_random_plan_takes_the_optimizers_in_turn_and_covers_the_space(make_joint, open_ledger):
    spec = make_joint(sampler="quasi-random", trials=16)
    trials = search(spec, open_ledger(spec), lambda trial: outcome(trial, 0.5, 10.0))
    assert [trial.optimizer for trial in trials] == ["sgd", "adam"] * 8
    assert set(Counter(trial.train.loader.batch_size for trial in trials).values()) <= {7, 8, 9}
    rates = sorted(trial.hyperparameters["lr"] for trial in trials if trial.optimizer == "adam")
    assert np.diff(np.log10(rates)).max() < 1.0, "no gap of a decade in three"


@pytest.mark.parametrize("sampler", ["tpe", long("random"), long("quasi-random")])
def test_the_same_results_lead_to_the_same_search(make_joint, storage_url, sampler):
    def results(name, seed):
        spec = make_joint(sampler=sampler, trials=5, seed=seed, name=name)
        ledger = Ledger(storage_url, name, spec.identity(), objectives=2)
        ledger.enqueue(plan_search(spec))
        found = search(spec, ledger, lambda trial: outcome(trial, rate(trial), 10.0))
        return [settings(trial) for trial in found]

    assert results("one", 0) == results("other", 0)
    assert results("one", 0) == [], "nothing is left"
    assert results("third", 1_000_000) != results("fourth", 0)


@pytest.mark.long
def test_tpe_goes_by_what_it_has_seen(make_joint, open_ledger):
    """Adam with batches of 4 is best in both objectives: of the last half most trials are such, of chance a quarter."""
    spec = make_joint(trials=40, startup_trials=8)

    def score(trial):
        good = (trial.optimizer == "adam") + (trial.train.loader.batch_size == 4)
        return outcome(trial, 0.2 * good + 0.01 * trial.index / 40, 10.0 * good + 1)

    trials = search(spec, open_ledger(spec), score)
    good = [trial.optimizer == "adam" and trial.train.loader.batch_size == 4 for trial in trials]
    assert sum(good[20:]) >= 14


def test_what_does_not_fit_into_memory_is_avoided(make_joint, open_ledger):
    """Batches of 4 would be best, and need more memory than there is."""
    spec = make_joint(trials=24, startup_trials=8)

    def score(trial):
        if trial.train.loader.batch_size == 4:
            return outcome(trial, 0.0, 0.0, Status.SKIPPED, need_share_memory=1.7, need_share_shared_memory=0.1)
        return outcome(trial, 0.5, 10.0, need_share_memory=0.5)

    trials = search(spec, open_ledger(spec), score)
    assert sum(trial.train.loader.batch_size == 4 for trial in trials[12:]) <= 2


@pytest.mark.parametrize(
    ("status", "metrics", "values", "constraints"),
    [
        (Status.COMPLETE, {"ap": 0.4, "images_per_s": 9.0, "need_share_memory": 0.5}, (0.4, 9.0), {"memory": -0.5}),
        (Status.COMPLETE, {"ap": 0.0, "images_per_s": 9.0}, (0.0, 0.0), {}),
        (Status.DIVERGED, {"images_per_s": 9.0}, (0.0, 0.0), {}),
        (Status.DIVERGED, {"ap": 0.3, "images_per_s": 9.0}, (0.0, 0.0), {}),
        (Status.FAILED, {}, (0.0, 0.0), {}),
        (Status.TIMED_OUT, {"images_per_s": 9.0, "ap": 0.2}, (0.0, 0.0), {}),
        (Status.OUT_OF_MEMORY, {}, (0.0, 0.0), {"memory": 1.0}),
        (Status.SKIPPED, {"need_share_shared_memory": 1.5}, (0.0, 0.0), {"shared_memory": 0.5}),
    ],
)
def test_a_trial_without_a_result_is_told_with_the_worst(make_joint, open_ledger, status, metrics, values, constraints):
    spec = make_joint()
    ledger = open_ledger(spec)
    key, trial = take(ledger, spec)
    record = make_record(trial, status, steps_done=0, metrics=metrics)
    found = optuna_values(record, spec.identity())
    assert (found.values, dict(found.constraints)) == (values, pytest.approx(constraints))
    ledger.finish(key, status, found)
    kept = ledger.storage.get_trial(key)
    assert kept.values == list(values)
    assert dict(kept.constraints) == pytest.approx(constraints)
    assert ledger.counts()[str(status)] == 1


def test_with_ap_at_equal_time_there_is_one_value(make_joint, open_ledger):
    spec = make_joint(objective="ap-at-time", images=None, seconds=2.0)
    ledger = open_ledger(spec)
    key, trial = take(ledger, spec)
    assert (trial.train.seconds, trial.train.steps) == (2.0, None)
    assert optuna_values(outcome(trial, 0.3, 9.0), spec.identity()).values == (0.3,)
    ledger.finish(key, Status.COMPLETE, optuna_values(outcome(trial, 0.3, 9.0), spec.identity()))
    assert ledger.storage.get_trial(key).values == [0.3]


def test_a_place_that_comes_back_is_tried_with_the_same_choices(make_joint, open_ledger):
    """By another worker, after others have ended: nothing is chosen anew."""
    spec = make_joint()
    ledger = open_ledger(spec)
    key, trial = take(ledger, spec)
    other, further = take(ledger, spec)
    ledger.finish(other, Status.COMPLETE, optuna_values(outcome(further, 0.9, 99.0), spec.identity()))
    ledger.put_back(key)
    again = open_ledger(spec)
    claim = again.claim()
    assert claim.key == key
    assert claim.spec == trial


def test_choices_of_which_a_kill_left_a_part_are_kept(make_joint, open_ledger):
    """Killed between two of its choices, a place keeps those that were made."""
    spec = make_joint()
    ledger = open_ledger(spec)
    key, trial = take(ledger, spec)
    slot = plan_search(spec)[trial.index]
    ledger.storage.set_trial_user_attr(key, "spec", slot.model_dump_json())  # it was killed before it was kept
    ledger.put_back(key)
    assert take(open_ledger(spec), spec) == (key, trial)


def test_where_the_ledger_is_gone_the_records_say_what_was_chosen(make_joint, storage_url, hermetic):
    spec = make_joint()
    first = Ledger(storage_url, spec.name, spec.identity(), objectives=2)
    first.enqueue(plan_search(spec))
    known = search(spec, first, lambda trial: outcome(trial, rate(trial), 10.0))
    new = Ledger(f"sqlite:///{hermetic / 'new.db'}", spec.name, spec.identity(), objectives=2)
    new.enqueue(plan_search(spec))
    for trial in known:
        claim = new.claim()
        record = outcome(trial, rate(trial), 10.0)
        assert claim.spec.id == record.trial_id
        assert settings(choose_trial(new, claim, spec.identity(), spec.data, record)) == settings(trial)
        new.finish(claim.key, record.status, optuna_values(record, spec.identity()))
    both = [ledger.storage.get_all_trials(1) for ledger in (first, new)]
    assert [trial.params for trial in both[0]] == [trial.params for trial in both[1]]


def test_the_picks_are_trained_on_the_same_fresh_seeds(make_joint):
    spec = make_joint(seeds=2)
    loader = {"num_workers": 1, "pin_memory": False, "batch_size": 4}
    plan = plan_confirm(
        spec, [PickedConfiguration("adam", {"lr": 1e-3}, loader), PickedConfiguration("sgd", {"lr": 0.1}, loader)]
    )
    assert [(trial.optimizer, trial.seed) for trial in plan] == [
        ("adam", 1001),
        ("sgd", 1001),
        ("adam", 1002),
        ("sgd", 1002),
    ]
    assert {(trial.phase, trial.train.val_split, trial.train.steps) for trial in plan} == {(CONFIRM, "report", 16)}
    assert [trial.index for trial in plan] == [6, 7, 8, 9]


def test_choices_and_hyperparameters_are_inverses(make_joint):
    betas, rate = {"values": [[0.9, 0.9], [0.5, 0.9]]}, {"log": [1e-4, 1e-2]}
    spec = make_joint(spaces={"adam": {"eps": {"value": 1e-6}, "betas": betas, "lr": rate}})
    values = {"eps": 1e-6, "betas": (0.5, 0.9), "lr": 2e-3}
    assert distributions(spec, "adam")["adam.lr"] == FloatDistribution(1e-4, 1e-2, log=True)
    made = choices_made(spec, "adam", values, {"num_workers": 0, "pin_memory": False, "batch_size": 2})
    assert made["adam.betas"] == "[0.5, 0.9]"
    assert "adam.eps" not in made
    assert hyperparameters(spec, made) == values


def test_a_place_has_its_id_from_the_study_and_its_number(make_joint):
    ids = [slot.id for slot in plan_search(make_joint())]
    assert len({*ids}) == 6
    assert ids == [slot.id for slot in plan_search(make_joint())]
    assert not {*ids} & {slot.id for slot in plan_search(make_joint(seed=1))}
    assert all(isinstance(slot, Slot) for slot in plan_search(make_joint()))
