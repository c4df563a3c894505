"""Studies in which nothing scores: not confirmed, in whatever order records arrive; how much longer trials need."""

import math
import random
import warnings

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.kinds.optimizers.analysis.losses import losses_reached
from bench.kinds.optimizers.kind import KIND
from bench.kinds.optimizers.plan import has_scored, nothing_scored, outcomes_of, plan, planned_trials, total_trials
from bench.kinds.optimizers.search import TrialOutcome
from bench.kinds.optimizers.size import Size
from bench.report.unscored import all_trials_text, needed_text
from bench.study.progress import Progress
from bench.trials.needed_length import (
    FIRST_SKILL,
    MOST_TIMES,
    NeededLength,
    _rounded,
    _times,
    estimate_needed_length,
)
from bench.trials.phases import CONFIRM, SEARCH, TUNE
from bench.trials.progress import EndedTrial
from bench.trials.record import make_record
from bench.trials.scores import has_scored as any_scored
from bench.trials.status import Status
from tests.support.commands import ROOT
from tests.support.examples import few
from tests.support.first_ap import first_steps, predictions
from tests.support.plans import whole_plan

NOTHING = TrialOutcome(0.0, 0.9)


def spec_of(make_spec, **changes):
    return make_spec(**{"trials": 4, "tunings": 2, "confirm_unscored": False} | changes)


@pytest.fixture(scope="module")
def spec(make_spec):
    return spec_of(make_spec)


def by_luck(seed, lucky):
    """Outcomes of which one in ``lucky`` scores, by a trial's id alone."""

    def outcome(trial):
        draw = random.Random(f"{seed} {trial.id}")
        if draw.random() < 0.2:
            return TrialOutcome(None)
        return TrialOutcome(0.3 if draw.random() < 1 / lucky else draw.choice([0.0, 0.019]), draw.random() + 0.5)

    return outcome


@pytest.mark.parametrize("seen", [NOTHING, TrialOutcome(None), TrialOutcome(-math.inf), TrialOutcome(0.0199, 0.5)])
def test_nothing_is_confirmed_where_all_is_at_chance_broke_or_was_pruned(spec, seen):
    trials = whole_plan(spec, lambda _trial: seen)
    assert {trial.phase for trial in trials} == {TUNE}
    assert len(trials) == 2 * 2 * spec.trials
    outcomes = {trial.index: seen for trial in trials}
    assert nothing_scored(spec, outcomes)
    assert planned_trials(spec, outcomes) == len(trials) < total_trials(spec)
    assert not nothing_scored(spec, dict(list(outcomes.items())[:-1])), "one is still to come"
    assert planned_trials(spec, {}) == total_trials(spec)


def test_a_single_score_at_the_floor_confirms_all(spec):
    first = plan(spec, {})[0].index
    trials = whole_plan(spec, lambda trial: TrialOutcome(0.02, 0.5) if trial.index == first else NOTHING)
    assert len(trials) == total_trials(spec)
    assert sum(trial.phase == CONFIRM for trial in trials) == 2 * 2 * spec.seeds


def test_who_wants_to_see_everything_work_confirms_all_the_same(make_spec):
    spec = spec_of(make_spec, confirm_unscored=True)
    trials = whole_plan(spec, lambda _trial: NOTHING)
    assert len(trials) == total_trials(spec) == planned_trials(spec, {trial.index: NOTHING for trial in trials})


def test_the_setting_is_in_no_identity_at_its_default(make_spec):
    assert "confirm_unscored" not in spec_of(make_spec).identity()
    assert spec_of(make_spec, confirm_unscored=True).identity()["confirm_unscored"] is True


def test_a_smoke_study_begun_before_goes_on_as_what_it_was(make_spec):
    spec = spec_of(make_spec, confirm_unscored=True)
    assert spec.preset == "smoke"
    begun = spec.identity()
    assert KIND.with_stored_settings(spec, begun).confirm_unscored
    del begun["confirm_unscored"]
    assert KIND.with_stored_settings(spec, begun).identity() == begun
    other = spec.model_copy(update={"preset": "small"})
    assert KIND.with_stored_settings(other, begun).confirm_unscored, "the difference is told"


def test_with_controls_and_until_decided_nothing_is_confirmed_either(make_spec):
    spec = spec_of(make_spec, optimizers=["sgd", "adabound"], controls=True, until_decided=True, tunings=3)
    trials = whole_plan(spec, lambda _trial: NOTHING)
    assert {trial.phase for trial in trials} == {TUNE}
    assert len(trials) == 3 * 2 * spec.trials, "no look is taken: no further tuning begins"


@few(8, of=30)
@given(seed=st.integers(0, 10**6), order=st.randoms(use_true_random=False), lucky=st.sampled_from([2, 10, 10**9]))
def test_any_order_of_arrival_gives_the_same_trials_and_none_is_ever_taken_back(spec, seed, order, lucky):
    outcome = by_luck(seed, lucky)
    at_once = {trial.id for trial in whole_plan(spec, outcome)}
    outcomes, before = {}, set()
    while True:
        trials = plan(spec, outcomes)
        now = {trial.id for trial in trials}
        assert before <= now, "more records never un-plan a trial"
        if not has_scored(spec, outcomes):
            assert {trial.phase for trial in trials} == {TUNE}
        before = now
        waiting = [trial for trial in trials if trial.index not in outcomes]
        if not waiting:
            break
        trial = order.choice(waiting)
        outcomes[trial.index] = outcome(trial)
    assert before == at_once
    assert planned_trials(spec, outcomes) == len(before)


def test_what_an_earlier_version_confirmed_stays_and_nothing_more_is_run(make_spec):
    earlier = spec_of(make_spec, confirm_unscored=True)
    trials = whole_plan(earlier, lambda _trial: NOTHING)
    kept = trials[:-1]  # it was interrupted before its last confirm trial
    rows = [
        make_record(trial, Status.COMPLETE, steps_done=2, metrics={"ap": 0.0, "val_loss": 0.9}).as_row()
        for trial in kept
    ]
    spec = spec_of(make_spec)
    outcomes = outcomes_of(pd.DataFrame(rows))
    assert {trial.index for trial in plan(spec, outcomes)} == {trial.index for trial in kept}
    assert planned_trials(spec, outcomes) == len(kept)


# how much is planned, for who looks on


def ended(trials, ap=0.0, status=Status.COMPLETE):
    return {t.id: EndedTrial(t.id, t.phase, t.optimizer, status, ap=ap) for t in trials}


def test_a_study_in_which_nothing_scored_is_complete_with_its_tune_trials(spec):
    tuned = whole_plan(spec, lambda _trial: NOTHING)
    done = ended(tuned)
    size = Size.of_spec(spec)
    progress = Progress(size.after_trials(done), done)
    assert (progress.status, progress.waiting, progress.size.planned) == ("complete", 0, len(tuned))
    assert [row.confirm_planned for row in progress.size.rows(progress)] == [0, 0]
    assert progress.size.rows(progress)[0].cells()[2] == "-"
    almost = dict(list(done.items())[:-1])
    assert size.after_trials(almost).planned == total_trials(spec)
    last = Progress(size, almost).with_done(done[tuned[-1].id])
    assert last.size.planned == len(tuned), "the live table knows it with the last trial"


@pytest.mark.parametrize(("ap", "status"), [(0.02, Status.COMPLETE), (None, Status.COMPLETE)])
def test_one_that_scored_or_whose_record_is_out_of_reach_keeps_the_confirm_phase(spec, ap, status):
    tuned = whole_plan(spec, lambda _trial: NOTHING)
    done = ended(tuned) | ended(tuned[:1], ap, status)
    assert Size.of_spec(spec).after_trials(done).planned == total_trials(spec)


def test_confirm_trials_of_an_earlier_version_are_counted_as_they_are(make_spec):
    trials = whole_plan(spec_of(make_spec, confirm_unscored=True), lambda _trial: NOTHING)
    done = ended(trials)
    assert Progress(Size.of_spec(spec_of(make_spec)).after_trials(done), done).status == "complete"


# about how much longer trials must be


def records(*trials, phase=TUNE):
    """Rows (round, validation loss, reference loss)."""
    columns = ["round", "val_loss", "reference_loss"]
    return pd.DataFrame(trials, columns=columns).assign(phase=phase, status=Status.COMPLETE)


@pytest.mark.parametrize(
    ("rows", "length", "low", "high"),
    [
        # Skill 0.05, then 0.1: the least skill that scores, 0.15, at 1.5 times the length; slow growth takes longer.
        ([(0, 0.95), (0, 0.97), (1, 0.9), (1, 0.99)], 100, 150, 3000),
        # Skill 0.05, then 0.2: scores are due; of a loss that falls by 0.172 in its logarithm, 2.18 doublings are left.
        ([(0, 0.95), (1, 0.8)], 30, 30, 140),
        # A skill of less than 0.015 counts as 0.015, from which 0.036 is a growth by the power 1.26, not 1.3.
        ([(0, 0.99), (1, 0.964)], 35, 110, None),
        # Trials of one length, at the skill by which each has scored: the range is at least half of its beginning.
        ([(math.nan, 0.55)], 100, 100, 150),
        ([(math.nan, 0.9)], 100, 140, 3000),
        ([(0, 0.9), (1, 0.8909)], 100, 1300, 2000),
    ],
)
def test_a_skill_that_grows_with_the_length_is_carried_on(rows, length, low, high):
    found = estimate_needed_length(records(*((*row, 1.0) for row in rows)), TUNE, length=length, unit="step")
    assert found == NeededLength(length, "step", low, high)
    assert found.document() == {"length": length, "unit": "step", "low": low, "high": high, "why": None}


def test_the_estimate_is_told_in_steps_and_as_a_multiple():
    found = estimate_needed_length(records((0, 0.95, 1.0), (1, 0.9, 1.0)), TUNE, length=100, unit="step")
    assert needed_text(found, " of batch 8").startswith(
        "Judging by the fall of the validation loss, a trial scores after about 150 to 3,000 steps of batch 8, 1.5 to "
    )


def test_scaled_losses_and_lengths_say_the_same():
    one = estimate_needed_length(records((0, 0.95, 1.0), (1, 0.9, 1.0)), TUNE, length=100, unit="step")
    two = estimate_needed_length(records((0, 9.5, 10.0), (1, 9.0, 10.0)), TUNE, length=1000, unit="step")
    assert (two.low, two.high) == (10 * one.low, 10 * one.high)


@pytest.mark.parametrize(
    ("rows", "why"),
    [
        ([(0, 0.9, math.nan), (1, 0.8, math.nan)], "was not recorded"),
        ([(0, 0.99, 1.0), (1, 0.98, 1.0)], "still about that of finding nobody"),
        ([(0, 0.9, 1.0), (1, 0.9, 1.0)], "did not fall"),
        ([(0, 0.9, 1.0), (1, 0.8911, 1.0)], "did not fall"),
        ([(0, 0.9, 1.0), (1, 0.5, 1.0)], "as far as where others score"),
        ([(0, 0.9, 1.0), (1, math.nan, 1.0)], "none of the longest"),
    ],
)
def test_where_no_number_can_be_given_it_says_why(rows, why):
    found = estimate_needed_length(records(*rows), TUNE, length=100, unit="step")
    assert why in found.why
    assert found == NeededLength(100, "step", why=found.why)
    assert found.document() == {"length": 100, "unit": "step", "low": None, "high": None, "why": found.why}
    assert why in needed_text(found)


def test_trials_of_one_length_give_a_wider_range():
    alone = estimate_needed_length(records((math.nan, 0.9, 1.0), phase=SEARCH), SEARCH, length=400, unit="image")
    both = estimate_needed_length(records((0, 0.93, 1.0), (1, 0.9, 1.0)), TUNE, length=400, unit="image")
    assert alone.low <= both.low < both.high <= alone.high
    assert "images, " in needed_text(alone)
    assert estimate_needed_length(records((0, 0.9, 1.0)).drop(columns="round"), TUNE, length=400, unit="image") == alone


def test_an_end_that_is_far_away_is_not_said_as_a_number():
    found = estimate_needed_length(records((0, 0.968, 1.0), (1, 0.955, 1.0)), TUNE, length=10.0, unit="second")
    assert found.high is None
    assert "at least 2 min of training" in needed_text(found)


@pytest.mark.parametrize(
    ("before", "after", "times"),
    [
        (None, 0.9, (1.366, 28.287)),  # (0.15 / 0.1) ^ (1 / 1.3), (0.45 / 0.1) ^ (1 / 0.45)
        (0.95, 0.9, (1.5, 28.287)),  # the skill has doubled with the length
        (0.96, 0.8, (1.0, 4.1555)),  # the loss falls by 0.8 / 0.96 with each doubling, from 0.8 to 0.55
        (0.99, 0.95, (2.328, 131.99)),
        (None, 0.56, (1.0, 1.5)),
    ],
)
def test_times_by_hand(before, after, times):
    found, why = _times(before, after)
    assert found == pytest.approx(times, rel=1e-3)
    assert why == ""


@pytest.mark.parametrize(
    ("before", "after", "why"),
    [
        (None, 0.98, "the validation loss is still about that of finding nobody"),
        (None, 0.5, "the validation loss has fallen as far as where others score"),
        (0.9, 0.895, "the validation loss did not fall from trials of half the length"),
    ],
)
def test_what_no_times_can_be_told_of(before, after, why):
    found, told = _times(before, after)
    assert found is None
    assert told.startswith(why)


@pytest.mark.parametrize(
    ("value", "rounded"), [(136.6, 140), (199.9, 200), (200, 200), (283, 300), (1.54, 1.5), (2.4, 2), (0.0234, 0.02)]
)
def test_ends_have_one_digit_or_two_after_a_1(value, rounded):
    assert _rounded(value) == pytest.approx(rounded)


def test_the_farthest_end_that_is_said_is_a_hundred_times_the_length():
    """(0.45 / skill) ^ (1 / 0.45) of a skill of 0.058 is 95, and of 0.0554 it is 105."""
    ends = [
        estimate_needed_length(records((math.nan, 1 - skill, 1.0)), TUNE, length=100, unit="step").high
        for skill in (0.058, 0.0554)
    ]
    assert ends == [9000, None]


@given(before=st.floats(0.3, 1.2), after=st.floats(0.3, 1.2), length=st.integers(1, 10**6))
def test_a_range_lies_above_what_was_tried_and_is_rounded(before, after, length):
    found = estimate_needed_length(records((0, before, 1.0), (1, after, 1.0)), TUNE, length=float(length), unit="step")
    if found.low is None:
        assert found.why
        return
    assert length <= found.low <= 1.1 * MOST_TIMES * length
    assert found.high is None or found.high >= found.low
    assert after >= 1 - FIRST_SKILL[1] - 1e-9
    for end in {found.low, found.high} - {float(length), None}:
        digits = f"{end:.6e}".split("e")[0].rstrip("0").rstrip(".")
        assert len(digits) <= (3 if digits[0] == "1" else 1)


def test_diverged_trials_and_other_phases_tell_nothing():
    rows = records((0, 0.95, 1.0), (1, 0.9, 1.0))
    known = estimate_needed_length(rows, TUNE, length=100, unit="step")
    others = records((1, 0.1, 1.0)).assign(status=Status.DIVERGED), records((1, 0.1, 1.0), phase=CONFIRM)
    unknown = records((1, 0.1, 0.0), (1, 0.0, 0.0), (1, math.nan, 1.0), (0, 0.1, math.nan))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert estimate_needed_length(pd.concat([rows, unknown]), TUNE, length=100, unit="step") == known
    assert estimate_needed_length(pd.concat([rows, *others]), TUNE, length=100, unit="step") == known
    assert estimate_needed_length(rows.iloc[:0], TUNE, length=100, unit="step").low is None


def test_the_losses_reached_are_the_least_of_each_in_the_order_of_the_study():
    rows = pd.DataFrame(
        [
            ("adam", TUNE, Status.COMPLETE, 0.9, 1.0),
            ("adam", TUNE, Status.COMPLETE, 0.75, 1.0),
            ("adam", TUNE, Status.DIVERGED, 0.1, 1.0),
            ("sgd", TUNE, Status.COMPLETE, 0.8, math.nan),
        ],
        columns=["optimizer", "phase", "status", "val_loss", "reference_loss"],
    )
    rows = rows.assign(trial_id=[*"abcd"], hyperparameters="{}", seed=0, ap=0.0)
    found = losses_reached(rows, ["sgd", "adagrad", "adam"])
    assert [*found["optimizer"]] == ["sgd", "adagrad", "adam"]
    assert [*found["trials"]] == [1, 0, 2]
    assert found["val_loss"].tolist() == pytest.approx([0.8, math.nan, 0.75], nan_ok=True)
    assert found["skill"].tolist() == pytest.approx([math.nan, math.nan, 0.25], nan_ok=True)
    bare = losses_reached(rows.drop(columns="reference_loss"), ["adam"])
    assert bare["skill"].isna().all()


def test_words():
    assert all_trials_text(1, "tune trial") == "the only tune trial"
    assert all_trials_text(24, "tune trial") == "all 24 tune trials"
    assert "about 42 s to 2 min of training, 1.4 to 4 times" in needed_text(NeededLength(30.0, "second", 42.0, 120.0))
    assert not any_scored(pd.DataFrame())


@pytest.mark.parametrize(
    ("needed", "said"),
    [
        (NeededLength(30, "step", why="no trial has a loss"), "is not known: no trial has a loss."),
        (NeededLength(1000, "step", 1400, 2960), "about 1,400 to 2,960 steps of batch 8, 1.4 to 3 times the length"),
        (NeededLength(1000, "step", 1040, 4600), "about 1,040 to 4,600 steps of batch 8, 1 to 5 times the length"),
        (
            NeededLength(30, "second", 45),
            "at least 45 s of training, 1.5 times the length of the longest of these; how",
        ),
        (NeededLength(1000, "image", 3040), "at least 3,040 images of batch 8, 3 times the length of the longest of"),
    ],
)
def test_a_needed_length_is_told_as_an_amount_and_as_a_multiple(needed, said):
    assert said in needed_text(needed, " of batch 8")


def test_the_rule_holds_in_the_trainings_that_were_measured():
    folder = ROOT / "reports" / "first-ap-cpu"
    found = predictions(pd.read_csv(folder / "trainings.csv"))
    known = pd.read_csv(folder / "predictions.csv")
    pd.testing.assert_frame_equal(found, known, check_dtype=False, rtol=1e-4)
    assert {*found["holds"]} == {"yes"}
    assert len(found.groupby(["data", "optimizer", "foreground_weight"])) >= 3


def test_first_steps_are_interpolated_and_have_to_last():
    series = pd.DataFrame({"steps": [10, 20, 40, 80], "ap": [0.03, 0.0, 0.0, 0.04]})
    assert first_steps(series) == pytest.approx(40 * math.sqrt(2))
    assert math.isnan(first_steps(series[:3]))
