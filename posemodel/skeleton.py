"""Skeletons: the points of an annotated object, its limbs, mirror pairs and OKS sigmas, as plain data.

A data set's skeleton comes from its annotation file (`posemodel.data.annotations.skeletons`); packed data, networks,
targets, decoder, scores, drawings and checkpoints carry it. ``COCO_PERSON`` is the one of COCO's people: the 18 parts
and 19 limbs of Cao et al., "Realtime Multi-Person 2D Pose Estimation using Part Affinity Fields" (CVPR 2017), with the
17 keypoints and OKS sigmas of the COCO keypoint task.
"""

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Skeleton:
    """Keypoints as annotated, the parts and limbs that a network learns, mirror images and OKS sigmas.

    *Keypoints* (K) are the points of the annotation file, in its order: truth, predictions and scores have them.
    *Parts* (P) are the network's points in the order of the heatmaps' channels: all keypoints, in any order, and
    derived parts such as COCO's neck. Raises ValueError if the fields contradict each other.

    Example:
        hand = Skeleton("hand", ("wrist", "thumb", "index"), limbs=((0, 1), (0, 2)), sigmas=(0.05, 0.05, 0.05))
        hand.num_heatmaps, hand.num_pafs  # 4, 4
    """

    name: str
    """Name of the annotated object, for texts: the category's name, such as person."""
    keypoints: tuple[str, ...]
    """Names of the K keypoints, all different, in the order of the annotations."""
    limbs: tuple[tuple[int, int], ...]
    """Pairs of part indices; limb i runs from the first to the second, and its PAF has channels 2i (x) and 2i + 1 (y).
    """
    sigmas: tuple[float, ...]
    """Standard deviation of annotators for each keypoint, relative to object scale: K numbers."""
    parts: tuple[str, ...] = ()
    """Names of the P parts; empty: the keypoints."""
    derived: tuple[tuple[str, tuple[str, ...]], ...] = ()
    """Parts that are no keypoints, each with the keypoints whose mean it is; it is labelled where all of these are."""
    mirror: tuple[tuple[str, str], ...] = ()
    """Pairs of parts that a left-right flip exchanges; all others are their own mirror image."""
    remarks: tuple[str, ...] = field(default=(), compare=False)
    """Sentences on what was derived because the annotation file leaves it open."""

    def __post_init__(self) -> None:
        if not self.parts:
            object.__setattr__(self, "parts", (*self.keypoints, *(name for name, _ in self.derived)))
        fault = self._fault()
        if fault:
            raise ValueError(f"skeleton {self.name!r}: {fault}")

    def __hash__(self) -> int:
        return hash((self.name, len(self.parts), len(self.limbs)))  # few skeletons are in use: a short key of a cache

    def _fault(self) -> str:
        names = {*self.keypoints}
        derived = {name for name, _ in self.derived}
        if not self.keypoints:
            return "no keypoints"
        if len(names) < len(self.keypoints) or len({*self.parts}) < len(self.parts):
            return "a name stands for two points"
        if len(self.sigmas) != len(self.keypoints) or not all(sigma > 0 for sigma in self.sigmas):
            return f"{len(self.keypoints)} keypoints need as many sigmas, all above 0; there are {len(self.sigmas)}"
        if {*self.parts} != names | derived or names & derived:
            return "its parts are not its keypoints and derived parts"
        if not all(sources and {*sources} <= names for _, sources in self.derived):
            return "a derived part has sources that are no keypoints"
        if not all(0 <= a < len(self.parts) and 0 <= b < len(self.parts) and a != b for a, b in self.limbs):
            return "a limb joins no two parts"
        if len({frozenset(limb) for limb in self.limbs}) < len(self.limbs):
            return "two limbs join the same parts"
        mirrored = [name for pair in self.mirror for name in pair]
        if len({*mirrored}) < len(mirrored) or not {*mirrored} <= {*self.parts}:
            return "a mirror pair names an unknown part, or a part twice"
        return ""

    @property
    def num_keypoints(self) -> int:
        """K, the number of annotated points."""
        return len(self.keypoints)

    @property
    def num_parts(self) -> int:
        """P, the number of points that a network learns."""
        return len(self.parts)

    @property
    def num_limbs(self) -> int:
        """L, the number of limbs; 0 for an object of a single point."""
        return len(self.limbs)

    @property
    def num_heatmaps(self) -> int:
        """Channels of the heatmaps: P parts and the background, which comes last."""
        return self.num_parts + 1

    @property
    def background(self) -> int:
        """Channel of the background in the heatmaps."""
        return self.num_parts

    @property
    def num_pafs(self) -> int:
        """Channels of the Part Affinity Fields: 2 for each limb."""
        return 2 * self.num_limbs

    @cached_property
    def limb_from(self) -> NDArray[np.int64]:
        """Part index (L,) at which each limb begins."""
        return np.array([start for start, _ in self.limbs], np.int64)

    @cached_property
    def limb_to(self) -> NDArray[np.int64]:
        """Part index (L,) at which each limb ends."""
        return np.array([end for _, end in self.limbs], np.int64)

    @cached_property
    def part_of_keypoint(self) -> NDArray[np.int64]:
        """Part index (K,) of each keypoint: ``people[:, part_of_keypoint]`` is in the annotations' order."""
        return np.array([self.parts.index(name) for name in self.keypoints], np.int64)

    @cached_property
    def oks_sigmas(self) -> NDArray[np.float64]:
        """Sigmas as an array (K,)."""
        return np.array(self.sigmas, np.float64)

    @cached_property
    def flipped_parts(self) -> NDArray[np.int64]:
        """Index (P,) of each part's mirror image: ``people[:, flipped_parts]`` exchanges left and right."""
        index = {name: number for number, name in enumerate(self.parts)}
        other = {index[a]: index[b] for a, b in self.mirror} | {index[b]: index[a] for a, b in self.mirror}
        return np.array([other.get(part, part) for part in range(self.num_parts)], np.int64)

    @cached_property
    def flipped_limbs(self) -> tuple[tuple[int, int], ...]:
        """For each limb the index of its mirror image (-1: none) and its direction there: 1, or -1 if it runs back."""
        number = {limb: index for index, limb in enumerate(self.limbs)}
        images = [(int(self.flipped_parts[start]), int(self.flipped_parts[end])) for start, end in self.limbs]
        return tuple(
            (number[a, b], 1) if (a, b) in number else (number.get((b, a), -1), -1 if (b, a) in number else 1)
            for a, b in images
        )

    @property
    def flips(self) -> bool:
        """Whether a mirrored picture shows such an object again: without mirror pairs pictures are not flipped."""
        return bool(self.mirror)

    @cached_property
    def _derived_parts(self) -> tuple[tuple[int, tuple[int, ...]], ...]:
        return tuple(
            (self.parts.index(name), tuple(self.parts.index(source) for source in sources))
            for name, sources in self.derived
        )

    def to_parts(self, keypoints: NDArray[np.floating]) -> NDArray[np.float32]:
        """Convert keypoints (N, K, 3) of x, y and visibility to people (N, P, 3) with the derived parts.

        A derived part is the mean of its sources, not rounded, if all are labelled; its visibility is their lowest.
        """
        people = np.zeros((len(keypoints), self.num_parts, 3), np.float32)
        people[:, self.part_of_keypoint] = keypoints
        for part, sources in self._derived_parts:
            points = people[:, sources]
            labelled = (points[..., 2] > 0).all(axis=1)
            people[labelled, part, :2] = points[labelled, :, :2].sum(axis=1) / len(sources)
            people[labelled, part, 2] = points[labelled, :, 2].min(axis=1)
        people[people[..., 2] == 0] = 0
        return people

    def to_keypoints(self, people: NDArray[np.floating]) -> NDArray[np.float64]:
        """Convert people (N, P, 3) to keypoints (N, K, 3) in the annotations' order, without derived parts."""
        return np.asarray(people, np.float64)[:, self.part_of_keypoint]

    def as_document(self) -> dict[str, Any]:
        """Return the skeleton as JSON values; `from_document` reads them."""
        return {
            "name": self.name,
            "keypoints": list(self.keypoints),
            "parts": list(self.parts),
            "limbs": [list(limb) for limb in self.limbs],
            "derived": {name: list(sources) for name, sources in self.derived},
            "mirror": [list(pair) for pair in self.mirror],
            "sigmas": list(self.sigmas),
            "remarks": list(self.remarks),
        }

    @classmethod
    def from_document(cls, document: Any) -> "Skeleton":
        """Read what `as_document` returned; raises ValueError, KeyError or TypeError for anything else."""
        return cls(
            name=str(document["name"]),
            keypoints=tuple(map(str, document["keypoints"])),
            parts=tuple(map(str, document["parts"])),
            limbs=tuple((int(a), int(b)) for a, b in document["limbs"]),
            derived=tuple((str(name), tuple(map(str, sources))) for name, sources in document["derived"].items()),
            mirror=tuple((str(a), str(b)) for a, b in document["mirror"]),
            sigmas=tuple(map(float, document["sigmas"])),
            remarks=tuple(map(str, document.get("remarks", ()))),
        )


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
"""COCO's 17 keypoints, in its order."""

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

COCO_PERSON = Skeleton(
    name="person",
    keypoints=COCO_KEYPOINTS,
    parts=(
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
    ),
    limbs=(
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
    ),
    derived=(("neck", ("right_shoulder", "left_shoulder")),),
    mirror=tuple((name, f"right_{name[5:]}") for name in COCO_KEYPOINTS if name.startswith("left_")),
    sigmas=tuple(
        tenths / 10
        for tenths in (
            *(0.26, 0.25, 0.25, 0.35, 0.35, 0.79, 0.79, 0.72, 0.72, 0.62, 0.62, 1.07, 1.07, 0.87, 0.87, 0.89, 0.89),
        )
    ),
)
"""COCO's people: the parts and limbs of the 2017 network; the neck is the midpoint of the shoulders."""

DEFAULT_SIGMA = 0.05
"""OKS sigma of keypoints for which none is known.

OpenPifPaf's for the 24 and 66 keypoints of cars (`CAR_SIGMAS` of its plugin apollocar3d; Kreiss, Bertoni and Alahi,
"OpenPifPaf: Composite Fields for Semantic Keypoint Detection and Spatio-Temporal Association", 2021). COCO's own are
0.025 (eyes) to 0.107 (hips).
"""
