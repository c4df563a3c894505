"""A body of 14 points with names of its own is learned as well as COCO's person, by `small` in equal steps.

The same pictures are labelled twice: with COCO's 17 keypoints, and without eyes and ears, with the middle of the
shoulders as an annotated neck, in another order, under other names and without limbs. Both networks are scored on the
13 points that they share, by COCO's rule and sigmas. A short sibling is tests/end_to_end/test_any_keypoints.py.
"""

import json
import shutil
from dataclasses import replace

import numpy as np
import torch

from posemodel.config import LoaderSettings, TrainSettings
from posemodel.data.open_split import open_split
from posemodel.network import network_geometry
from posemodel.scoring.evaluation import predict_split
from posemodel.scoring.figures import Predictions, keypoint_areas
from posemodel.scoring.scorer import scores_of
from posemodel.skeleton import COCO_KEYPOINTS, COCO_PERSON, Skeleton
from posemodel.synthetic import generate
from posemodel.training.loop import train

SHARD = "real"
COVERS = (
    "posemodel/skeleton.py",
    "posemodel/data/annotations/skeletons.py",
    "posemodel/data/targets.py",
    "posemodel/inference/decoder/grouping.py",
    "posemodel/scoring/figures.py",
)
IMAGES, STEPS, SIZE, BATCH_SIZE = 1800, 700, 128, 16
SEEDS = (0, 1)
WITHIN = 0.03
"""Largest difference of AP that was asked for."""

OWN_NAMES = {
    "head": "nose",
    "r_arm_1": "right_shoulder",
    "r_arm_2": "right_elbow",
    "r_arm_3": "right_wrist",
    "l_arm_1": "left_shoulder",
    "l_arm_2": "left_elbow",
    "l_arm_3": "left_wrist",
    "r_leg_1": "right_hip",
    "r_leg_2": "right_knee",
    "r_leg_3": "right_ankle",
    "l_leg_1": "left_hip",
    "l_leg_2": "left_knee",
    "l_leg_3": "left_ankle",
}
NECK = "collar"
SHARED = [COCO_KEYPOINTS.index(name) for name in OWN_NAMES.values()]
SHARED_SKELETON = Skeleton(
    "shared", tuple(OWN_NAMES), limbs=(), sigmas=tuple(COCO_PERSON.sigmas[index] for index in SHARED)
)


def relabel(document):
    """Label the people of a document of COCO's format by 14 points."""
    shoulders = [COCO_KEYPOINTS.index(f"{side}_shoulder") for side in ("right", "left")]
    for person in document["annotations"]:
        points = np.array(person["keypoints"], np.float64).reshape(-1, 3)
        right, left = points[shoulders]
        neck = np.zeros(3)
        if right[2] and left[2]:
            neck = np.array([*((right[:2] + left[:2]) / 2), min(right[2], left[2])])
        own = np.concatenate([points[SHARED], neck[None]])
        person["keypoints"] = own.ravel().tolist()
        person["num_keypoints"] = int((own[:, 2] > 0).sum())
    document["categories"] = [{"id": 1, "name": "body", "keypoints": [*OWN_NAMES, NECK]}]
    return document


def shared_ap(data, coco, seed, out):
    """Train on a data set and return AP on the shared points of the people of ``coco``."""
    settings = TrainSettings(
        data=data,
        network="small",
        size=SIZE,
        steps=STEPS,
        seed=seed,
        val_images=8,
        loader=LoaderSettings(batch_size=BATCH_SIZE),
    )
    result = train(settings, lambda parameters: torch.optim.Adam(parameters, lr=2e-3), out=out)
    assert result.status == "complete"
    split = open_split(data, "val", skeleton=result.network.skeleton)
    geometry = network_geometry(result.network, SIZE)
    scorer = predict_split(result.network, split, geometry, torch.device("cpu"), LoaderSettings())
    names = [*OWN_NAMES] if split.skeleton.keypoints[0] == "head" else [*OWN_NAMES.values()]
    order = [split.skeleton.keypoints.index(name) for name in names]
    results = scorer.results
    keypoints = np.array([each["keypoints"] for each in results]).reshape(-1, split.skeleton.num_keypoints, 3)[:, order]
    truth = open_split(coco, "val").truth
    shared = truth.keypoints[:, SHARED]
    unseen = ~(shared[..., 2] > 0).any(axis=1)
    return scores_of(
        replace(truth, keypoints=shared, ignored=truth.ignored | unseen),
        Predictions(
            np.array([each["image_id"] for each in results], np.int64),
            keypoints,
            np.array([each["score"] for each in results]),
            keypoint_areas(keypoints),
        ),
        np.arange(len(truth.image_ids)),
        SHARED_SKELETON,
    ).ap


def test_fourteen_own_points_are_learned_as_well_as_coco(tmp_path, figures):
    coco, own = tmp_path / "coco", tmp_path / "own"
    generate(coco, images=IMAGES, seed=0)
    shutil.copytree(coco, own)
    for file in (own / "annotations").glob("*.json"):
        file.write_text(json.dumps(relabel(json.loads(file.read_text()))))
    differences = []
    for seed in SEEDS:
        of_coco = shared_ap(coco, coco, seed, tmp_path / f"coco-{seed}")
        of_own = shared_ap(own, coco, seed, tmp_path / f"own-{seed}")
        figures[f"AP of COCO's person, seed {seed}"] = of_coco
        figures[f"AP of 14 own points, seed {seed}"] = of_own
        differences.append(of_own - of_coco)
    assert of_coco > 0.1, "nothing was learned that could differ"
    assert abs(np.mean(differences)) <= WITHIN, differences
