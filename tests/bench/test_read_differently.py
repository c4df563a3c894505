"""What is read differently, on the command line: told once for each kind and file, recorded, part of a study."""

import csv
import json

import pytest
import torch
from safetensors import safe_open

from bench.workloads import pose_data
from posemodel.data.layout import fingerprint
from posemodel.skeleton import COCO_KEYPOINTS

TRAIN = ("train", "--size", 64, "--steps", 2, "--batch-size", 2, "--device", "cpu", "--out", "run")
STUDY = (
    *("study", "optimizers", "--preset", "smoke", "--optimizers", "sgd,adam", "--trials", 1, "--seeds", 1),
    *("--tune-steps", 2, "--steps", 2, "--size", 64, "--batch-size", 2, "--device", "cpu"),
)
ORDER = sorted(range(17), key=lambda place: COCO_KEYPOINTS[place])
KINDS = {"note_reordered", "note_area_from_mask", "note_ids"}


def filled(builder):
    """20 train and 4 val images."""
    builder.fill("train", images=20)
    builder.fill("val", images=4, first_id=500)
    builder.write()
    return builder


@pytest.fixture
def plain(coco_builder):
    return filled(coco_builder)


@pytest.fixture
def other(plain, tmp_path):
    """The same set as another tool writes it: joints in another order, no areas, image ids as text."""
    root = tmp_path / "other"
    (root / "annotations").mkdir(parents=True)
    (root / "images").symlink_to(plain.root / "images")
    for split in ("train", "val"):
        document = json.loads(json.dumps(plain.split(split)))
        document["categories"][0] |= {"name": "human", "keypoints": [COCO_KEYPOINTS[place] for place in ORDER]}
        for annotation in document["annotations"]:
            flat = annotation["keypoints"]
            annotation["keypoints"] = [value for place in ORDER for value in flat[3 * place : 3 * place + 3]]
            del annotation["area"]
        document["images"][0]["id"] = str(document["images"][0]["id"])
        (root / "annotations" / plain.file(split).name).write_text(json.dumps(document))
    return root


def notes_in(err):
    return [line for line in err.splitlines() if line.startswith("note: ")]


def people(builder, split):
    return len(builder.split(split)["annotations"])


def test_training_tells_and_records_each_kind(posebench, plain, other, hermetic):
    code, out, err = posebench(*TRAIN, "--data", other, "--json")
    assert code == 0, err
    found = json.loads(out)
    said = notes_in(err)
    assert len(said) == 3 * 2, "three kinds in two files"
    assert sum("in another order than COCO's" in line for line in said) == 2
    assert [row["kind"] for row in found["notes"]] == ["reordered", "area-from-mask", "ids"] * 2
    everybody = people(plain, "train") + people(plain, "val")
    assert {key: found[key] for key in KINDS} == {
        "note_reordered": everybody,
        "note_area_from_mask": everybody,
        "note_ids": 2,
    }
    with safe_open("run/last.safetensors", framework="pt") as file:
        training = json.loads(file.metadata()["posebench"])["training"]
    counts = sorted(f"{kind}:{people(plain, s)}" for kind in ("area-from-mask", "reordered") for s in ("train", "val"))
    assert training["read_differently"] == counts


def test_the_same_set_in_another_order_trains_and_scores_the_same(posebench, plain, other, hermetic):
    trained, scored = [], []
    for number, root in enumerate((plain.root, other)):
        code, out, err = posebench(*TRAIN[:-1], f"run{number}", "--data", root, "--json")
        assert code == 0, err
        trained.append(json.loads(out))
        checkpoint = ("--checkpoint", f"run{number}/last.safetensors")
        for how in (checkpoint, ("--oracle", "--size", 64)):
            scored.append(json.loads(posebench("eval", *how, "--data", root, "--split", "train", "--json")[1]))
    assert [trained[0][key] for key in ("loss", "val_loss", "ap")] == [
        trained[1][key] for key in ("loss", "val_loss", "ap")
    ]
    assert trained[0]["notes"] == []
    assert not KINDS & {*trained[0]}
    assert [row["kind"] for row in scored[2]["notes"]] == ["reordered", "area-from-mask", "ids"]
    assert scored[3]["ap"] > 0.3
    for mine, theirs in zip(scored[:2], scored[2:], strict=True):
        assert mine | {"notes": []} == theirs | {"notes": []}


def test_predictions_are_in_coco_s_order_whatever_the_annotations_are_in(posebench, plain, other, hermetic):
    results = [
        {"image_id": a["image_id"], "category_id": 1, "keypoints": a["keypoints"], "score": 0.5}
        for a in plain.split("val")["annotations"]
        if a["num_keypoints"]
    ]
    (hermetic / "people.json").write_text(json.dumps(results))
    file = other / "annotations" / plain.file("val").name
    code, out, err = posebench("eval", "--predictions", "people.json", "--annotations", file, "--json")
    assert code == 0, err
    assert json.loads(out)["ap"] == pytest.approx(1)
    assert len(notes_in(err)) == len(json.loads(out)["notes"]) == 3


def test_stats_are_of_what_is_read(posebench, plain, other, hermetic):
    expected = json.loads(posebench("data", "stats", plain.root, "--out", "a.png", "--json")[1])
    code, out, err = posebench("data", "stats", other, "--out", "b.png", "--json")
    assert code == 0, err
    assert json.loads(out)["total"] == expected["total"]
    assert len(notes_in(err)) == 3 * 2


def test_a_run_of_a_version_that_read_otherwise_is_not_resumed(posebench, other, hermetic):
    assert posebench(*TRAIN, "--data", other)[0] == 0
    assert posebench(*TRAIN, "--data", other, "--resume")[0] == 0
    state = torch.load("run/resume.pt", weights_only=True)
    del state["identity"]["read_differently"]
    torch.save(state, "run/resume.pt")
    code, _, err = posebench(*TRAIN, "--data", other, "--resume")
    assert code == 1
    assert "read_differently: None -> ['area-from-mask:" in err


def test_a_study_is_of_what_is_read(posebench, made_up_costs, plain, other):
    def digest(root):
        code, out, err = posebench(*STUDY, "--data", root, "--dry-run", "--json")
        assert code == 0, err
        return json.loads(out)["spec"]["data_digest"]

    assert digest(plain.root) == fingerprint(plain.root), "sound data have the digest that they always had"
    assert digest(other) != fingerprint(other)
    file = other / "annotations" / plain.file("train").name
    document = json.loads(file.read_text())
    before = digest(other)
    document["annotations"][0]["area"] = 5
    file.write_text(json.dumps(document))
    assert digest(other) != before


def test_notes_that_do_not_act_are_no_part_of_a_study(posebench, made_up_costs, plain):
    for annotation in plain.split("train")["annotations"]:
        del annotation["num_keypoints"]
    plain.write()
    code, out, err = posebench(*STUDY, "--data", plain.root, "--dry-run", "--json")
    assert code == 0, err
    assert "without `num_keypoints`" in err
    assert json.loads(out)["spec"]["data_digest"] == fingerprint(plain.root)


@pytest.mark.long
def test_a_study_records_and_reports_what_it_read(
    posebench, plain, other, plain_figures, hermetic, tracking_uri, storage_url, monkeypatch
):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", tracking_uri)
    monkeypatch.setenv("POSEBENCH_STORAGE", storage_url)
    command = (*STUDY, "--data", other, "--name", "mine", "--json")
    code, out, err = posebench(*command)
    assert code == 0, err
    assert len(notes_in(err)) == 3 * 2
    assert "data: train 17 labelled images, select 3, report 4" in err
    assert "warning: select has 3 labelled images to choose settings by: fewer than 20 tell little" in err
    found = json.loads(out)
    assert found["labelled_images"] == {"train": 17, "select": 3, "report": 4}
    trained, scored = people(plain, "train"), people(plain, "val")
    assert found["read_differently"] == {"reordered": trained + scored, "area-from-mask": trained + scored, "ids": 2}
    report = hermetic / found["report"]
    with report.with_name("records.csv").open() as file:
        rows = [(row["phase"], float(row["note_reordered"])) for row in csv.DictReader(file)]
    assert (
        rows == [("tune", trained), ("tune", trained), ("confirm", trained + scored), ("confirm", trained + scored)] * 2
    )
    few = "Report has 4 labelled images to report a score on: fewer than 20 tell little."
    assert few in " ".join(report.read_text().split())
    assert few in found["sureness"]
    text = " ".join(report.with_name("appendix.md").read_text().split())
    assert "Labelled data: train 17 labelled images, select 3, report 4." in text
    assert f"reordered {trained + scored}" in text

    with monkeypatch.context() as version:
        version.setattr(pose_data, "digest_entries", lambda _notes: ["reordered:of another version"])
        code, _, err = posebench(*command)
    assert code == 2
    assert "the study 'mine' exists with another specification" in err
    assert "data_digest: " in err
    assert "filtered or read differently" in err
    assert posebench(*command)[0] == 0


def test_a_plan_says_how_much_the_data_can_tell(posebench, made_up_costs, plain):
    code, out, err = posebench(*STUDY, "--data", plain.root, "--dry-run")
    assert code == 0, err
    assert "data: train 17 labelled images, select 3, report 4" in err
    code, out, _ = posebench(*STUDY, "--data", plain.root, "--dry-run", "--json")
    assert json.loads(out)["labelled_images"] == {"train": 17, "select": 3, "report": 4}
    joint = ("study", "joint", "--preset", "smoke", "--data", plain.root, "--dry-run", "--json")
    code, out, err = posebench(*joint)
    assert code == 0, err
    assert json.loads(out)["labelled_images"] == {"train": 17, "select": 3, "report": 4}
    assert "warning: train has 17 labelled images to learn from" in err


def test_a_check_says_how_much_the_data_can_tell(posebench, plain):
    code, out, err = posebench("data", "check", plain.root)
    assert code == 0
    assert "a study would have: train 17 labelled images, select 3, report 4" in out
    assert "note: select has 3 labelled images to choose settings by: fewer than 20 tell little" in err
    document = json.loads(posebench("data", "check", plain.root, "--json")[1])
    assert document["labelled_images"] == {"train": 17, "select": 3, "report": 4}
    assert {(row["kind"], row["count"]) for row in document["notes"]} == {
        ("few-labelled-images", count) for count in (17, 3, 4)
    }


def test_enough_images_are_no_warning(posebench, coco_builder):
    coco_builder.fill("train", images=30)
    coco_builder.fill("select", images=20, first_id=300)
    coco_builder.fill("val", images=21, first_id=500)
    document = json.loads(posebench("data", "check", coco_builder.write(), "--json")[1])
    assert document["labelled_images"] == {"train": 30, "select": 20, "report": 21}
    assert document["notes"] == []


def test_a_loader_study_is_of_what_is_read(posebench, plain, other):
    def planned(root):
        code, out, err = posebench("study", "loaders", "--preset", "smoke", "--data", root, "--dry-run", "--json")
        assert code == 0, err
        return json.loads(out)["spec"]["data_digest"], err

    assert planned(plain.root)[0] == fingerprint(plain.root)
    digest, err = planned(other)
    assert digest != fingerprint(other)
    assert len(notes_in(err)) == 3
