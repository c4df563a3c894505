"""Category, skeleton file and sigmas: as options, in study files, in ids, and in the commands that reports show."""

import json
from pathlib import Path

import pytest

from bench.cli.actions.train_output import next_commands
from bench.cli.data_options import DATA_OPTIONS
from bench.report.train_command import train_command
from bench.settings.data_files import DATA_PATHS
from posemodel.config import DataFiles, TrainSettings
from posemodel.skeleton import COCO_PERSON
from tests.support.asked import prepared
from tests.support.coco_builder import CocoBuilder
from tests.support.plans import first_trials

SIGMAS = [0.05] * 17


@pytest.fixture
def folder(hermetic):
    builder = CocoBuilder(hermetic / "people")
    builder.fill("train", images=30, seed=1)
    builder.fill("val", images=4, seed=2, first_id=500)
    builder.write()
    (hermetic / "sigmas.json").write_text(json.dumps(SIGMAS))
    (hermetic / "own.toml").write_text("mirror = []")
    return hermetic


def shown(text):
    return " ".join(text.replace("│", " ").split())


def study(**settings):
    return prepared(
        "optimizers", {"data": "people", "optimizers": ["adam"], "device": "cpu"} | settings, None, "smoke", None
    ).spec


def test_the_options_are_the_fields_of_data_files():
    assert tuple(DataFiles.model_fields) == DATA_OPTIONS
    assert {*DATA_OPTIONS} - {*DATA_PATHS} == {"category"}


def test_a_study_without_them_is_what_it_was(folder):
    spec = study()
    assert not {"category", "skeleton_file", "sigmas"} & {*spec.identity(), *spec.model_dump()}
    assert "category" not in spec.data_text


def test_a_study_with_them_is_another_wherever_their_files_are(folder, tmp_path):
    plain, named = study(), study(category="person", sigmas="sigmas.json", skeleton_file="own.toml")
    assert named.identity()["category"] == "person"
    assert named.data_digest != plain.data_digest
    assert "category person" in named.data_text
    assert (named.sigmas, named.skeleton_file) == (folder / "sigmas.json", folder / "own.toml")
    assert named.file_paths == {"sigmas": folder / "sigmas.json", "skeleton_file": folder / "own.toml"}
    assert study(sigmas="sigmas.json").data_digest not in (plain.data_digest, named.data_digest)
    (tmp_path / "moved.json").write_text(json.dumps(SIGMAS))
    moved = study(category="person", sigmas=str(tmp_path / "moved.json"), skeleton_file="own.toml")
    assert moved.identity() == named.identity()
    assert [trial.id for trial in first_trials(moved)] == [trial.id for trial in first_trials(named)]


def test_trials_keep_their_category_on_another_machine(folder):
    trial = first_trials(study(category="person", sigmas="sigmas.json"))[0]
    assert trial.train.files == DataFiles(category="person", sigmas=folder / "sigmas.json")
    elsewhere = trial.with_data(Path("/elsewhere"), {"sigmas": Path("/s.json")})
    assert elsewhere.train.files == DataFiles(category="person", sigmas=Path("/s.json"))
    assert elsewhere.id == trial.id
    command = " ".join(train_command(trial, Path("people")).replace("\\\n", " ").split())
    assert "--data people --category person --sigmas " in command


def test_a_loader_study_takes_them(folder):
    settings = {"data": "people", "category": "person", "sigmas": "sigmas.json", "device": "cpu"}
    spec = prepared("loaders", settings, None, "smoke", None).spec
    assert spec.own_files() == DataFiles(category="person", sigmas=folder / "sigmas.json")


def test_the_next_commands_of_a_training_have_them():
    settings = TrainSettings(data="people", steps=1, files=DataFiles(category="dog", skeleton_file="own.toml"))
    score = next_commands(Path("last.safetensors"), settings)[0]
    assert "--data people --category dog --skeleton-file own.toml" in score


def test_check_describes_the_keypoints(posebench, folder):
    code, out, err = posebench(
        "data", "check", "people", "--json", "--sigmas", "sigmas.json", "--skeleton-file", "own.toml"
    )
    assert code == 0, err
    skeleton = json.loads(out)["skeleton"]
    assert (skeleton["sigmas"], skeleton["mirror"]) == (SIGMAS, [])
    assert skeleton["limbs"] == [list(limb) for limb in COCO_PERSON.limbs]
    code, out, err = posebench("data", "check", "people")
    assert code == 0, err
    for line in (
        "person: 17 keypoints: nose, ",
        "  19 limbs: neck-right_hip, ",
        "  8 mirror pairs: left_eye/right_eye, ",
    ):
        assert line in out
    assert "  OKS sigmas: 0.025 to 0.107" in out
    assert "  derived: neck is the mean of right_shoulder, left_shoulder" in out


def test_the_skeleton_is_drawn_on_an_object(posebench, folder, request):
    code, out, err = posebench("data", "show", "people", "--skeleton", "--out", "skeleton.png")
    assert code == 0, err
    assert "of 17 keypoints labelled" in out
    assert (folder / "skeleton.png").stat().st_size > 10_000
    request.getfixturevalue("unrendered_figures")
    code, out, err = posebench("data", "show", "people", "--skeleton", "--index", 3, "--out", "third.png")
    assert code == 0, err
    assert out.startswith("train 3: ")


@pytest.mark.usefixtures("unrendered_figures")
def test_the_skeleton_is_drawn_on_the_object_with_the_most_keypoints(posebench, hermetic):
    builder = CocoBuilder(hermetic / "people")
    builder.fill("train", images=6, seed=1)
    objects = [each for each in builder.split("train")["annotations"] if each["num_keypoints"]]
    for number, each in enumerate(objects):
        labelled = 9 if number == len(objects) // 2 else number % 3 + 3
        each |= {"keypoints": [*each["keypoints"][: 3 * labelled], *[0] * 3 * (17 - labelled)]}
        each["keypoints"][2 : 3 * labelled : 3] = [1 + (labelled < 9)] * labelled
        each["num_keypoints"] = labelled
    builder.write()
    code, out, err = posebench("data", "show", "people", "--skeleton", "--out", "most.png")
    assert code == 0, err
    image = objects[len(objects) // 2]["image_id"]
    assert f"(image id {image}), an object with 9 of 17 keypoints labelled" in out


def test_an_image_or_a_split_without_an_object_has_no_skeleton_to_show(posebench, hermetic):
    builder = CocoBuilder(hermetic / "people")
    builder.fill("train", images=2, seed=1)
    builder.split("train")["annotations"] = []
    builder.write()
    for options, what in (([], "the split"), (["--index", 1], "image 1 of the split")):
        code, _, err = posebench("data", "show", "people", "--skeleton", *options, "--out", "none.png")
        assert code == 2
        assert f"--skeleton: {what} `train` has no labelled object: give another --split or --index." in shown(err)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ([], "--index: give the number of a sample, or --skeleton"),
        (["--skeleton", "--size", 64], "--size: has no effect on --skeleton"),
        (["--skeleton", "--no-augment"], "--no-augment: has no effect on --skeleton"),
        (["--skeleton", "--index", 99], "--index 99: train has"),
        (["--skeleton", "--sigmas", "own.toml"], "own.toml"),
        (["--skeleton", "--sigmas", "none.txt"], "none.txt: cannot be read"),
    ],
)
def test_show_refuses_in_words(posebench, folder, options, words):
    code, _, err = posebench("data", "show", "people", *options, "--out", "x.png")
    assert code in (1, 2)
    assert words in shown(err)
    assert not (folder / "x.png").exists()
