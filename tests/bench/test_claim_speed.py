"""The benchmark of claims, on a study of a few hundred trials."""

import json

import pytest

from bench.ledger import claim_speed
from bench.ledger.store import Ledger
from posemodel.errors import SettingsError
from tests.support.forking_process import forked_starts


@pytest.fixture(autouse=True)
def few_claims(monkeypatch):
    monkeypatch.setattr(claim_speed, "CLAIMS", 2)


@pytest.mark.long
def test_claims_are_timed_and_their_study_is_deleted(storage_url):
    rows = claim_speed.measure(storage_url, trials=30, clients=2, repeats=3)
    assert [row.name for row in rows] == ["claim", "claim back to back"]
    for row in rows:
        assert row.repeats == 3
        assert row.median_ms > 0
        assert row.yardstick_ms > 0
        assert (row.facts["trials"], row.facts["clients"]) == (30, 2)
        assert row.facts["p95_ms"] > 0
        assert "asked_p95_ms" not in row.facts, "nothing is asked of a file"
    assert Ledger(storage_url, "other", {}).storage.get_all_studies()[0].study_name == "other"


def test_more_claims_than_trials_are_refused():
    with pytest.raises(SettingsError, match="--trials 25: 2 clients claim 26 of them"):
        claim_speed.measure(trials=25, clients=2, repeats=3)


def test_the_command_measures_a_temporary_file(posebench, hermetic):
    with forked_starts(claim_speed):
        code, out, err = posebench("speed", "ledger", "--trials", "30", "--clients", "2", "--repeats", "3", "--json")
    assert code == 0, err
    document = json.loads(out)
    assert [row["name"] for row in document["results"]] == ["claim", "claim back to back"]
    assert list(hermetic.iterdir()) == []


def test_a_storage_that_cannot_be_used_is_refused_in_words(posebench):
    code, _, err = posebench("speed", "ledger", "--storage", "postgres://here/x")
    assert code == 2
    assert "postgresql://" in err
