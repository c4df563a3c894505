"""COCO annotations from the label canvas: visible masks, boxes, polygons and run lengths."""

import math
from typing import Any

import cv2
import numpy as np

from posemodel.synthetic.canvas import LABELS_PER_PERSON, SUPERSAMPLING
from posemodel.synthetic.figure import Array
from posemodel.synthetic.person import Person

POLYGON_TOLERANCE = 0.5
"""Largest distance in image pixels of a simplified polygon from the outline of the mask."""


def owner_mask(labels: Array, owner: int) -> Array:
    """Return the mask, uint8 of 255 or 0, of the canvas pixels that show this owner (see ``canvas``)."""
    first = owner * LABELS_PER_PERSON
    return cv2.inRange(labels, first, first + LABELS_PER_PERSON - 1)


def window(person: Person, width: int, height: int) -> tuple[int, int, int, int]:
    """Return x0, y0, x1, y1 in image pixels of a window that contains the person, clipped to the image."""
    left, top, right, bottom = person.bounds()
    x0, y0 = min(max(math.floor(left), 0), width - 1), min(max(math.floor(top), 0), height - 1)
    return x0, y0, min(max(math.ceil(right), x0 + 1), width), min(max(math.ceil(bottom), y0 + 1), height)


def crop(canvas: Array, window: tuple[int, int, int, int]) -> Array:
    """Cut a window, in image pixels, out of the canvas or its labels."""
    x0, y0, x1, y1 = (edge * SUPERSAMPLING for edge in window)
    return canvas[y0:y1, x0:x1]


def annotate(visible: Array, left: int, top: int, *, crowd: bool = False) -> dict[str, Any] | None:
    """Return a COCO annotation whose keypoints are all 0 (not labelled); None if no pixel is visible.

    Args:
        visible: Mask of canvas pixels, uint8 of 255 or 0, whose first pixel is at image pixel (left, top); for a crowd
            the full canvas.
        left: Image column where the mask begins.
        top: Image row where the mask begins.
        crowd: Annotate a crowd, by run lengths instead of polygons.
    """
    size = (visible.shape[1] // SUPERSAMPLING, visible.shape[0] // SUPERSAMPLING)
    mask = (cv2.resize(visible, size, interpolation=cv2.INTER_AREA) >= 127).astype(np.uint8)  # covers half of the pixel
    x, y, wide, tall = cv2.boundingRect(mask)
    if wide == 0:
        return None
    inside = mask[y : y + tall, x : x + wide]
    x, y = x + left, y + top
    segmentation: Any = _run_lengths(mask) if crowd else _polygons(inside, x, y)
    if not segmentation:
        return None
    return {
        "segmentation": segmentation,
        "area": int(mask.sum()),
        "bbox": [x, y, wide, tall],
        "iscrowd": int(crowd),
        "category_id": 1,
        "keypoints": [0] * 51,
        "num_keypoints": 0,
    }


def _polygons(mask: Array, x: int, y: int) -> list[list[float]]:
    """Return the outlines of a mask along the edges of its pixels; pixel i covers the interval [i, i + 1].

    The contour is traced on a grid of half pixels, where pixel i is node 2i + 1 and its edges are nodes 2i and 2i + 2.
    """
    lattice = np.zeros((2 * mask.shape[0] + 1, 2 * mask.shape[1] + 1), np.uint8)
    lattice[1::2, 1::2] = mask
    lattice = cv2.dilate(lattice, np.ones((3, 3), np.uint8))
    contours, _ = cv2.findContours(lattice, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    polygons = []
    for contour in contours:
        simplified = cv2.approxPolyDP(contour, 2 * POLYGON_TOLERANCE, True)[:, 0]
        if len(simplified) >= 3:
            polygons.append((simplified / 2 + (x, y)).ravel().tolist())
    return polygons


def _run_lengths(mask: Array) -> dict[str, Any]:
    """Return COCO's uncompressed RLE: lengths of runs down the columns, beginning with a run of zeros."""
    flat = mask.ravel(order="F")
    changes = np.flatnonzero(np.diff(flat)) + 1
    counts = np.diff(np.concatenate([[0], changes, [flat.size]])).tolist()
    return {"counts": [0, *counts] if flat[0] else counts, "size": list(mask.shape)}
