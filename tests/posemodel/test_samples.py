"""Sample images: chosen by the split alone, people in the image's own pixels, drawn from plain data."""

import json

import cv2
import numpy as np
import pytest
import torch

from posemodel.data.open_split import open_split
from posemodel.inference.drawing import INNER, PAPER
from posemodel.network import build_network, input_geometry
from posemodel.scoring.samples import SAMPLES, TILE_SIDE, as_jpeg, draw_samples, predict_samples, sample_positions


@pytest.fixture
def data(coco_builder):
    """Twenty images, every third without a labelled person."""
    for image_id in range(1, 21):
        coco_builder.image("val", image_id, 80, 64)
        if image_id % 3:
            coco_builder.person("val", image_id)
        else:
            coco_builder.unlabelled("val", image_id)
    return coco_builder.write()


@pytest.fixture
def document(data):
    torch.manual_seed(0)
    return predict_samples(
        build_network("small", seed=0), open_split(data, "val"), data, input_geometry("small", 64), torch.device("cpu")
    )


def test_eight_labelled_images_spread_evenly(data):
    split = open_split(data, "val")
    labelled = [position for position in range(len(split)) if split.people_count(position)]
    positions = sample_positions(split)
    assert len(positions) == SAMPLES == len(set(positions))
    assert positions == sorted(positions)
    assert set(positions) <= set(labelled)
    assert (positions[0], positions[-1]) == (labelled[0], labelled[-1])
    places = [labelled.index(position) for position in positions]
    assert set(np.diff(places)) <= {1, 2}
    assert sample_positions(split.subset(labelled[:3])) == [0, 1, 2]
    assert sample_positions(split.subset([2, 5])) == []


def test_the_document_is_plain_and_names_images_and_true_people(document, data):
    split = open_split(data, "val")
    assert json.loads(json.dumps(document, allow_nan=False)) == document
    positions = sample_positions(split)
    assert [image["id"] for image in document["images"]] == [split.image_id(position) for position in positions]
    assert all((data / image["file"]).is_file() for image in document["images"])
    assert {(image["width"], image["height"]) for image in document["images"]} == {(80, 64)}
    assert {one["image_id"] for one in document["annotations"]} == {image["id"] for image in document["images"]}
    first = split.keypoints(positions[0])[0].ravel()
    assert document["annotations"][0]["keypoints"] == pytest.approx(first.tolist(), abs=1e-3)


def test_the_sheet_shows_true_people_where_they_are(document, data):
    without = draw_samples(document | {"annotations": [], "predictions": []}, data)
    drawn = draw_samples(document | {"predictions": []}, data)
    assert drawn.shape == without.shape == (2 * 320 + 6, 4 * TILE_SIDE + 3 * 6, 3)
    # The left shoulder of the person of the first image, (20 + 0.72 * 40, 6 + 0.25 * 52) in its own pixels.
    factor = TILE_SIDE / 80
    x, y = ((value + 0.5) * factor - 0.5 for value in (48.8, 19.0))
    assert tuple(drawn[round(y), round(x)]) == INNER
    changed = (drawn != without).any(axis=-1)
    assert 0 < changed.mean() < 0.2


def test_a_predicted_person_of_one_or_two_points_is_not_drawn(document, data):
    def predicted(points):
        keypoints = np.zeros((17, 3))
        for number in range(points):
            keypoints[number] = 10 + 5 * number, 40, 0.9
        one = {"image_id": document["images"][0]["id"], "category_id": 1, "keypoints": keypoints.ravel().tolist()}
        return draw_samples(document | {"annotations": [], "predictions": [one | {"score": 0.5}]}, data)

    assert (predicted(2) == predicted(0)).all()
    assert (predicted(3) != predicted(0)).any()


def test_images_of_any_shape_become_tiles(tmp_path):
    """Of a large image no pixel is passed over; of a thin one a line is left."""
    stripes = np.tile(np.array([255, 0, 0, 255], np.uint8), 400)
    cv2.imwrite(str(tmp_path / "wide.png"), np.repeat(stripes[None, :, None], 3, axis=2))
    cv2.imwrite(str(tmp_path / "tall.png"), np.repeat(stripes[:, None, None], 3, axis=2))
    for file, size, tile in (("wide.png", (1600, 1), (1, 400)), ("tall.png", (1, 1600), (400, 1))):
        image = {"id": 1, "file": file, "width": size[0], "height": size[1]}
        drawn = draw_samples({"images": [image], "annotations": [], "predictions": []}, tmp_path)
        assert drawn.shape == (*tile, 3)
        assert np.abs(drawn.astype(int) - 127).max() <= 1


def test_without_an_image_there_is_no_sheet(document, data):
    assert draw_samples(document, data) is not None
    first = data / document["images"][0]["file"]
    pixels = cv2.imread(str(first))
    cv2.imwrite(str(first), pixels[:-1])
    assert draw_samples(document, data) is None
    first.unlink()
    assert draw_samples(document, data) is None
    assert draw_samples(document | {"images": []}, data) is None


def test_a_sheet_becomes_a_jpeg_that_looks_the_same(document, data):
    sheet = draw_samples(document, data)
    back = cv2.imdecode(np.frombuffer(as_jpeg(sheet), np.uint8), cv2.IMREAD_COLOR)
    assert back.shape == sheet.shape
    assert np.abs(back.astype(int) - sheet.astype(int)).mean() < 8
    assert tuple(sheet[-1, TILE_SIDE + 2]) == PAPER
