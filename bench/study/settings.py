"""Resolve a study's settings from layers: command line > environment > study file > preset > default.

Each value keeps its origin, which `posebench config show` displays.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench.settings.layers import COMMAND_LINE, DEFAULT, Setting, as_list, checked_setting, setting_layers
from bench.settings.presets import FULL, preset_path, presets
from bench.study.machine_settings import default_preset
from bench.trials.study_base import StudyBase
from bench.workloads import NAME, POSE
from bench.workloads.of_study import TABLE, name_of
from posemodel.dotted_paths import with_colon
from posemodel.errors import SettingsError


@dataclass(frozen=True)
class StudyRequest:
    """A user's request for a study, before its settings are resolved."""

    command_line: Mapping[str, Any] = field(default_factory=dict)
    """Settings as typed (None: not typed); a list may be text: `0,1,2`."""
    study_file: Path | None = None
    preset: str | None = None
    """Requested preset; None: the default one for this machine."""
    chosen: Mapping[str, tuple[Any, str]] = field(default_factory=dict)
    """Values chosen for a time budget, with their origin; above the preset, below all layers that the user set."""


def preset_of(study: type[StudyBase], request: StudyRequest) -> str:
    """Return the requested preset; without one this machine's default, or `full` if the kind lacks that."""
    if request.preset is not None:
        return request.preset
    machine_preset = default_preset()
    return machine_preset if machine_preset in presets(study.kind_name()) else FULL


def resolve(
    study: type[StudyBase], request: StudyRequest, preset: str, environ: Mapping[str, str] = os.environ
) -> dict[str, Setting]:
    """Return every setting of a study, each from the highest layer that has it.

    A layer's space of an optimizer replaces the same optimizer's space of lower layers; spaces of other optimizers are
    kept. A layer's settings of a workload likewise replace those of the same workload. Raises SettingsError with file,
    line, field and the nearest valid name.
    """
    declarations = study.declarations()
    raw_layers = setting_layers(
        study.kind_name(),
        declarations,
        preset=preset,
        preset_file=preset_path(study.kind_name(), preset),
        study_file=request.study_file,
        environ=environ,
        command_line=request.command_line,
    )
    raw_layers.insert(1, dict(request.chosen))
    layers = [
        {name: _checked(study, name, value, origin) for name, (value, origin) in each.items()} for each in raw_layers
    ]
    settings = {name: Setting(declared.default, DEFAULT) for name, declared in declarations.items()}
    for layer in layers:
        spaces = {"spaces": layer["spaces"].merged_over(settings["spaces"])} if "spaces" in layer else {}
        workload = {TABLE: _workload_over(layer[TABLE], settings[TABLE])} if TABLE in layer else {}
        settings |= layer | spaces | workload
    study.settle_layers(settings, layers)
    return settings


def _workload_over(upper: Setting, lower: Setting) -> Setting:
    """Return a layer's table `[workload]` over that of the layers below, whose settings another workload drops."""
    named = upper.value.get(NAME, lower.value.get(NAME, POSE))
    kept = lower.value if with_colon(str(named)) == with_colon(name_of(lower.value)) else {}
    origins = {key: lower.origins.get(key, lower.origin) for key in kept} | dict.fromkeys(upper.value, upper.origin)
    return Setting({**kept, **upper.value}, upper.origin, origins)


def _checked(study: type[StudyBase], name: str, value: Any, origin: str) -> Setting:
    """Convert a value to its setting's type; text from the command line or a variable may stand for a list."""
    declared = study.declarations()[name]
    typed = isinstance(value, str) and (origin == COMMAND_LINE or origin.startswith("environment "))
    if typed and name == TABLE:
        return Setting({NAME: value}, origin)
    if typed and declared.is_table:
        raise SettingsError(f"{name}: can only be set in a study file (got {value!r}, from: {origin}).")
    if declared.list_item_type is not None:
        value = as_list(value, truths=declared.list_item_type is bool)
    elif typed and "," in value:
        parts = [part.strip() for part in value.split(",")]
        value = parts if study.type_of(name, parts) != declared.type else value
    return checked_setting(study.type_of(name, value), name, value, origin)
