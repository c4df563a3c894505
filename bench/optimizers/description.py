"""Describe an optimizer: its hyperparameters, default space, source and own schedule, and what the check found."""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from inspect import Parameter
from typing import Any

from bench.optimizers import optimizer_entry
from bench.optimizers.check import RATE_WITHOUT_DEFAULT, Check, check_optimizer
from bench.optimizers.entry import COMPLEMENT, EFFECTIVE_RATE, RATE, WEIGHT_DECAY, OptimizerEntry
from bench.optimizers.line import optimizer_line
from bench.optimizers.space import Dimension, Fixed, Log, Space, Value, as_document, as_value, from_document
from bench.optimizers.spaces import spaces_of
from bench.settings.layers import COMMAND_LINE
from posemodel.errors import SettingsError

OPENINGS = (
    "cannot train a convolutional network: ",
    "cannot train a network: ",
    "is not supported: ",
    "building it fails with ",
    "its step on a small convolutional network fails with ",
    "it ",
)
"""Beginnings of reasons that a line leaves out."""
DIGITS = 12
"""Significant digits of a value that is written for the command line."""
STEPS_OF_TRAINING = 1000
"""Steps of the training that is proposed as the next command."""
REASON_ENDS = ("; ", ". ", " (", ", ")
"""Marks in a reason after which details follow."""


@dataclass(frozen=True)
class Description:
    """An optimizer as it is listed; `as_document` has all of it."""

    group: str
    check: Check
    entry: OptimizerEntry | None
    """None if the name has none; the check says why."""
    space: Space = field(default_factory=dict)
    """Space in which a study searches: that of the study file, or the default one; empty if there is none."""

    @property
    def name(self) -> str:
        """Its name in study files."""
        return self.check.name

    @property
    def defaults(self) -> dict[str, str]:
        """Hyperparameters with their defaults as text: empty if a value is required."""
        return {} if self.entry is None else {n: default_text(v) for n, v in self.entry.hyperparameters.items()}

    @property
    def required(self) -> list[str]:
        """Hyperparameters that have no default."""
        return [name for name, text in self.defaults.items() if not text]

    @property
    def reason(self) -> str:
        """Why it fails, in one sentence; empty if it passes."""
        return self.check.reason.removeprefix(f"optimizer {self.name}: ").removeprefix("optimizers: ")

    @property
    def short_reason(self) -> str:
        """Reason without details, as the end of a line."""
        text = self.reason
        for opening in OPENINGS:
            text = text.removeprefix(opening)
        return min((text.partition(mark)[0] for mark in REASON_ENDS), key=len).rstrip(".")

    @property
    def short_driving(self) -> str:
        """How a step is taken, in a few words; empty if it is an ordinary one."""
        gradients = self.check.gradients_per_step
        parts = [part.replace("step(closure)", "closure") for part in self.check.driving.split(", ")]
        parts = [part.removeprefix("then ") for part in parts if part not in ("step()", "gradients")]
        parts += [f"{gradients:.3g} gradients"] if gradients not in (None, 1) else []
        return ", ".join(filter(None, parts))

    def as_document(self) -> dict[str, Any]:
        """Return all of it as flat data for JSON; a default that JSON does not know is text."""
        entry = self.entry
        hyperparameters = {} if entry is None else entry.hyperparameters
        return {
            **asdict(self.check),
            "reason": self.reason,
            "group": self.group,
            "class": "" if entry is None else entry.kind,
            "source": "" if entry is None else entry.source,
            "schedule": None if entry is None else entry.schedule,
            "hyperparameters": {name: _plain(default) for name, default in hyperparameters.items()},
            "required": self.required,
            "filled_in": [] if entry is None else sorted(entry.fillable),
            "space": as_document(self.space),
        }


def describe(name: str, group: str) -> Description:
    """Check an optimizer by its defaults, and describe it."""
    entry = _entry_or_none(name)
    return Description(group, check_safely(name), entry, {} if entry is None else entry.space)


@dataclass(frozen=True)
class Examined:
    """An optimizer with given hyperparameters, as a training and a study would take it."""

    description: Description
    values: Mapping[str, Any]
    """Hyperparameters of the check: those that are given, and a learning rate if the class has none by default."""
    changed: Space | None = None
    """Space that a study has to be given; None: the default one."""

    @property
    def line(self) -> str:
        """Line of Python that builds it; empty if it fails."""
        entry = self.description.entry
        if entry is None or not self.description.check.passes:
            return ""
        decay = self.values.get(WEIGHT_DECAY, 0.0)  # trainings and studies have none, whatever the class's own is
        return optimizer_line(entry, dict(self.values), float(decay), steps=STEPS_OF_TRAINING)


def examine(name: str, group: str, hyperparameters: Mapping[str, Any], change: Mapping[str, Any] | None) -> Examined:
    """Check an optimizer, also at the corners of its space.

    Args:
        name: The optimizer.
        group: Its group.
        hyperparameters: Hyperparameters, by name. Those that the space does not search are fixed in it.
        change: A space as in a study file, whose fixed values count as given; None: the default one.
    """
    hyperparameters = {
        **{each: as_value(plain["value"]) for each, plain in (change or {}).items() if "value" in plain},
        **hyperparameters,
    }
    entry = _entry_or_none(name)
    if entry is None:
        return Examined(Description(group, check_safely(name, hyperparameters), None), hyperparameters)
    needs_rate = entry.hyperparameters.get(RATE) is Parameter.empty and RATE not in hyperparameters
    values = {**hyperparameters, **({RATE: RATE_WITHOUT_DEFAULT} if needs_rate else {})}
    check, space, changed = check_safely(name, values), entry.space, None
    if check.passes:
        entry = entry.at(hyperparameters)
        plain = as_document(entry.space) if change is None else dict(change)
        searched = {_argument(entry, each) for each in plain}
        fixed = {
            each: {"value": value} for each, value in hyperparameters.items() if _argument(entry, each) not in searched
        }
        fixed.pop(WEIGHT_DECAY, None)  # it is the study's, for all optimizers
        changes = {name: {**plain, **fixed}} if fixed or change is not None else {}
        try:
            if changes or entry.space:
                decay = hyperparameters.get(WEIGHT_DECAY, 0.0)
                spaces = spaces_of([name], changes, dict.fromkeys(changes, COMMAND_LINE), weight_decay=decay)
                space = from_document(spaces[name], "space")
            changed = space if changes else None
        except SettingsError as error:
            text = str(error).replace(f"optimizer {name}: ", "", 1)
            check = _failed(name, f"optimizer {name}: it cannot be searched over its space: {text}")
    return Examined(Description(group, check, entry, space), values, changed)


def _argument(entry: OptimizerEntry, name: str) -> str:
    """Return the argument that a hyperparameter's name in a space stands for: `betas` for `one_minus_beta1`."""
    plain = name if name in entry.hyperparameters else name.removeprefix(COMPLEMENT)
    return RATE if plain == EFFECTIVE_RATE else entry.components.get(plain, (plain, 0))[0]


def check_safely(name: str, hyperparameters: Mapping[str, Any] | None = None) -> Check:
    """Check an optimizer; an error outside its steps, in a property for instance, is a reason too."""
    try:
        return check_optimizer(name, hyperparameters)
    except Exception as error:  # a user's class may raise anything, anywhere
        text = " ".join(str(error).split()).rstrip(".")
        return _failed(name, f"optimizer {name}: checking it fails with {type(error).__name__}: {text}.")


def _failed(name: str, reason: str) -> Check:
    return Check(name, False, reason, "", None, None, None, None)


def _entry_or_none(name: str) -> OptimizerEntry | None:
    try:
        return optimizer_entry(name)
    except SettingsError:
        return None


def default_text(value: Any) -> str:
    """Return a default as a person writes it: `(0.9, 0.99)`; empty if a value is required."""
    if value is Parameter.empty:
        return ""
    if callable(getattr(value, "item", None)):  # a learning rate that is a tensor
        return default_text(value.item())
    if isinstance(value, type):
        return value.__name__
    if callable(value):
        name = getattr(value, "__name__", "")
        return f"{name}()" if name.isidentifier() else "a function"
    return str(value)


def _plain(value: Any) -> Any:
    if isinstance(value, (list, tuple)):
        return [_plain(each) for each in value]
    if value is None or isinstance(value, (bool, int, str)) or (isinstance(value, float) and math.isfinite(value)):
        return value
    return None if value is Parameter.empty else default_text(value)


def space_text(space: Space) -> str:
    """Return a space as `--space` takes it: `lr=log(1e-05,0.1),betas=values((0.9,0.99),(0.95,0.98))`."""
    return ",".join(f"{name}={_dimension_text(dimension)}" for name, dimension in space.items())


def _dimension_text(dimension: Dimension) -> str:
    if isinstance(dimension, Fixed):
        return value_text(dimension.value)
    ends: Sequence[Value] = (dimension.low, dimension.high) if isinstance(dimension, Log) else dimension.values
    return f"{'log' if isinstance(dimension, Log) else 'values'}({','.join(map(value_text, ends))})"


def value_text(value: Any) -> str:
    """Return a hyperparameter's value as the command line takes it: `0.01`, `true`, `(0.9,0.99)`."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, (tuple, list)):
        return f"({','.join(map(value_text, value))})"
    if isinstance(value, (int, float)):
        return re.sub(r"e([+-])0+", r"e\1", f"{value:.{DIGITS}g}").replace("e+", "e")
    return str(value)
