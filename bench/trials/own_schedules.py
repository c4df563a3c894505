"""The learning rate schedule of each optimizer of a study: the study's, unless the optimizer's method fixes its own."""

from collections.abc import Mapping
from typing import Any, Protocol, TypeVar

from posemodel.config import Schedule

Name = TypeVar("Name", bound=str)


class Scheduled(Protocol):
    """The specification of a study with a schedule for all optimizers but some."""

    @property
    def schedule(self) -> Schedule:
        """Schedule of the study."""

    @property
    def own_schedules(self) -> Mapping[str, Schedule]:
        """Schedules that methods fix themselves, by optimizer."""


def schedule_of(study: Scheduled, optimizer: str) -> Schedule:
    """Return the schedule that trials of an optimizer, or of its control, train with."""
    return study.own_schedules.get(optimizer, study.schedule)


def other_schedules(study: Scheduled) -> dict[str, Schedule]:
    """Return the schedules that differ from the study's, by optimizer."""
    return differing(study.own_schedules, study.schedule)


def differing(own_schedules: Mapping[str, Name], schedule: str | None) -> dict[str, Name]:
    """Return those of ``own_schedules`` that are not ``schedule``."""
    return {name: own for name, own in own_schedules.items() if own != schedule}


def schedules_as_begun(study: Scheduled, begun: Mapping[str, Any]) -> dict[str, Schedule]:
    """Return the own schedules with which a begun study continues; ``begun``: its stored identity.

    Optimizers that it began with keep theirs (in studies of earlier versions, the study's); added ones get their own.
    """
    added = {name: own for name, own in study.own_schedules.items() if name not in begun.get("optimizers", ())}
    return {**begun.get("own_schedules", {}), **added}
