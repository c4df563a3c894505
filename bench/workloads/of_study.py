"""Find the workload that a study's settings name, and the workload's own settings in them.

The settings of `pose` are at the top level of a study file, as in all earlier versions; those of any other workload are
in the table `[workload]`.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Protocol

from pydantic import ValidationError

from bench.settings.layers import DEFAULT, Setting, build_model, errors_about, value_error
from bench.settings.value_errors import first_fault
from bench.workloads import NAME, POSE, workload
from bench.workloads.pose import PoseSettings, settled_by_weights
from bench.workloads.protocol import Workload
from posemodel.config import Settings
from posemodel.errors import SettingsError, did_you_mean

TABLE = "workload"
ONLY_POSE = (*PoseSettings.model_fields, "synthetic_images")
"""Settings at the top level of a study that only `pose` has."""


class TrainsWorkload(Protocol):
    """The specification of a study that trains a workload."""

    @property
    def workload(self) -> Mapping[str, Any]:
        """Table with name and settings of the workload; empty: `pose`."""


def name_of(table: Mapping[str, Any]) -> str:
    """Return the name of the workload in a table `[workload]`; `pose` by default."""
    return str(table.get(NAME, POSE))


def workload_of(study: TrainsWorkload) -> Workload:
    """Return the workload that the trials of a study train."""
    return workload(name_of(study.workload))


def own_settings(study: TrainsWorkload) -> Settings:
    """Return the workload's own settings in a study."""
    chosen = workload_of(study)
    if study.workload:
        return chosen.settings(**{name: value for name, value in study.workload.items() if name != NAME})
    return chosen.settings(
        **{name: getattr(study, name) for name in chosen.settings.model_fields if hasattr(study, name)}
    )


def trained_text(study: Any) -> str:
    """Describe what a study trains: `small at 128 px, from weights base.safetensors (digest 0123456789abcdef)`."""
    beginning = getattr(study, "initial_weights_text", "")
    description = f"{study.network} at {study.size} px" if study.size is not None else str(study.network)
    return f"{description}, from {beginning}" if beginning else description


def as_study_file(study: Any) -> dict[str, Any]:
    """Return a study's settings as a study file writes them, with nothing left to a preset or a default."""
    left_out = {"name", "data"} | ({*ONLY_POSE} if getattr(study, TABLE, None) else {TABLE})
    settings = {"kind", *study.declarations()} - left_out
    document: dict[str, Any] = study.model_dump(mode="json", include=settings, exclude_none=True)
    return document


def settle_workload(settings: Mapping[str, Setting]) -> tuple[Workload, Settings, dict[str, Setting]]:
    """Return the workload of layered settings, its own settings, and the layered settings adapted to it.

    For a workload other than `pose` the settings that only `pose` has are replaced with placeholders. Raises
    SettingsError with file, line and field for an error in the table, and for a setting that only `pose` has.
    """
    table = settings[TABLE]
    with errors_about(settings, (TABLE, NAME)):
        chosen = workload(name_of(table.value))
    table_values = {name: value for name, value in table.value.items() if name != NAME}
    if chosen.name == POSE:
        for name in table_values:
            with errors_about(settings, (TABLE, name)):
                raise SettingsError(
                    f"{TABLE}.{name}: the settings of `{POSE}` stand at the top level of a study file. Move this one "
                    f"there, or set `{NAME}` to another workload."
                )
        settings = settled_by_weights(settings)
        values = {name: settings[name].value for name in chosen.settings.model_fields if name in settings}
        return (
            chosen,
            build_model(chosen.settings, values, settings),
            dict(settings) | {TABLE: Setting({}, table.origin)},
        )
    for name in ONLY_POSE:
        if name in settings and not settings[name].origin.startswith((DEFAULT, "preset")):
            with errors_about(settings, name):
                raise SettingsError(f"{name}: is a setting of the workload `{POSE}`; this study trains {chosen.name}.")
    try:
        own = chosen.settings(**table_values)
    except ValidationError as error:
        fault = first_fault(error, table_values)
        unknown = fault.path[:1] if fault.path[0] not in chosen.settings.model_fields else ()
        hint = did_you_mean(str(unknown[0]), chosen.settings.model_fields) if unknown else fault.hint
        origin = table.origins.get(str(fault.path[0]), table.origin) if fault.path else table.origin
        raise value_error(replace(fault, path=(TABLE, *fault.path), hint=hint), origin) from error
    table_settings = {NAME: chosen.name, **own.model_dump(mode="json", exclude_none=True)}
    placeholder = PoseSettings.model_construct(network=chosen.name, size=None)
    unused = {
        name: Setting(getattr(placeholder, name), f"{DEFAULT} (workload {chosen.name})")
        for name in PoseSettings.model_fields
    }
    return chosen, own, dict(settings) | {TABLE: Setting(table_settings, table.origin)} | unused
