"""Every hostile thing that a data set can hold: `check` finds and names it, `open_split` refuses the fatal ones."""

import json
import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from pycocotools import mask as coco_mask

from posemodel.data.annotations.problems import Problem, image_faults
from posemodel.data.check import CheckResult, check, count
from posemodel.data.open_split import open_split
from posemodel.errors import DataError
from tests.support.coco_builder import CocoBuilder

IMAGE, PERSON, UNLABELLED = 7, 1, 2


@pytest.fixture
def valid(coco_builder: CocoBuilder) -> CocoBuilder:
    """One image with a person and an unlabelled one; annotation ids 1 and 2."""
    coco_builder.image("train", IMAGE)
    coco_builder.person("train", IMAGE, box=(2, 2, 40, 50))
    coco_builder.unlabelled("train", IMAGE, box=(50, 10, 20, 40))
    return coco_builder


def the_problem(result: CheckResult) -> Problem:
    assert len(result.problems) == 1, result.problems
    return result.problems[0]


def people(builder: CocoBuilder) -> list[dict[str, Any]]:
    return builder.split("train")["annotations"]


def test_a_valid_set_has_no_problems_and_is_counted(valid: CocoBuilder) -> None:
    rle = {"size": [64, 80], "counts": [0, 64 * 80]}
    valid.unlabelled("train", IMAGE, iscrowd=1, segmentation=rle)
    valid.image("val", 70)
    valid.person("val", 70)
    valid.person("train", IMAGE, category_id=9, keypoints=[1, 2])  # no person: none of our business
    document = check(valid.write()).as_document()
    few = [note.pop("note") for note in document["notes"] if note["kind"] == "few-labelled-images"]
    assert few[2] == "report has 1 labelled image to report a score on: fewer than 20 tell little"
    del document["notes"]
    one = {"images": 1, "people": 1, "crowds": 1, "unlabelled": 1}
    other = {"images": 1, "people": 1, "crowds": 0, "unlabelled": 0}
    sums = {"images": 2, "people": 2, "crowds": 1, "unlabelled": 1}
    labelled = {"train": 0, "select": 1, "report": 1}
    assert document == {"splits": {"train": one, "val": other}, **sums, "labelled_images": labelled, "problems": []}


def noted(result: CheckResult, kind: str) -> list[str]:
    return [note.text for note in result.notes if note.kind == kind]


def test_what_is_missing_is_noted_and_no_problem(valid: CocoBuilder) -> None:
    (no_val,) = noted(check(valid.write()), "val-from-train")
    assert "no split `val` to report on (splits here: train)" in no_val
    valid.image("report", 70)
    result = check(valid.write())
    assert result.problems == []
    assert noted(result, "no-labelled-person") == [
        "the split `report` has no labelled person: it can be neither learned from nor scored"
    ]


def test_a_set_without_train_is_noted(coco_builder: CocoBuilder) -> None:
    coco_builder.fill("val", images=1)
    (note,) = noted(check(coco_builder.write()), "no-split")
    assert "no split `train` to train on" in note


def test_coco_mini_has_no_problems(coco_mini: Path) -> None:
    document = check(coco_mini).as_document()
    assert document["problems"] == []
    assert {k: document[k] for k in ("images", "people", "crowds", "unlabelled")} == {
        "images": 54,
        "people": 78,
        "crowds": 5,
        "unlabelled": 62,
    }
    assert document["splits"]["train"] == {"images": 50, "people": 66, "crowds": 5, "unlabelled": 60}


# --- images ---------------------------------------------------------------------------------------------------------


def remove(path: Path) -> None:
    path.unlink()


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-200])


def replace_by_text(path: Path) -> None:
    path.write_text("<html>404</html>")


def empty(path: Path) -> None:
    path.write_bytes(b"")


def enlarge(path: Path) -> None:
    cv2.imwrite(str(path), np.zeros((64, 90, 3), np.uint8))


def turn(path: Path) -> None:
    cv2.imwrite(str(path), np.zeros((80, 64, 3), np.uint8))


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (remove, "no such file"),
        (truncate, "truncated"),
        (replace_by_text, "not an image"),
        (empty, "not an image"),
        (enlarge, "is 90x64 pixels, annotated as 80x64"),
        (turn, "is 64x80 pixels, annotated as 80x64"),
    ],
)
def test_bad_image_files(valid: CocoBuilder, spoil: Callable[[Path], None], said: str) -> None:
    root = valid.write()
    path = valid.folder("train") / f"{IMAGE:012d}.jpg"
    spoil(path)
    problem = the_problem(check(root))
    assert (problem.file, problem.id) == (str(path), IMAGE)
    assert said in problem.problem


def test_good_files_of_other_formats(coco_builder: CocoBuilder) -> None:
    image = coco_builder.image("train", IMAGE)
    png = image.with_suffix(".png")
    cv2.imwrite(str(png), cv2.imread(str(image)))
    image.unlink()
    coco_builder.split("train")["images"][0]["file_name"] = png.name
    assert check(coco_builder.write()).problems == []


# --- annotation files -----------------------------------------------------------------------------------------------


def fatal(builder: CocoBuilder, problem_id: int | None, said: str, *, number: int = 1) -> None:
    """`check` names it with the id; `open_split` refuses it with file, id, number and the remedy."""
    root = builder.write()
    found = check(root).problems
    assert len(found) == number, found
    match = [p for p in found if p.id == problem_id and said in p.problem]
    assert match, found
    assert match[0].file == str(builder.file("train"))
    with pytest.raises(DataError) as caught:
        open_split(root, "train")
    message = str(caught.value)
    assert message.startswith(f"{builder.file('train')}: {number} problem")
    assert said in message
    assert problem_id is None or f"id {problem_id}: " in message
    assert "posebench data check" in message


@pytest.mark.parametrize("content", [b"{", b"", b'{"images": [1,]}', b"\xff\xfe\x00", b"[1, 2]"])
def test_malformed_json(valid: CocoBuilder, content: bytes) -> None:
    root = valid.write()
    valid.file("train").write_bytes(content)
    valid.split("val")
    result = check(root)
    problem = the_problem(result)
    assert (problem.file, problem.id) == (str(valid.file("train")), None)
    assert "JSON" in problem.problem or "must hold an object" in problem.problem
    assert result.splits["train"] == {"images": 0, "people": 0, "crowds": 0, "unlabelled": 0}
    with pytest.raises(DataError, match="person_keypoints_train2017"):
        open_split(root, "train")


@pytest.mark.parametrize("key", ["images", "annotations", "categories"])
@pytest.mark.parametrize("value", [None, 5, "text", {}])
def test_missing_or_wrong_lists(valid: CocoBuilder, key: str, value: Any) -> None:
    valid.split("train")[key] = value
    root = valid.write()
    found = check(root).problems
    assert [p.problem for p in found if str(valid.file("train")) == p.file] == [f"no list `{key}`"]
    with pytest.raises(DataError, match=f"no list `{key}`"):
        open_split(root, "train")


@pytest.mark.parametrize("number", [1, 48, 50, 54])
def test_wrong_number_of_keypoint_values(valid: CocoBuilder, number: int) -> None:
    people(valid)[0]["keypoints"] = [1] * number
    fatal(valid, PERSON, f"must hold 51 numbers, has {number}")


def test_keypoints_that_are_no_list(valid: CocoBuilder) -> None:
    people(valid)[0]["keypoints"] = {"nose": [1, 2]}
    fatal(valid, PERSON, "has none")


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, None, "12", True])
def test_keypoints_that_are_no_numbers(valid: CocoBuilder, value: Any) -> None:
    people(valid)[0]["keypoints"][3] = value
    fatal(valid, PERSON, "not a finite number")


def test_unlabelled_keypoints_may_lie_anywhere(valid: CocoBuilder) -> None:
    person = people(valid)[0]
    person["keypoints"][0:3] = [-5, -5, 0]
    person["num_keypoints"] = 16
    root = valid.write()
    assert check(root).problems == []
    assert open_split(root, "train").people(0)[0, 0].tolist() == [0, 0, 0]


@pytest.mark.parametrize("visibility", [4, 255, 0.5])
def test_unknown_visibility(valid: CocoBuilder, visibility: float) -> None:
    person = people(valid)[0]
    person["keypoints"][2] = visibility
    person["num_keypoints"] = sum(v > 0 for v in person["keypoints"][2::3])
    fatal(valid, PERSON, "visibility other than 0, 1, 2")


def test_an_image_id_of_two_images(valid: CocoBuilder) -> None:
    valid.image("train", IMAGE)
    valid.split("train")["images"][1]["width"] = 90
    fatal(valid, IMAGE, "image id occurs twice", number=2)  # one of them is not of its size


def test_annotation_of_an_absent_image(valid: CocoBuilder) -> None:
    valid.person("train", 999, id=31)
    fatal(valid, 31, "annotates image 999")


@pytest.mark.parametrize(
    "first",
    [5, {"id": PERSON, "image_id": 999}, {"id": PERSON, "image_id": IMAGE, "category_id": None}],
    ids=["no object", "an absent image", "no category"],
)
def test_what_is_wrong_with_one_annotation_hides_no_other(valid: CocoBuilder, first: Any) -> None:
    people(valid)[0] = first
    valid.person("train", 998, id=31)
    found = check(valid.write()).problems
    assert len(found) == 2
    assert "annotates image 998" in found[1].problem


@pytest.mark.parametrize("identity", [None, "", 1.5, True, [1]])
def test_image_ids_that_are_no_whole_numbers(coco_builder: CocoBuilder, identity: Any) -> None:
    coco_builder.image("train", IMAGE)
    coco_builder.split("train")["images"][0]["id"] = identity
    root = coco_builder.write()
    assert "must be a whole number" in the_problem(check(root)).problem
    with pytest.raises(DataError, match="must be a whole number"):
        open_split(root, "train")


@pytest.mark.parametrize("image_id", [[1], {}, "seven", None])
def test_image_references_of_another_kind(valid: CocoBuilder, image_id: Any) -> None:
    people(valid)[0]["image_id"] = image_id
    fatal(valid, PERSON, "which is not listed")


@pytest.mark.parametrize("category", [[1], {}, None, "person"])
def test_category_references_of_another_kind(valid: CocoBuilder, category: Any) -> None:
    people(valid)[0]["category_id"] = category
    fatal(valid, PERSON, "category_id")


@pytest.mark.parametrize("field", ["file_name", "width", "height"])
def test_incomplete_image_entries(coco_builder: CocoBuilder, field: str) -> None:
    coco_builder.image("train", IMAGE)
    del coco_builder.split("train")["images"][0][field]
    fatal(coco_builder, IMAGE, field)


@pytest.mark.parametrize("side", [0, -80, 80.5, "wide", "-80", True])
def test_impossible_image_sizes(coco_builder: CocoBuilder, side: Any) -> None:
    coco_builder.image("train", IMAGE)
    coco_builder.split("train")["images"][0]["width"] = side
    fatal(coco_builder, IMAGE, "positive whole number")


@pytest.mark.parametrize("box", [[-0.9, -0.9, 81.8, 65.8], [0, 0, 80, 64]])
def test_boxes_rounded_over_the_border_are_fine(valid: CocoBuilder, box: list[float]) -> None:
    people(valid)[0]["bbox"] = box
    result = check(valid.write())
    assert result.problems == []
    assert noted(result, "box-clipped") == []


def of_box(builder: CocoBuilder, mask: Any, said: str) -> None:
    """A mask that cannot be used costs nothing where there is a box; without one it is said what is wrong with both."""
    unlabelled = people(builder)[1]
    unlabelled["segmentation"] = mask
    root = builder.write()
    assert check(root).problems == []
    x, y, width, height = unlabelled["bbox"]
    ignored = open_split(root, "train").ignore_mask(0)
    assert ignored is not None
    assert ignored[y : y + height, x : x + width].all()
    assert ignored.sum() == width * height
    unlabelled["bbox"] = [1, 2, 3]
    fatal(builder, UNLABELLED, said)


@pytest.mark.parametrize(
    ("polygon", "said"),
    [
        ([], "a polygon is empty"),
        ([1, 2, 3, 4], "fewer than 3 points"),
        ([1, 2, 3, 4, 5, 6, 7], "even number"),
        ([1, 2, 3, 4, 5, None], "even number of finite"),
        ([1, 2, 3, 4, 5, math.inf], "even number of finite"),
        ("polygon", "even number"),
    ],
)
def test_impossible_polygons(valid: CocoBuilder, polygon: Any, said: str) -> None:
    of_box(valid, [polygon], said)


@pytest.mark.parametrize("segmentation", [None, 5, "polygon"])
def test_segmentation_of_no_known_form(valid: CocoBuilder, segmentation: Any) -> None:
    of_box(valid, segmentation, "must be polygons or RLE")


def compressed(height: int, width: int) -> str:
    mask = np.zeros((height, width), np.uint8, order="F")
    mask[height // 4 : height // 2, width // 4 : width // 2] = 1
    return coco_mask.encode(mask)["counts"].decode()


@pytest.mark.parametrize("size", [[80, 64], [64, 81], [64], None])
def test_rle_of_another_size(valid: CocoBuilder, size: Any) -> None:
    people(valid)[1]["iscrowd"] = 1
    of_box(valid, {"size": size, "counts": compressed(64, 80)}, "RLE `size` is")


@pytest.mark.parametrize("counts", [[64 * 80 + 1], [-5, 64 * 80 + 5], [1.5, 64 * 80 - 1.5], []])
def test_rle_runs_that_do_not_fill_the_image(valid: CocoBuilder, counts: list[float]) -> None:
    people(valid)[1]["iscrowd"] = 1
    of_box(valid, {"size": [64, 80], "counts": counts}, "RLE `counts` must")


@pytest.mark.parametrize("counts", [compressed(60, 80), compressed(64, 90), "0", "~~~~", "\x01", "é", "", None, 5])
def test_compressed_rle_that_does_not_fill_the_image(valid: CocoBuilder, counts: Any) -> None:
    """pycocotools decodes short runs to whatever was in memory."""
    people(valid)[1]["iscrowd"] = 1
    of_box(valid, {"size": [64, 80], "counts": counts}, "RLE `counts` must")


def test_no_person_category(coco_builder: CocoBuilder) -> None:
    coco_builder.image("train", IMAGE)
    coco_builder.split("train")["categories"][0]["name"] = "cat"
    coco_builder.split("train")["categories"][0]["keypoints"] = []
    fatal(coco_builder, None, "no category has keypoints; there are `cat` (no keypoints). Needed: ")


@pytest.mark.parametrize("identity", [[1], None])
def test_person_category_without_a_usable_id(valid: CocoBuilder, identity: Any) -> None:
    valid.split("train")["categories"][0]["id"] = identity
    root = valid.write()
    assert check(root).problems
    with pytest.raises(DataError):
        open_split(root, "train")


@pytest.mark.parametrize("category", [{"id": 3}, {"id": 4, "name": None}])
def test_a_nameless_category_beside_person_does_no_harm(valid: CocoBuilder, category: dict[str, Any]) -> None:
    valid.split("train")["categories"].append(category)
    root = valid.write()
    assert check(root).problems == []
    assert open_split(root, "train").people_count(0) == 1


def test_no_images(coco_builder: CocoBuilder) -> None:
    coco_builder.split("train")
    fatal(coco_builder, None, "`images` is empty")


def test_entries_that_are_no_objects(valid: CocoBuilder) -> None:
    valid.split("train")["images"].append(5)
    valid.split("train")["annotations"].append("person")
    fatal(valid, None, "an image entry is not an object: 5", number=2)


@pytest.mark.parametrize("huge", [10**400, -(10**400), 10**39])
def test_numbers_beyond_any_image(valid: CocoBuilder, huge: int) -> None:
    people(valid)[0]["keypoints"][0] = huge
    root = valid.write()
    assert the_problem(check(root)).id == PERSON
    with pytest.raises(DataError, match="id 1: "):
        open_split(root, "train")


def test_many_problems_are_counted_and_the_first_five_listed(valid: CocoBuilder) -> None:
    for number in range(9):
        valid.person("train", IMAGE, id=100 + number, keypoints=[1])
    root = valid.write()
    with pytest.raises(DataError) as caught:
        open_split(root, "train")
    message = str(caught.value)
    assert "9 problems" in message
    assert "and 4 more" in message
    assert [f"id {100 + n}:" in message for n in range(9)] == [True] * 5 + [False] * 4
    assert [p.id for p in check(root).problems] == list(range(100, 109))


def test_several_problems_in_several_splits_are_all_found(valid: CocoBuilder) -> None:
    valid.image("val", 50).unlink()
    people(valid)[0]["keypoints"] = [1]
    valid.write()
    valid.file("report").write_text("{")
    found = {(Path(p.file).name, p.id) for p in check(valid.root).problems}
    assert found == {
        ("person_keypoints_train2017.json", PERSON),
        ("000000000050.jpg", 50),
        ("person_keypoints_report2017.json", None),
    }


def test_no_split_at_all(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such file, so there is no split"):
        check(tmp_path)
    with pytest.raises(DataError, match="no such folder"):
        check(tmp_path / "absent")


def test_the_document_is_json(valid: CocoBuilder) -> None:
    people(valid)[0]["keypoints"][3] = math.nan
    document = check(valid.write()).as_document()
    assert json.loads(json.dumps(document, allow_nan=False)) == document
    assert document["problems"][0].keys() == {"file", "id", "problem"}


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:1\n", "is a Git LFS pointer"),
        (b"\n<!DOCTYPE html><html>", "is a web page or XML"),
        (b"\x1f\x8b\x08", "is a gzip archive: unpack it first"),
        (b"PK\x03\x04", "is a zip archive: unpack it first"),
        (b"\xef\xbb\xbf \n", "is not valid JSON (the file is empty)"),
        (b"{", "is not valid JSON"),
    ],
)
def test_what_stands_in_place_of_annotations_is_named(coco_builder: CocoBuilder, content: bytes, said: str) -> None:
    coco_builder.image("train", 1)
    coco_builder.write()
    file = coco_builder.file("train")
    file.write_bytes(content)
    (problem,) = [problem for problem in check(coco_builder.root).problems if problem.of_whole_file]
    assert problem.problem.startswith(said)
    with pytest.raises(DataError, match=re.escape(f"{file}: {said}")):
        open_split(coco_builder.root, "train")


@pytest.mark.parametrize(
    ("entry", "faults"),
    [
        ({"id": 7, "file_name": "a/größe.jpg", "width": 1, "height": 2}, []),
        (
            {"id": 7, "file_name": "/größe.jpg"},
            ["`file_name` must be a path inside the image folder, got '/größe.jpg'"],
        ),
        ({"id": ["ß", "\n"]}, ["`id` of an image must be a whole number, got ['\\xdf', '\\n']"]),
        ({"id": True}, ["`id` of an image must be a whole number, got True"]),
        ({"file_name": ""}, ["an image without `file_name`"]),
        ({"width": 0}, ["`width` of an image must be a positive whole number, got 0"]),
        ({"height": 2.5}, ["`height` of an image must be a positive whole number, got 2.5"]),
        ("größe", ["an image entry is not an object: 'größe'"]),
    ],
)
def test_what_an_entry_of_an_image_lacks_is_quoted(entry: Any, faults: list[str]) -> None:
    """As it is written, where it is a text; all else in ASCII."""
    sound = {"id": 7, "file_name": "a.jpg", "width": 1, "height": 1}
    assert list(image_faults(sound | entry if isinstance(entry, dict) else entry)) == faults


def test_people_are_counted_past_what_is_malformed_or_of_other_categories() -> None:
    person = {"category_id": 1, "keypoints": [1, 2, 2] * 17}
    annotations = [
        *(person, "nothing", {"category_id": [1]}, {"category_id": 2, "keypoints": [1, 2, 2] * 17}, {}),
        *(person, {"category_id": 1, "keypoints": [0, 0, 0] * 17}, {"category_id": 1}, {**person, "iscrowd": 1}),
    ]
    document = {"images": [{}, {}], "annotations": annotations, "categories": [{"id": 1, "name": "person"}]}
    assert count(document) == {"images": 2, "people": 2, "unlabelled": 2, "crowds": 1}


def test_opening_reads_headers_and_only_the_check_decodes(coco_builder: CocoBuilder) -> None:
    """A file whose header and end are whole, but not what lies between: decoding each would take milliseconds."""
    coco_builder.fill("train", images=2)
    path = coco_builder.folder("train") / f"{1:012d}.jpg"
    whole = path.read_bytes()
    counts = whole.index(b"\xff\xc4") + 5  # of the codes of each length in the first Huffman table
    path.write_bytes(whole[:counts] + b"\xff" * 16 + whole[counts + 16 :])
    split = open_split(coco_builder.write(), "train")
    assert (len(split), split.left_out.images) == (2, 0)
    (problem,) = check(coco_builder.root).problems
    assert (problem.problem, problem.id) == ("not an image that OpenCV can decode", 1)
    with pytest.raises(DataError, match=rf"^{path}: not an image that OpenCV can decode \(image id 1\)\. Repair"):
        split.read_image(0)
    (coco_builder.folder("train") / f"{2:012d}.jpg").unlink()
    split = open_split(coco_builder.root, "train", skip_bad=True)
    assert (len(split), split.left_out.images) == (1, 1), "nor where another file is bad"
