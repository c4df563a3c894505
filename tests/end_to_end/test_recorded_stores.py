"""Studies that an earlier version began: they are reported as they were, and an interrupted one is brought to its end.

Those of the first protocol are refused. See `tests.support.recorded_stores`.
"""

import hashlib
import json

import pandas as pd
import pytest

from tests.support.long_tests import long
from tests.support.recorded_stores import ARCHIVES, FINISHED, FIRST_PROTOCOL, INTERRUPTED, KINDS, command, unpack


@pytest.fixture(params=KINDS)
def recorded(request, tmp_path):
    """A kind, and the place of its studies."""
    return request.param, unpack(ARCHIVES[request.param], tmp_path / "here")


def texts(folder):
    kept = (".md", ".csv", ".toml", ".json")
    return {path.name: path.read_text() for path in folder.iterdir() if path.suffix in kept}


def ids(place, kind, name):
    """Of the trials, or measurements, that a study's report names."""
    file, column = ("measurements.csv", "id") if kind == "loaders" else ("records.csv", "trial_id")
    return list(pd.read_csv(place.folder / "reports" / name / file)[column])


@pytest.mark.parametrize("name", [INTERRUPTED, long(FINISHED)])
def test_the_report_is_the_one_that_was_made_then(recorded, name):
    _, place = recorded
    folder = place.folder / "reports" / name
    before = texts(folder)
    assert {"report.md", "result.json"} <= {*before}
    for file in folder.iterdir():
        file.unlink()
    done = place.run("report", name, "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == json.loads((place.folder / f"{name}.json").read_text())
    assert texts(folder) == before


@pytest.mark.parametrize("kind", [long("optimizers"), "joint"])
def test_a_finished_study_is_shown_again_and_an_interrupted_one_goes_on(kind, tmp_path):
    """Measurements of loaders take seconds: tests/proofs/test_recorded_loaders.py."""
    goes_on(kind, unpack(ARCHIVES[kind], tmp_path / "here"))


def goes_on(kind, place):
    """Both studies of a kind, by their commands."""
    runs, known = place.recorded(), ids(place, kind, INTERRUPTED)
    again = place.run(*command(kind, FINISHED), "--json")
    assert again.returncode == 0, again.stderr
    assert json.loads(again.stdout) == json.loads((place.folder / f"{FINISHED}.json").read_text())
    assert place.recorded() == runs

    last = place.run(*command(kind, INTERRUPTED), "--json")
    assert last.returncode == 0, last.stderr
    found = json.loads(last.stdout)
    assert (found["status"], found["trials"]["failed"]) == ("complete", 0)
    ended = ids(place, kind, INTERRUPTED)
    assert len(ended) == len({*ended}) == found["trials"]["recorded"]
    assert {*known} < {*ended}
    if kind == "optimizers":
        assert {*ended} == {*ids(place, kind, FINISHED)}, "the same settings: the same trials"
    listed = json.loads(place.run("study", "list", "--json").stdout)["studies"]
    assert {(each["study"], each["kind"], each["status"]) for each in listed} == {
        (FINISHED, kind, "complete"),
        (INTERRUPTED, kind, "complete"),
    }


def contents(folder):
    """Hash of every file of a folder."""
    return {path: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("name", [FINISHED, long(INTERRUPTED)])
def test_a_study_of_the_first_protocol_is_refused_and_stays_as_it_is(name, tmp_path):
    place = unpack(FIRST_PROTOCOL, tmp_path / "here")
    before = contents(place.folder)
    for verb in (command("optimizers", name), ("report", name), ("study", "status", name), ("compare", name, name)):
        done = place.run(*verb)
        assert (done.returncode, done.stdout) == (2, ""), (verb, done.stdout)
        said = done.stderr.splitlines()[-1]
        assert f"study {name}: is of the first protocol" in said, verb
        assert "posebench 0.1 reads it and goes on with it" in said
        assert "Traceback" not in done.stderr
    assert contents(place.folder) == before
