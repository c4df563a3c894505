"""Whether a parsed annotation file is sound, found out in bulk: quick where nothing is wrong with it.

``reading`` walks from entry to entry, reads what tools write otherwise than COCO, and says what is wrong with the rest;
it alone decides and words. This asks the same of whole columns at once, and where any answer is not a plain yes, it
leaves the question to the walk.
"""

from itertools import chain
from typing import Any

import numpy as np
from numpy.typing import NDArray

from posemodel.data.annotations.categories import find_people, has_labelled_joint, listed_ids, listed_otherwise
from posemodel.data.annotations.problems import (
    BOX_TOLERANCE,
    KEYPOINT_VALUES,
    LARGEST_SIDE,
    inside,
)
from posemodel.data.annotations.segmentation import (
    FEW_PIXELS,
    LARGEST_NUMBER,
    in_fractions,
    segmentation_faults,
    starts,
)
from posemodel.data.annotations.stand_ins import SMALLEST_AREA, too_small
from posemodel.data.annotations.values import LARGEST_ID

_BLOCK = 8192
"""People looked at together: enough to make NumPy's calls cheap, few enough to need little memory."""


def proven_sound(document: Any, *, segments: bool = True) -> bool:
    """Whether a parsed file is certain to have no problem, and to be read just as it stands there.

    False means only that ``reading`` must be asked. ``segments=False`` leaves the segmentations out.
    """
    try:
        return _sound(document, segments)
    except (TypeError, KeyError, AttributeError, ValueError, OverflowError):
        return False  # something is of another kind than it should be


def _sound(document: dict[str, Any], segments: bool) -> bool:
    images, annotations = document["images"], document["annotations"]
    if not (_are(list, [images, annotations, document["categories"]]) and images and _are(dict, images)):
        return False
    people = find_people(document["categories"], annotations)
    person = people.ids
    image_ids = [image["id"] for image in images]
    if person & listed_otherwise(document["categories"]):
        return False
    if not (person and people.in_order and _unique_ids(image_ids) and _images_sound(images)):
        return False
    if not _are(dict, annotations):
        return False
    row_of = {image_id: row for row, image_id in enumerate(image_ids)}
    categories = [annotation["category_id"] for annotation in annotations]
    on = [annotation["image_id"] for annotation in annotations]
    if not (_unique_ids([annotation["id"] for annotation in annotations]) and _ids(categories) and _ids(on)):
        return False
    rows = np.array([row_of[image_id] for image_id in on], np.int64)  # KeyError: an image that is not listed
    is_person = np.array([category in person for category in categories], bool)
    if any(has_labelled_joint(a) for a, here in zip(annotations, is_person.tolist(), strict=True) if not here):
        return False  # somebody whom nobody learns from is told of
    if not is_person.any() and not {*categories} <= listed_ids(document["categories"]):
        return False
    sizes = np.array([(image["width"], image["height"]) for image in images], np.float64)[rows[is_person]]
    entries = [annotation for annotation, here in zip(annotations, is_person.tolist(), strict=True) if here]
    return all(
        _people_sound(entries[first : first + _BLOCK], sizes[first : first + _BLOCK], segments)
        for first in range(0, len(entries), _BLOCK)
    )


def _are(kind: type, values: list[Any]) -> bool:
    return set(map(type, values)) <= {kind}


def _ids(values: list[Any]) -> bool:
    return _are(int, values) and (not values or (min(values) >= -LARGEST_ID and max(values) <= LARGEST_ID))


def _unique_ids(values: list[Any]) -> bool:
    return _ids(values) and len(set(values)) == len(values)


def _images_sound(images: list[dict[str, Any]]) -> bool:
    names = [image["file_name"] for image in images]
    sides = [image[side] for side in ("width", "height") for image in images]
    return (
        _are(str, names)
        and all(names)
        and all(map(inside, names))
        and _are(int, sides)
        and min(sides) > 0
        and max(sides) <= LARGEST_SIDE
    )


def _people_sound(people: list[dict[str, Any]], sizes: NDArray[np.float64], segments: bool) -> bool:
    """Of some people (n); ``sizes`` (n, 2): width and height of their images."""
    keypoints, boxes = [person["keypoints"] for person in people], [person["bbox"] for person in people]
    if not (_of_length(KEYPOINT_VALUES, keypoints) and _of_length(4, boxes)):
        return False
    crowds = [person.get("iscrowd", 0) for person in people]
    if not (_are(int, crowds) and {*crowds} <= {0, 1}):
        return False
    points = _numbers(list(chain.from_iterable(keypoints))).reshape(len(people), -1, 3)
    box = _numbers(list(chain.from_iterable(boxes))).reshape(-1, 4)
    areas = _numbers([person["area"] for person in people])
    counted = ~np.array(crowds, bool)
    """A crowd's joints count for nothing."""
    labelled = np.count_nonzero(points[..., 2] > 0, axis=1)
    declared = [person["num_keypoints"] for person, counts in zip(people, counted.tolist(), strict=True) if counts]
    sound = (
        np.isin(points[..., 2], (0, 1, 2)).all()
        and ((points[..., :2] >= 0) & (points[..., :2] <= sizes[:, None]))[points[..., 2] > 0].all()
        and points[..., :2].any(2)[points[..., 2] > 0].all()  # nothing is labelled at 0, 0
        and (box[:, :2] >= -BOX_TOLERANCE).all()
        and (box[:, 2:] > 0).all()
        and (box[:, :2] + box[:, 2:] <= sizes + BOX_TOLERANCE).all()
        and (areas >= 0).all()
        and (areas > 0)[counted & (labelled > 0)].all()
        and _of_a_size(points, box, areas, counted, sizes)
        and (_numbers(declared) == labelled[counted]).all()
    )
    return bool(sound) and (not segments or _segments_sound([person["segmentation"] for person in people], sizes))


def _of_a_size(
    points: NDArray[np.float64],
    boxes: NDArray[np.float64],
    areas: NDArray[np.float64],
    counted: NDArray[np.bool_],
    sizes: NDArray[np.float64],
) -> bool:
    """Whether nobody's joints, box or area are fractions of the image's sides; the few in doubt are looked at alone."""
    labelled = points[..., 2] > 0
    furthest = np.where(labelled[..., None], points[..., :2], 0).max((1, 2))
    for row in np.flatnonzero((areas <= SMALLEST_AREA) | (boxes.max(1) <= 1) | (furthest <= 1)).tolist():
        size = sizes[row].astype(int).tolist()
        joints = points[row, labelled[row], :2]
        if in_fractions(joints.ravel().tolist(), *size, least=6) or in_fractions(boxes[row].tolist(), *size):
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
        else:  # run lengths, which crowds have and few others
            width, height = sizes[number].astype(int).tolist()
            if next(segmentation_faults(segmentation, width, height), None) is not None:
                return False
    if not polygons:
        return True
    lengths = np.array([len(polygon) for polygon in polygons], np.int64)
    if not (_are(list, polygons) and (lengths >= 6).all() and (lengths % 2 == 0).all()):
        return False
    points = _numbers(list(chain.from_iterable(polygons))).reshape(-1, 2)
    first = starts(lengths // 2)[:-1]
    side = sizes[of_person]
    lowest, highest = np.minimum.reduceat(points, first), np.maximum.reduceat(points, first)
    fractions = (lowest.min(1) >= 0) & (highest.max(1) <= 1) & (side.min(1) > FEW_PIXELS)
    return bool((lowest >= -side).all() and (highest <= 2 * side).all() and not fractions.any())


def _of_length(length: int, values: list[Any]) -> bool:
    return _are(list, values) and set(map(len, values)) <= {length}


def _numbers(values: list[Any]) -> NDArray[np.float64]:
    """Numbers that float32 can hold, as float64; ValueError for anything else.

    Rounding a whole number to float64 could make it no larger than the largest; so that one is refused too.
    """
    if not set(map(type, values)) <= {int, float}:
        raise ValueError("something that is no number")
    numbers = np.fromiter(values, np.float64, len(values))  # half the time of ``np.array``
    if not (np.abs(numbers) < LARGEST_NUMBER).all():
        raise ValueError("a number that is not finite or too large")
    return numbers
