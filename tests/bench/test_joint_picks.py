"""What a joint search picks, and what fresh seeds make of it: cases whose answer is plain."""

import json
import math

import pandas as pd
import pytest

from bench.kinds.joint.analysis import BEST_AP, FASTEST, NEAR_BEST, configuration_key, picks
from bench.kinds.joint.analysis.picks import confirmed, difference, picks_by_role
from bench.kinds.joint.objectives import AP_AND_SPEED, AP_AT_TIME
from bench.report.shown_score import AP, ShownScore
from bench.workloads import Score
from bench.workloads.score import COLLAPSE_SHARE
from tests.support.joint_records import frame, made_up, trial, with_fresh_seeds

NAN = math.nan


def roles_of(records, objective=AP_AND_SPEED):
    return {pick.trial_id: pick.roles for pick in picks(records, objective)}


def fresh_trials(source, aps, speeds, first_seed=1001):
    """Confirm trials of a search trial's configuration."""
    return [
        source
        | {
            "phase": "confirm",
            "trial_id": f"confirm-{source['trial_id']}-{place}",
            "seed": first_seed + place,
            "ap_select": ap,
            "ap": ap - 0.02 if ap is not None else NAN,
            "images_per_s": speed,
            "status": "complete" if ap is not None else "diverged",
        }
        for place, (ap, speed) in enumerate(zip(aps, speeds, strict=True))
    ]


def test_three_roles_three_picks():
    records = frame(trial(0, ap=0.300, speed=80), trial(1, ap=0.295, speed=90), trial(2, ap=0.1, speed=150))
    assert roles_of(records) == {"search-0": (BEST_AP,), "search-1": (NEAR_BEST,), "search-2": (FASTEST,)}


def test_one_trial_with_several_roles_is_one_pick():
    records = frame(trial(0, ap=0.3, speed=80), trial(1, ap=0.29, speed=90))
    assert roles_of(records) == {"search-0": (BEST_AP, NEAR_BEST), "search-1": (FASTEST,)}
    assert roles_of(records.iloc[:1]) == {"search-0": (BEST_AP, NEAR_BEST, FASTEST)}


def test_two_percent_are_relative_and_inclusive():
    records = frame(trial(0, ap=0.5, speed=80), trial(1, ap=0.49, speed=90), trial(2, ap=0.4899, speed=95))
    assert roles_of(records) == {"search-0": (BEST_AP,), "search-1": (NEAR_BEST,), "search-2": (FASTEST,)}


def test_ties_go_to_the_other_objective_then_to_the_earlier_trial():
    records = frame(*(trial(i, ap=0.3, speed=speed) for i, speed in enumerate([80, 90, 90])))
    assert roles_of(records) == {"search-1": (BEST_AP, NEAR_BEST, FASTEST)}
    assert roles_of(records.iloc[::-1]) == roles_of(records)


def test_only_complete_search_trials_with_an_ap_above_0_can_be_picked():
    records = frame(
        trial(0, ap=0.2, speed=80),
        trial(1, ap=0.0, speed=900),
        trial(2, status="diverged"),
        trial(3, ap=0.4, speed=NAN),
        trial(4, phase="confirm", ap=0.9, speed=900),
    )
    assert roles_of(records) == {"search-0": (BEST_AP, NEAR_BEST, FASTEST)}
    assert roles_of(records.iloc[1:3]) == {}
    assert picks(pd.DataFrame(), AP_AND_SPEED) == []


def test_at_equal_time_ap_alone_counts():
    records = frame(trial(0, ap=0.2, speed=800), trial(1, ap=0.4, speed=NAN))
    assert roles_of(records, AP_AT_TIME) == {"search-1": (BEST_AP,)}
    assert math.isnan(picks(records, AP_AT_TIME)[0].images_per_s)


def test_settings_are_flat_and_plain():
    records = frame(trial(0, hyperparameters=json.dumps({"lr": 0.1, "betas": [0.9, 0.99]}), pin_memory=True))
    (pick,) = picks(records, AP_AND_SPEED)
    assert pick.settings == {
        "optimizer": "adam",
        "lr": 0.1,
        "betas": [0.9, 0.99],
        "num_workers": 1,
        "pin_memory": True,
        "batch_size": 8,
    }
    assert pick.key == configuration_key(records.iloc[0])


@pytest.mark.parametrize(
    "other",
    [
        {"optimizer": "sgd"},
        {"hyperparameters": '{"lr": 0.2}'},
        {"batch_size": 4},
        {"num_workers": 2},
        {"pin_memory": True},
    ],
)
def test_each_setting_tells_configurations_apart(other):
    assert configuration_key(trial(0)) != configuration_key(trial(0) | other)
    assert configuration_key(trial(0)) == configuration_key(trial(0, phase="confirm", seed=7, ap=0.1))
    orders = '{"lr": 0.1, "eps": 0.2}', '{"eps": 0.2, "lr": 0.1}'
    assert len({configuration_key(trial(0, hyperparameters=each)) for each in orders}) == 1, "in whatever order"


def test_fresh_seeds_belong_to_the_pick_of_their_configuration():
    best, fast = trial(0, ap=0.3, speed=80), trial(1, ap=0.1, speed=150, num_workers=2)
    records = frame(best, fast, *fresh_trials(best, [0.28, 0.24, 0.26], [81, 83, 82]))
    one, other = (confirmed(records, pick) for pick in picks(records, AP_AND_SPEED))
    assert (one.n, one.failed, other.n) == (3, 0, 0)
    assert one.score_select.estimate == pytest.approx(0.26)
    assert one.score.estimate == pytest.approx(0.24)
    assert one.images_per_s.estimate == pytest.approx(82)
    assert one.score_select.low < 0.26 < one.score_select.high
    assert other.score_select.estimate is None


def test_a_fresh_seed_without_a_result_counts_as_ap_0_and_has_no_speed():
    best = trial(0, ap=0.3, speed=80)
    records = frame(best, *fresh_trials(best, [0.3, None], [80, NAN]))
    found = confirmed(records, picks(records, AP_AND_SPEED)[0])
    assert (found.n, found.failed) == (2, 1)
    assert found.score_select.estimate == pytest.approx(0.15)
    assert found.images_per_s.estimate == pytest.approx(80)
    assert found.images_per_s.low is None


def reaching(floor):
    """The measure of an AP with another floor, which is a share of its range."""
    return ShownScore(Score("ap", high=floor / COLLAPSE_SHARE), "images")


def holders_of(*rows, measure=AP):
    records = frame(*rows)
    found = picks(records, AP_AND_SPEED)
    return picks_by_role(found, [confirmed(records, pick) for pick in found], measure)


def test_a_role_goes_to_the_pick_that_fresh_seeds_find_best_in_it():
    lucky, solid = trial(0, ap=0.3, speed=80), trial(1, ap=0.28, speed=150, num_workers=2)
    fresh = fresh_trials(solid, [0.28, 0.27], [149, 151])
    assert holders_of(lucky, solid, *fresh_trials(lucky, [0.30, 0.29], [80, 80]), *fresh) == {
        BEST_AP: 0,
        NEAR_BEST: 0,
        FASTEST: 1,
    }
    assert holders_of(lucky, solid, *fresh_trials(lucky, [0.20, 0.22], [80, 80]), *fresh) == {
        BEST_AP: 1,
        NEAR_BEST: 1,
        FASTEST: 1,
    }


def test_roles_stay_as_searched_until_every_pick_has_fresh_seeds():
    lucky, solid = trial(0, ap=0.3, speed=80), trial(1, ap=0.28, speed=150, num_workers=2)
    assert holders_of(lucky, solid, *fresh_trials(lucky, [0.1], [80])) == {BEST_AP: 0, NEAR_BEST: 0, FASTEST: 1}


def test_nobody_holds_a_role_where_no_fresh_seed_reached_any_ap():
    best = trial(0)
    assert holders_of(best, *fresh_trials(best, [0.0, None], [80, NAN])) == {}


def test_a_pick_under_the_floor_holds_no_role_however_fast_it_is():
    slow, fast = trial(0, ap=0.3, speed=80), trial(1, ap=0.25, speed=150, num_workers=2)
    learned = fresh_trials(slow, [0.30, 0.29], [80, 80])
    just = [*learned, *fresh_trials(fast, [0.02, 0.02], [150, 151])]
    under = [*learned, *fresh_trials(fast, [0.0199, 0.0199], [150, 151])]
    assert holders_of(slow, fast, *just) == {BEST_AP: 0, NEAR_BEST: 0, FASTEST: 1}
    assert holders_of(slow, fast, *under) == {BEST_AP: 0, NEAR_BEST: 0, FASTEST: 0}
    assert holders_of(slow, fast, *under, measure=reaching(0.01)) == {BEST_AP: 0, NEAR_BEST: 0, FASTEST: 1}
    assert holders_of(slow, fast, *under, measure=reaching(0.5)) == {}


def test_before_fresh_seeds_the_floor_is_that_of_the_search():
    slow, fast = trial(0, ap=0.3, speed=80), trial(1, ap=0.0002, speed=150, num_workers=2)
    assert holders_of(slow, fast) == {BEST_AP: 0, NEAR_BEST: 0, FASTEST: 0}
    assert holders_of(fast) == {}


def test_one_pick_s_fresh_seeds_are_enough_to_say_that_it_learned_nothing():
    slow, fast = trial(0, ap=0.3, speed=80), trial(1, ap=0.25, speed=150, num_workers=2)
    assert holders_of(slow, fast, *fresh_trials(fast, [0.0], [150])) == {BEST_AP: 0, NEAR_BEST: 0, FASTEST: 0}


def test_the_difference_is_paired_where_the_seeds_are_the_same():
    one, other = trial(0, ap=0.3, speed=80), trial(1, ap=0.28, speed=150, num_workers=2)
    rows = [one, other, *fresh_trials(one, [0.30, 0.20, 0.10], [80, 80, 80])]

    def gap(first_seed):
        records = frame(*rows, *fresh_trials(other, [0.29, 0.19, 0.09], [150, 150, 150], first_seed))
        return difference(*(confirmed(records, pick) for pick in picks(records, AP_AND_SPEED)))

    paired, unpaired = gap(1001), gap(2001)
    assert paired.estimate == unpaired.estimate == pytest.approx(0.01)
    assert (paired.low, paired.high) == (0.01, 0.01)
    assert unpaired.method == "welch_t"
    assert unpaired.low < 0 < unpaired.high


def test_confirm_trials_change_no_pick():
    records = made_up(40)
    assert picks(with_fresh_seeds(records), AP_AND_SPEED) == picks(records, AP_AND_SPEED)
