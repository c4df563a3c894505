"""Layers of settings for any kind of study: read files, check values, refuse unknown names and suggest the nearest.

Errors about a value in a study file begin with its line: `FILE:LINE: field: ...`.
"""

import codecs
import os
import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, TypeAdapter, ValidationError

from bench.settings.presets import kinds
from bench.settings.toml_lines import KeyPath, key_lines, line_of
from bench.settings.value_errors import Fault, first_fault, key_path_text, names_in_message
from posemodel.dotted_paths import with_colon, with_dots
from posemodel.errors import DataError, SettingsError, did_you_mean

Model = TypeVar("Model", bound=BaseModel)

ENVIRONMENT_PREFIX = "POSEBENCH_"
COMMAND_LINE = "command line"
"""Origin of settings given as flags."""
DEFAULT = "default"
"""Origin of settings that no layer gives."""
AUTO = "auto"
"""Value that stands for a list chosen for this machine."""
USER_OBJECT_SETTINGS = ("network", "dataset", "loader", "step", "collate", "worker_init")
"""Settings that may name a user's class or function; stored as `package.module:name`."""
NOT_DECODED = "has a file name that is not UTF-8: rename it, or set a UTF-8 locale (LC_ALL=C.UTF-8)"
HEAD_BYTES = 64
"""Leading bytes that are searched for a zero byte, the sign of UTF-16 or UTF-32 text."""
HOME_PREFIXES = ("~/", "~\\") if os.name == "nt" else ("~/",)
"""Prefixes of a path in the home folder."""
_BOOLEANS = {"true": True, "yes": True, "on": True, "false": False, "no": False, "off": False}


class FileOrigin(str):
    """Origin of a setting in a study file, as text (`file mine.toml:7`), with the lines of all keys of the file."""

    file: Path
    lines: Mapping[KeyPath, int]

    def __new__(cls, file: Path, lines: Mapping[KeyPath, int], *path: str | int) -> "FileOrigin":
        """Make the origin of the setting with this key path."""
        origin = super().__new__(cls, f"file {file}:{line_of(lines, path)}")
        origin.file, origin.lines = file, lines
        return origin

    def location(self, *path: str | int) -> str:
        """Return file and line of a key of the same file: `mine.toml:9`."""
        return f"{self.file}:{line_of(self.lines, path)}"

    def for_key(self, *path: str | int) -> "FileOrigin":
        """Return the origin of another key of the same file."""
        return FileOrigin(self.file, self.lines, *path)


@dataclass(frozen=True)
class Setting:
    """A resolved setting and its origin."""

    value: Any
    origin: str
    origins: Mapping[str, str] = field(default_factory=dict)
    """Only for `spaces` and `workload`, which layers share: origin of each optimizer's space, of each setting."""

    def merged_over(self, lower: "Setting") -> "Setting":
        """Merge tuning spaces: this layer's replace those of the same optimizers in ``lower``; upper and lower case of
        names count as equal."""
        own_keys = {space_key(name) for name in self.value}
        kept = {name: space for name, space in lower.value.items() if space_key(name) not in own_keys}
        origins = {name: lower.origins[name] for name in kept} | {
            name: self.origin.for_key("spaces", name) if isinstance(self.origin, FileOrigin) else self.origin
            for name in self.value
        }
        return Setting(kept | self.value, f"{lower.origin}, {self.origin}" if kept else self.origin, origins)


def space_key(name: str) -> str:
    """Return the key under which an optimizer's space is looked up: lower case, but dotted paths unchanged."""
    return name if "." in name else name.lower()


class LocatedError(SettingsError):
    """An error whose message already says where the value came from."""


RawSetting = tuple[Any, str]
"""A raw value and its origin."""


def setting_layers(
    kind: str,
    known: Iterable[str],
    *,
    preset: str,
    preset_file: Path,
    study_file: Path | None,
    environ: Mapping[str, str],
    command_line: Mapping[str, Any],
) -> list[dict[str, RawSetting]]:
    """Return the raw settings of each layer, lowest first: preset, study file, environment, command line.

    None in ``command_line`` and empty environment variables count as not given. SettingsError names file, line and
    field.
    """
    names = list(known)
    variables = {name: ENVIRONMENT_PREFIX + name.upper() for name in names}
    layers: list[dict[str, RawSetting]] = [
        {name: (value, f"preset {preset}") for name, value in read_study_file(preset_file, kind, names).items()},
        {} if study_file is None else _study_file_layer(study_file, kind, names),
        {
            name: (environ[variable], f"environment {variable}")
            for name, variable in variables.items()
            if environ.get(variable)
        },
        {name: (value, COMMAND_LINE) for name, value in command_line.items() if value is not None},
    ]
    return [
        {name: (_with_stored_paths(name, _expand_home(value)), origin) for name, (value, origin) in layer.items()}
        for layer in layers
    ]


def _expand_home(value: Any) -> Any:
    """Expand `~/` at the start of every text and path in a value, as a shell does."""
    if isinstance(value, Path):
        return Path(_expand_home(str(value)))
    if isinstance(value, str):
        return str(Path(value).expanduser()) if value == "~" or value.startswith(HOME_PREFIXES) else value
    if isinstance(value, Mapping):
        return {name: _expand_home(each) for name, each in value.items()}
    return [_expand_home(each) for each in value] if isinstance(value, list) else value


def _with_stored_paths(name: str, value: Any) -> Any:
    """Return a setting's value with dotted paths spelled as in records: optimizers with dots, others with a colon."""
    if name in ("optimizers", "networks"):
        respelled = with_dots if name == "optimizers" else with_colon
        if isinstance(value, str):
            return ",".join(respelled(part.strip()) for part in value.split(","))
        if isinstance(value, (list, tuple)):
            return [respelled(each) if isinstance(each, str) else each for each in value]
        return value
    if name in USER_OBJECT_SETTINGS and isinstance(value, str):
        return with_colon(value)
    if name == "spaces" and isinstance(value, Mapping):
        return {_text_with_dots(each): space for each, space in value.items()}
    if name == "fixed" and isinstance(value, (list, tuple)):
        return [
            each | {"optimizer": _text_with_dots(each["optimizer"])}
            if isinstance(each, dict) and "optimizer" in each
            else each
            for each in value
        ]
    return value


def _text_with_dots(value: Any) -> Any:
    return with_dots(value) if isinstance(value, str) else value


def _study_file_layer(path: Path, kind: str, known: Sequence[str]) -> dict[str, RawSetting]:
    document = read_study_file(path, kind, known)
    lines = key_lines(_read_text(path))
    return {name: (value, FileOrigin(path, lines, name)) for name, value in document.items()}


def read_study_file(path: Path, kind: str, known: Iterable[str]) -> dict[str, Any]:
    """Read the settings of a TOML study file of this kind; SettingsError names the file, the line and the field."""
    text = _read_text(path)
    document = _parse(path, text)
    file_kind = document.pop("kind", kind)
    if file_kind != kind:
        raise _kind_error(
            path, text, file_kind, f"`posebench study {kind}` runs studies of kind {kind!r}; run this one with "
        )
    names = list(known)
    for name in document:
        if name not in names:
            location = FileOrigin(path, key_lines(text)).location(name)
            raise LocatedError(
                f"{location}: {key_path_text((name,))}: there is no such setting.{did_you_mean(name, names)}"
            )
    return document


def kind_of_file(path: Path) -> Setting | None:
    """Return the kind that a study file names, None if it names none; SettingsError for a kind that does not exist."""
    text = _read_text(path)
    kind = _parse(path, text).get("kind")
    if kind is None:
        return None
    if kind not in kinds():
        raise _kind_error(path, text, kind)
    return Setting(kind, FileOrigin(path, key_lines(text), "kind"))


def _kind_error(path: Path, text: str, file_kind: Any, advice: str = "") -> LocatedError:
    kind_names = kinds()
    remedy = (
        f"{advice}`posebench study {file_kind} --study {path}`."
        if file_kind in kind_names
        else f"there is no such kind.{did_you_mean(str(file_kind), kind_names)} There are: {', '.join(kind_names)}."
    )
    return LocatedError(f"{FileOrigin(path, key_lines(text)).location('kind')}: kind: is {file_kind!r}: {remedy}")


def _read_text(path: Path) -> str:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise SettingsError(f"{path}: cannot be read ({error.strerror}).") from error
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) or b"\0" in content[:HEAD_BYTES]:
        raise LocatedError(
            f"{path}:1: is UTF-16 text, as Windows PowerShell writes it, or UTF-32. Save the file as UTF-8."
        )
    try:
        # As Python reads text files: drop a byte order mark and accept any line ending.
        return "\n".join(content.decode("utf-8-sig").replace("\r\n", "\n").split("\r"))
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        raise LocatedError(
            f"{path}:{line}: is not valid TOML: the line is not UTF-8. Save the file as UTF-8."
        ) from error


def _parse(path: Path, text: str) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        match = re.fullmatch(r"(.*?)(?: \(at line (\d+), column (\d+)\)| \(.*\))?", str(error))
        assert match is not None, "tomllib's messages are single lines"
        problem, line, column = match.groups()
        where = f"{path}:{line or max(1, len(text.splitlines()))}"
        column = f"column {column}" if column else "at the end of the file"
        raise LocatedError(f"{where}: is not valid TOML: {problem} ({column}).") from error


def checked_setting(kind: Any, name: str, value: Any, origin: str) -> Setting:
    """Check a raw value and convert it to the setting's type; SettingsError names the field and the value's origin.

    Values from the environment are text, also for settings of other types.
    """
    try:
        converted = TypeAdapter(kind).validate_python(value)
    except ValidationError as error:
        fault = first_fault(error, value)
        raise value_error(replace(fault, path=(name, *fault.path)), origin) from error
    if isinstance(converted, Path) and not str(converted).isprintable() and _is_undecodable(str(converted)):
        raise value_error(Fault((name,), NOT_DECODED, value), origin)
    path = _boolean_as_number(value, converted)
    if path is not None:
        raise value_error(Fault((name, *path), "must be a number", value[path[0]] if path else value), origin)
    return Setting(converted, origin)


def _is_undecodable(text: str) -> bool:
    """Return whether a name holds bytes that could not be decoded, which records and reports cannot store."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return True
    return False


def _boolean_as_number(value: Any, converted: Any) -> KeyPath | None:
    """Return the key path at which pydantic took true or false for a number; None if nowhere."""
    if isinstance(value, (list, tuple)) and isinstance(converted, tuple):
        pairs = enumerate(zip(value, converted, strict=True))
        return next(((index,) for index, pair in pairs if _boolean_as_number(*pair) is not None), None)
    return (
        ()
        if isinstance(value, bool) and isinstance(converted, (int, float)) and not isinstance(converted, bool)
        else None
    )


def value_error(fault: Fault, origin: str) -> SettingsError:
    """Return the error for an invalid value, with file and line if it came from a study file, otherwise with its
    origin."""
    what = f"{key_path_text(fault.path)}: {fault.message} (got {fault.got!r}"
    if isinstance(origin, FileOrigin):
        return LocatedError(f"{origin.location(*fault.path)}: {what}).{fault.hint}")
    return SettingsError(f"{what}, from: {origin}).{fault.hint}")


def field_type(model: type[BaseModel], name: str) -> Any:
    """Return the type of a model's field, with its bounds."""
    info = model.model_fields[name]
    return Annotated[info.annotation, *info.metadata] if info.metadata else info.annotation


def build_model(model: type[Model], values: Mapping[str, Any], settings: Mapping[str, Setting]) -> Model:
    """Build a model from values; SettingsError names the invalid field and the origin of its value."""
    try:
        return model(**values)
    except ValidationError as error:
        fault = first_fault(error, values)
        if not fault.path:
            raise _combination_error(fault.message, settings) from error
        name = str(fault.path[0])
        raise value_error(fault, settings[name].origin if name in settings else "derived") from error


def _combination_error(message: str, settings: Mapping[str, Setting]) -> SettingsError:
    """Return the error for values that do not fit together, with the origins of the settings that it names."""
    named = names_in_message(message, settings)
    origins = ", ".join(f"{name} from: {settings[name].origin}" for name in named)
    message += f" ({origins})." if origins else "."
    text = _with_location(settings, named, message)
    return LocatedError(text) if text else SettingsError(f"study: {message}")


@contextmanager
def errors_about(settings: Mapping[str, Setting], *paths: str | KeyPath) -> Iterator[None]:
    """Prefix errors raised in the block with file and line of one of these settings, if a study file gives it.

    That setting is the first one that the message names, or if it names none, the first of ``paths``.
    """
    try:
        yield
    except LocatedError:
        raise
    except (SettingsError, DataError) as error:
        named = names_in_message(str(error), [path for path in paths if isinstance(path, str)])
        text = _with_location(settings, named or paths, str(error))
        if text is None:
            raise
        raise (DataError if isinstance(error, DataError) else LocatedError)(text) from error


def _with_location(settings: Mapping[str, Setting], paths: Iterable[str | KeyPath], message: str) -> str | None:
    """Return the message after file, line and field of the first setting that a study file gives; None if none is."""
    for path in paths:
        path = (path,) if isinstance(path, str) else path
        origin = settings[str(path[0])].origin
        if isinstance(origin, FileOrigin):
            name = key_path_text(path)
            return f"{origin.location(*path)}: {name}: {message.removeprefix(f'{path[0]}: ').removeprefix(f'{name}: ')}"
    return None


def refuse_unknown_variables(valid: Iterable[str], environ: Mapping[str, str]) -> None:
    """Raise SettingsError for an environment variable with posebench's prefix that is not a setting."""
    names = list(valid)
    for variable in environ:
        if variable.startswith(ENVIRONMENT_PREFIX) and variable not in names:
            raise SettingsError(f"environment {variable}: there is no such setting.{did_you_mean(variable, names)}")


def as_list(value: Any, *, truths: bool) -> Any:
    """Turn text from a flag or variable into a list: `1,2` -> ("1", "2"), `none` -> (); `auto` is returned unchanged.

    A single value becomes a list of one. ``truths``: read yes, no, on, off as booleans, and `both` as (True, False).
    """
    if isinstance(value, str):
        if value == AUTO:
            return value
        if value.strip().lower() == "none":
            return ()
        if truths and value.strip().lower() == "both":
            return (True, False)
        parts = [part.strip() for part in value.split(",") if part.strip()]
        return tuple(_BOOLEANS.get(part.lower(), part) if truths else part for part in parts)
    return value if isinstance(value, (list, tuple)) else (value,)
