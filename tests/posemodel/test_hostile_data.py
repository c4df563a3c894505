"""Every way to spoil a good data set, one table: `check` names it, opening refuses it, `skip_bad` counts it."""

import copy
import json
import math
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from posemodel.data import open_split as split_opening
from posemodel.data.annotations.document import parse_fast
from posemodel.data.annotations.reading import Reading, read_entry_by_entry
from posemodel.data.annotations.soundness import proven_sound
from posemodel.data.check import check
from posemodel.data.left_out import SHOWN, LeftOut
from posemodel.data.open_split import PackedSplit, count_left_out, open_split
from posemodel.data.packing import packed_arrays
from posemodel.errors import DataError
from posemodel.scoring.evaluation import split_scorer
from posemodel.scoring.results_file import score_file
from posemodel.scoring.scorer import KeypointScorer
from tests.support.coco_builder import CocoBuilder
from tests.support.examples import few

FIRST, SECOND, THIRD, ABSENT = 1, 2, 3, 99
"""Image ids. Annotation 1 is the person of image 1, 2 and 3 those of image 2, 4 the unlabelled one of image 1."""
WIDTH, HEIGHT = 80, 64

Spoil = Callable[[CocoBuilder], None]


@dataclass(frozen=True)
class Case:
    """What a spoiled set says, and what ``skip_bad`` leaves of its three images."""

    spoil: Spoil
    id: int | str | None
    said: str
    images: tuple[int, ...]
    """Ids of the images left."""
    left_out: LeftOut


@pytest.fixture(autouse=True)
def cached(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Sound files of these few kilobytes are kept in the cache too."""
    monkeypatch.setenv("POSEBENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(split_opening, "SMALLEST_CACHED", 0)


@pytest.fixture
def good(coco_builder: CocoBuilder) -> CocoBuilder:
    for image_id in (FIRST, SECOND, THIRD):
        coco_builder.image("train", image_id, WIDTH, HEIGHT)
    coco_builder.person("train", FIRST, box=(2, 2, 40, 50))
    coco_builder.person("train", SECOND, box=(2, 2, 30, 50))
    coco_builder.person("train", SECOND, box=(40, 2, 30, 50))
    coco_builder.unlabelled("train", FIRST, box=(50, 10, 20, 40))
    coco_builder.person("train", THIRD)
    return coco_builder


def image_file(builder: CocoBuilder, image_id: int = FIRST) -> Path:
    return builder.folder("train") / f"{image_id:012d}.jpg"


def on_file(change: Callable[[Path], object]) -> Spoil:
    """Spoil the file of the first image."""
    return lambda builder: change(image_file(builder)) and None


def on_bytes(change: Callable[[bytes], bytes]) -> Spoil:
    return on_file(lambda path: path.write_bytes(change(path.read_bytes())))


def image_entry(**changes: Any) -> Spoil:
    return lambda builder: builder.split("train")["images"][0].update(changes)


def annotation(number: int, **changes: Any) -> Spoil:
    return lambda builder: builder.split("train")["annotations"][number - 1].update(changes)


def keypoint(place: int, value: Any) -> Spoil:
    def spoil(builder: CocoBuilder) -> None:
        builder.split("train")["annotations"][0]["keypoints"][place] = value

    return spoil


def added(key: str, value: Any) -> Spoil:
    return lambda builder: builder.split("train")[key].append(value)


def as_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def as_pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def as_loop(path: Path) -> None:
    path.unlink()
    path.symlink_to(path)


def rotated(path: Path) -> None:
    """Pixels turned by 90 degrees, and the EXIF tag that says so: shown upright, stored as 64x80."""
    stored = cv2.imencode(".jpg", np.zeros((WIDTH, HEIGHT, 3), np.uint8))[1].tobytes()
    path.write_bytes(with_exif(stored, orientation=6))
    assert cv2.imread(str(path)).shape[:2] == (HEIGHT, WIDTH), "OpenCV would follow the tag"


def with_exif(jpeg: bytes, *, orientation: int, preview: bytes = b"") -> bytes:
    tiff = b"II*\x00\x08\x00\x00\x00\x01\x00\x12\x01\x03\x00\x01\x00\x00\x00" + bytes([orientation]) + b"\x00" * 7
    exif = b"Exif\x00\x00" + tiff + preview
    return jpeg[:2] + b"\xff\xe1" + (len(exif) + 2).to_bytes(2, "big") + exif + jpeg[2:]


def cut_behind_a_preview(jpeg: bytes) -> bytes:
    """Most of the pixels are gone, but the preview in the header has an end marker of its own, near the end."""
    whole = with_exif(jpeg, orientation=1, preview=jpeg)
    return whole[: -len(jpeg) // 2]


def png(path: Path, *, cut: int = 0) -> None:
    encoded = cv2.imencode(".png", np.random.default_rng(0).integers(0, 255, (HEIGHT, WIDTH, 3), np.uint8))[1].tobytes()
    path.write_bytes(encoded[: len(encoded) - cut])


def copied(builder: CocoBuilder) -> None:
    builder.split("train")["annotations"].append(dict(builder.split("train")["annotations"][0]))


def other_file_of_the_same_id(builder: CocoBuilder) -> None:
    images = builder.split("train")["images"]
    images.append(images[2] | {"id": FIRST})


def renamed(image_id: Any) -> Spoil:
    """Another id for the first image, in its annotations too."""

    def spoil(builder: CocoBuilder) -> None:
        document = builder.split("train")
        document["images"][0]["id"] = image_id
        for annotation in document["annotations"]:
            if annotation["image_id"] == FIRST:
                annotation["image_id"] = image_id

    return spoil


def images_left_out(reason: str, count: int = 1, *, annotations: int = 0) -> LeftOut:
    return LeftOut(((reason, count),), annotations)


MISSING, NO_IMAGE, CUT = (images_left_out(reason) for reason in ("missing", "not an image", "truncated"))
UNREADABLE, OTHER_SIZE = images_left_out("unreadable"), images_left_out("of another size")
BAD_ENTRY = images_left_out("with a bad entry")
BAD_ANNOTATION = images_left_out("with a bad annotation", annotations=1)
ONE_ANNOTATION = LeftOut((), 1)
ALL, BUT_FIRST, BUT_SECOND = (FIRST, SECOND, THIRD), (SECOND, THIRD), (FIRST, THIRD)

IMAGE_FILES = {
    "missing": Case(on_file(Path.unlink), FIRST, "no such file", BUT_FIRST, MISSING),
    "empty": Case(on_file(lambda p: p.write_bytes(b"") or True), FIRST, "the file is empty", BUT_FIRST, NO_IMAGE),
    "text": Case(on_file(lambda p: p.write_text("<html>404")), FIRST, "not an image", BUT_FIRST, NO_IMAGE),
    "noise": Case(on_bytes(lambda _: bytes(range(256)) * 9), FIRST, "not an image", BUT_FIRST, NO_IMAGE),
    "cut": Case(on_bytes(lambda b: b[: len(b) // 2]), FIRST, "truncated", BUT_FIRST, CUT),
    "cut by a byte": Case(on_bytes(lambda b: b[:-1]), FIRST, "truncated", BUT_FIRST, CUT),
    "cut in the header": Case(on_bytes(lambda b: b[:50]), FIRST, "truncated", BUT_FIRST, CUT),
    "cut behind a preview": Case(on_bytes(cut_behind_a_preview), FIRST, "truncated", BUT_FIRST, CUT),
    "two bytes of a JPEG": Case(on_bytes(lambda b: b[:2]), FIRST, "truncated", BUT_FIRST, CUT),
    "JPEG of a kind that nobody reads": Case(
        on_bytes(lambda b: b.replace(b"\xff\xc0", b"\xff\xc3")), FIRST, "not an image", BUT_FIRST, NO_IMAGE
    ),
    "cut PNG": Case(on_file(lambda p: png(p, cut=3000)), FIRST, "truncated", BUT_FIRST, CUT),
    "huge PNG header": Case(
        on_bytes(lambda _: b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + b"\x7f\xff\xff\xff" * 2 + b"IEND"),
        *(FIRST, "is 2147483647x2147483647 pixels", BUT_FIRST, OTHER_SIZE),
    ),
    "larger": Case(
        on_file(lambda p: cv2.imwrite(str(p), np.zeros((64, 90, 3), np.uint8))),
        *(FIRST, "is 90x64 pixels, annotated as 80x64", BUT_FIRST, OTHER_SIZE),
    ),
    "EXIF rotation": Case(on_file(rotated), FIRST, "is 64x80 pixels, annotated as 80x64", BUT_FIRST, OTHER_SIZE),
    "annotated as another size": Case(
        image_entry(width=WIDTH + 1), FIRST, "is 80x64 pixels, annotated as 81x64", BUT_FIRST, OTHER_SIZE
    ),
    "a folder": Case(on_file(as_folder), FIRST, "is a folder", BUT_FIRST, UNREADABLE),
    "a pipe": Case(on_file(as_pipe), FIRST, "is not a regular file", BUT_FIRST, UNREADABLE),
    "a link to itself": Case(on_file(as_loop), FIRST, "cannot be read", BUT_FIRST, UNREADABLE),
    "a name too long": Case(image_entry(file_name="x" * 300), FIRST, "cannot be read", BUT_FIRST, UNREADABLE),
    "below a file": Case(image_entry(file_name=f"{SECOND:012d}.jpg/x.jpg"), FIRST, "no such file", BUT_FIRST, MISSING),
}
"""Faults of the files: all name the file and the image's id."""

ANNOTATIONS = {
    "51 numbers too few": Case(annotation(1, keypoints=[1] * 48), 1, "must hold 51 numbers", BUT_FIRST, BAD_ANNOTATION),
    "keypoints that are no list": Case(annotation(1, keypoints="x"), 1, "has none", BUT_FIRST, BAD_ANNOTATION),
    "NaN": Case(keypoint(3, math.nan), 1, "not a finite number", BUT_FIRST, BAD_ANNOTATION),
    "infinite": Case(keypoint(4, -math.inf), 1, "not a finite number", BUT_FIRST, BAD_ANNOTATION),
    "too large to hold": Case(keypoint(4, 10**400), 1, "not a finite number", BUT_FIRST, BAD_ANNOTATION),
    "text for a number": Case(keypoint(0, "12"), 1, "not a finite number", BUT_FIRST, BAD_ANNOTATION),
    "visibility 4": Case(keypoint(2, 4), 1, "visibility other than 0, 1, 2: 4", BUT_FIRST, BAD_ANNOTATION),
    "confidence": Case(keypoint(2, 0.87), 1, "0.87: a confidence?", BUT_FIRST, BAD_ANNOTATION),
    "visibility NaN": Case(keypoint(2, math.nan), 1, "not a finite number", BUT_FIRST, BAD_ANNOTATION),
    "crowd in words": Case(annotation(2, iscrowd="perhaps"), 2, "`iscrowd` must be 0 or 1", BUT_SECOND, BAD_ANNOTATION),
    "nowhere": Case(
        annotation(4, segmentation=[], bbox=None),
        4,
        "so neither box nor mask says where this person is",
        BUT_FIRST,
        BAD_ANNOTATION,
    ),
    "nowhere, without any size": Case(
        annotation(4, segmentation=[[]], bbox=[0, 0, 0, 0]),
        *(4, "has no width or height; a polygon is empty; so neither box nor mask", BUT_FIRST, BAD_ANNOTATION),
    ),
    "nowhere in the image": Case(
        annotation(4, segmentation=None, bbox=[100, 0, 10, 10]),
        *(4, "lies outside the image of 80x64 pixels; `segmentation` must be", BUT_FIRST, BAD_ANNOTATION),
    ),
    "a crowd nowhere": Case(
        annotation(1, iscrowd=1, segmentation={"size": [64, 80], "counts": "o" * 100_000}, bbox=[1, 2]),
        *(1, "RLE `counts`", BUT_FIRST, BAD_ANNOTATION),
    ),
    "no category": Case(annotation(2, category_id=None), 2, "`category_id`", BUT_SECOND, BAD_ANNOTATION),
    "annotation of an absent image": Case(
        annotation(2, image_id=ABSENT), 2, "annotates image 99, which is not listed", ALL, ONE_ANNOTATION
    ),
    "annotation of no image": Case(annotation(2, image_id=None), 2, "annotates image None", ALL, ONE_ANNOTATION),
    "annotation of an image by name": Case(annotation(2, image_id="two"), 2, "not listed", ALL, ONE_ANNOTATION),
    "no object": Case(added("annotations", "person"), None, "is not an object: 'person'", ALL, ONE_ANNOTATION),
    "image id of two images": Case(
        other_file_of_the_same_id,
        *(FIRST, "image id occurs twice", BUT_FIRST, images_left_out("with an id that occurs twice", 2)),
    ),
    "image id of no text": Case(renamed(""), "", "must be a whole number", BUT_FIRST, BAD_ENTRY),
    "image id with a fraction": Case(renamed(1.5), None, "must be a whole number", BUT_FIRST, BAD_ENTRY),
    "image id true": Case(renamed(True), None, "must be a whole number", BUT_FIRST, BAD_ENTRY),
    "image id beyond int64": Case(renamed(2**63), None, "must be a whole number", BUT_FIRST, BAD_ENTRY),
    "no file name": Case(image_entry(file_name=None), FIRST, "without `file_name`", BUT_FIRST, BAD_ENTRY),
    "file name out of the folder": Case(
        image_entry(file_name="../../secret.jpg"), FIRST, "inside the image folder", BUT_FIRST, BAD_ENTRY
    ),
    "absolute file name": Case(
        image_entry(file_name="/etc/passwd"), FIRST, "inside the image folder", BUT_FIRST, BAD_ENTRY
    ),
    "file name with a zero": Case(image_entry(file_name="a\0b"), FIRST, "inside the image", BUT_FIRST, BAD_ENTRY),
    "file name of no text": Case(image_entry(file_name="\ud800"), FIRST, "inside the image", BUT_FIRST, BAD_ENTRY),
    "width 0": Case(image_entry(width=0), FIRST, "positive whole number", BUT_FIRST, BAD_ENTRY),
    "height in words": Case(image_entry(height="tall"), FIRST, "positive whole number", BUT_FIRST, BAD_ENTRY),
    "width without bounds": Case(image_entry(width=10**30), FIRST, "positive whole", BUT_FIRST, BAD_ENTRY),
    "image that is no object": Case(added("images", 5), None, "is not an object: 5", ALL, BAD_ENTRY),
}
"""Faults of entries: all name the annotation file, and the entry's id where it has one."""


def ids(split: PackedSplit) -> tuple[int, ...]:
    return tuple(split.image_id(p) for p in range(len(split)))


@pytest.mark.parametrize("name", [*IMAGE_FILES, *ANNOTATIONS])
def test_one_bad_entry(good: CocoBuilder, name: str) -> None:
    case = (IMAGE_FILES | ANNOTATIONS)[name]
    case.spoil(good)
    root = good.write()
    annotations = good.file("train")
    documents = check(root).as_document()
    mentioned = [row for row in documents["problems"] if row["id"] == case.id and case.said in row["problem"]]
    assert mentioned, documents["problems"]
    assert json.loads(json.dumps(documents, allow_nan=False)) == documents

    with pytest.raises(DataError) as caught:
        open_split(root, "train")
    message = str(caught.value)
    assert message.startswith(f"{annotations}: 1 problem\n")
    assert case.said in message
    assert case.id is None or f" id {case.id}: " in message
    assert "--skip-bad" in message
    assert "data check" in message
    if name in IMAGE_FILES:
        (row,) = mentioned
        assert Path(row["file"]).parent.is_relative_to(good.folder("train"))
        assert row["file"] in message

    split = open_split(root, "train", skip_bad=True)
    assert ids(split) == case.images
    assert split.left_out == case.left_out
    for position in range(len(split)):
        split.read_image(position)
        split.ignore_mask(position)
    # What is scored is what was kept, each person once, whatever is in the file beside it.
    perfect = split_scorer(split)
    for position in range(len(split)):
        people = split.people(position)
        perfect.add(split.image_id(position), people, np.ones(len(people)))
    scores = perfect.stats()
    assert (scores.images, scores.people) == (len(split), sum(split.people_count(p) for p in range(len(split))))
    assert scores.ap == pytest.approx(1.0)


@pytest.mark.parametrize("name", IMAGE_FILES)
def test_pixels_are_not_looked_at_where_none_are_read(good: CocoBuilder, name: str) -> None:
    IMAGE_FILES[name].spoil(good)
    assert ids(open_split(good.write(), "train", look_at_images=False)) == ALL


WHOLE_FILES: dict[str, tuple[bytes | Spoil, str]] = {
    "no JSON": (b"{", "is not valid JSON"),
    "empty file": (b"", "is not valid JSON"),
    "no UTF-8": (b'{"images": "\xff\xfe\xfa"}', "is not valid JSON"),
    "a picture": (b"\x89PNG\r\n\x1a\n", "is not valid JSON"),
    "a number of too many digits": (b'{"images": ' + b"9" * 5000 + b"}", "is not valid JSON"),
    "nested too deeply": (b"[" * 100_000, "nested too deeply"),
    "a list": (b"[]", "must hold a JSON object"),
    "null": (b"null", "must hold a JSON object"),
    "images that are no list": (lambda b: b.split("train").update(images={}), "no list `images`"),
    "no annotations": (lambda b: b.split("train").pop("annotations"), "no list `annotations`"),
    "categories null": (lambda b: b.split("train").update(categories=None), "no list `categories`"),
    "no images at all": (lambda b: b.split("train").update(images=[], annotations=[]), "`images` is empty"),
    "no person category": (
        lambda b: b.split("train").update(categories=[{"id": 2, "name": "cat"}, 5, {"name": "person"}]),
        "no category has keypoints; there are `cat`",
    ),
    "no category": (lambda b: b.split("train").update(categories=[]), "there is none at all"),
}


@pytest.mark.parametrize("name", WHOLE_FILES)
@pytest.mark.parametrize("skip_bad", [False, True])
def test_a_fault_of_the_whole_file_is_an_error_in_any_case(good: CocoBuilder, name: str, skip_bad: bool) -> None:
    spoil, said = WHOLE_FILES[name]
    if not isinstance(spoil, bytes):
        spoil(good)
    root = good.write()
    if isinstance(spoil, bytes):
        good.file("train").write_bytes(spoil)
    problems = check(root).problems
    assert [p for p in problems if p.file == str(good.file("train")) and p.id is None and said in p.problem], problems
    with pytest.raises(DataError, match=said) as caught:
        open_split(root, "train", skip_bad=skip_bad)
    assert str(caught.value).startswith(str(good.file("train")))
    assert "--skip-bad" not in str(caught.value), "it does not help"


def test_a_folder_in_place_of_the_annotation_file(good: CocoBuilder) -> None:
    root = good.write()
    good.file("train").unlink()
    good.file("train").mkdir()
    (problem,) = check(root).problems
    assert (problem.file, problem.id) == (str(good.file("train")), None)
    assert "cannot be read (Is a directory)" in problem.problem
    with pytest.raises(DataError, match="Is a directory"):
        open_split(root, "train")


def test_a_file_in_place_of_the_data_set(tmp_path: Path) -> None:
    (tmp_path / "set").write_text("people")
    for refuse in (check, lambda root: open_split(root, "train")):
        with pytest.raises(DataError, match="is not a folder"):
            refuse(tmp_path / "set")


def test_an_id_that_json_cannot_hold_is_not_printed_as_one(good: CocoBuilder) -> None:
    renamed(math.nan)(good)
    document = check(good.write()).as_document()
    assert [row["id"] for row in document["problems"]] == [None]
    json.dumps(document, allow_nan=False)


def test_many_bad_entries_are_counted_and_the_first_listed(good: CocoBuilder) -> None:
    for number in range(20, 30):
        good.image("train", number).unlink()
    annotation(1, keypoints=[1])(good)
    root = good.write()
    with pytest.raises(DataError) as caught:
        open_split(root, "train")
    lines = str(caught.value).splitlines()
    assert lines[0] == f"{good.file('train')}: 11 problems"
    assert lines[1] == "  annotation id 1: `keypoints` must hold 51 numbers, has 1"
    assert lines[2] == f"  image id 20: {image_file(good, 20)}: no such file"
    assert lines[1 + SHOWN] == f"  and {11 - SHOWN} more"
    assert len(lines) == 1 + SHOWN + 2


def test_what_was_left_out_is_said_in_one_line(good: CocoBuilder) -> None:
    for number in (20, 21):
        good.image("train", number).unlink()
    on_bytes(lambda b: b[:-5])(good)
    for _ in range(2):
        good.person("train", ABSENT)
    split = open_split(good.write(), "train", skip_bad=True)
    assert str(split.left_out) == "3 images (2 missing, 1 truncated), 2 annotations"
    assert split.left_out.as_metrics() == {"skipped_images": 3, "skipped_annotations": 2}
    assert str(LeftOut()) == "0 images, 0 annotations"
    assert not LeftOut()


def test_an_image_bad_in_two_ways_is_one_image(good: CocoBuilder) -> None:
    on_file(Path.unlink)(good)
    annotation(1, keypoints=[1])(good)
    annotation(4, segmentation=None, bbox=None, area="large")(good)
    split = open_split(good.write(), "train", skip_bad=True)
    assert split.left_out == images_left_out("with a bad annotation", annotations=2)


def test_nothing_left_is_an_error(good: CocoBuilder) -> None:
    for image_id in ALL:
        image_file(good, image_id).write_bytes(b"")
    with pytest.raises(DataError, match="Nothing is left without them") as caught:
        open_split(good.write(), "train", skip_bad=True)
    assert "3 problems" in str(caught.value)


def test_nobody_left_is_an_error(good: CocoBuilder) -> None:
    good.image("train", 50)
    for number in (1, 2, 5):
        annotation(number, keypoints=[1])(good)
    with pytest.raises(DataError, match=r"no labelled person is left.*3 with a bad annotation"):
        open_split(good.write(), "train", skip_bad=True)


def test_a_sound_set_loses_nothing(good: CocoBuilder) -> None:
    root = good.write()
    plain, skipping = open_split(root, "train"), open_split(root, "train", skip_bad=True)
    assert ids(plain) == ids(skipping) == ALL
    assert plain.left_out == skipping.left_out == LeftOut()
    assert plain.digest() == skipping.digest() != plain.subset([0, 1]).digest()


def test_a_derived_split_s_file_is_counted_once(coco_builder: CocoBuilder) -> None:
    coco_builder.fill("train", images=30)
    coco_builder.fill("val", images=2, first_id=500)
    image_file(coco_builder, 7).unlink()
    (coco_builder.folder("val") / f"{501:012d}.jpg").unlink()
    root = coco_builder.write()
    trained = open_split(root, "train", hold_out_select=True, skip_bad=True)
    select, val = (open_split(root, split, skip_bad=True) for split in ("select", "val"))
    assert count_left_out([trained, select]) == images_left_out("missing")
    assert count_left_out([trained, select, val]) == images_left_out("missing", 2)
    assert 7 not in (*ids(trained), *ids(select))
    assert len(trained) + len(select) == 29


# --- whole and sound ------------------------------------------------------------------------------------------------


def with_far_end(jpeg: bytes) -> bytes:
    return jpeg + b"\0" * 50_000


@pytest.mark.parametrize(
    "change",
    [
        on_bytes(lambda b: b + b"a note behind the end"),
        on_bytes(with_far_end),
        on_bytes(lambda b: with_exif(b, orientation=6)),
        on_bytes(lambda b: with_exif(b, orientation=3, preview=b * 8)),  # a header longer than one read
        on_bytes(lambda b: b[:2] + b"\xff\xff\xff" + b[2:]),  # padding between segments
        on_file(png),
        on_file(lambda p: p.write_bytes(cv2.imencode(".bmp", np.zeros((HEIGHT, WIDTH, 3), np.uint8))[1].tobytes())),
        on_file(lambda p: cv2.imwrite(str(p), np.zeros((HEIGHT, WIDTH), np.uint8))),
        on_file(
            lambda p: cv2.imwrite(str(p), np.zeros((HEIGHT, WIDTH, 3), np.uint8), [cv2.IMWRITE_JPEG_PROGRESSIVE, 1])
        ),
    ],
    ids=[
        "note",
        "padding at the end",
        "EXIF",
        "long EXIF",
        "fill bytes",
        "PNG named .jpg",
        "BMP",
        "grey",
        "progressive",
    ],
)
def test_unusual_files_that_are_whole(good: CocoBuilder, change: Spoil) -> None:
    change(good)
    root = good.write()
    assert check(root).problems == []
    assert open_split(root, "train").read_image(0).shape == (HEIGHT, WIDTH, 3)


def test_a_quick_look_at_every_cut_of_a_jpeg_agrees_with_what_is_there(good: CocoBuilder) -> None:
    """Wherever the file ends, it is refused; nothing crashes on the way."""
    whole = image_file(good).read_bytes()
    root = good.write()
    for length in [*range(0, len(whole), 37), len(whole) - 1]:
        image_file(good).write_bytes(whole[:length])
        with pytest.raises(DataError, match="image id 1: "):
            open_split(root, "train")


# --- predictions ----------------------------------------------------------------------------------------------------


def test_results_on_images_that_were_left_out_do_not_count(good: CocoBuilder, tmp_path: Path) -> None:
    annotation(1, keypoints=[1])(good)
    root = good.write()
    split = open_split(root, "train", skip_bad=True)
    scorer = KeypointScorer(split.truth, split.skeleton)
    for position in range(len(split)):
        scorer.add(split.image_id(position), split.people(position), np.ones(split.people_count(position)))
    scorer.add(FIRST, split.people(0), np.ones(len(split.people(0))))
    results = tmp_path / "results.json"
    scorer.write_predictions(results)
    said: list[LeftOut] = []
    found = score_file(results, good.file("train"), skip_bad=True, on_left_out=said.append)
    assert (found.ap, found.images, found.people) == (pytest.approx(1.0), 2, 3)
    assert said == [BAD_ANNOTATION]
    with pytest.raises(DataError, match="annotation id 1: "):
        score_file(results, good.file("train"))


# --- whatever else --------------------------------------------------------------------------------------------------

HOSTILE = (
    *(None, True, False, 0, -1, 3, 2**31, 2**63, 10**400, 0.5, -0.0, 1e300, math.nan, math.inf, -math.inf),
    *("", "x", "1", "\0", "\ud800", "../x.jpg", "é" * 300, [], [[]], [None], [1, 2], [[1] * 6], {}, {"size": [64, 80]}),
)


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Every place in a document, by keys and indices."""
    keys = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [place for key, child in keys for place in [(*path, key), *places(child, (*path, key))]]


# --- found in bulk --------------------------------------------------------------------------------------------------

NEAR_BORDERS = tuple(
    float(side) + over if isinstance(over, float) else side + over
    for side in (0, HEIGHT, WIDTH, 2 * HEIGHT, 2 * WIDTH, -HEIGHT, -WIDTH)
    for over in (-1, 0, 1, -1.001, -0.001, 0.001, 1.001)
)
"""Coordinates beside every limit of an image."""


def spoiled(document: dict[str, Any], changes: list[tuple[int, Any]]) -> dict[str, Any]:
    """A copy with values put into some places, or (`gone`) taken out."""
    document = copy.deepcopy(document)
    for number, value in changes:
        possible = places(document)
        *parents, last = possible[number % len(possible)]
        inside = document
        for key in parents:
            inside = inside[key]
        if value == "gone" and isinstance(inside, dict):
            del inside[last]
        else:
            inside[last] = copy.deepcopy(value)
    return document


def plain(document: dict[str, Any], *, segments: bool = True) -> bool:
    """Whether a document is read just as it stands, and has no problem."""
    found = read_entry_by_entry(document, Path("x.json"), segments=segments)
    return not found.notes and not found.problems


@pytest.fixture
def document(good: CocoBuilder) -> dict[str, Any]:
    """A sound one, with a crowd and somebody of another category."""
    runs = {"size": [HEIGHT, WIDTH], "counts": [0, HEIGHT * WIDTH]}
    good.unlabelled("train", THIRD, iscrowd=1, segmentation=runs)
    good.unlabelled("train", THIRD, category_id=3)
    return good.split("train")


@settings(few(133, of=400), suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    changes=st.lists(
        st.tuples(st.integers(0, 10**6), st.sampled_from([*HOSTILE, *NEAR_BORDERS, "gone"])), min_size=1, max_size=2
    ),
    segments=st.booleans(),
)
def test_in_bulk_is_sound_what_is_read_as_it_stands_one_by_one(
    document: dict[str, Any], changes: list[tuple[int, Any]], segments: bool
) -> None:
    document = spoiled(document, changes)
    assert proven_sound(document, segments=segments) == plain(document, segments=segments)
    raw = json.dumps(document).encode()
    quick = parse_fast(raw)
    if quick is None:
        return
    found, expected = (read_entry_by_entry(each, Path("x.json")) for each in (quick, json.loads(raw)))
    assert not proven_sound(quick) or plain(json.loads(raw))
    if not found.problems:
        assert found.notes == expected.notes
        arrays = packed_arrays(expected.document)
        for name, array in packed_arrays(found.document).items():
            np.testing.assert_array_equal(array, arrays[name], err_msg=name, strict=True)


@settings(few(100, of=300), suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    changes=st.lists(
        st.tuples(st.integers(0, 10**6), st.sampled_from([*HOSTILE, *NEAR_BORDERS, "gone"])), min_size=1, max_size=4
    ),
    segments=st.booleans(),
)
def test_what_was_read_is_as_coco_has_it(
    document: dict[str, Any], changes: list[tuple[int, Any]], segments: bool
) -> None:
    """What is read without a problem is sound, is read the same again, and leaves what was given as it was."""
    document = spoiled(document, changes)
    before = copy.deepcopy(document)
    found = read_entry_by_entry(document, Path("x.json"), segments=segments)
    assert repr(document) == repr(before)
    if not found.problems:
        assert proven_sound(found.document, segments=segments)
        again = read_entry_by_entry(found.document, Path("x.json"), segments=segments)
        assert again == Reading(found.document)


@pytest.mark.parametrize("name", ANNOTATIONS)
def test_in_bulk_no_fault_is_overlooked(good: CocoBuilder, name: str) -> None:
    assert proven_sound(good.split("train"))
    ANNOTATIONS[name].spoil(good)
    assert not proven_sound(good.split("train"))


@pytest.mark.parametrize("value", [None, [], 5, "x", {}, {"images": [], "annotations": [], "categories": []}])
def test_in_bulk_nothing_else_is_sound(value: Any) -> None:
    assert not proven_sound(value)


def test_in_bulk_beyond_a_block_of_people(good: CocoBuilder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("posemodel.data.annotations.soundness._VALUES_PER_BLOCK", 2 * 51)
    assert proven_sound(good.split("train"))
    for number in range(1, 6):
        last = copy.deepcopy(good.split("train"))
        last["annotations"][number - 1]["area"] = -1
        assert not proven_sound(last)


def at_first(extra: bytes) -> Callable[[bytes], bytes]:
    """Something more at the beginning of the document."""
    return lambda raw: raw.replace(b'{"images"', b"{" + extra + b', "images"', 1)


def put(old: bytes, new: bytes) -> Callable[[bytes], bytes]:
    return lambda raw: raw.replace(old, new, 1)


@pytest.mark.parametrize(
    ("change", "sound"),
    [
        (lambda raw: b"\xef\xbb\xbf" + raw, True),
        (lambda raw: raw.decode().encode("utf-16"), True),
        (at_first(b'"info": NaN'), True),
        (at_first(b'"info": "\\ud800"'), True),
        (at_first(b'"info": [18446744073709551616, 1e400]'), True),
        (at_first(b'"images": 5'), True),
        (put(b'"area": 2000', b'"area": 18446744073709551617'), True),
        (put(b'"image_id": 1', b'"image_id": 1, "image_id": 18446744073709551617'), False),
        (put(b'"image_id": 1', b'"image_id": 18446744073709551617, "image_id": 1'), True),
        (lambda raw: raw + b",", False),
        (at_first(b'"info": 01'), False),
        (at_first(b'"info": "\n"'), False),
    ],
    ids=[
        *("BOM", "UTF-16", "NaN", "surrogate", "large", "key twice", "large area", "large id", "id twice", "comma"),
        *("leading zero", "line break"),
    ],
)
def test_what_the_quick_parser_refuses_or_rounds(
    good: CocoBuilder, monkeypatch: pytest.MonkeyPatch, change: Callable[[bytes], bytes], sound: bool
) -> None:
    """Whichever parser reads it, a file is opened or refused with the same words."""
    root = good.write()
    raw = good.file("train").read_bytes()
    assert change(raw) != raw
    good.file("train").write_bytes(change(raw))

    def opened() -> Any:
        try:
            split = open_split(root, "train")
        except DataError as error:
            return str(error)
        return [split.people(p).tolist() for p in range(len(split))], split.truth.areas.tolist()

    found = opened()
    monkeypatch.setattr(split_opening, "parse_fast", lambda raw: None)
    assert opened() == found
    monkeypatch.setenv("POSEBENCH_CACHE", "/dev/null")
    assert opened() == found
    assert isinstance(found, str) != sound


@settings(few(33, of=100), suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(changes=st.lists(st.tuples(st.integers(0, 10**6), st.sampled_from([*HOSTILE, "gone"])), min_size=1, max_size=3))
def test_no_change_of_the_annotations_is_met_unprepared(good: CocoBuilder, changes: list[tuple[int, Any]]) -> None:
    """What `check` calls a problem is what opening refuses; what ``skip_bad`` leaves can be read and scored."""
    good.write()
    document = json.loads(good.file("train").read_text())
    good.file("train").write_text(json.dumps(spoiled(document, changes)))
    result = check(good.root)
    json.dumps(result.as_document(), allow_nan=False)
    for problem in result.problems:
        f"{problem.file} {problem.id} {problem.problem}".encode()
    if not result.problems:
        open_split(good.root, "train")
    else:
        with pytest.raises(DataError) as caught:
            open_split(good.root, "train")
        str(caught.value).encode()
    try:
        split = open_split(good.root, "train", skip_bad=True)
    except DataError:
        return
    scorer = split_scorer(split)
    for position in range(len(split)):
        split.read_image(position)
        split.ignore_mask(position)
        scorer.add(split.image_id(position), split.people(position), np.ones(split.people_count(position)))
    assert scorer.stats().images == len(split)
