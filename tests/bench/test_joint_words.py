"""What a joint study's sentences and tables say of records made by hand, to the letter."""

import math

import pytest

from bench.kinds.joint.analysis import answer, claims, front, run_sections
from bench.kinds.joint.analysis.picks import BEST_AP, FASTEST, NEAR_BEST
from bench.kinds.joint.analysis.results import JointResults
from bench.kinds.joint.analysis.words import (
    configuration_text,
    configuration_words,
    hyperparameters_text,
    near_text,
    range_cell,
    score_label,
    short_roles,
    speed_interval,
)
from bench.kinds.joint.objectives import AP_AND_SPEED
from bench.report.shown_score import AP, ShownScore
from bench.report.text import plain
from bench.statistics.interval import Interval
from bench.trials.needed_length import NeededLength
from bench.workloads import Score
from tests.bench.test_joint_findings import NO_IMPORTANCES, fresh
from tests.support.joint_records import frame, trial

ERROR = ShownScore(Score("error", "minimize", low=0.0, high=2.0, chance=1.0), "rows")
SETTINGS = {"optimizer": "own.Adam", "lr": 0.0031, "num_workers": 2, "pin_memory": False, "batch_size": 8}


def results_of(*rows, objective=AP_AND_SPEED, **more):
    given = {
        "records": frame(*rows),
        "objective": objective,
        "importances": NO_IMPORTANCES,
        "optimizers": ("sgd", "adam"),
        "optimizer_lines": {},
        "fixed": 0,
        "search_trials": 2,
        "seeds": 2,
        "sampler": "tpe",
        "length": "1,600 images",
        "data": "data `mine`",
        "loader": {},
        "hosts": 1,
        "measure": AP,
        "train_commands": {},
        "train_notes": {},
        "beginning": "",
        "needed": None,
        "schedule": "",
        "other_schedules": {},
        "schedule_note": "",
    }
    return JointResults(**given | more)


def seeds_of(source, *scores, speed=None):
    """Confirm trials of a search trial, as fast as it was."""
    return [
        fresh(source, place, ap_select=score, ap=score - 0.01, images_per_s=speed or source["images_per_s"])
        for place, score in enumerate(scores)
    ]


GOOD, FAST = trial(0, ap=0.4, speed=80), trial(1, "sgd", ap=0.1, speed=150, num_workers=2)
BOTH = [GOOD, FAST, *seeds_of(GOOD, 0.38, 0.4), *seeds_of(FAST, 0.1, 0.12)]


def test_configurations_are_named_by_their_rate_and_loading():
    names = {"own.Adam": "Adam"}
    assert configuration_text(SETTINGS, names) == "Adam at lr 0.0031, 2 workers, batch 8"
    assert configuration_words(SETTINGS, {}) == "own.Adam at lr 0.0031 with 2 workers and batches of 8"
    pinned = {**SETTINGS, "pin_memory": True, "num_workers": 1}
    assert configuration_text(pinned, names) == "Adam at lr 0.0031, 1 worker, batch 8, pinned"
    assert configuration_words(pinned, names) == "Adam at lr 0.0031 with 1 worker, batches of 8 and pinned memory"
    without = {name: value for name, value in SETTINGS.items() if name != "lr"}
    assert configuration_text({**without, "effective_lr": 0.1}, names).startswith("Adam at effective_lr 0.1, ")
    assert configuration_text(without, names) == "Adam, 2 workers, batch 8"
    assert hyperparameters_text({**SETTINGS, "betas": [0.9, 0.99]}) == "lr 0.0031, betas (0.9, 0.99)"
    assert hyperparameters_text(without) == "-"


def test_roles_and_labels_have_their_words():
    assert short_roles([BEST_AP, NEAR_BEST, FASTEST], AP) == "best AP, fastest"
    assert short_roles([NEAR_BEST, FASTEST], AP) == "nearly best, fastest"
    assert short_roles([NEAR_BEST], AP) == "nearly best, faster"
    assert short_roles([BEST_AP], ERROR) == "best error"
    assert (near_text(AP), near_text(ERROR)) == ("2 % of", "2 % (of the distance from chance) of")
    assert (score_label(AP), score_label(ERROR)) == ("AP (select split)", "error (select split, lower is better)")


def test_intervals_are_shown_where_their_ends_are_known():
    whole, none = Interval(118.0, 112.4, 123.6, 3, 0.95, "t"), Interval(118.0, None, None, 1, 0.95, "none")
    assert (speed_interval(whole), speed_interval(none)) == ("118 [112, 124]", "118")
    assert (range_cell(whole, "{:.1f}".format), range_cell(none, str)) == ("112.4 to 123.6", "-")


def test_the_claims_of_two_picks():
    found = claims.claims(results_of(*BOTH))
    assert found.startswith(
        "For the highest AP and the most images/s within 2 % of that AP, take adam at lr 0.001, 1 worker, "
        "batch 8: over "
        "2 fresh seeds AP 0.390 [0.263, 0.517] on the select split (the search saw 0.400) and 0.380 [0.253, 0.507] on "
        "the report split, at 80 [80, 80] images/s (the search saw 80). For the most images/s of all, take sgd at lr "
        "0.001, 2 workers, batch 8: over 2 fresh seeds AP 0.110 ["
    )
    assert "That speed costs AP: it is less than half of the highest, 0.390. Searched: 2 trials. This search" in found
    half = [GOOD, FAST | {"ap": 0.2}]
    assert "That speed costs AP" not in claims.claims(results_of(*half)), "just half"
    assert "in one trial of the search. For the most images/s of all" in claims.claims(results_of(*half))


def test_a_score_that_is_no_ap_is_counted_from_chance():
    """Of an error whose chance is 1: 0.4 gains 0.6, and 0.75 gains 0.25."""
    measure = ShownScore(Score("loss", "minimize", low=0.0, high=2.0, chance=1.0), "rows")
    rows = [GOOD | {"loss": 0.4}, FAST | {"loss": 0.75}]
    found = claims.claims(results_of(*rows, measure=measure))
    assert found.startswith("For the lowest loss and the most rows/s within 2 % (of the distance from chance) of that ")
    assert "That speed costs loss: over chance it gains less than half of what the lowest gains, 0.4" in found
    caption = front.front_caption(results_of(*rows, measure=measure))
    assert caption == (
        "A point: one search trial, one seed. A ring: a pick, at a trial of the search. The line is the front: along "
        "it, a lower loss costs speed."
    )


@pytest.mark.parametrize(
    ("rows", "more", "said"),
    [
        ([trial(0, status="failed")], {}, "no search trial completed."),
        ([trial(0, ap=0.01)], {}, "the only complete search trial did not reach AP 0.02, under"),
        (
            [trial(0, ap=0.0), trial(1, ap=0.0)],
            {},
            "none of the 2 complete search trials with a known speed reached AP",
        ),
        (
            [trial(0, ap=0.0), trial(1, ap=0.0)],
            {"objective": "ap-at-time"},
            "none of the 2 complete search trials reach",
        ),
        ([trial(0, speed=math.nan)], {}, "the speed of the only complete search trial is not known."),
        (
            [trial(0, speed=math.nan), trial(1, speed=math.nan)],
            {},
            "the speed of all of the 2 complete search trials is",
        ),
        (
            [GOOD, *seeds_of(GOOD, 0.01)],
            {},
            "no pick reached AP 0.02, under which a run has learned nothing, with fresh seeds; the search saw 0.400.",
        ),
        (
            [GOOD, fresh(GOOD, 0, status="failed", ap=math.nan)],
            {},
            "no run with fresh seeds completed; the search saw AP 0.400.",
        ),
        (
            [GOOD, FAST | {"ap": 0.01}, *seeds_of(GOOD, 0.0)],
            {},
            "no pick has reached AP 0.02, under which a run has learned nothing, with the fresh seeds run so far.",
        ),
    ],
)
def test_why_nothing_is_recommended(rows, more, said):
    assert claims.nothing_sentence(results_of(*rows, **more)).startswith(f"Nothing to recommend: {said}")


@pytest.mark.parametrize(("unit", "flag"), [("second", "--seconds"), ("image", "--images")])
def test_how_long_trials_would_have_to_be_is_told(unit, flag):
    needed = NeededLength(100, unit, why="Nobody knows.")
    found = claims.nothing_sentence(results_of(trial(0, ap=0.0), needed=needed))
    assert " So nothing was trained again. " in found
    assert found.endswith(f" Under another `--name`, give more `{flag}`.")


def test_a_choice_that_did_not_hold_up_is_told_with_the_gap():
    lucky, solid = trial(0, ap=0.30, speed=80), trial(1, "sgd", ap=0.28, speed=150)
    found = results_of(lucky, solid, *seeds_of(lucky, 0.20, 0.20), *seeds_of(solid, 0.27, 0.29))
    (said,) = claims._changes(found)
    assert said == (
        "The search's choice for the highest AP and the most images/s within 2 % of that AP did not hold up with fresh "
        "seeds: adam at lr 0.001, 1 worker, batch 8 had AP 0.300 in the search and 0.200 with fresh seeds, at 80 "
        "images/s; its replacement differs by +0.080 [-0.047, +0.207] AP, which may be chance."
    )
    sure = results_of(lucky, solid, *seeds_of(lucky, 0.20, 0.20), *seeds_of(solid, 0.28, 0.28))
    assert claims._changes(sure)[0].endswith("by +0.080 [+0.080, +0.080] AP.")
    one = results_of(lucky, solid, *seeds_of(lucky, 0.20), *seeds_of(solid, 0.28))
    assert claims._changes(one)[0].endswith("by +0.080 AP, which may be chance.")


def test_a_choice_that_learned_nothing_is_told_with_its_speed():
    found = results_of(GOOD, FAST, *seeds_of(GOOD, 0.4), *seeds_of(FAST, 0.0, speed=140))
    assert claims._changes(found) == [
        "The search's own choice for the most images/s of all is not recommended: sgd at lr 0.001, 2 workers, batch 8 "
        "does 140 images/s, but learned nothing with fresh seeds (AP 0.000, under 0.02)."
    ]
    searched = results_of(GOOD, FAST | {"ap": 0.01})
    assert claims._changes(searched)[0].endswith(
        "does 150 images/s, but learned nothing in the search (AP 0.010, under 0.02)."
    )


def test_the_trials_of_the_search_are_counted_by_how_they_ended():
    rows = [GOOD, trial(1, status="failed"), trial(2, status="out_of_memory"), trial(3, status="failed")]
    assert claims.searched_sentence(results_of(*rows, search_trials=6)) == (
        "Searched: 4 of 6 trials, 3 of them without a result (2 failed, 1 out of memory)."
    )
    assert claims.searched_sentence(results_of(*rows[:1], search_trials=1)) == "Searched: 1 trial."


def test_what_makes_the_numbers_less_sure_is_told():
    trust = claims.trust_sentences
    flattering = "confirmed with fresh seeds yet: what the search saw is the best of many trials, so it is optimistic."
    assert trust(results_of(GOOD, FAST)) == [f"None of this is {flattering}"]
    assert trust(results_of(GOOD, FAST, *seeds_of(GOOD, 0.4))) == [f"Not all of this is {flattering}"]
    assert trust(results_of(*BOTH)) == []
    assert trust(results_of(*BOTH, seeds=3)) == ["So far, 2 of 3 fresh seeds have finished."]
    assert trust(results_of(*BOTH, hosts=2)) == [
        "Trials ran on 2 machines, whose images/s cannot be compared: rely on AP, not on speed."
    ]
    shared = [{**row, "concurrent_trials": 2} for row in BOTH]
    assert trust(results_of(*shared)) == ["Images/s are those of a shared machine: compare them only with each other."]


def test_speeds_that_are_noise_are_told_with_their_share():
    def scattered(source, *speeds):
        return [fresh(source, place, ap_select=source["ap"], images_per_s=speed) for place, speed in enumerate(speeds)]

    rows = [GOOD, FAST, *scattered(GOOD, 160.0, 20.0), *scattered(FAST, 60.0, 240.0)]
    found = results_of(*rows)
    share = f"{100 * found.speed.share:.0f} %"
    said = (
        f"Images/s are mostly noise: differences between runs of the same settings make up {share} of the variance (4 "
        "repeats). Do not choose by speed; `posebench study loaders` measures it."
    )
    assert found.speed.share > 0.5
    assert claims.trust_sentences(found) == answer._speed(found) == [said]
    assert claims.trust_sentences(results_of(*rows, objective="ap-at-time")) == []
    assert answer.answer(found).endswith(" on 2 fresh seeds. Speeds are too noisy here to say which setting is faster.")
    assert answer.answer(results_of(*BOTH)).endswith(": AP 0.110 on 2 fresh seeds at 150 images/s.")


def test_how_sure_the_answer_is():
    ends = " It cannot be compared."
    found = answer.sureness(results_of(*BOTH)).replace(answer.NO_COMPARISON, ends.strip())
    assert found == (
        "AP 0.390 [0.263, 0.517] is a mean over 2 fresh seeds, on the select split, by which the search chose. On the "
        "report split, not used to choose, it is 0.380 [0.253, 0.507]. The search saw 0.400, the best of 2 complete "
        f"trials, so it was optimistic.{ends}"
    )
    one = answer.sureness(results_of(GOOD, *seeds_of(GOOD, 0.4), seeds=3))
    assert one.startswith(
        "AP is of one fresh seed (spread unknown), on the select split, by which the search chose. On the "
        "report split, "
        "not used to choose, it is 0.390. This search"
    ), "it was as good as in the search"
    failed = [*seeds_of(GOOD, 0.4, 0.4), fresh(GOOD, 2, status="failed", ap=math.nan, ap_select=math.nan)]
    assert " is a mean over 3 of 5 fresh seeds, 1 of them without a result (AP 0), on the " in answer.sureness(
        results_of(GOOD, *failed, seeds=5)
    )
    assert answer.sureness(results_of(trial(0, ap=0.0))) == ""


def test_optimizers_that_were_never_tried_are_named_at_the_end():
    assert answer.sureness(results_of(GOOD, search_trials=1)).endswith(" Never tried: sgd.")
    assert "Never tried" not in answer.sureness(results_of(GOOD, search_trials=2))
    assert "Never tried" not in answer.sureness(results_of(*BOTH))


def test_picks_that_learned_nothing_are_told_by_their_roles():
    nothing = answer._nothing_learned
    assert nothing(results_of(*BOTH)) == []
    assert nothing(results_of(GOOD, FAST, *seeds_of(GOOD, 0.4), *seeds_of(FAST, 0.0))) == [
        "The fastest setting of the search learned nothing (AP under 0.02)."
    ]
    assert nothing(results_of(GOOD, FAST, *seeds_of(GOOD, 0.0), *seeds_of(FAST, 0.1))) == [
        "The search's choice for best AP and fastest within 2 % of it learned nothing with fresh seeds."
    ]


def test_trials_that_shared_a_machine_are_told_by_their_number():
    shared = [{**row, "concurrent_trials": each} for row, each in zip(BOTH, (1, 3, 2, 2, 2, 2), strict=True)]
    assert answer._speed(results_of(*shared)) == ["Up to 3 trials shared the machine, which slows each."]
    assert answer._speed(results_of(*shared, hosts=2)) == ["Trials ran on 2 machines: do not compare their images/s."]
    assert answer._speed(results_of(*BOTH)) == []
    unknown = [{name: value for name, value in row.items() if name != "concurrent_trials"} for row in BOTH]
    assert results_of(*unknown).most_at_once == 0


def test_the_numbers_of_the_answer():
    assert answer.metrics(results_of(*BOTH)) == pytest.approx(
        {"speed_noise_share": 0.0, "ap": 0.39, "ap_report": 0.38, "images_per_s": 80.0, "fresh_seeds": 2.0}
    )
    assert answer.metrics(results_of(GOOD, FAST)) == {"ap": 0.4, "images_per_s": 80.0, "fresh_seeds": 0.0}
    assert answer.metrics(results_of(trial(0, ap=0.0))) == {}


def test_the_plan_is_told_with_what_was_searched():
    (section,) = [run_sections.run_section(results_of(*BOTH, search_trials=40, fixed=3))]
    assert [plain(part) for part in section.parts] == [
        "40 search trials of 1,600 images, one seed each, chosen by Optuna's TPE (the first 3 with settings fixed by "
        "the study) for AP and images/s over optimizer (sgd and adam), its hyperparameters, num_workers, "
        "pin_memory and "
        "batch_size together; then each pick with 2 fresh seeds of 1,600 images. Network small at 128 px, "
        "data mine, on cpu."
    ]
    begun = run_sections.run_section(results_of(objective="ap-at-time", fixed=1, seeds=1, sampler="random"))
    assert [plain(part) for part in begun.parts] == [
        "2 search trials of 1,600 images, one seed each, chosen at random (the first with settings fixed by the study) "
        "for AP over optimizer (sgd and adam), its hyperparameters, num_workers, pin_memory and batch_size together; "
        "then each pick with 1 fresh seed of 1,600 images. Data mine."
    ]
    other = run_sections.run_section(results_of(*BOTH, measure=ShownScore(AP.score, "images"), hosts=2))
    assert plain(other.parts[0]).endswith(" of 1,600 images. small, data mine, on cpu. Trials ran on 2 machines.")
    shared = run_sections.run_section(results_of(*({**row, "concurrent_trials": 2} for row in BOTH)))
    assert plain(shared.parts[0]).endswith(" Up to 2 trials ran at once, so images/s are those of a shared machine.")


def test_failures_are_counted_by_phase_and_reason_the_most_frequent_first():
    def failed(index, optimizer="adam", **more):
        return trial(index, optimizer, status="failed", **more)

    rows = [
        GOOD,
        failed(1, error="b", batch_size=16, num_workers=2),
        failed(2, error="a"),
        failed(3, "sgd", error="a", batch_size=4, num_workers=0),
        failed(4, error=math.nan),
        fresh(GOOD, 0, status="out_of_memory", error="a"),
        fresh(GOOD, 1, status="out_of_memory", error="a"),
        fresh(GOOD, 2, status="out_of_memory", error="a"),
    ]
    (section,) = run_sections.failure_section(results_of(*rows))
    assert section.parts[0].rows == [
        ["search", "failed", "a", "2", "adam and sgd", "4 and 8", "0 and 1"],
        ["search", "failed", "-", "1", "adam", "8", "1"],
        ["search", "failed", "b", "1", "adam", "16", "2"],
        ["confirm", "out of memory", "a", "3", "adam", "8", "1"],
    ]
    assert run_sections.failure_section(results_of(GOOD)) == run_sections.failure_section(results_of()) == []


def test_gradients_of_a_step_are_told_where_some_optimizer_takes_more_than_one():
    rows = [
        trial(0, updates=400),
        trial(1, "sgd", updates=100),
        trial(2, "sgd", updates=200),
        trial(3, "sgd", updates=0),
        trial(4, "sgd", updates=100, steps_done=0),
    ]
    found = results_of(*rows)
    assert found.gradients_per_step == {"sgd": 3.0}
    assert found.speed_notes == ["Images/s count a batch once for each gradient evaluation."]
    assert "takes more than one: sgd 3 on average" in " ".join(run_sections._gradients(found))
    assert results_of(GOOD).gradients_per_step == {}
    assert results_of(GOOD).speed_notes == run_sections._gradients(results_of(GOOD)) == []
