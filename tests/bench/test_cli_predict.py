"""`posebench predict` and averaging in `posebench eval`, as somebody at a terminal uses them."""

import json
import shutil

import cv2
import numpy as np
import pytest
import torch
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from bench.cli.actions import predict_files
from posemodel.network import build_network
from posemodel.network.weights import CheckpointInfo, save_weights

KEYS = {"image_id", "category_id", "keypoints", "score", "file_name"}


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    """The small network with lively weights: a beginner that finds dozens of people everywhere."""
    network = build_network("small", seed=3)
    with torch.no_grad():
        for head in (network.first, network.second[-1]):
            head.weight.normal_(std=0.2, generator=torch.Generator().manual_seed(1))
    path = tmp_path_factory.mktemp("checkpoint") / "lively.safetensors"
    save_weights(path, network, CheckpointInfo("small", 96, {}))
    return path


@pytest.fixture
def album(hermetic):
    """A folder of pictures of several kinds and sizes, one of them torn."""
    folder = hermetic / "album"
    (folder / "more").mkdir(parents=True)
    rng = np.random.default_rng(0)
    for name, height, width in (("beach.jpg", 90, 70), ("000000000042.png", 64, 200), ("more/7.jpg", 50, 50)):
        image = cv2.resize(rng.integers(0, 256, (6, 8, 3), np.uint8), (width, height), interpolation=cv2.INTER_CUBIC)
        assert cv2.imwrite(str(folder / name), image)
    (folder / "torn.jpg").write_bytes((folder / "beach.jpg").read_bytes()[:-30])
    (folder / "notes.txt").write_text("a holiday")
    return folder


def test_results_and_drawings_of_a_folder(posebench, hermetic, album, checkpoint):
    code, out, err = posebench(
        *("predict", "album", "--checkpoint", checkpoint, "--json", "found.json", "--draw", "drawn"),
        *("--device", "cpu", "--min-score", 0, "--batch-size", 2),
    )
    assert code == 0, err
    assert "skipped: album/torn.jpg: the image is truncated" in err
    results = json.loads((hermetic / "found.json").read_text())
    assert out.startswith(f"3 images, {len(results)} people (")
    assert " drawn), 1 skipped, " in out
    assert out.rstrip().endswith("images/s")
    assert all(set(result) == KEYS for result in results)
    ids = {result["file_name"]: result["image_id"] for result in results}
    assert ids == {"album/000000000042.png": 42, "album/beach.jpg": 1, "album/more/7.jpg": 7}
    for result in results:
        height, width = cv2.imread(result["file_name"]).shape[:2]
        keypoints = np.array(result["keypoints"]).reshape(17, 3)
        there = keypoints[:, 2] > 0
        assert (keypoints[~there] == 0).all()
        assert keypoints[there, :2].max(initial=0) < 1.05 * max(width, height)
    drawn = {path.relative_to(hermetic / "drawn").as_posix() for path in (hermetic / "drawn").rglob("*.*")}
    assert drawn == {"beach.jpg", "000000000042.png", "more/7.jpg"}
    for name in drawn:
        before, after = cv2.imread(str(album / name)), cv2.imread(str(hermetic / "drawn" / name))
        assert after.shape == before.shape
    before, after = (cv2.imread(str(at / "000000000042.png")).astype(int) for at in (album, hermetic / "drawn"))
    assert (np.abs(after - before).sum(axis=2) > 60).mean() > 0.01, "skeletons are drawn on it"


def test_thresholds_are_for_drawings_only(posebench, hermetic, album, checkpoint):
    common = ("predict", "album/beach.jpg", "--checkpoint", checkpoint, "--device", "cpu")
    found = []
    for number, options in enumerate(([], ["--min-score", 0, "--min-parts", 1], ["--min-score", 1])):
        code, out, err = posebench(*common, "--json", f"{number}.json", "--draw", str(number), *options)
        assert code == 0, err
        found.append((json.loads((hermetic / f"{number}.json").read_text()), int(out.split("(")[1].split()[0])))
    assert found[0][0] == found[1][0] == found[2][0]
    assert found[2][1] == 0
    assert 0 < found[0][1] < found[1][1] == len(found[0][0])


def test_results_on_stdout_are_one_document(posebench, album, checkpoint):
    code, out, err = posebench("predict", "album", "--checkpoint", checkpoint, "--json", "-", "--device", "cpu")
    assert code == 0
    assert {result["image_id"] for result in json.loads(out)} == {1, 7, 42}
    assert "3 images" in err


def test_nothing_that_exists_is_replaced_and_no_work_is_done(posebench, hermetic, album, checkpoint):
    common = ("predict", "album", "--checkpoint", "no-such.safetensors", "--device", "cpu")
    (hermetic / "found.json").write_text("mine")
    (hermetic / "drawn" / "more").mkdir(parents=True)
    (hermetic / "drawn" / "more" / "7.jpg").write_text("mine")
    for options, words in (
        (("--json", "found.json"), "found.json: exists; it is not overwritten"),
        (("--draw", "drawn"), "7.jpg exists; it is not overwritten"),
        (("--draw", "album"), "exists; it is not overwritten"),
        (("--draw", "found.json"), "is a file"),
        (("--json", "no/such/found.json"), "not a folder"),
    ):
        code, out, err = posebench(*common, *options)
        assert (code, out) == (2, "")
        assert words in " ".join(err.split())
    assert (hermetic / "found.json").read_text() == "mine"
    assert sorted(path.name for path in (hermetic / "drawn").rglob("*.*")) == ["7.jpg"]


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["album"], 2, "--json FILE, --draw DIR, or both"),
        (["nowhere", "--json", "-"], 1, "nowhere: no such file or folder"),
        (["empty", "--json", "-"], 1, "no pictures there"),
        (["album/torn.jpg", "--json", "x.json"], 1, "none of the 1 pictures could be read"),
        (["album", "--json", "-", "--min-parts", "4"], 2, "--min-parts: only affects drawings"),
        (["album", "--json", "-", "--scales", "1,x"], 2, "must be numbers separated by commas"),
        (["album", "--json", "-", "--scales", "1,1"], 2, "each may be given once"),
        (["album", "--json", "-", "--scales", "-1"], 2, "scales"),
        (["album", "--json", "-", "--scales", "1,1.01"], 2, "leave one out"),
        (["album", "--json", "-", "--size", "100"], 2, "small needs a multiple of 16"),
        (["album", "album/more/7.jpg", "copy/7.jpg", "--draw", "x"], 2, "use separate runs"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_a_mistake_is_refused_in_words(posebench, hermetic, album, checkpoint, arguments, code, words):
    (hermetic / "empty").mkdir()
    (hermetic / "copy" / "more").mkdir(parents=True)
    for name in ("7.jpg", "more/7.jpg"):
        shutil.copy(album / "more" / "7.jpg", hermetic / "copy" / name)
    if "copy/7.jpg" in arguments:
        arguments = ["album", "copy", "--draw", "x"]
    found, out, err = posebench("predict", *arguments, "--checkpoint", checkpoint, "--device", "cpu")
    assert (found, out) == (code, ""), err
    assert words in " ".join(err.split())
    assert "Traceback" not in err
    assert not (hermetic / "x").exists()
    assert not (hermetic / "x.json").exists()


def test_a_picture_named_twice_is_looked_at_once(posebench, album, checkpoint):
    code, out, _ = posebench(
        "predict",
        "album",
        "album/beach.jpg",
        "album/more",
        "--checkpoint",
        checkpoint,
        "--json",
        "-",
        "--device",
        "cpu",
    )
    assert code == 0
    assert len({result["file_name"] for result in json.loads(out)}) == 3


def test_numbers_that_two_pictures_share_stay_apart(posebench, hermetic, album, checkpoint):
    (hermetic / "other").mkdir()
    shutil.copy(album / "more" / "7.jpg", hermetic / "other" / "00007.jpg")
    shutil.copy(album / "beach.jpg", hermetic / "other" / "0.jpg")
    code, out, _ = posebench("predict", "album", "other", "--checkpoint", checkpoint, "--json", "-", "--device", "cpu")
    assert code == 0
    ids = {result["file_name"]: result["image_id"] for result in json.loads(out)}
    assert ids["other/0.jpg"] == 0, "a number like any other"
    assert ids["album/more/7.jpg"] == 7
    assert len(set(ids.values())) == len(ids) == 5


def test_a_drawing_folder_inside_the_pictures_is_not_searched(posebench, hermetic, album, checkpoint):
    for number in (1, 2):
        (album / "drawn").mkdir(exist_ok=True)
        code, out, _ = posebench(
            "predict", "album", "--checkpoint", checkpoint, "--draw", "album/drawn", "--device", "cpu"
        )
        if number == 1:
            assert (code, out.split(",")[0]) == (0, "3 images")
    assert code == 2, "the second time they are there"


@pytest.mark.parametrize("options", [(), ("--flip", "--scales", "1,0.5")], ids=" ".join)
def test_results_of_a_split_s_pictures_score_as_the_checkpoint_does(posebench, tiny_set, hermetic, checkpoint, options):
    annotations = next((tiny_set / "annotations").glob("person_keypoints_val*.json"))
    pictures = tiny_set / "images" / annotations.stem.removeprefix("person_keypoints_")
    common = ("--checkpoint", checkpoint, "--device", "cpu", *options)
    assert posebench("predict", pictures, *common, "--json", "found.json")[0] == 0
    _, by_file, _ = posebench("eval", "--predictions", "found.json", "--annotations", annotations, "--json")
    code, by_checkpoint, err = posebench("eval", *common, "--data", tiny_set, "--split", "val", "--json")
    assert code == 0, err
    file, checked = json.loads(by_file), json.loads(by_checkpoint)
    assert file.pop("notes") == checked["notes"] == []
    assert {key: checked[key] for key in file} == pytest.approx(file, abs=1e-3)
    if options:
        assert (checked["flip"], checked["scales"]) == (True, "1,0.5")
    truth = COCO(str(annotations))
    evaluation = COCOeval(truth, truth.loadRes("found.json"), "keypoints")
    evaluation.evaluate()
    evaluation.accumulate()
    evaluation.summarize()
    assert evaluation.stats[0] == pytest.approx(file["ap"], abs=1e-6)


def test_real_pictures_with_a_checkpoint_trained_here(posebench, hermetic, tiny, coco_mini):
    train = ("train", "--data", tiny, "--steps", 2, "--size", 64, "--batch-size", 2, "--device", "cpu", "--out", "run")
    assert posebench(*train)[0] == 0
    pictures = coco_mini / "images" / "val2017"
    code, out, err = posebench(
        *("predict", pictures, "--checkpoint", "run/last.safetensors", "--json", "found.json", "--draw", "drawn"),
        *("--device", "cpu", "--flip"),
    )
    assert code == 0, err
    files = sorted(path.name for path in pictures.glob("*.jpg"))
    assert out.startswith(f"{len(files)} images")
    assert sorted(path.name for path in (hermetic / "drawn").iterdir()) == files
    results = json.loads((hermetic / "found.json").read_text())
    assert {result["image_id"] for result in results} <= {int(name.removesuffix(".jpg")) for name in files}
    if results:
        truth = COCO(str(coco_mini / "annotations" / "person_keypoints_val2017.json"))
        assert len(truth.loadRes("found.json").getAnnIds()) == len(results)


@pytest.mark.parametrize(
    ("mode", "unused"),
    [
        (
            ("--predictions", "found.json", "--annotations", "val.json"),
            [
                *(("--data", "x"), ("--split", "train"), ("--exif", "follow"), ("--val-images", "x"), ("--size", "64")),
                *(("--stride", "4"), ("--flip",), ("--scales", "1,2"), ("--labelled-only",)),
                ("--write-predictions", "y.json"),
            ],
        ),
        (
            ("--oracle", "--data", "x"),
            [
                *(("--annotations", "val.json"), ("--flip",), ("--scales", "1,2")),
                ("--write-predictions", "y.json"),
            ],
        ),
        (("--checkpoint", "c.safetensors", "--data", "x"), [("--annotations", "val.json"), ("--stride", "4")]),
    ],
    ids=["predictions", "oracle", "checkpoint"],
)
def test_an_option_without_effect_is_refused_by_its_name(posebench, mode, unused):
    for option in unused:
        code, _, err = posebench("eval", *mode, *option)
        assert (code, f"{option[0]}: has no effect on this kind of evaluation" in err) == (2, True), (option, err)


@pytest.mark.parametrize(
    ("suffix", "options"),
    [(".jpg", (cv2.IMWRITE_JPEG_QUALITY, 92)), (".JPEG", (cv2.IMWRITE_JPEG_QUALITY, 92)), (".png", ())],
)
def test_drawings_are_encoded_as_good_jpeg_files_and_others_as_opencv_does(suffix, options):
    image = np.random.default_rng(0).integers(0, 256, (40, 40, 3)).astype(np.uint8)
    assert predict_files._encoded(image, suffix) == cv2.imencode(suffix, image, options)[1].tobytes()
