"""Which categories of an annotation file are people, and in which order their joints stand.

Names decide: a category whose `keypoints` are COCO's 17, in any order, is taken whatever it is called; several such
categories are all taken. A category named person without `keypoints` is read in COCO's order: where no other is there,
or where annotations name it. Names are compared without case, spaces, hyphens and underscores.
"""

import re
from collections import Counter
from dataclasses import dataclass
from typing import Any

from posemodel.data.annotations.values import is_id
from posemodel.skeleton import COCO_KEYPOINTS

_SEPARATORS = re.compile(r"[\s_-]+")
_SHOWN_NAMES, _SHOWN_CATEGORIES, _SHOWN_CHARACTERS = 30, 8, 40
"""Of a message: the file may hold anything."""


@dataclass(frozen=True)
class People:
    """The categories that are people."""

    orders: dict[int, tuple[int, ...] | None]
    """By id: where each of COCO's 17 keypoints stands among the category's; None: the category does not say."""
    others: dict[int, str] | None = None
    """By id: named person, but with other keypoints than COCO's; None: there are none."""

    @property
    def ids(self) -> set[int]:
        """Ids of the categories that are people."""
        return {*self.orders}

    @property
    def in_order(self) -> bool:
        """Whether all say by name that they are in COCO's order, and nobody is of other keypoints."""
        return not self.others and all(order == IN_ORDER for order in self.orders.values())


IN_ORDER = tuple(range(len(COCO_KEYPOINTS)))


def plain_name(name: str) -> str:
    """A name without case, spaces, hyphens and underscores: `Left Eye` and `left_eye` are one."""
    return _SEPARATORS.sub("", name).casefold()


_PLACES = {plain_name(name): place for place, name in enumerate(COCO_KEYPOINTS)}


def find_people(categories: Any, annotations: Any = ()) -> People:
    """The categories that are people, of a document that may be malformed; ids must be whole numbers already.

    ``annotations`` are asked only where a category named person has no keypoints of COCO's, beside one that has.
    """
    entries = [c for c in categories if isinstance(c, dict) and is_id(c.get("id"))] if _is_list(categories) else []
    orders: dict[int, tuple[int, ...] | None] = {}
    doubtful: dict[int, dict[str, Any]] = {}
    for category in entries:
        order = _order(category.get("keypoints"))
        if order is not None:
            orders[category["id"]] = order
        elif isinstance(category.get("name"), str) and plain_name(category["name"]) == "person":
            doubtful[category["id"]] = category
    if orders and doubtful:
        entries = annotations if _is_list(annotations) else []
        used = {a["category_id"] for a in entries if isinstance(a, dict) and is_id(a.get("category_id"))}
        doubtful = {number: category for number, category in doubtful.items() if number in used}
    others = {}
    for number, category in doubtful.items():
        if category.get("keypoints"):
            others[number] = described(category)
        elif number not in orders:
            orders[number] = None
    return People(orders, others or None)


def person_categories(document: dict[str, Any]) -> set[int]:
    """Ids of the categories that are people, in a document that may be malformed."""
    return find_people(document.get("categories"), document.get("annotations")).ids


def people_fault(document: dict[str, Any], people: People) -> str | None:
    """What is wrong with the categories as a whole: which there are, and what is needed; None: nothing."""
    needed = f"Needed: a category whose `keypoints` are, in any order, {', '.join(COCO_KEYPOINTS)}."
    if not people.orders:
        there = [described(category) for category in document["categories"] if isinstance(category, dict)]
        more = f" and {len(there) - _SHOWN_CATEGORIES} more" if len(there) > _SHOWN_CATEGORIES else ""
        listed = f"there are {', '.join(there[:_SHOWN_CATEGORIES])}{more}" if there else "there is none at all"
        return f"no category with COCO's {len(COCO_KEYPOINTS)} keypoints; {listed}. {needed}"
    for number in sorted(people.ids & listed_otherwise(document["categories"])):
        there = [described(c) for c in document["categories"] if isinstance(c, dict) and c.get("id") == number]
        listed = ", ".join(there[:_SHOWN_CATEGORIES])
        return f"`categories` lists the id {number} for different things: {listed}. Give each its own."
    if people.others:
        return f"there are people with other joints than COCO's: {', '.join(people.others.values())}. {needed}"
    entries = [a for a in document["annotations"] if isinstance(a, dict) and is_id(a.get("category_id"))]
    of_people = [annotation for annotation in entries if annotation["category_id"] in people.orders]
    unlisted = Counter(annotation["category_id"] for annotation in entries) if not of_people else Counter()
    for number in listed_ids(document["categories"]):
        unlisted.pop(number, None)
    if unlisted:
        ((number, count),) = unlisted.most_common(1)
        wanted = " or ".join(map(str, sorted(people.orders)))
        return (
            f"no annotation is of a category of people (`category_id` {wanted}); {count} are of {number}, which "
            "`categories` does not list: correct it, or add that category."
        )
    unnamed = all(order is None for order in people.orders.values())
    if unnamed and of_people and not any(annotation.get("keypoints") for annotation in of_people):
        return (
            "no annotation of `person` has `keypoints`: the file holds boxes and masks alone, as COCO's instances "
            f"files do. {needed}"
        )
    return None


def listed_otherwise(categories: list[Any]) -> set[int]:
    """Ids that are listed more than once, with other names or keypoints."""
    first: dict[int, tuple[str, str]] = {}
    otherwise = set()
    for category in categories:
        if isinstance(category, dict) and is_id(category.get("id")):
            said = plain_name(str(category.get("name"))), plain_name(repr(category.get("keypoints")))
            if first.setdefault(category["id"], said) != said:
                otherwise.add(category["id"])
    return otherwise


def has_labelled_joint(annotation: dict[str, Any]) -> bool:
    """Whether an annotation, of any category, has keypoints of which one is labelled."""
    keypoints = annotation.get("keypoints")
    return isinstance(keypoints, list) and any(type(v) in (int, float) and v > 0 for v in keypoints[2::3])


def listed_ids(categories: list[Any]) -> set[int]:
    """Ids of the categories that are listed."""
    return {category["id"] for category in categories if isinstance(category, dict) and is_id(category.get("id"))}


def described(category: dict[str, Any]) -> str:
    """A category as a message shows it: `Person` (14 keypoints: left_shoulder, ...)."""
    name, keypoints = category.get("name"), category.get("keypoints")
    shown = (
        f"`{_printable(name)}`"
        if isinstance(name, str)
        else f"one without a name (id {_printable(category.get('id'))})"
    )
    if not is_id(category.get("id")):
        shown += " without a whole-number `id`"
    if not isinstance(keypoints, list) or not keypoints:
        return f"{shown} (no keypoints)"
    names = ", ".join(map(_printable, keypoints[:_SHOWN_NAMES])) + (", ..." if len(keypoints) > _SHOWN_NAMES else "")
    return f"{shown} ({len(keypoints)} keypoint{'' if len(keypoints) == 1 else 's'}: {names})"


def _order(keypoints: Any) -> tuple[int, ...] | None:
    """Where each of COCO's keypoints stands in a list of names; None unless it holds just those."""
    if not isinstance(keypoints, list) or len(keypoints) != len(COCO_KEYPOINTS):
        return None
    if keypoints == list(COCO_KEYPOINTS):
        return IN_ORDER
    if not all(isinstance(name, str) for name in keypoints):
        return None
    places = [_PLACES.get(plain_name(name)) for name in keypoints]
    if {*places} != {*IN_ORDER}:
        return None
    return tuple(places.index(place) for place in IN_ORDER)


def _is_list(value: Any) -> bool:
    return isinstance(value, list)


def _printable(value: Any) -> str:
    text = value if isinstance(value, str) else ascii(value)
    text = text.encode(errors="backslashreplace").decode()
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text[:_SHOWN_CHARACTERS])
