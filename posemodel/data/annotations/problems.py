"""List what is wrong with an annotation file, entry by entry.

``soundness`` finds out faster whether there would be any problem to list. The two modules share their limits, and
`tests/posemodel/test_soundness.py` compares them: a rule that is added here must be added there.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any

import numpy as np

from posemodel.data.annotations.categories import FoundCategories, find_in, number_of_values, points_fault
from posemodel.data.annotations.segmentation import (
    FEWEST_JOINT_COORDINATES,
    all_finite,
    in_fractions,
    is_finite,
    segmentation_faults,
)
from posemodel.data.annotations.values import is_whole_number

BOX_TOLERANCE = 1.0
"""Pixels by which a box may reach over the image border, because annotation tools round."""
VISIBILITIES = (0, 1, 2)
"""Values of a keypoint's visibility: not labelled, occluded, visible."""
CROWD_FLAGS = (0, 1)
"""Values of `iscrowd`."""
LARGEST_SIDE = int(np.iinfo(np.int32).max)
"""Largest width and height of an image in pixels: sizes are stored as int32."""
_SHOWN_CHARACTERS = 60
"""Maximum number of characters of a value that a message quotes."""

BAD_ENTRY, DUPLICATE_ID, BAD_ANNOTATION = "with a bad entry", "with an id that occurs twice", "with a bad annotation"
"""Reasons why images are left out, beside those of ``images.files``."""


@dataclass(frozen=True)
class Problem:
    """One error in a data set: the file, the id of the image or annotation (None: unknown or neither), and the text."""

    file: str
    id: int | str | None
    problem: str
    images: tuple[int, ...] = ()
    """Positions in the file's `images` of the entries that ``--skip-bad`` leaves out because of this."""
    annotation: int | None = None
    """Position of the bad entry in the file's `annotations`."""
    reason: str = ""
    """Why the images are left out, as a short phrase for counting."""

    @property
    def of_whole_file(self) -> bool:
        """Whether the error concerns the whole file, so that leaving single entries out cannot fix it."""
        return not self.images and self.annotation is None

    def as_row(self) -> dict[str, Any]:
        """Return the row that `posebench data check --json` prints."""
        return {"file": self.file, "id": self.id, "problem": self.problem}


def annotation_problems(
    document: dict[str, Any], path: Path, *, segments: bool = True, found: FoundCategories | None = None
) -> list[Problem]:
    """List the errors in an annotation file that would make training or scores wrong, after ``reading`` converted it.

    Image files are not read. ``segments=False`` skips the segmentations, which scoring does not read. ``found``: the
    categories that are read, if they are known already.
    """
    file = str(path)
    missing = [key for key in ("images", "annotations", "categories") if not isinstance(document.get(key), list)]
    if missing:
        return [Problem(file, None, f"no list `{key}`") for key in missing]
    return list(_document_problems(document, file, segments, find_in(document) if found is None else found))


def _document_problems(
    document: dict[str, Any], file: str, segments: bool, found: FoundCategories
) -> Iterator[Problem]:
    if not document["images"]:
        yield Problem(file, None, "`images` is empty")
    images: list[Any] = document["images"]
    first_position: dict[int, int] = {}
    """Image id -> position of its first valid entry."""
    bad_image_ids: set[Any] = set()
    for position, image in enumerate(images):
        image_id = image.get("id") if isinstance(image, dict) else None
        faults = list(image_faults(image))
        if faults or not is_whole_number(image_id):
            yield Problem(file, _printable_id(image_id), "; ".join(faults), images=(position,), reason=BAD_ENTRY)
            bad_image_ids |= {image_id} if isinstance(image_id, (int, float, str)) else set()
        elif image_id in first_position:
            # Which of two different images an annotation means is unknown: both are left out; of equal ones, the copy.
            other_position = first_position[image_id]
            is_copy = all(image[key] == images[other_position][key] for key in ("file_name", "width", "height"))
            positions = (position,) if is_copy else (other_position, position)
            yield Problem(file, image_id, "this image id occurs twice", images=positions, reason=DUPLICATE_ID)
        else:
            first_position[image_id] = position
    for index, annotation in enumerate(document["annotations"]):
        if not isinstance(annotation, dict):
            yield Problem(file, None, f"an annotation is not an object: {_quote(annotation)}", annotation=index)
            continue
        image_id, category_id = annotation.get("image_id"), annotation.get("category_id")
        annotation_id = _printable_id(annotation.get("id"))
        if not is_whole_number(image_id) or image_id not in first_position:
            # An annotation of an image with a bad entry is left out with that image and is not a problem of its own.
            if not isinstance(image_id, (int, float, str)) or image_id not in bad_image_ids:
                text = f"annotates image {_quote(image_id)}, which is not listed"
                yield Problem(file, annotation_id, text, annotation=index)
            continue
        position = first_position[image_id]
        if not is_whole_number(category_id):
            text = "`category_id` is not a whole number"
        elif category_id in found.orders:
            image = images[position]
            text = "; ".join(_person_faults(annotation, found, image["width"], image["height"], segments))
        else:
            continue
        if text:
            # The person is neither masked nor labelled and would be taught as background, so the image is left out.
            yield Problem(file, annotation_id, text, (position,), index, BAD_ANNOTATION)


def image_faults(image: Any) -> Iterator[str]:
    """Yield what is wrong with an entry of `images`."""
    if not isinstance(image, dict):
        yield f"an image entry is not an object: {_quote(image)}"
        return
    if not is_whole_number(image.get("id")):
        yield f"`id` of an image must be a whole number, got {_quote(image.get('id'))}"
    name = image.get("file_name")
    if not isinstance(name, str) or not name:
        yield "an image without `file_name`"
    elif not is_inside_folder(name):
        yield f"`file_name` must be a path inside the image folder, got {_quote(name)}"
    for side in ("width", "height"):
        if not is_whole_number(image.get(side)) or not 0 < image[side] <= LARGEST_SIDE:
            yield f"`{side}` of an image must be a positive whole number, got {_quote(image.get(side))}"


def is_inside_folder(name: str) -> bool:
    """Return whether a file name is valid and does not lead out of its folder."""
    if "\0" in name or (not name.isascii() and any("\ud800" <= character <= "\udfff" for character in name)):
        return False
    path = PurePath(name)
    return not path.is_absolute() and ".." not in path.parts


def _person_faults(
    annotation: dict[str, Any], found: FoundCategories, width: int, height: int, segments: bool
) -> Iterator[str]:
    """Yield what is wrong with an object that is read, in an image of ``width`` x ``height`` pixels."""
    keypoints, values = annotation.get("keypoints"), found.values
    if not isinstance(keypoints, list) or len(keypoints) != values:
        yield f"`keypoints` must hold {values} numbers, has {_length_fault(keypoints, values)}"
    elif not all_finite(keypoints):
        yield "`keypoints` holds a value that is not a finite number"
    elif unknown_visibility := next((v for v in keypoints[2::3] if v not in VISIBILITIES), None):
        confidence = ": a confidence? Decide which ones count as labelled" if 0 < unknown_visibility < 1 else ""
        yield f"`keypoints` holds a visibility other than 0, 1, 2: {_quote(unknown_visibility)}{confidence}"
    elif any(v > 0 and not (0 <= x <= width and 0 <= y <= height) for x, y, v in _triples(keypoints)):
        yield f"a labelled keypoint lies outside the image of {width}x{height} pixels"
    elif in_fractions(
        [c for x, y, v in _triples(keypoints) if v > 0 for c in (x, y)], width, height, least=FEWEST_JOINT_COORDINATES
    ):
        yield "all labelled keypoints lie between 0 and 1: fractions of the image's sides? COCO's are pixels"
    if annotation.get("iscrowd", 0) not in CROWD_FLAGS:
        yield f"`iscrowd` must be 0 or 1, is {_quote(annotation['iscrowd'])}"
    box_fault = _box_fault(annotation.get("bbox"), width, height)
    if box_fault is not None:
        yield box_fault
    area = annotation.get("area")
    if not is_finite(area) or area < 0:
        yield "`area` must be a finite number, 0 or more, and nothing can replace it: COCO's score is relative to it"
    if segments:
        mask_faults = list(segmentation_faults(annotation.get("segmentation"), width, height))
        yield from mask_faults
        if mask_faults and box_fault is not None:
            yield f"so neither box nor mask says where this {found.noun} is, whose region must be ignored in training"


def _length_fault(keypoints: Any, values: int) -> str:
    """Say how many numbers there are instead of ``values``, and how many points these are."""
    if not isinstance(keypoints, list):
        return "none"
    length = number_of_values(keypoints)
    if length == values:
        return f"{length} in lists that are not all x, y and visibility"
    if 3 * length == 2 * values:
        return f"{length}: x and y alone? A visibility of 0, 1 or 2 must follow each pair"
    points = points_fault(length)
    return f"{length}: {points}" if points else f"{length}"


def _triples(keypoints: list[float]) -> Iterator[tuple[float, float, float]]:
    return zip(keypoints[0::3], keypoints[1::3], keypoints[2::3], strict=True)


def _box_fault(box: Any, width: int, height: int) -> str | None:
    if not isinstance(box, list) or len(box) != 4 or not all_finite(box):
        return "`bbox` must hold 4 finite numbers x, y, width, height"
    if min(box[2], box[3]) <= 0:
        return f"`bbox` {_quote(box)} has no width or height"
    if in_fractions(box, width, height):
        return f"`bbox` {_quote(box)} lies between 0 and 1: fractions of the image's sides? COCO's are pixels"
    if not box_inside(box, width, height):
        return f"`bbox` {_quote(box)} lies outside the image of {width}x{height} pixels"
    return None


def box_inside(box: list[float], width: int, height: int) -> bool:
    """Return whether a box of finite numbers lies in the image, up to ``BOX_TOLERANCE``."""
    return (
        min(box[0], box[1]) >= -BOX_TOLERANCE
        and box[0] + box[2] <= width + BOX_TOLERANCE
        and box[1] + box[3] <= height + BOX_TOLERANCE
    )


def _quote(value: Any) -> str:
    """Return a value as printable text on one line, shortened."""
    return ascii(value)[:_SHOWN_CHARACTERS] if not isinstance(value, str) else repr(value)[:_SHOWN_CHARACTERS]


def _printable_id(value: Any) -> int | str | None:
    """Return an id if JSON can hold it as a plain number or word; else None, and the problem's text quotes the id."""
    if isinstance(value, str):
        return value[:_SHOWN_CHARACTERS].encode(errors="backslashreplace").decode()
    return value if is_whole_number(value) else None
