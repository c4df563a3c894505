"""Studies that are judged by validation loss, through the command line, to their end."""

import json

import pandas as pd
import pytest

from tests.support.blind_valley import BLIND_VALLEY
from tests.support.place import VALLEY_FILE, WORKERS, Place, PosePlace

VALLEY_LOSS_FILE = f"""
kind = "optimizers"
optimizers = ["sgd", "adam"]
tunings = 2
trials = 4
seeds = 1
tune_steps = 8
steps = 16
evaluations = 2
batch_size = 2
confirm_unscored = false
device = "cpu"

[workload]
name = "{BLIND_VALLEY}"
"""
POSE_LOSS_FILE = """
kind = "optimizers"
network = "small"
size = 64
optimizers = ["sgd", "adam"]
tunings = 1
trials = 2
seeds = 1
tune_steps = 12
steps = 12
evaluations = 2
batch_size = 4
confirm_unscored = false
score = "val_loss"
device = "cpu"
"""
TUNED, CONFIRMED = 2 * 2 * 4, 2 * 2
LOSS = {"name": "val_loss", "direction": "minimize"}


def study(place, *more):
    study_file = ("--study", "tiny.toml", "--data", "people", "--json")
    return place.run("study", "optimizers", "--preset", "smoke", *study_file, *more)


def records_of(place, document):
    return pd.read_csv((place.folder / document["report"]).with_name("records.csv"))


def pages_of(place, document):
    folder = (place.folder / document["report"]).parent
    return {name: (folder / name).read_text(encoding="utf-8") for name in ("report.md", "appendix.md", "report.html")}


@pytest.fixture(scope="module")
def judged(tmp_path_factory):
    place = Place(tmp_path_factory.mktemp("judged") / "here", VALLEY_LOSS_FILE)
    place.drawn = True
    done = study(place, "--score", "val_loss")
    assert done.returncode == 0, done.stderr
    return place, done


def test_where_ap_stays_at_0_the_study_is_confirmed_and_compared(judged):
    place, done = judged
    found = json.loads(done.stdout)
    assert (found["score"], found["spec"]["score"]) == (LOSS, "val_loss")
    assert (found["status"], found["comparable"]) == ("complete", True)
    assert (found["trials"]["recorded"], found["trials"]["planned"]) == (TUNED + CONFIRMED,) * 2
    records = records_of(place, found)
    assert (records["ap"] < 0.02).all()
    for row in found["optimizers"]:
        own = records[(records["optimizer"] == row["name"]) & (records["phase"] == "confirm")]
        assert row["val_loss_mean"] == pytest.approx(own["val_loss"].mean())
        assert row["skill_mean"] == pytest.approx((1 - own["val_loss"] / own["reference_loss"]).mean())
        assert row["ap_mean"] == pytest.approx(own["ap"].mean())
        assert row["ap_low"] is None
        selected = 1 - own["val_loss_select"] / own["reference_loss_select"]
        assert [each["skill_select"] for each in row["finalists"]] == pytest.approx(list(selected))
    assert "sgd" in found["answer"] and "validation loss " in found["answer"]
    assert "validation loss" in done.stderr, "each trial's line says it"


def test_its_pages_call_nothing_ap_but_what_to_compare_by_later(judged):
    place, done = judged
    pages = pages_of(place, json.loads(done.stdout))
    assert pages["report.md"].count("Skill: the share by which") == 1
    assert "| optimizer | validation loss | skill [95 %]" in pages["report.md"]
    for text in (pages["report.md"], pages["appendix.md"]):
        words = " ".join(text.replace("\n> ", " ").split())
        assert " AP" not in words.replace("compare by AP as soon as it is above chance", "")


def test_status_shows_losses(judged):
    place, _ = judged
    status = json.loads(place.run("study", "status", place.name, "--json").stdout)
    assert status["status"] == "complete"
    assert {"best_tune_val_loss", "mean_confirm_val_loss", "best_tune_ap"} <= status["optimizers"][0].keys()
    assert "best loss" in place.run("study", "status", place.name).stdout


def test_another_score_is_another_study_and_cannot_be_compared_with_it(judged):
    place, _ = judged
    refused = study(place)
    assert refused.returncode == 2
    assert "score: 'val_loss' -> its default" in refused.stderr
    other = study(place, "--name", "by-ap")
    assert other.returncode == 0, other.stderr
    assert json.loads(other.stdout)["answer"].startswith("Nothing scored")
    assert "--score val_loss" in json.loads(other.stdout)["answer"]
    refused = place.run("compare", place.name, "by-ap")
    assert refused.returncode == 2
    assert "their scores differ (val_loss and ap)" in refused.stderr


@pytest.mark.long
def test_two_of_them_are_compared_in_skill(judged):
    place, _ = judged
    again = study(place, "--score", "val_loss", "--plan-seed", "5", "--name", "again")
    assert again.returncode == 0, again.stderr
    done = place.run("compare", place.name, json.loads(again.stdout)["report"].removesuffix("/report.md"), "--json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["score"] == LOSS
    assert found["optimizers"][0]["ap_a"] is None
    assert found["optimizers"][0]["skill_a"] > 0.02
    assert "kill " in found["verdict"]
    assert "skill in A" in place.run("compare", place.name, "again").stdout


@pytest.mark.long
def test_any_number_of_workers_gives_the_same_trials(judged, tmp_path):
    place, done = judged
    other = Place(tmp_path / "here", VALLEY_LOSS_FILE)
    other.forked_starts = WORKERS
    ran = study(other, "--score", "val_loss", "--workers", "2")
    assert ran.returncode == 0, ran.stderr
    finished = (place, json.loads(done.stdout)), (other, json.loads(ran.stdout))
    alone, together = ({*records_of(*each)["trial_id"]} for each in finished)
    assert alone == together


@pytest.mark.long
def test_it_is_extended_as_any_study(judged, tmp_path):
    place = Place(tmp_path / "here", VALLEY_LOSS_FILE)
    assert study(place, "--score", "val_loss").returncode == 0
    done = place.run("study", "extend", place.name, "--tunings", "3", "--json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert (found["score"], found["tunings"]) == (LOSS, 3)
    assert found["trials"]["recorded"] == (TUNED + CONFIRMED) * 3 // 2


def test_a_workload_without_a_reference_is_refused(tmp_path):
    place = Place(tmp_path / "here", VALLEY_FILE)
    refused = study(place, "--score", "val_loss")
    assert refused.returncode == 2
    assert "`reference_loss`" in refused.stderr


@pytest.mark.long
def test_a_real_network_is_judged_by_its_loss_on_each_split(tmp_path):
    place = PosePlace(tmp_path / "here", POSE_LOSS_FILE)
    done = study(place)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    records = records_of(place, found)
    tune, confirm = (records[records["phase"] == phase] for phase in ("tune", "confirm"))
    assert (len(tune), len(confirm)) == (4, 2)
    references = [*tune["reference_loss"], *confirm["reference_loss_select"]]
    assert references == pytest.approx([references[0]] * len(references), rel=1e-5), "both of the select split"
    assert len({*confirm["reference_loss"]}) == 1
    assert (confirm["val_loss_select"] > 0).all()
    skills = 1 - confirm["val_loss"] / confirm["reference_loss"]
    assert sorted(row["skill_mean"] for row in found["optimizers"]) == pytest.approx(sorted(skills.clip(lower=0)))
