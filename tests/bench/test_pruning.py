"""The pruner: Optuna's decisions, among the trials of one round of a tuning, from what the ledger holds."""

import optuna
import pytest
from hypothesis import given
from hypothesis import strategies as st
from optuna.trial import TrialState, create_trial

from bench.kinds.optimizers.pruning import TrialPruner, make_pruner, prune_decision
from bench.kinds.optimizers.trial import pruner
from bench.ledger.store import Ledger, OptunaValues
from bench.trials.spec import TrialSpec
from bench.trials.status import Status
from tests.support.plans import first_trials, tune_trials, whole_plan

EVALUATIONS = 5
TRIALS = 25
"""Of a whole round: the median then waits for five."""
ROUNDS = {"optimizers": ["sgd", "adam"], "trials": 23, "pruner": "median"}
"""A tuning's first round has nine trials, the second one two."""


@pytest.fixture
def ledger(make_spec, storage_url):
    spec = make_spec(**ROUNDS, tunings=1)
    made = Ledger(storage_url, spec.name, spec.identity())
    made.enqueue(first_trials(spec))
    return made


def run_next(ledger, optimizer, scores, name="median", trials=TRIALS, tuning=0, of_round=0):
    """Run the next trial of an optimizer with these scores; returns its evaluations and whether it was pruned."""
    returned = []
    while ((claim := ledger.claim()).spec.optimizer, claim.spec.tuning, claim.spec.round) != (
        optimizer,
        tuning,
        of_round,
    ):
        returned.append(claim)
    its = TrialPruner(ledger, claim.key, claim.spec, name, evaluations=EVALUATIONS, trials=trials)
    pruned_at = next((n for n, score in enumerate(scores[:-1], 1) if its(score)), None)
    status = Status.COMPLETE if pruned_at is None else Status.PRUNED
    ledger.finish(claim.key, status, OptunaValues((scores[-1],)) if pruned_at is None else None)
    for other in returned:
        ledger.put_back(other.key)
    return pruned_at


def test_the_median_prunes_what_is_below_half_of_five_complete_trials(ledger):
    """Medians at the first evaluation: of 0.1 .. 0.5 it is 0.3."""
    for best in (0.1, 0.2, 0.3, 0.4, 0.5):
        assert run_next(ledger, "sgd", [best] * 5) is None, "nothing is pruned before five are complete"
    assert run_next(ledger, "sgd", [0.29, 0.9, 0.9, 0.9, 0.9]) == 1
    assert run_next(ledger, "sgd", [0.31, 0.2, 0.2, 0.2, 0.2]) is None, "the best so far counts"
    assert run_next(ledger, "sgd", [0.31, 0.31, 0.31, 0.31, 0.0]) is None, "the last evaluation is not asked about"
    assert ledger.counts() == {"complete": 7, "pruned": 1, "waiting": 10}


@pytest.mark.parametrize(("trials", "complete"), [(1, 1), (2, 1), (4, 1), (7, 1), (8, 2), (19, 4), (20, 5), (1000, 5)])
def test_the_median_waits_for_a_quarter_of_the_trials_and_for_one_to_five(ledger, trials, complete):
    for _ in range(complete - 1):
        run_next(ledger, "sgd", [0.5] * 5, trials=trials)
    assert run_next(ledger, "sgd", [0.5] * 5, trials=trials) is None
    assert run_next(ledger, "sgd", [0.4] * 5, trials=trials) == 1


def test_other_optimizers_say_nothing_about_a_trial(ledger):
    for best in (0.5, 0.6, 0.7, 0.8, 0.9):
        run_next(ledger, "adam", [best] * 5)
    assert run_next(ledger, "sgd", [0.01] * 5) is None
    assert run_next(ledger, "adam", [0.01] * 5) == 1


def test_other_tunings_and_rounds_say_nothing_about_a_trial(make_spec, storage_url):
    spec = make_spec(**ROUNDS, tunings=2)
    ledger = Ledger(storage_url, spec.name, spec.identity())
    ledger.enqueue(trial for trial in tune_trials(spec) if trial.round in (0, 1))
    for best in (0.5, 0.6, 0.7, 0.8, 0.9):
        run_next(ledger, "sgd", [best] * 5)
    assert run_next(ledger, "sgd", [0.01] * 5, tuning=1) is None
    assert run_next(ledger, "sgd", [0.01] * 5, of_round=1, trials=2) is None
    assert run_next(ledger, "sgd", [0.005] * 5, of_round=1, trials=2) == 1, "the first of its round is complete"
    assert run_next(ledger, "sgd", [0.01] * 5) == 1


def test_a_round_s_own_trials_are_those_that_the_median_waits_for(make_spec, storage_url):
    """A quarter of nine: two; of the second round's two: one. No confirm trial is ever asked about."""
    spec = make_spec(**ROUNDS, tunings=1)
    ledger = Ledger(storage_url, spec.name, spec.identity())
    ledger.enqueue(whole_plan(spec))
    waits = {}
    while (claim := ledger.claim()) is not None:
        made = pruner(ledger, claim.key, claim.spec, spec.identity())
        found = None if made is None else made.pruner._n_startup_trials
        waits.setdefault((claim.spec.phase, claim.spec.round), set()).add(found)
    assert waits == {("tune", 0): {2}, ("tune", 1): {1}, ("tune", 2): {1}, ("tune", 3): {1}, ("confirm", None): {None}}


def test_pruned_and_failed_trials_are_no_yardstick_of_the_median(ledger):
    for best in (0.3, 0.3, 0.3, 0.3):
        run_next(ledger, "sgd", [best] * 5)
    claim = ledger.claim()
    ledger.finish(claim.key, Status.DIVERGED, None)
    assert run_next(ledger, "sgd", [0.01] * 5) is None, "four complete trials are too few"


def test_hyperband_is_what_optuna_does_by_itself(ledger):
    """The same scores given to Optuna's own loop end at the same evaluations."""
    scores = [[(7 * n % 9 + step) / 20 for step in range(5)] for n in range(9)]
    ours = [run_next(ledger, "sgd", each, "hyperband") for each in scores]
    study = optuna.create_study(
        direction="maximize", study_name="sgd", pruner=make_pruner("hyperband", EVALUATIONS, TRIALS)
    )
    theirs = []
    for each in scores:
        trial = study.ask()
        for number, score in enumerate(each[:-1], 1):
            trial.report(score, number)
            if trial.should_prune():
                theirs.append(number)
                study.tell(trial, state=TrialState.PRUNED)
                break
        else:
            theirs.append(None)
            study.tell(trial, each[-1])
    assert ours == theirs
    assert any(ours), "some are pruned"
    assert None in ours, "and some are not"


def trials_of(ledger, optimizer):
    """The first round's trials of an optimizer that is tuned once."""
    return ledger.trials_of_same_round(TrialSpec.model_construct(optimizer=optimizer, tuning=0, round=0))


def test_what_was_scored_is_in_the_ledger(ledger):
    run_next(ledger, "sgd", [0.1, 0.2, 0.3, 0.4, 0.5])
    (first, *_) = trials_of(ledger, "sgd")
    assert first.intermediate_values == {1: 0.1, 2: 0.2, 3: 0.3, 4: 0.4}
    assert (first.state, first.value) == (TrialState.COMPLETE, 0.5)


def test_a_trial_that_is_run_again_begins_anew(ledger):
    for best in (0.1, 0.2, 0.3, 0.4, 0.5):
        run_next(ledger, "sgd", [best] * 5)
    while (again := ledger.claim()).spec.optimizer != "sgd":
        ledger.finish(again.key, Status.COMPLETE, OptunaValues((0.5,)))
    killed = TrialPruner(ledger, again.key, again.spec, "median", evaluations=EVALUATIONS, trials=TRIALS)
    assert [killed(0.9), killed(0.9)] == [False, False]
    ledger.put_back(again.key)
    assert run_next(ledger, "sgd", [0.05] * 5) == 1, "its earlier 0.9 is forgotten"


def test_trials_are_in_the_plan_s_order_whoever_ran_first(ledger, make_spec):
    claims = [ledger.claim() for _ in range(6)]
    for claim in reversed(claims):
        ledger.finish(claim.key, Status.COMPLETE, OptunaValues((0.5,)))
    found = [trial.user_attrs["trial_id"] for trial in trials_of(ledger, "adam")]
    spec = make_spec(**ROUNDS, tunings=1)
    assert found == [trial.id for trial in first_trials(spec) if trial.optimizer == "adam"]


@given(
    name=st.sampled_from(["median", "hyperband"]),
    others=st.lists(st.floats(0, 1), max_size=12),
    score=st.floats(0, 1),
)
def test_the_best_of_all_is_never_pruned(name, others, score):
    best = max([*others, score])
    its = make_pruner(name, EVALUATIONS, 1)
    trials = [
        create_trial(
            state=TrialState.COMPLETE, value=other, intermediate_values=dict.fromkeys((1, 2, 3, 4), other),
            user_attrs={"rungs": {f"completed_rung_{n}": other for n in range(2)}},
        )
        for other in others
    ] + [create_trial(state=TrialState.RUNNING)]  # fmt: skip
    for number, trial in enumerate(trials):
        trial._trial_id = number
    rungs = {}
    for count in range(1, EVALUATIONS):
        hopeless, rungs = prune_decision(
            its, "sgd", trials, len(others), dict.fromkeys(range(1, count + 1), best), rungs
        )
        assert not hopeless
