"""Score a COCO keypoint results file against an annotation file."""

import json
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from posemodel.data.annotations.categories import find_in, listed_names, order_of
from posemodel.data.annotations.segmentation import all_finite
from posemodel.data.annotations.skeletons import SkeletonChoice
from posemodel.data.annotations.values import as_whole_number, id_from_word, is_whole_number
from posemodel.data.images.matching import names_aside
from posemodel.data.left_out import LeftOut, sound_part
from posemodel.data.notes import Note
from posemodel.data.open_split import pack_truth, read_document
from posemodel.data.packing import skeleton_of
from posemodel.errors import DataError
from posemodel.scoring.figures import Predictions, keypoint_areas
from posemodel.scoring.scorer import Scores, scores_of
from posemodel.skeleton import COCO_KEYPOINTS, Skeleton

SHOWN_NAMES = 8
"""Maximum number of keypoint names that an error lists."""


def score_file(
    predictions: Path,
    annotations: Path,
    *,
    skip_bad: bool = False,
    choice: SkeletonChoice | None = None,
    on_left_out: Callable[[LeftOut], None] | None = None,
    on_notes: Callable[[tuple[Note, ...]], None] | None = None,
) -> Scores:
    """Score a COCO keypoint results file against an annotation file.

    Args:
        predictions: File with a list of results (image_id, category_id, keypoints, score), keypoints in the order of
            `keypoint_names`, if a result has these; else in the order in which its category lists them in the
            annotation file, but COCO's keypoints in COCO's order even if the annotation file has another order.
        annotations: File of COCO keypoint annotations; image files are not opened.
        skip_bad: Skip images with bad annotations, and the results on them, instead of refusing the file.
        choice: The category, keypoints and OKS sigmas that the user chose; None: the file's own.
        on_left_out: Called with the number of images and annotations that were skipped.
        on_notes: Called with the notes on annotations that were read differently than they are written.

    Raises:
        DataError: a file cannot be used; the message names the entry.
    """
    raw = names_aside(read_document(annotations))
    try:
        results = json.loads(predictions.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        raise DataError(f"{predictions}: cannot be read as JSON ({error}).") from error
    if not isinstance(results, list):
        raise DataError(f"{predictions}: must hold a list of results, holds {type(results).__name__}.")
    document, left_out, notes = sound_part(raw, annotations, skip_bad=skip_bad, segments=skip_bad, choice=choice)
    found, truth = find_in(document, choice), pack_truth(document, choice)
    skeleton = skeleton_of(found, truth.keypoints[:0], truth.crowd[:0], choice)  # limbs do not count
    orders = _listed_orders(raw, skeleton)
    points = skeleton.num_keypoints
    image_ids = {image["id"] for image in document["images"]}
    if on_left_out is not None:
        on_left_out(left_out)
    if on_notes is not None:
        on_notes(notes)
    numbers = (_number(image.get("id")) for image in raw["images"] if isinstance(image, dict))
    listed = {number for number in numbers if number is not None}
    results = [_with_numbers(result, listed | found.ids) for result in results]
    if left_out:
        gone = listed - image_ids
        of_image = [r.get("image_id") if isinstance(r, dict) else None for r in results]
        results = [
            r for r, image in zip(results, of_image, strict=True) if not (is_whole_number(image) and image in gone)
        ]
    for number, result in enumerate(results):
        missing = {"image_id", "category_id", "keypoints", "score"} - set(result if isinstance(result, dict) else ())
        if missing:
            raise DataError(f"{predictions}: result {number} lacks {', '.join(sorted(missing))}.")
        if not is_whole_number(result["image_id"]) or result["image_id"] not in image_ids:
            raise DataError(f"{predictions}: result {number} is of image {result['image_id']}, not in {annotations}.")
        keypoints = result["keypoints"]
        if not isinstance(keypoints, list) or len(keypoints) != 3 * points or not all_finite(keypoints):
            raise DataError(
                f"{predictions}: result {number}: `keypoints` must hold {3 * points} finite numbers ({points} x, y, v)."
            )
        if not all_finite([result["score"]]):
            raise DataError(f"{predictions}: result {number}: `score` must be a finite number.")
        if not is_whole_number(result["category_id"]) or result["category_id"] not in found.ids:
            category = result["category_id"]
            raise DataError(
                f"{predictions}: result {number}: `category_id` {category} is no {found.noun} in {annotations}."
            )
        if _order_in(result, skeleton, orders) is None:
            raise DataError(
                f"{predictions}: result {number}: `keypoint_names` must be the {points} keypoints of {annotations}, in "
                f"any order: {', '.join(skeleton.keypoints[:SHOWN_NAMES])}{', ...' if points > SHOWN_NAMES else ''}."
            )
    return scores_of(truth, _predictions_of(results, skeleton, orders), None, skeleton)


def _listed_orders(raw: dict[str, Any], skeleton: Skeleton) -> dict[int, tuple[int, ...]]:
    """Return category id -> the index (K,) of each of the skeleton's keypoints in its list, if that is another order.

    ``raw`` is the annotation file as it is written. COCO's keypoints are in COCO's order in all results.
    """
    if skeleton.keypoints == COCO_KEYPOINTS:
        return {}
    listed = [(_number(each.get("id")), listed_names(each)) for each in raw["categories"] if isinstance(each, dict)]
    orders = [(number, order_of(skeleton.keypoints, names)) for number, names in listed]
    return {number: order for number, order in orders if number is not None and order is not None}


def _order_in(
    result: dict[str, Any], skeleton: Skeleton, orders: Mapping[int, tuple[int, ...]]
) -> Sequence[int] | None:
    """Return the index (K,) of each of the skeleton's keypoints in a result; None if its names are others."""
    names = result.get("keypoint_names")
    if names is None:
        return orders.get(result["category_id"], range(skeleton.num_keypoints))
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        return None
    return order_of(skeleton.keypoints, names)


def _with_numbers(result: Any, known: Collection[int]) -> Any:
    """Return a result with its ids as numbers, read as in annotation files; ids that are words must be ``known``."""
    if not isinstance(result, dict):
        return result
    ids = {key: _number(result.get(key)) for key in ("image_id", "category_id")}
    return result | {
        key: number
        for key, number in ids.items()
        if number is not None and (number in known or as_whole_number(result.get(key)) is not None)
    }


def _number(value: Any) -> int | None:
    number = as_whole_number(value)
    return id_from_word(value) if number is None and isinstance(value, str) and value else number


def _predictions_of(
    results: list[dict[str, Any]], skeleton: Skeleton, orders: Mapping[int, tuple[int, ...]]
) -> Predictions:
    """Convert results to arrays. Their areas are those of the boxes if every result has one, as in pycocotools."""
    keypoints = np.array([r["keypoints"] for r in results], np.float64).reshape(-1, skeleton.num_keypoints, 3)
    for row, result in zip(keypoints, results, strict=True):
        row[:] = row[[*(_order_in(result, skeleton, orders) or ())]]
    boxes = [result.get("bbox") for result in results]
    if all(isinstance(box, list) and len(box) == 4 and all_finite(box) for box in boxes):
        areas = np.prod(np.array(boxes, np.float64).reshape(-1, 4)[:, 2:], axis=1)
    else:
        areas = keypoint_areas(keypoints)
    image_ids = np.array([result["image_id"] for result in results], np.int64)
    return Predictions(image_ids, keypoints, np.array([result["score"] for result in results], np.float64), areas)
