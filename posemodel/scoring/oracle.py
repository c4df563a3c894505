"""The AP of perfect maps, which is the upper limit set by resolution, targets and decoding at an input size."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from posemodel.config import InputSettings
from posemodel.data.augment import letterbox
from posemodel.data.open_split import PackedSplit
from posemodel.data.targets import make_heatmaps, make_pafs
from posemodel.inference.decoder import decode
from posemodel.scoring.evaluation import split_scorer
from posemodel.scoring.scorer import Scores
from posemodel.skeleton import Skeleton


def oracle_scores(split: PackedSplit, geometry: InputSettings) -> Scores:
    """Score target maps made from the annotations (letterboxed, not augmented), decoded like a network's maps."""
    scorer, skeleton = split_scorer(split), split.skeleton
    for position in range(len(split)):
        warp = letterbox(*split.size(position), geometry.size)
        people = warp.people(split.people(position), skeleton)
        maps = make_heatmaps(people, geometry), make_pafs(people, geometry, skeleton)
        decoded, scores = decode(*maps, geometry, skeleton=skeleton)
        scorer.add(split.image_id(position), warp.people_back(decoded), scores)
    return scorer.stats()


def ceiling_scores(split: PackedSplit) -> Scores:
    """Score the exact points of the annotations, grouped along the limbs; this is the AP of perfect localisation.

    A person whose labelled parts the limbs do not connect becomes several people.
    """
    scorer, skeleton = split_scorer(split), split.skeleton
    for position in range(len(split)):
        fragments = [f for person in split.people(position) for f in connected_fragments(person, skeleton)]
        people = np.array(fragments).reshape(-1, skeleton.num_parts, 3)
        scorer.add(split.image_id(position), people, (people[..., 2] > 0).sum(axis=1) / skeleton.num_parts)
    return scorer.stats()


def connected_fragments(person: NDArray[np.floating], skeleton: Skeleton) -> Iterator[NDArray[np.float64]]:
    """Split a person (P, 3) into the pieces (P, 3) that labelled limbs connect; a piece may be a single part."""
    labelled = person[:, 2] > 0
    piece = np.arange(skeleton.num_parts)
    for start, end in skeleton.limbs:
        if labelled[start] and labelled[end]:
            piece[piece == piece[end]] = piece[start]
    for name in np.unique(piece[labelled]):
        yield np.where((labelled & (piece == name))[:, None], person, 0.0)
