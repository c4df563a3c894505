"""Maps of batches become people beside the network's work: everybody, in order, and no error lost."""

from pathlib import Path

import numpy as np
import pytest
import torch

from posemodel.config import InputSettings, LoaderSettings
from posemodel.data.augment import letterbox
from posemodel.data.batch import to_device
from posemodel.data.dataset import PoseDataset
from posemodel.data.loader import build_loader, validation_loader
from posemodel.data.open_split import PackedSplit, open_split, people_to_coco
from posemodel.inference.decoder import Detections, decode
from posemodel.inference.results import image_ids, results_of
from posemodel.network import Maps, build_network
from posemodel.scoring.evaluation import PeopleFinder, predict_split, split_scorer
from posemodel.scoring.oracle import oracle_scores
from posemodel.skeleton import COCO_PERSON, Skeleton
from posemodel.training.loss import pose_loss
from posemodel.training.validation import validate

GEOMETRY = InputSettings(size=128, stride=4)
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def split(tiny_set: Path) -> PackedSplit:
    return open_split(tiny_set, "train")


def test_perfect_maps_decoded_in_the_thread_score_as_the_oracle_does(split: PackedSplit) -> None:
    loader, _ = build_loader(PoseDataset(split, GEOMETRY), LoaderSettings(batch_size=5), training=False)
    with PeopleFinder(split_scorer(split), GEOMETRY) as finder:
        for batch in loader:
            finder.put(Maps(batch.heatmaps, batch.pafs), batch)
    found, oracle = finder.scorer.stats(), oracle_scores(split, GEOMETRY)
    assert found.people == oracle.people > 0
    assert found.ap == pytest.approx(oracle.ap, abs=0.02), "float16 maps against float32"


@pytest.mark.parametrize("batch_size", [1, 5])
def test_people_are_decode_s_own_in_the_order_of_the_images(split: PackedSplit, batch_size: int) -> None:
    loader, _ = build_loader(PoseDataset(split, GEOMETRY), LoaderSettings(batch_size=batch_size), training=False)
    expected = []
    with PeopleFinder(split_scorer(split), GEOMETRY) as finder:
        for batch in loader:
            finder.put(Maps(batch.heatmaps, batch.pafs), batch)
            for heatmaps, pafs, image_id in zip(batch.heatmaps, batch.pafs, batch.image_ids.tolist(), strict=True):
                found = decode(heatmaps.float().numpy(), pafs.float().numpy(), GEOMETRY)
                warp = letterbox(*split.size(len({each[0] for each in expected})), GEOMETRY.size)
                assert len(found.people), "every image of this set has somebody"
                people = people_to_coco(warp.people_back(found.people))
                expected += [(image_id, *each) for each in zip(found.scores, people, strict=True)]
    results = finder.scorer.results
    assert [result["image_id"] for result in results] == [image_id for image_id, _, _ in expected]
    assert len({result["image_id"] for result in results}) == len(split)
    for result, (_, score, keypoints) in zip(results, expected, strict=True):
        assert result["score"] == pytest.approx(score)
        np.testing.assert_allclose(result["keypoints"], keypoints.ravel(), atol=1e-3)


@pytest.mark.parametrize("batches", [1, 5])
def test_errors_of_the_thread_are_raised(split: PackedSplit, batches: int) -> None:
    loader, _ = build_loader(PoseDataset(split, GEOMETRY), LoaderSettings(batch_size=2), training=False)
    batch = next(iter(loader))
    wrong = Maps(batch.heatmaps, batch.pafs[:, :3])
    with pytest.raises((RuntimeError, ValueError, IndexError)), PeopleFinder(split_scorer(split), GEOMETRY) as finder:
        for _ in range(batches):
            finder.put(wrong, batch)


def test_an_error_of_the_caller_is_not_covered_by_one_of_the_thread(split: PackedSplit) -> None:
    loader, _ = build_loader(PoseDataset(split, GEOMETRY), LoaderSettings(batch_size=2), training=False)
    batch = next(iter(loader))
    with pytest.raises(KeyboardInterrupt), PeopleFinder(split_scorer(split), GEOMETRY) as finder:
        finder.put(Maps(batch.heatmaps, batch.pafs[:, :3]), batch)
        raise KeyboardInterrupt


@pytest.mark.parametrize("with_targets", [True, False])
def test_validation_loss_is_the_mean_over_the_images(split: PackedSplit, with_targets: bool) -> None:
    network = build_network("small", seed=0)
    loader = validation_loader(split, GEOMETRY, LoaderSettings(batch_size=5), with_targets=with_targets)
    found = validate(network, loader, split, GEOMETRY, CPU, with_scores=True)
    assert network.training, "as it was"
    network.eval()
    with torch.inference_mode():
        ones = [
            pose_loss(network(moved.images), moved)[0].item()
            for batch in validation_loader(split, GEOMETRY, LoaderSettings(batch_size=1))
            for moved in [to_device(batch, CPU, GEOMETRY, split.skeleton)]
        ]
    assert found.loss == pytest.approx(np.mean(ones), rel=1e-4)
    assert found.scores is not None
    assert found.scores.people == sum(split.people_count(p) for p in range(len(split)))


def test_a_diverged_network_finds_nobody(split: PackedSplit) -> None:
    network = build_network("small", seed=0)
    with torch.no_grad():
        next(network.parameters()).fill_(float("nan"))
    scorer = predict_split(network, split, GEOMETRY, CPU, LoaderSettings(batch_size=4))
    assert scorer.results == []
    assert scorer.stats().ap == 0


def test_the_network_s_mode_is_put_back_after_an_error(split: PackedSplit) -> None:
    network = build_network("small", seed=0)
    wrong = validation_loader(split, InputSettings(size=128, stride=8), LoaderSettings())
    with pytest.raises(RuntimeError):
        validate(network, wrong, split, GEOMETRY, CPU)
    assert network.training


def test_ids_of_pictures_are_the_numbers_in_their_names_or_free_ones() -> None:
    """An own number counts once, and only if every reader of JSON can hold it exactly."""
    names = ["000000000139", "a", "1", "139", "-3", "\N{SUPERSCRIPT TWO}", f"{2**53}", f"{2**53 - 1}", "b"]
    found = image_ids([Path(f"{name}.jpg") for name in names])
    assert found == [139, 2, 1, 3, 4, 5, 6, 2**53 - 1, 7]


def test_people_become_results_with_their_file_and_the_names_of_their_points() -> None:
    finger = Skeleton("finger", ("base", "tip"), limbs=((0, 1),), sigmas=(0.05,) * 2)
    people = np.array([[(1.23456, 2, 0.5), (0, 0, 0)], [(3, 4, 1), (5, 6, 0.25)]])
    found = results_of(7, Path("a") / "b.jpg", Detections(people, np.array([0.75, 0.5])), skeleton=finger, category=3)
    shared = {"image_id": 7, "category_id": 3, "file_name": "a/b.jpg"}
    shared |= {"category_name": "finger", "keypoint_names": ["base", "tip"]}
    assert found == [
        {**shared, "keypoints": [1.235, 2, 0.5, 0, 0, 0], "score": 0.75},
        {**shared, "keypoints": [3, 4, 1, 5, 6, 0.25], "score": 0.5},
    ]
    (person,) = results_of(7, Path("b.jpg"), Detections(np.ones((1, 18, 3)), np.ones(1)))
    assert person.keys() == {"image_id", "category_id", "file_name", "keypoints", "score"}
    assert (person["category_id"], person["keypoints"]) == (1, [1.0] * 3 * len(COCO_PERSON.keypoints))
