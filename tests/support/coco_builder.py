"""Build tiny data sets in COCO's layout, with drawn JPEG images, people and crowds, for tests to change or damage."""

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from posemodel.skeleton import COCO_KEYPOINTS, COCO_SKELETON

STANDING = {
    "nose": (0.5, 0.10),
    "left_eye": (0.56, 0.06),
    "right_eye": (0.44, 0.06),
    "left_ear": (0.62, 0.08),
    "right_ear": (0.38, 0.08),
    "left_shoulder": (0.72, 0.25),
    "right_shoulder": (0.28, 0.25),
    "left_elbow": (0.88, 0.40),
    "right_elbow": (0.12, 0.40),
    "left_wrist": (0.96, 0.55),
    "right_wrist": (0.04, 0.55),
    "left_hip": (0.64, 0.55),
    "right_hip": (0.36, 0.55),
    "left_knee": (0.66, 0.77),
    "right_knee": (0.34, 0.77),
    "left_ankle": (0.68, 0.98),
    "right_ankle": (0.32, 0.98),
}
"""A person facing us, as shares of a box."""


def standing_keypoints(x: float, y: float, width: float, height: float) -> list[float]:
    """51 numbers: the standing person in a box, every keypoint visible."""
    return [
        value for name in COCO_KEYPOINTS for value in (x + STANDING[name][0] * width, y + STANDING[name][1] * height, 2)
    ]


def rectangle(x: float, y: float, width: float, height: float) -> list[float]:
    """A rectangle as a COCO polygon."""
    return [x, y, x + width, y, x + width, y + height, x, y + height]


class CocoBuilder:
    """A data set in the making: add images and annotations, then ``write``."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.documents: dict[str, dict[str, Any]] = {}
        self._next_annotation = 1

    def folder(self, split: str) -> Path:
        return self.root / "images" / f"{split}2017"

    def file(self, split: str) -> Path:
        return self.root / "annotations" / f"person_keypoints_{split}2017.json"

    def split(self, split: str) -> dict[str, Any]:
        category = {
            "id": 1,
            "name": "person",
            "supercategory": "person",
            "keypoints": list(COCO_KEYPOINTS),
            "skeleton": [list(limb) for limb in COCO_SKELETON],
        }
        return self.documents.setdefault(split, {"images": [], "annotations": [], "categories": [category]})

    def image(
        self, split: str, image_id: int, width: int = 80, height: int = 64, *, pixels: NDArray[np.uint8] | None = None
    ) -> Path:
        """Add an image entry and write its JPEG (noise, unless ``pixels`` are given)."""
        if pixels is None:
            coarse = np.random.default_rng(image_id).integers(0, 255, (6, 8, 3), np.uint8)
            pixels = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
        name = f"{image_id:012d}.jpg"
        path = self.folder(split) / name
        path.parent.mkdir(parents=True, exist_ok=True)
        assert cv2.imwrite(str(path), pixels)
        entry = {"id": image_id, "file_name": name, "width": width, "height": height}
        self.split(split)["images"].append(entry)
        return path

    def person(
        self,
        split: str,
        image_id: int,
        *,
        box: tuple[float, float, float, float] = (20, 6, 40, 52),
        keypoints: list[float] | None = None,
        **changes: Any,
    ) -> dict[str, Any]:
        """Add a person in a box; ``changes`` replace fields of the entry, which is returned."""
        keypoints = standing_keypoints(*box) if keypoints is None else keypoints
        annotation = {
            "id": self._next_annotation,
            "image_id": image_id,
            "category_id": 1,
            "iscrowd": 0,
            "num_keypoints": sum(v > 0 for v in keypoints[2::3]),
            "keypoints": keypoints,
            "bbox": list(box),
            "area": box[2] * box[3],
            "segmentation": [rectangle(*box)],
        } | changes
        self._next_annotation += 1
        self.split(split)["annotations"].append(annotation)
        return annotation

    def unlabelled(self, split: str, image_id: int, **changes: Any) -> dict[str, Any]:
        """A person without labelled keypoints: ignored."""
        return self.person(split, image_id, keypoints=[0] * 51, **changes)

    def fill(self, split: str, *, images: int, seed: int = 0, first_id: int = 1) -> None:
        """Valid images of several sizes with one or two people each, one in three with someone to ignore."""
        rng = np.random.default_rng(seed)
        for number in range(images):
            image_id = first_id + number
            width, height = int(rng.integers(64, 96)), int(rng.integers(64, 96))
            self.image(split, image_id, width, height)
            for column in range(1 + number % 2):
                box = (2.0 + column * width / 2, 4.0, width / 2 - 6, height - 12.0)
                self.person(split, image_id, box=box)
            if number % 3 == 0:
                self.unlabelled(split, image_id, box=(width - 20.0, height - 30.0, 15.0, 25.0))

    def write(self) -> Path:
        """Write every annotation file; returns the data set's folder."""
        for split, document in self.documents.items():
            file = self.file(split)
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(json.dumps(document))
        return self.root
