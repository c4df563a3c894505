"""Read the pairs of keypoints in a category's `skeleton`, whose ends are numbers, counted from 1 or 0, or names."""

from collections.abc import Sequence
from typing import Any


def end_number(end: Any) -> int | None:
    """Return an end of a pair as a number, if it is a whole one."""
    is_whole = isinstance(end, (int, float)) and not isinstance(end, bool) and end == end // 1
    return int(end) if is_whole else None


def listed_numbers(pairs: Sequence[Any]) -> set[int]:
    """Return the numbers in pairs of two different ones; others, such as `[0, 0]`, are placeholders."""
    two = [pair for pair in pairs if isinstance(pair, (list, tuple)) and len(pair) == 2]
    ends = [(end_number(start), end_number(end)) for start, end in two]
    return {number for start, end in ends if start != end for number in (start, end) if number is not None}


def first_number(pairs: Sequence[Any], count: int) -> int:
    """Return the number of the first of so many keypoints: 1, or 0 if 0 is in the pairs and ``count`` is not."""
    numbers = listed_numbers(pairs)
    return 0 if 0 in numbers and count not in numbers else 1


def named_pairs(pairs: Any, names: Sequence[str]) -> Any:
    """Return pairs with names in place of numbers, for keypoints in another order.

    What is no list, no pair or no number of one of ``names`` stays as it is.
    """
    if not isinstance(pairs, (list, tuple)):
        return pairs
    first = first_number(pairs, len(names))

    def named(end: Any) -> Any:
        number = end_number(end)
        return names[number - first] if number is not None and 0 <= number - first < len(names) else end

    return [[named(end) for end in pair] if isinstance(pair, (list, tuple)) else pair for pair in pairs]
