"""A joint study through the command line: searched, confirmed, reported; killed, joined, and cut short."""

import json
import os
import shutil
import signal
import sqlite3
from collections import Counter

import pandas as pd
import pytest

from tests.support.killed_moment import OPENED, Moment
from tests.support.killed_runs import killed_at
from tests.support.long_tests import long
from tests.support.place import MEASURING, Place, PosePlace
from tests.support.running_study import DEADLINE_S, ended, wait_for
from tests.support.valley import VALLEY

STUDY_FILE = """
kind = "joint"
optimizers = ["sgd", "adam"]
num_workers = [0]
pin_memory = [false]
batch_size = [2, 4]
trials = 4
startup_trials = 4
images = 160
seconds = 1.5
seeds = 2
device = "cpu"

[[fixed]]
optimizer = "adam"
lr = 6e-3
one_minus_beta1 = 0.1
batch_size = 4
"""
VALLEY_TABLE = f"""
[workload]
name = "{VALLEY}"
sleep_ms = 4
"""
POSE_SETTINGS = """
network = "small"
size = 64
augment = false
foreground_weight = 8.0
"""
SEARCHED, SEEDS = 4, 2
NAME = "joint-smoke-people"
COMMAND = ("study", "joint", "--preset", "smoke", "--study", "joint.toml", "--data", "people", "--json")
CHOICES = ["optimizer", "hyperparameters", "batch_size", "num_workers", "pin_memory", "seed"]

COMMIT = "sqlalchemy.engine.default:DefaultDialect.do_commit"
CLAIM, ENQUEUE, SETTLE, FINISH = (
    f"bench.ledger.store:Ledger.{name}" for name in ("claim", "enqueue", "store_choice", "finish")
)
MOMENTS = {
    "while the places are enqueued": Moment(COMMIT, within=ENQUEUE),
    # Trial 0.
    "after the claim": Moment(COMMIT, "after", within=CLAIM),
    "between two choices": Moment("optuna.storages:RDBStorage._set_trial_param", call=2),
    "before the choices are kept": Moment(SETTLE),
    "between MLflow's end and the ledger's": Moment(FINISH),
    # Trial 1.
    "after the choices are kept": Moment(SETTLE, "after"),
    "while it trains": Moment("torch.optim:Optimizer.zero_grad", call=2),
    # Trial 2.
    "in an open transaction of the ledger": Moment(COMMIT, within=FINISH),
    # Trial 3, and after.
    "before the picks are planned": Moment(ENQUEUE, call=2),
    "while the picks are planned": Moment(COMMIT, call=2, within=ENQUEUE),
    "while a pick is scored on the other split": Moment("tests.support.valley:scored_again"),
    "before a figure": Moment(OPENED, match=f"reports/{NAME}/pareto.png"),
}
"""In the order in which one study meets them."""


def prepare(place):
    (place.folder / "joint.toml").write_text(STUDY_FILE + VALLEY_TABLE)
    return place


def prepare_pose(place):
    """All splits have the same few people: what is learned by heart is scored, in seconds."""
    (place.folder / "joint.toml").write_text(POSE_SETTINGS + STUDY_FILE)
    images, annotations = place.folder / "people" / "images", place.folder / "people" / "annotations"
    for split in ("select", "val"):
        shutil.rmtree(images / f"{split}2017")
        shutil.copytree(images / "train2017", images / f"{split}2017")
        shutil.copy(annotations / "person_keypoints_train2017.json", annotations / f"person_keypoints_{split}2017.json")
    for left in ("synthetic.json", "synthetic.checksums.json"):
        (place.folder / "people" / left).unlink()
    return place


def records(place):
    return pd.read_csv(place.folder / "reports" / NAME / "records.csv")


def run_through(place):
    process = place.run(*COMMAND)
    assert process.returncode == 0, process.stderr
    return place, json.loads(process.stdout)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """The study run once through."""
    return run_through(prepare(Place(tmp_path_factory.mktemp("joint") / "here")))


@pytest.fixture(scope="module")
def posed(tmp_path_factory):
    """The same with a pose network."""
    place = prepare_pose(PosePlace(tmp_path_factory.mktemp("joint") / "here"))
    place.forked_starts = MEASURING
    return run_through(place)


@pytest.fixture(params=["valley", long("pose")])
def whole(request):
    """The study of a valley, or of a pose network: its place, its document, and whether it trains a network."""
    is_pose = request.param == "pose"
    return *request.getfixturevalue("posed" if is_pose else "undisturbed"), is_pose


def test_the_document_has_the_front_the_picks_and_what_to_paste(whole):
    _, found, is_pose = whole
    assert (found["study"], found["kind"], found["preset"], found["status"]) == (NAME, "joint", "smoke", "complete")
    picks = len(found["picks"])
    assert found["trials"]["recorded"] == SEARCHED + SEEDS * picks
    assert found["front"], "something was learned"
    for point in found["front"]:
        assert {"optimizer", "lr", "num_workers", "pin_memory", "batch_size"} <= {*point["settings"]}
        assert 0 < point["ap"] <= 1 and point["images_per_s"] > 0
    roles = [each["role"] for each in found["recommended"]]
    assert len(roles) == 3
    for each in found["recommended"]:
        assert each["confirmed"] is True
        assert each["dataloader"].startswith("DataLoader(")
        assert each["optimizer"].startswith("torch.optim.") and "model.parameters(), lr=" in each["optimizer"]
        if is_pose:
            assert each["train"].startswith("posebench train --data people --network small --size 64")
    assert found["hypervolume"] is not None
    assert "NaN" not in json.dumps(found)


def test_the_picks_were_trained_again_on_fresh_seeds(whole):
    place, found, is_pose = whole
    rows = records(place)
    search, confirm = (rows[rows["phase"] == phase] for phase in ("search", "confirm"))
    assert list(search["seed"]) == [0, 1, 2, 3]
    assert Counter(confirm["seed"]) == {1001: len(found["picks"]), 1002: len(found["picks"])}
    first = search.iloc[0]
    assert (first["optimizer"], first["batch_size"]) == ("adam", 4)
    assert json.loads(first["hyperparameters"]).items() >= {"lr": 6e-3, "one_minus_beta1": 0.1}.items()
    assert (search["steps_done"] * search["batch_size"] == 160).all(), "equally many images"
    assert confirm["ap_select"].notna().all()
    if is_pose:
        assert (search["need_share_memory"] < 1).all()


def test_the_report_is_whole(whole):
    place, found, _ = whole
    folder = place.folder / "reports" / NAME
    main, appendix = ((folder / name).read_text() for name in ("report.md", "appendix.md"))
    for heading in ("## The picks", "## The front of AP and images/s", "## How the search went", "## What was run"):
        assert heading in appendix
    assert "cannot say which is better" in " ".join(main.split())
    for name in ("pareto.png", "history.png", "hypervolume.png", "front.csv", "picks.csv", "importances.csv"):
        assert (folder / name).stat().st_size > 0
        assert name in main + appendix
    assert json.loads((folder / "result.json").read_text()) == found


def test_other_verbs_know_it(undisturbed):
    place, found = undisturbed
    again = place.run(*COMMAND)
    assert again.returncode == 0
    assert json.loads(again.stdout) == found, "a finished study is shown again"
    assert json.loads(place.run("report", NAME, "--json").stdout) == found
    status = json.loads(place.run("study", "status", NAME, "--json").stdout)
    assert status["status"] == "complete"
    assert status["phases"]["search"]["done"] == SEARCHED
    assert {row["name"] for row in status["optimizers"]} == {"sgd", "adam"}
    listed = json.loads(place.run("study", "list", "--json").stdout)["studies"]
    assert [(each["study"], each["kind"], each["status"]) for each in listed] == [(NAME, "joint", "complete")]
    other = place.run(*COMMAND, "--seeds", "3")
    assert other.returncode == 2
    assert "seeds: 2 -> 3" in other.stderr


FEW = (
    "between two choices",
    "between MLflow's end and the ledger's",
    "after the choices are kept",
    "before the picks are planned",
    "while a pick is scored on the other split",
)


@pytest.mark.parametrize("moments", [long(FEW), long(tuple(MOMENTS))], ids=["at five moments", "at every moment"])
def test_killed_it_searches_the_same(place, undisturbed, moments):
    """All of its choices are made by chance, whose seeds are the places': none is lost, doubled or made anew."""
    prepare(place)
    for name in moments:
        print(f"killed {name}")  # shown where one fails
        killed_at(place, MOMENTS[name], *COMMAND)
    last = place.run(*COMMAND)
    assert last.returncode == 0, last.stderr
    found = json.loads(last.stdout)
    recorded = place.recorded()
    assert len(recorded) == len(set(recorded)) == SEARCHED + SEEDS * len(found["picks"])
    assert found["trials"]["complete"] == len(recorded)
    assert set(place.run_states()) <= {"FINISHED", "KILLED"}
    ledger = sqlite3.connect(place.folder / "optuna.db")
    assert dict(ledger.execute("SELECT state, count(*) FROM trials GROUP BY state")) == {"COMPLETE": len(recorded)}
    ledger.close()
    ours, theirs = (each[each["phase"] == "search"] for each in (records(place), records(undisturbed[0])))
    pd.testing.assert_frame_equal(ours[[*CHOICES, "trial_id", "ap"]], theirs[[*CHOICES, "trial_id", "ap"]])


def test_two_processes_share_one_search(place, undisturbed):
    prepare(place)
    processes = [place.start(*COMMAND) for _ in range(2)]
    assert [process.wait(900) for process in processes] == [0, 0], (place.folder / "output.txt").read_text()
    recorded = place.recorded()
    assert len(recorded) == len(set(recorded))
    ours, theirs = (each[each["phase"] == "search"] for each in (records(place), records(undisturbed[0])))
    assert list(ours["trial_id"]) == list(theirs["trial_id"])
    assert place.run_states() == {"FINISHED": len(recorded) + 1}
    runners = {row[0] for row in place.query("SELECT value FROM tags WHERE key LIKE 'posebench.session.%'")}
    assert len(runners) == 2


def test_ap_at_equal_time_has_one_pick(place):
    prepare(place)
    command = [each for each in COMMAND if each != "--json"]
    process = place.run(*command, "--objective", "ap-at-time", "--seconds", "1", "--trials", "1", "--seeds", "1")
    assert process.returncode == 0, process.stderr
    assert "torch.optim.Adam(model.parameters(), lr=0.006" in (
        place.folder / "reports" / NAME / "report.md"
    ).read_text().replace("\n", "")
    rows = records(place)
    assert list(rows["phase"]) == ["search", "confirm"]
    assert (rows["train_seconds"] >= 1).all()


def test_interrupted_it_gives_the_trial_back(place):
    prepare(place)
    with ended(place.start(*COMMAND)) as process:
        wait_for(place.recorded, process, place)
        os.killpg(process.pid, signal.SIGINT)
        assert process.wait(DEADLINE_S) == 130
    status = json.loads(place.run("study", "status", NAME, "--json").stdout)
    assert status["status"] == "unfinished"
    assert status["trials"]["running"] == 0
