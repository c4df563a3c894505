"""Where a study's settings come from: command line > environment (POSEBENCH_*) > study file > preset > default.

Each value keeps its origin, so that `posebench config show` can say why it is what it is.
"""

import difflib
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field

import studies
from bench.loader_spec import LoaderSpec
from bench.setting_layers import (
    COMMAND_LINE,
    ENVIRONMENT_PREFIX,
    Setting,
    build,
    checked,
    field_type,
    read_file,
    refuse_unknown_variables,
)
from bench.spec import PRESETS, STEP_BUDGET, TIME_BUDGET, StudySpec
from posemodel.config import CACHE_VARIABLE, Device, Schedule
from posemodel.errors import SettingsError

STORAGE_VARIABLE = "POSEBENCH_STORAGE"
TRACKING_VARIABLE = "MLFLOW_TRACKING_URI"
DEFAULT_STORAGE = "sqlite:///optuna.db"
DEFAULT_TRACKING = "sqlite:///mlflow.db"
DEFAULT_SYNTHETIC_IMAGES = 800
SYNTHETIC_SEED = 0

PRESET_FILES = {"smoke": "optimizers-smoke.toml", "small": "optimizers-small.toml", "full": "optimizers.toml"}

_DERIVED = {"data_digest", "name", "preset", "data", "spaces", "device"}
_OUTSIDE_SPEC: dict[str, Any] = {
    "data": None,
    "synthetic_images": DEFAULT_SYNTHETIC_IMAGES,
    "device": "auto",
    "name": None,
    "spaces": {},
    "workers": 1,
}
"""Settings of a study file that are turned into StudySpec's derived fields, with their defaults."""
_OUTSIDE_TYPES: dict[str, Any] = {
    "data": Path,
    "synthetic_images": Annotated[int, Field(ge=3)],
    "device": Device,
    "name": str,
    "spaces": dict[str, dict[str, Any]],
    "workers": Annotated[int, Field(ge=1)] | Literal["cores"],
}


def known_settings() -> dict[str, Any]:
    """Every setting of a study with its default (None: it must come from a preset or a file)."""
    fields = {
        name: None if field.is_required() else field.default
        for name, field in StudySpec.model_fields.items()
        if name not in _DERIVED
    }
    return fields | _OUTSIDE_SPEC


def resolve(
    *,
    command_line: Mapping[str, Any],
    study_file: Path | None,
    preset: str,
    environ: Mapping[str, str] = os.environ,
) -> dict[str, Setting]:
    """Layer the settings of a study. ``command_line`` holds only what was given (None: not given).

    Spaces are layered by optimizer, in any case; `schedule` is a tuple where several were given: a series.

    Raises SettingsError that names the file, the field and the nearest valid name.
    """
    known = known_settings()
    refuse_unknown_variables(known_variables(), environ)
    variables = {name: ENVIRONMENT_PREFIX + name.upper() for name in known}
    given = {name: variable for name, variable in variables.items() if environ.get(variable)}
    layers = [
        {
            name: _checked(name, value, origin)
            for name, value in (read_study_file(path) if path is not None else {}).items()
        }
        for path, origin in ((preset_path(preset), f"preset {preset}"), (study_file, f"file {study_file}"))
    ]
    layers.append(
        {
            name: _checked(name, _from_environment(name, variable, environ[variable]), f"environment {variable}")
            for name, variable in given.items()
        }
    )
    layers.append(
        {name: _checked(name, value, COMMAND_LINE) for name, value in command_line.items() if value is not None}
    )
    settings = {name: Setting(value, "default") for name, value in known.items()}
    for layer in layers:
        lower = settings["spaces"]
        settings |= layer
        if "spaces" in layer:
            settings["spaces"] = layer["spaces"].over(lower)
    _settle_budget(settings, layers)
    return settings


def _settle_budget(settings: dict[str, Setting], layers: Sequence[Mapping[str, Setting]]) -> None:
    """Leave one kind of budget: that of the highest layer that gives one; what is given of it decides the rest.

    Seconds over a preset's steps: the phase that is not given keeps its ratio to the other. Steps below a preset's tune
    steps shorten these too, unless somebody set the tune steps themselves; so a ratio is at most 1.
    """
    own, other = STEP_BUDGET, TIME_BUDGET
    for layer in reversed(layers):
        given = [name for name in (*STEP_BUDGET, *TIME_BUDGET) if name in layer]
        if {*given} & {*STEP_BUDGET} and {*given} & {*TIME_BUDGET}:
            raise SettingsError(
                f"{', '.join(given)}: are a budget in steps and one in seconds (from: {layer[given[0]].origin}): give "
                "steps or seconds, not both."
            )
        if given:
            own, other = (TIME_BUDGET, STEP_BUDGET) if given[0] in TIME_BUDGET else (own, other)
            break
    tune, confirm = own
    known = settings[tune].value, settings[confirm].value
    lengths = [settings[name].value for name in other]
    shipped = ("preset", "default")
    if None in known and known != (None, None) and None not in lengths:
        ratio = lengths[0] / lengths[1]
        if settings[other[0]].origin.startswith(shipped):
            ratio = min(ratio, 1)
        if known[0] is None:
            settings[tune] = Setting(_whole(tune, known[1] * ratio), f"{settings[confirm].origin} ({confirm})")
        else:
            settings[confirm] = Setting(_whole(confirm, known[0] / ratio), f"{settings[tune].origin} ({tune})")
    for name in other:
        settings[name] = Setting(None, "default")
    short, long = settings[tune], settings[confirm]
    if short.origin.startswith(shipped) and not long.origin.startswith(shipped):
        settings[tune] = Setting(min(short.value, long.value), f"{long.origin} ({confirm})")


def _whole(name: str, amount: float) -> float:
    """Steps are whole, and at least one."""
    return max(1, round(amount)) if name.endswith("steps") else amount


def preset_path(preset: str) -> Path:
    """The file that ships for a preset of the optimizers study."""
    if preset not in PRESETS:
        near = difflib.get_close_matches(preset, PRESETS, n=1)
        hint = f" Did you mean {near[0]}?" if near else ""
        raise SettingsError(f"preset: there is no preset {preset!r}.{hint} There are: {', '.join(PRESETS)}.")
    return Path(studies.__file__).with_name(PRESET_FILES[preset])


def read_study_file(path: Path) -> dict[str, Any]:
    """Settings of a TOML study file; SettingsError names the file and the field."""
    return read_file(path, "optimizers", known_settings())


def _checked(name: str, value: Any, origin: str) -> Setting:
    """A setting of its own type (the environment has only text); SettingsError names the field and its origin."""
    if name == "schedule" and isinstance(value, (list, tuple)):
        kind = Annotated[tuple[Schedule, ...], Field(min_length=1), AfterValidator(_each_once)]
    elif name in _OUTSIDE_TYPES:
        kind = _OUTSIDE_TYPES[name]
    else:
        kind = field_type(StudySpec, name)
    return checked(kind, name, value, origin)


def _each_once(schedules: tuple[str, ...]) -> tuple[str, ...]:
    if len({*schedules}) < len(schedules):
        raise ValueError("must name each schedule once")
    return schedules


def _from_environment(name: str, variable: str, text: str) -> Any:
    if name == "optimizers" or (name == "schedule" and "," in text):
        return [part.strip() for part in text.split(",")]
    if name == "spaces":
        raise SettingsError(f"{variable}: spaces belong into a study file.")
    return text


def known_variables() -> list[str]:
    """Every environment variable that is ours, of any kind of study."""
    names = {**known_settings(), **LoaderSpec.model_fields}
    return [ENVIRONMENT_PREFIX + name.upper() for name in names] + [STORAGE_VARIABLE, CACHE_VARIABLE]


def places_settings() -> dict[str, Setting]:
    """Where state is kept: the ledger's URL and MLflow's."""
    return {
        "storage": from_variable(STORAGE_VARIABLE, DEFAULT_STORAGE),
        "tracking_uri": from_variable(TRACKING_VARIABLE, DEFAULT_TRACKING),
    }


def from_variable(variable: str, default: str, environ: Mapping[str, str] = os.environ) -> Setting:
    """A setting that only the environment changes."""
    value = environ.get(variable)
    return Setting(value, f"environment {variable}") if value else Setting(default, "default")


def build_spec(settings: Mapping[str, Setting], **derived: Any) -> StudySpec:
    """A StudySpec of resolved settings and the derived fields; SettingsError names the field and its origin.

    Raises SettingsError, too, where `schedule` is a list: that is a series of studies (`bench.prepare`).
    """
    values = {name: setting.value for name, setting in settings.items() if name not in _OUTSIDE_SPEC}
    return build(StudySpec, {**values, **derived}, settings)
