from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from pycocotools.coco import COCO

from posemodel.data.stats import tally
from posemodel.skeleton import COCO_KEYPOINTS
from posemodel.synthetic import SPLITS, generate, render_image
from posemodel.synthetic.annotate import annotate, crop, owner_mask, window
from posemodel.synthetic.canvas import LABELS_PER_PERSON, OWNERS, PART_LABELS, SUPERSAMPLING, Canvas, Light
from posemodel.synthetic.person import Person
from posemodel.synthetic.scene import CROWD_OWNER, PEOPLE_SHARES

SMALL = (160, 120)
RENDERED = 120
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


def keypoints(annotation: dict[str, Any]) -> np.ndarray:
    return np.array(annotation["keypoints"], float).reshape(17, 3)


def coco(directory: Path, split: str) -> COCO:
    return COCO(directory / "annotations" / f"person_keypoints_{split}2017.json")


def test_layout_ids_and_sizes(written: Path) -> None:
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
    """The shares that are asked of the default set; `posebench data stats` prints them for any number of images."""
    shares = tally(
        {
            "images": [
                {"id": number, "width": image.shape[1], "height": image.shape[0]}
                for number, (image, _) in enumerate(rendered)
            ],
            "annotations": [
                found | {"image_id": number} for number, (_, every) in enumerate(rendered) for found in every
            ],
            "categories": [{"id": 1, "name": "person"}],
        }
    )
    found = shares.as_document()
    assert found["share_images_with_3_or_more"] >= 0.3
    assert set(found["people_per_image"]) >= {"1", "2", "3", "4", "5"}
    assert 0.15 <= found["share_joints_occluded"] <= 0.35
    assert found["height_share"]["p5"] < 0.4
    assert found["height_share"]["p95"] > 0.9
    assert np.array(found["height_histogram"])[4:19].min() > 0  # every twentieth of 20..95 % of the image's height
    assert 0.08 <= found["share_cut_by_border"] <= 0.3
    assert found["unlabelled"] > 0
    assert found["crowds"] == found["crowds_rle"] > 0
    assert found["views"]["front"] > 0.3 * found["people"]
    assert found["views"]["back"] > 0.03 * found["people"]
    assert len(found["image_sizes"]) > 3


def test_labels_have_room_for_everybody() -> None:
    """A label is a byte: five people, one too small to annotate, and the crowd."""
    assert len(PEOPLE_SHARES) + 1 < CROWD_OWNER == OWNERS - 1
    assert max(PART_LABELS.values()) < LABELS_PER_PERSON


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
        canvas = Canvas.blank(320, 240, light)
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
        canvas = Canvas.blank(40, 32, light)
        centre = rng.uniform(10, 20, 2)
        canvas.fill(centre + 5 * np.stack([np.cos(angles), np.sin(angles)], axis=-1), (255.0, 255.0, 255.0))
        image = cv2.resize(canvas.pixels, (40, 32), interpolation=cv2.INTER_AREA)[..., 0].astype(float)
        offsets.append(np.array([(columns * image).sum(), (rows * image).sum()]) / image.sum() - centre)
    assert np.abs(np.mean(offsets, axis=0)).max() < 0.05
    assert np.abs(offsets).max() < 0.3


@pytest.mark.parametrize(
    ("low", "high", "wanted"),
    [
        ((10.0, 20.0), (30.0, 40.0), (10, 20, 30, 40)),
        ((10.7, 20.7), (30.2, 40.2), (10, 20, 31, 41)),
        ((-7.5, -9.5), (70.5, 60.5), (0, 0, 64, 48)),
        ((-19.5, 20.5), (-3.5, 30.5), (0, 20, 1, 31)),
        ((70.5, 50.5), (80.5, 60.5), (63, 47, 64, 48)),
    ],
)
def test_a_window_holds_the_whole_person_but_for_what_the_image_cuts(
    low: tuple[float, float], high: tuple[float, float], wanted: tuple[int, int, int, int]
) -> None:
    """Someone wholly outside has the nearest pixel; a margin of a tenth of the stature belongs to the person."""
    person = Person.sample(np.random.default_rng(0), 40.0, (0.0, 0.0))
    person._xy[:] = np.array(low) + 4
    person._xy[0] = np.array(high) - 4
    assert person.bounds() == pytest.approx((*low, *high))
    assert window(person, 64, 48) == wanted


def test_outlines_are_closed_and_follow_the_edges_of_pixels() -> None:
    """Of a ring and a bar nothing but the corners is left; holes are filled, and single pixels are squares."""
    mask = np.zeros((2 * 12, 2 * 16), np.uint8)
    mask[4:16, 8:20] = 255
    mask[8:12, 12:16] = 0
    mask[20:22, 26:28] = 255
    found = annotate(mask, 100, 200)
    assert found is not None
    assert (found["bbox"], found["area"]) == ([104, 202, 10, 9], 36 - 4 + 1)
    outlines = sorted(sorted(zip(polygon[0::2], polygon[1::2], strict=True)) for polygon in found["segmentation"])
    square, pixel = (
        [(x, y) for x in (left, left + side) for y in (top, top + side)]
        for left, top, side in ((104, 202, 6), (113, 210, 1))
    )
    assert outlines == [square, pixel]
    crowd = annotate(mask, 0, 0, crowd=True)
    assert crowd is not None
    counts = [50, 6, 6, 6, 6, 2, 2, 2, 6, 2, 2, 2, 6, 6, 6, 6, 50, 1]
    assert crowd == {
        "segmentation": {"size": [12, 16], "counts": [*counts, 12 * 16 - sum(counts)]},
        "area": 33,
        "bbox": [4, 2, 10, 9],
        "iscrowd": 1,
        "category_id": 1,
        "keypoints": [0] * 51,
        "num_keypoints": 0,
    }
    assert annotate(np.zeros((24, 32), np.uint8), 0, 0) is None


def test_run_lengths_begin_with_the_empty_pixels() -> None:
    mask = np.zeros((4, 6), np.uint8)
    mask[:2, :2] = 255
    found = annotate(mask, 0, 0, crowd=True)
    assert found is not None
    assert found["segmentation"] == {"size": [2, 3], "counts": [0, 1, 5]}


def test_an_owner_has_the_labels_of_its_own_parts() -> None:
    labels = np.arange(256, dtype=np.uint8).reshape(16, 16)
    mask = owner_mask(labels, 2)
    assert labels[mask == 255].tolist() == [*range(2 * LABELS_PER_PERSON, 3 * LABELS_PER_PERSON)]
    assert (mask[mask != 255] == 0).all()
    np.testing.assert_array_equal(crop(labels, (1, 2, 4, 7)), labels[4:14, 2:8])


def test_an_outline_of_stairs_is_a_slope() -> None:
    """A pixel counts where half of it is covered, and steps of one pixel lie within half a pixel of a line."""
    mask = 255 * np.tril(np.ones((20, 20), np.uint8))
    found = annotate(mask, 0, 0)
    assert found is not None
    assert found["area"] == 10 * 11 / 2
    (outline,) = found["segmentation"]
    assert {*zip(outline[0::2], outline[1::2], strict=True)} == {(0, 0), (1, 0), (0, 10), (10, 10), (10, 9)}


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
