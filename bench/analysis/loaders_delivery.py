"""Whether every configuration delivered the same batches: without that, their speeds are those of different work."""

from collections.abc import Mapping, Sequence


def different_deliveries(delivered: Mapping[str, tuple[int, Sequence[int]]]) -> list[str]:
    """Sentences about measurements that delivered other batches than the first of their batch size; none is good.

    Args:
        delivered: For each measurement's name its batch size and the hashes of its first batches, in order. They are
            compared as far as both go; the arm `compute`, which loads nothing, has no place here.
    """
    first: dict[int, tuple[str, Sequence[int]]] = {}
    found = []
    for name, (batch_size, hashes) in delivered.items():
        if not hashes:
            continue
        reference, wanted = first.setdefault(batch_size, (name, hashes))
        unequal = [number for number, (a, b) in enumerate(zip(wanted, hashes, strict=False)) if a != b]
        if unequal:
            found.append(
                f"{name} delivered another batch {unequal[0]} than {reference}: samples depend on the process that "
                "makes them, or on the time. Derive their randomness from the index."
            )
    return found
