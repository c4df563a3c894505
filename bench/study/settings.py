"""The settings of a study of any kind, in layers: command line > environment > study file > preset > default.

Each value keeps its origin, so that `posebench config show` can say why it is what it is.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench.settings.layers import COMMAND_LINE, DEFAULT, Setting, checked, given_layers, listed
from bench.settings.presets import FULL, preset_path, presets
from bench.study.machine_settings import default_preset
from bench.trials.study_base import StudyBase
from posemodel.errors import SettingsError


@dataclass(frozen=True)
class Given:
    """What somebody asks of a study, before it is resolved."""

    command_line: Mapping[str, Any] = field(default_factory=dict)
    """Settings as typed (None: not typed); a list may be text: `0,1,2`."""
    study_file: Path | None = None
    preset: str | None = None
    """None: the one for this machine."""
    chosen: Mapping[str, tuple[Any, str]] = field(default_factory=dict)
    """Values that a time budget chose, with their origin: over the preset, below all that somebody gave."""


def preset_of(study: type[StudyBase], given: Given) -> str:
    """The preset that is asked for; else the machine's, where the kind has it, or the full one."""
    if given.preset is not None:
        return given.preset
    here = default_preset()
    return here if here in presets(study.kind_name()) else FULL


def resolve(
    study: type[StudyBase], given: Given, preset: str, environ: Mapping[str, str] = os.environ
) -> dict[str, Setting]:
    """Every setting of a study, from its highest layer.

    A layer's space of an optimizer replaces that of lower layers; those of other optimizers stay. Raises SettingsError
    that names the file, the line, the field and the nearest valid name.
    """
    known = study.declarations()
    read = given_layers(
        study.kind_name(),
        known,
        preset=preset,
        preset_file=preset_path(study.kind_name(), preset),
        study_file=given.study_file,
        environ=environ,
        command_line=given.command_line,
    )
    read.insert(1, dict(given.chosen))
    layers = [{name: _checked(study, name, value, origin) for name, (value, origin) in each.items()} for each in read]
    settings = {name: Setting(declared.default, DEFAULT) for name, declared in known.items()}
    for layer in layers:
        spaces = {"spaces": layer["spaces"].over(settings["spaces"])} if "spaces" in layer else {}
        settings |= layer | spaces
    study.settle_layers(settings, layers)
    return settings


def _checked(study: type[StudyBase], name: str, value: Any, origin: str) -> Setting:
    """A setting of its own type; text that was typed, or is a variable's, is taken for the list that it stands for."""
    declared = study.declarations()[name]
    typed = isinstance(value, str) and (origin == COMMAND_LINE or origin.startswith("environment "))
    if typed and declared.is_table:
        raise SettingsError(f"{name}: is given in a study file (got {value!r}, from: {origin}).")
    if declared.listed is not None:
        value = listed(value, truths=declared.listed is bool)
    elif typed and "," in value:
        parts = [part.strip() for part in value.split(",")]
        value = parts if study.type_of(name, parts) != declared.type else value
    return checked(study.type_of(name, value), name, value, origin)
