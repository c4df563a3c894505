"""Search spaces as data: what can be tuned, and the point of a space that a point of the unit cube stands for."""

import difflib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from posemodel.errors import SettingsError

Value = float | bool | str | tuple[float, ...]
"""What a hyperparameter can be: betas, for instance, are a tuple."""
Hyperparameters = dict[str, Value]


def as_value(value: Any) -> Value:
    """A hyperparameter as JSON or TOML holds it: lists there are tuples here."""
    found: Value = tuple(value) if isinstance(value, list) else value
    return found


@dataclass(frozen=True)
class Log:
    """A range searched on a logarithmic scale."""

    low: float
    high: float

    def at(self, unit: float) -> float:
        """The value at 0..1 of the range."""
        value = math.exp(math.log(self.low) + unit * (math.log(self.high) - math.log(self.low)))
        return min(max(value, self.low), self.high)  # rounding can leave the range at its ends

    def beyond(self, unit: float) -> float:
        """The value there, outside of the range too."""
        return self.low * math.exp(unit * math.log(self.high / self.low))

    def place(self, value: float) -> float:
        """Where a positive value lies: 0..1 within the range."""
        return math.log(value / self.low) / math.log(self.high / self.low)


@dataclass(frozen=True)
class Categorical:
    """A few values, each as likely as the others."""

    values: tuple[Value, ...]

    def at(self, unit: float) -> Value:
        """The value at 0..1 of the list."""
        return self.values[min(int(unit * len(self.values)), len(self.values) - 1)]

    @property
    def count(self) -> int:
        """How many values there are."""
        return len(self.values)

    def nth(self, number: int) -> Value:
        """The value of a number."""
        return self.values[number]

    def place(self, value: Value | None) -> int:
        """The number of a value; 0 of one that is not among them."""
        return self.values.index(value) if value in self.values else 0


@dataclass(frozen=True)
class Fixed:
    """One value: part of every point, and no dimension of the search."""

    value: Value


Dimension = Log | Categorical | Fixed
Space = Mapping[str, Dimension]
RATES = ("lr", "effective_lr")
"""Names of a learning rate: as the class takes it, and as `effective_lr` = lr / (1 - momentum)."""


def rate_of(space: Mapping[str, Any]) -> str | None:
    """The name of the dimension that is the learning rate; None where a space (or its document) has none."""
    return next((name for name in RATES if name in space), None)


def searched(space: Space) -> int:
    """How many dimensions are searched: all but the fixed ones."""
    return sum(not isinstance(dimension, Fixed) for dimension in space.values())


def point(space: Space, unit: Sequence[float]) -> dict[str, Value]:
    """Hyperparameters at a point of the unit cube: one coordinate for each searched dimension, in order."""
    if len(unit) != searched(space):
        raise ValueError(f"{len(unit)} coordinates for {searched(space)} searched dimensions")
    left = iter(unit)
    return {name: d.value if isinstance(d, Fixed) else d.at(next(left)) for name, d in space.items()}


def log_ranges(space: Space) -> dict[str, tuple[float, float]]:
    """Low and high of the dimensions that have a log scale."""
    return {name: (d.low, d.high) for name, d in space.items() if isinstance(d, Log)}


def as_document(space: Space) -> dict[str, Any]:
    """The space as plain data: {"lr": {"log": [low, high]}, "x": {"values": [...]}, "y": {"value": ...}}."""
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
    """The inverse of ``as_document``; a bare value is a fixed one. SettingsError names the field, after ``where``."""
    return {name: dimension(value, f"{where}.{name}") for name, value in document.items()}


FORMS = {
    "log": "{log = [low, high]} with 0 < low < high",
    "values": "{values = [...]} of numbers, words, true, false or lists of numbers",
    "value": "one number, word, true, false or list of numbers",
}
"""Of a study file."""


def dimension(given: Any, where: str, *, forms: Mapping[str, str] = FORMS, shown: str | None = None) -> Dimension:
    """One dimension of plain data, e.g. ``{"log": [1e-5, 1e-2]}``.

    SettingsError begins with ``where`` and tells the ``forms`` that it could have, and ``shown`` as what was given.
    """
    if not isinstance(given, Mapping):
        given = {"value": given}
    (form, content), *others = given.items() or [("", None)]
    if form not in FORMS or others:
        near = difflib.get_close_matches(form, FORMS, n=1) or [f for f in FORMS if form.startswith(f)]  # loguniform
        hint = f", did you mean {near[0]}?" if near and not others else "."
        raise SettingsError(f"{where}: must be {' or '.join(forms.values())}; got {shown or dict(given)!s}{hint}")
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
