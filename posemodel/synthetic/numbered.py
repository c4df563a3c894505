"""Images of a synthetic data set by split and index: ids, file names and JPEGs; each is independent of the others."""

from typing import Any

import cv2
import numpy as np

from posemodel.synthetic.scene import render_image

SPLITS: tuple[str, ...] = ("train", "select", "val")
IDS_PER_SPLIT = 1_000_000
"""Image ids reserved for each split, and so the maximum number of images in it."""
JPEG_QUALITY = 90
"""OpenCV's JPEG quality, 0 to 100."""
_IDS_PER_IMAGE = 100
"""Annotation ids reserved for each image."""

Entry = dict[str, Any]
"""COCO entries of one image: {"image": ..., "annotations": [...]}."""


def image_id(split_number: int, index: int) -> int:
    """Return the id of image ``index`` of a split; those of the first split begin at ``IDS_PER_SPLIT``."""
    return (split_number + 1) * IDS_PER_SPLIT + index


def split_of(number: int) -> str:
    """Return the split that holds the image with this id."""
    return SPLITS[number // IDS_PER_SPLIT - 1]


def file_name(number: int) -> str:
    """Return the file name of the image with this id."""
    return f"{number:012d}.jpg"


def render_numbered(
    seed: int, split_number: int, index: int, size: tuple[int, int] | None = None
) -> tuple[bytes, Entry]:
    """Render image ``index`` of a split; return its JPEG and its entry with ids. They depend on the arguments alone.

    ``size``: (width, height) in pixels; None draws one of `scene.SIZES`.
    """
    image, annotations = render_image(np.random.default_rng([seed, split_number, index]), size=size)
    ok, encoded = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
    if not ok:
        raise RuntimeError("OpenCV could not encode a JPEG; this build seems to lack the codec")
    number = image_id(split_number, index)
    height, width = image.shape[:2]
    for index_in_image, annotation in enumerate(annotations):
        annotation |= {"id": number * _IDS_PER_IMAGE + index_in_image, "image_id": number}
    entry = {"file_name": file_name(number), "height": height, "id": number, "license": 0, "width": width}
    return encoded.tobytes(), {"image": entry, "annotations": annotations}
