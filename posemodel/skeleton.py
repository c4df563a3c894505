"""The skeleton: body parts, limbs, left-right pairs, OKS sigmas and the order of COCO's keypoints.

Sources: the 18 parts and the 19 limbs are those of Cao et al., "Realtime Multi-Person 2D Pose Estimation using Part
Affinity Fields" (CVPR 2017); the 17 keypoints and their OKS sigmas are those of the COCO keypoint task.
"""

import numpy as np

PARTS: tuple[str, ...] = (
    "nose",
    "neck",
    "right_shoulder",
    "right_elbow",
    "right_wrist",
    "left_shoulder",
    "left_elbow",
    "left_wrist",
    "right_hip",
    "right_knee",
    "right_ankle",
    "left_hip",
    "left_knee",
    "left_ankle",
    "right_eye",
    "left_eye",
    "right_ear",
    "left_ear",
)
"""Body parts in the order of the heatmaps' channels; the neck is the midpoint of the shoulders."""
NUM_PARTS = len(PARTS)
NECK = PARTS.index("neck")
SHOULDERS = (PARTS.index("right_shoulder"), PARTS.index("left_shoulder"))

LIMBS: tuple[tuple[int, int], ...] = (
    (1, 8),
    (8, 9),
    (9, 10),
    (1, 11),
    (11, 12),
    (12, 13),
    (1, 2),
    (2, 3),
    (3, 4),
    (2, 16),
    (1, 5),
    (5, 6),
    (6, 7),
    (5, 17),
    (1, 0),
    (0, 14),
    (0, 15),
    (14, 16),
    (15, 17),
)
"""Pairs of part indices; limb i runs from the first to the second, and its PAF has channels 2i (x) and 2i + 1 (y)."""
NUM_LIMBS = len(LIMBS)
LIMB_FROM = np.array([start for start, _ in LIMBS])
LIMB_TO = np.array([end for _, end in LIMBS])

NUM_HEATMAPS = NUM_PARTS + 1
"""Channels of the heatmaps: 18 parts and the background, which comes last."""
BACKGROUND = NUM_PARTS
NUM_PAFS = 2 * NUM_LIMBS

COCO_KEYPOINTS: tuple[str, ...] = (
    "nose",
    "left_eye",
    "right_eye",
    "left_ear",
    "right_ear",
    "left_shoulder",
    "right_shoulder",
    "left_elbow",
    "right_elbow",
    "left_wrist",
    "right_wrist",
    "left_hip",
    "right_hip",
    "left_knee",
    "right_knee",
    "left_ankle",
    "right_ankle",
)
NUM_COCO_KEYPOINTS = len(COCO_KEYPOINTS)
PART_OF_COCO = np.array([PARTS.index(name) for name in COCO_KEYPOINTS])
"""Part index of each COCO keypoint: ``people[:, PART_OF_COCO]`` is in COCO's order, without the neck."""

COCO_SKELETON: tuple[tuple[int, int], ...] = (
    (16, 14),
    (14, 12),
    (17, 15),
    (15, 13),
    (12, 13),
    (6, 12),
    (7, 13),
    (6, 7),
    (6, 8),
    (7, 9),
    (8, 10),
    (9, 11),
    (2, 3),
    (1, 2),
    (1, 3),
    (2, 4),
    (3, 5),
    (4, 6),
    (5, 7),
)
"""The skeleton in the `categories` entry of COCO's files (1-based keypoint ids), for annotation files that we write."""

OKS_SIGMAS = np.array(
    [0.26, 0.25, 0.25, 0.35, 0.35, 0.79, 0.79, 0.72, 0.72, 0.62, 0.62, 1.07, 1.07, 0.87, 0.87, 0.89, 0.89]
) / 10  # fmt: skip
"""Standard deviation of COCO's annotators for each keypoint, relative to object scale: (17,), in COCO's order."""


def _mirrored(name: str) -> str:
    if name.startswith("left_"):
        return "right_" + name.removeprefix("left_")
    if name.startswith("right_"):
        return "left_" + name.removeprefix("right_")
    return name


FLIPPED_PARTS = np.array([PARTS.index(_mirrored(name)) for name in PARTS])
"""Index of each part's mirror image, derived from the names: ``people[:, FLIPPED_PARTS]`` exchanges left and right."""

FLIPPED_LIMBS = np.array([LIMBS.index((int(FLIPPED_PARTS[start]), int(FLIPPED_PARTS[end]))) for start, end in LIMBS])
"""Index of each limb's mirror image, which runs in the same direction; importing fails if ``LIMBS`` lacks one."""
assert (FLIPPED_LIMBS[FLIPPED_LIMBS] == np.arange(NUM_LIMBS)).all(), "mirroring a limb twice must give the same limb"
