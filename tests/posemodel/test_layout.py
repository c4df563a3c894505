"""Layouts: every one of them is the same data set; files that are named outright; tenths in place of missing splits."""

import json
import multiprocessing
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from posemodel import evaluate
from posemodel.config import DataFiles, LoaderSettings, TrainSettings
from posemodel.data.check import check
from posemodel.data.layout import DataSet, find_split, fingerprint, in_select, in_val, require_split, split_names
from posemodel.data.open_split import PackedSplit, open_split
from posemodel.data.stats import folder_stats
from posemodel.errors import DataError
from posemodel.network import build_network
from posemodel.training.data import open_training_splits
from posemodel.training.state import identity_of
from tests.support.coco_builder import CocoBuilder

TRAIN, VAL = 6, 3
Build = Callable[[Path, CocoBuilder], None]


@pytest.fixture
def source(tmp_path: Path) -> CocoBuilder:
    """COCO's layout: what the others are made of."""
    builder = CocoBuilder(tmp_path / "coco")
    builder.fill("train", images=TRAIN, seed=1)
    builder.fill("val", images=VAL, seed=2, first_id=500)
    builder.write()
    return builder


def move(root: Path, source: CocoBuilder, split: str, annotations: str, images: str) -> None:
    """Copy a split's files to other places below a folder."""
    (root / annotations).parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(source.file(split), root / annotations)
    shutil.copytree(source.folder(split), root / images, dirs_exist_ok=True)


def places(train: tuple[str, str], val: tuple[str, str] | None = None) -> Build:
    def build(root: Path, source: CocoBuilder) -> None:
        move(root, source, "train", *train)
        if val is not None:
            move(root, source, "val", *val)

    return build


KEYPOINTS = "annotations/person_keypoints_{}.json"
LAYOUTS: dict[str, Build] = {
    "COCO's": places(
        (KEYPOINTS.format("train2017"), "images/train2017"), (KEYPOINTS.format("val2017"), "images/val2017")
    ),
    "COCO's without years": places(
        (KEYPOINTS.format("train"), "images/train"), (KEYPOINTS.format("val"), "images/val")
    ),
    "COCO's archives": places((KEYPOINTS.format("train2017"), "train2017"), (KEYPOINTS.format("val2017"), "val2017")),
    "Roboflow's": places(("train/_annotations.coco.json", "train"), ("valid/_annotations.coco.json", "valid")),
    "CVAT's subsets": places(
        (KEYPOINTS.format("Train"), "images/Train"), (KEYPOINTS.format("Validation"), "images/Validation")
    ),
    "one folder of images": places((KEYPOINTS.format("train2017"), "images"), (KEYPOINTS.format("val2017"), "images")),
}
SINGLE: dict[str, Build] = {
    "CVAT's": places((KEYPOINTS.format("default"), "images/default")),
    "a single file": places(("annotations.json", "images")),
    "a single file beside its images": places(("annotations.json", ".")),
    "Label Studio's": places(("result.json", "images")),
    "Roboflow's, not split": places(("train/_annotations.coco.json", "train")),
}
"""Without a split to report on."""


def images_of(split: PackedSplit) -> dict[int, bytes]:
    return {split.image_id(p): split.read_image(p).tobytes() for p in range(len(split))}


@pytest.mark.parametrize("name", LAYOUTS)
def test_every_layout_is_the_same_data_set(tmp_path: Path, source: CocoBuilder, name: str) -> None:
    root = tmp_path / "other"
    LAYOUTS[name](root, source)
    for split in ("train", "val", "report", "select"):
        found, wanted = (open_split(each, split) for each in (root, source.root))
        assert images_of(found) == images_of(wanted)
        np.testing.assert_array_equal(found.truth.keypoints, wanted.truth.keypoints)
    result = check(root)
    assert result.problems == []
    assert result.as_document()["images"] == TRAIN + VAL
    assert "no-split" not in {note.kind for note in result.notes}
    assert sum(len(tally.sizes) for tally in folder_stats(root).values()) == TRAIN + VAL


@pytest.mark.parametrize("name", SINGLE)
def test_a_single_split_is_trained_on_and_a_tenth_of_it_reported_on(tmp_path: Path, name: str) -> None:
    builder = CocoBuilder(tmp_path / "coco")
    builder.fill("train", images=60)
    builder.write()
    root = tmp_path / "other"
    SINGLE[name](root, builder)
    everything = {*images_of(open_split(root, "train"))}
    select, report, val = ({*images_of(open_split(root, split))} for split in ("select", "report", "val"))
    trained = {*images_of(open_split(root, "train", hold_out_select=True, hold_out_val=True))}
    assert everything == {*range(1, 61)}
    assert select == {i for i in everything if in_select(i)}
    assert report == val == {i for i in everything if in_val(i)}
    assert not (select & report) | (select & trained) | (report & trained)
    assert select | report | trained == everything
    (note,) = [note for note in open_split(root, "report").notes if note.kind == "val-from-train"]
    assert note.count == len(report)
    assert check(root).problems == []


def test_the_tenths_are_those_that_they_have_always_been() -> None:
    """By SHA-256 of the id alone, on every machine: written down once."""
    assert [i for i in range(60) if in_select(i)] == SELECTED
    assert [i for i in range(60) if in_val(i)] == STANDING_IN


SELECTED = [0, 7, 9, 10, 33, 40, 44, 51, 57, 59]
STANDING_IN = [14, 17, 26, 31]


def test_the_fingerprint_of_cocos_layout_is_that_of_earlier_versions(tmp_path: Path) -> None:
    """If this fails, every study that was begun before would be refused."""
    folder = tmp_path / "annotations"
    folder.mkdir()
    for split, text in (("train", '{"images": [1]}'), ("val", '{"images": [2]}')):
        (folder / f"person_keypoints_{split}2017.json").write_text(text)
    assert fingerprint(tmp_path) == "b2da169cb9525dea"
    (folder / "instances_train2017.json").write_text("{}")
    (tmp_path / "notes.json").write_text("{}")
    assert fingerprint(tmp_path) == "b2da169cb9525dea", "of what is read alone"
    (folder / "person_keypoints_val2017.json").write_text('{"images": [3]}')
    assert fingerprint(tmp_path) != "b2da169cb9525dea"


def test_coco_minis_fingerprint(coco_mini: Path) -> None:
    assert fingerprint(coco_mini) == "07b8f985fec7db68"


def named(source: CocoBuilder, *splits: str) -> DataFiles:
    files = {}
    for split in splits:
        files |= {f"{split}_annotations": source.file(split), f"{split}_images": source.folder(split)}
    return DataFiles(**files)


def test_files_that_are_named_outright_are_the_same_data_set(source: CocoBuilder) -> None:
    data = DataSet.of(None, named(source, "train", "val"))
    assert split_names(data) == ["train", "val"]
    for split in ("train", "val", "report", "select"):
        assert images_of(open_split(data, split)) == images_of(open_split(source.root, split))
    assert fingerprint(data) == fingerprint(source.root), "the same study"
    assert check(data).problems == []


def test_named_files_take_the_place_of_a_folders_splits(source: CocoBuilder, tmp_path: Path) -> None:
    other = CocoBuilder(tmp_path / "other")
    other.fill("train", images=4, seed=9, first_id=900)
    other.fill("report", images=2, seed=9, first_id=950)
    other.fill("select", images=2, seed=9, first_id=970)
    other.write()
    data = DataSet.of(other.root, named(source, "val"))
    assert {*images_of(open_split(data, "train"))} == {900, 901, 902, 903}
    assert {*images_of(open_split(data, "report"))} == {500, 501, 502}, "val, named, is what is reported on"
    assert split_names(data) == ["select", "train", "val"]
    data = DataSet.of(other.root, named(source, "train"))
    assert {*images_of(open_split(data, "train"))} == {*range(1, TRAIN + 1)}
    assert {*images_of(open_split(data, "select"))} <= {*range(1, TRAIN + 1)}, "the folder's is of another train"
    assert {*images_of(open_split(data, "report"))} == {950, 951}


def test_without_a_folder_nothing_is_looked_for(source: CocoBuilder) -> None:
    """A val split lies beside the named file; but nobody named it."""
    data = DataSet.of(None, named(source, "train"))
    assert split_names(data) == ["train"]
    assert {*images_of(open_split(data, "val"))} <= {*range(1, TRAIN + 1)}
    alone = DataSet.of(None, named(source, "val"))
    with pytest.raises(DataError, match="there is no split `train`: only the files of val are given"):
        open_split(alone, "train")
    assert len(open_split(alone, "val")) == VAL
    with pytest.raises(DataError, match="give the folder"):
        DataSet.of(None)


@pytest.mark.parametrize("given", [{"train_annotations": "a.json"}, {"val_images": "b"}])
def test_one_of_two_files_is_refused_with_the_other(given: dict[str, str]) -> None:
    (name,) = given
    other = name.replace("annotations", "*").replace("images", "annotations").replace("*", "images")
    with pytest.raises(ValueError, match=f"{name} needs {other}"):
        DataFiles(**given)


def test_what_serves_as_train_is_told_and_scoring_splits_never_do(tmp_path: Path, source: CocoBuilder) -> None:
    root = tmp_path / "cvat"
    SINGLE["CVAT's"](root, source)
    files = find_split(root, "train")
    assert files is not None
    assert (files.name, files.images) == ("default", root / "images/default")
    assert [note.kind for note in files.notes] == ["only-split"]
    assert find_split(root, "default") is not None
    assert len(open_split(root, "default")) == TRAIN
    for name in ("test", "valid", "report"):
        other = tmp_path / name
        move(other, source, "train", KEYPOINTS.format(name), f"images/{name}")
        with pytest.raises(DataError, match=rf"no split `train` \(splits here: {name}\)"):
            require_split(other, "train")


def test_two_splits_of_unknown_names_are_not_guessed_between(tmp_path: Path, source: CocoBuilder) -> None:
    for name in ("monday", "tuesday"):
        move(tmp_path / "two", source, "train", KEYPOINTS.format(name), f"images/{name}")
    with pytest.raises(DataError, match=r"splits here: monday, tuesday.*--train-annotations FILE --train-images DIR"):
        open_split(tmp_path / "two", "train")
    assert len(open_split(tmp_path / "two", "monday")) == TRAIN


def test_of_two_layouts_one_is_taken_and_the_other_named(tmp_path: Path, source: CocoBuilder) -> None:
    root = tmp_path / "both"
    LAYOUTS["COCO's"](root, source)
    move(root, source, "val", "train/_annotations.coco.json", "train")
    split = open_split(root, "train")
    assert len(split) == TRAIN
    (note,) = split.notes
    assert note.kind == "layout-not-read"
    assert str(root / "train/_annotations.coco.json") in note.text
    assert note in check(root).notes


def test_a_folder_in_no_layout_says_what_was_looked_for_and_what_is_there(tmp_path: Path) -> None:
    (tmp_path / "labels").mkdir()
    (tmp_path / "labels/people.json").write_text("{}")
    for call in (lambda: open_split(tmp_path, "train"), lambda: check(tmp_path), lambda: folder_stats(tmp_path)):
        with pytest.raises(DataError) as caught:
            call()
        for words in ("no split `train`", "_annotations.coco.json", "labels/people.json", "--train-annotations FILE"):
            assert words in str(caught.value)
    with pytest.raises(DataError, match="--train-annotations FILE --train-images DIR"):
        open_split(tmp_path / "labels/people.json", "train")


# Training


def settings_of(**others: object) -> TrainSettings:
    return TrainSettings.model_validate({"steps": 2, "network": "small", "size": 64, **others})


@pytest.mark.parametrize("val_split", ["val", "report"])
def test_training_never_sees_what_stands_in_for_val(tmp_path: Path, val_split: str) -> None:
    builder = CocoBuilder(tmp_path)
    builder.fill("train", images=40)
    train, val = open_training_splits(settings_of(data=builder.write(), val_split=val_split))
    trained, scored = ({each.image_id(p) for p in range(len(each))} for each in (train, val))
    assert trained | scored == {*range(1, 41)}
    assert not trained & scored
    assert "val-from-train" in {note.kind for note in val.notes}


def test_a_set_without_val_that_is_scored_on_select_trains_on_what_it_did(tmp_path: Path) -> None:
    builder = CocoBuilder(tmp_path)
    builder.fill("train", images=40)
    train, _ = open_training_splits(settings_of(data=builder.write(), val_split="select"))
    assert {train.image_id(p) for p in range(len(train))} == {i for i in range(1, 41) if not in_select(i)}


def test_what_is_scored_on_what_is_trained_on_is_told(tmp_path: Path) -> None:
    builder = CocoBuilder(tmp_path / "one")
    builder.fill("train", images=5)
    root = builder.write()
    _, val = open_training_splits(settings_of(data=root, val_split="train"))
    (note,) = [note for note in val.notes if note.kind == "scored-on-train"]
    assert note.count == 5
    copied = tmp_path / "copied"
    move(copied, builder, "train", KEYPOINTS.format("train"), "images/train")
    move(copied, builder, "train", KEYPOINTS.format("val"), "images/val")
    _, val = open_training_splits(settings_of(data=copied))
    assert "scored-on-train" in {note.kind for note in val.notes}
    other = CocoBuilder(tmp_path / "other")
    other.fill("train", images=5, seed=1)
    other.fill("val", images=5, seed=2)  # frames of another clip: the same ids and names
    _, val = open_training_splits(settings_of(data=other.write()))
    assert "scored-on-train" not in {note.kind for note in val.notes}


def test_a_run_on_named_files_needs_no_folder_and_is_the_same_run(source: CocoBuilder) -> None:
    plain = settings_of(data=source.root)
    files = settings_of(files=named(source, "train", "val"))
    assert files.data == source.file("train")
    for one, other in zip(open_training_splits(plain), open_training_splits(files), strict=True):
        assert images_of(one) == images_of(other)
    assert identity_of(plain, {}, 1) == identity_of(files, {}, 1), "it can be gone on with from either"
    assert "exif" not in identity_of(plain, {}, 1), "runs of earlier versions have no such setting"
    assert identity_of(settings_of(data=source.root, exif="follow"), {}, 1)["exif"] == "follow"


def test_evaluation_of_named_files(source: CocoBuilder) -> None:
    network = build_network("small", seed=0)
    loader = LoaderSettings(batch_size=VAL)
    data = DataSet.of(None, named(source, "val"))
    assert evaluate(network, data, size=64, loader=loader) == evaluate(network, source.root, size=64, loader=loader)


def test_data_check_tells_of_the_same_pictures_in_two_splits(tmp_path: Path, source: CocoBuilder) -> None:
    shared = source.folder("train") / f"{1:012d}.jpg"
    entry = json.loads(source.file("val").read_text())["images"][0]
    shutil.copy(shared, source.folder("val") / entry["file_name"])
    size = {
        "width": source.split("train")["images"][0]["width"],
        "height": source.split("train")["images"][0]["height"],
    }
    document = json.loads(source.file("val").read_text())
    document["images"][0] |= size
    document["annotations"] = [a for a in document["annotations"] if a["image_id"] != entry["id"]]
    source.file("val").write_text(json.dumps(document))
    result = check(source.root)
    assert result.problems == []
    (note,) = [note for note in result.notes if note.kind == "in-two-splits"]
    assert (note.count, "1 of the 3 images of `val`" in note.text) == (1, True)
    copied = tmp_path / "copied"
    move(copied, source, "train", KEYPOINTS.format("train"), "images/train")
    move(copied, source, "train", KEYPOINTS.format("val"), "images/val")
    (note,) = [note for note in check(copied).notes if note.kind == "in-two-splits"]
    assert note.count == TRAIN


def test_data_check_tells_where_every_image_is_the_same(tmp_path: Path) -> None:
    pixels = np.full((64, 80, 3), 90, np.uint8)
    for same in (True, False):
        builder = CocoBuilder(tmp_path / str(same))
        for image_id in range(1, 4):
            builder.image("train", image_id, pixels=pixels + np.uint8(0 if same else image_id))
            builder.person("train", image_id)
        notes = {note.kind: note for note in check(builder.write()).notes}
        assert ("all-the-same" in notes) == same
        assert not same or notes["all-the-same"].count == 3


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root can be another user")
@pytest.mark.parametrize(("closed", "said"), [("images/train2017", "cannot be looked into"), (".", "cannot be read")])
def test_a_folder_of_another_user_is_said(coco_builder: CocoBuilder, tmp_path: Path, closed: str, said: str) -> None:
    for number in (1, 2):
        coco_builder.image("train", number)
        coco_builder.person("train", number)
    coco_builder.write()
    for folder in (tmp_path, *tmp_path.parents):
        if folder.stat().st_mode & 0o001 == 0:
            folder.chmod(folder.stat().st_mode | 0o011)
    (coco_builder.root / closed).chmod(0o700)

    def as_another() -> None:
        os.setgid(54321)
        os.setuid(54321)
        for look in (check, lambda root: open_split(root, "train")):
            try:
                found = str(look(coco_builder.root).problems)
            except DataError as error:
                found = str(error)
            assert said in found, found

    child = multiprocessing.get_context("fork").Process(target=as_another)
    child.start()
    child.join()
    assert child.exitcode == 0
