"""The verdict on hand-made studies: what it must say, and what it must not."""

import re
from itertools import pairwise

import numpy as np
import pandas as pd
import pytest

from bench.kinds.optimizers.analysis.verdict import SCOPE
from tests.support.records import SIX, confirm_records, noisy, record, text_of


def test_every_verdict_ends_with_its_scope():
    studies = [
        pd.DataFrame(),
        pd.DataFrame([record("adam", phase="tune")]),
        confirm_records({"adam": [0.5], "sgd": [0.2]}),
        confirm_records(noisy({"adam": 0.5, "sgd": 0.2}, 5)),
        confirm_records({"adam": [0.01] * 3, "sgd": [0.02] * 3}),
    ]
    assert all(text_of(study).endswith(SCOPE) for study in studies)


def test_verdict_of_a_study_that_has_only_begun():
    assert "No confirm trial has finished yet:" in text_of(pd.DataFrame())
    assert "No confirm trial has finished yet (1 tune trial so far)" in text_of(
        pd.DataFrame([record("adam", phase="tune")])
    )


def test_verdict_of_a_clear_winner_and_of_a_tie():
    text = text_of(confirm_records(noisy({"adam": 0.5, "nesterov": 0.5, "adagrad": 0.3}, 10)))
    assert re.search(r"cannot be told apart from that of \w+ 0\.\d+ \[[^]]+\] \(n = 10, adjusted p = ", text)
    assert re.search(r"The configurations of \w+ and \w+ both beat that of adagrad 0\.", text)
    assert "AP could not have been seen" in text
    text = text_of(confirm_records(noisy({"adam": 0.5, "sgd": 0.2, "adagrad": 0.3}, 10)))
    assert text.startswith("This configuration of adam has the highest mean AP, 0.")
    assert "beats every other one compared. This configuration of adam beats those of adagrad 0." in text
    assert "This configuration of adagrad beats this configuration of sgd (adjusted p" in text
    assert "told apart" not in text


def tuned(records, trials):
    """The records with so many tune trials beside them, by optimizer."""
    tune = [record(name, phase="tune", index=k) for name, count in trials.items() for k in range(count)]
    return pd.concat([records, pd.DataFrame(tune)], ignore_index=True)


LUCK = "is luck that no interval shows, so nothing is claimed about the optimizers themselves."


@pytest.mark.parametrize(
    ("trials", "claimed", "luck"),
    [
        ({"adam": 4, "sgd": 4}, "(4 tuning trials each; adjusted p < 0.001).", "(once, with 4 trials)"),
        ({"adam": 1, "sgd": 1}, "(1 tuning trial each; adjusted p < 0.001).", "(once, with 1 trial)"),
        ({"adam": 4, "sgd": 2}, "(2 to 4 tuning trials each; adjusted p < 0.001).", "(once, with 2 to 4 trials)"),
        ({"adam": 4}, "(up to 4 tuning trials each; adjusted p < 0.001).", "(once, with up to 4 trials)"),
        ({}, "(adjusted p < 0.001).", "(once)"),
    ],
)
def test_a_claim_is_of_configurations_and_says_how_they_were_tuned(trials, claimed, luck):
    text = text_of(tuned(confirm_records(noisy({"adam": 0.5, "sgd": 0.2}, 10)), trials))
    assert re.search(r"This configuration of adam beats this configuration of sgd 0\.\d+ \[[^]]+\] \(", text)
    assert claimed in text
    assert text.endswith(f"How well each optimizer was tuned {luck} {LUCK} {SCOPE}")


def test_a_claim_counts_the_trials_of_its_own_optimizers():
    """Of three groups: the worst was tuned with other numbers of trials than the pair above it."""
    records = confirm_records(noisy({"adam": 0.5, "sgd": 0.4, "adagrad": 0.3}, 10))
    text = text_of(tuned(records, {"adam": 4, "sgd": 4, "adagrad": 1}))
    assert "beats those of sgd 0." in text
    assert "(1 to 4 tuning trials each; largest adjusted p < 0.001)." in text
    assert "This configuration of sgd beats this configuration of adagrad (1 to 4 tuning trials each; " in text


def test_several_configurations_share_a_claim():
    means = {"adam": 0.5, "nesterov": 0.5, "adagrad": 0.5, "sgd": 0.3, "adadelta": 0.3}
    text = text_of(tuned(confirm_records(noisy(means, 10, sd=0.005)), dict.fromkeys(means, 4)))
    assert re.search(r"The configurations of \w+, \w+ and \w+ all beat those of \w+ 0\.\d+ \[[^]]+\] and \w+ 0\.", text)
    assert "(4 tuning trials each; largest adjusted p < 0.001)." in text
    assert re.search(r"has the highest mean AP, 0\.\d+ \[[^]]+\], but cannot be told apart from those of ", text)


@pytest.mark.parametrize("text", [text_of(pd.DataFrame()), text_of(confirm_records({"adam": [0.5, 0.6]}))])
def test_where_nothing_is_compared_nothing_is_said_of_luck(text):
    assert "luck" not in text


def test_verdict_makes_no_claim_from_one_seed_or_equal_scores():
    text = text_of(confirm_records({"adam": [0.9], "sgd": [0.1]}))
    assert text.startswith("One seed each: no claim is possible.")
    text = text_of(confirm_records({name: [0.4, 0.5, 0.6] for name in SIX}))
    assert "cannot be told apart" in text
    assert "No configuration beats another." in text


def test_verdict_of_a_constant_gap_says_that_t_is_undefined():
    text = text_of(confirm_records({"adam": [0.3, 0.4, 0.9], "sgd": [0.2, 0.3, 0.8]}))
    assert re.search(r"cannot be told apart from that of sgd 0\.\d+ \[[^]]+\] \(n = 3, t undefined", text)


@pytest.mark.parametrize(("low", "too_small"), [(3, False), (4, True), (6, True)])
def test_verdict_names_a_budget_that_is_too_small(low, too_small):
    means = {name: 0.02 if i < low else 0.4 for i, name in enumerate(SIX)}
    text = text_of(confirm_records(noisy(means, 5, sd=0.002)))
    assert ("budget is too small" in text) == too_small
    assert (" beat" in text) != too_small


def test_verdict_when_nothing_completed():
    rows = [record(name, seed, status="failed") for name in ("adam", "sgd") for seed in range(2)]
    assert "None of the 4 confirm trials completed" in text_of(pd.DataFrame(rows))


def test_verdict_of_a_half_finished_study_says_who_waits():
    rows = [record("adam", s, ap=0.5 + 0.01 * s) for s in range(5)] + [record("sgd", s, ap=0.3) for s in range(4)]
    rows += [record("sgd", 4, status="diverged"), record("adagrad", phase="tune", at_border="lr")]
    text = text_of(pd.DataFrame(rows[:-2] + rows[-1:]))
    assert "Without a confirm trial so far: adagrad." in text
    assert "not complete: adam 5 and sgd 4 trials" in text
    text = text_of(pd.DataFrame(rows))
    assert "count as AP 0: sgd 1 of 5" in text
    assert "Only adam" in text_of(pd.DataFrame(rows[:5]))


def test_verdict_flags_a_best_value_at_the_border():
    records = confirm_records(noisy({"adam": 0.5, "sgd": 0.3}, 5)).assign(at_border="lr")
    assert "border of its range, a better one may lie outside: adam (lr) and sgd (lr)." in text_of(records)


def test_verdict_never_shows_a_p_above_the_level_as_the_level():
    shown = []
    for gap in np.linspace(0.0, 0.03, 31):
        records = confirm_records(noisy({"adam": 0.4 + gap, "sgd": 0.4}, 5, seed=2))
        text = text_of(records)
        shown.append("told apart" in text)
        assert not ("told apart" in text and "= 0.050)" in text)
    assert shown[0]
    assert not shown[-1]
    assert sum(a != b for a, b in pairwise(shown)) == 1


def test_an_optimizer_that_loses_is_not_said_to_beat_anybody():
    """The leader by mean has a seed less; on the shared seeds another beats it: pairs decide, means are over all."""
    aps = {"adam": [0.40, 0.41, 0.40, 0.42, 0.41, 0.40, 0.95], "sgd": [0.44, 0.46, 0.44, 0.46, 0.45, 0.45]}
    text = text_of(confirm_records(aps))
    assert text.startswith("This configuration of adam has the highest mean AP, 0.484 [")
    assert re.search(r"\], but that of sgd 0\.450 \[[^]]+\] beats it on the seeds that both have\.", text)
    assert "This configuration of sgd beats this configuration of adam (" in text
    assert "of adam beats" not in text


def test_divergence_is_no_budget_that_is_too_small():
    """Four of six diverge in every seed: the two that train have had enough steps."""
    records = confirm_records(noisy({name: 0.4 if name in ("adam", "nesterov") else 0.0 for name in SIX}, 5))
    lost = ~records["optimizer"].isin(["adam", "nesterov"])
    text = text_of(records.assign(status=records["status"].mask(lost, "diverged")))
    assert "budget" not in text.removesuffix(SCOPE)
    assert "count as AP 0: " in text
    assert "5 of 5" in text


@pytest.mark.parametrize("n", range(3, 11))
def test_a_constant_gap_is_no_claim_with_any_number_of_seeds(n):
    """A spread of 0 has no t: neither at few seeds, where the usual spread stands in, nor at many."""
    base = np.linspace(0.3, 0.4, n)
    text = text_of(confirm_records({"adam": base + 0.1, "sgd": base}))
    assert "t undefined" in text
    assert "beat" not in text


@pytest.mark.parametrize("n", range(3, 11))
def test_a_seed_that_collapsed_is_no_winner_s_proof(n):
    """Two equal optimizers; one lost a single seed to divergence. The gap is one seed's, and is not claimed."""
    records = confirm_records(noisy({"adam": 0.5, "sgd": 0.5}, n, sd=0.01, seed=n))
    one = (records["optimizer"] == "sgd") & (records["seed"] == 0)
    text = text_of(records.assign(status=records["status"].mask(one, "diverged")))
    assert "cannot be told apart" in text
    assert f"sgd 1 of {n}" in text
