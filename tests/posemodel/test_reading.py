"""Annotations as tools write them: read as COCO would have them, with the right values, and each difference told."""

import copy
import json
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pycocotools import mask as coco_mask

from posemodel.data import index_cache
from posemodel.data import open_split as split_opening
from posemodel.data.annotations.differences import KINDS
from posemodel.data.annotations.reading import Reading, read, read_entry_by_entry
from posemodel.data.annotations.soundness import proven_sound
from posemodel.data.check import check
from posemodel.data.notes import Note, as_metrics, digest_entries, distinct, from_bytes, to_bytes
from posemodel.data.open_split import collect_notes, open_split
from posemodel.data.packed_split import PackedSplit
from posemodel.errors import DataError
from posemodel.scoring.results_file import score_file
from posemodel.skeleton import COCO_KEYPOINTS
from tests.support.coco_builder import CocoBuilder, rectangle

WIDTH, HEIGHT = 80, 64
IMAGE, OTHER = 7, 8
PERSON, UNLABELLED, SECOND = 1, 2, 3
BOX = [2, 2, 40, 50]
Change = Callable[[dict[str, Any]], object]


@pytest.fixture
def valid(coco_builder: CocoBuilder) -> CocoBuilder:
    """Image 7 with a person (annotation 1) and somebody unlabelled (2), image 8 with a person (3)."""
    coco_builder.image("train", IMAGE)
    coco_builder.image("train", OTHER)
    coco_builder.person("train", IMAGE, box=(2, 2, 40, 50))
    coco_builder.unlabelled("train", IMAGE, box=(50, 10, 20, 40))
    coco_builder.person("train", OTHER)
    return coco_builder


def people(builder: CocoBuilder) -> list[dict[str, Any]]:
    return builder.split("train")["annotations"]


def kinds(notes: Any) -> dict[str, int]:
    return {note.kind: note.count for note in notes}


def person(number: int, **changes: Any) -> Change:
    return lambda document: document["annotations"][number - 1].update(changes)


def keypoint(place: int, *values: Any) -> Change:
    """Other numbers from a place on in the first person's keypoints."""

    def change(document: dict[str, Any]) -> None:
        document["annotations"][0]["keypoints"][place : place + len(values)] = values

    return change


def every(*changes: Change) -> Change:
    return lambda document: [change(document) for change in changes]


def image(**changes: Any) -> Change:
    return lambda document: document["images"][0].update(changes)


def without(number: int, *keys: str) -> Change:
    return lambda document: [document["annotations"][number - 1].pop(key) for key in keys]


def as_text(document: dict[str, Any]) -> None:
    for entry in document["images"]:
        entry["id"] = str(entry["id"])
    for annotation in document["annotations"]:
        annotation |= {key: f" {annotation[key]}" for key in ("id", "image_id", "category_id")}
    document["categories"][0]["id"] = "1"


def as_float(document: dict[str, Any]) -> None:
    for entry in document["images"]:
        entry |= {key: float(entry[key]) for key in ("id", "width", "height")}
    for annotation in document["annotations"]:
        annotation |= {key: float(annotation[key]) for key in ("id", "image_id", "category_id")}


def as_words(document: dict[str, Any]) -> None:
    for annotation in document["annotations"]:
        annotation |= {"image_id": f"frame {annotation['image_id']}", "category_id": "person"}
    for entry in document["images"]:
        entry["id"] = f"frame {entry['id']}"
    document["categories"][0]["id"] = "person"


def copied(document: dict[str, Any]) -> None:
    document["annotations"].insert(1, copy.deepcopy(document["annotations"][0]))


def reordered(document: dict[str, Any], order: list[int], names: list[str] | None = None) -> None:
    """Joint `order[i]` of COCO's becomes the i-th."""
    category = document["categories"][0]
    category["keypoints"] = names or [COCO_KEYPOINTS[i] for i in order]
    for annotation in document["annotations"]:
        flat = annotation["keypoints"]
        annotation["keypoints"] = [value for i in order for value in flat[3 * i : 3 * i + 3]]


SORTED = sorted(range(17), key=lambda place: COCO_KEYPOINTS[place])


# --- what changes nothing but is told ---------------------------------------------------------------------------------

SAME_ARRAYS: dict[str, tuple[Change, dict[str, int]]] = {
    "ids as text": (as_text, {"ids": 2 + 9 + 1}),
    "ids and sides as float": (as_float, {"ids": 2 + 9, "image-sides": 4}),
    "sides as text": (image(width="80", height=" 64 "), {"image-sides": 2}),
    "no annotation id": (without(3, "id"), {"annotation-ids": 1}),
    "annotation ids of another kind": (every(person(1, id="a3f0-77"), person(3, id=[1])), {"annotation-ids": 2}),
    "an annotation id twice": (person(3, id=1), {"annotation-ids": 1}),
    "id of another category twice": (
        lambda document: document["annotations"].append({"id": 1, "image_id": IMAGE, "category_id": 5}),
        {"annotation-ids": 1},
    ),
    "an annotation twice": (copied, {"annotation-copies": 1}),
    "an image entry twice": (
        lambda document: document["images"].append(document["images"][0] | {"license": 4}),
        {"image-copies": 1},
    ),
    "crowd true and false": (every(person(1, iscrowd=False), person(3, iscrowd=0.0)), {"iscrowd": 2}),
    "crowd as text and null": (every(person(1, iscrowd="0"), person(2, iscrowd=None)), {"iscrowd": 2}),
    "no crowd": (without(1, "iscrowd"), {}),
    "no num_keypoints": (
        every(*(without(number, "num_keypoints") for number in (1, 2, 3))),
        {"num-keypoints-missing": 3},
    ),
    "another num_keypoints": (person(1, num_keypoints=3), {"num-keypoints-wrong": 1}),
    "num_keypoints of a labelled person 0": (person(1, num_keypoints=0), {"num-keypoints-none": 1}),
    "num_keypoints of an unlabelled person": (person(2, num_keypoints=5), {"num-keypoints-none": 1}),
    "visibility as float": (keypoint(2, 2.0), {}),
    "names in other spelling": (
        lambda document: document["categories"][0].update(
            keypoints=[name.replace("_", " -").title() for name in COCO_KEYPOINTS]
        ),
        {},
    ),
    "another name of the category": (lambda document: document["categories"][0].update(name="human"), {}),
    "no name of the category": (lambda document: document["categories"][0].pop("name"), {}),
    "no skeleton": (lambda document: document["categories"][0].pop("skeleton"), {}),
    "no names of joints": (lambda document: document["categories"][0].pop("keypoints"), {"joints-unnamed": 3}),
    "no names in another case": (
        lambda document: document["categories"][0].update(name=" Person", keypoints=[]),
        {"joints-unnamed": 3},
    ),
    "joints in another order": (lambda document: reordered(document, SORTED), {"reordered": 3}),
    "joints in another order and spelling": (
        lambda document: reordered(document, SORTED, [COCO_KEYPOINTS[i].replace("_", "-").upper() for i in SORTED]),
        {"reordered": 3},
    ),
    "names as text": (
        lambda document: document["categories"][0].update(keypoints=", ".join(COCO_KEYPOINTS)),
        {"keypoint-names-as-text": 1},
    ),
    "names by number": (
        lambda document: document["categories"][0].update(
            keypoints={str(17 - place): name for place, name in enumerate(reversed(COCO_KEYPOINTS))}
        ),
        {"keypoint-names-as-text": 1},
    ),
    "joints in lists of three": (
        lambda document: document["annotations"][0].update(
            keypoints=np.reshape(document["annotations"][0]["keypoints"], (17, 3)).tolist()
        ),
        {"keypoints-nested": 1},
    ),
    "a flat list as mask": (person(2, segmentation=rectangle(50, 10, 20, 40)), {"mask-flat-list": 1}),
    "a mask of pairs": (
        person(2, segmentation=[[[50, 10], [70, 10], [70, 50], [50, 50]]]),
        {"mask-pairs": 1},
    ),
    "a mask that is one list of pairs": (
        person(2, segmentation=[[50, 10], [70, 10], [70, 50], [50, 50]]),
        {"mask-pairs": 1},
    ),
    "slivers in a mask": (
        person(2, segmentation=[[1, 1, 2, 2], rectangle(50, 10, 20, 40), []]),
        {"mask-slivers": 1},
    ),
    "no mask": (every(person(1, segmentation=[]), without(2, "segmentation")), {"mask-missing": 2}),
    "a mask null": (person(2, segmentation=None), {"mask-missing": 1}),
    "two corners as mask": (person(2, segmentation=[[50, 10, 70, 50]]), {"mask-broken": 1}),
    "a number lost in a mask": (person(2, segmentation=[rectangle(50, 10, 20, 40)[:-1]]), {"mask-broken": 1}),
    "width and height of a mask swapped": (
        person(2, segmentation={"size": [WIDTH, HEIGHT], "counts": [WIDTH * HEIGHT]}),
        {"mask-swapped-sides": 1},
    ),
    "no box": (without(2, "bbox"), {"box-from-mask": 1}),
    "a box of no size": (person(2, bbox=[0, 0, 0, 0]), {"box-from-mask": 1}),
    "a box of NaN": (person(2, bbox=[1, 2, math.nan, 4]), {"box-from-mask": 1}),
    "a negative box": (person(2, bbox=[70, 10, -20, 40]), {"box-from-mask": 1}),
    "a box as text": (person(2, bbox="50,10,20,40"), {"box-from-mask": 1}),
    "no area": (every(without(1, "area"), person(3, area=None)), {"area-from-mask": 2}),
    "an area of one pixel": (person(1, area=1), {"area-from-mask": 1}),
    "a box and a mask in fractions": (
        every(person(1, bbox=[0.1, 0.1, 0.5, 0.8]), person(2, segmentation=[[0.6, 0.1, 0.9, 0.1, 0.9, 0.8]])),
        {"box-from-mask": 1, "mask-broken": 1},
    ),
    "joints of a category that is not read": (
        lambda document: document["annotations"].append(document["annotations"][0] | {"id": 9, "category_id": 5}),
        {"other-category": 1},
    ),
    "area 0": (person(1, area=0), {"area-from-mask": 1}),
    "a negative area": (every(person(1, area=-5), person(2, area=-1)), {"area-from-mask": 2}),
    "area as text": (person(1, area="big"), {"area-from-mask": 1}),
    "area NaN": (person(1, area=math.nan), {"area-from-mask": 1}),
    "an area without bounds": (person(1, area=10**400), {"area-from-mask": 1}),
}
"""Written otherwise, and the same for training and scoring once it is read: the change, and the notes."""


def assert_same_arrays(found: PackedSplit, expected: PackedSplit) -> None:
    for name in ("image_ids", "sizes", "person_start", "person_rows", "region_start", "region_ignored", "categories"):
        np.testing.assert_array_equal(getattr(found, name), getattr(expected, name), err_msg=name)
    for name in ("start", "keypoints", "boxes", "areas", "crowd", "ignored"):
        np.testing.assert_array_equal(getattr(found.truth, name), getattr(expected.truth, name), err_msg=name)
    for position in range(len(expected)):
        np.testing.assert_array_equal(found.ignore_mask(position), expected.ignore_mask(position))


@pytest.mark.parametrize("name", SAME_ARRAYS)
def test_written_otherwise_and_the_same(valid: CocoBuilder, name: str) -> None:
    change, expected = SAME_ARRAYS[name]
    plain = open_split(valid.write(), "train")
    assert plain.notes == ()
    change(valid.split("train"))
    root = valid.write()
    split = open_split(root, "train")
    assert_same_arrays(split, plain)
    assert kinds(split.notes) == expected
    assert {note.file for note in split.notes} <= {str(valid.file("train"))}
    assert proven_sound(json.loads(valid.file("train").read_text())) == (not expected)
    assert open_split(root, "train", skip_bad=True).left_out == plain.left_out, "no image is lost"
    result = check(root)
    assert result.problems == []
    of_file = [note for note in result.notes if note.kind in KINDS]
    assert tuple(of_file) == split.notes
    rows = [row for row in result.as_document()["notes"] if row["kind"] in KINDS]
    assert [row.keys() for row in rows] == [{"file", "kind", "count", "note"}] * len(expected)


def test_every_kind_is_tried_here(valid: CocoBuilder) -> None:
    """A kind that is added to ``KINDS`` gets a case of its own."""
    tried = {kind for _, expected in SAME_ARRAYS.values() for kind in expected}
    tried |= {
        "ids-as-words",
        "no-keypoints",
        "joint-clipped",
        "joint-outside",
        "joint-nowhere",
        "joint-at-origin",
        "box-clipped",
        "box-from-joints",
    }
    tried |= {"joints-numbered", "keypoint-names-repeated"}  # never of COCO's joints: see `test_any_keypoints`
    tried |= {"visibility-3", "visibility-negative", "visibility-true-false", "area-from-box", "area-from-joints"}
    assert tried == {*KINDS}


# --- joints -----------------------------------------------------------------------------------------------------------


def read_joints(builder: CocoBuilder, *values: Any) -> tuple[list[float], dict[str, int], dict[str, Any]]:
    """Nose, left eye, ... of annotation 1 with other numbers: what is read of them, the notes, the person."""
    document = builder.split("train")
    keypoint(0, *values)(document)
    found = read_entry_by_entry(document, Path("x.json"))
    assert not found.problems
    first = found.document["annotations"][0]
    return first["keypoints"][: len(values)], kinds(found.notes), first


@pytest.mark.parametrize(
    ("given_", "taken", "kind"),
    [
        ((-1, 5, 2), [0, 5, 2], "joint-clipped"),
        ((-0.3, 64.9, 1), [0, 64, 1], "joint-clipped"),
        ((81, 65, 2), [80, 64, 2], "joint-clipped"),
        ((81.01, 5, 2), [0, 0, 0], "joint-outside"),
        ((5, -1.5, 2), [0, 0, 0], "joint-outside"),
        ((5, 10**30, 1), [0, 0, 0], "joint-outside"),
        ((80, 64, 2), [80, 64, 2], None),
        ((7, 8, 3), [7, 8, 1], "visibility-3"),
        ((0, 0, 3), [0, 0, 0], "visibility-3"),
        ((0, 0, 2), [0, 0, 0], "joint-at-origin"),
        ((0, 0.0, 1), [0, 0, 0], "joint-at-origin"),
        ((0, 0, -1), [0, 0, 0], "visibility-negative"),
        ((7, 8, -2.0), [7, 8, 0], "visibility-negative"),
        ((7, 8, True), [7, 8, 2], "visibility-true-false"),
        ((7, 8, False), [7, 8, 0], "visibility-true-false"),
        ((None, None, 0), [0, 0, 0], "joint-nowhere"),
        ((math.nan, math.nan, 0), [0, 0, 0], "joint-nowhere"),
        ((None, None, None), [0, 0, 0], "joint-nowhere"),
        ((-50, 900, 0), [-50, 900, 0], None),
    ],
)
def test_joints_as_tools_write_them(
    valid: CocoBuilder, given_: tuple[Any, ...], taken: list[float], kind: str | None
) -> None:
    found, notes, first = read_joints(valid, *given_)
    assert found == taken
    assert [type(value) for value in found[2:]] != [bool]
    expected = {} if kind is None else {kind: 1}
    if kind not in ("joint-outside", "joint-at-origin") and taken[2] == 0:
        expected["num-keypoints-wrong"] = 1  # it says 17
    assert notes == expected
    assert first["num_keypoints"] == 16 + (taken[2] > 0)


def test_a_person_whose_joints_all_lie_outside_is_ignored(valid: CocoBuilder) -> None:
    people(valid)[0]["keypoints"] = [500, 500, 2] * 17
    split = open_split(valid.write(), "train")
    assert kinds(split.notes) == {"joint-outside": 17}
    assert [split.people_count(p) for p in range(2)] == [0, 1]
    mask = split.ignore_mask(0)
    assert mask is not None
    assert mask[2:52, 2:42].all()
    assert mask.sum() == 40 * 50 + 20 * 40


@pytest.mark.parametrize("keypoints", [None, [], "gone"])
def test_a_person_without_keypoints_is_ignored(valid: CocoBuilder, keypoints: Any) -> None:
    first = people(valid)[0]
    if keypoints == "gone":
        del first["keypoints"], first["num_keypoints"]
    else:
        first["keypoints"], first["num_keypoints"] = keypoints, 0
    split = open_split(valid.write(), "train")
    assert kinds(split.notes) == {"no-keypoints": 1}
    assert split.people_count(0) == 0
    assert split.truth.ignored.tolist() == [True, True, False]


def test_what_is_declared_of_an_unlabelled_person_does_not_score_it(valid: CocoBuilder) -> None:
    """pycocotools goes by the declared number: it would look for somebody whose joints are nowhere."""
    people(valid)[1]["num_keypoints"] = 4
    assert open_split(valid.write(), "train").truth.ignored.tolist() == [False, True, False]


def test_several_faults_of_an_annotation_are_one_problem(valid: CocoBuilder) -> None:
    people(valid)[1] |= {"keypoints": [1, 2], "iscrowd": "perhaps", "bbox": None, "segmentation": None}
    root = valid.write()
    (problem,) = check(root).problems
    assert problem.id == UNLABELLED
    with pytest.raises(DataError) as caught:
        open_split(root, "train")
    message = str(caught.value)
    assert message.count("annotation id 2") == 1
    for said in (
        "must hold 51 numbers, has 2",
        "`iscrowd` must be 0 or 1",
        "`bbox` must hold 4",
        "`segmentation` must",
    ):
        assert said in message


# --- boxes and masks --------------------------------------------------------------------------------------------------


def test_a_box_that_reaches_outside_is_cut_off(valid: CocoBuilder) -> None:
    people(valid)[1] |= {"bbox": [50, -10, 100, 60], "segmentation": []}
    split = open_split(valid.write(), "train")
    assert kinds(split.notes) == {"mask-missing": 1, "box-clipped": 1}
    assert split.truth.boxes[1].tolist() == [50, 0, 30, 50]
    mask = split.ignore_mask(0)
    assert mask is not None
    assert mask[:50, 50:].all()
    assert mask.sum() == 30 * 50


def test_a_box_comes_of_run_lengths_too(valid: CocoBuilder) -> None:
    pixels = np.zeros((HEIGHT, WIDTH), np.uint8, order="F")
    pixels[10:50, 50:70] = 1
    counts = coco_mask.encode(pixels)["counts"].decode()
    people(valid)[1] |= {"bbox": None, "area": None, "segmentation": {"size": [HEIGHT, WIDTH], "counts": counts}}
    split = open_split(valid.write(), "train")
    assert kinds(split.notes) == {"box-from-mask": 1, "area-from-mask": 1}
    assert split.truth.boxes[1].tolist() == [50, 10, 20, 40]
    assert split.truth.areas[1] == 20 * 40


def test_a_labelled_person_s_box_keeps_its_place_from_being_ignored(valid: CocoBuilder) -> None:
    """Without a mask of its own it is the box that is never ignored."""
    people(valid)[1] |= {"bbox": [10, 2, 60, 50], "segmentation": [rectangle(10, 2, 60, 50)]}
    people(valid)[0]["segmentation"] = []
    mask = open_split(valid.write(), "train").ignore_mask(0)
    assert mask is not None
    assert not mask[2:52, 2:42].any()
    assert mask[2:52, 42:70].all()


@pytest.mark.parametrize(
    ("joints", "box"),
    [
        ({5: (20, 10), 16: (50, 40)}, [20, 10, 30, 30]),
        ({5: (20, 10), 16: (20, 50)}, [14, 10, 12, 40]),  # 0.3 of the longer side, around the same middle
        ({5: (0, 10), 16: (0, 50)}, [0, 10, 12, 40]),  # moved into the image
        ({5: (80, 64), 16: (40, 64)}, [40, 52, 40, 12]),
    ],
)
def test_a_box_comes_of_the_joints(
    valid: CocoBuilder, joints: dict[int, tuple[float, float]], box: list[float]
) -> None:
    """Twice: as the box, and as the area where there is no mask either."""
    keypoints = [0] * 51
    for place, (x, y) in joints.items():
        keypoints[3 * place : 3 * place + 3] = [x, y, 2]
    people(valid)[0] |= {
        "keypoints": keypoints,
        "num_keypoints": 2,
        "bbox": [0, 0, 0, 0],
        "segmentation": [],
        "area": 0,
    }
    split = open_split(valid.write(), "train")
    assert kinds(split.notes) == {"mask-missing": 1, "box-from-joints": 1, "area-from-joints": 1}
    assert split.truth.boxes[0] == pytest.approx(box)
    assert split.truth.areas[0] == pytest.approx(box[2] * box[3])


def test_a_single_joint_has_a_share_of_the_image(valid: CocoBuilder) -> None:
    keypoints = [0] * 51
    keypoints[:3] = [79, 1, 2]
    people(valid)[0] |= {"keypoints": keypoints, "num_keypoints": 1, "bbox": None, "segmentation": None, "area": None}
    truth = open_split(valid.write(), "train").truth
    side = math.sqrt(WIDTH * HEIGHT / 32)
    assert truth.areas[0] == pytest.approx(WIDTH * HEIGHT / 32)
    assert truth.boxes[0] == pytest.approx([WIDTH - side, 0, side, side])


def test_an_area_comes_of_the_box_where_there_is_no_mask(valid: CocoBuilder) -> None:
    for number in (0, 1):
        people(valid)[number] |= {"segmentation": [[1, 2, 3]], "area": -1}
    split = open_split(valid.write(), "train")
    assert kinds(split.notes) == {"mask-broken": 2, "area-from-box": 2}
    assert split.truth.areas[:2] == pytest.approx([0.53 * 40 * 50, 0.53 * 20 * 40])


def test_area_0_of_somebody_who_is_not_scored_stays(valid: CocoBuilder) -> None:
    people(valid)[1]["area"] = 0
    valid.person("train", IMAGE, iscrowd=1, area=0)
    split = open_split(valid.write(), "train")
    assert split.notes == ()
    assert split.truth.areas.tolist() == [40 * 50, 0, 0, 40 * 52]


def test_masks_are_left_alone_where_they_are_not_needed(valid: CocoBuilder) -> None:
    """Scoring reads no masks, but where one stands in for an area or a box."""
    people(valid)[0]["segmentation"] = []
    people(valid)[2]["area"] = 0
    document = valid.split("train")
    found = read(document, Path("x.json"), segments=False)
    assert kinds(found.notes) == {"area-from-mask": 1}
    assert found.document["annotations"][2]["area"] == 40 * 52
    assert found.document["annotations"][0] is document["annotations"][0]


def test_notes_say_what_is_wrong_with_which_mask(valid: CocoBuilder) -> None:
    people(valid)[0]["segmentation"] = {"size": [WIDTH, HEIGHT], "counts": [WIDTH * HEIGHT]}
    people(valid)[1]["segmentation"] = [[50, 10, 70, 50]]
    people(valid)[2]["segmentation"] = [[20, 6, 60, 6, 60]]
    swapped, broken = (note.text for note in open_split(valid.write(), "train").notes)
    assert "annotation 1: RLE `size` is [80, 64], width and height swapped: COCO's is [64, 80]" in swapped
    assert swapped.startswith("1 person whose mask has width and height swapped: the box is used instead")
    assert broken.startswith("2 people whose mask cannot be read: the box is used instead (annotation 2: ")
    assert "a polygon has fewer than 3 points; annotation 3: a polygon must hold an even number" in broken


def test_many_of_a_kind_are_one_note_with_a_few_examples(coco_builder: CocoBuilder) -> None:
    coco_builder.image("train", IMAGE)
    for _ in range(9):
        coco_builder.person("train", IMAGE, segmentation=[[1, 2]])
    (note,) = open_split(coco_builder.write(), "train").notes
    assert note.count == 9
    assert note.text.count("annotation ") == 5
    assert note.text.endswith("; and 4 more)")


# --- a whole set ------------------------------------------------------------------------------------------------------

SMALL_FAULTS: tuple[Change, ...] = (
    without(1, "segmentation"),
    person(1, bbox=None),
    keypoint(0, -0.5, 3, 2),
    keypoint(0, 300, 3, 2),
    person(1, iscrowd=False),
    person(1, area=0),
    keypoint(2, 3),
    without(1, "num_keypoints"),
    person(1, segmentation=[[1, 2, 3]]),
    person(1, id="x7"),
)


def test_a_small_fault_in_every_tenth_image_loses_no_image(coco_builder: CocoBuilder) -> None:
    coco_builder.fill("train", images=100)
    plain = open_split(coco_builder.write(), "train")
    document = coco_builder.split("train")
    for number, change in enumerate(SMALL_FAULTS):
        image_id = document["images"][10 * number]["id"]
        one = {"annotations": [a for a in document["annotations"] if a["image_id"] == image_id]}
        change(one)
    root = coco_builder.write()
    for skip_bad in (False, True):
        split = open_split(root, "train", skip_bad=skip_bad)
        assert len(split) == 100
        assert not split.left_out
        assert len(split.notes) == len(SMALL_FAULTS)
        assert split.digest() == plain.digest()
        assert len(split.person_rows) == len(plain.person_rows)
    assert check(root).problems == []


# --- notes ------------------------------------------------------------------------------------------------------------


def test_notes_are_kept_with_the_arrays(valid: CocoBuilder, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """What tools have written otherwise is walked through once; a copy elsewhere has notes of its own place."""
    monkeypatch.setenv("POSEBENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(split_opening, "SMALLEST_CACHED", 0)
    people(valid)[0]["area"] = 0
    root = valid.write()
    first = open_split(root, "train")
    assert first.mapped_from is not None
    monkeypatch.setattr(split_opening, "read_entry_by_entry", lambda *_: pytest.fail("walked through again"))
    again = open_split(root, "train")
    assert again.notes == first.notes != ()
    assert_same_arrays(again, first)
    moved = root.rename(root.with_name("moved"))
    (note,) = open_split(moved, "train").notes
    assert note.file == str(moved / valid.file("train").relative_to(root))
    assert replace(note, file="") == replace(first.notes[0], file="")


def test_notes_travel_to_workers(valid: CocoBuilder) -> None:
    import pickle

    people(valid)[0]["area"] = 0
    split = open_split(valid.write(), "train")
    assert pickle.loads(pickle.dumps(split)).notes == split.notes


def test_what_notes_tell() -> None:
    one, other = Note("a.json", "area-from-box", 3, "3 people", acts=True), Note("a.json", "ids", 2, "2 ids")
    elsewhere = replace(one, file="b.json", count=4)
    assert distinct([one, other, one, elsewhere]) == (one, other, elsewhere)
    assert digest_entries([one, other, elsewhere]) == ["area-from-box:3", "area-from-box:4"]
    assert as_metrics([one, other, elsewhere]) == {"note_area_from_box": 7, "note_ids": 2}
    assert from_bytes(to_bytes([one, other]), "c.json") == (replace(one, file="c.json"), replace(other, file="c.json"))
    assert from_bytes(to_bytes([]), "c.json") == ()


def test_a_file_s_notes_count_once(coco_builder: CocoBuilder) -> None:
    coco_builder.fill("train", images=30)
    coco_builder.fill("val", images=3, first_id=500)
    for split in ("train", "val"):
        coco_builder.split(split)["annotations"][0]["area"] = 0
    root = coco_builder.write()
    opened = [open_split(root, split) for split in ("train", "select", "val")]
    assert [(Path(note.file).name[17:20], note.count) for note in collect_notes(opened) if note.kind in KINDS] == [
        ("tra", 1),
        ("val", 1),
    ]


def test_results_and_annotations_may_name_ids_otherwise(valid: CocoBuilder, tmp_path: Path) -> None:
    keypoints = people(valid)[2]["keypoints"]
    results = [{"image_id": str(OTHER), "category_id": 1.0, "keypoints": keypoints, "score": 1.0}]
    (tmp_path / "results.json").write_text(json.dumps(results))
    as_text(valid.split("train"))
    valid.write()
    told: list[Any] = []
    found = score_file(tmp_path / "results.json", valid.file("train"), on_notes=told.append)
    assert (found.ap, found.people) == (pytest.approx(0.505, abs=0.01), 2)
    assert kinds(told[0]) == {"ids": 12}


def test_ids_of_one_entry_may_be_of_several_kinds(valid: CocoBuilder) -> None:
    """A number, a number written as a text, and a word: each is read as what it is."""
    document = valid.split("train")
    document["categories"][0]["id"] = "person"
    number = document["annotations"][0]["image_id"]
    for annotation in document["annotations"]:
        annotation |= {"image_id": str(annotation["image_id"]), "category_id": "person"}
    found = read_entry_by_entry(document, Path("x.json"))
    people = len(document["annotations"])
    assert not found.problems
    assert kinds(found.notes) == {"ids": people, "ids-as-words": people + 1}
    assert found.document["annotations"][0]["image_id"] == number
    assert {each["category_id"] for each in found.document["annotations"]} == {found.document["categories"][0]["id"]}


def test_ids_may_be_words(valid: CocoBuilder, tmp_path: Path) -> None:
    """As own converters write them: a number is made of each, the same wherever it stands."""
    plain = open_split(valid.write(), "train")
    keypoints = people(valid)[2]["keypoints"]
    as_words(valid.split("train"))
    root = valid.write()
    split = open_split(root, "train")
    assert kinds(split.notes) == {"ids-as-words": 2 + 1 + 2 * 3}
    order = [split.path(position).name for position in range(2)]
    assert {*order} == {plain.path(position).name for position in range(2)}
    for position, name in enumerate(order):
        other = next(p for p in range(2) if plain.path(p).name == name)
        np.testing.assert_array_equal(split.keypoints(position), plain.keypoints(other))
    results = [{"image_id": f"frame {OTHER}", "category_id": "person", "keypoints": keypoints, "score": 1.0}]
    (tmp_path / "results.json").write_text(json.dumps(results))
    assert score_file(tmp_path / "results.json", valid.file("train")).people == 2
    results[0]["image_id"] = "frame 99"
    (tmp_path / "results.json").write_text(json.dumps(results))
    with pytest.raises(DataError, match="result 0 is of image frame 99, not in"):
        score_file(tmp_path / "results.json", valid.file("train"))
    people(valid)[1]["image_id"] = "frame 99"
    (problem,) = check(valid.write()).problems
    assert problem.problem == "annotates image 'frame 99', which is not listed"


def test_the_index_of_an_earlier_version_is_not_read() -> None:
    assert index_cache.FORMAT >= 2


@settings(max_examples=60, deadline=None, database=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(order=st.permutations(range(17)), separator=st.sampled_from(["_", " ", "-", ""]), upper=st.booleans())
def test_any_order_of_joints_is_put_right(valid: CocoBuilder, order: list[int], separator: str, upper: bool) -> None:
    document = copy.deepcopy(valid.split("train"))
    expected = copy.deepcopy(document["annotations"])
    names = [COCO_KEYPOINTS[place].replace("_", separator) for place in order]
    reordered(document, order, [name.upper() for name in names] if upper else names)
    found = read_entry_by_entry(document, Path("x.json"))
    assert [a["keypoints"] for a in found.document["annotations"]] == [a["keypoints"] for a in expected]
    assert found.problems == ()
    assert kinds(found.notes) == ({} if order == [*range(17)] else {"reordered": 3})


def test_a_sound_document_is_given_back(valid: CocoBuilder) -> None:
    document = valid.split("train")
    found = read(document, Path("x.json"))
    assert found == Reading(document)
    assert found.document is document


# --- fractions of the sides, categories, files that are listed twice --------------------------------------------------


def in_fractions(annotation: dict[str, Any]) -> None:
    flat = annotation["keypoints"]
    annotation["keypoints"] = [value / (WIDTH, HEIGHT, 1)[place % 3] for place, value in enumerate(flat)]


def test_joints_in_fractions_of_the_sides_are_no_pixels(valid: CocoBuilder) -> None:
    in_fractions(people(valid)[0])
    found = read(valid.split("train"), Path("x.json"))
    assert [(problem.id, problem.problem) for problem in found.problems] == [
        (PERSON, "all labelled keypoints lie between 0 and 1: fractions of the image's sides? COCO's are pixels")
    ]


def test_a_box_in_fractions_says_nowhere_who_is_to_be_ignored(valid: CocoBuilder) -> None:
    people(valid)[1].update(bbox=[0.1, 0.1, 0.5, 0.8], segmentation=[])
    (problem,) = read(valid.split("train"), Path("x.json")).problems
    assert problem.id == UNLABELLED
    assert "`bbox` [0.1, 0.1, 0.5, 0.8] lies between 0 and 1" in problem.problem


@pytest.mark.parametrize(
    ("changes", "kind", "area"),
    [
        ({"area": 0.3}, "area-from-mask", 40 * 50),
        ({"area": 0.3, "segmentation": []}, "area-from-box", 0.53 * 40 * 50),
        ({"area": 0, "segmentation": [[0.1, 0.1, 0.6, 0.1, 0.6, 0.8]]}, "area-from-box", 0.53 * 40 * 50),
    ],
)
def test_an_area_in_fractions_is_none(valid: CocoBuilder, changes: dict[str, Any], kind: str, area: float) -> None:
    people(valid)[0].update(changes)
    found = read(valid.split("train"), Path("x.json"))
    assert found.document["annotations"][0]["area"] == pytest.approx(area)
    assert kinds(found.notes)[kind] == 1
    assert not found.problems


def test_an_area_of_a_pixel_stands_for_who_is_that_small(valid: CocoBuilder) -> None:
    annotation = people(valid)[0]
    annotation["keypoints"] = [10, 10, 2, 12, 11, 2, *[0] * 45]
    annotation.update(num_keypoints=2, area=1)
    found = read(valid.split("train"), Path("x.json"))
    assert found.document["annotations"][0]["area"] == 1
    assert not found.notes
    assert proven_sound(found.document)


@pytest.mark.parametrize("other", [{"name": "bottle"}, {"name": "person", "keypoints": [*reversed(COCO_KEYPOINTS)]}])
def test_an_id_of_two_categories_is_none(valid: CocoBuilder, other: dict[str, Any]) -> None:
    categories = valid.split("train")["categories"]
    categories.append({"id": 1} | other)
    (problem,) = read(valid.split("train"), Path("x.json")).problems
    assert problem.of_whole_file
    assert problem.problem.startswith("`categories` lists the id 1 for different things: `person` (17 keypoints")


def test_a_category_that_is_listed_twice_is_one(valid: CocoBuilder) -> None:
    valid.split("train")["categories"].append(valid.split("train")["categories"][0] | {"name": "Person"})
    assert read(valid.split("train"), Path("x.json")) == Reading(valid.split("train"))


def test_who_is_left_out_for_the_category_is_said_with_what_there_is(valid: CocoBuilder) -> None:
    valid.split("train")["categories"].append({"id": 5, "name": "human", "keypoints": ["head", "neck"]})
    people(valid)[2].update(category_id=5, keypoints=[1, 1, 2, 5, 5, 2], num_keypoints=2)
    (note,) = read(valid.split("train"), Path("x.json")).notes
    assert (note.kind, note.count, note.acts) == ("other-category", 1, False)
    assert "`human` (2 keypoints: head, neck)" in note.text
    valid.write()
    assert note.text in [each.text for each in collect_notes([open_split(valid.root, "train")])]


def test_a_file_that_two_ids_have_is_told(valid: CocoBuilder) -> None:
    images = valid.split("train")["images"]
    images.append(images[0] | {"id": 99})
    valid.write()
    notes = [note for note in check(valid.root).notes if note.kind == "file-twice"]
    assert [note.count for note in notes] == [1]
    assert f"ids {IMAGE} and 99" in notes[0].text
