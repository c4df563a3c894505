"""Bad data on the command line: refused before anything is trained, or left out, counted and recorded."""

import csv
import json

import pytest
from safetensors import safe_open

TRAIN = ("train", "--size", 64, "--steps", 2, "--batch-size", 2, "--device", "cpu", "--out", "run")
STUDY = (
    *("study", "optimizers", "--preset", "smoke", "--optimizers", "sgd,adam", "--trials", 1, "--seeds", 1),
    *("--tune-steps", 2, "--steps", 2, "--size", 64, "--batch-size", 2, "--device", "cpu"),
)
LEFT_OUT_OF_TRAIN = "left out: 3 images (1 with a bad annotation, 1 missing, 1 truncated), 2 annotations"
LEFT_OUT_OF_VAL = "left out: 1 image (1 missing), 0 annotations"
SKIPPED = {"skipped_images": 4, "skipped_annotations": 2}


def image(builder, split, image_id):
    return builder.folder(split) / f"{image_id:012d}.jpg"


@pytest.fixture
def spoiled(coco_builder):
    """20 train and 4 val images: one is missing in each, one is cut, one has a bad person; one person has no image."""
    coco_builder.fill("train", images=20)
    coco_builder.fill("val", images=4, first_id=500)
    image(coco_builder, "train", 3).unlink()
    image(coco_builder, "val", 501).unlink()
    cut = image(coco_builder, "train", 4)
    cut.write_bytes(cut.read_bytes()[:-300])
    for person in coco_builder.split("train")["annotations"]:
        if person["image_id"] == 5:
            person["keypoints"] = [1, 2, 3]
            break
    coco_builder.person("train", 999, id=7777)
    coco_builder.write()
    return coco_builder


@pytest.fixture
def mended(spoiled, tmp_path):
    """The same set without its bad entries, as a person would mend it: the annotations rewritten, no flag needed."""
    root = tmp_path / "mended"
    (root / "annotations").mkdir(parents=True)
    (root / "images").symlink_to(spoiled.root / "images")
    for split, gone in (("train", {3, 4, 5, 999}), ("val", {501})):
        document = spoiled.split(split)
        document = document | {
            "images": [i for i in document["images"] if i["id"] not in gone],
            "annotations": [a for a in document["annotations"] if a["image_id"] not in gone],
        }
        (root / "annotations" / spoiled.file(split).name).write_text(json.dumps(document))
    return root


def test_a_check_names_every_bad_entry(posebench, spoiled):
    code, out, err = posebench("data", "check", spoiled.root, "--json")
    assert code == 1
    assert {row["id"] for row in json.loads(out)["problems"]} == {3, 4, 7777, 501} | {
        a["id"] for a in spoiled.split("train")["annotations"] if a["keypoints"] == [1, 2, 3]
    }
    assert "Traceback" not in err


@pytest.mark.parametrize("command", [TRAIN, STUDY, (*STUDY, "--dry-run")], ids=["train", "study", "dry run"])
def test_bad_data_is_refused_before_anything_is_done(posebench, spoiled, hermetic, command):
    code, out, err = posebench(*command, "--data", spoiled.root)
    assert code == 1
    assert f"{spoiled.file('train')}: 4 problems" in err
    assert f"image id 3: {image(spoiled, 'train', 3)}: no such file" in err
    assert "annotation id 7777: annotates image 999" in err
    assert "--skip-bad" in err
    assert "Traceback" not in err
    assert out == ""
    assert list(hermetic.iterdir()) == []


def test_training_and_scoring_what_is_left_is_as_with_a_mended_set(posebench, spoiled, mended, hermetic):
    code, out, err = posebench(*TRAIN, "--data", spoiled.root, "--skip-bad", "--json")
    trained = json.loads(out)
    assert code == 0
    assert f"{LEFT_OUT_OF_TRAIN} ({spoiled.file('train')})" in err
    assert f"{LEFT_OUT_OF_VAL} ({spoiled.file('val')})" in err
    assert {key: trained[key] for key in SKIPPED} == SKIPPED
    with safe_open("run/last.safetensors", framework="pt") as file:
        training = json.loads(file.metadata()["posebench"])["training"]
    assert training["skip_bad"] is True
    assert {key: training[key] for key in SKIPPED} == SKIPPED

    code, out, _ = posebench(*TRAIN[:-1], "other", "--data", mended, "--json")
    again = json.loads(out)
    assert code == 0
    assert (again["skipped_images"], again["skipped_annotations"]) == (0, 0)
    assert (again["loss"], again["val_loss"], again["ap"]) == (trained["loss"], trained["val_loss"], trained["ap"])


def test_an_evaluation_leaves_out_what_training_does(posebench, spoiled, mended, hermetic):
    posebench(*TRAIN, "--data", mended)
    for how in (("--checkpoint", "run/last.safetensors"), ("--oracle", "--size", 64)):
        for split, counts in (("val", (1, 0)), ("train", (3, 2))):
            command = ("eval", *how, "--split", split, "--json")
            code, out, err = posebench(*command, "--data", spoiled.root, "--skip-bad")
            assert code == 0, err
            scored = json.loads(out)
            assert (scored["skipped_images"], scored["skipped_annotations"]) == counts
            assert "left out: " in err
            expected = json.loads(posebench(*command, "--data", mended)[1])
            assert scored | {"skipped_images": 0, "skipped_annotations": 0} == expected
    code, _, err = posebench("eval", "--checkpoint", "run/last.safetensors", "--data", spoiled.root)
    assert code == 1
    assert "image id 501" in err
    code, out, _ = posebench("eval", "--oracle", "--data", spoiled.root, "--size", 64, "--json")
    assert (code, json.loads(out)["images"]) == (0, 4), "perfect maps need no pixels"


def test_predictions_of_images_left_out_are_no_mistake(posebench, spoiled, mended, hermetic):
    posebench(*TRAIN, "--data", mended)
    posebench(
        *("eval", "--checkpoint", "run/last.safetensors", "--data", spoiled.root, "--split", "train", "--skip-bad"),
        *("--write-predictions", "people.json"),
    )
    results = json.loads((hermetic / "people.json").read_text())
    person = {"image_id": 5, "category_id": 1, "keypoints": [1.0] * 51, "score": 1.0}
    (hermetic / "people.json").write_text(json.dumps([*results, person]))
    command = ("eval", "--predictions", "people.json", "--annotations", spoiled.file("train"))
    code, out, err = posebench(*command, "--skip-bad", "--json")
    scored = json.loads(out)
    assert code == 0
    assert "left out: 1 image (1 with a bad annotation), 2 annotations" in err
    assert (scored["images"], scored["skipped_images"], scored["skipped_annotations"]) == (19, 1, 2)
    code, _, err = posebench(*command)
    assert code == 1
    assert "2 problems" in err


def test_a_resumed_training_must_find_the_images_that_it_began_with(posebench, spoiled, hermetic):
    code, _, err = posebench(*TRAIN, "--data", spoiled.root, "--skip-bad")
    assert code == 0, err
    image(spoiled, "train", 3).write_bytes(image(spoiled, "train", 6).read_bytes())
    entries = {entry["id"]: entry for entry in spoiled.split("train")["images"]}
    entries[3].update({key: entries[6][key] for key in ("width", "height")})
    code, _, err = posebench(*TRAIN, "--data", spoiled.root, "--skip-bad", "--resume")
    assert code == 0, f"nothing has changed yet: {err}"
    spoiled.write()
    code, _, err = posebench(*TRAIN, "--data", spoiled.root, "--skip-bad", "--resume")
    assert code == 1
    assert "images: " in err


@pytest.mark.long
def test_a_study_records_and_reports_what_was_left_out(
    posebench, spoiled, plain_figures, hermetic, tracking_uri, storage_url, monkeypatch
):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", tracking_uri)
    monkeypatch.setenv("POSEBENCH_STORAGE", storage_url)
    code, out, err = posebench(*STUDY, "--data", spoiled.root, "--skip-bad", "--json")
    assert code == 0, err
    assert err.count(LEFT_OUT_OF_TRAIN) == 1, "the derived select split is of the same file"
    assert err.count(LEFT_OUT_OF_VAL) == 1
    report = json.loads(out)["report"]
    with (hermetic / report).with_name("records.csv").open() as file:
        rows = [
            (row["phase"], float(row["skipped_images"]), float(row["skipped_annotations"]))
            for row in csv.DictReader(file)
        ]
    assert rows == [("tune", 3, 2), ("tune", 3, 2), ("confirm", 4, 2), ("confirm", 4, 2)] * 2
    text = " ".join((hermetic / report).with_name("appendix.md").read_text().split())
    assert "3 images and 2 annotations in the splits of tune trials" in text
    assert "4 images and 2 annotations in the splits of confirm trials" in text


def test_the_flag_is_a_setting_like_others(posebench, made_up_costs, spoiled, hermetic, monkeypatch):
    (hermetic / "own.toml").write_text("skip_bad = true\n")
    plan = (*STUDY, "--data", spoiled.root, "--dry-run", "--json")
    code, out, err = posebench(*plan, "--study", "own.toml")
    assert code == 0, err
    by_file = json.loads(out)
    assert by_file["spec"]["skip_bad"] is True
    assert LEFT_OUT_OF_TRAIN in err
    monkeypatch.setenv("POSEBENCH_SKIP_BAD", "1")
    by_environment = json.loads(posebench(*plan)[1])
    monkeypatch.delenv("POSEBENCH_SKIP_BAD")
    by_flag = json.loads(posebench(*plan, "--skip-bad")[1])
    for document in (by_file, by_environment, by_flag):
        assert document.pop("estimate")["seconds"] > 0  # measured: never the same twice
    assert by_file == by_environment == by_flag
    code, _, err = posebench(*plan, "--study", "own.toml", "--no-skip-bad")
    assert code == 1
    assert "4 problems" in err


def test_other_images_left_out_are_another_study(posebench, made_up_costs, spoiled):
    plan = (*STUDY, "--data", spoiled.root, "--skip-bad", "--dry-run", "--json")
    before = json.loads(posebench(*plan)[1])["spec"]
    image(spoiled, "train", 8).unlink()
    after = json.loads(posebench(*plan)[1])["spec"]
    assert before["data_digest"] != after["data_digest"]
    assert before | {"data_digest": ""} == after | {"data_digest": ""}


def test_an_image_that_only_decoding_tells_from_a_good_one(posebench, coco_builder, hermetic):
    """Header and end are whole, the code tables in between are nonsense: an error in words, whenever it is met."""
    coco_builder.fill("train", images=4)
    coco_builder.fill("val", images=1, first_id=500)
    root = coco_builder.write()
    path = image(coco_builder, "train", 2)
    whole = path.read_bytes()
    tables = whole.index(b"\xff\xc4") + 5
    path.write_bytes(whole[:tables] + b"\xff" * 16 + whole[tables + 16 :])
    for workers in (0, 1):
        code, _, err = posebench(*TRAIN[:-1], f"run{workers}", "--data", root, "--num-workers", workers)
        assert code == 1
        assert f"{path}: not an image that OpenCV can decode (image id 2)" in err
        assert "Traceback" not in err
        assert "--debug" not in err
    code, out, _ = posebench("data", "check", root, "--json")
    assert (code, [row["id"] for row in json.loads(out)["problems"]]) == (1, [2])
