"""EXIF orientation: read from every format's header, ignored or followed alike, and named where it explains a fault."""

import struct
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from posemodel import predict
from posemodel.config import AugmentSettings, InputSettings, LoaderSettings, StartMethod
from posemodel.data.check import check
from posemodel.data.dataset import PoseDataset
from posemodel.data.images.files import FileFault, decode_image, decode_reduced, file_fault, header_size
from posemodel.data.images.headers import SIDES_SWAPPED, orientation_of, read_header
from posemodel.data.loader import build_loader
from posemodel.data.open_split import open_split
from posemodel.errors import DataError
from posemodel.inference.pictures import read_picture
from posemodel.network import build_network
from tests.support.coco_builder import CocoBuilder, standing_keypoints
from tests.support.long_tests import long
from tests.support.tagged import TAGGED_FORMATS, tiff_block, with_orientation

WIDTH, HEIGHT = 48, 32
ORIENTATIONS = range(1, 9)
SHOWN = {
    1: lambda p: p,
    2: lambda p: p[:, ::-1],
    3: lambda p: p[::-1, ::-1],
    4: lambda p: p[::-1],
    5: lambda p: p.transpose(1, 0, 2),
    6: lambda p: p.transpose(1, 0, 2)[:, ::-1],
    7: lambda p: p.transpose(1, 0, 2)[::-1, ::-1],
    8: lambda p: p.transpose(1, 0, 2)[::-1],
}
"""The picture that a viewer shows, from the rows and columns as stored: the definition's own words (0th row, 0th
column), written down apart from the code."""


def picture(seed: int = 0, width: int = WIDTH, height: int = HEIGHT) -> NDArray[np.uint8]:
    coarse = np.random.default_rng(seed).integers(0, 255, (4, 6, 3), np.uint8)
    return cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)


def nearly(found: NDArray[np.uint8] | None, wanted: NDArray[np.uint8]) -> bool:
    """Equal but for what JPEG loses."""
    assert found is not None
    return found.shape == wanted.shape and float(np.abs(found.astype(int) - wanted).mean()) < 4


@pytest.mark.parametrize("suffix", TAGGED_FORMATS)
@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_ignored_is_as_stored_and_followed_as_shown(tmp_path: Path, suffix: str, orientation: int) -> None:
    stored = picture()
    path = with_orientation(tmp_path / f"a.{suffix}", stored, orientation)
    shown = SHOWN[orientation](stored)
    assert orientation_of(memoryview(path.read_bytes())) == orientation
    assert nearly(decode_image(path), stored)
    assert nearly(decode_image(path, exif="follow"), shown)
    followed = cv2.imdecode(np.fromfile(path, np.uint8), cv2.IMREAD_COLOR)
    assert nearly(followed, shown), "as OpenCV follows it, and every viewer"


@pytest.mark.parametrize("suffix", TAGGED_FORMATS)
@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_sizes_are_compared_after_turning(tmp_path: Path, suffix: str, orientation: int) -> None:
    path = with_orientation(tmp_path / f"a.{suffix}", picture(), orientation)
    turned = (HEIGHT, WIDTH) if orientation in SIDES_SWAPPED else (WIDTH, HEIGHT)
    for decode in (False, True):
        assert file_fault(path, WIDTH, HEIGHT, decode=decode) is None
        assert file_fault(path, *turned, decode=decode, exif="follow") is None
    stated = header_size(path), header_size(path, exif="follow")
    assert stated in (((WIDTH, HEIGHT), turned), (None, None)), "of WebP and TIFF only decoding tells"


def test_a_turned_picture_is_named_with_its_remedies(tmp_path: Path) -> None:
    path = with_orientation(tmp_path / "a.jpg", picture(), 6)
    ignored = file_fault(path, HEIGHT, WIDTH, decode=False)
    assert isinstance(ignored, FileFault)
    for words in (f"is {WIDTH}x{HEIGHT} pixels", f"annotated as {HEIGHT}x{WIDTH}", "EXIF orientation is 6"):
        assert words in ignored.text
    assert "--exif follow" in ignored.text
    assert "exiftran -ai" in ignored.text
    assert "jpegtran" in ignored.text
    followed = file_fault(path, WIDTH, HEIGHT, decode=False, exif="follow")
    assert followed is not None
    assert "EXIF orientation 6 was followed" in followed.text
    other = file_fault(path, WIDTH + 1, HEIGHT, decode=False)
    assert other is not None
    assert "EXIF" not in other.text, "turning would not help"


@given(
    orientation=st.sampled_from(ORIENTATIONS),
    width=st.integers(9, 90),
    height=st.integers(9, 90),
    reduction=st.sampled_from([1, 2, 4, 8]),
)
def test_decoded_smaller_and_turned_is_turned_and_smaller(
    tmp_path_factory: pytest.TempPathFactory, orientation: int, width: int, height: int, reduction: int
) -> None:
    """Where whole blocks fill the sides, the small picture is turned; else part of one would stand at the beginning."""
    path = with_orientation(tmp_path_factory.mktemp("a") / "a.jpg", picture(1, width, height), orientation)
    small, done = decode_reduced(path, reduction, exif="follow")
    stored, _ = decode_reduced(path, reduction)
    whole = decode_image(path, exif="follow")
    assert stored is not None
    assert small is not None
    if orientation == 1 or not (width % reduction or height % reduction):
        assert done == reduction
        np.testing.assert_array_equal(small, SHOWN[orientation](stored))
    else:
        assert done == 1
        np.testing.assert_array_equal(small, whole)


@given(
    st.binary(max_size=400), st.sampled_from([b"\xff\xd8", b"\x89PNG\r\n\x1a\n", b"RIFF\x10\0\0\0WEBP", b"II*\0", b""])
)
def test_no_bytes_make_the_reader_fail(tail: bytes, head: bytes) -> None:
    data = head + tail
    found = read_header(lambda offset, count: data[offset : offset + count], data[:64], len(data))
    assert found.orientation in ORIENTATIONS


@pytest.mark.parametrize("value", [0, 9, 65535])
@pytest.mark.parametrize("order", ["<", ">"])
def test_an_orientation_that_there_cannot_be_is_none(tmp_path: Path, value: int, order: str) -> None:
    path = with_orientation(tmp_path / "a.jpg", picture(), value, order=order)
    assert nearly(decode_image(path, exif="follow"), picture())


@pytest.mark.parametrize("order", ["<", ">"])
def test_both_byte_orders_and_other_tags_before_it(order: str) -> None:
    block = tiff_block(8, order=order, before=[(0x010F, 3, 1, 77), (0x0110, 3, 1, 6)])
    jpeg = cv2.imencode(".jpg", picture())[1].tobytes()
    data = b"\xff\xd8\xff\xe1" + struct.pack(">H", len(block) + 8) + b"Exif\0\0" + block + jpeg[2:]
    assert orientation_of(memoryview(data)) == 8


def test_a_png_may_have_it_behind_its_pixels(tmp_path: Path) -> None:
    _, encoded = cv2.imencode(".png", picture())
    png, block = encoded.tobytes(), tiff_block(3)
    body = b"eXIf" + block
    chunk = struct.pack(">I", len(block)) + body + struct.pack(">I", zlib.crc32(body))
    end = png.rindex(b"IEND") - 4
    path = tmp_path / "a.png"
    path.write_bytes(png[:end] + chunk + png[end:])
    assert nearly(decode_image(path, exif="follow"), SHOWN[3](picture()))


def upright_set(builder: CocoBuilder, orientation: int, *, images: int = 2) -> Path:
    """Pictures of 64 x 48 stored as a phone does, annotated as a viewer shows them."""
    for split, first in (("train", 1), ("val", 50)):
        for image_id in range(first, first + images):
            shown = picture(image_id, 64, 48)
            path = builder.image(split, image_id, 64, 48, pixels=shown)
            back = {6: 8, 8: 6}.get(orientation, orientation)
            with_orientation(path, np.ascontiguousarray(SHOWN[back](shown)), orientation, quality=98)
            builder.person(split, image_id, box=(10, 4, 30, 40))
    return builder.write()


@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_a_set_annotated_upright_is_read_upright(coco_builder: CocoBuilder, orientation: int) -> None:
    root = upright_set(coco_builder, orientation)
    split = open_split(root, "train", exif="follow")
    assert nearly(split.read_image(0), picture(1, 64, 48))
    kinds = [note.kind for note in split.notes]
    assert kinds == ([] if orientation == 1 else ["exif-followed"])
    if orientation in SIDES_SWAPPED:
        with pytest.raises(DataError, match=r"EXIF orientation is \d"):
            open_split(root, "train")
    else:
        (*_, note) = [None, *open_split(root, "train").notes]
        assert (note is None) == (orientation == 1)
        assert note is None or (note.kind, note.count) == ("exif-ignored", 2)


@pytest.mark.parametrize(("orientation", "method"), [long(3, "spawn"), long(6, "spawn"), (6, "fork")])
def test_the_loader_gives_the_pixels_of_upright_files(
    coco_builder: CocoBuilder, tmp_path: Path, orientation: int, method: StartMethod
) -> None:
    """In whatever process, at a size at which files are decoded smaller too."""
    upright = upright_set(CocoBuilder(tmp_path / "upright"), 1)
    turned = upright_set(coco_builder, orientation)
    batches = []
    for root, exif, workers in ((upright, "ignore", 0), (turned, "follow", 0), (turned, "follow", 1)):
        split = open_split(root, "train", exif=exif)
        dataset = PoseDataset(split, InputSettings(size=32), augment=AugmentSettings(), seed=3)
        settings = LoaderSettings(batch_size=2, num_workers=workers, start_method=method if workers else None)
        loader, _ = build_loader(dataset, settings, training=False)
        batches.append(next(iter(loader)))
    plain, followed, of_worker = (batch.images.numpy().astype(int) for batch in batches)
    assert np.abs(plain - followed).mean() < 4
    np.testing.assert_array_equal(followed, of_worker)
    np.testing.assert_array_equal(batches[0].people.numpy(), batches[1].people.numpy())


def test_data_check_counts_tagged_files_and_names_one(coco_builder: CocoBuilder) -> None:
    root = upright_set(coco_builder, 3)
    result = check(root)
    assert result.problems == []
    notes = {note.file: note for note in result.notes if note.kind == "exif-ignored"}
    assert [note.count for note in notes.values()] == [2, 2]
    assert "000000000001.jpg: 3" in notes[str(coco_builder.file("train"))].text
    followed = check(root, exif="follow")
    assert followed.problems == []
    assert {note.kind for note in followed.notes} >= {"exif-followed"}
    assert not any(note.acts for note in followed.notes)


def test_data_check_names_turned_files_and_follow_mends_them(coco_builder: CocoBuilder) -> None:
    root = upright_set(coco_builder, 6)
    problems = check(root).problems
    assert len(problems) == 4
    assert all("EXIF orientation is 6" in problem.problem for problem in problems)
    assert check(root, exif="follow").problems == []


@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_any_picture_is_read_alike_for_prediction(tmp_path: Path, orientation: int) -> None:
    shown = picture(4, 200, 120)
    back = {6: 8, 8: 6}.get(orientation, orientation)
    stored = np.ascontiguousarray(SHOWN[back](shown))
    tagged = with_orientation(tmp_path / "a.png", stored, orientation)
    plain = read_picture(shown[..., ::-1], [64])
    found = read_picture(tagged, [64], exif="follow")
    assert (found.width, found.height) == (200, 120)
    np.testing.assert_array_equal(found.inputs[0], plain.inputs[0])
    ignored = read_picture(tagged, [64])
    np.testing.assert_array_equal(ignored.inputs[0], read_picture(stored[..., ::-1], [64]).inputs[0])


def test_a_network_reads_pictures_as_it_was_trained(tmp_path: Path) -> None:
    network = build_network("small", seed=0)
    path = with_orientation(tmp_path / "a.png", picture(5, 96, 64), 6)
    upright = tmp_path / "b.png"
    assert cv2.imwrite(str(upright), SHOWN[6](picture(5, 96, 64)))
    network.trained_exif = "follow"
    (as_trained,), (wanted,) = (predict(network, [file], size=64) for file in (path, upright))
    np.testing.assert_array_equal(as_trained.people, wanted.people)
    (asked,) = predict(network, [path], size=64, exif="ignore")
    network.trained_exif = "ignore"
    (plain,) = predict(network, [path], size=64)
    np.testing.assert_array_equal(asked.people, plain.people)


def test_a_person_stays_on_the_pixels_that_were_annotated(coco_builder: CocoBuilder) -> None:
    """A bright spot at the nose, stored turned: followed, it is where the annotation says."""
    shown = np.zeros((48, 64, 3), np.uint8)
    box = (10.0, 4.0, 30.0, 40.0)
    x, y = (round(value) for value in standing_keypoints(*box)[:2])
    shown[y - 1 : y + 2, x - 1 : x + 2] = 255
    path = coco_builder.image("train", 1, 64, 48, pixels=shown)
    with_orientation(path, np.ascontiguousarray(SHOWN[6](shown)), 8, quality=98)
    coco_builder.person("train", 1, box=box)
    split = open_split(coco_builder.write(), "train", exif="follow")
    assert split.read_image(0)[y, x].min() > 200
    assert split.read_image(0).mean() < 5
