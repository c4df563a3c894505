"""Names decide which categories are people and in which order their joints stand; what fits not is said in words."""

import json
from pathlib import Path
from typing import Any

import pytest

from posemodel.data.annotations.categories import category_ids_read, find_categories, plain_name
from posemodel.data.annotations.reading import read_entry_by_entry
from posemodel.data.check import check
from posemodel.data.labelled_counts import count_summary, few_images_warnings
from posemodel.data.open_split import open_split
from posemodel.errors import DataError
from posemodel.skeleton import COCO_KEYPOINTS
from tests.support.coco_builder import CocoBuilder

COCO = list(COCO_KEYPOINTS)
CROWDPOSE = [*COCO[5:], "head", "neck"]
H36M = [
    *(
        "hip",
        "right_hip",
        "right_knee",
        "right_ankle",
        "left_hip",
        "left_knee",
        "left_ankle",
        "spine",
        "thorax",
        "neck",
    ),
    *("head", "left_shoulder", "left_elbow", "left_wrist", "right_shoulder", "right_elbow", "right_wrist"),
]


def category(number: Any = 1, name: Any = "person", keypoints: Any = None) -> dict[str, Any]:
    entry = {"id": number, "name": name}
    return entry if keypoints is None else entry | {"keypoints": keypoints}


@pytest.fixture
def valid(coco_builder: CocoBuilder) -> CocoBuilder:
    coco_builder.image("train", 7)
    coco_builder.person("train", 7)
    return coco_builder


def refusal(builder: CocoBuilder, *categories: Any) -> str:
    """The one problem of the whole file, by `check` and by opening it."""
    builder.split("train")["categories"] = list(categories)
    root = builder.write()
    result = check(root)
    (problem,) = result.problems
    assert problem.of_whole_file
    assert [note for note in result.notes if note.kind == "no-labelled-person"] == [], "that is not what is wrong"
    for skip_bad in (False, True):
        with pytest.raises(DataError) as caught:
            open_split(root, "train", skip_bad=skip_bad)
        message = str(caught.value)
        assert message.startswith(f"{builder.file('train')}: 1 problem\n  {problem.problem}\n")
        assert "--skip-bad" not in message
    return problem.problem


@pytest.mark.parametrize("name", ["person", "Person", "human", "worker", 5, None])
@pytest.mark.parametrize("number", [0, 1, 91])
def test_a_category_of_coco_s_joints_is_people_whatever_it_is_called(
    valid: CocoBuilder, name: Any, number: int
) -> None:
    valid.split("train")["categories"] = [category(number, name, COCO), category(5, "dog", ["nose", "tail"])]
    valid.split("train")["annotations"][0]["category_id"] = number
    split = open_split(valid.write(), "train")
    assert split.notes == ()
    assert (split.people_count(0), split.category, split.categories.tolist()) == (1, number, [number])


def test_several_such_categories_are_all_people_each_in_its_own_order(valid: CocoBuilder) -> None:
    document = valid.split("train")
    document["categories"] = [category(1, "woman", COCO), category(2, "man", COCO[::-1])]
    flat = document["annotations"][0]["keypoints"]
    backwards = [value for place in range(16, -1, -1) for value in flat[3 * place : 3 * place + 3]]
    valid.person("train", 7, category_id=2, keypoints=backwards)
    split = open_split(valid.write(), "train")
    first, second = split.keypoints(0)
    assert first.tolist() == second.tolist()
    assert [(note.kind, note.count) for note in split.notes] == [("reordered", 1)]


def test_a_person_without_joints_by_name_beside_one_that_has_them(valid: CocoBuilder) -> None:
    """As Roboflow writes it: left alone, unless somebody is of it; who is, is a person too."""
    document = valid.split("train")
    document["categories"] = [category(0), category(1, "person", COCO)]
    assert category_ids_read(document) == {1}
    split = open_split(valid.write(), "train")
    assert (split.categories.tolist(), split.notes) == ([1], ())
    box = {"id": 9, "image_id": 7, "category_id": 0, "bbox": [60, 2, 10, 10], "area": 100, "iscrowd": 0}
    document["annotations"].append(box)
    split = open_split(valid.write(), "train")
    assert split.categories.tolist() == [0, 1]
    assert [note.kind for note in split.notes] == ["joints-unnamed", "no-keypoints", "mask-missing"]
    mask = split.ignore_mask(0)
    assert mask is not None
    assert mask[2:12, 60:70].all()
    assert mask.sum() == 100


@pytest.mark.parametrize("keypoints", [CROWDPOSE, H36M, [*COCO, "neck"], COCO[:16]])
@pytest.mark.parametrize("name", ["person", "Mensch"])
def test_people_of_other_joints_are_read_with_these(valid: CocoBuilder, keypoints: list[str], name: str) -> None:
    document = valid.split("train")
    document["categories"] = [category(1, name, keypoints), category(2, "dog")]
    document["annotations"][0]["keypoints"] = [5, 6, 2] * len(keypoints)
    document["annotations"][0]["num_keypoints"] = len(keypoints)
    split = open_split(valid.write(), "train")
    assert split.notes == ()
    assert (split.skeleton.keypoints, split.skeleton.name, split.noun) == (
        tuple(keypoints),
        name,
        "person" if name == "person" else "object",
    )
    assert split.keypoints(0).shape == (1, len(keypoints), 3)


def test_no_category_with_joints(valid: CocoBuilder) -> None:
    del valid.split("train")["annotations"][0]["keypoints"]
    said = refusal(valid, category(1, "bear", []), category(2, "dog"))
    assert said.startswith("no category has keypoints; there are `bear` (no keypoints), `dog` (no keypoints). Needed: ")


def test_people_of_other_joints_beside_coco_s_are_refused(valid: CocoBuilder) -> None:
    """They would be taught as background."""
    both = [category(1, "human", COCO), category(2, "person", CROWDPOSE)]
    valid.split("train")["categories"] = both
    assert check(valid.write()).problems == [], "nobody is of them"
    valid.person("train", 7, category_id=2, keypoints=[1, 2, 2] * 14)
    assert "people with other joints than COCO's: `person` (14 keypoints: left_shoulder," in (
        said := refusal(valid, *both)
    )
    assert "--category NAME" in said


def test_a_file_of_boxes_and_masks_alone_is_refused(valid: CocoBuilder) -> None:
    for annotation in valid.split("train")["annotations"]:
        del annotation["keypoints"], annotation["num_keypoints"]
    said = refusal(valid, category(1))
    assert "no annotation of `person` has `keypoints`" in said
    assert "boxes and masks alone" in said


def test_people_of_a_category_that_is_not_listed_are_missed(valid: CocoBuilder) -> None:
    """Converters begin to count at 0 in one list and at 1 in the other."""
    valid.split("train")["annotations"][0]["category_id"] = 0
    assert refusal(valid, category(1, "person", COCO)) == (
        "no annotation is of a category of people (`category_id` 1); 1 are of 0, which `categories` does not list: "
        "correct it, or add that category."
    )
    valid.split("train")["categories"].append(category(0, "dog"))
    result = check(valid.write())
    assert result.problems == []
    assert "no-labelled-person" in [note.kind for note in result.notes], "dogs alone are no fault"


def test_no_category_at_all(valid: CocoBuilder) -> None:
    assert "there is none at all" in refusal(valid)
    assert "`person` without a whole-number `id`" in refusal(valid, category([1], "person", COCO))


def test_what_a_message_shows_of_a_file_is_bounded_and_printable(valid: CocoBuilder) -> None:
    categories = [category(n, "x\n" * 500, ["\ud800" * 99] * (400 + n)) for n in range(20)]
    for each in categories[1:]:
        valid.person("train", 7, category_id=each["id"])
    said = refusal(valid, *categories)
    assert len(said) < 20_000
    assert said.isprintable()
    said.encode()
    assert "(401 keypoints) in 2 annotations" in said
    assert "and 11 more" in said


@pytest.mark.parametrize("value", [None, 5, {}, [5], [{}], [{"id": [1]}], [{"id": 1, "keypoints": {}}]])
def test_malformed_categories_are_nobody(value: Any) -> None:
    assert find_categories(value).orders == {}


def test_names_are_compared_without_case_and_separators() -> None:
    assert {plain_name(name) for name in ("left_eye", "Left Eye", "LEFT-EYE", " left__eye ", "leftEye")} == {"lefteye"}


def test_the_document_names_what_it_is_in() -> None:
    """Read again, a document that was put in order is in order."""
    document = {
        "images": [{"id": 1, "file_name": "a.jpg", "width": 9, "height": 9}],
        "annotations": [],
        "categories": [category(3, "human", COCO[::-1])],
    }
    found = read_entry_by_entry(document, Path("x.json")).document
    assert found["categories"] == [category(3, "human", COCO)]
    assert json.loads(json.dumps(found)) == found


# --- how much there is ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("images", "said"),
    [
        ({"train": 26, "select": 2, "report": 17}, "train 26 labelled images, select 2, report 17"),
        ({"report": 17, "train": 1}, "train 1 labelled image, report 17"),
        ({}, ""),
    ],
)
def test_labelled_images_are_told_in_one_line(images: dict[str, int], said: str) -> None:
    assert count_summary(images) == said


def test_few_labelled_images_are_warned_of() -> None:
    found = few_images_warnings({"train": 20, "select": 19, "report": 1})
    assert {*found} == {"select", "report"}
    assert found["report"] == "report has 1 labelled image to report a score on: fewer than 20 tell little"
