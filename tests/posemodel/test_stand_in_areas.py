"""AP with areas that stand in, against AP with those annotated; and AP of joints in another order, which is the same.

What is scored are perturbed true people: some near, some far, so that AP lies in the middle and hangs on the areas.
"""

import copy
import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pycocotools import mask as coco_mask

from posemodel.config import InputSettings
from posemodel.data.annotations.reading import read
from posemodel.data.open_split import open_split
from posemodel.data.packing import pack_truth
from posemodel.scoring.figures import Predictions, keypoint_areas, keypoint_figures
from posemodel.scoring.oracle import ceiling_scores, oracle_scores
from posemodel.skeleton import COCO_KEYPOINTS, COCO_PERSON
from posemodel.synthetic import generate

SEEDS = range(5)
Document = dict[str, Any]


@pytest.fixture(scope="module")
def synthetic(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("synthetic") / "people"
    generate(folder, images=40, seed=3, num_workers=0)
    return folder


@pytest.fixture(params=["coco-mini", "synthetic"])
def folder(request: pytest.FixtureRequest) -> Path:
    name = {"coco-mini": "coco_mini"}.get(request.param, request.param)
    return request.getfixturevalue(name)


def train_document(folder: Path) -> Document:
    return json.loads((folder / "annotations" / "person_keypoints_train2017.json").read_text())


def perturbed(document: Document, seed: int) -> Predictions:
    """True people, each moved by 0.1 to 1.2 times what OKS calls a deviation, the nearer ones scored higher."""
    rng, truth = np.random.default_rng(seed), pack_truth(document)
    labelled = (truth.keypoints[..., 2] > 0).any(1) & ~truth.crowd
    keypoints = truth.keypoints[labelled].astype(np.float64)
    spread = rng.uniform(0.1, 1.2, len(keypoints))
    deviations = 2 * COCO_PERSON.oks_sigmas * (np.sqrt(truth.areas[labelled]) * spread)[:, None]
    keypoints[..., :2] += rng.normal(size=keypoints[..., :2].shape) * deviations[..., None]
    scores = np.clip(1 - spread / 2 + rng.normal(0, 0.15, len(keypoints)), 0.01, 1)
    ids = np.repeat(truth.image_ids, np.diff(truth.start))[labelled]
    return Predictions(ids, keypoints, scores, keypoint_areas(keypoints))


def ap(document: Document, found: Predictions) -> float:
    read_document, _, problems = read(document, Path("x.json"))
    assert not problems
    truth = pack_truth(read_document)
    figure = keypoint_figures(truth, np.arange(len(truth.image_ids)), found, COCO_PERSON)[0]
    assert figure is not None
    return figure


def changed(document: Document, change: Callable[[dict[str, Any]], object]) -> Document:
    """A copy with another form of everybody who has labelled joints."""
    document = copy.deepcopy(document)
    for annotation in document["annotations"]:
        if annotation["num_keypoints"] and not annotation["iscrowd"]:
            change(annotation)
    return document


def differences(
    folder: Path, change: Callable[[dict[str, Any]], object], seeds: Iterable[int] = SEEDS, stand_in: str = ""
) -> list[float]:
    document = train_document(folder)
    other = changed(document, change)
    assert [note.kind for note in read(document, Path("x.json")).notes] == []
    if stand_in:
        kinds = [note.kind for note in read(other, Path("x.json")).notes]
        assert [kind for kind in kinds if kind.startswith("area")] == [f"area-from-{stand_in}"]
    found = [perturbed(document, seed) for seed in seeds]
    true = [ap(document, each) for each in found]
    assert 0.2 < np.mean(true) < 0.9, "in the middle, where areas matter"
    return [ap(other, each) - annotated for each, annotated in zip(found, true, strict=True)]


def test_areas_of_masks_score_as_those_annotated(coco_mini: Path) -> None:
    found = differences(coco_mini, lambda person: person.update(area=0), stand_in="mask")
    assert max(map(abs, found)) < 0.001, found


def test_areas_of_masks_without_holes_score_as_those_of_pixels(synthetic: Path) -> None:
    """Polygons fill what is seen between arm and trunk; the area annotated there is that of the pixels."""
    found = differences(synthetic, lambda person: person.update(area=0), stand_in="mask")
    assert np.mean(np.abs(found)) < 0.01, found


def test_areas_of_run_lengths_score_as_those_annotated(coco_mini: Path) -> None:
    sizes = {image["id"]: (image["height"], image["width"]) for image in train_document(coco_mini)["images"]}

    def change(person: dict[str, Any]) -> None:
        if isinstance(person["segmentation"], list):
            height, width = sizes[person["image_id"]]
            rle = coco_mask.merge(coco_mask.frPyObjects(person["segmentation"], height, width))
            person["segmentation"] = {"size": [height, width], "counts": rle["counts"].decode()}
        del person["area"]

    found = differences(coco_mini, change, stand_in="mask")
    assert max(map(abs, found)) < 0.01, found


@pytest.mark.parametrize(
    "lost", [{"segmentation": []}, {"segmentation": [], "bbox": [0, 0, 0, 0]}], ids=["box", "joints"]
)
def test_areas_of_boxes_and_of_joints_score_nearly_so(coco_mini: Path, lost: dict[str, Any]) -> None:
    found = differences(
        coco_mini, lambda person: person.update(area=0, **lost), stand_in="joints" if "bbox" in lost else "box"
    )
    assert np.mean(np.abs(found)) < 0.04, found
    assert any(found), "these areas are others"


def test_area_0_is_not_what_is_scored(coco_mini: Path) -> None:
    """As it was before there were stand-ins: nobody is ever found."""
    document = train_document(coco_mini)
    zero = changed(document, lambda person: person.update(area=0))
    truth = pack_truth(zero)
    figures = keypoint_figures(truth, np.arange(len(truth.image_ids)), perturbed(document, 0), COCO_PERSON)
    assert figures[0] == 0


# --- another order of joints ----------------------------------------------------------------------------------------


def in_order(document: Document, order: list[int]) -> Document:
    document = copy.deepcopy(document)
    document["categories"][0]["keypoints"] = [COCO_KEYPOINTS[place] for place in order]
    for annotation in document["annotations"]:
        flat = annotation["keypoints"]
        annotation["keypoints"] = [value for place in order for value in flat[3 * place : 3 * place + 3]]
    return document


def test_another_order_of_joints_scores_the_same(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "annotations").mkdir()
    (tmp_path / "images").symlink_to(folder / "images")
    order = sorted(range(17), key=lambda place: COCO_KEYPOINTS[place])
    for file in (folder / "annotations").glob("person_keypoints_*.json"):
        other = in_order(json.loads(file.read_text()), order)
        (tmp_path / "annotations" / file.name).write_text(json.dumps(other))
    plain, other = open_split(folder, "val"), open_split(tmp_path, "val")
    assert [note.kind for note in other.notes if note.acts] == ["reordered"]
    geometry = InputSettings(size=368, stride=8)
    assert oracle_scores(other, geometry) == oracle_scores(plain, geometry)
    assert ceiling_scores(other) == ceiling_scores(plain)
    document = train_document(folder)
    for seed in SEEDS:
        found = perturbed(document, seed)
        assert ap(in_order(document, order), found) == ap(document, found)
