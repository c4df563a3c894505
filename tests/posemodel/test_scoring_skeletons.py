"""Scores of any number of keypoints: pycocotools' own with `kpt_oks_sigmas` set, to the last digit."""

import contextlib
import io
import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval, Params

from posemodel.config import InputSettings, LoaderSettings
from posemodel.data.open_split import open_split
from posemodel.data.truth import Truth
from posemodel.errors import DataError
from posemodel.network import build_network
from posemodel.scoring import figures as coco_figures
from posemodel.scoring.evaluation import evaluate, predict_split, split_scorer
from posemodel.scoring.figures import Predictions, keypoint_areas, keypoint_figures
from posemodel.scoring.results_file import score_file
from posemodel.scoring.samples import draw_samples, predict_samples
from posemodel.scoring.scorer import BEST, KeypointScorer
from posemodel.skeleton import COCO_PERSON, Skeleton
from tests.support.coco_builder import CocoBuilder
from tests.support.keypoint_sets import write_set

AREAS = (0.0, 20.0**2, 32.0**2, 60.0**2, 96.0**2, 200.0**2)
"""Areas of objects: 0 stands for a missing one, and two are on the borders of COCO's sizes."""
CPU = torch.device("cpu")


def chain(points: int, seed: int = 0) -> Skeleton:
    """A skeleton of this many keypoints with sigmas of their own."""
    sigmas = np.random.default_rng(seed).uniform(0.01, 0.2, points)
    names = tuple(f"point_{number}" for number in range(points))
    return Skeleton("chain", names, tuple((a, a + 1) for a in range(points - 1)), tuple(sigmas.tolist()))


# --- equal to pycocotools -------------------------------------------------------------------------------------------


def random_objects(rng: np.random.Generator, points: int) -> list[list[dict[str, Any]]]:
    """Annotated objects of each of some images: crowds, declared blank ones, some without any labelled keypoint."""
    images = []
    for _ in range(rng.integers(1, 5)):
        objects = []
        for _ in range(rng.integers(0, 5)):
            keypoints = np.zeros((points, 3))
            keypoints[:, :2] = rng.integers(0, 800, 2) + rng.integers(0, 1600, (points, 2)) / 8
            keypoints[:, 2] = rng.integers(0, 3, points) * (rng.random(points) < rng.choice([0.0, 0.4, 1.0]))
            kind = rng.choice(["object", "crowd", "declared blank"], p=[0.75, 0.1, 0.15])
            low, size = keypoints[:, :2].min(axis=0), np.ptp(keypoints[:, :2], axis=0)
            objects.append(
                {
                    "keypoints": keypoints.ravel().tolist(),
                    "bbox": [*low.tolist(), *size.tolist()],
                    "area": float(rng.choice(AREAS)),
                    "iscrowd": int(kind == "crowd"),
                    "num_keypoints": 0 if kind == "declared blank" else int((keypoints[:, 2] > 0).sum()),
                    "category_id": 7,
                }
            )
        images.append(objects)
    return images


def truth_of(images: list[list[dict[str, Any]]], points: int) -> Truth:
    objects = [each for image in images for each in image]
    crowd = np.array([each["iscrowd"] == 1 for each in objects], bool)
    return Truth(
        image_ids=np.arange(1, len(images) + 1),
        start=np.append(0, np.cumsum([len(image) for image in images])),
        keypoints=np.array([each["keypoints"] for each in objects], np.float32).reshape(-1, points, 3),
        boxes=np.array([each["bbox"] for each in objects], np.float64).reshape(-1, 4),
        areas=np.array([each["area"] for each in objects], np.float64),
        crowd=crowd,
        ignored=crowd | np.array([each["num_keypoints"] == 0 for each in objects], bool),
    )


def random_predictions(rng: np.random.Generator, truth: Truth, *, ties: bool) -> Predictions:
    points = truth.keypoints.shape[1]
    number = int(rng.integers(0, 30))
    image_ids = rng.choice(truth.image_ids, number)
    keypoints = rng.uniform(0, 900, (number, points, 3))
    for row, image_id in zip(keypoints, image_ids, strict=True):
        own = np.arange(truth.start[image_id - 1], truth.start[image_id])
        if len(own) and rng.random() < 0.9:
            row[:] = truth.keypoints[rng.choice(own)]
            row[:, :2] += rng.normal(0, rng.choice([0.0, 2.0, 8.0, 30.0]), (points, 2))
    scores = rng.choice([0.25, 0.5, 0.75], number) if ties else rng.uniform(0, 1, number)
    return Predictions(image_ids, keypoints, scores, keypoint_areas(keypoints))


def plain_pycocotools(images: list[list[dict[str, Any]]], found: Predictions, skeleton: Skeleton) -> list[float]:
    """The ten figures by pycocotools alone."""
    annotations = [each | {"image_id": image} for image, objects in enumerate(images, 1) for each in objects]
    results = [
        {"image_id": image, "category_id": 7, "keypoints": keypoints.ravel().tolist(), "score": score}
        for image, keypoints, score in zip(
            found.image_ids.tolist(), found.keypoints, found.scores.tolist(), strict=True
        )
    ]
    document = {
        "images": [{"id": image} for image in range(1, len(images) + 1)],
        "categories": [{"id": 7, "name": skeleton.name}],
        "annotations": [each | {"id": number} for number, each in enumerate(annotations, 1)],
    }
    with contextlib.redirect_stdout(io.StringIO()):
        truth, others = COCO(), COCO()
        truth.dataset = document
        truth.createIndex()
        if results:
            others = truth.loadRes(results)
        else:
            others.dataset = document | {"annotations": []}
            others.createIndex()
        evaluation = COCOeval(truth, others, "keypoints")
        evaluation.params.kpt_oks_sigmas = np.array(skeleton.sigmas)
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return [float(value) for value in evaluation.stats]


@pytest.mark.parametrize("points", [1, 2, 17, 21, 68, 133, 294])
@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**32), ties=st.booleans())
def test_any_keypoints_score_as_by_plain_pycocotools(points: int, seed: int, ties: bool) -> None:
    rng, skeleton = np.random.default_rng(seed), chain(points)
    images = random_objects(rng, points)
    truth = truth_of(images, points)
    found = random_predictions(rng, truth, ties=ties)
    figures = keypoint_figures(truth, np.arange(len(images)), found, skeleton)
    assert [-1 if value is None else value for value in figures] == plain_pycocotools(images, found, skeleton)


def test_the_sigmas_decide() -> None:
    """One object a tenth of its side off: right for wide sigmas, wrong for narrow ones."""
    keypoints = np.array([[[10, 10, 2], [50, 50, 2]]], np.float32)
    (box,), area = [[10.0, 10, 100, 100]], 100.0**2
    truth = Truth(
        image_ids=np.array([1]),
        start=np.array([0, 1]),
        keypoints=keypoints,
        boxes=np.array([box]),
        areas=np.array([area]),
        crowd=np.zeros(1, bool),
        ignored=np.zeros(1, bool),
    )
    moved = keypoints.astype(np.float64) + np.array([10, 0, 0])
    found = Predictions(np.array([1]), moved, np.ones(1), keypoint_areas(moved))
    rows = np.array([0])

    def ap50(sigma: float) -> float | None:
        return keypoint_figures(truth, rows, found, Skeleton("pair", ("a", "b"), ((0, 1),), (sigma,) * 2))[1]

    # OKS = exp(-(10 / 100)^2 / (2 (2 sigma)^2)): 0.61 at sigma 0.05, 0.04 at 0.02.
    assert ap50(0.05) == pytest.approx(1)
    assert ap50(0.02) == 0


@pytest.mark.parametrize("ties", [False, True])
def test_of_many_objects_the_best_are_kept_and_score_the_same(ties: bool) -> None:
    assert Params(iouType="keypoints").maxDets == [BEST]
    rng, skeleton = np.random.default_rng(4), chain(21)
    truth = truth_of(random_objects(rng, 21) + random_objects(rng, 21), 21)
    scorer, every = KeypointScorer(truth, skeleton), []
    for image_id, first, last in zip(truth.image_ids.tolist(), truth.start[:-1], truth.start[1:], strict=True):
        people = np.round(rng.uniform(0, 900, (70, 21, 3)), 3)
        people[rng.permutation(70)[: last - first]] = truth.keypoints[first:last]
        scores = rng.choice([0.25, 0.5, 0.75], 70) if ties else rng.uniform(0, 1, 70)
        scorer.add(image_id, people, scores)
        every.append((np.full(70, image_id), people, scores))
    found = Predictions(*map(np.concatenate, zip(*every, strict=True)), np.zeros(0))
    found = found._replace(areas=keypoint_areas(found.keypoints))
    figures = keypoint_figures(truth, np.arange(len(truth.image_ids)), found, skeleton)
    assert [*scorer.stats().as_row().values()][:10] == figures
    assert len(scorer.results) == BEST * len(truth.image_ids)


def test_of_coco_s_people_all_are_kept() -> None:
    scorer = KeypointScorer(truth_of([[]], 17), COCO_PERSON)
    scorer.add(1, np.ones((70, 18, 3)), np.linspace(1, 0, 70))
    assert len(scorer.results) == 70


@pytest.mark.parametrize("block", [1, 68, 200])
def test_however_many_pairs_are_compared_at_a_time(block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    rng, skeleton = np.random.default_rng(3), chain(68)
    images = random_objects(rng, 68) * 3
    truth = truth_of(images, 68)
    found = random_predictions(rng, truth, ties=False)
    expected = keypoint_figures(truth, np.arange(len(images)), found, skeleton)
    monkeypatch.setattr(coco_figures, "BLOCK_POINTS", block)
    assert keypoint_figures(truth, np.arange(len(images)), found, skeleton) == expected


# --- from annotation files to scores --------------------------------------------------------------------------------

NAMES = ("wrist", "left_tip", "right_tip", "thumb")
HAND = {"id": 5, "name": "hand", "keypoints": list(NAMES), "skeleton": [[1, 2], [1, 3], [1, 4]]}
SHAPE = np.array([(0.5, 0.9), (0.1, 0.1), (0.9, 0.1), (0.2, 0.6)])


def add_hand(builder: CocoBuilder, split: str, image_id: int, box: tuple[float, float, float, float], **changes: Any):
    keypoints = np.full((4, 3), 2.0)
    keypoints[:, :2] = np.array(box[:2]) + SHAPE * box[2:]
    return builder.person(
        split, image_id, box=box, keypoints=keypoints.round(1).ravel().tolist(), category_id=5, **changes
    )


@pytest.fixture
def hands(coco_builder: CocoBuilder) -> Path:
    """Splits of images with one or two hands."""
    for split, first in (("train", 1), ("val", 100)):
        coco_builder.split(split)["categories"] = [HAND]
        for number in range(4):
            coco_builder.image(split, first + number, 120, 90)
            add_hand(coco_builder, split, first + number, (10, 10, 50, 60))
            if number % 2:
                add_hand(coco_builder, split, first + number, (65, 20, 45, 50))
    return coco_builder.write()


def perfect(split: Any, shift: float = 0.0) -> KeypointScorer:
    scorer = split_scorer(split)
    for position in range(len(split)):
        people = split.people(position).astype(np.float64)
        people[..., :2] += shift
        scorer.add(split.image_id(position), people, np.linspace(0.9, 0.8, len(people)))
    return scorer


def file_of(root: Path, split: str = "val") -> Path:
    return root / "annotations" / f"person_keypoints_{split}2017.json"


def test_results_of_another_category_score_the_same_from_a_file(hands: Path, tmp_path: Path) -> None:
    split = open_split(hands, "val")
    scorer = perfect(split, 2.5)
    assert 0 < scorer.stats().ap < 1
    scorer.write_predictions(tmp_path / "found.json")
    results = json.loads((tmp_path / "found.json").read_text())
    assert {each["category_id"] for each in results} == {5}
    assert results[0]["category_name"] == "hand"
    assert results[0]["keypoint_names"] == list(NAMES)
    assert score_file(tmp_path / "found.json", file_of(hands)) == scorer.stats()


def test_results_by_name_count_in_any_order(hands: Path, tmp_path: Path) -> None:
    """Results of a network whose keypoints are in another order than the annotation file's."""
    scorer = perfect(open_split(hands, "val"), 1.0)
    order = [2, 0, 3, 1]
    results = [
        each
        | {
            "keypoints": np.array(each["keypoints"]).reshape(4, 3)[order].ravel().tolist(),
            "keypoint_names": [NAMES[index] for index in order],
        }
        for each in scorer.results
    ]
    file = tmp_path / "found.json"
    file.write_text(json.dumps(results))
    assert score_file(file, file_of(hands)) == scorer.stats()
    for each in results:
        del each["keypoint_names"]
    file.write_text(json.dumps(results))
    assert score_file(file, file_of(hands)).ap == 0, "without names they are in the file's order"


def test_results_without_names_are_in_the_order_of_their_category(tmp_path: Path) -> None:
    builder = write_set(tmp_path, ["a", "b", "c"], categories=("cat", "dog"))
    document = builder.split("val")
    document["categories"][1] |= {"id": "4", "keypoints": ["c", "b", "a"]}
    builder.write()
    results = [
        {name: entry[name] for name in ("image_id", "category_id", "keypoints")} | {"score": 1.0}
        for entry in document["annotations"]
    ]
    assert {each["category_id"] for each in results} == {3, 4}
    file = tmp_path / "found.json"
    file.write_text(json.dumps(results))
    assert score_file(file, file_of(tmp_path)).ap == pytest.approx(1)
    file.write_text(json.dumps([each | {"keypoint_names": ["a", "b", "c"]} for each in results]))
    assert score_file(file, file_of(tmp_path)).ap < 0.9, "the names count more"


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"keypoints": [1.0] * 51}, "result 0: `keypoints` must hold 12 finite numbers (4 x, y, v)"),
        ({"category_id": 1}, "`category_id` 1 is no object in"),
        ({"keypoint_names": ["a", "b", "c", "d"]}, "`keypoint_names` must be the 4 keypoints"),
        ({"keypoint_names": list(NAMES[:3])}, "`keypoint_names` must be the 4 keypoints"),
        ({"keypoint_names": "wrist"}, "in any order: wrist, left_tip, right_tip, thumb."),
        ({"keypoint_names": [1, 2, 3, 4]}, "`keypoint_names` must be the 4 keypoints"),
    ],
)
def test_results_that_do_not_fit_the_category(hands: Path, tmp_path: Path, changes: dict[str, Any], said: str) -> None:
    result = {"image_id": 100, "category_id": 5, "keypoints": [1.0] * 12, "score": 0.5}
    file = tmp_path / "found.json"
    file.write_text(json.dumps([result]))
    score_file(file, file_of(hands))
    file.write_text(json.dumps([result | changes]))
    with pytest.raises(DataError) as caught:
        score_file(file, file_of(hands))
    assert said in str(caught.value)


def test_results_of_coco_s_people_name_nothing(coco_builder: CocoBuilder, tmp_path: Path) -> None:
    coco_builder.image("val", 1)
    coco_builder.person("val", 1)
    perfect(open_split(coco_builder.write(), "val")).write_predictions(tmp_path / "found.json")
    (result,) = json.loads((tmp_path / "found.json").read_text())
    assert result.keys() == {"image_id", "category_id", "keypoints", "score"}


# --- a network with the skeleton ------------------------------------------------------------------------------------


def test_a_network_is_scored_with_its_skeleton(hands: Path) -> None:
    skeleton = open_split(hands, "train").skeleton
    network = build_network("small", skeleton=skeleton, seed=0)
    scores = evaluate(network, hands, size=64, loader=LoaderSettings(batch_size=2))
    assert (scores.images, scores.people) == (4, 6)


def test_a_split_of_other_points_is_refused(hands: Path, tiny_set: Path) -> None:
    network = build_network("small", seed=0)
    with pytest.raises(DataError, match="wrist"):
        evaluate(network, hands, size=64)
    geometry = InputSettings(size=64, stride=4)
    with pytest.raises(ValueError, match="its skeleton is not the network's"):
        predict_split(network, open_split(hands, "val"), geometry, CPU, LoaderSettings(batch_size=2))


def test_a_split_may_be_scored_with_other_sigmas(hands: Path) -> None:
    split = open_split(hands, "val")
    network = build_network("small", skeleton=split.skeleton, seed=0)
    wide = Skeleton(**{**vars_of(split.skeleton), "sigmas": (0.3,) * 4})
    given = open_split(hands, "val", skeleton=wide)
    geometry = InputSettings(size=64, stride=4)
    scorer = predict_split(network, given, geometry, CPU, LoaderSettings(batch_size=2))
    assert scorer.skeleton.sigmas == (0.3,) * 4


def vars_of(skeleton: Skeleton) -> dict[str, Any]:
    names = ("name", "keypoints", "limbs", "sigmas", "parts", "derived", "mirror")
    return {name: getattr(skeleton, name) for name in names}


# --- samples --------------------------------------------------------------------------------------------------------


def test_samples_carry_the_skeleton_that_they_are_drawn_with(hands: Path) -> None:
    split = open_split(hands, "val")
    network = build_network("small", skeleton=split.skeleton, seed=0)
    document = predict_samples(network, split, hands, InputSettings(size=64, stride=4), CPU)
    assert json.loads(json.dumps(document, allow_nan=False)) == document
    assert Skeleton.from_document(document["skeleton"]) == split.skeleton
    assert [len(each["keypoints"]) for each in document["annotations"]] == [12] * 6
    without = draw_samples(document | {"annotations": [], "predictions": []}, hands)
    drawn = draw_samples(document | {"predictions": []}, hands)
    assert drawn is not None
    assert without is not None
    assert 0 < (drawn != without).any(axis=-1).mean() < 0.2


def test_samples_of_coco_s_people_have_no_skeleton(tiny_set: Path) -> None:
    split = open_split(tiny_set, "train").subset([0, 1])
    document = predict_samples(build_network("small", seed=0), split, tiny_set, InputSettings(size=64, stride=4), CPU)
    assert document.keys() == {"split", "images", "annotations", "predictions"}


def test_an_object_of_one_point_is_drawn_in_a_sample(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "one.png"), np.full((40, 50, 3), 90, np.uint8))
    dot = Skeleton("dot", ("centre",), (), (0.05,))
    document = {
        "images": [{"id": 1, "file": "one.png", "width": 50, "height": 40}],
        "annotations": [],
        "predictions": [{"image_id": 1, "keypoints": [20.0, 30.0, 0.9]}],
        "skeleton": dot.as_document(),
    }
    drawn = draw_samples(document, tmp_path)
    empty = draw_samples(document | {"predictions": []}, tmp_path)
    assert drawn is not None
    assert empty is not None
    assert (drawn != empty).any()


def test_people_of_coco_are_parted_as_ever() -> None:
    """The drawn samples of COCO's people: their neck is the mean of the shoulders."""
    people = COCO_PERSON.to_parts(np.ones((1, 17, 3), np.float32))
    assert people[0, COCO_PERSON.parts.index("neck")].tolist() == [1, 1, 1]
