"""Studies made larger: what they record and say is what a study says that was planned so from the start."""

import copy
import json
import shutil

import pandas as pd
import pytest

from tests.support.killed_moment import Moment
from tests.support.killed_runs import killed_at
from tests.support.place import Place
from tests.support.valley import VALLEY

STUDY_FILE = f"""
kind = "optimizers"
optimizers = ["sgd", "adam"]
tunings = 2
trials = 1
seeds = 1
tune_steps = 20
steps = 20
evaluations = 2
batch_size = 2
device = "cpu"

[workload]
name = "{VALLEY}"
"""
BEFORE = 8
"""Trials of the study before it is extended."""
OWN = "tests.support.toy_optimizer.SignSGD"
SMOKE = ("study", "optimizers", "--preset", "smoke", "--study", "own.toml")
EXTEND = ("study", "extend", "mine", "--tunings", "3", "--json")
ADD = ("study", "optimizers", "--add", OWN, "mine", "--json")
EXTENDED = "bench.ledger.store:Ledger.extend"
OPENED_STUDY = "bench.records.writer:Tracker.open_study"
RECORDED = "bench.records.writer:Tracker.record_trial"
TIMED = ("_s", "_s_sum", "_ms", "_seconds", "_share", "run_id")
COLUMNS = ["trial_id", "optimizer", "tuning", "round", "phase", "seed", "status", "hyperparameters", "ap", "steps_done"]


def prepared(folder):
    place = Place(folder / "here")
    (place.folder / "own.toml").write_text(STUDY_FILE)
    return place


def ran(place, *arguments):
    process = place.run(*arguments)
    assert process.returncode == 0, process.stderr
    return json.loads(process.stdout)


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """The study before it is extended, run once."""
    place = prepared(tmp_path_factory.mktemp("small"))
    ran(place, *SMOKE, "--name", "mine", "--json")
    return place


@pytest.fixture
def place(small, tmp_path):
    """A copy of it, for a test of its own."""
    place = copy.copy(small)
    place.folder = tmp_path / "here"
    shutil.copytree(small.folder, place.folder)
    return place


def said(document):
    """What a study says that depends on no clock, but for its name and the order in which it was planned."""
    if isinstance(document, dict):
        left_out = ("study", "name", "report", "added", "command")
        return {
            key: said(value)
            for key, value in document.items()
            if key not in left_out and not key.endswith(TIMED) and "equal_seconds" not in key
        }
    return [said(each) for each in document] if isinstance(document, list) else document


def records(place, name):
    found = pd.read_csv(place.folder / "reports" / name / "records.csv")[COLUMNS]
    return found.sort_values("trial_id", ignore_index=True)


@pytest.fixture(scope="module")
def looked(tmp_path_factory):
    """A study that was planned with three tunings and a look at two: its place and document."""
    place = prepared(tmp_path_factory.mktemp("planned"))
    (place.folder / "looked.toml").write_text(STUDY_FILE.replace("tunings = 2", "tunings = 3\nlooks = [2]"))
    return place, ran(place, *SMOKE[:-1], "looked.toml", "--name", "looked", "--json")


@pytest.fixture(scope="module")
def three(tmp_path_factory):
    """A study that was planned with three optimizers."""
    place = prepared(tmp_path_factory.mktemp("planned"))
    return place, ran(place, *SMOKE, "--optimizers", f"sgd,adam,{OWN}", "--name", "three", "--json")


def same_as(place, document, planned_place, planned_document):
    name = planned_document["study"]
    pd.testing.assert_frame_equal(records(place, "mine"), records(planned_place, name))
    ours, theirs = said(document), said(planned_document)
    assert {key for key in theirs if ours.get(key) != theirs[key]} - {"spec", "paste", "machine"} == set()
    assert document["verdict"] == planned_document["verdict"]


@pytest.mark.long
def test_more_tunings_give_what_a_study_gives_that_was_planned_so(place, looked):
    found = ran(place, *EXTEND)
    assert found["spec"]["looks"] == [2]
    same_as(place, found, *looked)
    assert ran(place, "study", "resume", "mine", "--json") == found, "it has ended, and is shown again"
    again = place.run(*SMOKE, "--name", "mine")
    assert again.returncode == 2
    assert "tunings: 3 -> 2" in again.stderr
    assert "`posebench study resume mine` goes on with it" in again.stderr


def test_an_optimizer_that_is_added_gives_what_a_study_gives_that_had_it(place, three):
    found = ran(place, *ADD)
    assert found["spec"]["optimizers"] == ["sgd", "adam", OWN]
    assert "looks" not in found["spec"], "whose claims are made anew, over all pairs"
    same_as(place, found, *three)
    assert ran(place, *SMOKE, "--optimizers", f"sgd,adam,{OWN}", "--name", "mine", "--json") == found


@pytest.mark.long
def test_killed_in_the_middle_it_goes_on_to_the_same_end(place, looked):
    """With an optimizer that is added: tests/proofs/test_more_kills.py."""
    goes_on(place, looked, EXTEND)


def goes_on(place, planned, command):
    killed_at(place, Moment(EXTENDED, "after"), *command)  # the ledger knows, MLflow does not
    resumed = ("study", "resume", "mine", "--json")
    killed_at(place, Moment(OPENED_STUDY, "after"), *resumed)
    killed_at(place, Moment(RECORDED, "after", call=3), *resumed)
    shown = ran(place, "study", "status", "mine", "--json")
    assert shown["status"] == "unfinished"
    assert shown["trials"]["done"] in (BEFORE + 2, BEFORE + 3), "the third may be recorded and not closed"
    same_as(place, ran(place, *resumed), *planned)
