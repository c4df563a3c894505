"""Group peaks into people: the best limbs first, no peak in two limbs of the same kind, no part twice in a person."""

from functools import cache
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from posemodel.data.targets import to_pixels
from posemodel.inference.decoder.candidates import Candidates

MOST_PEOPLE = 1152
"""Maximum number of people in an image, the best first: as many as COCO's 18 parts give at most, each a single peak. It
limits the memory for noisy maps of hundreds of parts."""


class Detections(NamedTuple):
    """People of an image, the best first: people (N, P, 3) hold x, y in pixels and score (0: absent); scores (N,)."""

    people: NDArray[np.float64]
    scores: NDArray[np.float64]


def group(candidates: Candidates, images: int, stride: int) -> list[Detections]:
    """Group candidates into the people of each image, in input pixels.

    A person's score is the sum of its parts' scores divided by P. A peak without a limb becomes a person of one part
    (COCO labels such people), with a correspondingly low score. An image has at most ``MOST_PEOPLE``.
    """
    peaks, parts = candidates.peaks, candidates.skeleton.num_parts
    person_of = join(candidates)
    is_name = person_of == np.arange(len(person_of))
    names, row = np.flatnonzero(is_name), (is_name.cumsum() - 1)[person_of]
    image, part = np.divmod(peaks.plane, parts)
    xy, score = to_pixels(peaks.xy, stride), peaks.score
    if len(names) > MOST_PEOPLE:
        kept = _best(image[names], np.bincount(row, score).astype(np.float64))
        names, of_kept, row = names[kept], kept[row], (kept.cumsum() - 1)[row]
        row, part, xy, score = row[of_kept], part[of_kept], xy[of_kept], score[of_kept]
    people = np.zeros((len(names), parts, 3))
    people[row, part, :2] = xy
    people[row, part, 2] = score
    scores = people[..., 2].sum(axis=1) / parts
    # Peaks are sorted by image; people are named after one of their peaks, and so are sorted too.
    image = image[names]
    best_first = np.lexsort((-scores, image))
    people, scores = people[best_first], scores[best_first]
    bounds = np.searchsorted(image, np.arange(images + 1)).tolist()
    return [Detections(people[a:b], scores[a:b]) for a, b in pairwise(bounds)]


def _best(image: NDArray[np.int64], score: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Return which people (N,) are among the best ``MOST_PEOPLE`` of their image; people are sorted by image."""
    best_first = np.lexsort((-score, image))
    kept = np.empty(len(image), bool)
    kept[best_first] = np.arange(len(image)) - np.searchsorted(image, image) < MOST_PEOPLE
    return kept


def join(candidates: Candidates) -> NDArray[np.int64]:
    """Return the person (Q,) of each peak, as the index of one of its peaks; limbs join peaks, the best first.

    A peak is in at most one limb of the same kind. A limb between two people who share a part is dropped; a limb within
    a person adds nothing.
    """
    # Plain integers with a bit for each part and limb: arrays of a few elements would take most of the time.
    peaks, limbs, skeleton = candidates
    person_of = list(range(len(peaks.plane)))
    members = [[peak] for peak in person_of]
    parts = _bits(skeleton.num_parts)[peaks.plane % skeleton.num_parts].tolist()
    limbs_of = [0] * len(person_of)
    kinds = _bits(skeleton.num_limbs)[limbs.field % skeleton.num_limbs].tolist() if skeleton.limbs else []
    for kind, start, end in zip(kinds, limbs.start.tolist(), limbs.end.tolist(), strict=True):
        if (limbs_of[start] | limbs_of[end]) & kind:
            continue
        limbs_of[start] |= kind
        limbs_of[end] |= kind
        person, other = person_of[start], person_of[end]
        if parts[person] & parts[other]:  # the same person, or two different ones
            continue
        parts[person] |= parts[other]
        for peak in members[other]:
            person_of[peak] = person
        members[person] += members[other]
    return np.array(person_of, np.int64)


@cache
def _bits(number: int) -> NDArray[np.object_]:
    """Return 1, 2, 4, ... as Python's integers, which hold any number of bits."""
    return np.array([1 << index for index in range(number)], object)
