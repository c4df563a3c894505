"""People -> COCO keypoint AP, by pycocotools: accumulate detections, then stats, then write predictions."""

import contextlib
import io
import json
from collections.abc import Callable, Collection
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from posemodel.data.check import count
from posemodel.data.coco import people_to_coco, read_document
from posemodel.data.left_out import LeftOut, sound_part
from posemodel.data.problems import is_id, person_categories
from posemodel.data.segmentation import all_finite
from posemodel.errors import DataError

PERSON_CATEGORY = 1


@dataclass(frozen=True)
class Scores:
    """COCO's ten keypoint figures (None: no labelled person of that kind) and how much was scored."""

    ap: float | None
    ap50: float | None
    ap75: float | None
    ap_medium: float | None
    ap_large: float | None
    ar: float | None
    ar50: float | None
    ar75: float | None
    ar_medium: float | None
    ar_large: float | None
    images: int
    people: int

    def as_row(self) -> dict[str, float | int | None]:
        """A flat row with the contract's keys."""
        return asdict(self)


class KeypointScorer:
    """Accumulates the people found in the images of one annotation file and scores them."""

    def __init__(self, annotations: Path, *, image_ids: Collection[int] | None = None, skip_bad: bool = False) -> None:
        """``image_ids``: score only these images (None: all of the file). ``skip_bad``: see ``sound_part``."""
        self._document = read_document(annotations)
        if skip_bad:
            self._document, _ = sound_part(self._document, annotations, skip_bad=True, segments=False)
        self.image_ids = sorted(image["id"] for image in self._document["images"])
        if image_ids is not None:
            self.image_ids = sorted(image_ids)
        self._category = min(person_categories(self._document), default=PERSON_CATEGORY)
        self.results: list[dict[str, Any]] = []

    def add(self, image_id: int, people: NDArray[np.floating], scores: NDArray[np.floating]) -> None:
        """Add the people (N, 18, 3) of one image, in its own pixels, with a score each."""
        for keypoints, score in zip(people_to_coco(people), scores, strict=True):
            self.results.append(
                {
                    "image_id": int(image_id),
                    "category_id": self._category,
                    "keypoints": [round(float(value), 3) for value in keypoints.ravel()],
                    "score": float(score),
                }
            )

    def stats(self) -> Scores:
        """COCO's figures of everything added so far."""
        return _score(self._document, self.results, self.image_ids)

    def write_predictions(self, path: Path) -> None:
        """Write a COCO results file, whole or not at all."""
        temporary = path.with_name(path.name + ".part")
        temporary.write_text(json.dumps(self.results))
        temporary.replace(path)


def score_file(
    predictions: Path,
    annotations: Path,
    *,
    skip_bad: bool = False,
    on_left_out: Callable[[LeftOut], None] | None = None,
) -> Scores:
    """Score a COCO keypoint results file against an annotation file; DataError says what does not fit.

    ``skip_bad`` leaves images with bad annotations out, and the results on them; the images' files are not looked at.
    ``on_left_out`` is told how much that was.
    """
    whole = read_document(annotations)
    try:
        results = json.loads(predictions.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        raise DataError(f"{predictions}: cannot be read as JSON ({error}).") from error
    if not isinstance(results, list):
        raise DataError(f"{predictions}: must hold a list of results, holds {type(results).__name__}.")
    document, left_out = sound_part(whole, annotations, skip_bad=skip_bad, segments=skip_bad)
    people = person_categories(document)
    image_ids = {image["id"] for image in document["images"]}
    if on_left_out is not None:
        on_left_out(left_out)
    if left_out:
        listed = {image["id"] for image in whole["images"] if isinstance(image, dict) and is_id(image.get("id"))}
        gone = listed - image_ids
        of_image = [r.get("image_id") if isinstance(r, dict) else None for r in results]
        results = [r for r, image in zip(results, of_image, strict=True) if not (is_id(image) and image in gone)]
    for number, result in enumerate(results):
        missing = {"image_id", "category_id", "keypoints", "score"} - set(result if isinstance(result, dict) else ())
        if missing:
            raise DataError(f"{predictions}: result {number} lacks {', '.join(sorted(missing))}.")
        if not isinstance(result["image_id"], int) or result["image_id"] not in image_ids:
            raise DataError(f"{predictions}: result {number} is of image {result['image_id']}, not in {annotations}.")
        keypoints = result["keypoints"]
        if not isinstance(keypoints, list) or len(keypoints) != 51 or not all_finite(keypoints):
            raise DataError(f"{predictions}: result {number}: `keypoints` must hold 51 finite numbers (17 x, y, v).")
        if not all_finite([result["score"]]):
            raise DataError(f"{predictions}: result {number}: `score` must be a finite number.")
        if not isinstance(result["category_id"], int) or result["category_id"] not in people:
            raise DataError(
                f"{predictions}: result {number}: `category_id` {result['category_id']} is no person in {annotations}."
            )
    return _score(document, _plain(results), sorted(image_ids))


def _plain(results: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Only what pycocotools' keypoint scoring reads; it looks at the first result to guess the kind of all.

    Boxes, which it takes for the people's area, are kept where every result has one.
    """
    boxed = all(isinstance(r.get("bbox"), list) and len(r["bbox"]) == 4 and all_finite(r["bbox"]) for r in results)
    keys = ("image_id", "category_id", "keypoints", "score", *(("bbox",) if boxed else ()))
    return [{key: result[key] for key in keys} for result in results]


def _score(document: dict[str, Any], results: list[dict[str, Any]], image_ids: list[int]) -> Scores:
    kept = set(image_ids)
    counts = count(
        {
            "images": image_ids,
            "categories": document["categories"],
            "annotations": [a for a in document["annotations"] if a["image_id"] in kept],
        }
    )
    # pycocotools reports on stdout, which belongs to our own data.
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO()
        # Of other categories it would want fields that nobody has checked.
        categories = [{"id": person, "name": "person"} for person in sorted(person_categories(document))]
        document = document | {"categories": categories}
        truth.dataset = document | {"annotations": _scored_annotations(document)}
        truth.createIndex()
        found = truth.loadRes([dict(r) for r in results]) if results else _nothing_found(document)
        evaluation = COCOeval(truth, found, "keypoints")
        evaluation.params.imgIds = image_ids
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    figures = [float(value) if value >= 0 else None for value in evaluation.stats]
    return Scores(*figures, images=counts["images"], people=counts["people"])


def _scored_annotations(document: dict[str, Any]) -> list[dict[str, Any]]:
    """People only (other categories have no keypoints), with the two derivable fields that COCOeval insists on.

    Numbered from 1: pycocotools takes a match with annotation 0 for no match.
    """
    people = person_categories(document)
    scored = [annotation for annotation in document["annotations"] if annotation["category_id"] in people]
    return [
        {"iscrowd": 0, "num_keypoints": sum(v > 0 for v in annotation["keypoints"][2::3])} | annotation | {"id": number}
        for number, annotation in enumerate(scored, start=1)
    ]


def _nothing_found(document: dict[str, Any]) -> COCO:
    """``COCO.loadRes`` fails on an empty list of results."""
    found = COCO()
    found.dataset = {"images": document["images"], "categories": document["categories"], "annotations": []}
    found.createIndex()
    return found
