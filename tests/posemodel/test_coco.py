import json
import pickle
import shutil
from dataclasses import fields
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pycocotools import mask as coco_mask

from posemodel.data.annotations.reading import read, read_entry_by_entry
from posemodel.data.annotations.soundness import proven_sound
from posemodel.data.layout import fingerprint, in_select, split_names
from posemodel.data.left_out import LeftOut
from posemodel.data.open_split import PackedSplit, open_split, pack_truth, people_from_coco, read_document
from posemodel.data.packing import packed_arrays
from posemodel.data.truth import Truth
from posemodel.errors import DataError
from posemodel.skeleton import COCO_KEYPOINTS, COCO_PERSON, Skeleton
from tests.support.coco_builder import CocoBuilder, rectangle, standing_keypoints
from tests.support.plain_pack import plain_arrays

RIGHT, LEFT = COCO_KEYPOINTS.index("right_shoulder"), COCO_KEYPOINTS.index("left_shoulder")


def assert_same(split: PackedSplit, other: PackedSplit) -> None:
    """Equal in everything but where the arrays are."""
    assert isinstance(other, PackedSplit)
    for name in [field.name for field in fields(split) if field.name not in ("truth", "mapped_from")]:
        assert_equal(getattr(split, name), getattr(other, name), name)
    for name in [field.name for field in fields(Truth)]:
        assert_equal(getattr(split.truth, name), getattr(other.truth, name), name)


def assert_equal(value: Any, other: Any, name: str) -> None:
    if isinstance(value, np.ndarray):
        assert value.dtype == other.dtype, name
        np.testing.assert_array_equal(value, other, err_msg=name)
    else:
        assert value == other, name


def keypoints_with(**named: tuple[float, float, int]) -> np.ndarray:
    keypoints = np.zeros((1, 17, 3), np.float32)
    for name, value in named.items():
        keypoints[0, COCO_KEYPOINTS.index(name)] = value
    return keypoints


# --- people ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("right", "left", "lower"), [(1, 2, 1), (2, 1, 1), (2, 2, 2)])
def test_neck_is_the_unrounded_midpoint_with_the_lower_visibility(right: int, left: int, lower: int) -> None:
    people = people_from_coco(keypoints_with(right_shoulder=(10, 20, right), left_shoulder=(31, 25, left)))
    assert people[0, COCO_PERSON.parts.index("neck")].tolist() == [20.5, 22.5, lower]


@pytest.mark.parametrize("missing", ["right_shoulder", "left_shoulder"])
def test_no_neck_without_both_shoulders(missing: str) -> None:
    both = {"right_shoulder": (10, 20, 2), "left_shoulder": (31, 25, 2)}
    people = people_from_coco(keypoints_with(**both | {missing: (15, 20, 0)}))
    assert people[0, COCO_PERSON.parts.index("neck")].tolist() == [0, 0, 0]
    assert people[0, COCO_PERSON.parts.index(missing)].tolist() == [0, 0, 0], "an unlabelled point keeps no coordinates"


def test_people_are_packed_per_image_in_order_of_image_ids(coco_builder: CocoBuilder) -> None:
    for image_id in (30, 10, 20):
        coco_builder.image("train", image_id)
    coco_builder.person("train", 30, box=(1, 2, 30, 40))
    coco_builder.person("train", 10, box=(5, 6, 30, 40))
    coco_builder.person("train", 30, box=(40, 2, 30, 40))
    coco_builder.person("train", 30, category_id=7)  # not a person
    coco_builder.unlabelled("train", 20)
    split = open_split(coco_builder.write(), "train")
    assert [split.image_id(p) for p in range(3)] == [10, 20, 30]
    assert [split.people_count(p) for p in range(3)] == [1, 0, 2]
    assert split.keypoints(2)[1].ravel().tolist() == pytest.approx(standing_keypoints(40, 2, 30, 40))
    assert split.people(1).shape == (0, 18, 3)
    assert split.path(2).name == "000000000030.jpg"
    assert split.size(0) == (80, 64)
    nose = split.people(0)[0, COCO_PERSON.parts.index("nose")]
    assert nose.tolist() == pytest.approx([5 + 15, 6 + 4, 2])


def test_file_names_beyond_ascii_and_in_folders(coco_builder: CocoBuilder) -> None:
    image = coco_builder.image("train", 1)
    (image.parent / "Überblick").mkdir()
    image.rename(image.parent / "Überblick" / "人.jpg")
    coco_builder.split("train")["images"][0]["file_name"] = "Überblick/人.jpg"
    coco_builder.person("train", 1)
    assert open_split(coco_builder.write(), "train").read_image(0).shape == (64, 80, 3)


def test_everything_is_held_in_arrays(coco_builder: CocoBuilder) -> None:
    coco_builder.fill("train", images=5)
    split = open_split(coco_builder.write(), "train")
    held = [getattr(split, field.name) for field in fields(split) if field.name != "truth"]
    for value in [*held, *vars(split.truth).values()]:
        assert isinstance(value, (np.ndarray, str, bool, LeftOut, Skeleton)) or value is None or value in ((), {})
        assert not isinstance(value, np.ndarray) or value.dtype != object


def test_plain_pickle_keeps_everything(coco_builder: CocoBuilder) -> None:
    coco_builder.fill("train", images=4)
    split = open_split(coco_builder.write(), "train").subset([2, 0])
    again = pickle.loads(pickle.dumps(split))
    assert_same(split, again)
    np.testing.assert_array_equal(split.read_image(0), again.read_image(0))


def test_subsets_of_subsets_and_labelled_only(coco_builder: CocoBuilder) -> None:
    for image_id in range(6):
        coco_builder.image("train", image_id)
        if image_id % 2:
            coco_builder.person("train", image_id)
    split = open_split(coco_builder.write(), "train")
    part = split.subset([5, 4, 1]).subset([2, 0])
    assert [part.image_id(p) for p in range(len(part))] == [1, 5]
    labelled = split.subset([5, 4, 3, 0]).labelled_only()
    assert [labelled.image_id(p) for p in range(len(labelled))] == [5, 3]
    assert len(split.subset([])) == 0
    assert len(split) == 6


VISIBILITIES = [[0] * 17, [2] * 17, [0] * 8 + [1] + [0] * 8, [0, 1, 2, 0.0, 2.0] * 3 + [1, 1]]
CROWDS = [{}, {}, {"iscrowd": 0}, {"iscrowd": 1}, {"iscrowd": True}]
DECLARED = [{}, {}, {"num_keypoints": 0}, {"num_keypoints": 3}, {"num_keypoints": None}]


def any_document(rng: np.random.Generator) -> dict[str, Any]:
    """A small document without problems, of images of 8 x 8 pixels, in which every form of everything occurs."""

    def pick(values: list[Any]) -> Any:
        return values[rng.integers(len(values))]

    def numbers(count: int) -> list[float]:
        return pick([rng.integers(0, 9, count), rng.uniform(0, 8, count)]).tolist()

    def segmentation() -> Any:
        runs = pick([[0, 64], [64], [10, 4, 50]])
        packed = coco_mask.frPyObjects({"size": [8, 8], "counts": runs}, 8, 8)["counts"].decode()
        polygons = [numbers(pick([6, 8, 10])) for _ in range(rng.integers(1, 4))]
        return pick([polygons, polygons, {"size": [8, 8], "counts": runs}, {"size": [8, 8], "counts": packed}])

    def annotation(number: int) -> dict[str, Any]:
        keypoints = numbers(51)
        keypoints[2::3] = pick(VISIBILITIES)
        return {
            "id": number,
            "image_id": pick(image_ids),
            "category_id": pick([1, 1, 1, 2, 5]),
            "keypoints": keypoints,
            "bbox": [*numbers(2), 0.5, 1],
            "area": pick([7, 0.25, 1e30, 10**30]),
            "segmentation": segmentation(),
            **pick(CROWDS),
            **pick(DECLARED),
        }

    image_ids = rng.choice(np.arange(-3, 11), rng.integers(1, 5), replace=False).tolist()
    return {
        "images": [{"id": number, "file_name": f"{number}é.jpg", "width": 8, "height": 8} for number in image_ids],
        "annotations": [annotation(number) for number in range(rng.integers(0, 9))],
        "categories": [{"id": 1, "name": "person"}, {"id": 2, "name": "person"}, {"id": 5, "name": "cat"}],
    }


@settings(max_examples=100, deadline=None, database=None)
@given(seed=st.integers(0, 2**32))
def test_packed_in_bulk_as_one_by_one(seed: int) -> None:
    document, _, problems = read_entry_by_entry(any_document(np.random.default_rng(seed)), Path("x.json"))
    assert not problems
    assert proven_sound(document)
    packed = packed_arrays(document)
    assert Skeleton.from_document(json.loads(packed.pop("skeleton").tobytes())) == COCO_PERSON
    assert {name: array.tolist() for name, array in packed.items()} == plain_arrays(document)
    truth = pack_truth(document)
    np.testing.assert_array_equal(truth.image_ids, packed["image_ids"])
    for field in fields(Truth)[1:]:
        np.testing.assert_array_equal(getattr(truth, field.name), packed[f"truth.{field.name}"], strict=True)


# --- truth ----------------------------------------------------------------------------------------------------------


def test_the_truth_is_everybody_in_the_files_order(coco_builder: CocoBuilder) -> None:
    for image_id in (30, 10, 20):
        coco_builder.image("train", image_id)
    coco_builder.person("train", 30, box=(1, 2, 30, 40), area=7)
    coco_builder.person("train", 10, category_id=9)  # no person
    coco_builder.unlabelled("train", 30, area=8.5)
    coco_builder.person("train", 10, area=9)
    coco_builder.person("train", 30, iscrowd=1, segmentation={"size": [64, 80], "counts": [0, 64 * 80]}, area=10)
    coco_builder.person("train", 30, num_keypoints=0, area=11)  # declared, though wrongly
    coco_builder.unlabelled("train", 30, num_keypoints=5, area=12)
    for annotation in (coco_builder.person("train", 30, area=13), coco_builder.unlabelled("train", 30, area=14)):
        del annotation["num_keypoints"]
    root = coco_builder.write()
    split = open_split(root, "train", look_at_images=False)
    document = read(read_document(coco_builder.file("train")), coco_builder.file("train"), segments=False).document
    for truth in (split.truth, split.subset([1]).truth, pack_truth(document)):
        assert truth.image_ids.tolist() == [10, 20, 30]
        assert truth.start.tolist() == [0, 1, 1, 8]
        assert truth.areas.tolist() == [9, 7, 8.5, 10, 11, 12, 13, 14]
        assert truth.crowd.tolist() == [False, False, False, True, False, False, False, False]
        assert truth.ignored.tolist() == [False, False, True, True, False, True, False, True]
        assert truth.boxes[1].tolist() == [1, 2, 30, 40]
        assert truth.keypoints[1].ravel().tolist() == pytest.approx(standing_keypoints(1, 2, 30, 40))
        assert truth.keypoints.dtype == np.float32


def test_the_truth_needs_no_segmentations(coco_builder: CocoBuilder) -> None:
    coco_builder.fill("train", images=4)
    split = open_split(coco_builder.write(), "train")
    document = read_document(coco_builder.file("train"))
    for annotation in document["annotations"]:
        del annotation["segmentation"]
    found = pack_truth(document)
    for field in fields(Truth):
        np.testing.assert_array_equal(getattr(found, field.name), getattr(split.truth, field.name), strict=True)


def test_the_truth_is_what_is_left(coco_builder: CocoBuilder) -> None:
    coco_builder.fill("train", images=4)
    coco_builder.split("train")["annotations"][0]["keypoints"] = [1]
    split = open_split(coco_builder.write(), "train", skip_bad=True)
    assert split.truth.image_ids.tolist() == [2, 3, 4]
    assert len(split.truth.areas) == split.truth.start[-1] == sum(split.people_count(p) for p in range(3)) + 1


def test_the_truth_of_real_annotations(coco_mini: Path) -> None:
    document = read_document(coco_mini / "annotations" / "person_keypoints_train2017.json")
    truth = open_split(coco_mini, "train").truth
    for row, image_id in enumerate(truth.image_ids.tolist()):
        everybody = [a for a in document["annotations"] if a["image_id"] == image_id]
        rows = slice(truth.start[row], truth.start[row + 1])
        assert truth.boxes[rows].tolist() == [a["bbox"] for a in everybody]
        assert truth.areas[rows].tolist() == [a["area"] for a in everybody]
        assert truth.ignored[rows].tolist() == [a["iscrowd"] == 1 or a["num_keypoints"] == 0 for a in everybody]


# --- ignore masks ---------------------------------------------------------------------------------------------------


def drawn(height: int, width: int, seed: int) -> np.ndarray:
    """A blobby random mask, in Fortran order as pycocotools wants it."""
    noise = cv2.GaussianBlur(np.random.default_rng(seed).random((height, width)), (0, 0), 4)
    return np.asfortranarray((noise > np.median(noise)).astype(np.uint8))


def uncompressed(mask: np.ndarray) -> list[int]:
    flat = mask.ravel(order="F")
    borders = np.flatnonzero(np.diff(flat)) + 1
    runs = np.diff(np.concatenate([[0], borders, [len(flat)]])).tolist()
    return [0, *runs] if flat[0] else runs


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("form", ["compressed", "uncompressed"])
def test_a_crowds_rle_of_either_form_is_what_pycocotools_decodes(
    coco_builder: CocoBuilder, form: str, seed: int
) -> None:
    mask = drawn(48, 70, seed)
    counts = coco_mask.encode(mask)["counts"].decode() if form == "compressed" else uncompressed(mask)
    coco_builder.image("train", 1, 70, 48)
    segmentation = {"size": [48, 70], "counts": counts}
    coco_builder.unlabelled("train", 1, iscrowd=1, segmentation=segmentation, box=(0, 0, 70, 48))
    np.testing.assert_array_equal(open_split(coco_builder.write(), "train").ignore_mask(0), mask)


def test_polygons_of_an_unlabelled_person_are_what_pycocotools_decodes(coco_builder: CocoBuilder) -> None:
    polygons = [[3.5, 2.25, 30.0, 5.5, 22.0, 40.75], rectangle(25, 20, 30.5, 18.25)]
    coco_builder.image("train", 1)
    coco_builder.unlabelled("train", 1, segmentation=polygons)
    ignored = open_split(coco_builder.write(), "train").ignore_mask(0)
    expected = coco_mask.decode(coco_mask.merge(coco_mask.frPyObjects(polygons, 64, 80)))
    assert 0 < expected.sum() < expected.size
    np.testing.assert_array_equal(ignored, expected)


def test_a_labelled_persons_own_segment_is_never_ignored(coco_builder: CocoBuilder) -> None:
    coco_builder.image("train", 1)
    coco_builder.person("train", 1, segmentation=[rectangle(10, 10, 20, 20)])
    coco_builder.unlabelled("train", 1, segmentation=[rectangle(20, 20, 30, 30)])
    ignored = open_split(coco_builder.write(), "train").ignore_mask(0)
    expected = np.zeros((64, 80), np.uint8)
    expected[20:50, 20:50] = 1
    expected[10:30, 10:30] = 0
    np.testing.assert_array_equal(ignored, expected)


def test_a_labelled_person_inside_a_crowd_in_either_order(coco_builder: CocoBuilder) -> None:
    coco_builder.image("train", 1)
    everything = {"size": [64, 80], "counts": [0, 64 * 80]}
    person = {"size": [64, 80], "counts": coco_mask.encode(drawn(64, 80, 1))["counts"].decode()}
    coco_builder.unlabelled("train", 1, iscrowd=1, segmentation=everything)
    coco_builder.person("train", 1, segmentation=person)
    coco_builder.unlabelled("train", 1, iscrowd=1, segmentation=everything)
    ignored = open_split(coco_builder.write(), "train").ignore_mask(0)
    np.testing.assert_array_equal(ignored, 1 - drawn(64, 80, 1))


def test_a_crowd_with_keypoints_counts_as_crowd(coco_builder: CocoBuilder) -> None:
    coco_builder.image("train", 1)
    coco_builder.person("train", 1, iscrowd=1, segmentation={"size": [64, 80], "counts": [0, 64 * 80]})
    split = open_split(coco_builder.write(), "train")
    assert split.people_count(0) == 0
    assert split.ignore_mask(0).all()


def test_no_mask_where_there_is_nothing_to_ignore(coco_builder: CocoBuilder) -> None:
    for image_id in (1, 2, 3):
        coco_builder.image("train", image_id)
    coco_builder.person("train", 1)
    coco_builder.unlabelled("train", 2)
    coco_builder.person("train", 3)
    split = open_split(coco_builder.write(), "train")
    assert split.ignore_mask(0) is None
    assert split.ignore_mask(1) is not None
    assert split.ignore_mask(2) is None
    assert split.subset([1]).ignore_mask(0).any(), "a subset looks its masks up by position"


def test_masks_of_real_images_match_pycocotools(coco_mini: Path) -> None:
    document = json.loads((coco_mini / "annotations" / "person_keypoints_train2017.json").read_text())
    split = open_split(coco_mini, "train")
    sizes = {image["id"]: (image["height"], image["width"]) for image in document["images"]}
    for position in range(len(split)):
        image_id = split.image_id(position)
        ignored = np.zeros(sizes[image_id], bool)
        own = np.zeros(sizes[image_id], bool)
        for annotation in document["annotations"]:
            if annotation["image_id"] == image_id:
                form = coco_mask.frPyObjects(annotation["segmentation"], *sizes[image_id])
                mask = coco_mask.decode(coco_mask.merge(form) if isinstance(form, list) else form).astype(bool)
                if annotation["iscrowd"] or not annotation["num_keypoints"]:
                    ignored |= mask
                else:
                    own |= mask
        found = split.ignore_mask(position)
        if found is None:
            assert not ignored.any()
        else:
            np.testing.assert_array_equal(found, ignored & ~own)


# --- splits ---------------------------------------------------------------------------------------------------------


def test_standard_and_plain_folder_names(tmp_path: Path) -> None:
    builder = CocoBuilder(tmp_path / "a")
    builder.fill("train", images=2)
    root = builder.write()
    assert Path(open_split(root, "train").folder).name == "train2017"
    builder.file("train").rename(root / "annotations" / "person_keypoints_train.json")
    builder.folder("train").rename(root / "images" / "train")
    split = open_split(root, "train")
    assert Path(split.folder).name == "train"
    assert split.read_image(0).ndim == 3
    assert split_names(root) == ["train"]


def test_report_is_val_unless_it_has_its_own_files(coco_builder: CocoBuilder) -> None:
    coco_builder.fill("val", images=2, first_id=50)
    assert [open_split(coco_builder.write(), "report").image_id(p) for p in range(2)] == [50, 51]
    coco_builder.fill("report", images=1, first_id=90)
    assert open_split(coco_builder.write(), "report").image_id(0) == 90


def test_select_is_a_fixed_tenth_and_disjoint_from_the_hold_out(coco_builder: CocoBuilder) -> None:
    for image_id in range(1, 301):
        coco_builder.image("train", image_id, 8, 8)
    root = coco_builder.write()

    def ids(split: PackedSplit) -> set[int]:
        return {split.image_id(p) for p in range(len(split))}

    everything = ids(open_split(root, "train"))
    select = ids(open_split(root, "select"))
    trained = ids(open_split(root, "train", hold_out_select=True))
    assert select == {i for i in everything if in_select(i)}
    assert select | trained == everything == set(range(1, 301))
    assert not select & trained
    assert 15 <= len(select) <= 45
    assert open_split(root, "select").name == "select"


def test_select_of_a_tiny_set_has_someone_to_score(coco_builder: CocoBuilder) -> None:
    image_ids = [i for i in range(1, 100) if not in_select(i)][:6]
    for image_id in image_ids:
        coco_builder.image("train", image_id)
    for image_id in image_ids[:4]:
        coco_builder.person("train", image_id)
    root = coco_builder.write()
    select, trained = open_split(root, "select"), open_split(root, "train", hold_out_select=True)
    assert [select.people_count(p) for p in range(len(select))] == [1]
    assert len(trained) == 5
    assert select.image_id(0) not in [trained.image_id(p) for p in range(5)]


def test_select_with_files_of_its_own_takes_nothing_out_of_train(coco_builder: CocoBuilder) -> None:
    coco_builder.fill("train", images=30)
    coco_builder.fill("select", images=2, first_id=800)
    root = coco_builder.write()
    assert len(open_split(root, "train", hold_out_select=True)) == 30
    assert open_split(root, "select").image_id(0) == 800


def test_unknown_split_names_the_file_and_lists_what_there_is(coco_builder: CocoBuilder) -> None:
    coco_builder.fill("train", images=1)
    coco_builder.fill("val", images=1)
    root = coco_builder.write()
    with pytest.raises(DataError) as caught:
        open_split(root, "trian")
    message = str(caught.value)
    assert str(root / "annotations" / "person_keypoints_trian2017.json") in message
    assert "train, val" in message


def test_missing_folder_says_how_to_get_one(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="posebench data synth"):
        open_split(tmp_path / "nowhere", "train")


def test_select_without_train_is_an_error_about_train(coco_builder: CocoBuilder) -> None:
    coco_builder.fill("val", images=1)
    with pytest.raises(DataError, match="person_keypoints_train2017"):
        open_split(coco_builder.write(), "select")


def test_fingerprint_is_of_the_content_not_of_the_place(coco_builder: CocoBuilder, tmp_path: Path) -> None:
    coco_builder.fill("train", images=2)
    root = coco_builder.write()
    shutil.copytree(root, tmp_path / "elsewhere")
    assert fingerprint(root) == fingerprint(tmp_path / "elsewhere")
    coco_builder.person("train", 1)
    assert fingerprint(coco_builder.write()) != fingerprint(tmp_path / "elsewhere")


# --- pixels ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def one_image(coco_builder: CocoBuilder) -> CocoBuilder:
    coco_builder.image("train", 77)
    coco_builder.person("train", 77)
    coco_builder.write()
    return coco_builder


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, r"no such file \(image id 77\)"),
        (b"not an image", r"not an image that OpenCV can decode \(image id 77\)"),
        (cv2.imencode(".jpg", np.zeros((64, 81, 3), np.uint8))[1].tobytes(), r"is 81x64 pixels, annotated as 80x64"),
    ],
)
def test_an_image_that_is_spoiled_after_the_split_was_opened(
    one_image: CocoBuilder, content: bytes | None, said: str
) -> None:
    split = open_split(one_image.root, "train")
    path = one_image.folder("train") / "000000000077.jpg"
    path.unlink()
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(DataError, match=said) as caught:
        split.read_image(0)
    assert str(path) in str(caught.value)
    assert "data check" in str(caught.value)


def test_exif_rotation_is_ignored(one_image: CocoBuilder) -> None:
    path = one_image.folder("train") / "000000000077.jpg"
    pixels = np.zeros((64, 80, 3), np.uint8)
    pixels[:20] = 255  # bright on top
    assert cv2.imwrite(str(path), pixels)
    plain = path.read_bytes()
    # Orientation 6: "rotate by 90 degrees to show". Little-endian TIFF with one entry, tag 0x0112.
    tiff = b"II*\x00\x08\x00\x00\x00\x01\x00\x12\x01\x03\x00\x01\x00\x00\x00\x06\x00\x00\x00\x00\x00\x00\x00"
    exif = b"Exif\x00\x00" + tiff
    path.write_bytes(plain[:2] + b"\xff\xe1" + (len(exif) + 2).to_bytes(2, "big") + exif + plain[2:])
    assert cv2.imread(str(path)).shape == (80, 64, 3), "the tag is one that OpenCV would follow"
    image = open_split(one_image.root, "train").read_image(0)
    assert image.shape == (64, 80, 3)
    assert image[:16].mean() > 250
    assert image[24:].mean() < 5


def test_grey_images_are_read_as_three_channels(coco_builder: CocoBuilder) -> None:
    coco_builder.image("train", 1, pixels=np.full((64, 80), 99, np.uint8))
    coco_builder.person("train", 1)
    image = open_split(coco_builder.write(), "train").read_image(0)
    assert image.shape == (64, 80, 3)
    assert abs(int(image.mean()) - 99) <= 1


def test_the_tenth_is_held_out_by_the_split_s_full_name_too(coco_builder: CocoBuilder) -> None:
    coco_builder.fill("train", images=30)
    root = coco_builder.write()
    by_name, by_folder = (open_split(root, split, hold_out_select=True) for split in ("train", "train2017"))
    assert len(by_name) == len(by_folder) < 30
