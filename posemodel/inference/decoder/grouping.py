"""Group peaks into people: the best limbs first, no peak in two limbs of the same kind, no part twice in a person."""

from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from posemodel import skeleton
from posemodel.data.targets import to_pixels
from posemodel.inference.decoder.candidates import Candidates, Limbs, Peaks


class Detections(NamedTuple):
    """People of an image, the best first: people (N, 18, 3) hold x, y in pixels and score (0: absent); scores (N,)."""

    people: NDArray[np.float64]
    scores: NDArray[np.float64]


def group(candidates: Candidates, images: int, stride: int) -> list[Detections]:
    """Group candidates into the people of each image, in input pixels.

    A person's score is the sum of its parts' scores divided by 18. A peak without a limb becomes a person of one part
    (COCO labels such people), with a correspondingly low score.
    """
    peaks = candidates.peaks
    person_of = join(peaks, candidates.limbs)
    is_name = person_of == np.arange(len(person_of))
    names, row = np.flatnonzero(is_name), (is_name.cumsum() - 1)[person_of]
    image, part = np.divmod(peaks.plane, skeleton.NUM_PARTS)
    people = np.zeros((len(names), skeleton.NUM_PARTS, 3))
    people[row, part, :2] = to_pixels(peaks.xy, stride)
    people[row, part, 2] = peaks.score
    scores = people[..., 2].sum(axis=1) / skeleton.NUM_PARTS
    # Peaks are sorted by image; people are named after one of their peaks, and so are sorted too.
    image = image[names]
    best_first = np.lexsort((-scores, image))
    people, scores = people[best_first], scores[best_first]
    bounds = np.searchsorted(image, np.arange(images + 1)).tolist()
    return [Detections(people[a:b], scores[a:b]) for a, b in pairwise(bounds)]


def join(peaks: Peaks, limbs: Limbs) -> NDArray[np.int64]:
    """Return the person (P,) of each peak, as the index of one of its peaks; limbs join peaks, the best first.

    A peak is in at most one limb of the same kind. A limb between two people who share a part is dropped; a limb within
    a person adds nothing.
    """
    # Plain integers with a bit for each part and limb: arrays of a few elements would take most of the time.
    person_of = list(range(len(peaks.plane)))
    members = [[peak] for peak in person_of]
    parts = (1 << peaks.plane % skeleton.NUM_PARTS).tolist()
    limbs_of = [0] * len(person_of)
    kinds = (1 << limbs.field % skeleton.NUM_LIMBS).tolist()
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
