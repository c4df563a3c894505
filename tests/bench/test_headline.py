"""The one-minute answer of an optimizers study on hand-made records: what it must say, and what it must not."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.kinds.optimizers.analysis.headline import headline_metrics
from tests.support.examples import few
from tests.support.records import SIX, comparison_of, confirm_records, headline_of, noisy, record, summary_of

CLEAR = {"adam": [0.50, 0.51, 0.505], "adagrad": [0.40, 0.405, 0.41], "sgd": [0.20, 0.21, 0.208]}
TIED = {"adam": [0.50, 0.49, 0.51], "nesterov": [0.495, 0.5, 0.5], "sgd": [0.2, 0.21, 0.208], "x": [0.21, 0.2, 0.21]}


def test_a_clear_winner_is_to_be_used():
    answer, sure = headline_of(confirm_records(CLEAR))
    assert answer == "Use adam: AP 0.505, more than each of the others. adagrad and sgd reached AP 0.206 to 0.405."
    assert sure.startswith(
        "Each optimizer was tuned 3 times independently, then trained with fresh seeds; adam won 2 of its 2 "
        "comparisons (5 % level over all pairs). Gaps of 0.0"
    )
    assert sure.endswith("These results hold only for this network, data and budget.")


def test_those_that_nothing_beats_are_named_together():
    answer, sure = headline_of(confirm_records(TIED))
    assert answer == (
        "Use adam or nesterov: AP 0.498 to 0.500, with no difference shown between them. x and sgd reached AP 0.206 to "
        "0.207."
    )
    assert "4 of 6 pairs differ" in sure


def test_equals_are_said_to_be_equal():
    aps = {name: [0.4 + 0.01 * k, 0.5 - 0.01 * k, 0.45] for k, name in enumerate(SIX)}
    answer, sure = headline_of(confirm_records(aps))
    assert answer.startswith("No optimizer is shown to be better than another: adabound, ")
    assert "Use" not in answer
    assert "no difference is larger than chance may explain" in sure


def test_a_collapse_is_told():
    aps = {**TIED, "sgd": [0.001, 0.21, 0.208]}
    answer, _ = headline_of(confirm_records(aps))
    assert "sgd collapsed in 1 of 3 tunings" in answer
    assert "where they learned" in answer or "too unstable to place" in answer


def test_one_that_may_be_the_best_and_collapsed_is_not_recommended():
    aps = {"adam": [0.5, 0.51, 0.5], "adagrad": [0.4, 0.405, 0.395], "sgd": [0.001, 0.52, 0.5]}
    records = confirm_records(aps)
    assert "sgd" in comparison_of(records).best
    answer, _ = headline_of(records)
    assert answer.startswith("Use adam: AP 0.503")
    assert "sgd collapsed in 1 of 3 tunings: too unstable to place." in answer


def test_one_whose_runs_failed_is_not_recommended_either():
    records = confirm_records({"adam": [0.5, 0.51, 0.5], "adagrad": [0.4, 0.405, 0.395], "sgd": [0.52, 0.5, 0.51]})
    records.loc[(records["optimizer"] == "sgd") & (records["seed"] == 1002), "status"] = "failed"
    assert "sgd" in comparison_of(records).best
    answer, sure = headline_of(records)
    assert answer.startswith("Use adam: ")
    assert answer.endswith(" sgd failed in 1 of 3 runs: too unstable to place.")
    assert "Trials of sgd failed; a failed confirm trial counts as AP 0." in sure


@pytest.mark.parametrize(
    ("records", "said"),
    [
        (pd.DataFrame(), "Nothing to recommend yet: no confirm trial has finished (0 tune trials so far)."),
        (
            pd.DataFrame([record("adam", phase="tune")]),
            "Nothing to recommend yet: no confirm trial has finished (1 tune trial so far).",
        ),
        (
            confirm_records({"adam": [0.01] * 3, "sgd": [0.02] * 3}),
            "Nothing to recommend: the budget is too small. 2 of 2 optimizers stayed under AP 0.05; train for more "
            "steps.",
        ),
        (
            confirm_records({"adam": [0.5, 0.4]}),
            "Only adam has a complete tuning, AP 0.450: there is nothing to compare it with.",
        ),
        (
            confirm_records({"adam": [0.5], "sgd": [0.2]}),
            "No choice can be made yet: the highest score so far, AP 0.500 of adam, may be the luck of one tuning.",
        ),
    ],
)
def test_nothing_is_recommended_where_nothing_is_known(records, said):
    assert headline_of(records) == (said, "")


@few(6)
@given(st.integers(0, 10_000), st.floats(0, 0.3), st.integers(2, 6))
def test_never_says_more_than_the_claims(seed, gap, count):
    rng = np.random.default_rng(seed)
    centres = {name: 0.3 + gap * place / count for place, name in enumerate(SIX[:count])}
    records = confirm_records({name: list(rng.normal(centre, 0.02, 3)) for name, centre in centres.items()})
    answer, _ = headline_of(records)
    best = comparison_of(records).best
    first = answer.partition(":")[0]
    if len(best) == count:
        assert answer.startswith("No optimizer is shown to be better")
    else:
        assert first.startswith("Use ")
        assert {*first.removeprefix("Use ").replace(" or ", ", ").split(", ")} == {*best}


def test_many_names_are_counted():
    names = [f"o{number}" for number in range(12)]
    answer, _ = headline_of(confirm_records(noisy(dict.fromkeys(names, 0.4), 3)))
    assert "and 9 others" in answer


def test_who_is_passed_over_has_not_scored_lower():
    """The collapsed one has the higher score: of the other it is said that it alone was steady, not that it leads."""
    answer, _ = headline_of(confirm_records({"adam": [0.8, 0.001, 0.81], "sgd": [0.3, 0.31, 0.2]}))
    assert answer == (
        "No optimizer is shown to be better than another. Only sgd, AP 0.270, had no run that collapsed or failed. "
        "adam collapsed in 1 of 3 tunings: too unstable to place."
    )
    aps = {"adam": [0.8, 0.001, 0.81], "sgd": [0.3, 0.31, 0.2], "x": [0.31, 0.3, 0.22]}
    answer, _ = headline_of(confirm_records(aps))
    assert "x and sgd reached AP 0.270 to 0.277; x scored highest of these." in answer


def test_of_equals_none_scored_highest():
    answer, sure = headline_of(confirm_records({"adam": [0.5, 0.4, 0.3], "sgd": [0.5, 0.4, 0.3]}))
    assert answer == "No optimizer is shown to be better than another: adam and sgd reached AP 0.400."
    assert "A gap of" not in sure, "tunings without any spread say nothing of what they would have shown"


def test_one_that_never_completed_did_not_stay_under_a_score():
    records = confirm_records({"adam": [None] * 3, "sgd": [0.01] * 3, "x": [0.02] * 3})
    assert "2 of 3 optimizers stayed under AP 0.05" in headline_of(records)[0]


def test_one_whose_runs_all_failed_has_reached_nothing():
    records = confirm_records({"adam": [0.5, 0.51, 0.5], "sgd": [0.2, 0.21, 0.2]})
    records.loc[records["optimizer"] == "sgd", "status"] = "failed"
    assert headline_of(records)[0].endswith("more than each of the others. sgd failed in 3 of 3 runs.")


def test_one_without_a_complete_tuning_is_told():
    known = confirm_records({"adam": [0.50, 0.51, 0.52], "sgd": [0.20, 0.21, 0.20]})
    records = pd.concat([known, pd.DataFrame([record("new", phase="tune")])], ignore_index=True)
    assert "Not compared, because no tuning is complete: new." in headline_of(records)[1]
    assert "Not compared" not in headline_of(known)[1]


def test_unequal_numbers_of_tunings_are_told():
    records = confirm_records({"adam": [0.50, 0.51, 0.52], "sgd": [0.20, 0.21]})
    assert headline_of(records)[1].startswith("Each optimizer was tuned 2 to 3 times independently")


def test_equal_fates_are_one_sentence():
    answer, _ = headline_of(confirm_records({f"o{number}": [0.2 + number / 50, 0.001, 0.3] for number in range(12)}))
    assert answer.count("collapsed") == 1
    assert answer.endswith("and 9 others each collapsed in 1 of 3 tunings.")


@pytest.mark.parametrize(
    "aps", [{"adam": [None] * 3, "sgd": [None] * 3}, {"adam": [0.01] * 3, "sgd": [0.02] * 3}, {"adam": [0.5]}]
)
def test_there_are_no_numbers_where_nothing_is_recommended(aps):
    records = confirm_records(aps)
    assert headline_metrics(summary_of(records), comparison_of(records), comparison_of(records).best) == {}


def test_the_numbers_are_those_of_the_answer():
    records = confirm_records({"adam": [0.8, 0.001, 0.81], "sgd": [0.3, 0.31, 0.2]})
    numbers = headline_metrics(summary_of(records), comparison_of(records), comparison_of(records).best)
    assert numbers == {"ap": pytest.approx(0.27), "best_optimizers": 2.0}
