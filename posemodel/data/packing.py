"""Pack a parsed annotation file, valid and in COCO's form, into the arrays of ``PackedSplit``, in bulk."""

import json
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from posemodel.data.annotations.categories import FoundCategories, find_in
from posemodel.data.annotations.segmentation import packed_segments, start_offsets
from posemodel.data.annotations.skeletons import NO_CHOICE, SkeletonChoice, build_skeleton
from posemodel.data.annotations.spanning_limbs import measured_objects
from posemodel.data.truth import Truth
from posemodel.skeleton import COCO_KEYPOINTS, COCO_PERSON, Skeleton


@dataclass(frozen=True, eq=False)
class _Ordered:
    """A document's N images by id, and its T annotated objects by image, in the file's order within one."""

    images: list[dict[str, Any]]
    people: list[dict[str, Any]]
    image_of: NDArray[np.int64]
    """(T,): position of each object's image."""
    found: FoundCategories


def packed_arrays(document: dict[str, Any], choice: SkeletonChoice | None = None) -> dict[str, NDArray[Any]]:
    """Return the arrays of ``PackedSplit`` by name; those of its truth begin with `truth.`.

    `skeleton` holds the skeleton as JSON. ``choice``: the skeleton's fields that the user gave.
    """
    ordered = _order_by_image(document, choice)
    images, people, image_of = ordered.images, ordered.people, ordered.image_of
    truth = _truth(ordered)
    skeleton = skeleton_of(ordered.found, truth.keypoints, truth.crowd, choice)
    labelled = ~truth.crowd & _has_labelled_joint(truth.keypoints)
    sizes = [(image["width"], image["height"]) for image in images]
    names = [image["file_name"].encode() for image in images]

    # A labelled person's segment matters only in images where something is ignored.
    with_ignored = np.bincount(image_of[~labelled], minlength=len(images)) > 0
    regions = np.lexsort((labelled, image_of))  # ignored people first within an image
    regions = regions[with_ignored[image_of[regions]]]
    return {
        "image_ids": truth.image_ids,
        "sizes": np.array(sizes, np.int32).reshape(-1, 2),
        "names": np.frombuffer(b"".join(names), np.uint8),
        "name_start": start_offsets(len(name) for name in names),
        "person_start": start_offsets(np.bincount(image_of[labelled], minlength=len(images))),
        "person_rows": np.flatnonzero(labelled),
        "region_start": start_offsets(np.bincount(image_of[regions], minlength=len(images))),
        "region_ignored": ~labelled[regions],
        "categories": np.array(sorted(ordered.found.ids), np.int64),
        "skeleton": np.frombuffer(json.dumps(skeleton.as_document()).encode(), np.uint8),
        **packed_segments(
            [people[row]["segmentation"] for row in regions], [sizes[image] for image in image_of[regions]]
        ),
        **{f"truth.{f.name}": getattr(truth, f.name) for f in fields(truth) if f.name != "image_ids"},
    }


def pack_truth(document: dict[str, Any], choice: SkeletonChoice | None = None) -> Truth:
    """Return all annotated objects of a parsed, valid annotation file; its segmentations are not read."""
    return _truth(_order_by_image(document, choice))


def skeleton_of(
    found: FoundCategories, keypoints: NDArray[np.float32], crowd: NDArray[np.bool_], choice: SkeletonChoice | None
) -> Skeleton:
    """Return the skeleton of the categories that are read.

    ``keypoints`` (T, K, 3) and ``crowd`` (T,) are the truth's: limbs that the file leaves open are derived from them.
    """
    if found.keypoints == COCO_KEYPOINTS and (choice is None or not choice.digest):
        return COCO_PERSON
    measured = measured_objects((keypoints[..., 2] > 0) & ~crowd[:, None])
    skeleton = build_skeleton(found.name, found.keypoints, found.pairs, keypoints[measured], choice or NO_CHOICE)
    if not found.pairs_differ:
        return skeleton
    remark = "limbs: the categories' `skeleton` differ: that of the first with annotations is used"
    return replace(skeleton, remarks=(remark, *skeleton.remarks))


def _order_by_image(document: dict[str, Any], choice: SkeletonChoice | None) -> _Ordered:
    images = sorted(document["images"], key=lambda image: image["id"])
    row_of = {image["id"]: row for row, image in enumerate(images)}
    found = find_in(document, choice)
    people = [annotation for annotation in document["annotations"] if annotation["category_id"] in found.orders]
    image_of = np.array([row_of[annotation["image_id"]] for annotation in people], np.int64)
    order = np.argsort(image_of, kind="stable")
    return _Ordered(images, [people[row] for row in order], image_of[order], found)


def _truth(ordered: _Ordered) -> Truth:
    people = ordered.people
    keypoints = np.array([person["keypoints"] for person in people], np.float32)
    keypoints = keypoints.reshape(-1, len(ordered.found.keypoints), 3)
    crowd = np.array([bool(person.get("iscrowd", 0)) for person in people], bool)
    declared = [person.get("num_keypoints") for person in people]
    # The declared number counts even if it is wrong, as in pycocotools.
    counts_for_nothing = np.where(
        [number is None for number in declared], ~_has_labelled_joint(keypoints), [number == 0 for number in declared]
    ).astype(bool)
    return Truth(
        image_ids=np.array([image["id"] for image in ordered.images], np.int64),
        start=start_offsets(np.bincount(ordered.image_of, minlength=len(ordered.images))),
        keypoints=keypoints,
        boxes=np.array([person["bbox"] for person in people], np.float64).reshape(-1, 4),
        areas=np.array([person["area"] for person in people], np.float64),
        crowd=crowd,
        ignored=crowd | counts_for_nothing,
    )


def _has_labelled_joint(keypoints: NDArray[np.float32]) -> NDArray[np.bool_]:
    has_joint: NDArray[np.bool_] = np.any(keypoints[..., 2] > 0, axis=1)
    return has_joint
