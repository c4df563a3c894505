"""Data sets of other points than COCO's go through every command: check, train, resume, eval, predict, draw."""

import json

import cv2
import pytest

from posemodel.network.weights import load_network
from tests.support.drawn_sets import KINDS, SIDE, write_set
from tests.support.long_tests import long
from tests.support.place import Place

POINTS = {"hand": 21, "face": 68, "animals": 20, "clothes": 294, "point": 1}
TRAIN = "train --data things --network small --size 128 --batch-size 2 --lr 1e-3 --device cpu --steps 5 --out run"


@pytest.fixture(params=[kind if kind == "point" else long(kind) for kind in KINDS])
def made(request, tmp_path):
    """A place with one of the sets in its folder `things`."""
    place = Place(tmp_path / "here")
    write_set(place.folder / "things", KINDS[request.param], train=8, val=4)
    return request.param, place


def run(place, *arguments):
    finished = place.run(*arguments)
    assert finished.returncode == 0, finished.stderr
    return finished


def test_a_set_of_own_points_trains_resumes_scores_and_predicts(made):
    kind, place = made
    points = POINTS[kind]

    checked = json.loads(run(place, "data", "check", "things", "--json").stdout)
    assert len(checked["skeleton"]["keypoints"]) == points
    assert checked["problems"] == []

    trained = json.loads(run(place, *TRAIN.split(), "--checkpoint-every", "2", "--json").stdout)
    assert (trained["status"], trained["steps"]) == ("complete", 5)
    network, _ = load_network(place.folder / "run" / "last.safetensors", "cpu")
    assert network.skeleton.num_keypoints == points
    assert len(network.skeleton.limbs) >= points - 1
    resumed = json.loads(run(place, *TRAIN.split(), "--checkpoint-every", "2", "--resume", "--json").stdout)
    assert resumed["ap"] == trained["ap"]

    checkpoint = ("--checkpoint", "run/last.safetensors")
    scored = json.loads(run(place, "eval", *checkpoint, "--data", "things", "--json").stdout)
    assert scored["ap"] == trained["ap"]
    run(place, "eval", *checkpoint, "--data", "things", "--write-predictions", "results.json", "--json")
    annotations = "things/annotations/person_keypoints_val2017.json"
    from_file = run(place, "eval", "--predictions", "results.json", "--annotations", annotations, "--json")
    assert json.loads(from_file.stdout)["ap"] == scored["ap"]

    picture = place.folder / "things/images/val2017/000001.png"
    run(place, "predict", *checkpoint, picture, "--draw", "drawn", "--json", "found.json", "--min-score", "0")
    (drawing,) = (place.folder / "drawn").rglob("*.*")
    assert cv2.imread(str(drawing)).shape == (SIDE, SIDE, 3)
    found = json.loads((place.folder / "found.json").read_text())
    assert all(len(result["keypoints"]) == 3 * points for result in found)
    assert {result["category_id"] for result in found} <= {KINDS[kind].categories[0]["id"]}


def test_perfect_maps_of_own_points_reach_the_ceiling(made):
    """AP of perfect maps is at least 0.95 of the AP of exact points."""
    _, place = made
    oracle = run(place, "eval", "--oracle", "--data", "things", "--size", "368", "--stride", "4", "--json")
    scores = json.loads(oracle.stdout)
    assert scores["ap"] >= 0.95 * scores["ceiling"], scores
