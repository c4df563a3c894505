"""Find the largest study that fits a time budget, growing step by step from the smallest sensible one. Pure."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Numbers = Mapping[str, int]
"""Chosen values by setting."""
LONGEST = 10_000_000
"""Maximum length of a trial, in its own unit (steps, for instance)."""


@dataclass(frozen=True)
class ChosenSize:
    """A study's size, chosen for a time budget.

    Attributes:
        values: Chosen values by setting.
        seconds: Estimated time of the study; exceeds the budget if even the smallest design does not fit.
        margin: Factor by which the real time may exceed the estimate.
        text: The design in words.
        subject: What is compared or searched, in words: `these 4 optimizers`.
        smaller: A change that would shorten the study, in words.
    """

    values: Mapping[str, Any]
    seconds: float
    margin: float
    text: str
    subject: str
    smaller: str


def largest_design(
    least: Numbers, stages: Sequence[tuple[str, int]], fits: Callable[[Numbers], bool], length: str | None
) -> dict[str, int]:
    """Return the values of the largest design that fits.

    Args:
        least: The smallest design; only its settings are chosen.
        stages: Settings to raise, in this order, each with its target. The first one that cannot reach its target is
            raised as far as fits, and ends the search.
        fits: Returns True if a design fits the budget.
        length: The setting that uses up the remaining time at the end; None: the length is not chosen.
    """
    numbers = dict(least)

    def raised(name: str, most: int) -> int:
        """Return the largest number up to ``most`` that fits; the present one is known to fit."""
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
    """Round down to tens and three significant digits, but not below ``least``."""
    unit: int = 10 ** max(1, len(str(amount)) - 3)
    return max(least, amount - amount % unit)
