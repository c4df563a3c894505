"""Predicted people in COCO's results format: an id for each picture, an entry for each person."""

from collections.abc import Sequence
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from posemodel.data.annotations.problems import KEYPOINT_VALUES
from posemodel.data.open_split import people_to_coco
from posemodel.inference.decoder import Detections

PERSON_CATEGORY = 1
"""COCO's id of the person category."""
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


def results_of(image_id: int, file: Path, detections: Detections) -> list[dict[str, Any]]:
    """Return the people of a picture in COCO's results format, the best first, with its ``file_name``."""
    keypoints = np.round(people_to_coco(detections.people), DECIMALS)
    return [
        {**coco_result(image_id, person, score), "file_name": file.as_posix()}
        for person, score in zip(keypoints, detections.scores.tolist(), strict=True)
    ]


def coco_result(
    image_id: int, keypoints: NDArray[np.float64], score: float, *, category: int = PERSON_CATEGORY
) -> dict[str, Any]:
    """Return one person, keypoints (17, 3) in COCO's order, as an entry of COCO's results format."""
    flat = keypoints.reshape(KEYPOINT_VALUES).tolist()
    return {"image_id": image_id, "category_id": category, "keypoints": flat, "score": score}
