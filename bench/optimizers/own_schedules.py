"""Schedules that optimizers' methods fix themselves, and the papers that say so."""

from collections.abc import Iterable

from bench.optimizers import optimizer_entry
from bench.optimizers.families import OwnSchedule, family_of


def own_schedules(names: Iterable[str]) -> dict[str, OwnSchedule]:
    """Return the schedules of those of the optimizers that have their own; SettingsError for an unknown optimizer."""
    schedules = {name: optimizer_entry(name).schedule for name in names}
    return {name: schedule for name, schedule in schedules.items() if schedule is not None}


def paper_of(name: str) -> str:
    """Return the paper that fixes an optimizer's schedule, by its name in a study; empty if none is known.

    Nothing is imported, so that reports name it on machines without the optimizer's package.
    """
    family = family_of(name.rpartition(".")[2])
    return family.source if family is not None and family.schedule is not None else ""
