"""Implements `data stats`: counts and shares of a data set's annotations, comparable with those of other data sets.

People are annotations with a labelled keypoint that are not crowds, as in `data check`; boxes are COCO's (x, y, width,
height in pixels). Images are not opened.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from posemodel.data.annotations.categories import find_in
from posemodel.data.annotations.skeletons import SkeletonChoice, read_choice
from posemodel.data.images.matching import names_aside
from posemodel.data.layout import Data, DataSet, require_split, split_names
from posemodel.data.left_out import LeftOut, sound_part
from posemodel.data.notes import Note
from posemodel.data.open_split import keypoint_order, read_document
from posemodel.skeleton import COCO_KEYPOINTS

BORDER_PIXELS = 1.0
"""A box at most this many pixels from the image border counts as reaching it, because annotation tools round."""
SIDE_VIEW_BELOW = 0.25
"""Distance of the shoulders across the trunk, in trunk lengths, below which a person is seen from the side.

Seen from the front they are some 0.7 apart, so such people are turned by about 70 degrees or more.
"""
HEIGHT_BIN = 0.05
"""Width of a bin of the histogram of heights, in image heights."""
QUANTILES = {"min": 0.0, "p5": 0.05, "p25": 0.25, "p50": 0.5, "p75": 0.75, "p95": 0.95, "max": 1.0}
VIEWS = ("front", "back", "side", "unknown")

_HEAD = ("nose", "eye", "ear")
_TRUNK = ("left_shoulder", "right_shoulder", "left_hip", "right_hip")
"""Keypoints that tell from which side somebody is seen."""


@dataclass(frozen=True, eq=False)
class Tally:
    """Facts of one split, one row per image or person; tallies of several splits can be joined."""

    sizes: NDArray[np.int64]
    """(images, 2): width, height in pixels."""
    people_per_image: NDArray[np.int64]
    """(images,): number of people."""
    heights: NDArray[np.float64]
    """(people,): height of the box as a share of the image's height."""
    visibility: NDArray[np.int64]
    """(people, K): 0 not labelled, 1 occluded, 2 visible."""
    cut: NDArray[np.bool_]
    """(people,): True if the box reaches the image's border and a keypoint, eyes, ears and nose excepted, is not
    labelled."""
    views: NDArray[np.int64]
    """(people,): index into ``VIEWS``."""
    unlabelled: int
    """Person annotations, crowds excepted, without a labelled keypoint; they are not counted as people."""
    crowds: int
    crowds_rle: int
    """Crowds whose segmentation is run lengths, as COCO's are."""
    keypoints: tuple[str, ...] = COCO_KEYPOINTS
    """Names of the K keypoints."""

    @property
    def height_quantiles(self) -> dict[str, float] | None:
        """Quantiles of the people's heights, by the names of ``QUANTILES``; None without people."""
        if not len(self.heights):
            return None
        return dict(zip(QUANTILES, np.quantile(self.heights, list(QUANTILES.values())).tolist(), strict=True))

    @property
    def height_histogram(self) -> list[int]:
        """Number of people in each bin of ``HEIGHT_BIN`` from 0 to 1; the last bin includes larger values."""
        bins = round(1 / HEIGHT_BIN)
        bin_of_person = np.minimum((self.heights / HEIGHT_BIN).astype(int), bins - 1)
        counts: list[int] = np.bincount(bin_of_person, minlength=bins).tolist()
        return counts

    @property
    def people_histogram(self) -> list[int]:
        """Number of images with 0, 1, 2, ... people."""
        counts: list[int] = np.bincount(self.people_per_image).tolist()
        return counts

    @property
    def joints(self) -> NDArray[np.int64]:
        """(K, 3): how often each keypoint is not labelled, occluded, visible."""
        return np.stack([(self.visibility == value).sum(0) for value in (0, 1, 2)], axis=1)

    @property
    def parts(self) -> list[tuple[str, list[int]]]:
        """The rows of ``joints`` with their names."""
        return list(zip(self.keypoints, self.joints.tolist(), strict=True))

    def as_document(self) -> dict[str, Any]:
        """Return counts and shares for JSON; a share is None if its total is 0."""
        people, images = len(self.heights), len(self.sizes)
        unlabelled, occluded, visible = self.joints.sum(0).tolist()
        sizes = Counter(f"{width}x{height}" for width, height in self.sizes.tolist())
        return {
            "images": images,
            "people": people,
            "unlabelled": self.unlabelled,
            "crowds": self.crowds,
            "crowds_rle": self.crowds_rle,
            "people_per_image": {str(count): images for count, images in enumerate(self.people_histogram) if images},
            "share_images_with_3_or_more": share(int((self.people_per_image >= 3).sum()), images),
            "height_share": self.height_quantiles,
            "height_histogram": self.height_histogram,
            "joints": {"visible": visible, "occluded": occluded, "unlabelled": unlabelled},
            "share_joints_occluded": share(occluded, occluded + visible),
            "parts": {name: {"visible": row[2], "occluded": row[1], "unlabelled": row[0]} for name, row in self.parts},
            "cut_by_border": int(self.cut.sum()),
            "share_cut_by_border": share(int(self.cut.sum()), people),
            "views": dict(zip(VIEWS, np.bincount(self.views, minlength=len(VIEWS)).tolist(), strict=True)),
            "image_sizes": dict(sizes.most_common()),
        }


def share(part: int, total: int) -> float | None:
    """Return ``part / total``; None if ``total`` is 0."""
    return part / total if total else None


def folder_stats(
    data: Data,
    *,
    skip_bad: bool = False,
    on_left_out: Callable[[Path, LeftOut], object] | None = None,
    on_notes: Callable[[tuple[Note, ...]], object] | None = None,
) -> dict[str, Tally]:
    """Tally every split of a data set, by name, with the keypoints in the order of `train`, else of the first split.

    ``skip_bad`` leaves bad entries out and calls ``on_left_out`` with the counts of each file; ``on_notes`` is called
    with the notes on entries that were read differently than they are written. Raises DataError if there is no split,
    or if the annotations cannot be used.
    """
    names = split_names(data)
    if not names:
        require_split(data, "train")
    choice = read_choice(DataSet.of(data))
    tallies: dict[str, Tally] = {}
    for name in names:
        file = require_split(data, name).annotations
        document = names_aside(read_document(file))
        document, left_out, notes = sound_part(document, file, skip_bad=skip_bad, segments=False, choice=choice)
        if on_notes is not None:
            on_notes(notes)
        if skip_bad and on_left_out is not None:
            on_left_out(file, left_out)
        tallies[name] = tally(document, choice)
    keypoints = tallies["train" if "train" in tallies else names[0]].keypoints
    for name, each in tallies.items():
        order = keypoint_order(require_split(data, name).annotations, each.keypoints, keypoints)
        tallies[name] = replace(each, visibility=each.visibility[:, order], keypoints=keypoints)
    return tallies


def join(tallies: list[Tally]) -> Tally:
    """Join the tallies of several splits with the same keypoints into one; there must be at least one."""

    def rows(name: str) -> NDArray[Any]:
        return np.concatenate([getattr(tally, name) for tally in tallies])

    return Tally(
        sizes=rows("sizes"),
        people_per_image=rows("people_per_image"),
        heights=rows("heights"),
        visibility=rows("visibility"),
        cut=rows("cut"),
        views=rows("views"),
        unlabelled=sum(tally.unlabelled for tally in tallies),
        crowds=sum(tally.crowds for tally in tallies),
        crowds_rle=sum(tally.crowds_rle for tally in tallies),
        keypoints=tallies[0].keypoints,
    )


def tally(document: dict[str, Any], choice: SkeletonChoice | None = None) -> Tally:
    """Tally a parsed annotation file that has no errors; ``choice``: the category that the user chose."""
    found = find_in(document, choice)
    person = found.ids
    annotations = [entry for entry in document["annotations"] if entry["category_id"] in person]
    crowds = [entry for entry in annotations if entry.get("iscrowd", 0)]
    others = [entry for entry in annotations if not entry.get("iscrowd", 0)]
    people = [entry for entry in others if any(v > 0 for v in entry["keypoints"][2::3])]

    sizes = {image["id"]: (image["width"], image["height"]) for image in document["images"]}
    per_image = Counter(entry["image_id"] for entry in people)
    keypoints = np.array([entry["keypoints"] for entry in people], float).reshape(-1, len(found.keypoints), 3)
    boxes = np.array([entry["bbox"] for entry in people], float).reshape(-1, 4)
    around = np.array([sizes[entry["image_id"]] for entry in people], float).reshape(-1, 2)
    visibility = keypoints[..., 2].astype(np.int64)
    body = [index for index, name in enumerate(found.keypoints) if name.split("_")[-1] not in _HEAD]
    at_border = (boxes[:, :2] <= BORDER_PIXELS) | (boxes[:, :2] + boxes[:, 2:] >= around - BORDER_PIXELS)
    return Tally(
        sizes=np.array(list(sizes.values()), np.int64).reshape(-1, 2),
        people_per_image=np.array([per_image[image_id] for image_id in sizes], np.int64),
        heights=boxes[:, 3] / around[:, 1],
        visibility=visibility,
        cut=at_border.any(1) & (visibility[:, body] == 0).any(1),
        views=_views(keypoints, found.keypoints),
        unlabelled=len(others) - len(people),
        crowds=len(crowds),
        crowds_rle=sum(isinstance(entry.get("segmentation"), dict) for entry in crowds),
        keypoints=found.keypoints,
    )


def _views(keypoints: NDArray[np.float64], names: Sequence[str]) -> NDArray[np.int64]:
    """Return the side from which each person is seen (index into ``VIEWS``), by the order of the shoulders.

    The order is taken across the trunk, so that it also holds for people who bend down or lie; the side is unknown
    unless shoulders and hips are labelled.
    """
    if not {*_TRUNK} <= {*names}:
        return np.full(len(keypoints), VIEWS.index("unknown"))
    trunk_points = keypoints[:, [names.index(name) for name in _TRUNK]]
    known = (trunk_points[..., 2] > 0).all(1)
    left, right = trunk_points[:, 0, :2], trunk_points[:, 1, :2]
    hips = (trunk_points[:, 2, :2] + trunk_points[:, 3, :2]) / 2
    trunk = hips - (left + right) / 2
    length = np.hypot(trunk[:, 0], trunk[:, 1])
    known &= length > 0
    across = left - right
    # With the trunk pointing down the image, the left shoulder of somebody who faces us lies to the right.
    offset = across[:, 0] * trunk[:, 1] - across[:, 1] * trunk[:, 0]
    offset = np.divide(offset, length**2, out=np.zeros(len(offset)), where=known)
    view = np.where(offset > 0, VIEWS.index("front"), VIEWS.index("back"))
    view = np.where(np.abs(offset) < SIDE_VIEW_BELOW, VIEWS.index("side"), view)
    return np.where(known, view, VIEWS.index("unknown"))
