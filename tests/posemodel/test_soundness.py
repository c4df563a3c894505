"""The check in bulk (`soundness`) and the one entry by entry (`reading`, `problems`) hold the same rules.

Every rule has changes here that break it, and some that just keep it. A rule that one of the two checks lacks, or a
message or a kind of note without a change, fails these tests.
"""

import ast
import copy
import inspect
import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pycocotools import mask as coco_mask

from posemodel.data.annotations import categories, problems, segmentation
from posemodel.data.annotations.differences import KINDS
from posemodel.data.annotations.problems import annotation_problems
from posemodel.data.annotations.reading import read_entry_by_entry
from posemodel.data.annotations.skeletons import SkeletonChoice
from posemodel.data.annotations.soundness import proven_sound
from posemodel.skeleton import COCO_KEYPOINTS
from tests.support.coco_builder import rectangle, standing_keypoints
from tests.support.examples import few
from tests.support.long_tests import long

FILE = Path("x.json")
WIDTH, HEIGHT = 80, 64
PEOPLE = 4
"""Annotations 1 to 4 of ``base``: labelled, labelled with run lengths, unlabelled, crowd. Annotation 5 is no person."""

Document = dict[str, Any]
Change = Callable[[Document, int], object]
"""Changes a document in place; the number chooses the image or annotation."""


# --- documents ------------------------------------------------------------------------------------------------------


def person(number: int, image_id: int, keypoints: list[float], box: tuple[float, ...], **changes: Any) -> Document:
    return {
        "id": number,
        "image_id": image_id,
        "category_id": 1,
        "iscrowd": 0,
        "num_keypoints": sum(v > 0 for v in keypoints[2::3]),
        "keypoints": keypoints,
        "bbox": list(box),
        "area": box[2] * box[3],
        "segmentation": [rectangle(*box)],
    } | changes


def image_entry(image_id: int, width: int, height: int) -> Document:
    return {"id": image_id, "file_name": f"folder/{image_id}.jpg", "width": width, "height": height}


def person_category(number: int = 1) -> Document:
    return {"id": number, "name": "person", "keypoints": list(COCO_KEYPOINTS)}


def runs(width: int, height: int, *, compressed: bool = False) -> Document:
    """All pixels of an image as run lengths."""
    rle = {"size": [height, width], "counts": [0, width * height]}
    if compressed:
        rle["counts"] = coco_mask.frPyObjects(rle, height, width)["counts"].decode()
    return rle


def base() -> Document:
    """A sound document with everything that COCO's files have."""
    box = (2.0, 2.0, 40.0, 50.0)
    return {
        "images": [image_entry(1, WIDTH, HEIGHT), image_entry(2, WIDTH, HEIGHT), image_entry(3, 16, 16)],
        "annotations": [
            person(1, 1, standing_keypoints(*box), box),
            person(2, 2, standing_keypoints(*box), box, segmentation=runs(WIDTH, HEIGHT, compressed=True)),
            person(3, 1, [0] * 51, (50, 10, 20, 40)),
            person(4, 2, [0] * 51, box, iscrowd=1, segmentation=runs(WIDTH, HEIGHT)),
            {"id": 5, "image_id": 2, "category_id": 3},
        ],
        "categories": [person_category(), {"id": 3, "name": "dog"}],
    }


ANIMAL = ["nose", "withers", "tail", "left_paw", "right_paw"]


def animals() -> Document:
    """The same with the first five joints, those of an animal; the category of annotation 2 lists the same names."""
    document = base()
    for entry in document["annotations"]:
        if "keypoints" in entry:
            entry["keypoints"] = entry["keypoints"][:15]
            entry["num_keypoints"] = sum(v > 0 for v in entry["keypoints"][2::3])
    document["categories"] = [
        {"id": 1, "name": "horse", "keypoints": ANIMAL},
        {"id": 3, "name": "person"},
        {"id": 4, "name": "cow", "keypoints": [name.title() for name in ANIMAL]},
    ]
    document["annotations"][1]["category_id"] = 4
    return document


@st.composite
def sound_documents(draw: st.DrawFn) -> Document:
    """Documents without a fault: images of many sizes, people with some joints labelled, crowds, other categories."""
    images = [
        image_entry(image_id, draw(st.integers(8, 90)), draw(st.integers(8, 90)))
        for image_id in draw(st.lists(st.integers(-5, 2**63 - 1), min_size=1, max_size=3, unique=True))
    ]
    annotations: list[Document] = []
    for number in range(draw(st.integers(0, 6))):
        entry = draw(st.sampled_from(images))
        width, height = entry["width"], entry["height"]
        box = (draw(st.integers(0, width - 6)), draw(st.integers(0, height - 6)), 6, 6)
        visibilities = draw(st.lists(st.sampled_from([0, 1, 2]), min_size=17, max_size=17))
        joints = [
            value for v in visibilities for value in ((box[0] + 3 + number / 7, box[1] + 3, v) if v else (0, 0, 0))
        ]
        mask = draw(st.sampled_from(["polygons", "runs", "string"]))
        changes: Document = {"iscrowd": draw(st.sampled_from([0, 0, 0, 1]))}
        if mask != "polygons":
            changes["segmentation"] = runs(width, height, compressed=mask == "string")
        if draw(st.booleans()) and not any(visibilities):
            changes["category_id"] = 3
        annotations.append(person(number + 1, entry["id"], joints, box, **changes))
    return {"images": images, "annotations": annotations, "categories": [person_category(), {"id": 3, "name": "dog"}]}


# --- changes --------------------------------------------------------------------------------------------------------


def set_image(**values: Any) -> Change:
    return lambda document, number: document["images"][number % len(document["images"])].update(values)


def annotation(document: Document, number: int) -> Document:
    entry: Document = document["annotations"][number % len(document["annotations"])]
    return entry


def set_annotation(**values: Any) -> Change:
    return lambda document, number: annotation(document, number).update(values)


def without(key: str) -> Change:
    return lambda document, number: annotation(document, number).pop(key, None)


def set_list(key: str, value: Any) -> Change:
    return lambda document, _: document.update({key: value})


def append(key: str, value: Any) -> Change:
    return lambda document, _: document[key].append(copy.deepcopy(value))


def set_category(**values: Any) -> Change:
    return lambda document, _: document["categories"][0].update(values)


def rename_image(image_id: Any) -> Change:
    """Another id of an image, in its annotations too."""

    def change(document: Document, number: int) -> None:
        entry = document["images"][number % len(document["images"])]
        for each in document["annotations"]:
            if isinstance(each, dict) and each.get("image_id") == entry.get("id"):
                each["image_id"] = image_id
        entry["id"] = image_id

    return change


def rename_category(category_id: Any) -> Change:
    def change(document: Document, _: int) -> None:
        for each in document["annotations"]:
            if isinstance(each, dict) and each.get("category_id") == 1:
                each["category_id"] = category_id
        document["categories"][0]["id"] = category_id

    return change


def set_joints(*values: Any) -> Change:
    """Other numbers at the beginning of the keypoints; `num_keypoints` and the area stay in keeping."""

    def change(document: Document, number: int) -> None:
        entry = annotation(document, number)
        names = document["categories"][0].get("keypoints") if document["categories"] else None
        entry["keypoints"] = [*values, *[0] * (3 * (5 if names == ANIMAL else 17) - len(values))]
        entry["num_keypoints"] = sum(isinstance(v, int | float) and v > 0 for v in values[2::3])

    return change


def repeat_image(**changes: Any) -> Change:
    return lambda document, number: document["images"].append(
        document["images"][number % len(document["images"])] | changes
    )


def repeat_annotation(**changes: Any) -> Change:
    return lambda document, number: document["annotations"].append(annotation(document, number) | changes)


def spill(key: str, count: int) -> Change:
    """The next person's first numbers stand in somebody's list: one behind the other they are as they should be."""

    def change(document: Document, _: int) -> None:
        first, second = document["annotations"][2:4]
        first[key], second[key] = [*first[key], *second[key][:count]], second[key][count:]

    return change


def shuffled_joints(document: Document, _: int) -> None:
    document["categories"][0]["keypoints"].reverse()


def together(*changes: Change) -> Change:
    def change(document: Document, number: int) -> None:
        for each in changes:
            each(document, number)

    return change


def located_by(box: Any, mask: Any, **changes: Any) -> Change:
    """An unlabelled person with this box and mask."""
    return together(
        set_joints(), set_annotation(**{"bbox": box, "segmentation": mask, "iscrowd": 0, "area": 9} | changes)
    )


POLYGON = rectangle(5, 5, 20, 20)
NUMBERS = (-1, 0, 1, 2, 0.5, 1.0, -0.5, math.nan, math.inf, 1e39, 10**400, "1", "x", None, True, [], {})
JOINTS = tuple((x, 5, 2) for x in (-1.001, -1, -0.001, 0, WIDTH, WIDTH + 0.001, WIDTH + 1, WIDTH + 1.001, *NUMBERS))
SEGMENTATIONS = (
    *(None, [], [[]], "x", 5, {}, [POLYGON, []], [POLYGON[:-1]], [POLYGON[:4]], [POLYGON[:6]], POLYGON, [POLYGON, 5]),
    *(
        [POLYGON, POLYGON[:2]],
        [POLYGON[:7], POLYGON[:7]],
        [[POLYGON[i : i + 2] for i in (0, 2, 4)]],
        [POLYGON[i : i + 2] for i in (0, 2, 4)],
    ),
    *([[x, 5, 9, 5, 9, 9]] for x in (-WIDTH, -WIDTH - 0.001, 2 * WIDTH, 2 * WIDTH + 0.001, *NUMBERS)),
    *([[5, y, 9, 5, 9, 9]] for y in (-HEIGHT, -HEIGHT - 0.001, 2 * HEIGHT, 2 * HEIGHT + 0.001)),
    *([[0, 0, far, 0, 0.5, 0.5]] for far in (1, 1.001)),
    *([POLYGON, [low, 0, 1, 0, 0.5, 0.5]] for low in (0, -0.001)),
    *({"size": size, "counts": [WIDTH * HEIGHT]} for size in ([HEIGHT, WIDTH], [WIDTH, HEIGHT], [1, 1], None)),
    *({"size": [HEIGHT, WIDTH], "counts": counts} for counts in ([1], [-1, WIDTH * HEIGHT + 1], "o", "\n", None, 5)),
    *({"size": [HEIGHT, WIDTH], "counts": [each]} for each in (float(WIDTH * HEIGHT), True)),
)
BOXES = (
    *([x, 5, 10, 10] for x in (-1, -1.001, WIDTH - 9, WIDTH - 8.999, 2 * WIDTH, *NUMBERS)),
    *([5, y, 10, 10] for y in (-1, -1.001, HEIGHT - 9, HEIGHT - 8.999)),
    *([5, 5, width, 10] for width in NUMBERS),
    *([0, 0, 1, side] for side in (1, 1.001, 0)),
    *([0, 0.2, 0.5, 0.5], [-0.001, 0.2, 0.5, 0.5], [1, 2, 3], [1, 2, 3, 4, 5], None, "x", []),
)

CHANGES: dict[str, list[Change]] = {
    "lists": [
        *(set_list(key, value) for key in ("images", "annotations", "categories") for value in (None, {}, [], [5])),
        together(set_list("images", []), set_list("annotations", [])),
        together(set_list("annotations", []), set_list("categories", [])),
    ],
    "image ids": [rename_image(value) for value in (*NUMBERS, 2**63 - 1, 2**63, -(2**63), " 7", "frame")],
    "image entries": [
        append("images", 5),
        repeat_image(),
        repeat_image(file_name="other.jpg"),
        repeat_image(license=4),
    ],
    "file names": [
        set_image(file_name=name)
        for name in (None, "", 5, "/x", "../x", "a/../b", "a\0b", "\ud800", "é.jpg", "a/b.jpg")
    ],
    "image sides": [
        set_image(**{side: value}) for side in ("width", "height") for value in (*NUMBERS, 2**31 - 1, 2**31, "80")
    ],
    "person category": [
        shuffled_joints,
        *(set_category(keypoints=names) for names in (None, [], ["nose"], [*COCO_KEYPOINTS[:-1], "tail"], [5] * 17)),
        set_category(keypoints=[name.upper().replace("_", "-") for name in COCO_KEYPOINTS]),
        set_category(name="human"),
        append("categories", person_category(2)),
        append("categories", {"id": 3, "name": "person", "keypoints": ["nose"]}),
        append("categories", {"id": 4, "name": "person", "keypoints": ["nose"]}),
        append("categories", {"id": 3, "name": "person"}),
        append("categories", {"id": 1, "name": "person"}),
        append("categories", person_category() | {"name": "human"}),
        append("categories", person_category()),
        *(append("categories", value) for value in (5, {})),
        *(append("categories", {"id": value, "name": "cat"}) for value in ("x", "7", 3.0, True, 2**63, None)),
        together(set_category(keypoints=None), lambda document, _: unlabel_all(document)),
        *(set_category(keypoints=", ".join(names)) for names in (COCO_KEYPOINTS, ANIMAL)),
        *(set_category(keypoints=dict(enumerate(names))) for names in (COCO_KEYPOINTS, ANIMAL)),
        set_category(keypoints=["a", "b", "a", "", "c"]),
        together(set_category(name="horse", keypoints=[]), lambda document, _: document["categories"].pop()),
        together(set_category(name="horse", keypoints=[]), set_annotation(keypoints=[0] * 14)),
        together(set_category(name="horse", keypoints=[]), lambda document, _: cut_all(document, 44)),
        together(set_category(name="horse", keypoints=[]), lambda document, _: unlabel_all(document)),
        together(set_category(keypoints=["nose", None]), lambda document, _: document["categories"].pop()),
        together(
            set_list("categories", [{"id": 1, "keypoints": ANIMAL}, {"id": 4, "name": "cow", "keypoints": ["tail"]}]),
            set_annotation(category_id=4, keypoints=[5, 5, 2]),
        ),
        set_list("categories", [{"id": 1, "name": "table"}, {"id": 4, "name": "chair", "keypoints": []}, {"id": 3}]),
        together(
            set_list("categories", [{"id": 1, "name": "table"}, {"id": 4, "name": "chair", "keypoints": []}]),
            lambda document, _: unlabel_all(document),
        ),
    ],
    "category ids": [rename_category(value) for value in (*NUMBERS, 2**63, "person")],
    "annotations": [append("annotations", 5), repeat_annotation(), repeat_annotation(id=9), repeat_annotation(area=7)],
    "annotation ids": [without("id"), *(set_annotation(id=value) for value in (*NUMBERS, 2**63, -(2**63)))],
    "annotated images": [without("image_id"), *(set_annotation(image_id=value) for value in (*NUMBERS, 99, 2**63))],
    "categories of annotations": [
        without("category_id"),
        *(set_annotation(category_id=value) for value in (*NUMBERS, 3, 99, 2**63)),
        lambda document, _: [each.update(category_id=99) for each in document["annotations"] if isinstance(each, dict)],
        set_list("annotations", [{"id": 1, "image_id": 1, "category_id": 99}]),
    ],
    "crowds": [without("iscrowd"), *(set_annotation(iscrowd=value) for value in (*NUMBERS, "yes", "perhaps"))],
    "declared joints": [
        without("num_keypoints"),
        *(set_annotation(num_keypoints=value) for value in (*NUMBERS, 17, 17.0)),
    ],
    "keypoints": [
        without("keypoints"),
        *(set_annotation(keypoints=value) for value in (None, [], "x", 5, [0] * 48, [[0, 0, 0]] * 17, [None] * 51)),
        *(set_annotation(keypoints=value) for value in ([0] * 16, [[0, 0, 0]] * 5, [0] * 10, [0] * 34, [[0, 0]] * 17)),
        *(set_annotation(keypoints=value) for value in ([[0] * 51], [[0] * 15], [[0, 0, 0, 0]] * 4, [None] * 15)),
        *(set_joints(*joint) for joint in JOINTS),
        *(set_joints(5, y, 1) for _, y, _ in ((0, y, 0) for y in (-0.001, HEIGHT, HEIGHT + 0.001, HEIGHT + 2))),
        *(set_joints(5, 5, v) for v in (*NUMBERS, 3, 2.0, 2.5)),
        *(set_joints(0, 0, v) for v in (0, 1, 2, 3, -1)),
        *(set_joints(x, y, 0) for x, y in ((-5, 5), (1e9, 0), (None, None), (math.nan, math.nan), ("x", 5))),
        set_joints(None, None, None),
        spill("keypoints", 3),
    ],
    "joints in fractions": [
        set_joints(*[0.5, 0.5, 2] * count, *last) for count in (2, 3) for last in ((), (1, 1, 1), (1.001, 1, 1))
    ],
    "boxes": [
        spill("bbox", 1),
        *(
            change
            for box in BOXES
            for change in (set_annotation(bbox=box), located_by(box, None), located_by(box, [POLYGON]))
        ),
    ],
    "areas": [
        without("area"),
        *(set_annotation(area=value) for value in (*NUMBERS, 1.001)),
        *(together(set_joints(5, 5, 2, 5 + apart, 5, 2), set_annotation(area=1)) for apart in (20, 20.001)),
        *(together(set_joints(5, 5, 2), set_annotation(area=value)) for value in NUMBERS),
        *(located_by(None, None, area=value) for value in NUMBERS),
    ],
    "masks": [
        change
        for mask in SEGMENTATIONS
        for change in (set_annotation(segmentation=mask), located_by(None, mask), located_by([2, 2, 9, 9], mask))
    ],
    "stand-ins": [
        together(without("segmentation"), without("area")),
        together(without("segmentation"), without("bbox")),
        together(without("segmentation"), without("bbox"), without("area")),
    ],
}
"""By rule: changes that break it, and changes that just do not."""


def unlabel_all(document: Document) -> None:
    for entry in document["annotations"]:
        entry.pop("keypoints", None)


def cut_all(document: Document, length: int) -> None:
    for entry in document["annotations"]:
        if isinstance(entry, dict) and isinstance(entry.get("keypoints"), list):
            entry["keypoints"] = [*entry["keypoints"], *[0] * 30][:length]


def changed(document: Document, changes: list[tuple[Change, int]]) -> Document:
    document = copy.deepcopy(document)
    for change, number in changes:
        change(document, number)
    return document


def read_plainly(document: Document, *, segments: bool) -> bool:
    """Whether a document is in COCO's form as it stands and has no problem, entry by entry."""
    result = read_entry_by_entry(document, FILE, segments=segments)
    return not result.notes and not result.problems


# --- the tests ------------------------------------------------------------------------------------------------------


def every_changed_document() -> Iterator[tuple[str, Document]]:
    for rule, changes in CHANGES.items():
        for position, change in enumerate(changes):
            for document in (base(), animals()):
                yield f"{rule} {position}", changed(document, [(change, 0)])


def test_the_unchanged_document_is_sound() -> None:
    for document in (base(), animals()):
        assert proven_sound(document)
        assert read_plainly(document, segments=True)


@pytest.mark.parametrize("start", [base, long(animals)])
@pytest.mark.parametrize("segments", [True, long(False)])
@pytest.mark.parametrize("rule", CHANGES)
def test_every_change_is_sound_in_bulk_where_it_is_entry_by_entry(
    rule: str, segments: bool, start: Callable[[], Document]
) -> None:
    answers = set()
    for position, change in enumerate(CHANGES[rule]):
        for number in range(PEOPLE):
            document = changed(start(), [(change, number)])
            sound = proven_sound(document, segments=segments)
            assert sound == read_plainly(document, segments=segments), (rule, position, number)
            if sound:
                assert annotation_problems(document, FILE, segments=segments) == []
            answers.add(sound)
    assert False in answers, "no change breaks the rule"


@settings(few(100, of=300), suppress_health_check=[HealthCheck.too_slow])
@given(
    document=sound_documents(),
    changes=st.lists(
        st.tuples(st.sampled_from([change for changes in CHANGES.values() for change in changes]), st.integers(0, 9)),
        max_size=3,
    ),
    segments=st.booleans(),
)
def test_soundness_and_problems_agree(document: Document, changes: list[tuple[Change, int]], segments: bool) -> None:
    if not changes:
        assert proven_sound(document, segments=segments)
    try:
        document = changed(document, changes)
    except (ZeroDivisionError, KeyError, TypeError, AttributeError, IndexError, ValueError):
        return  # an earlier change has taken away what the next one changes
    assert proven_sound(document, segments=segments) == read_plainly(document, segments=segments)


# --- nothing is forgotten above -------------------------------------------------------------------------------------


def messages_of(function: Callable[..., object]) -> set[str]:
    """The longest fixed part of each message that a function yields, returns or puts into a problem."""
    parts = set()
    for node in ast.walk(ast.parse(inspect.getsource(function))):
        if isinstance(node, ast.Yield | ast.Return | ast.Assign) and node.value is not None:
            values = node.value.args if isinstance(node.value, ast.Call) else [node.value]
            for value in values:
                texts = value.values if isinstance(value, ast.JoinedStr) else [value]
                fixed = [each.value for each in texts if isinstance(each, ast.Constant) and isinstance(each.value, str)]
                parts |= {max(fixed, key=len)} if fixed else set()
    return {part for part in parts if " " in part.strip()}


SPOKEN_BY = (
    *(problems.annotation_problems, problems._document_problems, problems.image_faults, problems._person_faults),
    *(categories._uncountable, categories._unknown, categories._find_people, categories._find_objects),
    *(
        problems._length_fault,
        problems._box_fault,
        segmentation.segmentation_faults,
        segmentation._rle_faults,
        categories.categories_fault,
    ),
)


def test_every_message_and_every_note_is_met() -> None:
    messages, kinds = set(), set()
    for _, document in every_changed_document():
        for choice in (None, SkeletonChoice(category="animal", keypoints=None, digest="x")):
            result = read_entry_by_entry(document, FILE, choice=choice)
            messages |= {problem.problem for problem in (*result.problems, *annotation_problems(document, FILE))}
            kinds |= {note.kind for note in result.notes}
    expected = {part for function in SPOKEN_BY for part in messages_of(function)}
    assert len(expected) >= 28
    assert {part for part in expected if not any(part in message for message in messages)} == set()
    assert kinds == {*KINDS}
