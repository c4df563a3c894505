import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from posemodel import skeleton
from posemodel.data.coco import open_split
from posemodel.errors import DataError
from posemodel.evaluate import KeypointScorer, Scores, score_file
from posemodel.predict import split_scorer
from tests.support.coco_builder import CocoBuilder

FIGURES = ("ap", "ap50", "ap75", "ap_medium", "ap_large", "ar", "ar50", "ar75", "ar_medium", "ar_large")


@pytest.fixture
def truth(coco_builder: CocoBuilder) -> Path:
    """8 images: small and large people, a crowd and unlabelled people."""
    for number in range(8):
        coco_builder.image("val", 100 + number, 320, 240)
        coco_builder.person("val", 100 + number, box=(10, 10, 50, 70))
        coco_builder.person("val", 100 + number, box=(120, 10 + 5 * number, 120, 170))
        if number % 2:
            coco_builder.unlabelled("val", 100 + number, box=(250, 100, 40, 80))
    rle = {"size": [240, 320], "counts": [0, 240 * 100, 240 * 220]}
    coco_builder.unlabelled("val", 100, iscrowd=1, segmentation=rle, box=(0, 0, 100, 240))
    return coco_builder.write()


def scorer_of(root: Path, shift: float = 0.0, **options: Any) -> KeypointScorer:
    """A scorer that was given the truth, every point moved by up to ``shift`` pixels, and a few false people."""
    split = open_split(root, "val")
    scorer = KeypointScorer(Path(split.annotations), **options)
    rng = np.random.default_rng(0)
    for position in range(len(split)):
        people = split.people(position).astype(np.float64)
        people[..., :2] += rng.uniform(-shift, shift, (*people.shape[:2], 2))
        scores = rng.uniform(0.2, 1, len(people))
        if shift:
            people = np.concatenate([people, rng.uniform(0, 240, (1, 18, 3))])
            scores = np.append(scores, 0.5)
        if split.image_id(position) in scorer.image_ids:
            scorer.add(split.image_id(position), people, scores)
    return scorer


def plain_pycocotools(annotations: Path, results: list[dict[str, Any]]) -> list[float]:
    truth = COCO(annotations)
    evaluation = COCOeval(truth, truth.loadRes(results), "keypoints")
    evaluation.evaluate()
    evaluation.accumulate()
    evaluation.summarize()
    return [float(value) for value in evaluation.stats]


def figures(scores: Scores) -> list[float]:
    row = scores.as_row()
    return [-1 if row[name] is None else row[name] for name in FIGURES]


def test_the_truth_scores_one(truth: Path) -> None:
    scores = scorer_of(truth).stats()
    assert figures(scores) == pytest.approx([1] * 10)
    assert (scores.images, scores.people) == (8, 16)


def test_the_truth_of_real_images_scores_one(coco_mini: Path) -> None:
    split = open_split(coco_mini, "val")
    scorer = split_scorer(split)
    for position in range(len(split)):
        people = split.people(position)
        scorer.add(split.image_id(position), people, np.ones(len(people)))
    scores = scorer.stats()
    assert scores.ap == pytest.approx(1)
    assert (scores.images, scores.people) == (4, 12)


def test_nothing_found_scores_zero(truth: Path) -> None:
    split = open_split(truth, "val")
    scorer = split_scorer(split)
    assert scorer.stats().ap == 0
    scorer.add(split.image_id(0), np.zeros((0, 18, 3)), np.zeros(0))
    assert figures(scorer.stats()) == [0] * 10


def test_everything_wrong_scores_zero(truth: Path) -> None:
    scorer = KeypointScorer(Path(open_split(truth, "val").annotations))
    scorer.add(100, np.full((1, 18, 3), 1e4), np.ones(1))
    assert scorer.stats().ap == 0


@pytest.mark.parametrize("shift", [2.0, 6.0, 15.0])
def test_equal_to_plain_pycocotools(truth: Path, shift: float) -> None:
    scorer = scorer_of(truth, shift)
    found = figures(scorer.stats())
    expected = plain_pycocotools(truth / "annotations" / "person_keypoints_val2017.json", scorer.results)
    assert found == pytest.approx(expected, abs=1e-12)
    assert 0 < found[0] < 1, "the case is one that a mistake would change"


def test_kinds_that_are_not_there_have_no_score(coco_builder: CocoBuilder) -> None:
    coco_builder.image("val", 1, 320, 240)
    coco_builder.person("val", 1, box=(120, 10, 120, 170))
    scores = scorer_of(coco_builder.write()).stats()
    assert scores.ap_medium is None
    assert scores.ar_medium is None
    assert scores.ap_large == pytest.approx(1)


def test_only_the_named_images_are_scored(truth: Path) -> None:
    root = truth
    scorer = KeypointScorer(root / "annotations" / "person_keypoints_val2017.json", image_ids=[100, 103])
    split = open_split(root, "val")
    people = split.people(0)
    scorer.add(100, people, np.ones(len(people)))
    half = scorer.stats()
    assert (half.images, half.people) == (2, 4)
    assert half.ar == pytest.approx(0.5), "the people of image 103 are missed, those of the other six do not count"
    assert split_scorer(split.subset([2, 1])).image_ids == [101, 102]


def test_scoring_twice_and_in_another_order_gives_the_same(truth: Path) -> None:
    scorer = scorer_of(truth, 6)
    first = scorer.stats()
    assert scorer.stats() == first
    scorer.results.sort(key=lambda result: -result["image_id"])
    assert scorer.stats() == first


def test_nothing_is_printed(truth: Path, capsys: pytest.CaptureFixture[str]) -> None:
    scorer_of(truth, 3).stats()
    split_scorer(open_split(truth, "val")).stats()
    assert capsys.readouterr().out == ""


def test_written_predictions_score_the_same(truth: Path, tmp_path: Path) -> None:
    scorer = scorer_of(truth, 6)
    file = tmp_path / "predictions.json"
    scorer.write_predictions(file)
    assert score_file(file, truth / "annotations" / "person_keypoints_val2017.json") == scorer.stats()
    assert [path.name for path in tmp_path.iterdir() if "predictions" in path.name] == ["predictions.json"]
    result = json.loads(file.read_text())[0]
    assert result.keys() == {"image_id", "category_id", "keypoints", "score"}
    assert len(result["keypoints"]) == 51


def test_the_person_category_keeps_its_own_id(coco_builder: CocoBuilder) -> None:
    coco_builder.image("val", 1, 320, 240)
    coco_builder.person("val", 1, box=(120, 10, 120, 170), category_id=44)
    coco_builder.split("val")["categories"][0]["id"] = 44
    scorer = scorer_of(coco_builder.write())
    assert {result["category_id"] for result in scorer.results} == {44}
    assert scorer.stats().ap == pytest.approx(1)


def test_other_categories_are_not_scored(coco_builder: CocoBuilder) -> None:
    """A file with all of COCO's categories: chairs have no keypoints."""
    coco_builder.image("val", 1, 320, 240)
    coco_builder.person("val", 1, box=(120, 10, 120, 170))
    coco_builder.split("val")["categories"].append({"id": 62, "name": "chair", "supercategory": "furniture"})
    chair = coco_builder.person("val", 1, box=(10, 10, 60, 90), category_id=62)
    for key in ("keypoints", "num_keypoints"):
        del chair[key]
    scores = scorer_of(coco_builder.write()).stats()
    assert scores.ap == pytest.approx(1)
    assert scores.people == 1


@pytest.mark.parametrize("field", ["num_keypoints", "iscrowd", "area"])
def test_fields_that_the_check_accepts_as_absent_are_not_needed(coco_builder: CocoBuilder, field: str) -> None:
    coco_builder.image("val", 1, 320, 240)
    del coco_builder.person("val", 1, box=(120, 10, 120, 170))[field]
    coco_builder.unlabelled("val", 1, box=(10, 10, 60, 90))
    try:
        scorer = scorer_of(coco_builder.write())
    except DataError:
        return  # said when the file is opened: as good
    assert scorer.stats().ap == pytest.approx(1)


# --- results files --------------------------------------------------------------------------------------------------


def result(**changes: Any) -> dict[str, Any]:
    return {"image_id": 100, "category_id": 1, "keypoints": [1.0] * 51, "score": 0.5} | changes


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("{", "cannot be read as JSON"),
        ('{"a": 1}', "must hold a list of results, holds dict"),
        (json.dumps([result(), {"image_id": 100}]), "result 1 lacks category_id, keypoints, score"),
        (json.dumps(["text"]), "result 0 lacks"),
        (json.dumps([result(image_id=5)]), "result 0 is of image 5"),
        (json.dumps([result(image_id=[5])]), "result 0 is of image"),
        (json.dumps([result(keypoints=[1, 2, 3])]), "must hold 51 finite numbers"),
        (json.dumps([result(keypoints=["a"] * 51)]), "must hold 51"),
        (json.dumps([result(keypoints=[float("nan")] * 51)]), "must hold 51"),
        (json.dumps([result(score="high")]), "`score`"),
        (json.dumps([result(score=None)]), "`score`"),
        (json.dumps([result(category_id=[1])]), "`category_id`"),
        (json.dumps([result(category_id=17)]), "`category_id`"),
    ],
)
def test_results_files_that_do_not_fit(truth: Path, tmp_path: Path, content: str, said: str) -> None:
    file = tmp_path / "results.json"
    file.write_text(content)
    with pytest.raises(DataError) as caught:
        score_file(file, truth / "annotations" / "person_keypoints_val2017.json")
    assert str(file) in str(caught.value)
    assert said in str(caught.value)


def test_absent_files_are_named(truth: Path, tmp_path: Path) -> None:
    annotations = truth / "annotations" / "person_keypoints_val2017.json"
    with pytest.raises(DataError, match=r"nothing here\.json"):
        score_file(tmp_path / "nothing here.json", annotations)
    file = tmp_path / "results.json"
    file.write_text("[]")
    with pytest.raises(DataError, match=r"no annotations\.json"):
        score_file(file, tmp_path / "no annotations.json")
    assert score_file(file, annotations).ap == 0


@pytest.mark.parametrize("key", ["images", "annotations", "categories"])
def test_annotation_files_without_their_lists(truth: Path, tmp_path: Path, key: str) -> None:
    annotations = truth / "annotations" / "person_keypoints_val2017.json"
    document = json.loads(annotations.read_text())
    del document[key]
    annotations.write_text(json.dumps(document))
    file = tmp_path / "results.json"
    file.write_text("[]")
    with pytest.raises(DataError, match=f"no list `{key}`"):
        score_file(file, annotations)


def test_visibility_of_parts_not_found_is_kept_zero(truth: Path) -> None:
    scorer = KeypointScorer(truth / "annotations" / "person_keypoints_val2017.json")
    person = np.zeros((1, 18, 3))
    person[0, skeleton.PARTS.index("left_knee")] = 12.34567, 7, 0.9
    scorer.add(100, person, np.array([0.05]))
    keypoints = np.array(scorer.results[0]["keypoints"]).reshape(17, 3)
    at = skeleton.COCO_KEYPOINTS.index("left_knee")
    assert keypoints[at].tolist() == [12.346, 7, 0.9]
    assert not np.delete(keypoints, at, axis=0).any()


def test_an_annotation_numbered_zero_counts_like_any_other(coco_builder: CocoBuilder, tmp_path: Path) -> None:
    coco_builder.image("val", 7)
    person = coco_builder.person("val", 7, id=0)
    root = coco_builder.write()
    results = tmp_path / "results.json"
    row = {"image_id": 7, "category_id": 1, "keypoints": person["keypoints"], "score": 0.5}
    results.write_text(json.dumps([row]))
    assert score_file(results, root / "annotations" / "person_keypoints_val2017.json").ap == pytest.approx(1.0)
