"""The workload of a study: which one its settings name, and what they say of it.

`pose` has its settings at the top level of a study, where the studies of all versions have them; any other has its own
in the table `[workload]`.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Protocol

from pydantic import ValidationError

from bench.settings.layers import DEFAULT, Setting, about, build, refused
from bench.settings.validation import first_fault
from bench.workloads import POSE, workload
from bench.workloads.pose import PoseSettings, settled_by_weights
from bench.workloads.protocol import Workload
from posemodel.config import Settings
from posemodel.errors import SettingsError, nearest

TABLE = "workload"
NAME = "name"
"""In the table: the workload's name."""
ONLY_POSE = (*PoseSettings.model_fields, "synthetic_images")
"""Settings at a study's top level that mean something to `pose` alone."""


class TrainsWorkload(Protocol):
    """A study of a kind that trains."""

    @property
    def workload(self) -> Mapping[str, Any]:
        """Name and settings of its workload; empty: `pose`."""


def name_of(table: Mapping[str, Any]) -> str:
    """The workload that a table `[workload]` names."""
    return str(table.get(NAME, POSE))


def workload_of(study: TrainsWorkload) -> Workload:
    """What the trials of a study train."""
    return workload(name_of(study.workload))


def own_settings(study: TrainsWorkload) -> Settings:
    """The workload's own settings in a study."""
    its = workload_of(study)
    if study.workload:
        return its.settings(**{name: value for name, value in study.workload.items() if name != NAME})
    return its.settings(**{name: getattr(study, name) for name in its.settings.model_fields if hasattr(study, name)})


def trained_text(study: Any) -> str:
    """What a study trains, in words: `small at 128 px, from weights base.safetensors (digest 0123456789abcdef)`."""
    beginning = getattr(study, "beginning_text", "")
    what = f"{study.network} at {study.size} px" if study.size is not None else str(study.network)
    return f"{what}, from {beginning}" if beginning else what


def as_study_file(study: Any) -> dict[str, Any]:
    """The settings of a study as a study file has them: nothing left to a preset or a default."""
    outside = {"name", "data"} | ({*ONLY_POSE} if getattr(study, TABLE, None) else {TABLE})
    settings = {"kind", *study.declarations()} - outside
    found: dict[str, Any] = study.model_dump(mode="json", include=settings, exclude_none=True)
    return found


def settle_workload(settings: Mapping[str, Setting]) -> tuple[Workload, Settings, dict[str, Setting]]:
    """The workload of layered settings, its own settings, and the settings without what means nothing to it.

    SettingsError names file, line and field of what is wrong in the table, and a setting that only `pose` has.
    """
    table = settings[TABLE]
    with about(settings, (TABLE, NAME)):
        its = workload(name_of(table.value))
    typed = {name: value for name, value in table.value.items() if name != NAME}
    if its.name == POSE:
        for name in typed:
            with about(settings, (TABLE, name)):
                raise SettingsError(
                    f"{TABLE}.{name}: the settings of `{POSE}` stand at the top level of a study file; `{NAME}` names "
                    "another workload."
                )
        settings = settled_by_weights(settings)
        given = {name: settings[name].value for name in its.settings.model_fields if name in settings}
        return its, build(its.settings, given, settings), dict(settings) | {TABLE: Setting({}, table.origin)}
    for name in ONLY_POSE:
        if name in settings and not settings[name].origin.startswith((DEFAULT, "preset")):
            with about(settings, name):
                raise SettingsError(f"{name}: is a setting of the workload `{POSE}`; this study trains {its.name}.")
    try:
        own = its.settings(**typed)
    except ValidationError as error:
        fault = first_fault(error, typed)
        unknown = fault.path[:1] if fault.path[0] not in its.settings.model_fields else ()
        hint = nearest(str(unknown[0]), its.settings.model_fields) if unknown else fault.hint
        raise refused(replace(fault, path=(TABLE, *fault.path), hint=hint), table.origin) from error
    whole = {NAME: its.name, **own.model_dump(mode="json", exclude_none=True)}
    idle = PoseSettings.model_construct(network=its.name, size=None)
    unused = {
        name: Setting(getattr(idle, name), f"{DEFAULT} (workload {its.name})") for name in PoseSettings.model_fields
    }
    return its, own, dict(settings) | {TABLE: Setting(whole, table.origin)} | unused
