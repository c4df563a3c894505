"""Complete the limbs of a skeleton so that they connect all parts, by the distances of points labelled together."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

MOST_OBJECTS = 4000
"""Maximum number of objects that distances are measured in; more only where rarely labelled points need them."""
MOST_DISTANCES = 50_000_000
"""Maximum number of distances that are measured: objects x parts squared."""
OF_EACH_POINT = 50
"""Number of objects in which the distances of each point are measured at least, if it is labelled in so many: the
points of a rare category are then connected among themselves."""
CHUNK = 2_000_000
"""Maximum number of distances in memory at once."""

Limbs = tuple[tuple[int, int], ...]


@dataclass(frozen=True, eq=False)
class Distances:
    """Mean distances (P, P) of parts that are labelled together, relative to the object's size, and their counts.

    The size is the diagonal of the box of the object's labelled points; an object counts by its number of labelled
    points, because the box of a few points says little about its size. Unknown distances are NaN.
    """

    mean: NDArray[np.float64]
    together: NDArray[np.int64]
    """(P, P): in how many of the measured objects both parts are labelled."""
    objects: int
    """Number of measured objects."""


def measured_objects(labelled: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Return the ascending indices of the objects that distances are measured in, by their labelled points (N, K).

    These are objects with two labelled points or more: all, or if they are too many, ``OF_EACH_POINT`` of each point,
    and others up to the maximum, evenly spread over the data.
    """
    usable = np.flatnonzero(np.count_nonzero(labelled, axis=1) > 1)
    most = max(1, min(MOST_OBJECTS, MOST_DISTANCES // labelled.shape[1] ** 2))
    if len(usable) <= most:
        return usable
    chosen = np.zeros(len(labelled), bool)
    points = np.ascontiguousarray(labelled[usable].T)
    for point in np.argsort(points.sum(axis=1), kind="stable").tolist():  # objects of rare points also have common ones
        having = usable[points[point]]
        missing = OF_EACH_POINT - int(chosen[having].sum())
        chosen[_spread(having[~chosen[having]], missing)] = True
    rest = usable[~chosen[usable]]
    chosen[_spread(rest, most - int(chosen.sum()))] = True
    return np.flatnonzero(chosen)


def _spread(rows: NDArray[np.int64], count: int) -> NDArray[np.int64]:
    """Return at most so many of some rows, evenly spread."""
    return rows if len(rows) <= count else rows[np.linspace(0, len(rows) - 1, max(count, 0)).astype(np.int64)]


def measure_distances(people: NDArray[np.floating]) -> Distances:
    """Measure the distances between the parts of objects (N, P, 3); see ``measured_objects``."""
    parts = people.shape[1]
    people = people[(people[..., 2] > 0).sum(axis=1) > 1].astype(np.float32)
    total, weights = np.zeros((parts, parts)), np.zeros((parts, parts))
    together = np.zeros((parts, parts), np.int64)
    step = max(1, CHUNK // parts**2)
    for chunk in (people[first : first + step] for first in range(0, len(people), step)):
        labelled = chunk[..., 2] > 0
        xy = chunk[..., :2]
        low = np.where(labelled[..., None], xy, np.inf).min(axis=1)
        high = np.where(labelled[..., None], xy, -np.inf).max(axis=1)
        size = np.maximum(np.hypot(*(high - low).T), np.finfo(np.float32).tiny)
        weight = labelled.sum(axis=1)
        apart = np.hypot(
            xy[:, :, None, 0] - xy[:, None, :, 0],
            xy[:, :, None, 1] - xy[:, None, :, 1],
        )
        apart *= labelled[:, :, None] & labelled[:, None, :]
        total += np.tensordot(weight / size, apart, 1)
        present = labelled.astype(np.float64)
        weights += (present * weight[:, None]).T @ present
        together += (present.T @ present).astype(np.int64)
    with np.errstate(invalid="ignore", divide="ignore"):
        return Distances(total / weights, together, len(people))


def connecting_limbs(given: Sequence[tuple[int, int]], distances: Distances, flipped: NDArray[np.int64]) -> Limbs:
    """Return the limbs that, added to those given, connect all parts: the shortest ones (Kruskal's algorithm).

    Distances are averaged with those of the mirror images, and the mirror image of each added limb is added as well,
    in the same direction; so there may be a few more limbs than a tree has. Parts that are never labelled together
    count as farther apart than all others.

    Args:
        given: Pairs of parts that are joined already.
        distances: Distances between the P parts.
        flipped: (P,) the mirror image of each part.
    """
    images = distances.mean[flipped][:, flipped]
    known = ~np.isnan(np.stack([distances.mean, images]))
    count = known.sum(axis=0)
    total = np.where(known[0], distances.mean, 0) + np.where(known[1], images, 0)
    far = 1 + np.nanmax(distances.mean, initial=0)
    apart = np.divide(total, count, out=np.full(total.shape, far), where=count > 0)

    groups = list(range(len(flipped)))

    def group(part: int) -> int:
        while groups[part] != part:
            groups[part] = part = groups[groups[part]]
        return part

    for start, end in given:
        groups[group(start)] = group(end)
    joined = {frozenset(limb) for limb in given}
    added: list[tuple[int, int]] = []
    starts, ends = np.triu_indices(len(flipped), 1)
    order = np.argsort(apart[starts, ends], kind="stable")
    for start, end in zip(starts[order].tolist(), ends[order].tolist(), strict=True):
        if group(start) == group(end):
            continue
        for limb in ((start, end), (int(flipped[start]), int(flipped[end]))):
            if frozenset(limb) not in joined:
                joined.add(frozenset(limb))
                added.append(limb)
                groups[group(limb[0])] = group(limb[1])
    return tuple(added)


def connected(parts: int, limbs: Sequence[tuple[int, int]]) -> bool:
    """Return whether limbs join all of so many parts to one another."""
    reached, waiting = {0}, [0]
    while waiting:
        part = waiting.pop()
        for limb in limbs:
            if part in limb:
                other = limb[0] + limb[1] - part
                if other not in reached:
                    reached.add(other)
                    waiting.append(other)
    return len(reached) == parts
