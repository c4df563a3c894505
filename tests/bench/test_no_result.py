"""Trials without a result are told with their reasons, counted by hand here."""

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.report.no_result import ENDED, all_in_trouble, failures, no_result_text, trouble_sentences
from bench.trials.status import Status


def rows(*ends, optimizer="adam"):
    """Of (status, error) each a row."""
    return pd.DataFrame([{"optimizer": optimizer, "status": status, "error": error} for status, error in ends])


FAILED, WIDE = ("failed", "RuntimeError: the end\nmore of it"), ("out_of_memory", "MemoryError: too wide")


def test_one_reason_is_told_with_its_count():
    text = no_result_text(rows(*[FAILED] * 12))
    assert text.startswith("All 12 trials failed: 12 times `RuntimeError: the end`. Fix the cause")
    assert "--name" in text


def test_the_only_trial():
    assert no_result_text(rows(WIDE)).startswith("The only trial ran out of memory: `MemoryError: too wide`. Take a sm")


@pytest.mark.parametrize(("length", "quoted"), [(300, "x" * 300), (301, "x" * 297 + "...")])
def test_a_long_reason_is_cut(length, quoted):
    assert f"`{quoted}`" in no_result_text(rows(("failed", "x" * length)))


def test_several_ends_are_told_apart():
    text = no_result_text(rows(FAILED, WIDE, FAILED, ("diverged", ""), ("timed_out", None)))
    assert text.startswith(
        "None of the 5 trials has a result: 2 failed (2 times `RuntimeError: the end`), 1 ran out of memory "
        "(`MemoryError: too wide`), 1 reached the time limit and 1 diverged. "
    )
    assert all(word in text for word in ("Fix the cause", "smaller batch_size", "trial_time_limit", "learning rates"))


def test_the_most_frequent_reasons_come_first_and_the_rest_is_counted():
    ends = [("failed", f"KeyError: {name}") for name in "abbcccdddd"] + [("failed", "KeyError: e")]
    assert "4 times `KeyError: d`, 3 times `KeyError: c`, 2 times `KeyError: b` and 2 times another reason." in (
        no_result_text(rows(*ends))
    )


@pytest.mark.parametrize(
    ("ends", "begins"),
    [
        ([("diverged", "")] * 4, "All 4 trials diverged. Search lower learning rates."),
        ([("pruned", "")] * 2, "All 2 trials were pruned."),
        ([("skipped", "would need 3 GB")] * 2, "All 2 trials were skipped: 2 times `would need 3 GB`."),
        ([("timed_out", "")], "The only trial reached the time limit."),
        ([("bus_error", "a worker died")] * 2, "All 2 trials met a bus error: 2 times `a worker died`. Give the conta"),
    ],
)
def test_every_end_has_its_words(ends, begins):
    assert no_result_text(rows(*ends)).startswith(begins)


def test_before_the_end_it_is_so_so_far():
    assert no_result_text(rows(FAILED, FAILED), remaining=3).startswith("All 2 trials so far failed: 2 times")


def test_nothing_is_said_where_something_was_found_out_or_nothing_has_been_tried():
    assert no_result_text(rows(FAILED, ("complete", ""))) == ""
    assert no_result_text(pd.DataFrame()) == ""
    assert not all_in_trouble(pd.DataFrame())
    assert failures(pd.DataFrame()) == []


def test_an_optimizer_that_always_failed_is_told_beside_the_others():
    both = pd.concat([rows(("complete", ""), optimizer="sgd"), rows(FAILED, FAILED, FAILED)], ignore_index=True)
    assert trouble_sentences(both) == [
        "All 3 trials of adam failed: 3 times `RuntimeError: the end`. Its AP of 0 says nothing about this optimizer."
    ]
    assert trouble_sentences(both, remaining=1) == [
        "All 3 trials of adam so far failed: 3 times `RuntimeError: the end`."
    ]
    assert trouble_sentences(rows(FAILED)) == [], "that no trial has a result is said of the study"
    diverging = pd.concat([rows(("complete", ""), optimizer="sgd"), rows(("diverged", ""), FAILED)], ignore_index=True)
    assert trouble_sentences(diverging) == [], "that an optimizer diverges is a result"


def test_divergence_everywhere_is_a_result_and_failure_is_none():
    assert not all_in_trouble(rows(("diverged", ""), ("diverged", "")))
    assert not all_in_trouble(rows(("complete", ""), FAILED))
    assert all_in_trouble(rows(FAILED, WIDE))
    assert all_in_trouble(rows(("skipped", "would need 3 GB")))


def test_failures_are_counted_by_status_and_reason():
    assert failures(rows(WIDE, FAILED, ("complete", ""), FAILED)) == [
        {"status": "failed", "error": "RuntimeError: the end", "count": 2},
        {"status": "out_of_memory", "error": "MemoryError: too wide", "count": 1},
    ]


@given(
    st.lists(
        st.tuples(st.sampled_from([str(status) for status in Status]), st.text(max_size=300) | st.none()), max_size=30
    )
)
def test_every_trial_without_a_result_is_counted_once(ends):
    found = rows(*ends)
    assert sum(each["count"] for each in failures(found)) == sum(status != "complete" for status, _ in ends)
    assert bool(no_result_text(found)) == (bool(ends) and all(status != "complete" for status, _ in ends))
    assert "\n" not in no_result_text(found)


def test_every_status_has_its_words():
    assert {*ENDED} >= {str(status) for status in Status} - {"complete"}
