"""Size a study for a time budget (`--budget 10m`) from measured trial costs on this machine.

Only settings that the user did not set are chosen, and only for a study that has not begun; a begun study keeps its
settings.
"""

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from bench.report.wording import duration_text
from bench.settings.layers import DEFAULT
from bench.storage.durations import parse_duration
from bench.study.kind import StudyKind
from bench.study.prepare import prepare
from bench.study.probe import Measured
from bench.study.settings import StudyRequest, preset_of, resolve
from bench.trials.study_base import StudyBase
from posemodel.errors import SettingsError

S = TypeVar("S", bound=StudyBase)
RECOMMENDED_MARGIN = 1.2
"""Factor on a recommended budget, so that it still suffices when the next measurement comes out slower."""

GRACE = 1.1
"""Multiple of its budget after which a running study is ended and reported with the results so far."""


@dataclass(frozen=True)
class TimeBudget:
    """The wall time that a command may take."""

    text: str
    """The budget as typed."""
    seconds: float
    began: float
    """Start of the command, in seconds since the epoch."""

    @classmethod
    def parse(cls, text: str, began: float) -> "TimeBudget":
        """Parse `90s`, `10m`, `1h30m`; SettingsError for anything else, including a number without a unit."""
        return cls(text.strip(), parse_duration(text, "--budget"), began)

    @property
    def end(self) -> float:
        """Time at which an unfinished study is ended, in seconds since the epoch.

        It is later than the budget's own end, so that a study that is nearly done can finish.
        """
        return self.began + GRACE * self.seconds

    def words(self) -> str:
        """Return the budget in words, or as typed if it is not whole minutes."""
        return duration_text(self.seconds) if self.seconds % 60 == 0 else self.text

    def remaining_s(self) -> float:
        """Return the seconds from now until the budget is used up; negative afterwards."""
        return self.began + self.seconds - time.time()


@dataclass(frozen=True)
class BudgetedRequest:
    """A study request whose open settings a time budget has chosen."""

    request: StudyRequest
    """The request, with the chosen settings added."""
    measured: Measured | None
    """Measured trial costs; None if the study had already begun."""
    text: str
    """The choice in one line."""


def choose_for_budget(
    kind: StudyKind[S],
    request: StudyRequest,
    budget: TimeBudget,
    identities: Mapping[str, Mapping[str, Any] | None],
    say: Callable[[str], object],
) -> BudgetedRequest:
    """Choose the settings that the user left open, so that the study fits the time budget.

    Args:
        kind: Kind of the study; must have ``estimates``.
        request: The user's request.
        budget: The time budget.
        identities: Identities of the ledger's studies, by name; a study among them is not sized again.
        say: Called with a line of text before measuring begins.

    Raises SettingsError if not even the smallest sensible design fits, EstimateError if nothing could be measured.
    """
    planned = prepare(kind, request, None)
    choosable = _choosable(kind, request)
    begun = [(spec.name, identities[spec.name] or {}) for spec in planned.specs if spec.name in identities]
    if begun:
        return _as_begun(kind, request, budget, choosable, *begun[0])
    say("measuring what fits into the time ...")
    measured = kind.measure_costs(planned)
    remaining_s = budget.remaining_s()
    sized = kind.choose_size(replace(planned, measured=measured), choosable, remaining_s)
    if sized.margin * sized.seconds > remaining_s:
        needed = round_up(RECOMMENDED_MARGIN * (budget.seconds - remaining_s + sized.margin * sized.seconds))
        raise SettingsError(
            f"--budget {budget.text}: {budget.words()} cannot {sized.subject}; {duration_text(needed)} "
            f"can, with {sized.text}, as measured on this machine. Give --budget {as_budget_option(needed)}, or "
            f"{sized.smaller}."
        )
    origin = f"--budget {budget.text} (measured here)"
    chosen = {name: (value, origin) for name, value in sized.values.items()}
    text = f"--budget {budget.text}: {sized.text}; estimated time: {duration_text(sized.seconds)}"
    return BudgetedRequest(
        replace(request, chosen=chosen), measured, f"{text} of the {duration_text(remaining_s)} left."
    )


def _choosable(kind: StudyKind[S], request: StudyRequest) -> frozenset[str]:
    """Return the settings that a budget may choose: those whose value comes from the preset or the default."""
    preset = preset_of(kind.spec, request)
    settings = kind.resolve_on_machine(resolve(kind.spec, request, preset), preset)
    return frozenset(
        name
        for name in kind.budgeted
        if settings[name].value is not None and settings[name].origin.startswith(("preset", DEFAULT))
    )


def _as_begun(
    kind: StudyKind[S],
    request: StudyRequest,
    budget: TimeBudget,
    choosable: frozenset[str],
    name: str,
    identity: Mapping[str, Any],
) -> BudgetedRequest:
    """Return the request with the choice made when the study began; settings missing in its identity are defaults."""
    origin = f"--budget {budget.text} (as study {name} was begun)"
    fields = kind.spec.model_fields
    chosen = {
        each: (identity.get(each, fields[each].default), origin)
        for each in sorted(choosable)
        if each in identity or not fields[each].is_required()
    }
    text = f"--budget {budget.text}: the study {name} has already begun; it continues with its settings."
    return BudgetedRequest(replace(request, chosen={n: v for n, v in chosen.items() if v[0] is not None}), None, text)


def round_up(seconds: float) -> float:
    """Round seconds up to a time that is easy to type: whole minutes, 5 min above 10 min, 30 min above 2 h."""
    unit = 60 if seconds <= 600 else 300 if seconds <= 7200 else 1800
    return unit * math.ceil(seconds / unit)


def as_budget_option(seconds: float) -> str:
    """Format seconds, rounded to minutes, as `--budget` accepts them, e.g. `1h30m`."""
    hours, minutes = divmod(round(seconds / 60), 60)
    return f"{hours}h{minutes}m" if hours and minutes else f"{hours}h" if hours else f"{minutes}m"
