"""The verdict on hand-made studies: what it must say, and what it must not."""

import re
from itertools import pairwise

import numpy as np
import pandas as pd
import pytest

from bench.kinds.optimizers.analysis.verdict import SCOPE
from tests.support.records import SIX, comparison_of, confirm_records, noisy, record, text_of

CLEAR = {"adam": [0.50, 0.51, 0.505], "adagrad": [0.40, 0.405, 0.41], "sgd": [0.20, 0.21, 0.208]}


def test_every_verdict_ends_with_its_scope():
    studies = [
        pd.DataFrame(),
        pd.DataFrame([record("adam", phase="tune")]),
        confirm_records({"adam": [0.5], "sgd": [0.2]}),
        confirm_records(noisy({"adam": 0.5, "sgd": 0.2}, 3)),
        confirm_records({"adam": [0.01] * 3, "sgd": [0.02] * 3}),
    ]
    assert all(text_of(study).endswith(SCOPE) for study in studies)
    assert "procedures (an optimizer tuned with this budget, then trained)" in SCOPE


def test_verdict_of_a_study_that_has_only_begun():
    assert "No confirm trial has finished yet:" in text_of(pd.DataFrame())
    assert "No confirm trial has finished yet (1 tune trial so far)" in text_of(
        pd.DataFrame([record("adam", phase="tune")])
    )


def test_verdict_of_a_clear_winner():
    text = text_of(confirm_records(CLEAR))
    assert text.startswith("adam 0.505 [0.")
    assert "] is the best: it beats every other optimizer compared. adam beats adagrad 0.405 [0." in text
    assert re.search(r"\] and sgd 0\.206 \[[^]]+\] \(3 tunings each; largest adjusted p (= 0\.\d+|< 0\.001)\)\.", text)
    assert "adagrad beats sgd (3 tunings each; adjusted p " in text
    assert "missed" not in text, "nothing is left open"
    assert "lapse" not in text


def test_the_set_that_may_be_the_best_is_whom_nothing_beats():
    aps = {"adam": [0.50, 0.49, 0.51], "nesterov": [0.495, 0.5, 0.5], "sgd": [0.2, 0.21, 0.208], "x": [0.21, 0.2, 0.21]}
    text = text_of(confirm_records(aps))
    best = comparison_of(confirm_records(aps)).best
    assert best == ("adam", "nesterov")
    assert re.match(r"Unbeaten, so possibly the best: adam 0\.500 \[\S+ \S+\] and nesterov 0\.498 \[", text)
    assert "adam and nesterov both beat x 0.207 [0." in text
    assert re.search(r"Gaps of 0\.0\d\d AP would have been seen with power 0\.8, smaller ones often missed\.", text)
    gap = float(re.search(r"Gaps of (\S+) AP", text).group(1))
    assert gap == pytest.approx(comparison_of(confirm_records(aps)).detectable, abs=5e-4)


def test_a_winner_who_has_not_beaten_all_is_the_only_one_left():
    """Nothing beats adam alone, but it beats sgd only through the pooled spread of the others."""
    aps = {"adam": [0.5, 0.51, 0.5], "adagrad": [0.4, 0.405, 0.395], "sgd": [0.30, None, 0.36]}
    text = text_of(confirm_records(aps))
    assert text.startswith("Unbeaten, so possibly the best: adam 0.503 [")
    assert "; also unbeaten, but too unstable to place: sgd 0.330 (where it learned). adam beats adagrad" in text


def test_verdict_of_equals():
    text = text_of(confirm_records({name: [0.4 + 0.01 * k, 0.5 - 0.01 * k, 0.45] for k, name in enumerate(SIX)}))
    assert text.startswith("Unbeaten, so possibly the best: adabound 0.4")
    assert "No optimizer beats another. 3 tunings each; smallest adjusted p = 1.00." in text


@pytest.mark.parametrize(
    ("planned", "said"),
    [
        (1, "One tuning each, so the variation between tunings is unknown: no claim is possible."),
        (3, "One tuning each so far, so the variation between tunings is unknown: no claim is possible."),
    ],
)
def test_one_tuning_claims_nothing_however_many_seeds(planned, said):
    text = text_of(confirm_records({"adam": [[0.9] * 6], "sgd": [[0.1] * 6]}), planned=planned)
    assert text.startswith(f"{said} Measured AP: adam 0.900 and sgd 0.100.")
    assert "beat" not in text
    assert ("Not all tunings are complete: adam 1 and sgd 1 of 3." in text) == (planned == 3)


def test_verdict_of_a_constant_gap_says_that_t_is_undefined():
    text = text_of(confirm_records({"adam": [0.3, 0.4, 0.9], "sgd": [0.2, 0.3, 0.8]}))
    assert "3 tunings each; the tunings show no spread, so the t test is undefined." in text
    assert "No optimizer beats another." in text


@pytest.mark.parametrize(("low", "too_small"), [(3, False), (4, True), (6, True)])
def test_verdict_names_a_budget_that_is_too_small(low, too_small):
    means = {name: 0.03 if i < low else 0.4 for i, name in enumerate(SIX)}
    text = text_of(confirm_records(noisy(means, 3, sd=0.002)))
    assert ("budget is too small" in text) == too_small
    assert (" beat" in text) != too_small
    if low == 4:
        assert "4 of 6 optimizers have a mean AP under 0.05" in text
        assert re.search(r"Above it: (nesterov|sgd_momentum) 0\.\d+ \[[^]]+\] and (nesterov|sgd_momentum) 0\.", text)


def test_verdict_when_nothing_completed():
    rows = [record(name, 1 + r, tuning=r, status="failed") for name in ("adam", "sgd") for r in range(2)]
    assert "None of the 4 confirm trials completed" in text_of(pd.DataFrame(rows))


def test_collapses_are_counted_by_tuning_with_an_exact_interval():
    aps = {
        "adam": [0.50, 0.51, 0.505],
        "nesterov": [0.4, None, 0.41],
        "sgd": [0.01, None, 0.38],
        "x": [None, 0.0, 0.01],
    }
    text = text_of(confirm_records(aps))
    assert "nesterov found a setting that learns in 2 of 3 tunings (collapsed in 1 of 3: 0.8 to 91 %, too few " in text
    assert "sgd found a setting that learns in 1 of 3 tunings (collapsed in 2 of 3: 9.4 to 99 %, too few" in text
    assert "x learned nothing after 3 tunings (collapsed in 3 of 3: 29 to 100 %, too few for a rate)." in text
    assert "more often" not in text


def test_one_that_always_collapses_does_so_more_often_only_by_fisher_s_test():
    steady = {name: [0.4 + 0.01 * k for k in range(3)] for name in SIX[:5]}
    text = text_of(confirm_records(steady | {"sgd": [None] * 3}))
    assert "sgd collapses more often than the others (Fisher's exact p = 0.007)." in text
    few = {name: steady[name] for name in SIX[:2]}
    assert "more often" not in text_of(confirm_records(few | {"sgd": [None, 0.4, 0.4]}))


def test_failures_are_told_apart_from_collapses():
    records = confirm_records(CLEAR)
    records.loc[1, "status"] = "failed"
    tune = [record("sgd", phase="tune", index=k, status="out_of_memory" if k else "complete") for k in range(3)]
    text = text_of(pd.concat([records, pd.DataFrame(tune)], ignore_index=True))
    assert "Confirm trials that failed count as AP 0: adam 1 of 3." in text
    assert "Tune trials that failed: sgd 2 of 3." in text
    assert "collapsed in" not in text
    assert "is the best" not in text


def test_verdict_of_a_half_finished_study_says_who_waits():
    rows = pd.concat(
        [
            confirm_records({"adam": [0.5, 0.51, 0.52], "sgd": [0.3, 0.31]}),
            pd.DataFrame([record("late", phase="tune")]),
        ],
        ignore_index=True,
    )
    text = text_of(rows, planned=3)
    assert "No confirm trial yet: late." in text
    assert "Not all tunings are complete: adam 3 and sgd 2 of 3." in text
    assert "Not all tunings are complete: adam 3 and sgd 2." in text_of(rows)
    assert "Only adam 0.510 [" in text_of(confirm_records({"adam": [0.5, 0.51, 0.52]}))
    one = confirm_records({"adam": [[0.5, 0.5], [0.5]], "sgd": [[0.3], []]})
    assert text_of(one).startswith("Only adam 0.500 has a complete tuning")


def test_a_study_until_decided_waits_for_its_first_look():
    records = confirm_records({name: own[:2] for name, own in CLEAR.items()})
    assert text_of(records, until_decided=True).startswith(
        "The first planned comparison is still to come: no claim is possible."
    )
    whole = text_of(confirm_records(CLEAR), until_decided=True)
    assert "is the best" in whole or "Unbeaten, so possibly the best" in whole


def test_verdict_flags_a_chosen_value_at_the_border():
    records = confirm_records(CLEAR).assign(at_border="lr")
    assert "border of its range, so a better one may lie outside: adam (lr), adagrad (lr) and sgd (lr)." in text_of(
        records
    )


def test_verdict_turns_once_as_a_gap_grows():
    shown = []
    for gap in np.linspace(0.0, 0.1, 11):
        text = text_of(confirm_records(noisy({"adam": 0.4 + gap, "sgd": 0.4}, 4, seed=2)))
        shown.append("No optimizer beats another" in text)
        assert shown[-1] == ("beats sgd" not in text)
    assert shown[0]
    assert not shown[-1]
    assert sum(a != b for a, b in pairwise(shown)) == 1


def test_divergence_is_no_budget_that_is_too_small():
    """Four of six diverge in every tuning: the two that train have had enough steps."""
    records = confirm_records(noisy({name: 0.4 if name in ("adam", "nesterov") else 0.0 for name in SIX}, 3))
    lost = ~records["optimizer"].isin(["adam", "nesterov"])
    text = text_of(records.assign(status=records["status"].mask(lost, "diverged")))
    assert "budget is too small" not in text
    assert "learned nothing after 3 tunings each" in text
    assert "collapse more often than the others" in text


def test_a_tuning_that_collapsed_is_no_winner_s_proof():
    """Two equal optimizers; one lost a single tuning. The gap is one tuning's, and is not claimed."""
    for seed in range(5):
        aps = noisy({"adam": 0.5, "sgd": 0.5}, 3, sd=0.01, seed=seed)
        aps["sgd"][0] = None
        text = text_of(confirm_records(aps))
        assert "No optimizer beats another." in text
        assert "sgd found a setting that learns in 2 of 3 tunings" in text
