"""Studies of the first protocol, which tuned each optimizer once: refused by name, whatever is asked of them."""

import json
import re

import pytest

from bench.kinds.optimizers.size import Size
from bench.kinds.optimizers.spec import StudySpec
from bench.ledger.store import Ledger
from bench.records.reader import SPEC_TAG
from bench.records.writer import Tracker
from posemodel.errors import SettingsError
from tests.support.plans import first_trials

REFUSED = r"study old: is of the first protocol, which tuned each optimizer once; posebench 0\.1 reads it and goes on"


@pytest.fixture
def document(valley_spec):
    """What version 0.1 stored of a study."""
    stored = valley_spec(name="old", tunings=1).model_dump(mode="json")
    return {name: value for name, value in stored.items() if name != "tunings"}


@pytest.fixture
def stores(valley_spec, document, storage_url, tracking_uri, monkeypatch):
    """Both stores hold it, and a study of this version beside it."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", tracking_uri)
    monkeypatch.setenv("POSEBENCH_STORAGE", storage_url)
    spec = valley_spec(name="old", tunings=1)
    identity = {name: value for name, value in spec.identity().items() if name != "tunings"}
    Ledger(storage_url, "old", identity)
    tracker = Tracker(tracking_uri, "old")
    tracker.client.set_tag(tracker.open_study(spec, {}), SPEC_TAG, json.dumps(document))
    new = valley_spec(name="new")
    Ledger(storage_url, "new", new.identity()).enqueue(first_trials(new))


def test_its_document_is_refused(document):
    for read in (StudySpec.from_stored, Size.of):
        with pytest.raises(SettingsError, match=REFUSED):
            read(document)
    assert StudySpec.from_stored({**document, "tunings": 1}).tunings == 1


@pytest.mark.parametrize(
    "arguments",
    [
        ("study", "status", "old"),
        ("study", "status", "old", "--json"),
        ("report", "old"),
        ("study", "optimizers", "--preset", "smoke", "--device", "cpu", "--study", "valley.toml", "--name", "old"),
    ],
    ids=["status", "status as JSON", "report", "going on with it, or showing it again"],
)
def test_every_command_refuses_it(stores, posebench, valley_file, hermetic, arguments):
    valley_file()
    code, out, err = posebench(*arguments)
    assert (code, out) == (2, "")
    assert re.search(REFUSED, " ".join(err.split()))
    assert "another --name" in " ".join(err.split())
    assert not (hermetic / "reports" / "old").exists()


def test_others_are_listed_beside_it(stores, posebench):
    code, out, err = posebench("study", "list")
    assert code == 0
    assert "new" in out
    assert re.search(REFUSED, " ".join((out + err).split()))
