"""Score predicted people against a split's annotations: COCO keypoint AP, by pycocotools."""

import json
from collections.abc import Collection
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from posemodel.atomic_write import atomic_path
from posemodel.data.truth import Truth
from posemodel.inference.results import DECIMALS, PERSON_CATEGORY, coco_result, point_names
from posemodel.scoring.figures import Predictions, keypoint_areas, keypoint_figures
from posemodel.skeleton import COCO_PERSON, Skeleton


@dataclass(frozen=True)
class Scores:
    """COCO's ten keypoint metrics (None: no labelled people of that size), and the numbers of images and people."""

    ap: float | None
    ap50: float | None
    ap75: float | None
    ap_medium: float | None
    ap_large: float | None
    ar: float | None
    ar50: float | None
    ar75: float | None
    ar_medium: float | None
    ar_large: float | None
    images: int
    people: int

    def as_row(self) -> dict[str, float | int | None]:
        """Return metrics and numbers as a flat dictionary."""
        return asdict(self)


FIGURES = tuple(field.name for field in fields(Scores))[:10]
"""Names of COCO's ten keypoint metrics, in pycocotools' order."""


BEST = 20
"""Number of people of an image that COCO's metrics count, the best-scored ones: pycocotools' ``maxDets``."""


class KeypointScorer:
    """Accumulates the predicted people of a split's images and scores them.

    Of COCO's people all are kept for the results, of other objects the best ``BEST`` of each image: hundreds of false
    objects with hundreds of points each would need too much memory. The metrics are the same.
    """

    def __init__(
        self,
        truth: Truth,
        skeleton: Skeleton,
        *,
        image_ids: Collection[int] | None = None,
        category: int = PERSON_CATEGORY,
    ) -> None:
        """Score against the people of ``truth``.

        Args:
            truth: All people of a split.
            skeleton: Parts, keypoints and OKS sigmas of the true and the predicted people.
            image_ids: Score only the images with these ids; None scores all.
            category: Id of the people's category in the annotation file, for the results file.

        Raises:
            ValueError: an image id is not in the truth.
        """
        self.skeleton = skeleton
        self._truth = truth
        self._rows = _rows(truth, image_ids)
        self.image_ids: list[int] = truth.image_ids[self._rows].tolist()
        self._category = category
        self._image_ids: list[int] = []
        self._people: list[NDArray[np.float64]] = []
        self._scores: list[NDArray[np.float64]] = []

    def add(self, image_id: int, people: NDArray[np.floating], scores: NDArray[np.floating]) -> None:
        """Add the people (N, P, 3) of one image, in its own pixels, with a score each (N,)."""
        if len(people) != len(scores):
            raise ValueError(f"{len(people)} people have {len(scores)} scores")
        if len(people) > BEST and self.skeleton != COCO_PERSON:
            best = np.sort(np.argsort(-np.asarray(scores), kind="stable")[:BEST])  # in the order in which ties count
            people, scores = people[best], scores[best]
        self._image_ids.append(int(image_id))
        self._people.append(np.array(people, np.float64))
        self._scores.append(np.array(scores, np.float64))

    @property
    def results(self) -> list[dict[str, Any]]:
        """All people kept so far, in COCO's results format."""
        predictions = self._predictions()
        return [
            coco_result(image, keypoints, score, category=self._category)
            for image, keypoints, score in zip(
                predictions.image_ids.tolist(), predictions.keypoints, predictions.scores.tolist(), strict=True
            )
        ]

    def stats(self) -> Scores:
        """Compute COCO's metrics of all people added so far; predictions in images that are not scored do not count."""
        return scores_of(self._truth, self._predictions(), self._rows, self.skeleton)

    def write_predictions(self, path: Path) -> None:
        """Write a COCO results file, completely or not at all; scoring the file gives the same metrics.

        Each entry has its skeleton's ``point_names``.
        """
        named = point_names(self.skeleton)
        with atomic_path(path) as temporary:
            temporary.write_text(json.dumps([{**result, **named} for result in self.results]))

    def _predictions(self) -> Predictions:
        counts = [len(scores) for scores in self._scores]
        people = np.concatenate([np.zeros((0, self.skeleton.num_parts, 3)), *self._people])
        keypoints = np.round(self.skeleton.to_keypoints(people), DECIMALS)
        return Predictions(
            np.repeat(np.array(self._image_ids, np.int64), counts),
            keypoints,
            np.concatenate([np.zeros(0), *self._scores]),
            keypoint_areas(keypoints),
        )


def _rows(truth: Truth, image_ids: Collection[int] | None) -> NDArray[np.int64]:
    """Return the ascending positions of images in the truth."""
    if image_ids is None:
        return np.arange(len(truth.image_ids))
    wanted = np.unique(np.array(list(image_ids), np.int64))
    unknown = np.setdiff1d(wanted, truth.image_ids)
    if len(unknown):
        raise ValueError(f"image {unknown[0]} is none of the {len(truth.image_ids)} images of the truth")
    return np.searchsorted(truth.image_ids, wanted)


def scores_of(truth: Truth, predictions: Predictions, rows: NDArray[np.int64] | None, skeleton: Skeleton) -> Scores:
    """Score predictions over some images: ``rows`` (N,) are their ascending indices in the truth; None takes all.

    ``skeleton``: the one of the truth's and the predictions' keypoints; its sigmas count.
    """
    if rows is None:
        rows = np.arange(len(truth.image_ids))
    labelled = ~truth.crowd & (truth.keypoints[..., 2] > 0).any(axis=1)
    before = np.append(0, np.cumsum(labelled))
    people = before[truth.start[rows + 1]] - before[truth.start[rows]]
    figures = zip(FIGURES, keypoint_figures(truth, rows, predictions, skeleton), strict=True)
    return Scores(**dict(figures), images=len(rows), people=int(people.sum()))
