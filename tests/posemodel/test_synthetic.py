import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from pycocotools.coco import COCO

from posemodel.data.synthetic import MARKER, SPLITS, generate, render_image, split_sizes
from posemodel.data.synthetic.canvas import PART_LABELS, SUPERSAMPLING, Canvas, Light
from posemodel.data.synthetic.person import Person
from posemodel.skeleton import COCO_KEYPOINTS

SMALL = (160, 120)
RENDERED = 60
POSITION = {name: index for index, name in enumerate(COCO_KEYPOINTS)}

Rendered = list[tuple[np.ndarray, list[dict[str, Any]]]]


@pytest.fixture(scope="module")
def rendered() -> Rendered:
    return [render_image(np.random.default_rng([7, index])) for index in range(RENDERED)]


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("synthetic") / "set"
    assert generate(directory, images=30, seed=3) == {"train": 24, "select": 3, "val": 3}
    return directory


def files(directory: Path) -> dict[str, bytes]:
    return {str(path.relative_to(directory)): path.read_bytes() for path in directory.rglob("*") if path.is_file()}


def keypoints(annotation: dict[str, Any]) -> np.ndarray:
    return np.array(annotation["keypoints"], float).reshape(17, 3)


def coco(directory: Path, split: str) -> COCO:
    return COCO(directory / "annotations" / f"person_keypoints_{split}2017.json")


# --- files ----------------------------------------------------------------------------------------------------------


def test_equal_arguments_give_equal_bytes_and_another_seed_does_not(tmp_path: Path) -> None:
    generate(tmp_path / "a", images=6, seed=1, size=SMALL)
    generate(tmp_path / "b", images=6, seed=1, size=SMALL)
    generate(tmp_path / "c", images=6, seed=2, size=SMALL)
    one, same, other = (files(tmp_path / name) for name in "abc")
    assert one == same
    assert one.keys() == other.keys()
    assert all(one[name] != other[name] for name in one)


def test_an_image_stays_the_same_in_a_longer_set(tmp_path: Path) -> None:
    generate(tmp_path / "short", images=6, seed=1, size=SMALL)
    generate(tmp_path / "long", images=12, seed=1, size=SMALL)
    short, long = files(tmp_path / "short"), files(tmp_path / "long")
    images = [name for name in short if name.endswith(".jpg")]
    assert len(images) == 6
    assert all(short[name] == long[name] for name in images)


def test_layout_ids_and_sizes(written: Path) -> None:
    marker = json.loads((written / MARKER).read_text())
    assert marker["complete"] is True
    assert (marker["images"], marker["seed"], marker["size"]) == (30, 3, None)
    image_ids, annotation_ids, shapes = [], [], set()
    for split in SPLITS:
        loaded = coco(written, split)
        assert loaded.cats[1]["keypoints"] == list(COCO_KEYPOINTS)
        image_ids += loaded.getImgIds()
        annotation_ids += loaded.getAnnIds()
        on_disk = {path.name for path in (written / "images" / f"{split}2017").iterdir()}
        assert on_disk == {entry["file_name"] for entry in loaded.imgs.values()}
        for entry in loaded.imgs.values():
            image = cv2.imread(str(written / "images" / f"{split}2017" / entry["file_name"]))
            assert image.shape == (entry["height"], entry["width"], 3)
            assert entry["license"] == 0
            shapes.add(image.shape)
    assert len(set(image_ids)) == len(image_ids) == 30
    assert len(set(annotation_ids)) == len(annotation_ids)
    assert len(shapes) > 1
    assert not [path for path in written.rglob("*") if path.suffix == ".part" or path.name.endswith(".jsonl")]


def test_progress_counts_every_image(tmp_path: Path) -> None:
    calls: list[tuple[int, int]] = []
    generate(
        tmp_path / "set", images=5, seed=0, size=SMALL, on_progress=lambda done, total: calls.append((done, total))
    )
    assert calls == [(1, 5), (2, 5), (3, 5), (4, 5), (5, 5)]


def test_a_finished_set_is_left_alone(tmp_path: Path) -> None:
    generate(tmp_path, images=4, seed=0, size=SMALL)
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    assert generate(tmp_path, images=4, seed=0, size=SMALL) == {"train": 2, "select": 1, "val": 1}
    assert before == {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}


def test_lost_images_are_made_again_and_the_others_kept(tmp_path: Path) -> None:
    generate(tmp_path, images=8, seed=0, size=SMALL)
    before = files(tmp_path)
    lost = sorted(tmp_path.rglob("*.jpg"))[::2]
    for path in lost:
        path.unlink()
    kept = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.jpg")}
    generate(tmp_path, images=8, seed=0, size=SMALL)
    assert files(tmp_path) == before
    assert all(path.stat().st_mtime_ns == when for path, when in kept.items())


def test_a_lost_annotation_file_is_made_again(tmp_path: Path) -> None:
    generate(tmp_path, images=6, seed=0, size=SMALL)
    before = files(tmp_path)
    (tmp_path / "annotations" / "person_keypoints_select2017.json").unlink()
    generate(tmp_path, images=6, seed=0, size=SMALL)
    assert files(tmp_path) == before


@pytest.mark.parametrize("stop_after", [1, 4, 8])
def test_an_interrupted_call_is_taken_up(tmp_path: Path, stop_after: int) -> None:
    generate(tmp_path / "whole", images=8, seed=5, size=SMALL)

    def interrupt(done: int, total: int) -> None:
        if done == stop_after:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        generate(tmp_path / "halves", images=8, seed=5, size=SMALL, on_progress=interrupt)
    assert json.loads((tmp_path / "halves" / MARKER).read_text())["complete"] is False
    first = {path: path.stat().st_mtime_ns for path in tmp_path.glob("halves/images/*/*.jpg")}
    assert len(first) == stop_after
    with (tmp_path / "halves" / "synthetic.progress.jsonl").open("a") as progress:
        progress.write('{"image": {"id": 10')  # torn by the interruption
    generate(tmp_path / "halves", images=8, seed=5, size=SMALL)
    assert files(tmp_path / "halves") == files(tmp_path / "whole")
    assert all(path.stat().st_mtime_ns == when for path, when in first.items())


def test_foreign_folders_are_refused(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("irreplaceable")
    with pytest.raises(FileExistsError, match=r"mine.*new or an empty folder"):
        generate(tmp_path / "mine", images=3, seed=0)
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["thesis.txt"]
    (tmp_path / "file").write_text("")
    with pytest.raises(FileExistsError, match="not a folder"):
        generate(tmp_path / "file", images=3, seed=0)
    generate(tmp_path / "set", images=3, seed=0, size=SMALL)
    before = files(tmp_path / "set")
    with pytest.raises(FileExistsError, match="seed 0, not 1"):
        generate(tmp_path / "set", images=3, seed=1, size=SMALL)
    assert files(tmp_path / "set") == before


def test_wrong_arguments_are_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="images must be at least 3"):
        generate(tmp_path / "set", images=2, seed=0)
    with pytest.raises(ValueError, match="seed"):
        generate(tmp_path / "set", images=3, seed=-1)
    with pytest.raises(ValueError, match="size"):
        generate(tmp_path / "set", images=3, seed=0, size=(8, 8))
    assert not (tmp_path / "set").exists()
    assert split_sizes(3) == {"train": 1, "select": 1, "val": 1}
    assert split_sizes(1000) == {"train": 800, "select": 100, "val": 100}


# --- annotations ----------------------------------------------------------------------------------------------------


def test_pycocotools_agrees_with_masks_boxes_and_areas(written: Path) -> None:
    people = 0
    for split in SPLITS:
        loaded = coco(written, split)
        for annotation in loaded.anns.values():
            entry = loaded.imgs[annotation["image_id"]]
            mask = loaded.annToMask(annotation)
            assert mask.shape == (entry["height"], entry["width"])
            x, y, width, height = annotation["bbox"]
            assert 0 <= x < x + width <= entry["width"]
            assert 0 <= y < y + height <= entry["height"]
            if annotation["iscrowd"]:
                assert mask.sum() == annotation["area"]
                assert annotation["num_keypoints"] == 0
                continue
            rows, columns = np.nonzero(mask)
            if annotation["area"] > 500:  # polygons fill the gaps between limbs, and are simplified
                assert 0.93 * annotation["area"] < mask.sum() < 1.6 * annotation["area"]
                assert abs(columns.min() - x) <= 1
                assert abs(columns.max() + 1 - x - width) <= 1
                assert abs(rows.min() - y) <= 1
                assert abs(rows.max() + 1 - y - height) <= 1
            points = keypoints(annotation)
            assert annotation["num_keypoints"] == (points[:, 2] > 0).sum()
            assert not points[points[:, 2] == 0].any()
            labelled = points[points[:, 2] > 0]
            assert (labelled[:, :2] >= 0).all()
            assert (labelled[:, :2] <= (entry["width"] - 1, entry["height"] - 1)).all()
            near = cv2.dilate(mask, np.ones((5, 5), np.uint8))  # within 2 pixels
            for joint_x, joint_y, visibility in points:
                assert visibility != 2 or near[round(joint_y), round(joint_x)]
            people += annotation["num_keypoints"] > 0
    assert people > 30


def test_crowds_are_run_lengths_that_sum_to_the_image(rendered: Rendered) -> None:
    crowds = [(image, found) for image, annotations in rendered for found in annotations if found["iscrowd"]]
    assert crowds
    for image, crowd in crowds:
        assert crowd["segmentation"]["size"] == list(image.shape[:2])
        assert sum(crowd["segmentation"]["counts"]) == image.shape[0] * image.shape[1]
        assert sum(crowd["segmentation"]["counts"][1::2]) == crowd["area"]


def test_the_set_is_as_varied_as_promised(rendered: Rendered) -> None:
    people = [sum(found["num_keypoints"] > 0 for found in annotations) for _, annotations in rendered]
    assert np.mean(np.array(people) >= 3) >= 0.3
    assert people.count(1) > 0
    assert max(people) >= 5
    visibility = np.concatenate([keypoints(found)[:, 2] for _, annotations in rendered for found in annotations])
    occluded, visible = (visibility == 1).sum(), (visibility == 2).sum()
    assert 0.15 <= occluded / (occluded + visible) <= 0.4
    unlabelled = [
        found for _, every in rendered for found in every if not found["num_keypoints"] and not found["iscrowd"]
    ]
    assert unlabelled
    heights = [
        found["bbox"][3] / image.shape[0]
        for image, annotations in rendered
        for found in annotations
        if not found["iscrowd"]
    ]
    assert min(heights) < 0.25
    assert max(heights) > 0.85


def test_left_and_right_follow_from_front_and_back(rendered: Rendered) -> None:
    """Seen from the front the right shoulder lies left in the image; from behind it is the other way round."""
    from_front, from_behind = [], []
    for _, annotations in rendered:
        for found in annotations:
            points = keypoints(found)
            left, right = points[POSITION["left_shoulder"]], points[POSITION["right_shoulder"]]
            if not (left[2] and right[2] and found["bbox"][3] > 60):
                continue
            face = points[[POSITION[name] for name in ("nose", "left_eye", "right_eye")], 2]
            if (face == 2).all():
                from_front.append(right[0] < left[0])
            elif not face.any():
                from_behind.append(right[0] > left[0])
    assert len(from_front) > 20
    assert len(from_behind) > 10
    assert np.mean(from_front) > 0.85
    assert np.mean(from_behind) > 0.85


def test_a_joint_lies_where_it_was_drawn() -> None:
    """Each wrist is the pivot of its hand: the label at its pixel is the forearm's or the hand's."""
    light = Light(np.array([0.0, -0.6, 0.8]), 1.0)
    near = drawn = 0
    for index in range(20):
        canvas = Canvas(np.zeros((480, 640, 3), np.uint8), np.zeros((480, 640), np.uint16), light)
        person = Person.sample(np.random.default_rng([11, index]), 180.0, (160.0, 225.0))
        person.draw(canvas, 0)
        for side in ("left", "right"):
            own = np.isin(canvas.labels, [PART_LABELS[f"{side}_{part}"] for part in ("forearm", "hand")])
            x, y = person.at[f"{side}_wrist"] * SUPERSAMPLING + (SUPERSAMPLING - 1) / 2
            distance = cv2.distanceTransform((~own).astype(np.uint8), cv2.DIST_L2, 3)
            if 0 <= x < 639 and 0 <= y < 479:
                drawn += 1
                near += distance[round(y), round(x)] <= SUPERSAMPLING
    assert drawn > 30
    assert near / drawn > 0.6  # the rest is hidden by the body itself


def test_pixel_centres_are_at_integer_coordinates() -> None:
    rng, light = np.random.default_rng(0), Light(np.array([0.0, -0.6, 0.8]), 1.0)
    angles = np.linspace(0, 2 * np.pi, 21)[:-1]
    rows, columns = np.indices((32, 40))
    offsets = []
    for _ in range(100):
        canvas = Canvas(np.zeros((64, 80, 3), np.uint8), np.zeros((64, 80), np.uint16), light)
        centre = rng.uniform(10, 20, 2)
        canvas.fill(centre + 5 * np.stack([np.cos(angles), np.sin(angles)], axis=-1), (255.0, 255.0, 255.0))
        image = cv2.resize(canvas.colours, (40, 32), interpolation=cv2.INTER_AREA)[..., 0].astype(float)
        offsets.append(np.array([(columns * image).sum(), (rows * image).sum()]) / image.sum() - centre)
    assert np.abs(np.mean(offsets, axis=0)).max() < 0.05
    assert np.abs(offsets).max() < 0.3


@pytest.mark.parametrize("size", [(32, 32), (48, 200), (640, 480)])
def test_every_size_renders(size: tuple[int, int]) -> None:
    for index in range(4):
        image, annotations = render_image(np.random.default_rng(index), size=size)
        assert image.shape == (size[1], size[0], 3)
        assert all(found["area"] > 0 for found in annotations)


def test_rendering_is_pure() -> None:
    state = np.random.get_state()[1].copy()  # noqa: NPY002 - the global generator must stay untouched
    first = render_image(np.random.default_rng(5), size=SMALL)
    again = render_image(np.random.default_rng(5), size=SMALL)
    assert first[0].shape == (SMALL[1], SMALL[0], 3)
    assert first[0].dtype == np.uint8
    np.testing.assert_array_equal(first[0], again[0])
    assert first[1] == again[1]
    np.testing.assert_array_equal(np.random.get_state()[1], state)  # noqa: NPY002
