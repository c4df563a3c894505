"""`posebench predict` and `posebench eval` with a checkpoint whose skeleton is not COCO's person."""

import json

import cv2
import numpy as np
import pytest
import torch

from posemodel.network import build_network
from posemodel.network.weights import CheckpointInfo, save_weights
from posemodel.skeleton import Skeleton

HAND = Skeleton(
    "hand",
    ("wrist", "left_tip", "right_tip", "thumb"),
    limbs=((0, 1), (0, 2), (0, 3)),
    sigmas=(0.05,) * 4,
    mirror=(("left_tip", "right_tip"),),
)
DOT = Skeleton("dot", ("centre",), limbs=(), sigmas=(0.05,))


def checkpoint_of(skeleton, path):
    """The small network with lively weights: a beginner that finds dozens of objects everywhere."""
    network = build_network("small", skeleton=skeleton, seed=3)
    with torch.no_grad():
        for head in (network.first, network.second[-1]):
            head.weight.normal_(std=0.2, generator=torch.Generator().manual_seed(1))
    save_weights(path, network, CheckpointInfo("small", 96, {}))
    return path


@pytest.fixture
def album(hermetic):
    """A folder with one picture."""
    folder = hermetic / "album"
    folder.mkdir()
    coarse = np.random.default_rng(0).integers(0, 256, (6, 8, 3), np.uint8)
    assert cv2.imwrite(str(folder / "beach.jpg"), cv2.resize(coarse, (90, 70), interpolation=cv2.INTER_CUBIC))
    return folder


@pytest.mark.parametrize("skeleton", [HAND, DOT], ids=lambda skeleton: skeleton.name)
def test_results_name_the_object_and_its_keypoints(posebench, hermetic, album, skeleton):
    checkpoint = checkpoint_of(skeleton, hermetic / "lively.safetensors")
    code, out, err = posebench(
        *("predict", "album", "--checkpoint", checkpoint, "--json", "found.json", "--draw", "drawn"),
        *("--device", "cpu", "--min-score", 0),
    )
    assert code == 0, err
    results = json.loads((hermetic / "found.json").read_text())
    assert results
    assert out.startswith(f"1 images, {len(results)} of {skeleton.name} (")
    for result in results:
        assert (result["category_id"], result["category_name"]) == (1, skeleton.name)
        assert result["keypoint_names"] == list(skeleton.keypoints)
        assert len(result["keypoints"]) == 3 * skeleton.num_keypoints
    before, after = (cv2.imread(str(hermetic / folder / "beach.jpg")) for folder in ("album", "drawn"))
    assert (np.abs(after.astype(int) - before).sum(axis=2) > 60).any(), "points are drawn on it"


def test_no_more_parts_can_be_asked_for_than_there_are(posebench, hermetic, album):
    checkpoint = checkpoint_of(HAND, hermetic / "lively.safetensors")
    common = ("predict", "album", "--checkpoint", checkpoint, "--draw", "drawn", "--device", "cpu")
    code, out, err = posebench(*common, "--min-parts", 5)
    assert (code, out) == (2, "")
    assert "--min-parts 5: the skeleton of" in err
    assert "(hand) has 4 parts; give 1 to 4." in " ".join(err.split())
    assert posebench(*common, "--min-parts", 4)[0] == 0


def test_a_checkpoint_is_scored_on_its_own_keypoints(posebench, hermetic, coco_builder):
    coco_builder.split("val")["categories"] = [{"id": 5, "name": "hand", "keypoints": list(HAND.keypoints)}]
    coco_builder.image("val", 1, 120, 90)
    keypoints = [30, 60, 2, 20, 20, 2, 60, 20, 2, 15, 45, 2]
    coco_builder.person("val", 1, box=(10, 10, 60, 60), keypoints=keypoints, category_id=5)
    data = coco_builder.write()
    checkpoint = checkpoint_of(HAND, hermetic / "lively.safetensors")
    common = ("eval", "--checkpoint", checkpoint, "--data", data, "--size", 64, "--device", "cpu", "--json")
    code, out, err = posebench(*common, "--write-predictions", "found.json")
    assert code == 0, err
    scores = json.loads(out)
    assert (scores["images"], scores["people"]) == (1, 1)
    code, out, err = posebench(
        *("eval", "--predictions", "found.json", "--annotations", coco_builder.file("val"), "--json")
    )
    assert code == 0, err
    assert json.loads(out)["ap"] == scores["ap"]
    other = checkpoint_of(DOT, hermetic / "dot.safetensors")
    code, out, err = posebench("eval", "--checkpoint", other, "--data", data, "--device", "cpu")
    assert (code, out) == (1, "")
    assert "centre" in err
    assert "wrist" in err
