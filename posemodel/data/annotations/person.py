"""Convert one object's annotation to COCO's form: joints in the order of its names, a box, an area and a mask.

A person is an object of any kind here; joint and keypoint mean the same. A person with a labelled joint is usable
without box, mask and area: these are then derived from the others and the joints. For a person without a labelled
joint, the image region of the mask or box is ignored; with neither, the annotation is left unchanged and reported as a
problem.
"""

import math
from typing import Any

from posemodel.data.annotations.categories import flat_keypoints
from posemodel.data.annotations.differences import DifferenceCounts
from posemodel.data.annotations.problems import VISIBILITIES, box_inside
from posemodel.data.annotations.segmentation import (
    FLAT,
    MISSING,
    PAIRS,
    SLIVERS,
    Mask,
    all_finite,
    box_polygon,
    in_fractions,
    is_finite,
    mask_area,
    mask_box,
    read_mask,
)
from posemodel.data.annotations.stand_ins import BOX_SHARE, joints_box, too_small

EDGE = 1.0
"""A labelled joint up to this many pixels outside the image is moved onto the border, because annotation tools round.
"""
_CROWDS = {"0": 0, "1": 1, "false": 0, "true": 1, "no": 0, "yes": 1}
_MENDED = (FLAT, PAIRS, SLIVERS)
_NOT_LABELLED = (0, 0, 0)


def read_person(
    annotation: dict[str, Any],
    order: tuple[int, ...],
    size: tuple[int, int],
    differences: DifferenceCounts,
    *,
    segments: bool,
) -> dict[str, Any]:
    """Return a person's annotation in COCO's form, unchanged if it already is; ``size``: width and height of the image.

    ``order`` (K,) is the index of each keypoint in the annotation. Fields that cannot be read are left unchanged;
    ``problems`` reports them. Each difference is counted in ``differences``.
    """
    crowd = _read_iscrowd(annotation, differences)
    person = annotation if crowd is None else annotation | {"iscrowd": crowd}
    keypoints, person = _read_joints(person, order, size, differences)
    if keypoints is None:
        return person
    triples = zip(keypoints[0::3], keypoints[1::3], keypoints[2::3], strict=True)
    points = [] if person.get("iscrowd", 0) else [(x, y) for x, y, v in triples if v > 0]
    changes = _shape_changes(person, points, size, differences, segments=segments)
    return person | changes if changes else person


def _read_iscrowd(annotation: dict[str, Any], differences: DifferenceCounts) -> int | None:
    """Return 0 or 1 for an `iscrowd` that is not an integer (true, "yes", 1.0); None if it is one, or unclear."""
    value = annotation.get("iscrowd", 0)
    if type(value) is int:
        return None
    joints: int | None = None
    if value is None:
        joints = 0
    elif isinstance(value, bool | float) and value in (0, 1):
        joints = int(value)
    elif isinstance(value, str):
        joints = _CROWDS.get(value.strip().casefold())
    if joints is not None:
        differences.add("iscrowd")
    return joints


# --- joints ---------------------------------------------------------------------------------------------------------


def _read_joints(
    person: dict[str, Any], order: tuple[int, ...], size: tuple[int, int], differences: DifferenceCounts
) -> tuple[list[float] | None, dict[str, Any]]:
    """Return the 3 K numbers in the given order (None if they cannot be read), and the annotation with them."""
    stated = person.get("keypoints")
    if stated is None or stated == []:
        differences.add("no-keypoints")
        keypoints: list[float] | None = [0] * (3 * len(order))
        labelled = 0
    else:
        flat = _flat_list(stated, 3 * len(order), differences)
        if flat is None:
            return None, person
        keypoints, labelled = _joints_in_order(flat, order, size, differences)
    if keypoints is None:
        return None, person
    changes: dict[str, Any] = {} if keypoints == stated and _are_plain_numbers(stated) else {"keypoints": keypoints}
    changes |= _joint_count_changes(person, labelled, sum(v > 0 for v in keypoints[2::3]), differences)
    return keypoints, person | changes if changes else person


def _are_plain_numbers(values: list[Any]) -> bool:
    """Return whether all are int or float; true and false are not, although they equal 1 and 0."""
    return {*map(type, values)} <= {int, float}


def _flat_list(stated: Any, values: int, differences: DifferenceCounts) -> list[Any] | None:
    flat = flat_keypoints(stated)
    if flat is None or len(flat) != values:
        return None
    if flat is not stated:
        differences.add("keypoints-nested")
    return flat


def _joints_in_order(
    flat: list[Any], order: tuple[int, ...], size: tuple[int, int], differences: DifferenceCounts
) -> tuple[list[float] | None, int]:
    """Return the joints in the given order, and how many were labelled before those outside the image were dropped."""
    joints: list[float] = []
    labelled = 0
    joint_differences = DifferenceCounts()
    """Added to ``differences`` only if all joints can be read."""
    for index in order:
        x, y, v = flat[3 * index : 3 * index + 3]
        v = _visibility(x, y, v, joint_differences)
        if v is None:
            return None, 0
        if v == 0:
            if not all_finite([x, y]):
                if not (_is_null_or_nan(x) and _is_null_or_nan(y)):
                    return None, 0
                joint_differences.add("joint-nowhere")
                x, y = 0, 0
        elif not all_finite([x, y]):
            return None, 0
        elif x == 0 and y == 0:  # tools write missing joints like this
            labelled += 1
            v = 0
            joint_differences.add("joint-at-origin")
        else:
            labelled += 1
            x, y, v = _clip_to_image(x, y, v, size, joint_differences)
        joints += (x, y, v)
    differences.join(joint_differences)
    return joints, labelled


def _visibility(x: Any, y: Any, v: Any, differences: DifferenceCounts) -> float | None:
    """Return a joint's visibility 0, 1 or 2; None if it is not clear (a confidence, for example).

    3 means `not labelled` in AI Challenger, whose points are then at 0, 0, and `occluded by others` in OCHuman.
    """
    if isinstance(v, bool):
        differences.add("visibility-true-false")
        return 2 if v else 0
    if _is_null_or_nan(v):
        return 0 if _is_null_or_nan(x) and _is_null_or_nan(y) else None
    if not is_finite(v):
        return None
    if v in VISIBILITIES:
        return v
    if v < 0:
        differences.add("visibility-negative")
        return 0
    if v == 3:
        differences.add("visibility-3")
        return 0 if x == 0 and y == 0 else 1
    return None


def _is_null_or_nan(value: Any) -> bool:
    """Return whether a value is null or NaN, which tools write for a missing number."""
    return value is None or (isinstance(value, float) and math.isnan(value))


def _clip_to_image(
    x: float, y: float, v: float, size: tuple[int, int], differences: DifferenceCounts
) -> tuple[float, float, float]:
    width, height = size
    if 0 <= x <= width and 0 <= y <= height:
        return x, y, v
    if -EDGE <= x <= width + EDGE and -EDGE <= y <= height + EDGE:
        differences.add("joint-clipped")
        return min(max(x, 0), width), min(max(y, 0), height), v
    differences.add("joint-outside")
    return _NOT_LABELLED


def _joint_count_changes(
    person: dict[str, Any], labelled: int, labelled_inside: int, differences: DifferenceCounts
) -> dict[str, int]:
    """Return the corrected `num_keypoints` if it is not the number of labelled joints; nothing for a crowd.

    ``labelled``: joints labelled in the file; ``labelled_inside``: those of them inside the image.
    """
    if person.get("iscrowd", 0) != 0:
        return {}
    declared = person.get("num_keypoints")
    is_number = isinstance(declared, int | float) and not isinstance(declared, bool)
    if is_number and declared == labelled_inside:
        return {}
    if declared is None:
        if person.get("keypoints"):
            differences.add("num-keypoints-missing")
    elif not is_number or declared != labelled:
        differences.add("num-keypoints-wrong" if (declared == 0) == (labelled_inside == 0) else "num-keypoints-none")
    return {"num_keypoints": labelled_inside}


# --- box, area, mask ------------------------------------------------------------------------------------------------


def _shape_changes(
    person: dict[str, Any],
    points: list[tuple[float, float]],
    size: tuple[int, int],
    differences: DifferenceCounts,
    *,
    segments: bool,
) -> dict[str, Any]:
    """Return those of box, area and mask that change. ``points`` (n, 2): labelled joints in pixels; none of a crowd."""
    changes: dict[str, Any] = {}
    mask: Mask | None = None
    if segments:
        mask = read_mask(person.get("segmentation"), *size)
    stated_box = _usable_box(person.get("bbox"), size)
    area = person.get("area")
    area_stands = is_finite(area) and (area > 0 if points else area >= 0) and not too_small(area, points)
    if mask is None and (stated_box is None or not area_stands):
        mask = read_mask(person.get("segmentation"), *size)
    usable_mask = mask.usable if mask is not None else None

    box = stated_box
    if box is None and usable_mask is not None:
        box_of_mask = mask_box(usable_mask, *size)
        box = box_of_mask if min(box_of_mask[2:]) > 0 else None
        if box is not None:
            differences.add("box-from-mask")
    if box is None and points:
        box = joints_box(points, *size)
        differences.add("box-from-joints")
    if box is None and (usable_mask is None or not segments):
        return {}  # neither box nor mask nor joints locate this person
    if box is not None and box != person.get("bbox"):
        changes["bbox"] = box
        if stated_box is not None:
            differences.add("box-clipped")
    if segments and mask is not None and mask.kind:
        example = "" if mask.kind == MISSING else f"annotation {ascii(person.get('id'))[:40]}: {mask.fault_text}"
        if mask.kind in _MENDED and usable_mask is not None:
            differences.add(f"mask-{mask.kind}", example)
            changes["segmentation"] = usable_mask
        elif box is not None:
            differences.add(f"mask-{mask.kind}", example)
            changes["segmentation"] = box_polygon(box)
    if not area_stands:
        changes["area"] = _stand_in_area(usable_mask, stated_box, points, size, differences)
    return changes


def _usable_box(box: Any, size: tuple[int, int]) -> list[float] | None:
    """Return a box with positive sides, cut off at the image border if it reaches outside; None if there is none."""
    if not isinstance(box, list) or len(box) != 4 or not all_finite(box) or min(box[2], box[3]) <= 0:
        return None
    if in_fractions(box, *size):
        return None
    if box_inside(box, *size):
        return box
    left, top = max(box[0], 0), max(box[1], 0)
    right, bottom = min(box[0] + box[2], size[0]), min(box[1] + box[3], size[1])
    return [left, top, right - left, bottom - top] if right > left and bottom > top else None


def _stand_in_area(
    mask: Any,
    box: list[float] | None,
    points: list[tuple[float, float]],
    size: tuple[int, int],
    differences: DifferenceCounts,
) -> float:
    """Return an area in square pixels for a person without one, from the mask, else the box, else the joints."""
    area = mask_area(mask, *size) if mask is not None else 0.0
    if (area > 0 and not too_small(area, points)) or (box is None and not points):
        differences.add("area-from-mask")
        return area
    if box is not None:
        differences.add("area-from-box")
        return BOX_SHARE * box[2] * box[3]
    differences.add("area-from-joints")
    _, _, width, height = joints_box(points, *size)
    return width * height
