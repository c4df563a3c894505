"""Skeletons at random for property tests: parts in any order, derived parts, limbs that may be none, mirror pairs."""

from collections.abc import Iterator

import numpy as np
from hypothesis import strategies as st

from posemodel.skeleton import Skeleton


@st.composite
def skeletons(draw: st.DrawFn, most: int = 40) -> Skeleton:
    """Skeletons with 1 to ``most`` keypoints."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    keypoints = [f"point{number}" for number in range(draw(st.integers(1, most)))]
    derived = tuple(
        (f"middle{number}", tuple(rng.choice(keypoints, rng.integers(1, len(keypoints) + 1), replace=False).tolist()))
        for number in range(draw(st.integers(0, 2)))
    )
    parts = rng.permutation([*keypoints, *(name for name, _ in derived)]).tolist()
    mirrored = rng.permutation(parts).tolist()[: 2 * draw(st.integers(0, len(parts) // 2))]
    return Skeleton(
        name="random",
        keypoints=tuple(keypoints),
        parts=tuple(parts),
        derived=derived,
        limbs=tuple(_limbs(rng, len(parts), draw(st.integers(0, 2 * len(parts))))),
        mirror=tuple(zip(mirrored[::2], mirrored[1::2], strict=True)),
        sigmas=(0.05,) * len(keypoints),
    )


def _limbs(rng: np.random.Generator, parts: int, number: int) -> Iterator[tuple[int, int]]:
    """Yield about ``number`` different limbs, in either direction."""
    pairs = {frozenset(rng.integers(0, parts, 2).tolist()) for _ in range(number)}
    for pair in sorted(map(sorted, pairs)):
        if len(pair) == 2:
            yield tuple(pair[:: rng.choice([-1, 1])])


def crowd(rng: np.random.Generator, skeleton: Skeleton, number: int, size: int) -> np.ndarray:
    """People (N, P, 3) in and around an input of ``size`` pixels, some of their parts missing."""
    keypoints = rng.uniform(-0.2 * size, 1.2 * size, (number, skeleton.num_keypoints, 3))
    keypoints[..., 2] = rng.integers(0, 3, keypoints.shape[:2])
    return skeleton.to_parts(keypoints)
