"""Annotations of any keypoints are read: hands, faces, animals, clothes, single points, names or none."""

import json
import pickle
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from posemodel.config import DataFiles
from posemodel.data import open_split as split_opening
from posemodel.data.annotations.categories import find_categories, find_in, order_of
from posemodel.data.annotations.reading import Reading, read, read_entry_by_entry
from posemodel.data.annotations.skeletons import SkeletonChoice
from posemodel.data.annotations.soundness import proven_sound
from posemodel.data.check import check
from posemodel.data.layout import DataSet
from posemodel.data.open_split import open_split
from posemodel.data.packed_split import PackedSplit
from posemodel.data.packing import pack_truth, packed_arrays
from posemodel.data.truth import Truth
from posemodel.errors import DataError
from posemodel.skeleton import COCO_KEYPOINTS, COCO_PERSON, Skeleton
from tests.support.coco_builder import CocoBuilder
from tests.support.keypoint_sets import ANIMAL, CLOTHES, FACE, HAND, HAND_PAIRS, POINT, write_set

FILE = Path("x.json")
SETS: dict[str, tuple[list[str], tuple[str, ...], list[list[int]] | None]] = {
    "hand": (HAND, ("hand",), HAND_PAIRS),
    "face": (FACE, ("face",), None),
    "animals": (ANIMAL, ("horse", "cow", "dog"), [[1, 2], [1, 5], [5, 6]]),
    "clothes": (CLOTHES, ("shirt", "skirt"), None),
    "point": (POINT, ("head",), None),
}


def choose(category: str | None = None, keypoints: tuple[str, ...] | None = None) -> SkeletonChoice:
    return SkeletonChoice(category=category, keypoints=keypoints, digest="chosen")


def choosing(monkeypatch: pytest.MonkeyPatch, choice: SkeletonChoice) -> None:
    """Whoever opens or checks a data set has chosen this."""
    monkeypatch.setattr(split_opening, "read_choice", lambda _: choice)
    monkeypatch.setattr("posemodel.data.check.read_choice", lambda _: choice)


def both_ways(document: dict[str, Any], choice: SkeletonChoice | None = None) -> Reading:
    """A document read entry by entry, which must agree with the check in bulk and need nothing when read again."""
    found = read_entry_by_entry(document, FILE, choice=choice)
    assert proven_sound(document, choice=choice) == (not found.notes and not found.problems)
    if not found.problems:
        again = read_entry_by_entry(found.document, FILE, choice=choice)
        assert (again.notes, again.problems) == ((), ())
        assert again.document == found.document
    return found


def refusal(document: dict[str, Any], choice: SkeletonChoice | None = None) -> str:
    (problem,) = both_ways(document, choice).problems
    assert problem.of_whole_file
    return problem.problem


def kinds(found: Reading) -> dict[str, int]:
    return {note.kind: note.count for note in found.notes}


# --- sets -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", SETS)
def test_a_set_is_opened_with_its_own_keypoints(tmp_path: Path, name: str) -> None:
    names, categories, pairs = SETS[name]
    builder = write_set(tmp_path, names, categories=categories, pairs=pairs)
    document = builder.split("train")
    assert both_ways(document).notes == ()
    result = check(tmp_path)
    assert result.problems == []
    split = open_split(tmp_path, "train")
    assert split.notes == ()
    assert split.skeleton.keypoints == tuple(names)
    assert split.skeleton.name == (categories[0] if len(categories) == 1 else "thing")
    assert (split.category, split.noun) == (3, "object")
    assert split.categories.tolist() == [3 + number for number in range(len(categories))]
    assert result.skeletons["train"] == split.skeleton
    assert result.splits["train"] == {"images": 6, "people": 9, "crowds": 0, "unlabelled": 0}
    expected = np.float32([entry["keypoints"] for entry in document["annotations"]]).reshape(-1, len(names), 3)
    np.testing.assert_array_equal(split.truth.keypoints, expected)
    np.testing.assert_array_equal(split.keypoints(1), expected[1:3])
    assert split.people(1).shape == (2, split.skeleton.num_parts, 3)
    np.testing.assert_array_equal(split.skeleton.to_keypoints(split.people(1)), split.keypoints(1))


def test_the_limbs_of_the_file_are_those_of_its_skeleton(tmp_path: Path) -> None:
    write_set(tmp_path, HAND, pairs=HAND_PAIRS)
    skeleton = open_split(tmp_path, "train").skeleton
    assert {frozenset(limb) for limb in skeleton.limbs} == {frozenset((a - 1, b - 1)) for a, b in HAND_PAIRS}


def test_categories_list_the_same_names_in_their_own_order(tmp_path: Path) -> None:
    plain = open_split(write_set(tmp_path / "plain", ANIMAL, categories=("horse", "cow", "dog")).root, "train")
    builder = write_set(tmp_path / "other", ANIMAL, categories=("horse", "cow", "dog"))
    document = builder.split("train")
    cow = document["categories"][1]
    cow |= {"keypoints": [name.title() for name in reversed(ANIMAL)]}
    of_cows = [entry for entry in document["annotations"] if entry["category_id"] == cow["id"]]
    for entry in of_cows:
        entry["keypoints"] = np.reshape(entry["keypoints"], (-1, 3))[::-1].ravel().tolist()
    found = both_ways(document)
    assert kinds(found) == {"reordered": len(of_cows)}
    assert found.notes[0].text == (
        "3 objects with joints in another order than the first category's: put into the first category's order by "
        "their names"
    )
    split = open_split(builder.write(), "train")
    np.testing.assert_array_equal(split.truth.keypoints, plain.truth.keypoints)
    assert split.skeleton == plain.skeleton


@pytest.mark.parametrize("count", [1, 5])
def test_boxes_areas_and_masks_may_be_missing(tmp_path: Path, count: int) -> None:
    builder = write_set(tmp_path, ANIMAL[:count], categories=("bee",))
    for entry in builder.split("train")["annotations"]:
        del entry["bbox"], entry["area"], entry["segmentation"], entry["iscrowd"]
    split = open_split(builder.write(), "train")
    assert {note.kind for note in split.notes} == {"mask-missing", "box-from-joints", "area-from-joints"}
    assert (split.truth.areas > 0).all()
    assert (split.truth.boxes[:, 2:] > 0).all()
    assert any(note.text.startswith("9 objects without a mask:") for note in split.notes)


# --- names ----------------------------------------------------------------------------------------------------------


def test_keypoints_without_names_are_numbered(tmp_path: Path) -> None:
    builder = write_set(tmp_path, None, categories=("leaf",))
    found = both_ways(builder.split("train"))
    assert kinds(found) == {"joints-numbered": 9}
    numbered = tuple(f"point_{number}" for number in range(1, 13))
    assert open_split(tmp_path, "train").skeleton.keypoints == numbered
    named = choose(keypoints=tuple("abcdefghijkl"))
    assert find_in(builder.split("train"), named).keypoints == tuple("abcdefghijkl")
    assert both_ways(builder.split("train"), named).notes == ()
    assert find_in(builder.split("train"), choose(keypoints=("a", "b"))).keypoints == numbered, "not as many"


def test_given_names_stand_in_for_too_few(tmp_path: Path) -> None:
    """As in whole-body files that list COCO's 17 names, and annotate more."""
    builder = write_set(tmp_path, ANIMAL, categories=("person",))
    document = builder.split("train")
    document["categories"][0]["keypoints"] = [*COCO_KEYPOINTS]
    assert "must hold 51 numbers, has 60" in both_ways(document).problems[0].problem
    found = both_ways(document, choose(keypoints=tuple(ANIMAL)))
    assert (found.notes, found.problems) == ((), ())
    assert pack_truth(document, choose(keypoints=tuple(ANIMAL))).keypoints.shape == (9, 20, 3)


@pytest.mark.parametrize(("points", "expected"), [(17, COCO_KEYPOINTS), (14, None)])
def test_people_without_names_are_coco_s_if_they_have_17(
    tmp_path: Path, points: int, expected: tuple[str, ...] | None
) -> None:
    builder = write_set(tmp_path, ANIMAL[:points], categories=("person",), splits=("train",))
    del builder.split("train")["categories"][0]["keypoints"]
    found = find_in(builder.split("train"))
    assert found.keypoints == (expected or tuple(f"point_{number}" for number in range(1, points + 1)))
    others = tuple(f"own {number}" for number in range(17))
    assert find_in(builder.split("train"), choose(keypoints=others)).keypoints == (
        others if points == 17 else found.keypoints
    )


def test_names_that_stand_twice_are_told_apart(tmp_path: Path) -> None:
    builder = write_set(tmp_path, ["wing", "wing", "wing_2", "tail", ""], categories=("bee",))
    found = both_ways(builder.split("train"))
    assert kinds(found) == {"keypoint-names-repeated": 1}
    assert find_in(found.document).keypoints == ("wing", "wing_3", "wing_2", "tail", "point_5")


@pytest.mark.parametrize(
    "written", [", ".join(HAND), {str(n): name for n, name in enumerate(HAND)}, dict(reversed([*enumerate(HAND, 1)]))]
)
def test_names_may_be_text_or_numbered(tmp_path: Path, written: Any) -> None:
    builder = write_set(tmp_path, HAND)
    builder.split("train")["categories"][0]["keypoints"] = written
    found = both_ways(builder.split("train"))
    assert kinds(found) == {"keypoint-names-as-text": 1}
    assert find_in(found.document).keypoints == tuple(HAND)


@pytest.mark.parametrize("written", [{"left": "eye"}, [["a"], ["b"]], [None], 5, "eye"])
def test_names_that_are_none_are_refused(tmp_path: Path, written: Any) -> None:
    builder = write_set(tmp_path, HAND)
    builder.split("train")["categories"][0]["keypoints"] = written
    assert "`hand` has `keypoints` that are no list of names: " in refusal(builder.split("train"))


def test_names_that_differ_in_separators_alone_stay_apart() -> None:
    assert order_of(("1_1", "11"), ("11", "1_1")) == (1, 0)
    assert order_of(("left_eye", "tail"), ("Tail", "Left Eye")) == (1, 0)
    assert order_of(("left_eye",), ("right_eye",)) is None
    assert order_of(("a", "b"), ("a",)) is None


COCO = {"id": 1, "name": "person", "keypoints": [*COCO_KEYPOINTS]}
BACKWARDS = tuple(reversed(COCO_KEYPOINTS))


def people(category: dict[str, Any], points: int = 17) -> dict[str, Any]:
    """One object of these points, the first at (10, 20), each one pixel to the right of the one before."""
    values = [value for number in range(points) for value in (10 + number, 20 + number % 3, 2)]
    box = {"bbox": [5, 5, 60, 80], "area": 4000.0, "segmentation": [[5, 5, 65, 5, 65, 85]], "iscrowd": 0}
    entry = {"id": 1, "image_id": 1, "category_id": 1, "keypoints": values, "num_keypoints": points}
    image = {"id": 1, "file_name": "a.jpg", "width": 100, "height": 100}
    return {"images": [image], "annotations": [entry | box], "categories": [category]}


@pytest.mark.parametrize("listed", [{}, {"keypoints": [*BACKWARDS]}])
def test_given_names_of_people_stay_with_their_points(listed: dict[str, Any]) -> None:
    choice = choose(keypoints=BACKWARDS)
    found = read_entry_by_entry(people({"id": 1, "name": "person"} | listed), FILE, choice=choice)
    assert found.problems == () and kinds(found) == {"reordered": 1}
    split = PackedSplit.from_arrays(packed_arrays(found.document, choice), name="", annotations="", folder="")
    assert split.skeleton == COCO_PERSON
    x = dict(zip(split.skeleton.keypoints, split.truth.keypoints[0, :, 0].tolist(), strict=True))
    assert [x[name] for name in BACKWARDS] == [10 + number for number in range(17)]


@pytest.mark.parametrize(
    ("names", "words"),
    [
        (["a", "b", "c"], "names other points than the file, or in another order: `dog` (3 keypoints: c, b, a)"),
        (["x", "y", "z"], "names other points than the file, or in another order: `dog` (3 keypoints: c, b, a)"),
        (["a", "b"], "names 2, but the annotations have 3 keypoints"),
    ],
)
def test_given_names_do_not_rename(names: list[str], words: str) -> None:
    """Another file may list its names in another order, which nobody could tell from the new names."""
    document = people({"id": 1, "name": "dog", "keypoints": ["c", "b", "a"]}, points=3)
    choice = SkeletonChoice(keypoints=tuple(names), file="skeleton.toml")
    assert f"skeleton.toml: keypoints: {words}" in refusal(document, choice)
    assert both_ways(document, choose(keypoints=("C", "B", "A"))).notes == ()
    twice = refusal(people(COCO), SkeletonChoice(keypoints=BACKWARDS))
    assert "keypoints: names other points than the file, or in another order: `person` (17 keypoints" in twice


def test_sigmas_without_names_are_refused_where_points_are_put_into_another_order(tmp_path: Path) -> None:
    choice = SkeletonChoice(sigmas=(0.1,) * 17, sigmas_file="s.txt")
    backwards = people(COCO | {"keypoints": [*BACKWARDS]})
    assert refusal(backwards, choice).startswith("s.txt: sigmas: are without names, but ")
    assert both_ways(people(COCO), choice).notes == ()
    named = SkeletonChoice(sigma_of=(("left_ankle", 0.3),))
    assert kinds(both_ways(backwards, named)) == {"reordered": 1}

    builder = write_set(tmp_path / "set", ["a", "b", "c"])
    builder.split("val")["categories"][0]["keypoints"] = ["c", "b", "a"]
    (tmp_path / "s.txt").write_text("0.1\n0.2\n0.3")
    data = DataSet(builder.write(), DataFiles(sigmas=tmp_path / "s.txt"))
    train = open_split(data, "train")
    assert train.skeleton.sigmas == (0.1, 0.2, 0.3)
    assert open_split(data, "train", skeleton=train.skeleton).skeleton == train.skeleton
    with pytest.raises(DataError, match=r"s\.txt: sigmas: are without names, but .*val2017\.json lists its"):
        open_split(data, "val", skeleton=train.skeleton)
    assert "sigmas: are without names" in check(data).problems[0].problem
    (tmp_path / "s.txt").write_text("a 0.1\nb 0.2\nc 0.3")
    assert open_split(data, "val").skeleton.sigmas == (0.3, 0.2, 0.1)
    assert open_split(data, "val", skeleton=train.skeleton).skeleton == train.skeleton


# --- numbers --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("nested", [False, True])
def test_numbers_that_are_no_points_are_refused_in_words(tmp_path: Path, nested: bool) -> None:
    builder = write_set(tmp_path, None, categories=("body",))
    values: list[Any] = [[1] * 133] if nested else [1] * 133
    for entry in builder.split("train")["annotations"]:
        entry["keypoints"] = values
    assert refusal(builder.split("train")) == (
        "`body` lists no names of `keypoints`, so that all its annotations must have as many, each three numbers: 133 "
        "numbers are 44 1/3 points. List the names in its `keypoints`."
    )
    builder.split("train")["categories"][0]["keypoints"] = [f"p{number}" for number in range(44)]
    found = both_ways(builder.split("train"))
    assert len(found.problems) == 9
    assert "must hold 132 numbers, has 133: 133 numbers are 44 1/3 points" in found.problems[0].problem


def test_annotations_without_names_need_as_many_points(tmp_path: Path) -> None:
    builder = write_set(tmp_path, None, categories=("body",))
    entries = builder.split("train")["annotations"]
    entries[0]["keypoints"] = [5, 5, 2]
    (problem,) = both_ways(builder.split("train")).problems
    assert (problem.annotation, problem.problem) == (0, "`keypoints` must hold 36 numbers, has 3")
    for number, entry in enumerate(entries):
        entry["keypoints"] = [5, 5, 2] * (number + 1)
    assert "there are annotations of 3, 6, 9, 12, 15, 18, 21, 24 numbers" in refusal(builder.split("train"))


@pytest.mark.parametrize("nested", [False, True])
def test_pairs_without_visibility_are_refused(tmp_path: Path, nested: bool) -> None:
    builder = write_set(tmp_path, HAND)
    pairs = [[5.0, 6.0]] * 21
    builder.split("train")["annotations"][0]["keypoints"] = pairs if nested else [5.0, 6.0] * 21
    (problem,) = both_ways(builder.split("train")).problems
    assert problem.problem == (
        "`keypoints` must hold 63 numbers, has 42: x and y alone? A visibility of 0, 1 or 2 must follow each pair"
    )


def test_lists_of_three_numbers_are_read(tmp_path: Path) -> None:
    builder = write_set(tmp_path, HAND)
    plain = pack_truth(builder.split("train"))
    for entry in builder.split("train")["annotations"]:
        entry["keypoints"] = np.reshape(entry["keypoints"], (-1, 3)).tolist()
    found = both_ways(builder.split("train"))
    assert [note.text for note in found.notes] == [
        "9 objects with `keypoints` as 21 lists: read as one list of 63 numbers"
    ]
    np.testing.assert_array_equal(pack_truth(found.document).keypoints, plain.keypoints)


# --- several categories ---------------------------------------------------------------------------------------------


@pytest.fixture
def rivals(tmp_path: Path) -> CocoBuilder:
    """Nine hands and one dog of two keypoints."""
    builder = write_set(tmp_path, HAND, pairs=HAND_PAIRS)
    builder.split("train")["categories"].append({"id": 9, "name": "dog", "keypoints": ["nose", "tail"]})
    builder.person("train", 1, category_id=9, keypoints=[5, 6, 2, 7, 8, 1], box=(4, 5, 9, 9))
    builder.write()
    return builder


def test_one_of_different_categories_is_chosen(rivals: CocoBuilder, monkeypatch: pytest.MonkeyPatch) -> None:
    document = rivals.split("train")
    assert refusal(document) == (
        "categories have different keypoints, and only one kind can be read at a time: there are `hand` (21 keypoints) "
        "in 9 annotations, `dog` (2 keypoints) in 1 annotation. Choose with --category NAME (a name or an id)."
    )
    with pytest.raises(DataError, match="Choose with --category NAME"):
        open_split(rivals.root, "train")
    for name in ("dog", "Dog", "9"):
        choosing(monkeypatch, choose(name))
        split = open_split(rivals.root, "train")
        assert (split.skeleton.keypoints, split.category) == (("nose", "tail"), 9)
        assert split.truth.keypoints.tolist() == [[[5, 6, 2], [7, 8, 1]]]
        assert [(note.kind, note.count) for note in split.notes] == [("other-category", 9)]
        assert check(rivals.root).splits["train"]["people"] == 1
    assert "left out: what they show is taught as background" in split.notes[0].text
    said = refusal(document, choose("hnad"))
    assert said == "there is no category 'hnad'. Did you mean hand? There are `hand` (id 3), `dog` (id 9)."


def test_a_category_that_nobody_is_of_is_no_rival(rivals: CocoBuilder) -> None:
    rivals.split("train")["annotations"].pop()
    assert both_ways(rivals.split("train")).notes == ()
    rivals.split("train")["categories"].reverse()
    assert find_in(rivals.split("train")).keypoints == tuple(HAND)


def of(number: int, count: int, visibility: int = 2) -> list[dict[str, Any]]:
    """Some annotations of a category, of 3 points or of COCO's 17."""
    points = 17 if number == 1 else 3
    return [{"category_id": number, "keypoints": [5, 5, visibility] * points}] * count


def test_limbs_and_names_are_those_of_the_first_category_that_has_them() -> None:
    cat = {"id": 2, "name": "cat", "keypoints": ["a", "b", "c"], "skeleton": []}
    dog = {"id": 3, "name": "dog", "keypoints": ["C", "b", "a"], "skeleton": [[1, 3], [3, 2]]}
    found = find_categories([cat, dog], [*of(2, 1), *of(3, 1)])
    assert (found.keypoints, found.pairs, found.pairs_differ) == (("a", "b", "c"), [["c", "a"], ["a", "b"]], False)
    unused = find_categories([cat, dog], of(3, 1))
    assert (unused.name, unused.keypoints, unused.pairs) == ("dog", ("C", "b", "a"), [[1, 3], [3, 2]])
    same = find_categories([cat | {"skeleton": [[2, 1], [3, 1]]}, dog], of(2, 1))
    assert (same.pairs, same.pairs_differ) == ([[2, 1], [3, 1]], False)
    assert find_categories([cat | {"skeleton": [[1, 2]]}, dog], of(2, 1)).pairs_differ


def test_limbs_of_another_order_are_read_by_name(tmp_path: Path) -> None:
    builder = write_set(tmp_path, ["a", "b", "c"], categories=("cat", "dog", "cow"))
    document = builder.split("train")
    document["categories"][1] |= {"keypoints": ["c", "b", "a"], "skeleton": [[1, 3], [3, 2]]}
    document["categories"][2]["skeleton"] = [[1, 2]]
    both_ways(document)
    skeleton = open_split(builder.write(), "train").skeleton
    assert skeleton.limbs == ((2, 0), (0, 1))
    assert skeleton.remarks[0] == "limbs: the categories' `skeleton` differ: that of the first with annotations is used"


@pytest.mark.parametrize("person", [COCO, {"id": 1, "name": "person"}])
def test_people_without_a_labelled_joint_are_no_rival(person: dict[str, Any]) -> None:
    categories = [person, {"id": 2, "name": "hand", "keypoints": ["a", "b", "c"]}]
    assert find_categories(categories, [*of(1, 9, visibility=0), *of(2, 1)]).ids == {2}
    assert find_categories(categories, [*of(1, 1), *of(2, 9)]).ids == {1}
    assert find_categories(categories, [*of(1, 1, visibility=0), *of(2, 1, visibility=0)]).ids == {1}


def test_people_come_first(rivals: CocoBuilder, monkeypatch: pytest.MonkeyPatch) -> None:
    document = rivals.split("train")
    document["categories"].append({"id": 1, "name": "human", "keypoints": [*COCO_KEYPOINTS]})
    assert "different keypoints" in refusal(document), "no annotation is of a human"
    rivals.person("train", 2)
    assert find_in(document).ids == {1}
    split = open_split(rivals.write(), "train")
    assert (split.skeleton, split.noun) == (COCO_PERSON, "person")
    assert [(note.kind, note.count) for note in split.notes] == [("other-category", 10)]
    choosing(monkeypatch, choose("hand"))
    assert open_split(rivals.root, "train").skeleton.keypoints == tuple(HAND)


# --- a given skeleton, the cache, other processes -------------------------------------------------------------------


def test_a_split_is_brought_into_the_order_of_a_given_skeleton(tmp_path: Path) -> None:
    builder = write_set(tmp_path, HAND, pairs=HAND_PAIRS)
    plain = open_split(tmp_path, "val")
    category = builder.split("val")["categories"][0]
    category["keypoints"] = [name.upper() for name in reversed(HAND)]
    for entry in builder.split("val")["annotations"]:
        entry["keypoints"] = np.reshape(entry["keypoints"], (-1, 3))[::-1].ravel().tolist()
    builder.write()
    skeleton = open_split(tmp_path, "train").skeleton
    split = open_split(tmp_path, "val", skeleton=skeleton)
    assert split.skeleton is skeleton
    np.testing.assert_array_equal(split.truth.keypoints, plain.truth.keypoints)
    np.testing.assert_array_equal(split.people(0), plain.people(0))
    again = pickle.loads(pickle.dumps(split))
    np.testing.assert_array_equal(again.truth.keypoints, plain.truth.keypoints)
    del category["keypoints"]
    builder.write()
    assert open_split(tmp_path, "val", skeleton=skeleton).skeleton is skeleton, "without names: in this order"


def test_another_skeleton_is_refused(tmp_path: Path) -> None:
    write_set(tmp_path, HAND)
    with pytest.raises(DataError) as caught:
        open_split(tmp_path, "train", skeleton=COCO_PERSON)
    message = str(caught.value)
    assert message.startswith(f"{tmp_path / 'annotations' / 'person_keypoints_train2017.json'}: its keypoints are ")
    assert "it has 21 (wrist, thumb_1, " in message
    assert "needed are 17 (nose, left_eye, " in message
    assert "--category" in message


def test_splits_of_different_keypoints_are_a_problem(tmp_path: Path) -> None:
    builder = write_set(tmp_path, HAND)
    builder.split("val")["categories"][0]["keypoints"] = [*HAND[1:], "palm"]
    (problem,) = check(builder.write()).problems
    assert (problem.file, problem.id) == (str(builder.file("val")), None)
    assert problem.problem.startswith("its keypoints are not those needed: it has 21 (thumb_1, ")


def equal(one: PackedSplit, other: PackedSplit) -> bool:
    same = all(
        np.array_equal(getattr(one.truth, field.name), getattr(other.truth, field.name)) for field in fields(Truth)
    )
    return same and one.skeleton == other.skeleton


def test_the_cache_keeps_skeletons_apart(rivals: CocoBuilder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POSEBENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(split_opening, "SMALLEST_CACHED", 0)
    splits = {}
    for name in ("hand", "dog"):
        choosing(monkeypatch, choose(name))
        splits[name] = open_split(rivals.root, "train")
        assert splits[name].mapped_from is not None
        assert equal(pickle.loads(pickle.dumps(splits[name])), splits[name])
    monkeypatch.setattr(split_opening, "packed_arrays", None)  # cannot be called
    assert equal(open_split(rivals.root, "train"), splits["dog"])
    choosing(monkeypatch, choose("hand"))
    hands = open_split(rivals.root, "train")
    assert equal(hands, splits["hand"])
    turned = hands.in_order(hands.skeleton, tuple(reversed(range(21))))
    assert turned.mapped_from is None
    assert equal(pickle.loads(pickle.dumps(turned)), turned)


def test_coco_s_people_need_no_limbs_derived(coco_builder: CocoBuilder, monkeypatch: pytest.MonkeyPatch) -> None:
    coco_builder.fill("train", images=2)
    monkeypatch.setattr("posemodel.data.packing.build_skeleton", None)  # cannot be called
    split = open_split(coco_builder.write(), "train")
    assert split.skeleton == COCO_PERSON
    description = json.loads(packed_arrays(coco_builder.split("train"))["skeleton"].tobytes())
    assert Skeleton.from_document(description) == COCO_PERSON
    assert read(coco_builder.split("train"), FILE).notes == ()


def test_a_skeleton_that_does_not_fit_is_a_problem(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_set(tmp_path, HAND, splits=("train",))

    def refuse(*_: object) -> Skeleton:
        raise DataError("skeleton.toml: limbs: no point is called paw.")

    monkeypatch.setattr("posemodel.data.packing.build_skeleton", refuse)
    (problem,) = check(tmp_path).problems
    assert problem.problem == "skeleton.toml: limbs: no point is called paw."
    with pytest.raises(DataError, match=r"skeleton.toml: limbs"):
        open_split(tmp_path, "train")
