"""Convert annotation files as tools write them to COCO's form: reorder joints, derive missing boxes, make ids integers.

In: a parsed annotation file. Out: the file's content in COCO's form, a note for each kind of correction, and the
remaining problems (errors that would make training or scores wrong). A file that ``soundness`` finds valid is not
traversed entry by entry. Nothing is written, and no image is read.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from posemodel.data.annotations.categories import (
    FoundCategories,
    as_listed,
    categories_fault,
    describe_category,
    find_categories,
    has_labelled_joint,
)
from posemodel.data.annotations.differences import DifferenceCounts
from posemodel.data.annotations.listed_pairs import named_pairs
from posemodel.data.annotations.person import read_person
from posemodel.data.annotations.problems import Problem, annotation_problems, image_faults
from posemodel.data.annotations.skeletons import SkeletonChoice
from posemodel.data.annotations.soundness import proven_sound
from posemodel.data.annotations.values import as_whole_number, id_from_word, is_whole_number
from posemodel.data.notes import Note
from posemodel.skeleton import COCO_KEYPOINTS

_NO_WORD_IDS: Mapping[str, int] = {}
"""Used for the annotations' own ids: nothing refers to them, so ids that are words are not turned into numbers."""
_LISTS = ("images", "annotations", "categories")


class Reading(NamedTuple):
    """The parsed file in COCO's form, the notes on what was read differently, and the problems."""

    document: dict[str, Any]
    """The input itself if nothing was read differently. Entries with problems are unchanged."""
    notes: tuple[Note, ...] = ()
    problems: tuple[Problem, ...] = ()


def read(
    document: dict[str, Any], path: Path, *, segments: bool = True, choice: SkeletonChoice | None = None
) -> Reading:
    """Convert a parsed annotation file; ``path`` is the file that notes and problems name.

    ``segments=False`` reads segmentations only where they stand in for an area or a box: scoring needs no others.
    ``choice``: the category and the keypoints that the user chose.
    """
    if proven_sound(document, segments=segments, choice=choice):
        return Reading(document)
    return read_entry_by_entry(document, path, segments=segments, choice=choice)


def read_entry_by_entry(
    document: dict[str, Any], path: Path, *, segments: bool = True, choice: SkeletonChoice | None = None
) -> Reading:
    """Convert a parsed annotation file like ``read``, but always traverse it."""
    missing = [key for key in _LISTS if not isinstance(document.get(key), list)]
    if missing:
        return Reading(document, problems=tuple(Problem(str(path), None, f"no list `{key}`") for key in missing))
    differences = DifferenceCounts()
    image_numbers = _numbers_of_word_ids(document["images"])
    category_numbers = _numbers_of_word_ids(document["categories"])
    categories = [
        _with_whole_number_ids(category, {"id": category_numbers}, differences) for category in document["categories"]
    ]
    images = _without_copies(
        [_read_image_entry(image, image_numbers, differences) for image in document["images"]],
        "image-copies",
        differences,
    )
    references = {"id": _NO_WORD_IDS, "image_id": image_numbers, "category_id": category_numbers}
    annotations = [
        _with_whole_number_ids(annotation, references, differences) for annotation in document["annotations"]
    ]
    annotations = _without_copies(annotations, "annotation-copies", differences)
    converted = document | {"categories": categories, "images": images, "annotations": annotations}
    found = find_categories(categories, annotations, choice)
    fault = categories_fault(converted, found) or _sigmas_fault(annotations, found, choice)
    if fault is not None:
        return Reading(converted, differences.notes(str(path), found), (Problem(str(path), None, fault),))
    for kind in found.differences:
        differences.add(kind)
    annotations = _without_unread_categories(annotations, categories, found, differences)
    image_sizes = _image_sizes(images)
    annotations = [
        annotation
        if (size := _person_image_size(annotation, found, image_sizes)) is None
        else _read_person_with_order(annotation, found, size, differences, segments)
        for annotation in annotations
    ]
    converted |= {
        "annotations": annotations,
        "categories": [_with_found_keypoints(category, found) for category in categories],
    }
    problems = annotation_problems(converted, path, segments=segments, found=found)
    converted["annotations"] = _with_unique_ids(annotations, differences)
    return Reading(converted, differences.notes(str(path), found), tuple(problems))


def _sigmas_fault(annotations: list[Any], found: FoundCategories, choice: SkeletonChoice | None) -> str | None:
    """Return an error text if sigmas without names are given, and annotations are to be put into another order."""
    if choice is None or choice.sigmas is None:
        return None
    ids = {each["category_id"] for each in annotations if isinstance(each, dict) and _is_of(each, found)}
    if all(found.orders[number] in (None, found.in_order) for number in ids):
        return None
    return (
        f"{choice.sigmas_file}: sigmas: are without names, but this file's keypoints are not all listed in one order, "
        "or not in COCO's: give a table of names and numbers."
    )


def _is_of(annotation: dict[str, Any], found: FoundCategories) -> bool:
    return is_whole_number(annotation.get("category_id")) and annotation["category_id"] in found.orders


def _without_unread_categories(
    annotations: list[Any], categories: list[Any], found: FoundCategories, differences: DifferenceCounts
) -> list[Any]:
    """Drop annotations that have labelled joints but a category that is not read; they are not used for training."""
    descriptions = {
        c["id"]: describe_category(c) for c in categories if isinstance(c, dict) and is_whole_number(c.get("id"))
    }
    kept, shown_categories = [], set()
    for annotation in annotations:
        category_id = annotation.get("category_id") if isinstance(annotation, dict) else None
        if not is_whole_number(category_id) or category_id in found.orders or not has_labelled_joint(annotation):
            kept.append(annotation)
            continue
        example = descriptions.get(category_id, f"id {category_id}, which is not listed")
        differences.add("other-category", "" if category_id in shown_categories else example)
        shown_categories.add(category_id)
    return kept


def _numbers_of_word_ids(entries: list[Any]) -> Mapping[str, int]:
    """Return id -> number for the entries whose id is a word."""
    ids = [entry.get("id") for entry in entries if isinstance(entry, dict)]
    return {
        word: id_from_word(word) for word in ids if isinstance(word, str) and word and as_whole_number(word) is None
    }


def _with_whole_number_ids(entry: Any, keys: Mapping[str, Mapping[str, int]], differences: DifferenceCounts) -> Any:
    """Return an entry with all ids as integers; ``keys``: field -> the numbers that stand for ids written as words."""
    if not isinstance(entry, dict):
        return entry
    changes: dict[str, int] = {}
    for key, numbers in keys.items():
        value = entry.get(key)
        if is_whole_number(value):
            continue
        number = as_whole_number(value)
        if number is not None:
            differences.add("ids")
        elif isinstance(value, str) and value in numbers:
            number = numbers[value]
            differences.add("ids-as-words")
        if number is not None:
            changes[key] = number
    return entry | changes if changes else entry


def _read_image_entry(image: Any, numbers: Mapping[str, int], differences: DifferenceCounts) -> Any:
    image = _with_whole_number_ids(image, {"id": numbers}, differences)
    if not isinstance(image, dict):
        return image
    sides = {
        side: number
        for side in ("width", "height")
        if not is_whole_number(image.get(side)) and (number := as_whole_number(image.get(side))) is not None
    }
    if not sides:
        return image
    differences.add("image-sides", count=len(sides))
    return image | sides


def _without_copies(entries: list[Any], kind: str, differences: DifferenceCounts) -> list[Any]:
    """Drop entries that equal an earlier one of the same id."""
    first_entries: dict[int, Any] = {}
    kept = []
    for entry in entries:
        number = entry.get("id") if isinstance(entry, dict) else None
        if is_whole_number(number):
            if number in first_entries and _is_copy(first_entries[number], entry, kind):
                differences.add(kind)
                continue
            first_entries.setdefault(number, entry)
        kept.append(entry)
    return kept


def _is_copy(one: dict[str, Any], other: dict[str, Any], kind: str) -> bool:
    keys = ("file_name", "width", "height") if kind == "image-copies" else tuple({*one, *other})
    return all(one.get(key) == other.get(key) for key in keys)


def _image_sizes(images: list[Any]) -> dict[int, tuple[int, int]]:
    """Return image id -> (width, height) of every valid image entry; the first one if several share an id."""
    image_sizes: dict[int, tuple[int, int]] = {}
    for image in images:
        if next(image_faults(image), None) is None:
            image_sizes.setdefault(image["id"], (image["width"], image["height"]))
    return image_sizes


def _person_image_size(
    annotation: Any, found: FoundCategories, image_sizes: dict[int, tuple[int, int]]
) -> tuple[int, int] | None:
    """Return (width, height) of the image of an annotation that is read; None for any other annotation."""
    if not isinstance(annotation, dict) or not _is_of(annotation, found):
        return None
    image_id = annotation.get("image_id")
    return image_sizes.get(image_id) if is_whole_number(image_id) else None


def _read_person_with_order(
    annotation: dict[str, Any],
    found: FoundCategories,
    size: tuple[int, int],
    differences: DifferenceCounts,
    segments: bool,
) -> Any:
    order = found.orders[annotation["category_id"]]
    if order is None:
        differences.add("joints-unnamed" if found.keypoints == COCO_KEYPOINTS else "joints-numbered")
    elif order != found.in_order:
        differences.add("reordered")
    return read_person(annotation, order or found.in_order, size, differences, segments=segments)


def _with_found_keypoints(category: Any, found: FoundCategories) -> Any:
    """Return a category with the names of the keypoints as they are read: its annotations are already in that order.

    Numbers in a `skeleton` of another order are replaced by the names.
    """
    if not isinstance(category, dict) or not is_whole_number(category.get("id")) or category["id"] not in found.orders:
        return category
    order = found.orders[category["id"]]
    if order == found.in_order and not found.differences:
        return category
    if order not in (None, found.in_order) and category.get("skeleton"):
        category = category | {"skeleton": named_pairs(category["skeleton"], as_listed(found.keypoints, order))}
    return category | {"keypoints": list(found.keypoints)}


def _with_unique_ids(annotations: list[Any], differences: DifferenceCounts) -> list[Any]:
    """Give each annotation its own id: those without one get numbers after the largest. Nothing refers to these ids."""
    ids = [
        annotation["id"]
        for annotation in annotations
        if isinstance(annotation, dict) and is_whole_number(annotation.get("id"))
    ]
    next_id = max(ids, default=0) + 1
    seen: set[int] = set()
    numbered = []
    for annotation in annotations:
        if isinstance(annotation, dict):
            number = annotation.get("id")
            if not is_whole_number(number) or number in seen:
                differences.add("annotation-ids")
                annotation = annotation | {"id": next_id}
                next_id += 1
            else:
                seen.add(number)
        numbered.append(annotation)
    return numbered
