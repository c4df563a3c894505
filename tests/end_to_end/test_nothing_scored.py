"""Studies in which nothing scores, through the command line: they stop, say so, and recommend nothing."""

import json

import pandas as pd
import pytest

from bench.records.writer import Tracker
from tests.support.blind_valley import BLIND_VALLEY
from tests.support.place import WORKERS, Place, PosePlace

BLIND_FILE = f"""
kind = "optimizers"
optimizers = ["sgd", "adam"]
tunings = 2
trials = 3
seeds = 1
tune_steps = 4
steps = 8
evaluations = 2
batch_size = 2
confirm_unscored = false
device = "cpu"

[workload]
name = "{BLIND_VALLEY}"
"""
TUNED = 2 * 2 * 3
JOINT_FILE = f"""
kind = "joint"
optimizers = ["sgd", "adam"]
trials = 3
startup_trials = 2
images = 40
seeds = 1
num_workers = [0]
pin_memory = [false]
batch_size = [2]
device = "cpu"
fixed = []

[workload]
name = "{BLIND_VALLEY}"
"""
POSE_FILE = """
kind = "optimizers"
network = "small"
size = 64
optimizers = ["sgd", "adam"]
tunings = 1
trials = 3
seeds = 1
tune_steps = 4
steps = 4
batch_size = 2
confirm_unscored = false
device = "cpu"
"""


def study(place, kind="optimizers", *more):
    return place.run("study", kind, "--preset", "smoke", "--study", "tiny.toml", "--data", "people", "--json", *more)


def read_page(place, document):
    page = (place.folder / document["report"]).read_text(encoding="utf-8")
    return " ".join(page.replace("\n> ", " ").split())


def records_of(place, done):
    return pd.read_csv((place.folder / json.loads(done.stdout)["report"]).with_name("records.csv"))


@pytest.fixture(scope="module")
def blind(tmp_path_factory):
    place = Place(tmp_path_factory.mktemp("blind") / "here", BLIND_FILE)
    return place, study(place)


def test_the_study_ends_with_its_tune_trials_and_says_that_nothing_scored(blind):
    place, done = blind
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert (found["status"], found["best"], found["comparable"]) == ("complete", [], False)
    assert (found["trials"]["recorded"], found["trials"]["planned"]) == (TUNED, TUNED)
    assert found["verdict"].startswith(f"Nothing scored: all {TUNED} tune trials ended under AP 0.02")
    assert found["answer"] == found["verdict"]
    assert "--tune-steps" in found["verdict"]
    assert "--size" not in found["verdict"], "a valley has none"
    assert found["needed"]["low"] is None
    assert "this workload" in found["needed"]["why"]
    for each in found["optimizers"]:
        assert [each[name] for name in ("rank", "ap_mean", "score_mean", "n", "tunings")] == [None, None, None, 0, 0]
        assert each["finalists"] == []
    assert "```" not in (place.folder / found["report"]).read_text(), "no line to paste, no command"
    page = read_page(place, found)
    assert page.count("Nothing scored") == 1
    assert "In the study's order: no trial scored." in page
    assert f"[{TUNED}/{TUNED}]" in done.stderr, "the last trial is the last"


def test_status_and_list_call_it_complete(blind):
    place, _ = blind
    status = json.loads(place.run("study", "status", place.name, "--json").stdout)
    assert (status["status"], status["trials"]["planned"], status["trials"]["waiting"]) == ("complete", TUNED, 0)
    assert (status["phases"]["confirm"]["planned"], status["seconds_left"]) == (0, 0)
    listed = json.loads(place.run("study", "list", "--json").stdout)["studies"]
    assert [(each["status"], each["done"], each["planned"]) for each in listed] == [("complete", TUNED, TUNED)]
    assert "complete" in place.run("study", "status", place.name).stdout


def test_mlflow_has_the_sentence_and_no_figure(blind):
    place, _ = blind
    tracker = Tracker(f"sqlite:///{place.folder / 'mlflow.db'}", place.name, create=False)
    assert tracker.finished()
    assert {*tracker.records()["phase"]} == {"tune"}


def test_run_again_it_is_shown_and_nothing_more_is_run(blind):
    place, done = blind
    again = study(place)
    assert again.returncode == 0, again.stderr
    first, second = json.loads(done.stdout), json.loads(again.stdout)
    for changing in ("time", "machine"):
        first.pop(changing, None)
        second.pop(changing, None)
    assert first == second


@pytest.mark.long
def test_any_number_of_workers_gives_the_same_trials(blind, tmp_path):
    place, done = blind
    other = Place(tmp_path / "here", BLIND_FILE)
    other.forked_starts = WORKERS
    ran = study(other, "optimizers", "--workers", "2")
    assert ran.returncode == 0, ran.stderr
    alone, together = ({*records_of(*each)["trial_id"]} for each in ((place, done), (other, ran)))
    assert alone == together
    assert len(alone) == TUNED


@pytest.mark.long
def test_longer_trials_score_and_are_confirmed(tmp_path):
    place = Place(tmp_path / "here", BLIND_FILE.replace("tune_steps = 4", "tune_steps = 40") + "blind = 0.5\n")
    found = json.loads(study(place).stdout)
    assert found["trials"]["recorded"] == TUNED + 4
    assert "needed" not in found
    assert all(each["n"] == 2 for each in found["optimizers"])


def test_joint_picks_are_not_trained_again(tmp_path):
    place = Place(tmp_path / "here", JOINT_FILE)
    done = study(place, "joint")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert (found["status"], found["trials"]["recorded"], found["trials"]["planned"]) == ("complete", 3, 3)
    assert found["recommended"] == {} or not found["recommended"]
    assert "So nothing was trained again." in found["verdict"]
    assert "--images" in found["verdict"]
    assert found["needed"]["unit"] == "image"


@pytest.mark.long
def test_a_real_network_says_how_its_loss_stands(tmp_path):
    place = PosePlace(tmp_path / "here", POSE_FILE)
    done = study(place)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["verdict"].startswith("Nothing scored: all 6 tune trials ended under AP 0.02")
    assert "`--weights`" not in found["verdict"], "plain text"
    assert "--weights" in found["verdict"]
    assert found["needed"]["length"] == 4
    assert "## Validation loss reached" in read_page(place, found)
    records = records_of(place, done)
    assert len(records["reference_loss"].unique()) == 1, "of the split, whatever the weights"
    assert (records["reference_loss"] > 0).all()
