"""What an optimizers study claims on simulated worlds: some families with few studies, and that the figures can fail.

All families with 1,000 studies each are a proof: tests/proofs/test_simulated_worlds.py. Bounds here are as wide as
chance: a study that keeps those of the proof exceeds one of these in less than one of 10,000 trials.
"""

import math

import pytest

from bench.kinds.optimizers.simulation import preset_study
from bench.statistics import nested
from tests.support import simulated_worlds as worlds
from tests.support.long_tests import long

STUDIES = 100
MOST_FALSE = 0.17
"""False claims: of 100 studies each with one in 6.5 % of cases, more have one in 0.008 % of cases."""
LEAST_COVERED = 0.82
"""Coverage: even were all intervals of a study covered together, in 93 % of cases, fewer are in 0.006 % of cases."""


@pytest.fixture(autouse=True)
def few_tunings_behind_a_truth(monkeypatch):
    monkeypatch.setattr(worlds, "TRUTH_STUDIES", 8)


def independent_runs(scores, *, floor):
    """What would be known were each run a tuning of its own: a fault."""
    return nested.tuning_spreads(scores.reshape(*scores.shape[:2], -1, 1), floor=floor)


@pytest.mark.parametrize(
    "family",
    [
        long("flat"),
        "0.4 decades",
        long("cliff at the best"),
    ],
)
def test_few_studies_make_a_false_claim_and_intervals_hold_the_truth(family):
    found = worlds.figures(preset_study(), family, STUDIES)
    assert found.false_claims <= MOST_FALSE
    assert found.coverage >= LEAST_COVERED


@pytest.mark.long
def test_where_nothing_learns_nothing_is_claimed_and_no_interval_is_given():
    found = worlds.figures(preset_study(), "none learns", STUDIES)
    assert found.false_claims <= MOST_FALSE
    assert math.isnan(found.coverage)


@pytest.mark.long
def test_runs_of_one_tuning_taken_as_independent_make_many_false_claims(monkeypatch):
    spec = preset_study(tunings=2, seeds=8)
    sound = worlds.figures(spec, "short runs mislead", STUDIES)
    monkeypatch.setattr(worlds, "tuning_spreads", independent_runs)
    monkeypatch.setattr(worlds, "pair_tests", lambda found: nested.pair_tests(found, margin=0.0))
    faulty = worlds.figures(spec, "short runs mislead", STUDIES)
    assert sound.false_claims <= MOST_FALSE
    assert faulty.false_claims > 0.3
    assert faulty.coverage < LEAST_COVERED < sound.coverage


def test_a_better_optimizer_is_found():
    """The figures see claims at all: equal optimizers have none."""
    spec = preset_study()
    assert worlds.power(spec, "0.4 decades", STUDIES, gap=0.08) > 0.8
    assert worlds.power(spec, "0.4 decades", STUDIES, gap=0.0) < 0.1
