"""Predicted people in COCO's results format: an id for each picture, an entry for each person."""

from collections.abc import Sequence
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from posemodel.inference.decoder import Detections
from posemodel.skeleton import COCO_PERSON, Skeleton

PERSON_CATEGORY = 1
"""COCO's id of the person category; predictions have it if neither annotations nor checkpoint say another."""
DECIMALS = 3
"""Decimals of the coordinates in a results file; people are scored with these rounded values."""
LARGEST_ID = 2**53
"""Ids are smaller than this: a JSON reader that stores all numbers as floats would confuse larger ones."""


def image_ids(files: Sequence[Path]) -> list[int]:
    """Return a unique id for each picture: the number in its file's name, as in COCO (000000000139.jpg is 139).

    Pictures with other names, or with the number of an earlier picture, get the free numbers from 1 on.
    """
    stated = [int(file.stem) if file.stem.isascii() and file.stem.isdecimal() else None for file in files]
    taken = {number for number in stated if number is not None}
    running = (number for number in count(1) if number not in taken)
    ids: list[int] = []
    used: set[int] = set()
    for number in stated:
        usable = number is not None and number < LARGEST_ID and number not in used
        ids.append(number if usable else next(running))  # type: ignore[arg-type]
        used.add(ids[-1])
    return ids


def results_of(
    image_id: int,
    file: Path,
    detections: Detections,
    *,
    skeleton: Skeleton = COCO_PERSON,
    category: int = PERSON_CATEGORY,
) -> list[dict[str, Any]]:
    """Return the people of a picture in COCO's results format, the best first, with its ``file_name``.

    ``skeleton``: the network's; each entry has its ``point_names``. ``category``: id of the category in the results.
    """
    keypoints = np.round(skeleton.to_keypoints(detections.people), DECIMALS)
    named = {"file_name": file.as_posix(), **point_names(skeleton)}
    return [
        {**coco_result(image_id, person, score, category=category), **named}
        for person, score in zip(keypoints, detections.scores.tolist(), strict=True)
    ]


def point_names(skeleton: Skeleton) -> dict[str, Any]:
    """Return what entries of results have besides COCO's fields: nothing for COCO's person.

    For any other skeleton they have its name, ``category_name``, and its keypoints, ``keypoint_names``: the order of
    the points can differ from an annotation file's, or there is none.
    """
    if skeleton == COCO_PERSON:
        return {}
    return {"category_name": skeleton.name, "keypoint_names": list(skeleton.keypoints)}


def coco_result(
    image_id: int, keypoints: NDArray[np.float64], score: float, *, category: int = PERSON_CATEGORY
) -> dict[str, Any]:
    """Return one person, keypoints (K, 3) in the annotations' order, as an entry of COCO's results format."""
    flat = keypoints.ravel().tolist()
    return {"image_id": image_id, "category_id": category, "keypoints": flat, "score": score}
