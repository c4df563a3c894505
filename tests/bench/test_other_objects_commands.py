"""Commands and studies on data sets whose objects are no people: their files, their order of points, their words."""

import json
import time

import numpy as np
import pytest

from bench.workloads import pose_costs
from posemodel.config import TrainSettings
from posemodel.data.layout import folder_of
from posemodel.data.open_split import open_split
from posemodel.errors import DataError
from posemodel.network.cost import network_cost
from posemodel.scoring.evaluation import split_scorer
from tests.support.asked import prepared
from tests.support.keypoint_sets import CLOTHES, HAND, write_set

TRAIN = ("--size", 64, "--steps", 2, "--batch-size", 2, "--device", "cpu", "--num-workers", 0)


@pytest.fixture
def hands(hermetic):
    """A set of hands, with its builder."""
    return write_set(hermetic / "hands", HAND, images=30)


def in_another_order(builder, split="val"):
    """Write a split's points in the reverse order."""
    document = builder.split(split)
    document["categories"][0]["keypoints"] = HAND[::-1]
    for each in document["annotations"]:
        each["keypoints"] = np.reshape(each["keypoints"], (-1, 3))[::-1].ravel().tolist()
    builder.write()


def study(**settings):
    return prepared("optimizers", {"data": "hands", "optimizers": ["adam"], "device": "cpu"} | settings, None, "smoke")


# --- files ----------------------------------------------------------------------------------------------------------


def test_a_results_file_is_scored_with_the_data_set_s_own_skeleton_file(posebench, hands, hermetic, monkeypatch):
    (hands.root / "skeleton.toml").write_text(f"sigmas = {[0.5] * 21}\nmirror = []")
    scorer = split_scorer(split := open_split(hands.root, "val"))
    for position in range(len(split)):
        people = split.people(position).astype(float)
        people[..., 0] += 6
        scorer.add(split.image_id(position), people, np.ones(len(people)))
    scorer.write_predictions(hermetic / "found.json")

    def scored(*options):
        code, out, err = posebench("eval", "--predictions", hermetic / "found.json", *options, "--json")
        assert code == 0, err
        return json.loads(out)["ap"]

    expected = scorer.stats().ap
    assert scored("--annotations", hands.file("val")) == expected
    monkeypatch.chdir(hands.file("val").parent)
    assert scored("--annotations", hands.file("val").name) == expected, "from within the folder"
    (hands.root / "skeleton.toml").unlink()
    assert scored("--annotations", hands.file("val").name) < expected


def test_the_folder_of_an_annotation_file(tmp_path):
    below = tmp_path / "annotations"
    below.mkdir()
    assert folder_of(below / "person_keypoints_val2017.json") == tmp_path
    assert folder_of(tmp_path / "valid" / "_annotations.coco.json") == tmp_path
    assert folder_of(tmp_path / "labels" / "val.json") == tmp_path / "labels"
    (below / "skeleton.toml").touch()
    assert folder_of(below / "annotations.json") == below


# --- the order of points --------------------------------------------------------------------------------------------


def test_a_study_of_splits_with_other_keypoints_is_refused_before_it_begins(hands):
    hands.split("val")["categories"][0]["keypoints"] = [*HAND[1:], "palm"]
    hands.write()
    with pytest.raises(DataError, match=r"val2017\.json: its keypoints are not those needed.*needed are 21 \(wrist, "):
        study()


def test_a_study_of_splits_with_reordered_keypoints_is_planned_and_measured(hands):
    in_another_order(hands)
    assert study().spec.data == hands.root.resolve()
    settings = TrainSettings(data=hands.root, size=64, steps=2, device="cpu")
    train = open_split(hands.root, "train")
    network = pose_costs.initial_network(settings, pose_costs.choose_device("cpu"), train.skeleton)[0]
    seen = []
    validate = pose_costs.validate

    def noting(network, loader, split, *arguments, **options):
        seen.append(split.skeleton.keypoints)
        return validate(network, loader, split, *arguments, **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pose_costs, "validate", noting)
        patch.setattr(pose_costs, "SCORED_IMAGES", 2)
        [*_] = pose_costs._evaluation_costs(settings, network, time.perf_counter() + 60, 1.0)
    assert {*seen} == {tuple(HAND)}


def test_a_network_is_slow_by_the_heads_of_its_own_skeleton(hermetic, monkeypatch):
    write_set(hermetic / "clothes", CLOTHES, images=2)
    run = TrainSettings(data=hermetic / "clothes", network="small", size=64, steps=1, device="cpu")
    per_image = network_cost("small", 64)["gmacs"] * pose_costs.FORWARD_AND_BACKWARD * run.loader.batch_size
    monkeypatch.setattr(pose_costs, "SLOW_GMACS", 1.01 * per_image)
    assert pose_costs._is_slow(run)
    write_set(hermetic / "points", ["head"], images=2)
    assert not pose_costs._is_slow(run.model_copy(update={"data": hermetic / "points"}))


# --- words ----------------------------------------------------------------------------------------------------------


def test_stats_speak_of_objects_and_not_of_views(posebench, hands):
    code, out, err = posebench("data", "stats", "hands")
    assert code == 0, err
    assert "people" not in out
    assert "seen from" not in out
    for words in ("images of 3 or more objects", "objects cut by the border", "(% of objects)", "height of objects"):
        assert words in out


def test_a_sample_that_is_not_there_is_of_objects(posebench, hands):
    code, _, err = posebench("data", "show", "hands", "--index", 99, "--labelled-only", "--out", "x.png")
    assert code == 2
    assert "train has 30 images with labelled objects" in " ".join(err.replace("│", " ").split())


def test_an_object_that_is_nowhere_is_no_person(posebench, hands):
    hands.split("train")["annotations"][0] |= {"keypoints": [0] * 63, "num_keypoints": 0, "bbox": 0, "segmentation": 0}
    hands.write()
    _, out, _ = posebench("data", "check", "hands")
    assert "neither box nor mask says where this object is" in out


def test_a_split_without_labelled_objects_is_of_objects(hands):
    for each in hands.split("val")["annotations"]:
        each |= {"keypoints": [0] * 63, "num_keypoints": 0}
    hands.write()
    with pytest.raises(DataError, match="has no labelled object; a study needs some"):
        study()


# --- the category of a checkpoint -----------------------------------------------------------------------------------


def test_a_checkpoint_of_a_category_says_so_where_others_are_scored(posebench, hermetic):
    write_set(hermetic / "animals", ["nose", "tail"], categories=("cat", "dog"), images=8)
    code, _, err = posebench("train", "--data", "animals", "--category", "dog", *TRAIN, "--out", "run")
    assert code == 0, err
    scoring = (
        "eval",
        "--checkpoint",
        "run/last.safetensors",
        "--data",
        "animals",
        "--device",
        "cpu",
        "--num-workers",
        0,
    )

    def said(*options):
        code, _, err = posebench(*scoring, *options)
        assert code == 0, err
        return " ".join(err.split())

    words = "the checkpoint was trained with --category dog; scored"
    assert f"{words} are all categories with its keypoints" in said()
    assert f"{words} is cat" in said("--category", "cat")
    assert words not in said("--category", "Dog")
