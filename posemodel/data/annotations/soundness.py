"""Check quickly, on whole columns at once, that a parsed annotation file is sound: valid and already in COCO's form.

``reading`` and ``problems`` traverse a file entry by entry, convert what tools write differently, and describe every
problem. This module checks the same rules on whole columns; if it cannot confirm that the file is sound, the traversal
decides. `tests/posemodel/test_soundness.py` compares the two.
"""

from itertools import chain
from typing import Any

import numpy as np
from numpy.typing import NDArray

from posemodel.data.annotations.categories import (
    category_ids,
    conflicting_ids,
    find_categories,
    has_labelled_joint,
)
from posemodel.data.annotations.problems import (
    BOX_TOLERANCE,
    CROWD_FLAGS,
    LARGEST_SIDE,
    VISIBILITIES,
    is_inside_folder,
)
from posemodel.data.annotations.segmentation import (
    FEW_PIXELS,
    FEWEST_JOINT_COORDINATES,
    LARGEST_FRACTION,
    LARGEST_NUMBER,
    POLYGON_RANGE,
    SHORTEST_POLYGON,
    in_fractions,
    segmentation_faults,
    start_offsets,
)
from posemodel.data.annotations.skeletons import SkeletonChoice
from posemodel.data.annotations.stand_ins import SMALLEST_AREA, too_small
from posemodel.data.annotations.values import LARGEST_ID

_VALUES_PER_BLOCK = 51 * 8192
"""Number of keypoint values checked at once: enough to make NumPy's calls cheap, few enough to need little memory."""


def proven_sound(document: Any, *, segments: bool = True, choice: SkeletonChoice | None = None) -> bool:
    """Return whether a parsed file certainly has no problem and needs no conversion.

    False means only that ``reading`` must decide. ``segments=False`` skips the segmentations; ``choice``: the category
    and the keypoints that the user chose.
    """
    try:
        return _sound(document, segments, choice)
    except (TypeError, KeyError, AttributeError, ValueError, OverflowError):
        return False  # a value is missing or has the wrong type


def _sound(document: dict[str, Any], segments: bool, choice: SkeletonChoice | None) -> bool:
    images, annotations = document["images"], document["annotations"]
    if not (
        _all_of_type(list, [images, annotations, document["categories"]]) and images and _all_of_type(dict, images)
    ):
        return False
    found = find_categories(document["categories"], annotations, choice)
    person_ids = found.ids
    image_ids = [image["id"] for image in images]
    if person_ids & conflicting_ids(document["categories"]):
        return False
    if found.fault or found.differences:
        return False
    if not (person_ids and _are_unique_ids(image_ids) and _images_sound(images)):
        return False
    if not _all_of_type(dict, annotations):
        return False
    if any(isinstance(each, dict) and isinstance(each.get("id"), str | float) for each in document["categories"]):
        return False  # `reading` notes ids that are words or fractions
    row_of = {image_id: row for row, image_id in enumerate(image_ids)}
    categories = [annotation["category_id"] for annotation in annotations]
    annotated_images = [annotation["image_id"] for annotation in annotations]
    if not (
        _are_unique_ids([annotation["id"] for annotation in annotations])
        and _are_ids(categories)
        and _are_ids(annotated_images)
    ):
        return False
    if any(found.orders[category] != found.in_order for category in {*categories} & person_ids):
        return False
    # An image that is not listed raises KeyError.
    rows = np.array([row_of[image_id] for image_id in annotated_images], np.int64)
    is_person = np.array([category in person_ids for category in categories], bool)
    others = [annotation for annotation, person in zip(annotations, is_person.tolist(), strict=True) if not person]
    if any(map(has_labelled_joint, others)):
        return False  # `reading` notes people of unread categories
    if not is_person.any() and not {*categories} <= category_ids(document["categories"]):
        return False
    sizes = np.array([(image["width"], image["height"]) for image in images], np.float64)[rows[is_person]]
    people = [annotation for annotation, person in zip(annotations, is_person.tolist(), strict=True) if person]
    length = -(-_VALUES_PER_BLOCK // found.values)
    blocks = [slice(first, first + length) for first in range(0, len(people), length)]
    return all(_people_sound(people[block], found.values, sizes[block], segments) for block in blocks)


def _all_of_type(kind: type, values: list[Any]) -> bool:
    return set(map(type, values)) <= {kind}


def _are_ids(values: list[Any]) -> bool:
    return _all_of_type(int, values) and (not values or (min(values) >= -LARGEST_ID and max(values) <= LARGEST_ID))


def _are_unique_ids(values: list[Any]) -> bool:
    return _are_ids(values) and len(set(values)) == len(values)


def _images_sound(images: list[dict[str, Any]]) -> bool:
    names = [image["file_name"] for image in images]
    sides = [image[side] for side in ("width", "height") for image in images]
    return (
        _all_of_type(str, names)
        and all(names)
        and all(map(is_inside_folder, names))
        and _all_of_type(int, sides)
        and min(sides) > 0
        and max(sides) <= LARGEST_SIDE
    )


def _people_sound(people: list[dict[str, Any]], values: int, sizes: NDArray[np.float64], segments: bool) -> bool:
    """Return whether n objects are sound; ``sizes`` (n, 2): width and height of their images in pixels."""
    keypoints, boxes = [person["keypoints"] for person in people], [person["bbox"] for person in people]
    if not (_are_lists_of_length(values, keypoints) and _are_lists_of_length(4, boxes)):
        return False
    crowds = [person.get("iscrowd", 0) for person in people]
    if not (_all_of_type(int, crowds) and {*crowds} <= {*CROWD_FLAGS}):
        return False
    points = _numbers(list(chain.from_iterable(keypoints))).reshape(len(people), -1, 3)
    box = _numbers(list(chain.from_iterable(boxes))).reshape(-1, 4)
    areas = _numbers([person["area"] for person in people])
    counted = ~np.array(crowds, bool)
    """A crowd's joints do not count."""
    labelled = np.count_nonzero(points[..., 2] > 0, axis=1)
    declared = [person["num_keypoints"] for person, counts in zip(people, counted.tolist(), strict=True) if counts]
    sound = (
        np.isin(points[..., 2], VISIBILITIES).all()
        and ((points[..., :2] >= 0) & (points[..., :2] <= sizes[:, None]))[points[..., 2] > 0].all()
        and np.any(points[..., :2], axis=2)[points[..., 2] > 0].all()  # no joint is labelled at 0, 0
        and (box[:, :2] >= -BOX_TOLERANCE).all()
        and (box[:, 2:] > 0).all()
        and (box[:, :2] + box[:, 2:] <= sizes + BOX_TOLERANCE).all()
        and (areas >= 0).all()
        and (areas > 0)[counted & (labelled > 0)].all()
        and _measured_in_pixels(points, box, areas, counted, sizes)
        and (_numbers(declared) == labelled[counted]).all()
    )
    return bool(sound) and (not segments or _segments_sound([person["segmentation"] for person in people], sizes))


def _measured_in_pixels(
    points: NDArray[np.float64],
    boxes: NDArray[np.float64],
    areas: NDArray[np.float64],
    counted: NDArray[np.bool_],
    sizes: NDArray[np.float64],
) -> bool:
    """Return whether all joints, boxes and areas are in pixels and not fractions of the image's sides."""
    labelled = points[..., 2] > 0
    largest_coordinate = np.where(labelled[..., None], points[..., :2], 0).max((1, 2))
    in_doubt = (areas <= SMALLEST_AREA) | (boxes.max(1) <= LARGEST_FRACTION) | (largest_coordinate <= LARGEST_FRACTION)
    for row in np.flatnonzero(in_doubt).tolist():
        size = sizes[row].astype(int).tolist()
        joints = points[row, labelled[row], :2]
        if in_fractions(joints.ravel().tolist(), *size, least=FEWEST_JOINT_COORDINATES):
            return False
        if in_fractions(boxes[row].tolist(), *size):
            return False
        if counted[row] and too_small(areas[row], [(x, y) for x, y in joints.tolist()]):
            return False
    return True


def _segments_sound(segmentations: list[Any], sizes: NDArray[np.float64]) -> bool:
    polygons, of_person = [], []
    for number, segmentation in enumerate(segmentations):
        if type(segmentation) is list and segmentation:
            polygons += segmentation
            of_person += [number] * len(segmentation)
        else:  # run lengths, which only crowds and few others have
            width, height = sizes[number].astype(int).tolist()
            if next(segmentation_faults(segmentation, width, height), None) is not None:
                return False
    if not polygons:
        return True
    lengths = np.array([len(polygon) for polygon in polygons], np.int64)
    if not (_all_of_type(list, polygons) and (lengths >= SHORTEST_POLYGON).all() and (lengths % 2 == 0).all()):
        return False
    points = _numbers(list(chain.from_iterable(polygons))).reshape(-1, 2)
    first = start_offsets(lengths // 2)[:-1]
    side = sizes[of_person]
    lowest, highest = np.minimum.reduceat(points, first), np.maximum.reduceat(points, first)
    fractions = (lowest.min(1) >= 0) & (highest.max(1) <= LARGEST_FRACTION) & (side.min(1) > FEW_PIXELS)
    least, most = POLYGON_RANGE
    return bool((lowest >= least * side).all() and (highest <= most * side).all() and not fractions.any())


def _are_lists_of_length(length: int, values: list[Any]) -> bool:
    return _all_of_type(list, values) and set(map(len, values)) <= {length}


def _numbers(values: list[Any]) -> NDArray[np.float64]:
    """Return numbers that float32 can hold as float64 (n,); raise ValueError for anything else.

    Rounding a huge integer to float64 could bring it within the limit, so the limit itself is refused too.
    """
    if not set(map(type, values)) <= {int, float}:
        raise ValueError("not a number")
    numbers = np.fromiter(values, np.float64, len(values))  # half the time of ``np.array``
    if not (np.abs(numbers) < LARGEST_NUMBER).all():
        raise ValueError("a number that is not finite or too large")
    return numbers
