"""`--budget 10m`: a study sized for the time that there is, by what its trials cost on this machine.

It chooses only settings that nobody gave, and only for a study that has not begun: one that has keeps what was chosen.
"""

import math
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from bench.report.wording import duration_text
from bench.settings.layers import DEFAULT
from bench.study.kind import StudyKind
from bench.study.prepare import prepare
from bench.study.probe import Measured
from bench.study.settings import Given, preset_of, resolve
from bench.trials.study_base import StudyBase
from posemodel.errors import SettingsError

S = TypeVar("S", bound=StudyBase)
UNITS = (3600, 60, 1)
"""Seconds of `h`, `m` and `s`."""
NUMBER = r"\d+(?:\.\d+)?"
MORE = 1.2
"""A budget that is recommended has room for another measurement to come out differently."""

GRACE = 1.1
"""How many times its budget a study runs at most: then it is ended with what it has."""


@dataclass(frozen=True)
class TimeBudget:
    """The time that a command has."""

    text: str
    """As it was typed."""
    seconds: float
    began: float
    """When the command began, in seconds since the epoch."""

    @classmethod
    def parse(cls, text: str, began: float) -> "TimeBudget":
        """Of `90s`, `10m`, `1h30m`; SettingsError for anything else: a plain number has no unit to go by."""
        typed = text.strip().lower().replace(" ", "")
        if re.fullmatch(NUMBER, typed):
            raise SettingsError(f"--budget {text}: has no unit: give {typed}m for minutes, {typed}h or {typed}s.")
        found = re.fullmatch(rf"(?:({NUMBER})h)?(?:({NUMBER})m)?(?:({NUMBER})s)?", typed)
        if found is None or not typed:
            raise SettingsError(f"--budget {text}: must be a time, as 90s, 10m, 2h or 1h30m.")
        seconds = sum(float(amount or 0) * unit for amount, unit in zip(found.groups(), UNITS, strict=True))
        if seconds <= 0:
            raise SettingsError(f"--budget {text}: must be longer than nothing.")
        return cls(text.strip(), seconds, began)

    @property
    def end(self) -> float:
        """When a study is ended that is not done, in seconds since the epoch: one that nearly is comes to its end."""
        return self.began + GRACE * self.seconds

    def words(self) -> str:
        """It in words; as it was typed where that says more."""
        return duration_text(self.seconds) if self.seconds % 60 == 0 else self.text

    def left(self) -> float:
        """Seconds from now to its end."""
        return self.began + self.seconds - time.time()


@dataclass(frozen=True)
class Budgeted:
    """What a budget made of a command."""

    given: Given
    """What was asked for, with what was chosen."""
    measured: Measured | None
    """What was measured for it; None: the study had begun before."""
    text: str
    """What was chosen, in a line."""


def within_budget(
    kind: StudyKind[S],
    given: Given,
    budget: TimeBudget,
    identities: Mapping[str, Mapping[str, Any] | None],
    say: Callable[[str], object],
) -> Budgeted:
    """Choose what nobody gave, for the time that there is.

    Args:
        kind: Of the study, one that ``estimates``.
        given: What is asked for.
        budget: The time.
        identities: The studies of the ledger, by name: one that has begun is not sized anew.
        say: Gets a line before something is measured.

    Raises SettingsError where not even the least sensible design fits; EstimateError where nothing could be measured.
    """
    planned = prepare(kind, given, None)
    free = _free(kind, given)
    known = [(spec.name, identities[spec.name] or {}) for spec in planned.specs if spec.name in identities]
    if known:
        return _as_begun(kind, given, budget, free, *known[0])
    say("measuring what fits into the time ...")
    found = kind.measured(planned)
    left = budget.left()
    sized = kind.sized(replace(planned, measured=found), free, left)
    if sized.margin * sized.seconds > left:
        needed = round_up(MORE * (budget.seconds - left + sized.margin * sized.seconds))
        raise SettingsError(
            f"--budget {budget.text}: {budget.words()} cannot {sized.subject}; {duration_text(needed)} "
            f"can, with {sized.text}, by what was measured here. Give --budget {as_typed(needed)}, or {sized.smaller}."
        )
    origin = f"--budget {budget.text} (measured here)"
    chosen = {name: (value, origin) for name, value in sized.values.items()}
    text = f"--budget {budget.text}: {sized.text}; estimated time: {duration_text(sized.seconds)}"
    return Budgeted(replace(given, chosen=chosen), found, f"{text} of the {duration_text(left)} that are left.")


def _free(kind: StudyKind[S], given: Given) -> frozenset[str]:
    """The settings that a budget may choose: those that stand as the preset or the default has them."""
    preset = preset_of(kind.spec, given)
    settings = kind.on_this_machine(resolve(kind.spec, given, preset), preset)
    return frozenset(
        name
        for name in kind.budgeted
        if settings[name].value is not None and settings[name].origin.startswith(("preset", DEFAULT))
    )


def _as_begun(
    kind: StudyKind[S],
    given: Given,
    budget: TimeBudget,
    free: frozenset[str],
    name: str,
    identity: Mapping[str, Any],
) -> Budgeted:
    """What was chosen when the study began: a setting that its identity leaves out stands at its default."""
    origin = f"--budget {budget.text} (as study {name} was begun)"
    fields = kind.spec.model_fields
    chosen = {
        each: (identity.get(each, fields[each].default), origin)
        for each in sorted(free)
        if each in identity or not fields[each].is_required()
    }
    text = f"--budget {budget.text}: the study {name} has begun, and goes on as it is: nothing is chosen anew."
    return Budgeted(replace(given, chosen={n: v for n, v in chosen.items() if v[0] is not None}), None, text)


def round_up(seconds: float) -> float:
    """A time for people to type: whole minutes, from 10 min on 5, from 2 h on 30 min."""
    unit = 60 if seconds <= 600 else 300 if seconds <= 7200 else 1800
    return unit * math.ceil(seconds / unit)


def as_typed(seconds: float) -> str:
    """A time in whole minutes as `--budget` takes it."""
    hours, minutes = divmod(round(seconds / 60), 60)
    return f"{hours}h{minutes}m" if hours and minutes else f"{hours}h" if hours else f"{minutes}m"
