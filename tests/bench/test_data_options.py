"""Data sets whose files are named outright, and pictures that are turned: from the command line and in study files."""

import json
import time
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from bench.cli.data_options import split_val_images
from bench.kinds.loaders.data import files_of, workload_of
from bench.settings.layers import DEFAULT, Setting
from bench.workloads.pose_data import find_folder
from posemodel.data.layout import DataSet
from posemodel.data.open_split import open_split
from posemodel.errors import SettingsError
from posemodel.network.weights import load_network
from tests.support.asked import prepared
from tests.support.coco_builder import CocoBuilder
from tests.support.plans import first_trials
from tests.support.tagged import with_orientation

SMALL = ("--network", "small", "--size", 64, "--steps", 2, "--batch-size", 2, "--device", "cpu")


@pytest.fixture
def places(hermetic):
    """Annotation files in one folder, and all images in another: no layout."""
    builder = CocoBuilder(hermetic / "made")
    builder.fill("train", images=30, seed=1)
    builder.fill("val", images=4, seed=2, first_id=500)
    builder.write()
    (hermetic / "labels").mkdir()
    (hermetic / "pictures").mkdir()
    for split in ("train", "val"):
        builder.file(split).rename(hermetic / "labels" / f"{split}.json")
        for image in builder.folder(split).iterdir():
            image.rename(hermetic / "pictures" / image.name)
    return hermetic


def named(*splits):
    options = []
    for split in splits:
        options += [f"--{split}-annotations", f"labels/{split}.json", f"--{split}-images", "pictures"]
    return options


def documents(text):
    return json.loads(text)


@pytest.fixture
def turned(hermetic):
    """Pictures as a phone stores them, annotated as a viewer shows them."""
    builder = CocoBuilder(hermetic / "phone")
    for split, first, images in (("train", 1, 24), ("val", 500, 3)):
        for image_id in range(first, first + images):
            path = builder.image(split, image_id, 80, 64)
            stored = np.ascontiguousarray(np.rot90(cv2.imread(str(path))))
            with_orientation(path, stored, 6)
            builder.person(split, image_id)
    return builder.write()


@pytest.mark.usefixtures("unrendered_figures")
def test_data_commands_take_named_files(posebench, places):
    code, out, err = posebench("data", "check", *named("train", "val"), "--json")
    assert code == 0, err
    assert {name: counts["images"] for name, counts in documents(out)["splits"].items()} == {"train": 30, "val": 4}
    code, out, err = posebench("data", "stats", *named("val"), "--json", "--out", "stats.png")
    assert code == 0, err
    assert documents(out)["total"]["images"] == 4
    code, out, err = posebench("data", "show", *named("train"), "--index", 0, "--out", "one.png", "--size", 64)
    assert code == 0, err
    assert out.startswith("train 0: 000000000001.jpg")
    for command in (["check"], ["stats"], ["show", "--index", 0, "--out", "x.png"]):
        code, _, err = posebench("data", *command)
        assert code == 2
        assert "--train-annotations FILE with --train-images DIR" in " ".join(err.replace("│", " ").split())


def test_a_run_on_named_files(posebench, places, tmp_path):
    out = tmp_path / "run"
    options = [*named("train", "val"), "--val-images", 3, *SMALL]
    code, said, err = posebench("train", *options, "--out", out, "--json")
    assert code == 0, err
    record = load_network(out / "last.safetensors", torch.device("cpu"))[1].training
    assert record["val_images"] == 3
    assert record["files"] == {
        "train_annotations": "labels/train.json",
        "train_images": "pictures",
        "val_annotations": "labels/val.json",
        "val_images": "pictures",
    }
    code, said, err = posebench(
        "eval", "--checkpoint", out / "last.safetensors", *named("val"), "--device", "cpu", "--json"
    )
    assert code == 0, err
    assert documents(said)["images"] == 4


def test_a_run_without_val_says_what_stands_in(posebench, places, tmp_path):
    code, said, err = posebench("train", *named("train"), *SMALL, "--out", tmp_path / "run", "--json")
    assert code == 0, err
    assert "there is no split `val`: a fixed tenth of `train`" in err
    assert documents(said)["note_val_from_train"] > 0


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--train-annotations", "labels/train.json"], "train_annotations needs train_images"),
        (["--data", "made", "--val-annotations", "labels/val.json"], "val_annotations needs val_images"),
        (["--train-annotations", "no.json", "--train-images", "pictures"], "no.json"),
        (["--data", "made", "--exif", "maybe"], "give follow or ignore"),
        (["--data", "made", "--val-images", "0"], "0 is not in the range"),
        (["--data", "made", "--val-images", "3", "--val-images", "4"], "the count is given twice"),
        ([], "--train-annotations FILE with --train-images DIR"),
    ],
)
def test_what_is_half_named_is_refused_in_words(posebench, places, options, words):
    code, _, err = posebench("train", *options, *SMALL)
    assert code in (1, 2)
    assert words in " ".join(err.replace("│", " ").split())


def test_val_images_is_a_number_or_a_folder():
    assert split_val_images(None) == {}
    assert split_val_images(["4"]) == {"count": 4}
    assert split_val_images(["some/4"]) == {"folder": Path("some/4")}
    assert split_val_images(["a", "12"]) == {"folder": Path("a"), "count": 12}


def study_file(folder, **settings):
    lines = [f"{name} = {json.dumps(value)}" for name, value in settings.items()]
    (folder / "own.toml").write_text("\n".join(lines))
    return folder / "own.toml"


NAMED = {
    "train_annotations": "labels/train.json",
    "train_images": "pictures",
    "val_annotations": "labels/val.json",
    "val_images": "pictures",
}


def test_a_study_file_names_files_and_its_trials_have_whole_paths(places):
    file = study_file(places, optimizers=["adam"], size=64, device="cpu", **NAMED)
    found = prepared("optimizers", {}, file, "smoke", None)
    spec = found.spec
    assert (spec.data, spec.name) == (places / "labels/train.json", "optimizers-smoke-train")
    trial = first_trials(spec)[0].train
    assert trial.files.val_images == places / "pictures"
    data = DataSet(trial.data, trial.files)
    assert (len(open_split(data, "train")), len(open_split(data, "report"))) == (30, 4)
    joint = prepared("joint", NAMED | {"optimizers": ["adam"], "device": "cpu"}, None, "smoke", None).spec
    assert joint.own_files() == spec.own_files()
    assert joint.data_digest == spec.data_digest


def test_the_same_files_in_another_place_are_the_same_study(places, tmp_path):
    elsewhere = tmp_path / "moved"
    spec = prepared("optimizers", NAMED | {"optimizers": ["adam"], "device": "cpu"}, None, "smoke", None).spec
    elsewhere.mkdir()
    for name in ("labels", "pictures"):
        (places / name).rename(elsewhere / name)
    moved = {name: str(elsewhere / path) for name, path in NAMED.items()}
    again = prepared("optimizers", moved | {"optimizers": ["adam"], "device": "cpu"}, None, "smoke", None).spec
    assert again.identity() == spec.identity()
    assert [trial.id for trial in first_trials(again)] == [trial.id for trial in first_trials(spec)]
    follow = prepared(
        "optimizers", moved | {"optimizers": ["adam"], "device": "cpu", "exif": "follow"}, None, "smoke", None
    ).spec
    assert follow.identity() == spec.identity() | {"exif": "follow"}
    assert not {trial.id for trial in first_trials(follow)} & {trial.id for trial in first_trials(spec)}
    assert "exif" not in spec.identity(), "studies of earlier versions have no such setting"


def test_a_study_file_with_half_a_pair_is_refused_with_its_line(places):
    file = study_file(places, optimizers=["adam"], size=64, train_annotations="labels/train.json")
    with pytest.raises(SettingsError, match="train_annotations needs train_images"):
        prepared("optimizers", {}, file, "smoke", None)


def test_a_loader_study_on_named_files(places):
    options = {name: value for name, value in NAMED.items() if name.startswith("train")}
    spec = prepared("loaders", {**options, "exif": "follow", "device": "cpu"}, None, "smoke", None).spec
    workload = workload_of(spec)
    assert (workload.exif, workload.files.train_images) == ("follow", places / "pictures")
    assert len(files_of(spec)) == 30
    with pytest.raises(SettingsError, match="train_annotations and dataset: give one of the two"):
        prepared("loaders", {**options, "dataset": "json:loads"}, None, "smoke", None)


def test_a_study_on_a_single_split_plans(posebench, hermetic, made_up_costs):
    builder = CocoBuilder(hermetic / "cvat")
    builder.fill("train", images=60)
    builder.write()
    (hermetic / "cvat/annotations/person_keypoints_train2017.json").rename(
        hermetic / "cvat/annotations/person_keypoints_default.json"
    )
    (hermetic / "cvat/images/train2017").rename(hermetic / "cvat/images/default")
    code, out, err = posebench(
        *("study", "optimizers", "--data", "cvat", "--preset", "smoke", "--optimizers", "adam", "--dry-run", "--json")
    )
    assert code == 0, err
    assert "the only split here is `default`: it serves as `train`" in err
    assert "a fixed tenth of `default`" in err
    assert documents(out)["status"] == "planned"


@pytest.mark.usefixtures("unrendered_figures")
def test_turned_pictures_are_refused_by_name_and_followed_where_asked(posebench, turned, tmp_path):
    code, _, err = posebench("train", "--data", turned, *SMALL, "--out", tmp_path / "no")
    assert code == 1
    assert "EXIF orientation is 6" in err
    assert "--exif follow" in err
    assert not (tmp_path / "no").exists()
    code, _, err = posebench("train", "--data", turned, *SMALL, "--exif", "follow", "--out", tmp_path / "run")
    assert code == 0, err
    checkpoint = tmp_path / "run/last.safetensors"
    network, info = load_network(checkpoint, torch.device("cpu"))
    assert (network.trained_exif, info.training["exif"]) == ("follow", "follow")
    common = ("eval", "--checkpoint", checkpoint, "--data", turned, "--device", "cpu")
    assert posebench(*common)[0] == 0, "as it was trained"
    code, _, err = posebench(*common, "--exif", "ignore")
    assert code == 1
    assert "EXIF" in err
    code, _, err = posebench("data", "check", turned)
    assert code == 1
    assert posebench("data", "check", turned, "--exif", "follow")[0] == 0
    code, _, err = posebench(
        "data", "show", turned, "--index", 0, "--size", 64, "--exif", "follow", "--out", tmp_path / "s.png"
    )
    assert code == 0, err


def test_predictions_and_drawings_are_in_the_turned_picture(posebench, turned, tmp_path):
    code, _, err = posebench("train", "--data", turned, *SMALL, "--exif", "follow", "--out", tmp_path / "run")
    assert code == 0, err
    picture = next((turned / "images/val2017").iterdir())
    common = ("predict", picture, "--checkpoint", tmp_path / "run/last.safetensors", "--device", "cpu")
    for name, options, shape in (("a", (), (64, 80)), ("b", ("--exif", "ignore"), (80, 64))):
        code, _, err = posebench(*common, *options, "--draw", tmp_path / name)
        assert code == 0, err
        drawn = cv2.imread(str(tmp_path / name / picture.name), cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION)
        assert drawn.shape[:2] == shape


def test_an_option_that_would_do_nothing_is_refused(posebench, places):
    (places / "found.json").write_text("[]")
    common = ("eval", "--predictions", "found.json", "--annotations", "labels/val.json")
    for options in (["--exif", "follow"], named("val")):
        code, _, err = posebench(*common, *options)
        assert code == 2
        assert "has no effect" in err


def test_the_report_names_pictures_that_are_turned(make_spec):
    plain, turned = make_spec(), make_spec(exif="follow")
    assert plain.data_text == "data people (annotations feed)"
    assert turned.data_text == "data people (annotations feed, pictures turned by their EXIF orientation)"


def test_a_set_that_is_to_be_made_is_made_and_timed_or_awaited(hermetic):
    """By `made`, which takes a tenth of a second; a folder that is named is only looked for."""
    settings = {"data": Setting(None, DEFAULT), "synthetic_images": Setting(12, DEFAULT)}
    asked = []

    def made(*wanted):
        asked.append(wanted)
        time.sleep(0.1)

    here = (hermetic / "data" / "synthetic-12-seed0").resolve()
    found = find_folder(settings, made)
    assert (found.folder, found.awaited_images) == (here, None)
    assert 0.1 <= found.data_s < 60
    assert asked == [(Path("data", "synthetic-12-seed0"), 12, 0)]
    later = find_folder(settings, None)
    assert (later.folder, later.awaited_images, later.data_s) == (here, 12, 0.0)
    named = find_folder({**settings, "data": Setting(Path("mine"), DEFAULT)}, made)
    assert (named.folder, named.awaited_images, named.data_s) == ((hermetic / "mine").resolve(), None, 0.0)
    assert len(asked) == 1
