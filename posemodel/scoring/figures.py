"""COCO's ten keypoint metrics (figures: AP, AP50, ... AR), by pycocotools from inputs that are built from arrays here.

Matching and accumulation stay pycocotools'. Its own preparation (JSON objects, an index, the object keypoint
similarity, OKS, of one pair at a time in Python) takes longer than its matching.
"""

import contextlib
import io
from collections import defaultdict
from itertools import islice
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pycocotools.cocoeval import COCOeval

from posemodel.data.truth import Truth
from posemodel.skeleton import Skeleton

CATEGORY = 1
"""Id of the only category within the evaluation, independent of the files."""
BLOCK_POINTS = 140_000
"""Number of keypoints in the pairs whose OKS is computed at a time; it limits the memory to about 10 MB."""


class Predictions(NamedTuple):
    """Predicted people, in the order in which they were added; pycocotools breaks ties by this order.

    image_ids (D,) int64; keypoints (D, K, 3) float64 in the annotations' order; scores (D,) and areas (D,) float64.
    """

    image_ids: NDArray[np.int64]
    keypoints: NDArray[np.float64]
    scores: NDArray[np.float64]
    areas: NDArray[np.float64]


def keypoint_areas(keypoints: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the areas (D,) that pycocotools gives people (D, K, 3) without boxes.

    The area is that of the bounding box of all K points, including missing ones stored as (0, 0).
    """
    width, height = np.ptp(keypoints[..., :2], axis=1).T
    area: NDArray[np.float64] = width * height
    return area


def keypoint_figures(
    truth: Truth, rows: NDArray[np.int64], predictions: Predictions, skeleton: Skeleton
) -> list[float | None]:
    """Compute COCO's ten metrics over some images: ``rows`` (N,) are their ascending indices in the truth.

    The skeleton's OKS sigmas are pycocotools' ``params.kpt_oks_sigmas``. A metric without labelled people is None.
    Predictions in other images do not count.
    """
    evaluation = _ArrayEvaluation(truth, rows, predictions, skeleton)
    # pycocotools prints on stdout, which is reserved for our own data.
    with contextlib.redirect_stdout(io.StringIO()):
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return [float(value) if value >= 0 else None for value in evaluation.stats]


class _ArrayEvaluation(COCOeval):  # type: ignore[misc]  # pycocotools has no types
    """``COCOeval`` whose inputs to the matching are made from arrays instead of COCO objects."""

    def __init__(self, truth: Truth, rows: NDArray[np.int64], predictions: Predictions, skeleton: Skeleton) -> None:
        super().__init__(iouType="keypoints")
        self.params.imgIds = truth.image_ids[rows].tolist()
        self.params.catIds = [CATEGORY]
        self.params.kpt_oks_sigmas = skeleton.oks_sigmas
        self._truth, self._rows, self._predictions = truth, rows, predictions
        self._oks: dict[int, NDArray[np.float64]] = {}

    def _prepare(self) -> None:
        """Make the annotations and results that the matching reads, and the OKS of their pairs."""
        truth, predictions, images = self._truth, self._predictions, self._truth.image_ids[self._rows]
        trues = np.diff(truth.start)[self._rows]
        true = _ranges(truth.start[self._rows], trues)
        best, bests = best_predictions(predictions, images, self.params.maxDets[-1])
        # Numbered from 1, because pycocotools takes a match with number 0 for no match.
        annotations = (true + 1, truth.ignored[true], truth.crowd[true], truth.areas[true])
        self._gts = _by_image(images, trues, ("id", "ignore", "iscrowd", "area"), annotations)
        results = (best + 1, predictions.scores[best], predictions.areas[best])
        self._dts = _by_image(images, bests, ("id", "score", "area"), results)
        at_best, at_true = _pairs(bests, trues)
        oks = pair_oks(predictions.keypoints, best[at_best], truth, true[at_true], self.params.kpt_oks_sigmas)
        shapes = zip(bests.tolist(), trues.tolist(), strict=True)
        matrices = np.split(oks, np.cumsum(bests * trues))[:-1]
        self._oks = {
            image: matrix.reshape(shape)
            for image, matrix, shape in zip(images.tolist(), matrices, shapes, strict=True)
            if len(matrix)
        }

    def computeOks(self, imgId: int, catId: int) -> Any:  # noqa: ARG002, N802, N803 (pycocotools' names)
        """Return the OKS (D, G) of an image's predicted people, the best first, with its true people."""
        return self._oks.get(imgId, [])


def best_predictions(
    predictions: Predictions, images: NDArray[np.int64], most: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the indices of the predictions in ``images`` (N,), ascending ids, and their number in each image (N,).

    They are ordered by image, the best score first, of equal scores the first added; ``most`` is the maximum number for
    an image.
    """
    image = np.searchsorted(images, predictions.image_ids)
    listed = np.flatnonzero(image < len(images))
    listed = listed[images[image[listed]] == predictions.image_ids[listed]]
    order = listed[np.lexsort((-predictions.scores[listed], image[listed]))]
    count = np.bincount(image[order], minlength=len(images))
    order = order[_ranges(np.zeros_like(count), count) < most]
    return order, np.minimum(count, most)


def pair_oks(
    keypoints: NDArray[np.float64],
    predicted: NDArray[np.int64],
    truth: Truth,
    true: NDArray[np.int64],
    sigmas: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Return the OKS (P,) of pairs: indices ``predicted`` (P,) into keypoints (D, K, 3), ``true`` (P,) into the truth.

    ``sigmas`` (K,) are the skeleton's. The result is bit-identical to ``COCOeval.computeOks`` if float32 can represent
    the true keypoints exactly, as it can COCO's. For a true person without labelled keypoints, distances are measured
    to the person's box, enlarged to three times its size.
    """
    variances, size = (sigmas * 2) ** 2, max(BLOCK_POINTS // len(sigmas), 1)
    blocks = [slice(first, first + size) for first in range(0, len(predicted), size)]
    parts = [_block_oks(keypoints[predicted[block]], truth, true[block], variances) for block in blocks]
    return np.concatenate(parts) if parts else np.zeros(0)


def _block_oks(
    predicted: NDArray[np.float64], truth: Truth, true: NDArray[np.int64], variances: NDArray[np.float64]
) -> NDArray[np.float64]:
    people = truth.keypoints[true].astype(np.float64)
    visible = people[..., 2] > 0
    labelled = visible.any(axis=1, keepdims=True)
    corner, size = truth.boxes[true, :2], truth.boxes[true, 2:]
    low, high = corner - size, corner + size * 2
    # Coordinates in other programs' results can be huge; their squares overflow, which gives an OKS of 0.
    with np.errstate(over="ignore"):
        squares = np.zeros(visible.shape)
        for axis in (0, 1):
            at = predicted[..., axis]
            outside = np.maximum(0, low[:, axis, None] - at) + np.maximum(0, at - high[:, axis, None])
            squares += np.where(labelled, at - people[..., axis], outside) ** 2
        area = truth.areas[true] + np.spacing(1)
        likeness = np.exp(-(squares / variances / area[:, None] / 2))
    visible |= ~labelled
    counts = np.count_nonzero(visible, axis=1)
    oks = np.empty(len(predicted))
    # People with the same number of points are summed together, so that each sum has the same terms as in pycocotools.
    for count in np.unique(counts):
        of_count = counts == count
        terms = likeness[of_count][visible[of_count]].reshape(-1, count)
        oks[of_count] = terms.sum(axis=1) / count
    return oks


def _by_image(
    images: NDArray[np.int64], counts: NDArray[np.int64], keys: tuple[str, ...], columns: tuple[NDArray[Any], ...]
) -> dict[tuple[int, int], list[dict[str, Any]]]:
    """Turn columns into dictionaries by (image, category); ``counts`` (N,) is the number of rows of each image."""
    entries = (dict(zip(keys, row, strict=True)) for row in zip(*(c.tolist() for c in columns), strict=True))
    pairs = zip(images.tolist(), counts.tolist(), strict=True)
    return defaultdict(list, {(image, CATEGORY): list(islice(entries, count)) for image, count in pairs})


def _pairs(bests: NDArray[np.int64], trues: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return all pairs of a predicted and a true person of the same image, as indices that run through all images.

    ``bests`` and ``trues`` (N,) are the numbers of predicted (best-scored) and of true people in each image.
    """
    sizes = bests * trues
    image = np.repeat(np.arange(len(sizes)), sizes)
    at_best, at_true = np.divmod(_ranges(np.zeros_like(sizes), sizes), trues[image])
    return at_best + (np.cumsum(bests) - bests)[image], at_true + (np.cumsum(trues) - trues)[image]


def _ranges(first: NDArray[np.int64], count: NDArray[np.int64]) -> NDArray[np.int64]:
    """Concatenate the ranges of ``count[i]`` consecutive integers that begin with ``first[i]``."""
    numbers: NDArray[np.int64] = np.arange(count.sum()) + np.repeat(first - (np.cumsum(count) - count), count)
    return numbers
