"""Whether every configuration delivered the same batches: without that, their speeds are those of different work."""

from collections.abc import Mapping, Sequence

Hashes = Sequence[Sequence[int]]
"""Of each epoch's batches, in the order of delivery."""


def different_deliveries(delivered: Mapping[str, tuple[int, Hashes]]) -> list[str]:
    """Sentences about measurements that delivered other batches than the first of their batch size; none is good.

    Args:
        delivered: For each measurement's name its batch size and the hashes of its batches. A measurement that ended
            early is compared as far as it came; the arm `compute`, which loads nothing, has no place here.
    """
    first: dict[int, tuple[str, Hashes]] = {}
    found = []
    for name, (batch_size, hashes) in delivered.items():
        if batch_size not in first:
            first[batch_size] = name, hashes
            continue
        reference, wanted = first[batch_size]
        place = _first_difference(wanted, hashes)
        if place is not None:
            found.append(
                f"{name} delivered another batch than {reference}: epoch {place[0]}, batch {place[1]}. The data set's "
                "samples depend on which process makes them, or on the time: derive their randomness from the index."
            )
    return found


def _first_difference(one: Hashes, other: Hashes) -> tuple[int, int] | None:
    for epoch, (mine, theirs) in enumerate(zip(one, other, strict=False)):
        for number, (a, b) in enumerate(zip(mine, theirs, strict=False)):
            if a != b:
                return epoch, number
    return None
