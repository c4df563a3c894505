"""Find the person categories of an annotation file and the order of their keypoints.

A category whose `keypoints` are COCO's 17 names, in any order, is a person category under any name; there may be
several. A category named person without `keypoints` is read in COCO's order if there is no other person category, or if
annotations use it. Names are compared without case, spaces, hyphens and underscores.
"""

import re
from collections import Counter
from dataclasses import dataclass
from typing import Any

from posemodel.data.annotations.values import is_whole_number
from posemodel.skeleton import COCO_KEYPOINTS

_SEPARATORS = re.compile(r"[\s_-]+")
_SHOWN_NAMES, _SHOWN_CATEGORIES, _SHOWN_CHARACTERS = 30, 8, 40
"""Maximum numbers of names, categories and characters that a message quotes: a malformed file may hold very long ones.
"""


@dataclass(frozen=True)
class PersonCategories:
    """The person categories of an annotation file."""

    orders: dict[int, tuple[int, ...] | None]
    """Category id -> for each of COCO's 17 keypoints, its index in the category's `keypoints`; None if it lists none.
    """
    with_other_joints: dict[int, str] | None = None
    """Category id -> description, for categories named person with other keypoints than COCO's; None if there are none.
    """

    @property
    def ids(self) -> set[int]:
        """Ids of the person categories."""
        return {*self.orders}

    @property
    def in_coco_order(self) -> bool:
        """Whether every person category lists COCO's keypoints in COCO's order."""
        return not self.with_other_joints and all(order == IN_ORDER for order in self.orders.values())


IN_ORDER = tuple(range(len(COCO_KEYPOINTS)))


def plain_name(name: str) -> str:
    """Return a name in lower case without spaces, hyphens and underscores; `Left Eye` and `left_eye` give `lefteye`."""
    return _SEPARATORS.sub("", name).casefold()


_COCO_INDEX = {plain_name(name): index for index, name in enumerate(COCO_KEYPOINTS)}


def find_person_categories(categories: Any, annotations: Any = ()) -> PersonCategories:
    """Find the person categories of a document that may be malformed; entries whose id is not an integer are left out.

    If one category has COCO's keypoints and another is only named person, the latter counts only if an annotation uses
    it. ``annotations`` serve this check alone.
    """
    entries = (
        [c for c in categories if isinstance(c, dict) and is_whole_number(c.get("id"))] if _is_list(categories) else []
    )
    orders: dict[int, tuple[int, ...] | None] = {}
    doubtful: dict[int, dict[str, Any]] = {}
    for category in entries:
        order = _coco_order(category.get("keypoints"))
        if order is not None:
            orders[category["id"]] = order
        elif isinstance(category.get("name"), str) and plain_name(category["name"]) == "person":
            doubtful[category["id"]] = category
    if orders and doubtful:
        entries = annotations if _is_list(annotations) else []
        used = {a["category_id"] for a in entries if isinstance(a, dict) and is_whole_number(a.get("category_id"))}
        doubtful = {category_id: category for category_id, category in doubtful.items() if category_id in used}
    with_other_joints = {}
    for category_id, category in doubtful.items():
        if category.get("keypoints"):
            with_other_joints[category_id] = describe_category(category)
        elif category_id not in orders:
            orders[category_id] = None
    return PersonCategories(orders, with_other_joints or None)


def person_category_ids(document: dict[str, Any]) -> set[int]:
    """Return the ids of the person categories of a document that may be malformed."""
    return find_person_categories(document.get("categories"), document.get("annotations")).ids


def categories_fault(document: dict[str, Any], people: PersonCategories) -> str | None:
    """Return an error text that says why the categories are unusable and how to fix them; None if they are usable."""
    needed = f"Needed: a category whose `keypoints` are, in any order, {', '.join(COCO_KEYPOINTS)}."
    if not people.orders:
        descriptions = [
            describe_category(category) for category in document["categories"] if isinstance(category, dict)
        ]
        more = f" and {len(descriptions) - _SHOWN_CATEGORIES} more" if len(descriptions) > _SHOWN_CATEGORIES else ""
        listed = (
            f"there are {', '.join(descriptions[:_SHOWN_CATEGORIES])}{more}" if descriptions else "there is none at all"
        )
        return f"no category with COCO's {len(COCO_KEYPOINTS)} keypoints; {listed}. {needed}"
    for category_id in sorted(people.ids & conflicting_ids(document["categories"])):
        descriptions = [
            describe_category(c) for c in document["categories"] if isinstance(c, dict) and c.get("id") == category_id
        ]
        listed = ", ".join(descriptions[:_SHOWN_CATEGORIES])
        return f"`categories` lists the id {category_id} for different things: {listed}. Give each its own."
    if people.with_other_joints:
        return (
            f"there are people with other joints than COCO's: {', '.join(people.with_other_joints.values())}. {needed}"
        )
    entries = [a for a in document["annotations"] if isinstance(a, dict) and is_whole_number(a.get("category_id"))]
    of_people = [annotation for annotation in entries if annotation["category_id"] in people.orders]
    unlisted = Counter(annotation["category_id"] for annotation in entries) if not of_people else Counter()
    for category_id in category_ids(document["categories"]):
        unlisted.pop(category_id, None)
    if unlisted:
        ((category_id, count),) = unlisted.most_common(1)
        wanted = " or ".join(map(str, sorted(people.orders)))
        return (
            f"no annotation is of a category of people (`category_id` {wanted}); {count} are of {category_id}, which "
            "`categories` does not list: correct it, or add that category."
        )
    unnamed = all(order is None for order in people.orders.values())
    if unnamed and of_people and not any(annotation.get("keypoints") for annotation in of_people):
        return (
            "no annotation of `person` has `keypoints`: the file holds boxes and masks alone, as COCO's instances "
            f"files do. {needed}"
        )
    return None


def conflicting_ids(categories: list[Any]) -> set[int]:
    """Return ids that are listed more than once with different names or keypoints."""
    first_content: dict[int, tuple[str, str]] = {}
    conflicting = set()
    for category in categories:
        if isinstance(category, dict) and is_whole_number(category.get("id")):
            content = plain_name(str(category.get("name"))), plain_name(repr(category.get("keypoints")))
            if first_content.setdefault(category["id"], content) != content:
                conflicting.add(category["id"])
    return conflicting


def has_labelled_joint(annotation: dict[str, Any]) -> bool:
    """Return whether an annotation of any category has keypoints with at least one labelled joint."""
    keypoints = annotation.get("keypoints")
    return isinstance(keypoints, list) and any(type(v) in (int, float) and v > 0 for v in keypoints[2::3])


def category_ids(categories: list[Any]) -> set[int]:
    """Return the ids of the listed categories, leaving out malformed entries."""
    return {
        category["id"] for category in categories if isinstance(category, dict) and is_whole_number(category.get("id"))
    }


def describe_category(category: dict[str, Any]) -> str:
    """Describe a category for a message, for example `Person` (14 keypoints: left_shoulder, ...)."""
    name, keypoints = category.get("name"), category.get("keypoints")
    shown = (
        f"`{_printable(name)}`"
        if isinstance(name, str)
        else f"one without a name (id {_printable(category.get('id'))})"
    )
    if not is_whole_number(category.get("id")):
        shown += " without a whole-number `id`"
    if not isinstance(keypoints, list) or not keypoints:
        return f"{shown} (no keypoints)"
    names = ", ".join(map(_printable, keypoints[:_SHOWN_NAMES])) + (", ..." if len(keypoints) > _SHOWN_NAMES else "")
    return f"{shown} ({len(keypoints)} keypoint{'' if len(keypoints) == 1 else 's'}: {names})"


def _coco_order(keypoints: Any) -> tuple[int, ...] | None:
    """Return the index of each COCO keypoint in a list of names; None unless the list holds exactly COCO's 17."""
    if not isinstance(keypoints, list) or len(keypoints) != len(COCO_KEYPOINTS):
        return None
    if keypoints == list(COCO_KEYPOINTS):
        return IN_ORDER
    if not all(isinstance(name, str) for name in keypoints):
        return None
    coco_indices = [_COCO_INDEX.get(plain_name(name)) for name in keypoints]
    if {*coco_indices} != {*IN_ORDER}:
        return None
    return tuple(coco_indices.index(index) for index in IN_ORDER)


def _is_list(value: Any) -> bool:
    return isinstance(value, list)


def _printable(value: Any) -> str:
    text = value if isinstance(value, str) else ascii(value)
    text = text.encode(errors="backslashreplace").decode()
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text[:_SHOWN_CHARACTERS])
