"""What was found in picture files as COCO results: an id and a name for each picture, an entry for each person."""

from collections.abc import Sequence
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from posemodel.data.annotations.problems import KEYPOINT_VALUES
from posemodel.data.coco import people_to_coco
from posemodel.inference.decoder import Detections

PERSON_CATEGORY = 1
"""COCO's id of the person category."""
DECIMALS = 3
"""Of the numbers in a results file; scored is what is written."""
LARGEST_ID = 2**53
"""Above, a JSON reader that knows only floating-point numbers would confuse ids."""


def image_ids(files: Sequence[Path]) -> list[int]:
    """A different id for each picture: the number that is its file's name, as COCO has it (000000000139.jpg is 139).

    Other names, and a number that an earlier picture has, get running numbers from 1 on that no file is called by.
    """
    stated = [int(file.stem) if file.stem.isascii() and file.stem.isdecimal() else None for file in files]
    taken = {number for number in stated if number is not None}
    running = (number for number in count(1) if number not in taken)
    ids: list[int] = []
    given: set[int] = set()
    for number in stated:
        usable = number is not None and number < LARGEST_ID and number not in given
        ids.append(number if usable else next(running))  # type: ignore[arg-type]
        given.add(ids[-1])
    return ids


def results_of(image_id: int, file: Path, found: Detections) -> list[dict[str, Any]]:
    """The people of a picture in COCO's results format, the best first, with the ``file_name`` beside its id."""
    keypoints = np.round(people_to_coco(found.people), DECIMALS)
    return [
        {**coco_result(image_id, person, score), "file_name": file.as_posix()}
        for person, score in zip(keypoints, found.scores.tolist(), strict=True)
    ]


def coco_result(
    image_id: int, keypoints: NDArray[np.float64], score: float, *, category: int = PERSON_CATEGORY
) -> dict[str, Any]:
    """One person, keypoints (17, 3) in COCO's order, as an entry of COCO's results format."""
    flat = keypoints.reshape(KEYPOINT_VALUES).tolist()
    return {"image_id": image_id, "category_id": category, "keypoints": flat, "score": score}
