"""How large a study can be in the time that there is: raised step by step from the least sensible one. Pure."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Numbers = Mapping[str, int]
"""Settings that are chosen, by name."""
LONGEST = 10_000_000
"""The most that a length can be, in its unit."""


@dataclass(frozen=True)
class Sized:
    """A study that was sized for a time.

    Attributes:
        values: The settings that were chosen, by name.
        seconds: What it takes by the estimate; more than there was where even the least design does not fit.
        margin: How many times as long it may take in truth.
        text: The design in words.
        subject: What is compared or searched, in words: `these 4 optimizers`.
        smaller: What would make it take less, in words.
    """

    values: Mapping[str, Any]
    seconds: float
    margin: float
    text: str
    subject: str
    smaller: str


def climb(
    least: Numbers, stages: Sequence[tuple[str, int]], fits: Callable[[Numbers], bool], length: str | None
) -> dict[str, int]:
    """The numbers of the largest design that fits.

    Args:
        least: The least design; only the numbers in it are chosen.
        stages: What is raised, in this order, and how far. One that does not fit whole is raised as far as it fits, and
            ends the climb.
        fits: Whether a design fits.
        length: The number that takes what time is left in the end; None: it is not chosen.
    """
    numbers = dict(least)

    def raised(name: str, most: int) -> int:
        """The largest number up to ``most`` that fits; the present one always does."""
        low, high = numbers[name], most
        while low < high:
            middle = (low + high + 1) // 2
            low, high = (middle, high) if fits(numbers | {name: middle}) else (low, middle - 1)
        return low

    for name, most in stages:
        if name not in numbers or numbers[name] >= most:
            continue
        numbers[name] = raised(name, most)
        if numbers[name] < most:
            break
    if length is not None and length in numbers:
        most = max(numbers[length], 1)
        while most < LONGEST and fits(numbers | {length: 2 * most}):
            most *= 2
        numbers[length] = raised(length, 2 * most)
    return numbers


def rounded_down(amount: int, least: int) -> int:
    """A number for people to read, in tens and with three digits that count; at least ``least``."""
    unit: int = 10 ** max(1, len(str(amount)) - 3)
    return max(least, amount - amount % unit)
