"""Count by kind the corrections made while reading an annotation file, and describe them in notes.

A correction is called a difference here: something that is read differently than it is written in the file, such as a
missing box for which a box around the joints is used.
"""

from collections import Counter
from typing import NamedTuple

from posemodel.data.annotations.categories import NAMES_AS_TEXT, NAMES_REPEATED, FoundCategories
from posemodel.data.notes import Note
from posemodel.skeleton import COCO_KEYPOINTS

SHOWN = 5
"""Maximum number of examples in a note."""


class DifferenceKind(NamedTuple):
    """A kind of difference: ``one`` and ``many`` name it (singular, plural), ``handling`` says what is done about it.

    ``acts``: whether it changes what is learned or scored (see ``Note.acts``). In the texts `{one}` and `{many}` stand
    for person and people (or object and objects), `{whose}` for COCO's (or the first category's), `{points}` and
    `{values}` for the numbers of keypoints and of their values.
    """

    one: str
    many: str
    handling: str
    acts: bool = True


def _people(what: str, handling: str, *, acts: bool = True) -> DifferenceKind:
    return DifferenceKind(f"{{one}} {what}", f"{{many}} {what}", handling, acts)


def _joints(what: str, handling: str, *, acts: bool = True) -> DifferenceKind:
    return DifferenceKind(f"joint {what}", f"joints {what}", handling, acts)


_NO_WHOLE = "text, or with a decimal point"
BOX_STANDS_IN = "the box is used instead"

KINDS = {
    "reordered": _people("with joints in another order than {whose}", "put into {whose} order by their names"),
    "joints-unnamed": _people(
        "of a category without a list of `keypoints`", "their joints are read in COCO's order", acts=False
    ),
    "joints-numbered": _people(
        "of a category without a list of `keypoints`", "their joints are numbered as they are listed", acts=False
    ),
    NAMES_REPEATED: DifferenceKind(
        "category that lists a name in `keypoints` twice",
        "categories that list a name in `keypoints` twice",
        "the second one is called name_2",
        acts=False,
    ),
    NAMES_AS_TEXT: DifferenceKind(
        "category whose `keypoints` are no list of names",
        "categories whose `keypoints` are no list of names",
        "its names are read, in their order",
        acts=False,
    ),
    "other-category": DifferenceKind(
        "annotation with keypoints of a category that is not read",
        "annotations with keypoints of categories that are not read",
        "left out: what they show is taught as background",
        acts=False,
    ),
    "no-keypoints": _people("without `keypoints`", "ignored, like {many} without a labelled joint"),
    "keypoints-nested": _people("with `keypoints` as {points} lists", "read as one list of {values} numbers"),
    "joint-clipped": _joints("up to 1 pixel outside the image", "moved onto its border"),
    "joint-outside": _joints("more than 1 pixel outside the image", "taken as not labelled"),
    "joint-at-origin": _joints("labelled at exactly 0, 0", "taken as not labelled"),
    "joint-nowhere": _joints("not labelled and without coordinates", "read as 0, 0", acts=False),
    "visibility-3": _joints("of visibility 3", "taken as occluded, or at 0, 0 as not labelled"),
    "visibility-negative": _joints("of a visibility below 0", "taken as not labelled"),
    "visibility-true-false": _joints("of visibility true or false", "true is taken as visible, false as not labelled"),
    "num-keypoints-missing": _people("without `num_keypoints`", "their labelled joints are counted", acts=False),
    "num-keypoints-wrong": _people(
        "whose `num_keypoints` is not the number of their labelled joints", "these are counted", acts=False
    ),
    "num-keypoints-none": _people(
        "whose `num_keypoints` is 0 though joints are labelled, or the reverse", "these are counted, in scoring too"
    ),
    "mask-missing": _people("without a mask", BOX_STANDS_IN),
    "mask-flat-list": _people("whose mask is one flat list of numbers", "read as one polygon"),
    "mask-pairs": _people("whose mask has points as pairs", "read as polygons"),
    "mask-slivers": _people("whose mask has parts of fewer than 3 points", "these parts are left out"),
    "mask-swapped-sides": _people("whose mask has width and height swapped", BOX_STANDS_IN),
    "mask-broken": _people("whose mask cannot be read", BOX_STANDS_IN),
    "box-clipped": _people("whose box reaches outside the image", "cut off at its border"),
    "box-from-mask": _people("without a usable box", "the box around the mask is used"),
    "box-from-joints": _people("without a usable box", "the box around their joints is used", acts=False),
    "area-from-mask": _people("without a usable `area`", "their masks' area is used"),
    "area-from-box": _people("without a usable `area`", "their boxes' area x 0.53 is used"),
    "area-from-joints": _people("without a usable `area`", "the area of the box around their joints is used"),
    "iscrowd": DifferenceKind(
        "annotation", "annotations", "`iscrowd` is not the number 0 or 1: read as one of them", acts=False
    ),
    "ids": DifferenceKind("id", "ids", f"{_NO_WHOLE}: read as whole numbers", acts=False),
    "ids-as-words": DifferenceKind(
        "id", "ids", "text that is not a number: read as a number made from it, which results name", acts=False
    ),
    "image-sides": DifferenceKind(
        "width or height of an image", "widths or heights of images", f"{_NO_WHOLE}: read as whole numbers", acts=False
    ),
    "annotation-ids": DifferenceKind("annotation", "annotations", "without an id of its own: renumbered", acts=False),
    "annotation-copies": DifferenceKind("annotation", "annotations", "a copy of another one: taken once"),
    "image-copies": DifferenceKind("image entry", "image entries", "a copy of another one: taken once"),
}


class DifferenceCounts:
    """Counts differences by kind while a file is read."""

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()
        self._examples: dict[str, list[str]] = {}

    def add(self, kind: str, example: str = "", *, count: int = 1) -> None:
        """Count a difference; the first few examples are shown in the note."""
        self._counts[kind] += count
        if example:
            shown = self._examples.setdefault(kind, [])
            if len(shown) < SHOWN:
                shown.append(example)

    def join(self, other: "DifferenceCounts") -> None:
        """Add the counts and examples of another ``DifferenceCounts``."""
        for kind, count in other._counts.items():
            self.add(kind, count=count)

    def notes(self, file: str, found: FoundCategories) -> tuple[Note, ...]:
        """Return a note for each kind that occurred, in the order of ``KINDS``."""
        of_people = found.noun == "person"
        words = {
            "one": found.noun,
            "many": "people" if of_people else "objects",
            "whose": "COCO's" if found.keypoints == COCO_KEYPOINTS else "the first category's",
            "points": str(len(found.keypoints)),
            "values": str(found.values),
        }
        return tuple(
            Note(file, kind, count, self._text(kind, count, words), acts=KINDS[kind].acts)
            for kind in KINDS
            if (count := self._counts[kind])
        )

    def _text(self, kind: str, count: int, words: dict[str, str]) -> str:
        entry, examples = KINDS[kind], self._examples.get(kind, [])
        more = f"; and {count - len(examples)} more" if len(examples) == SHOWN and count > SHOWN else ""
        listed = f" ({'; '.join(examples)}{more})" if examples else ""
        return f"{count} {entry.one if count == 1 else entry.many}: {entry.handling}".format(**words) + listed
