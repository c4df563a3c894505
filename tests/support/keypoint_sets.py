"""Small data sets in COCO's layout whose objects are no people: hands, faces, animals, clothes, single points."""

import math
from pathlib import Path
from typing import Any

from tests.support.coco_builder import CocoBuilder

HAND = [
    "wrist",
    *(f"{finger}_{joint}" for finger in ("thumb", "index", "middle", "ring", "little") for joint in "1234"),
]
HAND_PAIRS = [
    [1 if joint == 1 else 4 * finger + joint, 4 * finger + joint + 1] for finger in range(5) for joint in (1, 2, 3, 4)
]
FACE = [f"face-{number}" for number in range(68)]
ANIMAL = [
    *("left_eye", "right_eye", "left_ear", "right_ear", "nose", "throat", "withers", "tail"),
    *(
        f"{side}_{leg}_{joint}"
        for leg in ("front", "back")
        for side in ("left", "right")
        for joint in ("elbow", "knee", "paw")
    ),
]
CLOTHES = [f"point {number}" for number in range(1, 295)]
POINT = ["head"]


def points_in(box: tuple[float, float, float, float], count: int) -> list[float]:
    """3 x count numbers: visible points on a spiral in a box, the first in its centre."""
    x, y, width, height = box
    values: list[float] = []
    for number in range(count):
        distance, angle = number / count / 2, 2.4 * number
        values += [x + (0.5 + distance * math.cos(angle)) * width, y + (0.5 + distance * math.sin(angle)) * height, 2]
    return values


def write_set(
    root: Path,
    names: list[str] | None,
    *,
    categories: tuple[str, ...] = ("hand",),
    pairs: list[list[int]] | None = None,
    images: int = 6,
    splits: tuple[str, ...] = ("train", "val"),
) -> CocoBuilder:
    """Write a set with one or two objects an image, of the categories in turn, all with these names of keypoints.

    ``names``: None writes 12 keypoints without names. The builder that is returned can change and write it again.
    """
    builder = CocoBuilder(root)
    for split in splits:
        listed: dict[str, Any] = {} if names is None else {"keypoints": names}
        listed |= {} if pairs is None else {"skeleton": pairs}
        builder.split(split)["categories"] = [
            {"id": number, "name": name, "supercategory": "thing"} | listed for number, name in enumerate(categories, 3)
        ]
        for number in range(images):
            image_id = number + 1 + (1000 if split == "val" else 0)
            builder.image(split, image_id, 128, 96)
            for which in range(1 + number % 2):
                box = (4.0 + 62 * which, 6.0 + number, 50.0, 76.0)
                keypoints = points_in(box, len(names) if names is not None else 12)
                category_id = 3 + (number + which) % len(categories)
                builder.person(split, image_id, box=box, keypoints=keypoints, category_id=category_id)
    builder.write()
    return builder
