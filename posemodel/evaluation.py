"""People -> COCO keypoint AP, by pycocotools: accumulate detections, then stats, then write predictions."""

import json
from collections.abc import Callable, Collection
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from posemodel import skeleton
from posemodel.atomic_write import replacing
from posemodel.coco_eval import Found, keypoint_areas, keypoint_figures
from posemodel.data.categories import person_categories
from posemodel.data.coco import people_to_coco, read_document, truth_of
from posemodel.data.found_images import names_aside
from posemodel.data.left_out import LeftOut, sound_part
from posemodel.data.notes import Note
from posemodel.data.problems import KEYPOINT_VALUES
from posemodel.data.segmentation import all_finite
from posemodel.data.truth import Truth
from posemodel.data.values import is_id, number_of_word, whole
from posemodel.errors import DataError

PERSON_CATEGORY = 1
"""COCO's id of the person category."""
DECIMALS = 3
"""Of the numbers in a results file; scored is what is written."""


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
    """Accumulates the people found in the images of a split and scores them."""

    def __init__(
        self, truth: Truth, *, image_ids: Collection[int] | None = None, category: int = PERSON_CATEGORY
    ) -> None:
        """Score against the people of ``truth``.

        Args:
            truth: Everybody in a whole split.
            image_ids: Score only these of its images; None: all.
            category: The annotation file's id of the person category, for the results file.

        Raises:
            ValueError: an image id that the truth does not have.
        """
        self._truth = truth
        self._rows = _rows(truth, image_ids)
        self.image_ids: list[int] = truth.image_ids[self._rows].tolist()
        self._category = category
        self._image_ids: list[int] = []
        self._people: list[NDArray[np.float64]] = []
        self._scores: list[NDArray[np.float64]] = []

    def add(self, image_id: int, people: NDArray[np.floating], scores: NDArray[np.floating]) -> None:
        """Add the people (N, 18, 3) of one image, in its own pixels, with a score each (N,)."""
        if len(people) != len(scores):
            raise ValueError(f"{len(people)} people have {len(scores)} scores")
        self._image_ids.append(int(image_id))
        self._people.append(np.array(people, np.float64))
        self._scores.append(np.array(scores, np.float64))

    @property
    def results(self) -> list[dict[str, Any]]:
        """Everything added so far in COCO's results format."""
        found = self._found()
        return [
            coco_result(image, keypoints, score, category=self._category)
            for image, keypoints, score in zip(
                found.image_ids.tolist(), found.keypoints, found.scores.tolist(), strict=True
            )
        ]

    def stats(self) -> Scores:
        """COCO's figures of everything added so far; who was found in other images does not count."""
        return _scores(self._truth, self._rows, self._found())

    def write_predictions(self, path: Path) -> None:
        """Write a COCO results file, whole or not at all; scored, it gives the same figures."""
        with replacing(path) as temporary:
            temporary.write_text(json.dumps(self.results))

    def _found(self) -> Found:
        counts = [len(scores) for scores in self._scores]
        people = np.concatenate([np.zeros((0, skeleton.NUM_PARTS, 3)), *self._people])
        keypoints = np.round(people_to_coco(people), DECIMALS)
        return Found(
            np.repeat(np.array(self._image_ids, np.int64), counts),
            keypoints,
            np.concatenate([np.zeros(0), *self._scores]),
            keypoint_areas(keypoints),
        )


def coco_result(
    image_id: int, keypoints: NDArray[np.float64], score: float, *, category: int = PERSON_CATEGORY
) -> dict[str, Any]:
    """One person, keypoints (17, 3) in COCO's order, as an entry of COCO's results format."""
    flat = keypoints.reshape(KEYPOINT_VALUES).tolist()
    return {"image_id": image_id, "category_id": category, "keypoints": flat, "score": score}


def score_file(
    predictions: Path,
    annotations: Path,
    *,
    skip_bad: bool = False,
    on_left_out: Callable[[LeftOut], None] | None = None,
    on_notes: Callable[[tuple[Note, ...]], None] | None = None,
) -> Scores:
    """Score a COCO keypoint results file against an annotation file; DataError says what does not fit.

    ``skip_bad`` leaves images with bad annotations out, and the results on them; the images' files are not looked at.
    ``on_left_out`` is told how much that was, ``on_notes`` what of the annotations was read differently. Results are in
    COCO's order of keypoints, whatever the order in the annotation file.
    """
    raw = names_aside(read_document(annotations))
    try:
        results = json.loads(predictions.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        raise DataError(f"{predictions}: cannot be read as JSON ({error}).") from error
    if not isinstance(results, list):
        raise DataError(f"{predictions}: must hold a list of results, holds {type(results).__name__}.")
    document, left_out, notes = sound_part(raw, annotations, skip_bad=skip_bad, segments=skip_bad)
    people = person_categories(document)
    image_ids = {image["id"] for image in document["images"]}
    if on_left_out is not None:
        on_left_out(left_out)
    if on_notes is not None:
        on_notes(notes)
    listed = {_number(image.get("id")) for image in raw["images"] if isinstance(image, dict)}
    results = [_with_numbers(result, listed | people) for result in results]
    if left_out:
        gone = listed - image_ids
        of_image = [r.get("image_id") if isinstance(r, dict) else None for r in results]
        results = [r for r, image in zip(results, of_image, strict=True) if not (is_id(image) and image in gone)]
    for number, result in enumerate(results):
        missing = {"image_id", "category_id", "keypoints", "score"} - set(result if isinstance(result, dict) else ())
        if missing:
            raise DataError(f"{predictions}: result {number} lacks {', '.join(sorted(missing))}.")
        if not is_id(result["image_id"]) or result["image_id"] not in image_ids:
            raise DataError(f"{predictions}: result {number} is of image {result['image_id']}, not in {annotations}.")
        keypoints = result["keypoints"]
        if not isinstance(keypoints, list) or len(keypoints) != KEYPOINT_VALUES or not all_finite(keypoints):
            raise DataError(f"{predictions}: result {number}: `keypoints` must hold 51 finite numbers (17 x, y, v).")
        if not all_finite([result["score"]]):
            raise DataError(f"{predictions}: result {number}: `score` must be a finite number.")
        if not is_id(result["category_id"]) or result["category_id"] not in people:
            raise DataError(
                f"{predictions}: result {number}: `category_id` {result['category_id']} is no person in {annotations}."
            )
    truth = truth_of(document)
    return _scores(truth, _rows(truth, None), _found_in(results))


def _with_numbers(result: Any, known: Collection[int]) -> Any:
    """A result whose ids are read as in annotation files: by the number that is meant, words where it is ``known``."""
    if not isinstance(result, dict):
        return result
    ids = {key: _number(result.get(key)) for key in ("image_id", "category_id")}
    return result | {
        key: number
        for key, number in ids.items()
        if number is not None and (number in known or whole(result.get(key)) is not None)
    }


def _number(value: Any) -> int | None:
    number = whole(value)
    return number_of_word(value) if number is None and isinstance(value, str) and value else number


def _rows(truth: Truth, image_ids: Collection[int] | None) -> NDArray[np.int64]:
    """Positions of the images, ascending, in the truth."""
    if image_ids is None:
        return np.arange(len(truth.image_ids))
    wanted = np.unique(np.array(list(image_ids), np.int64))
    unknown = np.setdiff1d(wanted, truth.image_ids)
    if len(unknown):
        raise ValueError(f"image {unknown[0]} is none of the {len(truth.image_ids)} images of the truth")
    return np.searchsorted(truth.image_ids, wanted)


def _scores(truth: Truth, rows: NDArray[np.int64], found: Found) -> Scores:
    labelled = ~truth.crowd & (truth.keypoints[..., 2] > 0).any(axis=1)
    before = np.append(0, np.cumsum(labelled))
    people = before[truth.start[rows + 1]] - before[truth.start[rows]]
    return Scores(*keypoint_figures(truth, rows, found), images=len(rows), people=int(people.sum()))


def _found_in(results: list[dict[str, Any]]) -> Found:
    """A results file's people. Boxes, where every result has one, are their areas, as pycocotools has it."""
    keypoints = np.array([r["keypoints"] for r in results], np.float64).reshape(-1, skeleton.NUM_COCO_KEYPOINTS, 3)
    boxes = [result.get("bbox") for result in results]
    if all(isinstance(box, list) and len(box) == 4 and all_finite(box) for box in boxes):
        areas = np.prod(np.array(boxes, np.float64).reshape(-1, 4)[:, 2:], axis=1)
    else:
        areas = keypoint_areas(keypoints)
    image_ids = np.array([result["image_id"] for result in results], np.int64)
    return Found(image_ids, keypoints, np.array([result["score"] for result in results], np.float64), areas)
