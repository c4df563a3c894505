"""COCO's keypoint figures by pycocotools, which matches and accumulates; its inputs are built from arrays here.

Its own way there (JSON objects, an index, the OKS pair by pair in Python) takes longer than its matching.
"""

import contextlib
import io
from collections import defaultdict
from itertools import islice
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pycocotools.cocoeval import COCOeval

from posemodel import skeleton
from posemodel.data.truth import Truth

PERSON = 1
"""The category inside the evaluation, whatever its id in the files."""
BLOCK = 8192
"""Pairs whose OKS is computed at a time: bounds the memory (about 10 MB)."""
VARIANCES = (skeleton.OKS_SIGMAS * 2) ** 2
"""Of a keypoint's distance, relative to the person's area, in COCO's order."""


class Found(NamedTuple):
    """People found, in the order in which they were: pycocotools breaks ties by it.

    image_ids (D,) int64; keypoints (D, 17, 3) float64 in COCO's order; scores (D,) float64; areas (D,) float64.
    """

    image_ids: NDArray[np.int64]
    keypoints: NDArray[np.float64]
    scores: NDArray[np.float64]
    areas: NDArray[np.float64]


def keypoint_areas(keypoints: NDArray[np.float64]) -> NDArray[np.float64]:
    """Areas (D,) that pycocotools gives people (D, 17, 3) without boxes: around all 17 points, also those at 0, 0."""
    return np.ptp(keypoints[..., 0], axis=1) * np.ptp(keypoints[..., 1], axis=1)


def keypoint_figures(truth: Truth, rows: NDArray[np.int64], found: Found) -> list[float | None]:
    """COCO's ten figures over the images at ``rows`` (N,), ascending, of the truth; None: nobody of that kind there.

    Who was found in other images does not count.
    """
    evaluation = _ArrayEvaluation(truth, rows, found)
    # pycocotools reports on stdout, which belongs to our own data.
    with contextlib.redirect_stdout(io.StringIO()):
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return [float(value) if value >= 0 else None for value in evaluation.stats]


class _ArrayEvaluation(COCOeval):
    """``COCOeval`` without COCO objects: what its steps before the matching would make of them, made from arrays."""

    def __init__(self, truth: Truth, rows: NDArray[np.int64], found: Found) -> None:
        super().__init__(iouType="keypoints")
        self.params.imgIds = truth.image_ids[rows].tolist()
        self.params.catIds = [PERSON]
        self._truth, self._rows, self._found = truth, rows, found
        self._oks: dict[int, NDArray[np.float64]] = {}

    def _prepare(self) -> None:
        """The annotations and results of every image, as far as the matching reads them, and the OKS of their pairs."""
        truth, found, images = self._truth, self._found, self._truth.image_ids[self._rows]
        trues = np.diff(truth.start)[self._rows]
        true = _ranges(truth.start[self._rows], trues)
        best, bests = best_found(found, images, self.params.maxDets[-1])
        # Numbered from 1: a match with number 0 would count as none.
        columns = (truth.ignored[true], truth.crowd[true], truth.areas[true])
        self._gts = _by_image(images, trues, ("id", "ignore", "iscrowd", "area"), (true + 1, *columns))
        columns = (found.scores[best], found.areas[best])
        self._dts = _by_image(images, bests, ("id", "score", "area"), (best + 1, *columns))
        at_best, at_true = _pairs(bests, trues)
        oks = pair_oks(found.keypoints, best[at_best], truth, true[at_true])
        shapes = zip(bests.tolist(), trues.tolist(), strict=True)
        matrices = np.split(oks, np.cumsum(bests * trues))[:-1]
        self._oks = {
            image: matrix.reshape(shape)
            for image, matrix, shape in zip(images.tolist(), matrices, shapes, strict=True)
            if len(matrix)
        }

    def computeOks(self, imgId: int, catId: int) -> Any:  # noqa: ARG002, N802, N803 (pycocotools' names)
        """OKS (D, G) of an image's people found, the best first, and of its true ones."""
        return self._oks.get(imgId, [])


def best_found(found: Found, images: NDArray[np.int64], most: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Those found in ``images`` (N,), ascending ids, image by image, the best first, and how many of each (N,).

    No more than ``most`` of an image; of equally scored ones the first found.
    """
    image = np.searchsorted(images, found.image_ids)
    listed = np.flatnonzero(image < len(images))
    listed = listed[images[image[listed]] == found.image_ids[listed]]
    order = listed[np.lexsort((-found.scores[listed], image[listed]))]
    count = np.bincount(image[order], minlength=len(images))
    order = order[_ranges(np.zeros_like(count), count) < most]
    return order, np.minimum(count, most)


def pair_oks(
    keypoints: NDArray[np.float64], found: NDArray[np.int64], truth: Truth, true: NDArray[np.int64]
) -> NDArray[np.float64]:
    """OKS (P,) of pairs: rows ``found`` (P,) of the keypoints (D, 17, 3) with rows ``true`` (P,) of the truth.

    Operation by operation like ``COCOeval.computeOks``, to the last bit for keypoints that float32 holds exactly, as
    COCO's. With someone without labelled keypoints a
    point is as far off as from the box of three times the size.
    """
    blocks = range(0, len(found), BLOCK)
    parts = [_block_oks(keypoints[found[b : b + BLOCK]], truth, true[b : b + BLOCK]) for b in blocks]
    return np.concatenate(parts) if parts else np.zeros(0)


def _block_oks(found: NDArray[np.float64], truth: Truth, true: NDArray[np.int64]) -> NDArray[np.float64]:
    people = truth.keypoints[true].astype(np.float64)
    visible = people[..., 2] > 0
    labelled = visible.any(axis=1, keepdims=True)
    corner, size = truth.boxes[true, :2], truth.boxes[true, 2:]
    low, high = corner - size, corner + size * 2
    # Coordinates of foreign results can be huge: their squares overflow to an OKS of 0.
    with np.errstate(over="ignore"):
        squares = np.zeros(visible.shape)
        for axis in (0, 1):
            at = found[..., axis]
            outside = np.maximum(0, low[:, axis, None] - at) + np.maximum(0, at - high[:, axis, None])
            squares += np.where(labelled, at - people[..., axis], outside) ** 2
        area = truth.areas[true] + np.spacing(1)
        likeness = np.exp(-(squares / VARIANCES / area[:, None] / 2))
    visible |= ~labelled
    counts = np.count_nonzero(visible, axis=1)
    oks = np.empty(len(found))
    # People with equally many points together: each sum then has just its terms, as pycocotools' has.
    for count in np.unique(counts):
        of_count = counts == count
        terms = likeness[of_count][visible[of_count]].reshape(-1, count)
        oks[of_count] = terms.sum(axis=1) / count
    return oks


def _by_image(
    images: NDArray[np.int64], counts: NDArray[np.int64], keys: tuple[str, ...], columns: tuple[NDArray[Any], ...]
) -> dict[tuple[int, int], list[dict[str, Any]]]:
    """Dictionaries of the columns' rows, ``counts`` (N,) for each image, by image and category."""
    entries = (dict(zip(keys, row, strict=True)) for row in zip(*(c.tolist() for c in columns), strict=True))
    pairs = zip(images.tolist(), counts.tolist(), strict=True)
    return defaultdict(list, {(image, PERSON): list(islice(entries, count)) for image, count in pairs})


def _pairs(bests: NDArray[np.int64], trues: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """All pairs of each image's ``bests`` (N,) and ``trues`` (N,) people, numbered over all images."""
    sizes = bests * trues
    image = np.repeat(np.arange(len(sizes)), sizes)
    at_best, at_true = np.divmod(_ranges(np.zeros_like(sizes), sizes), trues[image])
    return at_best + (np.cumsum(bests) - bests)[image], at_true + (np.cumsum(trues) - trues)[image]


def _ranges(first: NDArray[np.int64], count: NDArray[np.int64]) -> NDArray[np.int64]:
    """``first[i]``, ``first[i] + 1``, ... , ``count[i]`` numbers for each i, one after another."""
    return np.arange(count.sum()) + np.repeat(first - (np.cumsum(count) - count), count)
