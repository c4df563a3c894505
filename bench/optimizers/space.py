"""Search spaces of hyperparameters as data, and the map from the unit cube to their points."""

import difflib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from posemodel.errors import SettingsError

Value = float | bool | str | tuple[float, ...]
"""The value of a hyperparameter; betas, for instance, are a tuple."""
Hyperparameters = dict[str, Value]


def as_value(value: Any) -> Value:
    """Convert a hyperparameter from JSON or TOML, where tuples are lists."""
    converted: Value = tuple(value) if isinstance(value, list) else value
    return converted


@dataclass(frozen=True)
class Log:
    """A range searched on a logarithmic scale."""

    low: float
    high: float

    def at(self, unit: float) -> float:
        """Return the value at a coordinate from 0 (low) to 1 (high)."""
        value = math.exp(math.log(self.low) + unit * (math.log(self.high) - math.log(self.low)))
        return min(max(value, self.low), self.high)  # rounding could leave the range at its ends

    def beyond(self, unit: float) -> float:
        """Return the value at a coordinate, which may lie outside 0..1."""
        return self.low * math.exp(unit * math.log(self.high / self.low))

    def unit_of(self, value: float) -> float:
        """Return the coordinate of a positive value: 0..1 within the range."""
        return math.log(value / self.low) / math.log(self.high / self.low)


@dataclass(frozen=True)
class Categorical:
    """A choice between a few equally likely values."""

    values: tuple[Value, ...]

    def at(self, unit: float) -> Value:
        """Return the value at a coordinate from 0 to 1, divided equally between the values."""
        return self.values[min(int(unit * len(self.values)), len(self.values) - 1)]

    @property
    def count(self) -> int:
        """Number of values."""
        return len(self.values)

    def nth(self, index: int) -> Value:
        """Return the value with this index."""
        return self.values[index]

    def index_of(self, value: Value | None) -> int:
        """Return the index of a value; 0 if it is not among them."""
        return self.values.index(value) if value in self.values else 0


@dataclass(frozen=True)
class Fixed:
    """A fixed value: part of every point, not searched."""

    value: Value


Dimension = Log | Categorical | Fixed
Space = Mapping[str, Dimension]
RATES = ("lr", "effective_lr")
"""Names of a learning rate: that of the class, and `effective_lr` = lr / (1 - momentum)."""


def rate_of(space: Mapping[str, Any]) -> str | None:
    """Return the name of the learning rate in a space (or in its plain data); None if there is none."""
    return next((name for name in RATES if name in space), None)


def searched(space: Space) -> int:
    """Return the number of searched dimensions: all but the fixed ones."""
    return sum(not isinstance(dimension, Fixed) for dimension in space.values())


def point(space: Space, unit: Sequence[float]) -> dict[str, Value]:
    """Return the hyperparameters at a point of the unit cube: one coordinate for each searched dimension, in order.

    Example:
        point({"lr": Log(1e-4, 1.0), "momentum": Fixed(0.9)}, [0.5])  # {"lr": 0.01, "momentum": 0.9}
    """
    if len(unit) != searched(space):
        raise ValueError(f"{len(unit)} coordinates for {searched(space)} searched dimensions")
    coordinates = iter(unit)
    return {name: d.value if isinstance(d, Fixed) else d.at(next(coordinates)) for name, d in space.items()}


def log_ranges(space: Space) -> dict[str, tuple[float, float]]:
    """Return (low, high) of each dimension with a logarithmic scale."""
    return {name: (d.low, d.high) for name, d in space.items() if isinstance(d, Log)}


def as_document(space: Space) -> dict[str, Any]:
    """Return the space as plain data: {"lr": {"log": [low, high]}, "x": {"values": [...]}, "y": {"value": ...}}."""
    return {name: _as_plain(dimension) for name, dimension in space.items()}


def _as_plain(dimension: Dimension) -> dict[str, Any]:
    if isinstance(dimension, Log):
        return {"log": [dimension.low, dimension.high]}
    if isinstance(dimension, Categorical):
        return {"values": [_listed(value) for value in dimension.values]}
    return {"value": _listed(dimension.value)}


def _listed(value: Value) -> float | bool | str | list[float]:
    return list(value) if isinstance(value, tuple) else value


def from_document(document: Mapping[str, Any], where: str) -> dict[str, Dimension]:
    """Read a space from plain data, the inverse of ``as_document``; a bare value is a fixed one.

    Raises SettingsError, which begins with ``where`` and the name of the dimension.
    """
    return {name: dimension(value, f"{where}.{name}") for name, value in document.items()}


FORMS = {
    "log": "{log = [low, high]} with 0 < low < high",
    "values": "{values = [...]} of numbers, words, true, false or lists of numbers",
    "value": "one number, word, true, false or list of numbers",
}
"""Form of a dimension -> how a study file writes it, for error messages."""


def dimension(plain: Any, where: str, *, forms: Mapping[str, str] = FORMS, shown: str | None = None) -> Dimension:
    """Read a dimension from plain data, e.g. ``{"log": [1e-5, 1e-2]}``.

    SettingsError begins with ``where`` and lists the possible ``forms``; it quotes ``shown`` instead of ``plain`` if
    that is not None.
    """
    if not isinstance(plain, Mapping):
        plain = {"value": plain}
    (form, content), *others = plain.items() or [("", None)]
    if form not in FORMS or others:
        near = difflib.get_close_matches(form, FORMS, n=1) or [f for f in FORMS if form.startswith(f)]  # loguniform
        hint = f", did you mean {near[0]}?" if near and not others else "."
        raise SettingsError(f"{where}: must be {' or '.join(forms.values())}; got {shown or dict(plain)!s}{hint}")
    entries = content if isinstance(content, (list, tuple)) else []
    if form == "log" and len(entries) == 2 and all(map(_is_number, entries)) and 0 < entries[0] < entries[1]:
        return Log(float(entries[0]), float(entries[1]))
    if form == "values" and entries and all(map(_is_value, entries)):
        return Categorical(tuple(map(_value, entries)))
    if form == "value" and _is_value(content):
        return Fixed(_value(content))
    raise SettingsError(f"{where}: must be {forms[form]}; got {shown or repr(content)}.")


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def _is_value(value: Any) -> bool:
    if isinstance(value, (list, tuple)):
        return bool(value) and all(map(_is_number, value))
    return isinstance(value, bool) or _is_number(value) or (isinstance(value, str) and value != "")


def _value(value: Any) -> Value:
    if isinstance(value, (list, tuple)):
        return tuple(float(number) for number in value)
    return value if isinstance(value, (bool, str)) else float(value)
