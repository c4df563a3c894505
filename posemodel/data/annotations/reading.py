"""Annotations as tools write them, read as COCO writes them: joints by name, stand-ins, ids; every difference is told.

Comes in: a parsed annotation file. Goes out: the document as COCO would have it, a note for each kind of difference,
and the problems that are left: what would teach or score something wrong. A file that is sound as it stands is not
walked through. Nothing is written, no image is looked at.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from posemodel.data.annotations.categories import (
    IN_ORDER,
    People,
    described,
    find_people,
    has_labelled_joint,
    people_fault,
)
from posemodel.data.annotations.person import read_person
from posemodel.data.annotations.problems import Problem, annotation_problems, image_faults
from posemodel.data.annotations.soundness import proven_sound
from posemodel.data.annotations.telling import Told
from posemodel.data.annotations.values import is_id, number_of_word, whole
from posemodel.data.notes import Note
from posemodel.skeleton import COCO_KEYPOINTS

NO_WORDS: Mapping[str, int] = {}
"""Annotations' own ids: nothing is looked up by them."""
_LISTS = ("images", "annotations", "categories")


class Reading(NamedTuple):
    """A document as COCO would have it, what was read differently, and what cannot be used."""

    document: dict[str, Any]
    """The document that was given, where nothing was read differently. Entries with problems are as they stand."""
    notes: tuple[Note, ...] = ()
    problems: tuple[Problem, ...] = ()


def read(document: dict[str, Any], path: Path, *, segments: bool = True) -> Reading:
    """Read a parsed annotation file; ``path`` is what notes and problems name.

    ``segments=False`` reads segmentations only where they stand in for an area or a box: scoring needs no others.
    """
    if proven_sound(document, segments=segments):
        return Reading(document)
    return read_closely(document, path, segments=segments)


def read_closely(document: dict[str, Any], path: Path, *, segments: bool = True) -> Reading:
    """As ``read``, from entry to entry in any case."""
    missing = [key for key in _LISTS if not isinstance(document.get(key), list)]
    if missing:
        return Reading(document, problems=tuple(Problem(str(path), None, f"no list `{key}`") for key in missing))
    told = Told()
    of_image, of_category = _words(document["images"]), _words(document["categories"])
    categories = [_with_whole(category, {"id": of_category}, told) for category in document["categories"]]
    images = _once([_image(image, of_image, told) for image in document["images"]], "image-copies", told)
    references = {"id": NO_WORDS, "image_id": of_image, "category_id": of_category}
    annotations = [_with_whole(annotation, references, told) for annotation in document["annotations"]]
    annotations = _once(annotations, "annotation-copies", told)
    read_so_far = document | {"categories": categories, "images": images, "annotations": annotations}
    people = find_people(categories, annotations)
    fault = people_fault(read_so_far, people)
    if fault is not None:
        return Reading(read_so_far, told.notes(str(path)), (Problem(str(path), None, fault),))
    annotations = _without_others(annotations, categories, people, told)
    sides = _sides(images)
    annotations = [
        annotation
        if (size := _size_of_person(annotation, people, sides)) is None
        else _person(annotation, people, size, told, segments)
        for annotation in annotations
    ]
    read_so_far |= {"annotations": annotations, "categories": [_named(category, people) for category in categories]}
    problems = annotation_problems(read_so_far, path, segments=segments)
    read_so_far["annotations"] = _numbered(annotations, told)
    return Reading(read_so_far, told.notes(str(path)), tuple(problems))


def _without_others(annotations: list[Any], categories: list[Any], people: People, told: Told) -> list[Any]:
    """Annotations without those of joints that are not read: their category has other keypoints, or none and another
    name than person. Nobody learns from them."""
    of = {c["id"]: described(c) for c in categories if isinstance(c, dict) and is_id(c.get("id"))}
    kept, shown = [], set()
    for annotation in annotations:
        number = annotation.get("category_id") if isinstance(annotation, dict) else None
        if not is_id(number) or number in people.orders or not has_labelled_joint(annotation):
            kept.append(annotation)
        else:
            told.add("other-category", "" if number in shown else of.get(number, f"id {number}, which is not listed"))
            shown.add(number)
    return kept


def _words(entries: list[Any]) -> Mapping[str, int]:
    """The numbers of those entries whose id is a word, by their words."""
    ids = [entry.get("id") for entry in entries if isinstance(entry, dict)]
    return {word: number_of_word(word) for word in ids if isinstance(word, str) and word and whole(word) is None}


def _with_whole(entry: Any, keys: Mapping[str, Mapping[str, int]], told: Told) -> Any:
    """An entry whose ids are whole numbers wherever that is meant; ``keys``: what their words mean, by field."""
    if not isinstance(entry, dict):
        return entry
    changes: dict[str, int] = {}
    for key, words in keys.items():
        value = entry.get(key)
        if is_id(value):
            continue
        number = whole(value)
        if number is not None:
            told.add("ids")
        elif isinstance(value, str) and value in words:
            number = words[value]
            told.add("ids-as-words")
        if number is not None:
            changes[key] = number
    return entry | changes if changes else entry


def _image(image: Any, words: Mapping[str, int], told: Told) -> Any:
    image = _with_whole(image, {"id": words}, told)
    if not isinstance(image, dict):
        return image
    sides = {
        side: number
        for side in ("width", "height")
        if not is_id(image.get(side)) and (number := whole(image.get(side))) is not None
    }
    if not sides:
        return image
    told.add("image-sides", count=len(sides))
    return image | sides


def _once(entries: list[Any], kind: str, told: Told) -> list[Any]:
    """Entries without those that are equal to an earlier one of the same id."""
    first: dict[int, Any] = {}
    kept = []
    for entry in entries:
        number = entry.get("id") if isinstance(entry, dict) else None
        if is_id(number):
            if number in first and _equal(first[number], entry, kind):
                told.add(kind)
                continue
            first.setdefault(number, entry)
        kept.append(entry)
    return kept


def _equal(one: dict[str, Any], other: dict[str, Any], kind: str) -> bool:
    keys = ("file_name", "width", "height") if kind == "image-copies" else tuple({*one, *other})
    return all(one.get(key) == other.get(key) for key in keys)


def _sides(images: list[Any]) -> dict[int, tuple[int, int]]:
    """Width and height of every sound image entry, by id; of several with one id, the first."""
    sides: dict[int, tuple[int, int]] = {}
    for image in images:
        if next(image_faults(image), None) is None:
            sides.setdefault(image["id"], (image["width"], image["height"]))
    return sides


def _size_of_person(annotation: Any, people: People, sides: dict[int, tuple[int, int]]) -> tuple[int, int] | None:
    """Width and height of the image of a person's annotation; None for any other annotation."""
    if not isinstance(annotation, dict) or not is_id(annotation.get("category_id")):
        return None
    image_id = annotation.get("image_id")
    return sides.get(image_id) if annotation["category_id"] in people.orders and is_id(image_id) else None


def _person(annotation: dict[str, Any], people: People, size: tuple[int, int], told: Told, segments: bool) -> Any:
    order = people.orders[annotation["category_id"]]
    if order is None:
        told.add("joints-unnamed")
    elif order != IN_ORDER:
        told.add("reordered")
    return read_person(annotation, order or IN_ORDER, size, told, segments=segments)


def _named(category: Any, people: People) -> Any:
    """A category of people with COCO's list of keypoints, in whose order the annotations now are."""
    if not isinstance(category, dict) or not is_id(category.get("id")) or category["id"] not in people.orders:
        return category
    return category if people.orders[category["id"]] == IN_ORDER else category | {"keypoints": list(COCO_KEYPOINTS)}


def _numbered(annotations: list[Any], told: Told) -> list[Any]:
    """Annotations with an id each: nothing is looked up by it, so those without one are numbered behind the others."""
    ids = [
        annotation["id"] for annotation in annotations if isinstance(annotation, dict) and is_id(annotation.get("id"))
    ]
    following = max(ids, default=0) + 1
    seen: set[int] = set()
    numbered = []
    for annotation in annotations:
        if isinstance(annotation, dict):
            number = annotation.get("id")
            if not is_id(number) or number in seen:
                told.add("annotation-ids")
                annotation = annotation | {"id": following}
                following += 1
            else:
                seen.add(number)
        numbered.append(annotation)
    return numbered
