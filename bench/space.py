"""Search spaces as data: what can be tuned, and the point of a space that a point of the unit cube stands for."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from posemodel.errors import SettingsError


@dataclass(frozen=True)
class Log:
    """A range searched on a logarithmic scale."""

    low: float
    high: float

    def at(self, unit: float) -> float:
        """The value at 0..1 of the range."""
        value = math.exp(math.log(self.low) + unit * (math.log(self.high) - math.log(self.low)))
        return min(max(value, self.low), self.high)  # rounding can leave the range at its ends


@dataclass(frozen=True)
class Categorical:
    """A few values, each as likely as the others."""

    values: tuple[float, ...]

    def at(self, unit: float) -> float:
        """The value at 0..1 of the list."""
        return self.values[min(int(unit * len(self.values)), len(self.values) - 1)]


Dimension = Log | Categorical
Space = Mapping[str, Dimension]


def point(space: Space, unit: Sequence[float]) -> dict[str, float]:
    """Hyperparameters at a point of the unit cube, one coordinate for each dimension in order."""
    return {name: dimension.at(u) for (name, dimension), u in zip(space.items(), unit, strict=True)}


def log_ranges(space: Space) -> dict[str, tuple[float, float]]:
    """Low and high of the dimensions that have a log scale."""
    return {name: (d.low, d.high) for name, d in space.items() if isinstance(d, Log)}


def as_document(space: Space) -> dict[str, Any]:
    """The space as plain data: {"lr": {"log": [low, high]}, "x": {"values": [...]}}."""
    return {
        name: {"log": [d.low, d.high]} if isinstance(d, Log) else {"values": list(d.values)}
        for name, d in space.items()
    }


def from_document(document: Mapping[str, Any], where: str) -> dict[str, Dimension]:
    """The inverse of ``as_document``; SettingsError names the field (``where`` is its prefix)."""
    return {name: _dimension(value, f"{where}.{name}") for name, value in document.items()}


def _dimension(value: Any, where: str) -> Dimension:
    if isinstance(value, Mapping) and len(value) == 1:
        (form, numbers), *_ = value.items()
        if isinstance(numbers, (list, tuple)) and numbers and all(_is_number(n) for n in numbers):
            if form == "log" and len(numbers) == 2 and 0 < numbers[0] < numbers[1]:
                return Log(float(numbers[0]), float(numbers[1]))
            if form == "values":
                return Categorical(tuple(float(n) for n in numbers))
    raise SettingsError(f"{where}: must be {{log = [low, high]}} with 0 < low < high, or {{values = [...]}}.")


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
