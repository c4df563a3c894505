"""Small data sets of other points than COCO's: a hand, a face, animals of three categories, clothes, a single point.

Each object is a fixed shape of K points, turned, scaled and moved; its picture shows a disc at every labelled point, in
a colour of its own, so that a network can learn it.
"""

import colorsys
import itertools
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

SIDE = 192
"""Side of the pictures in pixels."""
_FINGERS = ("thumb", "forefinger", "middle_finger", "ring_finger", "pinky_finger")


@dataclass(frozen=True)
class Kind:
    """One kind of data set: its categories and the shape of an object, as shares of its box."""

    categories: tuple[Mapping[str, Any], ...]
    shape: NDArray[np.float64]
    """(K, 2), x and y from 0 to 1, in the order of the first category."""
    labelled: tuple[tuple[int, ...], ...] = ()
    """For each category the points that its objects have; empty: all."""
    objects: int = 2
    """Objects in a picture."""


def _hand() -> Kind:
    names = ["wrist", *(f"{finger}{joint}" for finger in _FINGERS for joint in (1, 2, 3, 4))]
    shape = [(0.5, 1.0)]
    for number in range(len(_FINGERS)):
        angle = math.pi * (0.82 - 0.16 * number)
        reach = np.array([0.4, 0.6, 0.78, 0.95]) * (0.75 if number == 0 else 1.0)
        shape += [(0.5 + 0.55 * r * math.cos(angle), 1 - r * math.sin(angle)) for r in reach]
    # The pairs are written from 0, as many tools do.
    pairs = [[0 if joint == 1 else 4 * n + joint - 1, 4 * n + joint] for n in range(5) for joint in (1, 2, 3, 4)]
    return Kind(({"id": 1, "name": "hand", "keypoints": names, "skeleton": pairs},), np.array(shape))


def _face() -> Kind:
    jaw = [(0.5 + 0.5 * math.cos(a), 0.45 + 0.55 * math.sin(a)) for a in np.linspace(math.pi, 0, 17)]
    brows = [(x, 0.22 - 0.05 * math.sin(i * math.pi / 4)) for i, x in enumerate(np.linspace(0.12, 0.42, 5))]
    brows += [(x, 0.22 - 0.05 * math.sin(i * math.pi / 4)) for i, x in enumerate(np.linspace(0.58, 0.88, 5))]
    nose = [(0.5, y) for y in np.linspace(0.3, 0.52, 4)] + [(x, 0.58) for x in np.linspace(0.4, 0.6, 5)]
    eyes = [
        (centre + 0.09 * math.cos(a), 0.33 + 0.045 * math.sin(a))
        for centre in (0.28, 0.72)
        for a in np.arange(6) * math.pi / 3 + math.pi
    ]
    mouth = [(0.5 + 0.2 * math.cos(a), 0.76 + 0.09 * math.sin(a)) for a in np.arange(12) * math.pi / 6 + math.pi]
    mouth += [(0.5 + 0.12 * math.cos(a), 0.76 + 0.04 * math.sin(a)) for a in np.arange(8) * math.pi / 4 + math.pi]
    shape = np.array(jaw + brows + nose + eyes + mouth)
    names = [f"face-{number}" for number in range(len(shape))]
    return Kind(({"id": 7, "name": "face", "keypoints": names},), shape, objects=1)


def _animals() -> Kind:
    points = {
        "L_eye": (0.1, 0.1), "R_eye": (0.2, 0.1), "L_ear": (0.12, 0.0), "R_ear": (0.26, 0.0), "nose": (0.0, 0.2),
        "throat": (0.22, 0.3), "tail_base": (0.95, 0.3), "withers": (0.35, 0.22),
        "L_front_elbow": (0.3, 0.6), "R_front_elbow": (0.4, 0.6),
        "L_back_elbow": (0.8, 0.6), "R_back_elbow": (0.9, 0.6),
        "L_front_knee": (0.3, 0.8), "R_front_knee": (0.4, 0.8), "L_back_knee": (0.8, 0.8), "R_back_knee": (0.9, 0.8),
        "L_front_paw": (0.28, 1.0), "R_front_paw": (0.42, 1.0), "L_back_paw": (0.78, 1.0), "R_back_paw": (0.94, 1.0),
    }  # fmt: skip
    names = [*points]
    # The limbs that the file names leave both ears and the tail alone.
    limbs = [("L_eye", "R_eye"), ("L_eye", "nose"), ("R_eye", "nose"), ("nose", "throat"), ("throat", "withers")]
    for side in "LR":
        for end in ("front", "back"):
            first = "throat" if end == "front" else "withers"
            chain = [first, *(f"{side}_{end}_{part}" for part in ("elbow", "knee", "paw"))]
            limbs += [*itertools.pairwise(chain)]
    turned = names[::-1]  # the third category lists its points in another order

    def category(number: int, name: str, order: list[str]) -> dict[str, Any]:
        pairs = [[order.index(a) + 1, order.index(b) + 1] for a, b in limbs]
        return {"id": number, "name": name, "supercategory": "animal", "keypoints": order, "skeleton": pairs}

    return Kind(
        (category(3, "cat", names), category(4, "dog", names), category(9, "horse", turned)),
        np.array([points[name] for name in names]),
    )


def _clothes() -> Kind:
    names = [str(number) for number in range(1, 295)]
    across = np.arange(294) % 20
    shape = np.column_stack([across / 19, (np.arange(294) // 20) / 14])
    ranges = tuple(tuple(range(first, first + 42)) for first in (0, 84, 168, 252))
    categories = tuple(
        {"id": number, "name": name, "supercategory": "clothes", "keypoints": names, "skeleton": []}
        for number, name in enumerate(("short sleeve top", "trousers", "skirt", "sling dress"), start=1)
    )
    return Kind(categories, shape, ranges, objects=1)


def _point() -> Kind:
    return Kind(({"id": 1, "name": "wheel", "keypoints": ["hub"], "skeleton": []},), np.array([(0.5, 0.5)]), objects=3)


KINDS: dict[str, Kind] = {
    "hand": _hand(),
    "face": _face(),
    "animals": _animals(),
    "clothes": _clothes(),
    "point": _point(),
}


def write_set(root: Path, kind: Kind, *, train: int = 12, val: int = 6, seed: int = 0) -> Path:
    """Write a data set in COCO's layout; return its folder."""
    rng = np.random.default_rng(seed)
    for split, images in (("train", train), ("val", val)):
        folder = root / "images" / f"{split}2017"
        folder.mkdir(parents=True)
        document: dict[str, Any] = {"images": [], "annotations": [], "categories": [*kind.categories]}
        for number in range(1, images + 1):
            picture = rng.integers(90, 140, (SIDE, SIDE, 3)).astype(np.uint8)
            for place in range(kind.objects):
                document["annotations"].append(_object(kind, rng, picture, number, place, len(document["annotations"])))
            name = f"{number:06}.png"
            cv2.imwrite(str(folder / name), picture)
            document["images"].append({"id": number, "file_name": name, "width": SIDE, "height": SIDE})
        file = root / "annotations" / f"person_keypoints_{split}2017.json"
        file.parent.mkdir(exist_ok=True)
        file.write_text(json.dumps(document))
    return root


def _object(
    kind: Kind, rng: np.random.Generator, picture: NDArray[np.uint8], image: int, place: int, number: int
) -> dict[str, Any]:
    """Draw one object into its cell of the picture and return its annotation."""
    columns = math.ceil(math.sqrt(kind.objects))
    cell = SIDE / columns
    corner = np.array([place % columns, place // columns]) * cell
    size, angle = cell * rng.uniform(0.6, 0.8), rng.uniform(-0.3, 0.3)
    turn = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    points = corner + cell / 2 + (kind.shape - 0.5) @ turn.T * size + rng.uniform(-0.04, 0.04, 2) * cell
    which = int(rng.integers(len(kind.categories)))
    shown = np.zeros(len(points), bool)
    shown[[*(kind.labelled[which] if kind.labelled else range(len(points)))]] = True
    shown &= ((points > 0.5) & (points < SIDE - 0.5)).all(axis=1)
    for index in np.flatnonzero(shown).tolist():
        colour = [round(255 * share) for share in colorsys.hsv_to_rgb(index / len(points), 1, 1)]
        cv2.circle(picture, [round(float(c)) for c in points[index]], 2, colour, -1)
    category = kind.categories[which]
    order = [[*kind.categories[0]["keypoints"]].index(name) for name in category["keypoints"]]
    keypoints = [
        value for index in order for value in ((*points[index].round(2).tolist(), 2) if shown[index] else (0.0, 0.0, 0))
    ]
    low, high = points[shown].min(axis=0), points[shown].max(axis=0)
    if len(points) == 1:
        low, high = points[0] - size / 2, points[0] + size / 2
    low, high = low.clip(0, SIDE), high.clip(0, SIDE)
    (x, y), (width, height) = low.round(2).tolist(), (high - low).round(2).tolist()
    return {
        "id": number + 1,
        "image_id": image,
        "category_id": category["id"],
        "keypoints": keypoints,
        "num_keypoints": int(shown.sum()),
        "bbox": [x, y, width, height],
        "area": round(width * height, 2),
        "iscrowd": 0,
        "segmentation": [[x, y, x + width, y, x + width, y + height, x, y + height]],
    }
