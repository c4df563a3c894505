"""Where the settings of a planned kind's study come from: its own fields, by their types, and what all kinds share.

command line > environment (POSEBENCH_*) > study file > preset > default
"""

import os
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Union, get_args, get_origin

import studies
from bench.kinds.optimizers.settings import known_variables
from bench.settings.declared import Described, described
from bench.settings.layers import (
    DEFAULT,
    ENVIRONMENT_PREFIX,
    Setting,
    checked,
    given_layers,
    listed,
    refuse_unknown_variables,
)
from bench.settings.shared import OF_EVERY_KIND, SPACES, WORKERS
from bench.settings.validation import nearest
from bench.trials.study_base import StudyBase
from posemodel.errors import SettingsError

_DERIVED = ("kind", "data_digest", "preset")
OUTSIDE = (*OF_EVERY_KIND, "workers", "spaces")
"""Settings that a study holds resolved, or not at all."""


@cache
def described_settings(study: type[StudyBase]) -> Mapping[str, Described]:
    """Every setting of a kind of study."""
    from posemodel.network import NETWORKS  # PyTorch takes seconds

    outside = {**OF_EVERY_KIND, "workers": WORKERS}
    if "spaces" in study.model_fields:
        outside["spaces"] = SPACES
    return described(study, outside, _DERIVED, {"network": NETWORKS})


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
    the file, the line, the field and the nearest valid name.
    """
    known, kind = described_settings(study), kind_of(study)
    refuse_unknown_variables([*known_variables(), *(ENVIRONMENT_PREFIX + name.upper() for name in known)], environ)
    layers = given_layers(
        kind,
        known,
        preset=preset,
        preset_file=preset_path(kind, preset),
        study_file=study_file,
        environ=environ,
        command_line=command_line,
    )
    settings = {name: Setting(setting.default, DEFAULT) for name, setting in known.items()}
    for layer in layers:
        for name, (value, origin) in layer.items():
            given = _checked(known[name].type, name, value, origin)
            settings[name] = given.over(settings[name]) if name == "spaces" else given
    return settings


def kind_of(study: type[StudyBase]) -> str:
    """The kind of a class of studies."""
    return str(study.model_fields["kind"].default)


def presets(kind: str) -> dict[str, str]:
    """The file in `studies/` of each preset of a kind: `joint.toml` is its full one, `joint-smoke.toml` its smoke."""
    folder = Path(studies.__file__).parent
    others = {path.stem.removeprefix(f"{kind}-"): path.name for path in sorted(folder.glob(f"{kind}-*.toml"))}
    return {"full": f"{kind}.toml", **others}


def default_preset_of(kind: str, default: str) -> str:
    """The machine's default preset, where the kind has it; else its full one."""
    return default if default in presets(kind) else "full"


def preset_path(kind: str, preset: str) -> Path:
    """Where the file of a preset is; SettingsError names the nearest."""
    there = presets(kind)
    if preset not in there:
        raise SettingsError(
            f"preset: there is no preset {preset!r}.{nearest(preset, there)} There are: {', '.join(there)}."
        )
    return Path(studies.__file__).with_name(there[preset])


def _checked(kind: Any, name: str, value: Any, origin: str) -> Setting:
    among = _listed_type(kind)
    if among is not None:
        value = listed(value, truths=among is bool)
    return checked(kind, name, value, origin)


def _listed_type(kind: Any) -> Any:
    """The type of a list's values; None where it is no list of plain values."""
    while get_origin(kind) is Annotated:
        kind = get_args(kind)[0]
    if get_origin(kind) in (Union, UnionType):
        kind = next((each for each in get_args(kind) if each is not NoneType), kind)
    found = get_args(kind)[0] if get_origin(kind) is tuple else None
    return None if get_origin(found) is dict else found
