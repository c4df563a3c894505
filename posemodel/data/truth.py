"""The ground truth of a split: every annotated object that predictions are scored against."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class Truth:
    """Annotated objects (people, or others) of N images as packed arrays, crowds and unlabelled ones included.

    Those of image n are rows ``start[n]:start[n + 1]``, in the order of the annotation file, by which pycocotools
    breaks ties. image_ids (N,) int64, ascending; start (N + 1,) int64; keypoints (T, K, 3) float32, x and y in pixels
    and visibility (0, 1, 2), in the order of the skeleton's K keypoints; boxes (T, 4) float64, x, y, width, height in
    pixels; areas (T,) float64, `area` in square pixels; crowd (T,) bool; ignored (T,) bool, True for crowds and for
    objects whose `num_keypoints` is 0 (counted from the keypoints if the file lacks it). Predictions that match ignored
    objects do not count.
    """

    image_ids: NDArray[np.int64]
    start: NDArray[np.int64]
    keypoints: NDArray[np.float32]
    boxes: NDArray[np.float64]
    areas: NDArray[np.float64]
    crowd: NDArray[np.bool_]
    ignored: NDArray[np.bool_]
