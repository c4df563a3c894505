"""Schedules that optimizers' methods fix themselves, and the reasons: a paper that says so, or no rate to change."""

from collections.abc import Mapping
from functools import cache
from typing import Any

from bench.optimizers import optimizer_entry
from bench.optimizers.entry import RATE
from bench.optimizers.families import OwnSchedule, family_of
from bench.optimizers.names import Wrapped, parts_of
from bench.optimizers.space import Categorical, from_document
from posemodel.dotted_paths import with_dots
from posemodel.errors import SettingsError

NO_RATE = "it has no learning rate"
"""The reason of a class without `lr`."""


def own_schedules(spaces: Mapping[str, Mapping[str, Any]]) -> dict[str, OwnSchedule]:
    """Return the schedules of those of the optimizers that have their own.

    ``spaces``: optimizer -> its space as plain data, in which that of a wrapper may name the optimizer inside. Raises
    SettingsError for an unknown optimizer, and for a search over optimizers inside that have different schedules.
    """
    schedules = {name: _schedule_of(name, space) for name, space in spaces.items()}
    return {name: schedule for name, schedule in schedules.items() if schedule is not None}


def _schedule_of(name: str, space: Mapping[str, Any]) -> OwnSchedule | None:
    entry = optimizer_entry(name)
    inside = space.get(entry.names_inside_by)
    if inside is None:
        return entry.schedule
    dimension = from_document({entry.names_inside_by: inside}, f"spaces.{name}")[entry.names_inside_by]
    choices = dimension.values if isinstance(dimension, Categorical) else (getattr(dimension, "value", None),)
    schedules = {entry.at({entry.names_inside_by: each}).schedule for each in choices}
    if len(schedules) > 1:
        raise SettingsError(
            f"optimizer {name}: {entry.names_inside_by} is searched over optimizers with different schedules of their "
            "own. Name each as an optimizer of its own, my_package.SAM(adamw)."
        )
    return schedules.pop()


def schedule_reason(name: str) -> str:
    """Return why an optimizer has its own schedule, by its name in a study: the paper that fixes it, or another reason.

    For a name that is made of others it names the part with that schedule. Empty if no reason is known. No class of a
    known family is imported, so that reports name the paper on machines without the optimizer's package.
    """
    try:
        parts = parts_of(name)
    except ValueError:  # a study from elsewhere, only displayed here
        return ""
    if parts is None:
        return _reason_of_class(with_dots(name))
    if isinstance(parts, Wrapped):
        inside = schedule_reason(parts.inside)
        return _reason_of_family(parts.outer) or (f"as {parts.inside}: {inside}" if inside else "")
    reasons = {part: reason for part in parts if (reason := schedule_reason(part))}
    if len(reasons) == 1:
        ((part, reason),) = reasons.items()
        return f"both parts train under the schedule of {part}: {reason}"
    return "; ".join(f"{part}: {reason}" for part, reason in reasons.items())


def _reason_of_class(name: str) -> str:
    if family_of(_class_name(name)) is not None:
        return _reason_of_family(name)
    return NO_RATE if _has_no_rate(name) else ""


def _reason_of_family(name: str) -> str:
    family = family_of(_class_name(name))
    return (family.reason or family.source) if family is not None and family.schedule is not None else ""


def _class_name(path: str) -> str:
    return with_dots(path).rpartition(".")[2]


@cache
def _has_no_rate(name: str) -> bool:
    """Return whether a class has no learning rate; False if it is not installed here."""
    try:
        return RATE not in optimizer_entry(name).hyperparameters
    except SettingsError:
        return False
