"""Time the scorer, from detected people to AP, against pycocotools on the same people."""

import contextlib
import io
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from bench.speed.compare import Pair, Row, compare, threads
from posemodel.data.truth import Truth
from posemodel.inference.results import PERSON_CATEGORY
from posemodel.scoring.scorer import KeypointScorer, Scores
from posemodel.skeleton import COCO_PERSON

PEOPLE_PER_IMAGE = 2.2
"""Mean number of people in an image, as in COCO's images of people; includes crowds and people without labels."""
SIDES = (20.0, 400.0)
"""Smallest and largest square root of a person's area, in pixels."""
WIDTH = 640
"""Width and height of an image in pixels."""
CROWD, UNLABELLED, LABELLED_PART = 0.03, 0.15, 0.7
"""Share of people that are crowds, share of people without labels, and share of parts that are labelled."""
MISSED, FALSE_ALARMS, ERROR = 0.2, 0.6, 0.06
"""Share of people not detected, mean number of false people per image, and standard deviation of a point relative to
the person's size."""


class ImageDetections(NamedTuple):
    """The people detected in one image: COCO's parts (N, 18, 3) in its pixels, and scores (N,)."""

    image_id: int
    people: NDArray[np.float64]
    scores: NDArray[np.float64]


def measure(*, images: int = 5_000, repeats: int = 5) -> list[Row]:
    """Time a new scorer that gets the people of every image and computes COCO's metrics (AP and AR), on one thread.

    The yardstick is ``evaluate()`` and ``accumulate()`` of pycocotools on prepared COCO objects of the same people.
    """
    rng = np.random.default_rng(0)
    truth = make_truth(images, rng)
    detections = make_detections(truth, rng)
    scorer = _scorer_with(truth, detections)
    annotations, results = _coco_objects(truth, scorer)
    ours, pycocotools = _figures(scorer.stats()), _pycocotools_figures(annotations, results)
    pair = Pair(lambda: _scorer_with(truth, detections).stats(), lambda: _pycocotools(annotations, results))
    with threads(1):
        row = compare(
            "eval",
            "pycocotools' evaluate() and accumulate()",
            [pair],
            repeats=repeats,
            max_ratio=1.1,
            images=images,
            people=len(truth.areas),
            found=len(scorer.results),
            ap=ours[0],
            equal_figures=ours == pycocotools,
        )
    return [row]


def make_truth(images: int, rng: np.random.Generator) -> Truth:
    """Make random people of all sizes, with parts anywhere in their boxes: only the number of people and parts matters
    for the time."""
    counts = rng.poisson(PEOPLE_PER_IMAGE, images)
    number = int(counts.sum())
    low, high = np.log(SIDES)
    side = np.exp(rng.uniform(low, high, number))
    size = np.stack([0.7 * side, 1.4 * side], axis=1)
    corner = rng.uniform(0, WIDTH, (number, 2))
    crowd = rng.random(number) < CROWD
    labelled = (rng.random((number, COCO_PERSON.num_keypoints)) < LABELLED_PART) & ~crowd[:, None]
    labelled[rng.random(number) < UNLABELLED] = False
    keypoints = np.zeros((number, COCO_PERSON.num_keypoints, 3), np.float32)
    keypoints[..., :2] = np.round(corner[:, None] + rng.random((number, COCO_PERSON.num_keypoints, 2)) * size[:, None])
    keypoints[..., 2] = 2
    keypoints[~labelled] = 0
    return Truth(
        image_ids=np.arange(1, images + 1),
        start=np.append(0, np.cumsum(counts)),
        keypoints=keypoints,
        boxes=np.concatenate([corner, size], axis=1),
        areas=side**2,
        crowd=crowd,
        ignored=np.asarray(~labelled.any(axis=1)),
    )


def make_detections(truth: Truth, rng: np.random.Generator) -> list[ImageDetections]:
    """Make detections as a network might: the true people displaced, some missed, and some false people."""
    detections = []
    for row, image_id in enumerate(truth.image_ids.tolist()):
        rows = slice(truth.start[row], truth.start[row + 1])
        people = COCO_PERSON.to_parts(truth.keypoints[rows]).astype(np.float64)
        people[..., :2] += rng.normal(0, ERROR, people[..., :2].shape) * np.sqrt(truth.areas[rows])[:, None, None]
        people = people[(rng.random(len(people)) > MISSED) & ~truth.ignored[rows]]
        false_people = rng.uniform(0, WIDTH, (rng.poisson(FALSE_ALARMS), COCO_PERSON.num_parts, 3))
        people = np.concatenate([people, false_people])
        detections.append(ImageDetections(image_id, people, rng.random(len(people))))
    return detections


def _scorer_with(truth: Truth, detections: list[ImageDetections]) -> KeypointScorer:
    scorer = KeypointScorer(truth, COCO_PERSON)
    for image in detections:
        scorer.add(*image)
    return scorer


def _coco_objects(truth: Truth, scorer: KeypointScorer) -> tuple[COCO, COCO]:
    annotations = COCO()
    image_of = np.repeat(truth.image_ids, np.diff(truth.start)).tolist()
    annotations.dataset = {
        "images": [{"id": image_id} for image_id in truth.image_ids.tolist()],
        "categories": [{"id": PERSON_CATEGORY, "name": "person"}],
        "annotations": [
            {
                "id": row + 1,
                "image_id": image_id,
                "category_id": PERSON_CATEGORY,
                "keypoints": truth.keypoints[row].ravel().tolist(),
                "num_keypoints": int((truth.keypoints[row, :, 2] > 0).sum()),
                "bbox": truth.boxes[row].tolist(),
                "area": float(truth.areas[row]),
                "iscrowd": int(truth.crowd[row]),
            }
            for row, image_id in enumerate(image_of)
        ],
    }
    with contextlib.redirect_stdout(io.StringIO()):
        annotations.createIndex()
        return annotations, annotations.loadRes(scorer.results)


def _pycocotools(annotations: COCO, results: COCO) -> COCOeval:
    with contextlib.redirect_stdout(io.StringIO()):
        evaluation = COCOeval(annotations, results, "keypoints")
        evaluation.evaluate()
        evaluation.accumulate()
    return evaluation


def _pycocotools_figures(annotations: COCO, results: COCO) -> list[float | None]:
    evaluation = _pycocotools(annotations, results)
    with contextlib.redirect_stdout(io.StringIO()):
        evaluation.summarize()
    return [float(value) if value >= 0 else None for value in evaluation.stats]


def _figures(scores: Scores) -> list[float | None]:
    return [value for key, value in scores.as_row().items() if key not in ("images", "people")]
