"""Where the settings of a planned kind's study come from: its own fields, by their types, and what all kinds share.

command line > environment (POSEBENCH_*) > study file > preset > default
"""

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import Field

import studies
from bench.setting_layers import (
    COMMAND_LINE,
    ENVIRONMENT_PREFIX,
    Setting,
    checked,
    field_type,
    listed,
    nearest,
    read_file,
    refuse_unknown_variables,
)
from bench.settings import DEFAULT_SYNTHETIC_IMAGES, known_variables
from bench.study_base import StudyBase
from posemodel.config import Device
from posemodel.errors import SettingsError

SPACES = "spaces"
_DERIVED = ("kind", "preset", "data_digest")
OUTSIDE: dict[str, tuple[Any, Any]] = {
    "name": (str, None),
    "data": (Path, None),
    "synthetic_images": (Annotated[int, Field(ge=3)], DEFAULT_SYNTHETIC_IMAGES),
    "device": (Device, "auto"),
    "workers": (Annotated[int, Field(ge=1)] | Literal["cores"], 1),
    SPACES: (dict[str, dict[str, Any]], {}),
}
"""Settings that a study holds resolved, or not at all: type and default."""


def known_settings(study: type[StudyBase]) -> dict[str, Any]:
    """Every setting of a kind with its default (None: it must come from a preset or a file)."""
    fields = {
        name: None if field.is_required() else field.default
        for name, field in study.model_fields.items()
        if name not in _DERIVED
    }
    outside = {name: default for name, (_, default) in OUTSIDE.items() if name != SPACES or SPACES in fields}
    return fields | outside


def setting_type(study: type[StudyBase], name: str) -> Any:
    """The type of a setting, with its bounds."""
    return OUTSIDE[name][0] if name in OUTSIDE else field_type(study, name)


def list_of(study: type[StudyBase], name: str) -> Any:
    """The type of a list's values; None where the setting is no list of plain values."""
    kind = setting_type(study, name)
    while get_origin(kind) is Annotated:
        kind = get_args(kind)[0]
    if get_origin(kind) in (Union, UnionType):
        kind = next((each for each in get_args(kind) if each is not NoneType), kind)
    found = get_args(kind)[0] if get_origin(kind) is tuple else None
    return None if get_origin(found) is dict else found


def resolve(
    study: type[StudyBase],
    *,
    command_line: Mapping[str, Any],
    study_file: Path | None,
    preset: str,
    environ: Mapping[str, str] = os.environ,
) -> dict[str, Setting]:
    """Layer the settings. ``command_line`` holds only what was given (None: not given); lists may be text: `0,1,2`.

    A study file's space of an optimizer replaces the preset's; those of others stay. Raises SettingsError that names
    the file, the field and the nearest valid name.
    """
    kind, known = study.model_fields["kind"].default, known_settings(study)
    refuse_unknown_variables([*known_variables(), *(ENVIRONMENT_PREFIX + name.upper() for name in known)], environ)
    layers: list[tuple[Mapping[str, Any], str]] = [
        (read_file(preset_path(kind, preset), kind, known), f"preset {preset}"),
        (read_file(study_file, kind, known) if study_file is not None else {}, f"file {study_file}"),
    ]
    for name in known:
        variable = ENVIRONMENT_PREFIX + name.upper()
        if environ.get(variable):
            layers.append(({name: environ[variable]}, f"environment {variable}"))
    layers.append(({name: value for name, value in command_line.items() if value is not None}, COMMAND_LINE))
    settings = {name: Setting(value, "default") for name, value in known.items()}
    for layer, origin in layers:
        for name, value in layer.items():
            given = _checked(study, name, value, origin)
            settings[name] = given.over(settings[name]) if name == SPACES else given
    return settings


def preset_path(kind: str, preset: str) -> Path:
    """The file that ships for a preset of a kind: `joint.toml` is its full one, `joint-smoke.toml` its smoke."""
    folder = Path(studies.__file__).parent
    there = {"full": folder / f"{kind}.toml"}
    there |= {path.stem.removeprefix(f"{kind}-"): path for path in sorted(folder.glob(f"{kind}-*.toml"))}
    if preset not in there:
        raise SettingsError(
            f"preset: there is no preset {preset!r}.{nearest(preset, there)} There are: {', '.join(there)}."
        )
    return there[preset]


def _checked(study: type[StudyBase], name: str, value: Any, origin: str) -> Setting:
    among = list_of(study, name)
    if among is not None:
        value = listed(value, truths=among is bool)
    setting = checked(setting_type(study, name), name, value, origin)
    if name != SPACES:
        return setting
    return Setting(setting.value, origin, dict.fromkeys(setting.value, origin))


def given_by_name(texts: Iterable[str]) -> dict[str, str]:
    """`NAME=VALUE` texts as settings; SettingsError where one is something else, or a name comes twice."""
    found: dict[str, str] = {}
    for text in texts:
        name, equals, value = (part.strip() for part in text.partition("="))
        name = name.replace("-", "_")
        if not equals or not name or name in found:
            raise SettingsError(f"--set {text!r}: must be NAME=VALUE, each name once.")
        found[name] = value
    return found
