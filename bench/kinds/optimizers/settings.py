"""Where a study's settings come from: command line > environment (POSEBENCH_*) > study file > preset > default.

Each value keeps its origin, so that `posebench config show` can say why it is what it is.
"""

import os
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field

import studies
from bench.kinds.joint.spec import JointSpec
from bench.kinds.loaders.spec import LoaderSpec
from bench.kinds.optimizers.spec import PRESETS, STEP_BUDGET, TIME_BUDGET, StudySpec
from bench.settings.declared import Described, described
from bench.settings.layers import (
    COMMAND_LINE,
    DEFAULT,
    ENVIRONMENT_PREFIX,
    FileOrigin,
    PlacedError,
    Setting,
    build,
    checked,
    given_layers,
    refuse_unknown_variables,
)
from bench.settings.shared import OF_EVERY_KIND, SPACES, STORAGE_VARIABLE, WORKERS
from bench.settings.validation import nearest
from posemodel.config import CACHE_VARIABLE, Schedule
from posemodel.errors import SettingsError

OPTIMIZERS: Literal["optimizers"] = "optimizers"
PRESET_FILES = {"smoke": "optimizers-smoke.toml", "small": "optimizers-small.toml", "full": "optimizers.toml"}

_DERIVED = ("kind", "data_digest", "preset")
_OUTSIDE = {**OF_EVERY_KIND, "workers": WORKERS, "spaces": SPACES}
"""Settings of a study file that are turned into StudySpec's derived fields, or are none of its fields."""


@cache
def described_settings() -> Mapping[str, Described]:
    """Every setting of a study."""
    from posemodel.network import NETWORKS  # PyTorch takes seconds

    return described(StudySpec, _OUTSIDE, _DERIVED, {"network": NETWORKS})


def known_settings() -> dict[str, Any]:
    """Every setting of a study with its default (None: it must come from a preset or a file)."""
    return {name: setting.default for name, setting in described_settings().items()}


def resolve(
    *,
    command_line: Mapping[str, Any],
    study_file: Path | None,
    preset: str,
    environ: Mapping[str, str] = os.environ,
) -> dict[str, Setting]:
    """Layer the settings of a study. ``command_line`` holds only what was given (None: not given).

    Spaces are layered by optimizer, in any case; `schedule` is a tuple where several were given: a series.

    Raises SettingsError that names the file, the line, the field and the nearest valid name.
    """
    known = known_settings()
    refuse_unknown_variables(known_variables(), environ)
    given = given_layers(
        OPTIMIZERS,
        known,
        preset=preset,
        preset_file=preset_path(preset),
        study_file=study_file,
        environ=environ,
        command_line=command_line,
    )
    layers = [{name: _checked(name, value, origin) for name, (value, origin) in layer.items()} for layer in given]
    settings = {name: Setting(value, DEFAULT) for name, value in known.items()}
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
            raise _two_budgets(given, layer)
        if given:
            own, other = (TIME_BUDGET, STEP_BUDGET) if given[0] in TIME_BUDGET else (own, other)
            break
    tune, confirm = own
    known = settings[tune].value, settings[confirm].value
    lengths = [settings[name].value for name in other]
    shipped = ("preset", DEFAULT)
    if None in known and known != (None, None) and None not in lengths:
        ratio = lengths[0] / lengths[1]
        if settings[other[0]].origin.startswith(shipped):
            ratio = min(ratio, 1)
        if known[0] is None:
            settings[tune] = Setting(_whole(tune, known[1] * ratio), f"{settings[confirm].origin} ({confirm})")
        else:
            settings[confirm] = Setting(_whole(confirm, known[0] / ratio), f"{settings[tune].origin} ({tune})")
    for name in other:
        settings[name] = Setting(None, DEFAULT)
    short, long = settings[tune], settings[confirm]
    if short.origin.startswith(shipped) and not long.origin.startswith(shipped):
        settings[tune] = Setting(min(short.value, long.value), f"{long.origin} ({confirm})")


def _two_budgets(given: Sequence[str], layer: Mapping[str, Setting]) -> SettingsError:
    message = f"{', '.join(given)}: are a budget in steps and one in seconds"
    remedy = "give steps or seconds, not both."
    origin = layer[given[0]].origin
    if isinstance(origin, FileOrigin):
        places = ", ".join(origin.place(name) for name in given)
        return PlacedError(f"{origin.place(given[0])}: {message} ({places}): {remedy}")
    return SettingsError(f"{message} (from: {origin}): {remedy}")


def _whole(name: str, amount: float) -> float:
    """Steps are whole, and at least one."""
    return max(1, round(amount)) if name.endswith("steps") else amount


def preset_path(preset: str) -> Path:
    """The file that ships for a preset of the optimizers study."""
    if preset not in PRESETS:
        raise SettingsError(
            f"preset: there is no preset {preset!r}.{nearest(preset, PRESETS)} There are: {', '.join(PRESETS)}."
        )
    return Path(studies.__file__).with_name(PRESET_FILES[preset])


def _checked(name: str, value: Any, origin: str) -> Setting:
    """A setting of its own type (the environment has only text); SettingsError names the field and its origin."""
    if isinstance(value, str) and (origin == COMMAND_LINE or origin.startswith("environment ")):
        value = _from_text(name, value, origin)
    if name == "schedule" and isinstance(value, (list, tuple)):
        kind: Any = Annotated[tuple[Schedule, ...], Field(min_length=1), AfterValidator(_each_once)]
    else:
        kind = described_settings()[name].type
    return checked(kind, name, value, origin)


def _each_once(schedules: tuple[str, ...]) -> tuple[str, ...]:
    if len({*schedules}) < len(schedules):
        raise ValueError("must name each schedule once")
    return schedules


def _from_text(name: str, text: str, origin: str) -> Any:
    if name == "optimizers" or (name == "schedule" and "," in text):
        return [part.strip() for part in text.split(",")]
    if name in ("spaces", "workload"):
        raise SettingsError(f"{name}: belong into a study file (got {text!r}, from: {origin}).")
    return text


def known_variables() -> list[str]:
    """Every environment variable that is ours, of any kind of study."""
    others = (name for kind in (LoaderSpec, JointSpec) for name in kind.model_fields if name not in _DERIVED)
    names = dict.fromkeys([*known_settings(), *others])
    return [ENVIRONMENT_PREFIX + name.upper() for name in names] + [STORAGE_VARIABLE, CACHE_VARIABLE]


def build_spec(settings: Mapping[str, Setting], **derived: Any) -> StudySpec:
    """A StudySpec of resolved settings and the derived fields; SettingsError names the field and its origin.

    Raises SettingsError, too, where `schedule` is a list: that is a series of studies.
    """
    values = {name: setting.value for name, setting in settings.items() if name not in _OUTSIDE}
    return build(StudySpec, {**values, **derived}, settings)
