"""One person's annotation as COCO would have it: joints in COCO's order, box, area and mask, stand-ins where they lack.

Who has a labelled joint needs neither box nor mask to be learned from; a box, a mask and an area are then made of what
there is. Who has none is ignored where mask or box say; where neither does, the annotation stays as it is, a problem.
"""

import math
from typing import Any

from posemodel import skeleton
from posemodel.data.annotations.problems import KEYPOINT_VALUES, box_inside
from posemodel.data.annotations.segmentation import (
    FLAT,
    MISSING,
    PAIRS,
    SLIVERS,
    Mask,
    all_finite,
    box_polygon,
    in_fractions,
    mask_area,
    mask_box,
    read_mask,
)
from posemodel.data.annotations.stand_ins import BOX_SHARE, joints_box, too_small
from posemodel.data.annotations.telling import Told

EDGE = 1.0
"""Pixels outside the image from which a joint is moved onto the border: annotation tools round."""
_CROWDS = {"0": 0, "1": 1, "false": 0, "true": 1, "no": 0, "yes": 1}
_MENDED = (FLAT, PAIRS, SLIVERS)
_NOT_LABELLED = (0, 0, 0)


def read_person(
    annotation: dict[str, Any], order: tuple[int, ...], size: tuple[int, int], told: Told, *, segments: bool
) -> dict[str, Any]:
    """The annotation of a person in an image of ``size`` (width, height); as it was given, where nothing differs.

    ``order``: where each of COCO's keypoints stands in the annotation. What cannot be read stays as it is.
    """
    crowd = _crowd(annotation, told)
    person = annotation if crowd is None else annotation | {"iscrowd": crowd}
    keypoints, person = _with_joints(person, order, size, told)
    if keypoints is None:
        return person
    triples = zip(keypoints[0::3], keypoints[1::3], keypoints[2::3], strict=True)
    points = [] if person.get("iscrowd", 0) else [(x, y) for x, y, v in triples if v > 0]
    changes = _shape(person, points, size, told, segments=segments)
    return person | changes if changes else person


def _crowd(annotation: dict[str, Any], told: Told) -> int | None:
    """What `iscrowd` means where it is no plain 0 or 1; None where it is, is absent or means nothing."""
    value = annotation.get("iscrowd", 0)
    if type(value) is int:
        return None
    read: int | None = None
    if value is None:
        read = 0
    elif isinstance(value, bool | float) and value in (0, 1):
        read = int(value)
    elif isinstance(value, str):
        read = _CROWDS.get(value.strip().casefold())
    if read is not None:
        told.add("iscrowd")
    return read


# --- joints ---------------------------------------------------------------------------------------------------------


def _with_joints(
    person: dict[str, Any], order: tuple[int, ...], size: tuple[int, int], told: Told
) -> tuple[list[float] | None, dict[str, Any]]:
    """The 51 numbers in COCO's order, and the annotation with them; None where they cannot be read."""
    stated = person.get("keypoints")
    if stated is None or stated == []:
        told.add("no-keypoints")
        keypoints: list[float] | None = [0] * KEYPOINT_VALUES
        labelled = 0
    else:
        flat = _flat(stated, told)
        if flat is None:
            return None, person
        keypoints, labelled = _joints(flat, order, size, told)
    if keypoints is None:
        return None, person
    changes: dict[str, Any] = {} if keypoints == stated and _plain(stated) else {"keypoints": keypoints}
    changes |= _declared(person, labelled, sum(v > 0 for v in keypoints[2::3]), told)
    return keypoints, person | changes if changes else person


def _plain(values: list[Any]) -> bool:
    """Whether all are numbers and none is true or false, which are equal to 1 and 0."""
    return {*map(type, values)} <= {int, float}


def _flat(stated: Any, told: Told) -> list[Any] | None:
    if not isinstance(stated, list):
        return None
    if len(stated) == skeleton.NUM_COCO_KEYPOINTS and all(isinstance(each, list) and len(each) == 3 for each in stated):
        told.add("keypoints-nested")
        return [value for triple in stated for value in triple]
    return stated if len(stated) == KEYPOINT_VALUES else None


def _joints(
    flat: list[Any], order: tuple[int, ...], size: tuple[int, int], told: Told
) -> tuple[list[float] | None, int]:
    """The joints in COCO's order, and how many were labelled before those outside the image were taken out."""
    read: list[float] = []
    labelled = 0
    seen = Told()
    """Told only if all joints can be read."""
    for place in order:
        x, y, v = flat[3 * place : 3 * place + 3]
        v = _visibility(x, y, v, seen)
        if v is None:
            return None, 0
        if v == 0:
            if not all_finite([x, y]):
                if not (_is_nothing(x) and _is_nothing(y)):
                    return None, 0
                seen.add("joint-nowhere")
                x, y = 0, 0
        elif not all_finite([x, y]):
            return None, 0
        elif x == 0 and y == 0:  # where tools put what is not there
            labelled += 1
            v = 0
            seen.add("joint-at-origin")
        else:
            labelled += 1
            x, y, v = _inside(x, y, v, size, seen)
        read += (x, y, v)
    told.join(seen)
    return read, labelled


def _visibility(x: Any, y: Any, v: Any, told: Told) -> float | None:
    """0, 1 or 2; None where it cannot be said: a confidence, say.

    3 is `not labelled` of AI Challenger, whose points are then at 0, 0, and `occluded by others` of OCHuman.
    """
    if isinstance(v, bool):
        told.add("visibility-true-false")
        return 2 if v else 0
    if _is_nothing(v):
        return 0 if _is_nothing(x) and _is_nothing(y) else None
    if not all_finite([v]):
        return None
    if v in (0, 1, 2):
        return v
    if v < 0:
        told.add("visibility-negative")
        return 0
    if v == 3:
        told.add("visibility-3")
        return 0 if x == 0 and y == 0 else 1
    return None


def _is_nothing(value: Any) -> bool:
    """Whether it is null or NaN, which tools write for what is not there."""
    return value is None or (isinstance(value, float) and math.isnan(value))


def _inside(x: float, y: float, v: float, size: tuple[int, int], told: Told) -> tuple[float, float, float]:
    width, height = size
    if 0 <= x <= width and 0 <= y <= height:
        return x, y, v
    if -EDGE <= x <= width + EDGE and -EDGE <= y <= height + EDGE:
        told.add("joint-clipped")
        return min(max(x, 0), width), min(max(y, 0), height), v
    told.add("joint-outside")
    return _NOT_LABELLED


def _declared(person: dict[str, Any], labelled: int, left: int, told: Told) -> dict[str, int]:
    """`num_keypoints` where it is not what is labelled; ``left``: of these, inside the image. Not a crowd's."""
    if person.get("iscrowd", 0) != 0:
        return {}
    declared = person.get("num_keypoints")
    is_number = isinstance(declared, int | float) and not isinstance(declared, bool)
    if is_number and declared == left:
        return {}
    if declared is None:
        if person.get("keypoints"):
            told.add("num-keypoints-missing")
    elif not is_number or declared != labelled:
        told.add("num-keypoints-wrong" if (declared == 0) == (left == 0) else "num-keypoints-none")
    return {"num_keypoints": left}


# --- box, area, mask ------------------------------------------------------------------------------------------------


def _shape(
    person: dict[str, Any], points: list[tuple[float, float]], size: tuple[int, int], told: Told, *, segments: bool
) -> dict[str, Any]:
    """What of box, area and mask is read differently; ``points`` (n, 2): labelled joints, none of a crowd's."""
    changes: dict[str, Any] = {}
    mask: Mask | None = None
    if segments:
        mask = read_mask(person.get("segmentation"), *size)
    stated_box = _box(person.get("bbox"), size)
    area = person.get("area")
    area_stands = all_finite([area]) and (area > 0 if points else area >= 0) and not too_small(area, points)
    if mask is None and (stated_box is None or not area_stands):
        mask = read_mask(person.get("segmentation"), *size)
    usable = mask.usable if mask is not None else None

    box = stated_box
    if box is None and usable is not None:
        around = mask_box(usable, *size)
        box = around if min(around[2:]) > 0 else None
        if box is not None:
            told.add("box-from-mask")
    if box is None and points:
        box = joints_box(points, *size)
        told.add("box-from-joints")
    if box is None and (usable is None or not segments):
        return {}  # nobody can say where this person is
    if box is not None and box != person.get("bbox"):
        changes["bbox"] = box
        if stated_box is not None:
            told.add("box-clipped")
    if segments and mask is not None and mask.kind:
        example = "" if mask.kind == MISSING else f"annotation {ascii(person.get('id'))[:40]}: {mask.said}"
        if mask.kind in _MENDED and usable is not None:
            told.add(f"mask-{mask.kind}", example)
            changes["segmentation"] = usable
        elif box is not None:
            told.add(f"mask-{mask.kind}", example)
            changes["segmentation"] = box_polygon(box)
    if not area_stands:
        changes["area"] = _area(usable, stated_box, points, size, told)
    return changes


def _box(box: Any, size: tuple[int, int]) -> list[float] | None:
    """A box with a width and a height inside the image, cut off at its border where it reaches further; else None."""
    if not isinstance(box, list) or len(box) != 4 or not all_finite(box) or min(box[2], box[3]) <= 0:
        return None
    if in_fractions(box, *size):
        return None
    if box_inside(box, *size):
        return box
    left, top = max(box[0], 0), max(box[1], 0)
    right, bottom = min(box[0] + box[2], size[0]), min(box[1] + box[3], size[1])
    return [left, top, right - left, bottom - top] if right > left and bottom > top else None


def _area(
    mask: Any, box: list[float] | None, points: list[tuple[float, float]], size: tuple[int, int], told: Told
) -> float:
    """An area for somebody who has none: the mask's, else a share of the box's, else that around the joints."""
    area = mask_area(mask, *size) if mask is not None else 0.0
    if (area > 0 and not too_small(area, points)) or (box is None and not points):
        told.add("area-from-mask")
        return area
    if box is not None:
        told.add("area-from-box")
        return BOX_SHARE * box[2] * box[3]
    told.add("area-from-joints")
    _, _, width, height = joints_box(points, *size)
    return width * height
