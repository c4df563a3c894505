"""Find the categories of an annotation file that are read, the names of their keypoints and the order of these.

Categories whose `keypoints` are COCO's 17 names, in any order, are people under any name, and are read first; there may
be several. A category named person without `keypoints` is read in COCO's order if its annotations have 51 numbers.
Without people, all categories with the same keypoints are read together; categories with different ones are listed, for
the user to choose one. Names are compared without case, spaces, hyphens and underscores.
"""

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

from posemodel.data.annotations.listed_pairs import named_pairs
from posemodel.data.annotations.values import as_whole_number, is_whole_number
from posemodel.errors import did_you_mean
from posemodel.skeleton import COCO_KEYPOINTS

if TYPE_CHECKING:
    from posemodel.data.annotations.skeletons import SkeletonChoice  # which imports this module

_SEPARATORS = re.compile(r"[\s_-]+")
_SHOWN_NAMES, _SHOWN_CATEGORIES, _SHOWN_CHARACTERS = 30, 8, 40
"""Maximum numbers of names, categories and characters that a message quotes: a malformed file may hold very long ones.
"""
_COCO_LIST = list(COCO_KEYPOINTS)
_COCO_VALUES = 3 * len(COCO_KEYPOINTS)
_PERSON, _OBJECT = "person", "object"
NAMES_REPEATED, NAMES_AS_TEXT = "keypoint-names-repeated", "keypoint-names-as-text"
"""Kinds of note on a category's list of names, see ``differences``."""


@dataclass(frozen=True)
class FoundCategories:
    """The categories of an annotation file that are read, and their K keypoints."""

    orders: dict[int, tuple[int, ...] | None]
    """Category id -> for each keypoint, its index in the category's `keypoints`; None if it lists none."""
    keypoints: tuple[str, ...] = COCO_KEYPOINTS
    """Names of the K keypoints, all different: COCO's 17 for people, else those of the first category with annotations,
    in its order."""
    name: str = _PERSON
    """Name of the objects: person for COCO's keypoints, else the category's name."""
    pairs: Any = None
    """The first `skeleton` of a category that is not empty, as the file has it: pairs of ``keypoints``; it has names
    instead of numbers if that category lists the keypoints in another order."""
    pairs_differ: bool = False
    """Whether another category's `skeleton` has other pairs."""
    differences: tuple[str, ...] = ()
    """Kinds of differences (see ``differences``) by which lists of names were read, one for each category concerned."""
    fault: str = ""
    """Why no category can be read, or one must be chosen; empty if nothing is wrong."""

    @property
    def ids(self) -> set[int]:
        """Ids of the categories that are read."""
        return {*self.orders}

    @property
    def values(self) -> int:
        """Numbers of an annotation's `keypoints`: x, y and visibility of each of the K."""
        return 3 * len(self.keypoints)

    @property
    def noun(self) -> str:
        """Word for one annotated object in texts: person or object."""
        return noun_of(self.name)

    @cached_property
    def in_order(self) -> tuple[int, ...]:
        """The order (K,) of annotations that are as ``keypoints``: 0, 1, 2, ..."""
        return tuple(range(len(self.keypoints)))


class _Listed(NamedTuple):
    """A category with the names that it lists (none: empty)."""

    entry: dict[str, Any]
    names: tuple[str, ...]
    difference: str = ""
    is_numbered: bool = False
    """Whether it lists no names, and ``names`` were made for it."""

    @property
    def id(self) -> int:
        number: int = self.entry["id"]
        return number

    @property
    def is_unnamed(self) -> bool:
        """Whether it lists no names at all; others without ``names`` list something that is none."""
        return not self.names and not self.entry.get("keypoints")

    @property
    def is_named_person(self) -> bool:
        name = self.entry.get("name")
        return isinstance(name, str) and plain_name(name) == _PERSON


def noun_of(name: str) -> str:
    """Return the word for one annotated object of this name in texts: person if that is its name, else object."""
    return _PERSON if plain_name(name) == _PERSON else _OBJECT


def plain_name(name: str) -> str:
    """Return a name in lower case without spaces, hyphens and underscores; `Left Eye` and `left_eye` give `lefteye`."""
    return _SEPARATORS.sub("", name).casefold()


def order_of(names: Sequence[str], other: Sequence[str]) -> tuple[int, ...] | None:
    """Return the index in ``other`` of each of ``names``; None unless both hold the same names, in any order."""
    if len(names) != len(other):
        return None
    if [*names] == [*other]:
        return tuple(range(len(names)))
    keys, other_keys = _comparable(names), _comparable(other)
    index = {key: number for number, key in enumerate(other_keys)}
    return tuple(index[key] for key in keys) if {*keys} == {*other_keys} else None


def _comparable(names: Sequence[str]) -> list[str]:
    """Return plain names, if they tell the names apart (`1_1` and `11` do not), else the names themselves."""
    plain = [plain_name(name) for name in names]
    return plain if len({*plain}) == len(plain) else [*names]


def numbered_names(count: int) -> tuple[str, ...]:
    """Return names for keypoints without: `point_1`, `point_2`, ..."""
    return tuple(f"point_{number}" for number in range(1, count + 1))


def find_categories(categories: Any, annotations: Any = (), choice: "SkeletonChoice | None" = None) -> FoundCategories:
    """Find the categories to read in a document that may be malformed; entries whose id is no integer are left out.

    ``choice``: the category that the user chose, by name or id, and K names of keypoints, for categories that list none
    (or a number of names that their annotations do not have) and whose annotations have K. They do not rename: a
    category that lists K names must list these, in this order. ``annotations`` serve to tell categories that are used
    from others, and to count keypoints that have no names.
    """
    entries = [
        _listed(entry) for entry in _items(categories) if isinstance(entry, dict) and is_whole_number(entry.get("id"))
    ]
    if choice is not None and choice.category is not None:
        chosen = _chosen(entries, choice.category)
        if not chosen:
            return FoundCategories({}, fault=_unknown(entries, choice.category))
        entries = chosen
    if choice is None or choice.keypoints is None:
        return _find_people(entries, annotations) or _find_objects(entries, annotations)
    named = _with_given_names(entries, annotations, choice.keypoints)
    found = _find_people(named, annotations) or _find_objects(named, annotations)
    fault = _names_fault(entries, found, choice.keypoints)
    return replace(found, fault=f"{choice.file}: keypoints: {fault}") if fault else found


def find_in(document: dict[str, Any], choice: "SkeletonChoice | None" = None) -> FoundCategories:
    """Find the categories to read in a document that may be malformed, see ``find_categories``."""
    return find_categories(document.get("categories"), document.get("annotations"), choice)


def category_ids_read(document: dict[str, Any], choice: "SkeletonChoice | None" = None) -> set[int]:
    """Return the ids of the categories that are read, of a document that may be malformed."""
    return find_in(document, choice).ids


def _chosen(entries: list[_Listed], category: str) -> list[_Listed]:
    wanted = plain_name(category)
    named = [each for each in entries if isinstance(name := each.entry.get("name"), str) and plain_name(name) == wanted]
    return named or [each for each in entries if each.id == as_whole_number(category)]


def _unknown(entries: list[_Listed], category: str) -> str:
    names = [name for each in entries if isinstance(name := each.entry.get("name"), str)]
    listed = _listing([f"`{_printable(each.entry.get('name'))}` (id {each.id})" for each in entries])
    return f"there is no category {_printable(category)!r}.{did_you_mean(category, names)} There {listed}."


# --- COCO's people --------------------------------------------------------------------------------------------------


def _find_people(entries: list[_Listed], annotations: Any) -> FoundCategories | None:
    """Return the categories of people with COCO's keypoints; None if there are none."""
    orders: dict[int, tuple[int, ...] | None] = {}
    listed: list[_Listed] = []
    others: list[_Listed] = []
    for each in entries:
        order = order_of(COCO_KEYPOINTS, each.names)
        if order is not None:
            orders[each.id] = order
            listed.append(each)
        elif each.names:
            others.append(each)
    bare = [each for each in entries if each.is_named_person and each.is_unnamed]
    if orders:
        if bare or others:
            bare_used = _used_ids(annotations, bare)
            bare = [each for each in bare if each.id in bare_used]
            if _labelled_counts(others, annotations) and not _labelled_counts([*listed, *bare], annotations):
                return None
    else:
        lengths = _lengths(bare, annotations)
        bare = [each for each in bare if _COCO_VALUES in lengths[each.id] or not lengths[each.id]]
        if not bare or (others and not any(lengths.values()) and not _used_ids(annotations, bare)):
            return None
        if _labelled_counts(others, annotations) and not _labelled_counts(bare, annotations):
            return None
    for each in bare:
        orders.setdefault(each.id, None)
    other_people = [each for each in others if each.is_named_person]
    used = _used_ids(annotations, other_people)
    rivals = [each for each in other_people if each.id in used]
    fault = ""
    if rivals:
        described = ", ".join(describe_category(each.entry) for each in rivals[:_SHOWN_CATEGORIES])
        fault = (
            f"there are people with other joints than COCO's: {described}. Choose with --category NAME (a name or an "
            "id), or give all the same keypoints."
        )
    pairs = listed[0].entry.get("skeleton") if listed and listed[0].names == COCO_KEYPOINTS else None
    differences = tuple(each.difference for each in listed if each.difference)
    return FoundCategories(orders, pairs=pairs, differences=differences, fault=fault)


# --- any keypoints --------------------------------------------------------------------------------------------------


def _find_objects(entries: list[_Listed], annotations: Any) -> FoundCategories:
    """Return the categories that share one list of keypoints, of any names."""
    named = [each for each in entries if each.names]
    unnamed = _with_numbered_names([each for each in entries if each.is_unnamed], annotations)
    by_names: dict[frozenset[str], list[_Listed]] = {}
    for each in (*named, *unnamed):
        by_names.setdefault(frozenset(_comparable(each.names)), []).append(each)
    groups = [*by_names.values()]
    if not groups:
        return FoundCategories({}, fault=_uncountable(entries, annotations))
    if len(groups) > 1:
        counts = _labelled_counts([*named, *unnamed], annotations)
        used = [members for members in groups if any(counts[each.id] for each in members)]
        if len(used) > 1:
            rivals = [each for members in used for each in members if counts[each.id]]
            described = [f"{_short(each)} in {_counted(counts[each.id], 'annotation')}" for each in rivals]
            return FoundCategories(
                {},
                fault=f"categories have different keypoints, and only one kind can be read at a time: there "
                f"{_listing(described)}. Choose with --category NAME (a name or an id).",
            )
        groups = used or groups
    members = groups[0]
    used_ids = _used_ids(annotations, members) if len(members) > 1 else set()
    members = sorted(members, key=lambda each: each.id not in used_ids)
    names = members[0].names
    orders = {each.id: None if each.is_numbered else order_of(names, each.names) for each in members}
    listed = [(each.entry["skeleton"], orders[each.id]) for each in members if each.entry.get("skeleton")]
    by_name = [named_pairs(pairs, as_listed(names, order)) for pairs, order in listed]
    in_order = not listed or listed[0][1] in (None, tuple(range(len(names))))
    return FoundCategories(
        orders,
        names,
        _name_of([each for each in members if each.id in used_ids] or members),
        pairs=None if not listed else listed[0][0] if in_order else by_name[0],
        pairs_differ=len({*map(_pairs_key, by_name)}) > 1,
        differences=tuple(each.difference for each in members if each.difference),
    )


def as_listed(names: Sequence[str], order: tuple[int, ...] | None) -> tuple[str, ...]:
    """Return keypoints in the order in which a category lists them; ``order``: see ``FoundCategories.orders``."""
    listed = [*names]
    for name, index in zip(names, order or range(len(names)), strict=True):
        listed[index] = name
    return tuple(listed)


def listed_names(category: dict[str, Any]) -> tuple[str, ...]:
    """Return the names in a category's `keypoints`, all different; none if it has no such list."""
    return _listed(category).names


def _pairs_key(pairs: Any) -> Any:
    """Return pairs of names without their order and directions, to compare them."""
    if not isinstance(pairs, list):
        return repr(pairs)
    return frozenset(repr(sorted(map(repr, pair)) if isinstance(pair, list) else pair) for pair in pairs)


def _with_numbered_names(unnamed: list[_Listed], annotations: Any) -> list[_Listed]:
    """Return those of some categories without names whose annotations have the same K keypoints, with K names."""
    lengths = _lengths(unnamed, annotations)
    counts = [(each, _points(lengths[each.id])) for each in unnamed]
    return [each._replace(names=numbered_names(count), is_numbered=True) for each, count in counts if count]


def _with_given_names(entries: list[_Listed], annotations: Any, names: tuple[str, ...]) -> list[_Listed]:
    """Return the categories, with these K names for those that do not list K names and whose annotations have K."""
    lengths = _lengths([each for each in entries if len(each.names) != len(names)], annotations)
    return [
        each._replace(names=names, difference="")
        if each.id in lengths and _points(lengths[each.id]) == len(names)
        else each
        for each in entries
    ]


def _names_fault(entries: list[_Listed], found: FoundCategories, names: tuple[str, ...]) -> str:
    """Say why given names do not fit the categories that are read; an empty text if they do.

    A file may list names in an order of its own, so that names by position would be wrong in the next one.
    """
    if not found.orders:
        return ""
    if len(names) != len(found.keypoints):
        return (
            f"names {len(names)}, but the annotations have {len(found.keypoints)} keypoints: name each, in the "
            "annotations' order."
        )
    for each in entries:
        is_listed = each.id in found.orders and len(each.names) == len(names)
        if is_listed and order_of(names, each.names) != found.in_order:
            return (
                f"names other points than the file, or in another order: {describe_category(each.entry)}. The field is "
                "for categories that list no names: remove it, or correct the category."
            )
    return ""


def _points(lengths: Counter[int]) -> int:
    """Return the number of points of most annotations, by their numbers of values; 0 if most have none in common."""
    ((length, count),) = lengths.most_common(1) or [(0, 0)]
    return length // 3 if length % 3 == 0 and 2 * count > lengths.total() else 0


def _uncountable(entries: list[_Listed], annotations: Any) -> str:
    """Say why the keypoints of categories without names cannot be counted; an empty text if none are annotated."""
    for each in entries:
        if not each.is_unnamed:
            names = _printable(each.entry["keypoints"])
            return f"{_short(each)} has `keypoints` that are no list of names: {names}. List a name for each."
        lengths = _lengths([each], annotations)[each.id]
        if lengths:
            length = lengths.most_common(1)[0][0]
            counts = ", ".join(map(str, sorted(lengths)[:_SHOWN_CATEGORIES]))
            what = points_fault(length) or f"there are annotations of {counts} numbers"
            return (
                f"{_short(each)} lists no names of `keypoints`, so that all its annotations must have as many, each "
                f"three numbers: {what}. List the names in its `keypoints`."
            )
    return ""


def points_fault(length: int) -> str:
    """Say how many points a number of values is, if it is no multiple of three: `133 numbers are 44 1/3 points`."""
    return f"{length} numbers are {length // 3} {length % 3}/3 points" if length % 3 and length > 3 else ""


def _name_of(members: list[_Listed]) -> str:
    """Return a name for the objects of some categories: that of the only one, else what they have in common."""
    for field in ("name", "supercategory"):
        names = {_printable(name) for each in members if isinstance(name := each.entry.get(field), str) and name}
        if len(names) == 1:
            return names.pop()
    return _OBJECT


# --- the entries ----------------------------------------------------------------------------------------------------


def _listed(entry: dict[str, Any]) -> _Listed:
    """Return a category with the names of its keypoints, all different, as far as its `keypoints` can be read."""
    keypoints, difference = entry.get("keypoints"), ""
    if keypoints == _COCO_LIST:
        return _Listed(entry, COCO_KEYPOINTS)
    if isinstance(keypoints, str) and "," in keypoints:
        keypoints, difference = [name.strip() for name in keypoints.split(",")], NAMES_AS_TEXT
    elif isinstance(keypoints, dict):
        numbers = [as_whole_number(key) for key in keypoints]
        if None not in numbers:
            keypoints = [name for _, name in sorted(zip(numbers, keypoints.values(), strict=True), key=_first)]
            difference = NAMES_AS_TEXT
    if not isinstance(keypoints, list) or not all(isinstance(name, str) or is_whole_number(name) for name in keypoints):
        return _Listed(entry, ())
    names = [
        name.encode(errors="backslashreplace").decode() or f"point_{number}"
        for number, name in enumerate(map(str, keypoints), start=1)
    ]
    if len({*names}) == len(names):
        return _Listed(entry, tuple(names), difference)
    return _Listed(entry, _unique(names), NAMES_REPEATED)


def _unique(names: list[str]) -> tuple[str, ...]:
    """Return names that are all different: the second `tail` becomes `tail_2`."""
    copies: Counter[str] = Counter()
    taken = {*names}
    unique = []
    for name in names:
        copies[name] += 1
        new = name
        while copies[name] > 1 and new in taken:
            new = f"{name}_{copies[name]}"
            copies[name] += new in taken
        taken.add(new)
        unique.append(new)
    return tuple(unique)


def _first(pair: tuple[Any, Any]) -> Any:
    return pair[0]


def _items(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _annotations_of(categories: Iterable[_Listed], annotations: Any) -> list[dict[str, Any]]:
    ids = {each.id for each in categories}
    return [
        annotation
        for annotation in (_items(annotations) if ids else ())
        if isinstance(annotation, dict)
        and is_whole_number(annotation.get("category_id"))
        and annotation["category_id"] in ids
    ]


def _used_ids(annotations: Any, categories: list[_Listed]) -> set[int]:
    """Return the ids of those of some categories that an annotation has."""
    return {annotation["category_id"] for annotation in _annotations_of(categories, annotations)}


def _labelled_counts(categories: list[_Listed], annotations: Any) -> Counter[int]:
    """Return category id -> number of annotations with a labelled keypoint."""
    of_them = _annotations_of(categories, annotations)
    return Counter(annotation["category_id"] for annotation in of_them if has_labelled_joint(annotation))


def _lengths(categories: list[_Listed], annotations: Any) -> dict[int, Counter[int]]:
    """Return category id -> how often annotations have how many numbers as `keypoints`, those without left out."""
    lengths = {each.id: Counter[int]() for each in categories}
    for annotation in _annotations_of(categories, annotations):
        if length := number_of_values(annotation.get("keypoints")):
            lengths[annotation["category_id"]][length] += 1
    return lengths


def number_of_values(keypoints: Any) -> int:
    """Return how many numbers a list of `keypoints` holds, those of lists in it included; 0 if it is no list."""
    return sum(len(each) if isinstance(each, list) else 1 for each in _items(keypoints))


def flat_keypoints(keypoints: Any) -> list[Any] | None:
    """Return the numbers of `keypoints`, which may be lists of x, y and visibility; None unless it is a list."""
    if not isinstance(keypoints, list):
        return None
    if keypoints and all(isinstance(each, list) and len(each) == 3 for each in keypoints):
        return [value for triple in keypoints for value in triple]
    return keypoints


def has_labelled_joint(annotation: dict[str, Any]) -> bool:
    """Return whether an annotation of any category has keypoints with at least one labelled joint."""
    keypoints = flat_keypoints(annotation.get("keypoints"))
    return keypoints is not None and any(type(v) in (int, float) and v > 0 for v in keypoints[2::3])


# --- faults ---------------------------------------------------------------------------------------------------------


def categories_fault(document: dict[str, Any], found: FoundCategories) -> str | None:
    """Return an error text that says why the categories are unusable and how to fix them; None if they are usable."""
    if found.fault and not found.orders:
        return found.fault
    if not found.orders:
        descriptions = [
            describe_category(category) for category in document["categories"] if isinstance(category, dict)
        ]
        return (
            f"no category has keypoints; there {_listing(descriptions)}. Needed: a category with the names of its "
            f"keypoints as `keypoints`; COCO's people have, in any order, {', '.join(COCO_KEYPOINTS)}."
        )
    for category_id in sorted(found.ids & conflicting_ids(document["categories"])):
        descriptions = [
            describe_category(c) for c in document["categories"] if isinstance(c, dict) and c.get("id") == category_id
        ]
        listed = ", ".join(descriptions[:_SHOWN_CATEGORIES])
        return f"`categories` lists the id {category_id} for different things: {listed}. Give each its own."
    if found.fault:
        return found.fault
    entries = [a for a in document["annotations"] if isinstance(a, dict) and is_whole_number(a.get("category_id"))]
    of_objects = [annotation for annotation in entries if annotation["category_id"] in found.orders]
    unlisted = Counter(annotation["category_id"] for annotation in entries) if not of_objects else Counter()
    for category_id in category_ids(document["categories"]):
        unlisted.pop(category_id, None)
    if unlisted:
        ((category_id, count),) = unlisted.most_common(1)
        wanted = " or ".join(map(str, sorted(found.orders)))
        of_what = "a category of people" if found.noun == _PERSON else "a category with keypoints"
        return (
            f"no annotation is of {of_what} (`category_id` {wanted}); {count} are of {category_id}, which "
            "`categories` does not list: correct it, or add that category."
        )
    unnamed = all(order is None for order in found.orders.values())
    if unnamed and of_objects and not any(annotation.get("keypoints") for annotation in of_objects):
        return (
            f"no annotation of `{found.name}` has `keypoints`: the file holds boxes and masks alone, as COCO's "
            f"instances files do. Needed: `keypoints` in its annotations, and their names in its category."
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


def _listing(descriptions: list[str]) -> str:
    """Return `are a, b and 3 more`, or `is none at all`."""
    more = f" and {len(descriptions) - _SHOWN_CATEGORIES} more" if len(descriptions) > _SHOWN_CATEGORIES else ""
    return f"are {', '.join(descriptions[:_SHOWN_CATEGORIES])}{more}" if descriptions else "is none at all"


def _short(category: _Listed) -> str:
    name = category.entry.get("name")
    shown = f"`{_printable(name)}`" if isinstance(name, str) else f"id {category.id}"
    return f"{shown} ({_counted(len(category.names), 'keypoint')})" if category.names else shown


def _counted(count: int, noun: str) -> str:
    return f"{count} {noun}{'' if count == 1 else 's'}"


def _printable(value: Any) -> str:
    text = value if isinstance(value, str) else ascii(value)
    text = text.encode(errors="backslashreplace").decode()
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text[:_SHOWN_CHARACTERS])
