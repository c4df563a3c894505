import contextlib
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from posemodel.config import InputSettings
from posemodel.data.augment import letterbox
from posemodel.data.check import count
from posemodel.data.open_split import open_split, pack_truth, people_from_coco, read_document
from posemodel.data.targets import make_heatmaps, make_pafs
from posemodel.data.truth import Truth
from posemodel.errors import DataError
from posemodel.inference.decoder import decode
from posemodel.scoring import figures as coco_figures
from posemodel.scoring.results_file import score_file
from posemodel.scoring.scorer import KeypointScorer, Scores
from posemodel.skeleton import COCO_PERSON
from tests.support.coco_builder import CocoBuilder
from tests.support.examples import few

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


def file_of(root: Path, split: str = "val") -> Path:
    return root / "annotations" / f"person_keypoints_{split}2017.json"


def truth_in(root: Path) -> Truth:
    return open_split(root, "val").truth


def scorer_of(root: Path, shift: float = 0.0, **options: Any) -> KeypointScorer:
    """A scorer that was given the truth, every point moved by up to ``shift`` pixels, and a few false people."""
    split = open_split(root, "val")
    scorer = KeypointScorer(split.truth, COCO_PERSON, **options)
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


def plain_pycocotools(document: dict[str, Any], results: list[dict[str, Any]]) -> list[float]:
    """The ten figures without any way of ours. Its index wants ids from 1, and results to be there."""
    annotations = [
        {"iscrowd": 0, "num_keypoints": sum(v > 0 for v in annotation["keypoints"][2::3])} | annotation | {"id": number}
        for number, annotation in enumerate(document["annotations"], start=1)
    ]
    with contextlib.redirect_stdout(io.StringIO()):
        truth, found = COCO(), COCO()
        truth.dataset = document | {"annotations": annotations}
        truth.createIndex()
        if results:
            found = truth.loadRes([dict(result) for result in results])
        else:
            found.dataset = document | {"annotations": []}
            found.createIndex()
        evaluation = COCOeval(truth, found, "keypoints")
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
    scorer = KeypointScorer(split.truth, COCO_PERSON)
    for position in range(len(split)):
        people = split.people(position)
        scorer.add(split.image_id(position), people, np.ones(len(people)))
    scores = scorer.stats()
    assert scores.ap == pytest.approx(1)
    assert (scores.images, scores.people) == (4, 12)


def test_nothing_found_scores_zero(truth: Path) -> None:
    split = open_split(truth, "val")
    scorer = KeypointScorer(split.truth, COCO_PERSON)
    assert scorer.stats().ap == 0
    scorer.add(split.image_id(0), np.zeros((0, 18, 3)), np.zeros(0))
    assert figures(scorer.stats()) == [0] * 10


def test_everything_wrong_scores_zero(truth: Path) -> None:
    scorer = KeypointScorer(truth_in(truth), COCO_PERSON)
    scorer.add(100, np.full((1, 18, 3), 1e4), np.ones(1))
    assert scorer.stats().ap == 0


@pytest.mark.parametrize("shift", [2.0, 6.0, 15.0])
def test_equal_to_plain_pycocotools(truth: Path, shift: float) -> None:
    scorer = scorer_of(truth, shift)
    found = figures(scorer.stats())
    assert found == plain_pycocotools(read_document(file_of(truth)), scorer.results)
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
    split = open_split(root, "val")
    scorer = KeypointScorer(split.truth, COCO_PERSON, image_ids=[103, 100])
    assert scorer.image_ids == [100, 103]
    people = split.people(0)
    scorer.add(100, people, np.ones(len(people)))
    half = scorer.stats()
    assert (half.images, half.people) == (2, 4)
    assert half.ar == pytest.approx(0.5), "the people of image 103 are missed, those of the other six do not count"
    scorer.add(101, split.people(1), np.ones(split.people_count(1)))
    assert scorer.stats() == half, "nor do those found there"
    with pytest.raises(ValueError, match="image 99 is none of the 8"):
        KeypointScorer(split.truth, COCO_PERSON, image_ids=[99, 100])


def test_every_person_has_a_score(truth: Path) -> None:
    with pytest.raises(ValueError, match="2 people have 1 scores"):
        KeypointScorer(truth_in(truth), COCO_PERSON).add(100, np.zeros((2, 18, 3)), np.zeros(1))


def test_what_was_added_may_be_changed_afterwards(truth: Path) -> None:
    split = open_split(truth, "val")
    scorer = KeypointScorer(split.truth, COCO_PERSON)
    people, scores = split.people(0).astype(np.float64), np.ones(2)
    scorer.add(100, people, scores)
    before = scorer.stats()
    people[:], scores[:] = 0, 0
    assert scorer.stats() == before


def test_scoring_twice_and_in_another_order_gives_the_same(truth: Path) -> None:
    scorer = scorer_of(truth, 6)
    first = scorer.stats()
    assert scorer.stats() == first
    other = KeypointScorer(truth_in(truth), COCO_PERSON)
    for result in reversed(scorer.results):
        person = people_from_coco(np.array(result["keypoints"]).reshape(1, 17, 3))
        other.add(result["image_id"], person, np.array([result["score"]]))
    assert other.stats() == first


def test_nothing_is_printed(truth: Path, capsys: pytest.CaptureFixture[str]) -> None:
    scorer_of(truth, 3).stats()
    KeypointScorer(truth_in(truth), COCO_PERSON).stats()
    assert capsys.readouterr().out == ""


def test_written_predictions_score_the_same(truth: Path, tmp_path: Path) -> None:
    scorer = scorer_of(truth, 6)
    file = tmp_path / "predictions.json"
    scorer.write_predictions(file)
    assert score_file(file, file_of(truth)) == scorer.stats()
    assert [path.name for path in tmp_path.iterdir() if "predictions" in path.name] == ["predictions.json"]
    result = json.loads(file.read_text())[0]
    assert result.keys() == {"image_id", "category_id", "keypoints", "score"}
    assert len(result["keypoints"]) == 51


def test_the_person_category_keeps_its_own_id(coco_builder: CocoBuilder) -> None:
    coco_builder.image("val", 1, 320, 240)
    coco_builder.person("val", 1, box=(120, 10, 120, 170), category_id=44)
    coco_builder.split("val")["categories"][0]["id"] = 44
    root = coco_builder.write()
    scorer = scorer_of(root, category=44)
    assert {result["category_id"] for result in scorer.results} == {44}
    assert scorer.stats().ap == pytest.approx(1)
    scorer.write_predictions(root / "predictions.json")
    assert score_file(root / "predictions.json", file_of(root)).ap == pytest.approx(1)


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
        score_file(file, file_of(truth))
    assert str(file) in str(caught.value)
    assert said in str(caught.value)


def test_absent_files_are_named(truth: Path, tmp_path: Path) -> None:
    annotations = file_of(truth)
    with pytest.raises(DataError, match=r"nothing here\.json"):
        score_file(tmp_path / "nothing here.json", annotations)
    file = tmp_path / "results.json"
    file.write_text("[]")
    with pytest.raises(DataError, match=r"no annotations\.json"):
        score_file(file, tmp_path / "no annotations.json")
    assert score_file(file, annotations).ap == 0


@pytest.mark.parametrize("key", ["images", "annotations", "categories"])
def test_annotation_files_without_their_lists(truth: Path, tmp_path: Path, key: str) -> None:
    annotations = file_of(truth)
    document = json.loads(annotations.read_text())
    del document[key]
    annotations.write_text(json.dumps(document))
    file = tmp_path / "results.json"
    file.write_text("[]")
    with pytest.raises(DataError, match=f"no list `{key}`"):
        score_file(file, annotations)


def test_visibility_of_parts_not_found_is_kept_zero(truth: Path) -> None:
    scorer = KeypointScorer(truth_in(truth), COCO_PERSON)
    person = np.zeros((1, 18, 3))
    person[0, COCO_PERSON.parts.index("left_knee")] = 12.34567, 7, 0.9
    scorer.add(100, person, np.array([0.05]))
    keypoints = np.array(scorer.results[0]["keypoints"]).reshape(17, 3)
    at = COCO_PERSON.keypoints.index("left_knee")
    assert keypoints[at].tolist() == [12.346, 7, 0.9]
    assert not np.delete(keypoints, at, axis=0).any()


def test_an_annotation_numbered_zero_counts_like_any_other(coco_builder: CocoBuilder, tmp_path: Path) -> None:
    coco_builder.image("val", 7)
    person = coco_builder.person("val", 7, id=0)
    root = coco_builder.write()
    results = tmp_path / "results.json"
    row = {"image_id": 7, "category_id": 1, "keypoints": person["keypoints"], "score": 0.5}
    results.write_text(json.dumps([row]))
    assert score_file(results, file_of(root)).ap == pytest.approx(1.0)


# --- against plain pycocotools --------------------------------------------------------------------------------------

AREAS = (0.0, 500.0, 32.0**2, 5000.5, 96.0**2, 20000.0)
"""Too small to count, medium, large, and both borders."""


@st.composite
def scored_sets(draw: st.DrawFn) -> tuple[dict[str, Any], list[tuple[int, np.ndarray, np.ndarray]]]:
    """An annotation document, and people (N, 18, 3) with scores found in its images (some twice, some in none)."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    images = [int(i) for i in rng.permutation(20)[: draw(st.integers(1, 6))]]
    ties, most_found, most_true = draw(st.booleans()), draw(st.sampled_from([0, 3, 30])), draw(st.sampled_from([0, 4]))
    annotations, found = [], []
    for image in images:
        true = []
        for _ in range(rng.integers(0, most_true + 1)):
            keypoints = np.zeros((17, 3))
            keypoints[:, :2] = rng.integers(0, 800, 2) + rng.integers(0, 800, (17, 2)) / 8
            keypoints[:, 2] = rng.integers(0, 3, 17) * (rng.random(17) < rng.choice([0.0, 0.4, 1.0]))
            kind = rng.choice(["person", "crowd", "declared blank", "nothing declared"], p=[0.7, 0.1, 0.1, 0.1])
            annotation = {
                "id": len(annotations),
                "image_id": image,
                "category_id": 1,
                "keypoints": keypoints.ravel().tolist(),
                "bbox": [*keypoints[:, :2].min(axis=0).tolist(), *np.ptp(keypoints[:, :2], axis=0).tolist()],
                "area": float(rng.choice(AREAS)),
            }
            if kind != "nothing declared":
                annotation["iscrowd"] = int(kind == "crowd")
                annotation["num_keypoints"] = 0 if kind == "declared blank" else int((keypoints[:, 2] > 0).sum())
            annotations.append(annotation)
            true.append(keypoints)
        number = int(rng.integers(0, most_found + 1))
        people = np.zeros((number, 17, 3))
        for person in people:
            person[:] = true[rng.integers(len(true))] if true and rng.random() < 0.9 else rng.uniform(0, 900, (17, 3))
            person[:, :2] += rng.normal(0, rng.choice([0.0, 2.0, 8.0]), (17, 2))
            person[rng.random(17) < rng.choice([0.0, 0.3])] = 0
        scores = rng.choice([0.25, 0.5, 0.75], number) if ties else rng.uniform(0, 1, number)
        half = number // 2
        found += [(image, people[:half], scores[:half]), (image, people[half:], scores[half:])]
    rng.shuffle(found)
    document = {
        "images": [{"id": image, "width": 900, "height": 900} for image in images],
        "categories": [{"id": 1, "name": "person"}],
        "annotations": annotations,
    }
    return document, [(image, from_coco(keypoints), scores) for image, keypoints, scores in found]


def from_coco(keypoints: np.ndarray) -> np.ndarray:
    people = np.zeros((len(keypoints), 18, 3))
    people[:, COCO_PERSON.part_of_keypoint] = keypoints
    return people


@few(50, of=150)
@given(scored_sets())
def test_any_people_score_as_by_plain_pycocotools(
    case: tuple[dict[str, Any], list[tuple[int, np.ndarray, np.ndarray]]],
) -> None:
    document, found = case
    scorer = KeypointScorer(pack_truth(document), COCO_PERSON)
    for image, people, scores in found:
        scorer.add(image, people, scores)
    scores = scorer.stats()
    assert figures(scores) == plain_pycocotools(document, scorer.results)
    counts = count(document)
    assert (scores.images, scores.people) == (counts["images"], counts["people"])


@pytest.mark.parametrize("boxed", ["all", "some", "none"])
@pytest.mark.parametrize("seed", range(4))
def test_boxes_of_a_results_file_are_areas_as_by_plain_pycocotools(
    truth: Path, tmp_path: Path, boxed: str, seed: int
) -> None:
    """False people of medium size by their keypoints, large by their boxes: the area decides who counts."""
    rng = np.random.default_rng(seed)
    results = scorer_of(truth, 6).results
    for entry in results:
        if boxed == "all" or (boxed == "some" and rng.random() < 0.7):
            entry["bbox"] = rng.integers(0, 200, 4).tolist()
    file = tmp_path / "results.json"
    file.write_text(json.dumps(results))
    if boxed == "some":
        for entry in results:
            entry.pop("bbox", None)
    assert figures(score_file(file, file_of(truth))) == plain_pycocotools(read_document(file_of(truth)), results)


@pytest.mark.parametrize("block", [1, 17, 5 * 17])
def test_however_many_pairs_are_compared_at_a_time(truth: Path, block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    scorer = scorer_of(truth, 6)
    expected = scorer.stats()
    monkeypatch.setattr(coco_figures, "BLOCK_POINTS", block)
    assert scorer.stats() == expected


def test_huge_coordinates_are_wrong_and_nothing_worse(truth: Path, tmp_path: Path, recwarn: Any) -> None:
    file = tmp_path / "results.json"
    file.write_text(json.dumps([result(keypoints=[3e38, -3e38, 1] * 17)]))
    assert score_file(file, file_of(truth)).ap == 0
    assert not recwarn.list


def test_decoded_people_of_real_images_score_as_by_plain_pycocotools(coco_mini: Path) -> None:
    split = open_split(coco_mini, "train", look_at_images=False)
    scorer, geometry = KeypointScorer(split.truth, COCO_PERSON), InputSettings(size=368)
    rng = np.random.default_rng(0)
    for position in range(len(split)):
        warp = letterbox(*split.size(position), geometry.size)
        people = warp.people(split.people(position), split.skeleton)
        heatmaps, pafs = make_heatmaps(people, geometry), make_pafs(people, geometry)
        heatmaps += rng.normal(0, 0.02, heatmaps.shape).astype(np.float32)
        found = decode(heatmaps, pafs, geometry)
        scorer.add(split.image_id(position), warp.people_back(found.people), found.scores)
    assert 0.2 < scorer.stats().ap < 0.9
    assert figures(scorer.stats()) == plain_pycocotools(read_document(file_of(coco_mini, "train")), scorer.results)
