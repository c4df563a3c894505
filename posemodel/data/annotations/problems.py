"""What can be wrong with an annotation file or with the images that it names, found before anyone trains."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any

import numpy as np

from posemodel import skeleton
from posemodel.data.annotations.categories import person_categories
from posemodel.data.annotations.segmentation import all_finite, in_fractions, segmentation_faults
from posemodel.data.annotations.values import is_id

BOX_TOLERANCE = 1.0
"""Pixels that a box may reach over the image's border: annotation tools round."""
KEYPOINT_VALUES = 3 * skeleton.NUM_COCO_KEYPOINTS
LARGEST_SIDE = int(np.iinfo(np.int32).max)
_SHOWN_CHARACTERS = 60
"""Of a value that is quoted."""

BAD_ENTRY, TWICE, BAD_ANNOTATION = "with a bad entry", "with an id that occurs twice", "with a bad annotation"
"""Why images are left out, beside the reasons of ``image_files``."""


@dataclass(frozen=True)
class Problem:
    """One fault: the file, the id of the image or annotation (None: unknown, or the whole file) and what is wrong."""

    file: str
    id: int | str | None
    problem: str
    images: tuple[int, ...] = ()
    """Positions in the file's `images` of those that ``--skip-bad`` leaves out because of this."""
    annotation: int | None = None
    """Position in the file's `annotations` of the one at fault."""
    reason: str = ""
    """Why the images are left out, in a word that is counted."""

    @property
    def of_whole_file(self) -> bool:
        """Whether it is no single entry's fault, so that nothing can be left out to mend it."""
        return not self.images and self.annotation is None

    def as_row(self) -> dict[str, Any]:
        """The row that `posebench data check --json` prints."""
        return {"file": self.file, "id": self.id, "problem": self.problem}


def annotation_problems(document: dict[str, Any], path: Path, *, segments: bool = True) -> list[Problem]:
    """What would teach or score something wrong in an annotation file as ``reading`` has read it, without its images.

    ``segments=False`` leaves the segmentations out: scoring does not read them.
    """
    file = str(path)
    missing = [key for key in ("images", "annotations", "categories") if not isinstance(document.get(key), list)]
    if missing:
        return [Problem(file, None, f"no list `{key}`") for key in missing]
    return list(_document_problems(document, file, segments))


def _document_problems(document: dict[str, Any], file: str, segments: bool) -> Iterator[Problem]:
    person = person_categories(document)
    if not document["images"]:
        yield Problem(file, None, "`images` is empty")
    images: list[Any] = document["images"]
    first: dict[int, int] = {}
    """Position of the sound image entry of each id."""
    unsound: set[Any] = set()
    for position, image in enumerate(images):
        image_id = image.get("id") if isinstance(image, dict) else None
        faults = list(image_faults(image))
        if faults:
            yield Problem(file, _shown_id(image_id), "; ".join(faults), images=(position,), reason=BAD_ENTRY)
            unsound |= {image_id} if isinstance(image_id, (int, float, str)) else set()
        elif image_id in first:
            # Which of two different images an annotation means, nobody knows: both go. A copy of an entry goes alone.
            other = first[image_id]
            same = all(image[key] == images[other][key] for key in ("file_name", "width", "height"))
            gone = (position,) if same else (other, position)
            yield Problem(file, image_id, "this image id occurs twice", images=gone, reason=TWICE)
        else:
            first[image_id] = position
    for number, annotation in enumerate(document["annotations"]):
        if not isinstance(annotation, dict):
            yield Problem(file, None, f"an annotation is not an object: {_quoted(annotation)}", annotation=number)
            continue
        image_id, category = annotation.get("image_id"), annotation.get("category_id")
        annotation_id = _shown_id(annotation.get("id"))
        listed = is_id(image_id) and image_id in first
        # Unmasked and unlabelled, a person would be taught as background: its whole image goes.
        gone = (first[image_id],) if listed and (category in person if is_id(category) else True) else ()
        if not listed:
            # What annotates an image with a bad entry goes with it, and is no fault of its own.
            if not isinstance(image_id, (int, float, str)) or image_id not in unsound:
                text = f"annotates image {_quoted(image_id)}, which is not listed"
                yield Problem(file, annotation_id, text, annotation=number)
            continue
        if not is_id(category):
            text = "no whole-number `category_id`"
            yield Problem(file, annotation_id, text, images=gone, annotation=number, reason=BAD_ANNOTATION)
        elif category in person:
            image = images[first[image_id]]
            text = "; ".join(_person_faults(annotation, image["width"], image["height"], segments))
            if text:
                yield Problem(file, annotation_id, text, gone, number, BAD_ANNOTATION)


def image_faults(image: Any) -> Iterator[str]:
    """What is wrong with an entry of `images`."""
    if not isinstance(image, dict):
        yield f"an image entry is not an object: {_quoted(image)}"
        return
    if not is_id(image.get("id")):
        yield f"`id` of an image must be a whole number, got {_quoted(image.get('id'))}"
    name = image.get("file_name")
    if not isinstance(name, str) or not name:
        yield "an image without `file_name`"
    elif not inside(name):
        yield f"`file_name` must be a path inside the image folder, got {_quoted(name)}"
    for side in ("width", "height"):
        if not is_id(image.get(side)) or not 0 < image[side] <= LARGEST_SIDE:
            yield f"`{side}` of an image must be a positive whole number, got {_quoted(image.get(side))}"


def inside(name: str) -> bool:
    """Whether a file name stays in its folder, and is one that a file can have."""
    if "\0" in name or (not name.isascii() and any("\ud800" <= character <= "\udfff" for character in name)):
        return False
    path = PurePath(name)
    return not path.is_absolute() and ".." not in path.parts


def _person_faults(annotation: dict[str, Any], width: int, height: int, segments: bool) -> Iterator[str]:
    """Faults of a person in an image of ``width`` x ``height`` pixels."""
    keypoints = annotation.get("keypoints")
    if not isinstance(keypoints, list) or len(keypoints) != KEYPOINT_VALUES:
        length = len(keypoints) if isinstance(keypoints, list) else "none"
        yield f"`keypoints` must hold {KEYPOINT_VALUES} numbers, has {length}"
    elif not all_finite(keypoints):
        yield "`keypoints` holds a value that is not a finite number"
    elif odd := next((v for v in keypoints[2::3] if v not in (0, 1, 2)), None):
        confidence = ": a confidence? Decide from which on a joint counts" if 0 < odd < 1 else ""
        yield f"`keypoints` holds a visibility other than 0, 1, 2: {_quoted(odd)}{confidence}"
    elif any(v > 0 and not (0 <= x <= width and 0 <= y <= height) for x, y, v in _triples(keypoints)):
        yield f"a labelled keypoint lies outside the image of {width}x{height} pixels"
    elif in_fractions([c for x, y, v in _triples(keypoints) if v > 0 for c in (x, y)], width, height, least=6):
        yield "all labelled keypoints lie between 0 and 1: fractions of the image's sides? COCO's are pixels"
    if annotation.get("iscrowd", 0) not in (0, 1):
        yield f"`iscrowd` must be 0 or 1, is {_quoted(annotation['iscrowd'])}"
    box_fault = _box_fault(annotation.get("bbox"), width, height)
    if box_fault is not None:
        yield box_fault
    area = annotation.get("area")
    if not all_finite([area]) or area < 0:
        yield "`area` must be a finite number, 0 or more, and nothing stands in for it: COCO's score is relative to it"
    if segments:
        mask_faults = list(segmentation_faults(annotation.get("segmentation"), width, height))
        yield from mask_faults
        if mask_faults and box_fault is not None:
            yield "so nothing says where this person is, whose place must be ignored without labelled joints"


def _triples(keypoints: list[float]) -> Iterator[tuple[float, float, float]]:
    return zip(keypoints[0::3], keypoints[1::3], keypoints[2::3], strict=True)


def _box_fault(box: Any, width: int, height: int) -> str | None:
    if not isinstance(box, list) or len(box) != 4 or not all_finite(box):
        return "`bbox` must hold 4 finite numbers x, y, width, height"
    if min(box[2], box[3]) <= 0:
        return f"`bbox` {_quoted(box)} has no width or height"
    if in_fractions(box, width, height):
        return f"`bbox` {_quoted(box)} lies between 0 and 1: fractions of the image's sides? COCO's are pixels"
    if not box_inside(box, width, height):
        return f"`bbox` {_quoted(box)} lies outside the image of {width}x{height} pixels"
    return None


def box_inside(box: list[float], width: int, height: int) -> bool:
    """Whether a box of finite numbers lies in an image, but for what annotation tools round."""
    return (
        min(box[0], box[1]) >= -BOX_TOLERANCE
        and box[0] + box[2] <= width + BOX_TOLERANCE
        and box[1] + box[3] <= height + BOX_TOLERANCE
    )


def _quoted(value: Any) -> str:
    """A value as it can be printed on one line."""
    return ascii(value)[:_SHOWN_CHARACTERS] if not isinstance(value, str) else repr(value)[:_SHOWN_CHARACTERS]


def _shown_id(value: Any) -> int | str | None:
    """An id as it is shown: what JSON cannot hold as a plain number or word is in the problem's text."""
    if isinstance(value, str):
        return value[:_SHOWN_CHARACTERS].encode(errors="backslashreplace").decode()
    return value if is_id(value) else None
