"""Image i of a split: its ids, its name and its JPEG, independent of all other images."""

from typing import Any

import cv2
import numpy as np

from posemodel.synthetic.scene import render_image

SPLITS: tuple[str, ...] = ("train", "select", "val")
IDS_PER_SPLIT = 1_000_000
JPEG_QUALITY = 90
_IDS_PER_IMAGE = 100

Entry = dict[str, Any]
"""{"image": COCO's entry of an image, "annotations": those of the people in it}."""


def image_id(split_number: int, index: int) -> int:
    """The id of image ``index`` of a split."""
    return (split_number + 1) * IDS_PER_SPLIT + index


def split_of(number: int) -> str:
    """The split that holds the image with this id."""
    return SPLITS[number // IDS_PER_SPLIT - 1]


def file_name(number: int) -> str:
    """The file name of the image with this id."""
    return f"{number:012d}.jpg"


def render_numbered(
    seed: int, split_number: int, index: int, size: tuple[int, int] | None = None
) -> tuple[bytes, Entry]:
    """Render image ``index`` of a split: its JPEG, and its entry with ids. Pure, so any process may do it."""
    image, annotations = render_image(np.random.default_rng([seed, split_number, index]), size=size)
    ok, encoded = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
    if not ok:
        raise RuntimeError("OpenCV could not encode a JPEG; this build seems to lack the codec")
    number = image_id(split_number, index)
    height, width = image.shape[:2]
    for place, annotation in enumerate(annotations):
        annotation |= {"id": number * _IDS_PER_IMAGE + place, "image_id": number}
    entry = {"file_name": file_name(number), "height": height, "id": number, "license": 0, "width": width}
    return encoded.tobytes(), {"image": entry, "annotations": annotations}
