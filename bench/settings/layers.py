"""Settings in layers, of any kind of study: files read, values checked, unknown names refused with the nearest one.

What is wrong with a value of a study file is told with the line on which it stands: `FILE:LINE: field: ...`.
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

from bench.settings.dotted import with_colon, with_dots
from bench.settings.presets import kinds
from bench.settings.toml_lines import KeyPath, key_lines, line_of
from bench.settings.validation import Fault, dotted, first_fault, named_in
from posemodel.errors import DataError, SettingsError, nearest

Model = TypeVar("Model", bound=BaseModel)

ENVIRONMENT_PREFIX = "POSEBENCH_"
COMMAND_LINE = "command line"
"""Origin of settings that were typed."""
DEFAULT = "default"
"""Origin of settings that nobody gave."""
AUTO = "auto"
"""In place of a list: what fits this machine."""
OWN_OBJECTS = ("dataset", "loader", "step", "collate", "worker_init")
"""Settings that name something of one's own, kept as `package.module:name`."""
NOT_DECODED = "is a name that is no UTF-8 here: rename it, or set the locale to one in UTF-8 (LC_ALL=C.UTF-8)"
WIDE = 64
"""Bytes at the beginning of a text in which none is 0, unless its characters have two or four."""
HOME = ("~/", "~\\") if os.name == "nt" else ("~/",)
"""How a path in the home folder begins."""
_TRUTHS = {"true": True, "yes": True, "on": True, "false": False, "no": False, "off": False}


class FileOrigin(str):
    """The origin of a setting in a study file, in words, `file mine.toml:7`; knows the lines of all that it holds."""

    file: Path
    lines: Mapping[KeyPath, int]

    def __new__(cls, file: Path, lines: Mapping[KeyPath, int], *path: str | int) -> "FileOrigin":
        """Of the setting at this path."""
        origin = super().__new__(cls, f"file {file}:{line_of(lines, path)}")
        origin.file, origin.lines = file, lines
        return origin

    def place(self, *path: str | int) -> str:
        """File and line of a key of the same file: `mine.toml:9`."""
        return f"{self.file}:{line_of(self.lines, path)}"

    def of(self, *path: str | int) -> "FileOrigin":
        """The origin of another key of the same file."""
        return FileOrigin(self.file, self.lines, *path)


@dataclass(frozen=True)
class Setting:
    """One resolved setting and where it came from."""

    value: Any
    origin: str
    origins: Mapping[str, str] = field(default_factory=dict)
    """Of `spaces`, which layers share: where each came from."""

    def over(self, lower: "Setting") -> "Setting":
        """Spaces of two layers: an optimizer's is the higher layer's, those of others stay. Names are of any case."""
        given = {space_key(name) for name in self.value}
        kept = {name: space for name, space in lower.value.items() if space_key(name) not in given}
        origins = {name: lower.origins[name] for name in kept} | {
            name: self.origin.of("spaces", name) if isinstance(self.origin, FileOrigin) else self.origin
            for name in self.value
        }
        return Setting(kept | self.value, f"{lower.origin}, {self.origin}" if kept else self.origin, origins)


def space_key(name: str) -> str:
    """The name by which the space of an optimizer is found: in lower case, unless it is a dotted path."""
    return name if "." in name else name.lower()


class PlacedError(SettingsError):
    """An error whose message says already where the value came from."""


Given = tuple[Any, str]
"""A value as it was given, and its origin."""


def given_layers(
    kind: str,
    known: Iterable[str],
    *,
    preset: str,
    preset_file: Path,
    study_file: Path | None,
    environ: Mapping[str, str],
    command_line: Mapping[str, Any],
) -> list[dict[str, Given]]:
    """What each layer gives, by setting, lowest first: preset, study file, environment, command line.

    ``command_line`` holds only what was given (None: not given); an empty variable gives nothing. SettingsError names
    file, line and field.
    """
    names = list(known)
    variables = {name: ENVIRONMENT_PREFIX + name.upper() for name in names}
    layers: list[dict[str, Given]] = [
        {name: (value, f"preset {preset}") for name, value in read_file(preset_file, kind, names).items()},
        {} if study_file is None else _study_layer(study_file, kind, names),
        {
            name: (environ[variable], f"environment {variable}")
            for name, variable in variables.items()
            if environ.get(variable)
        },
        {name: (value, COMMAND_LINE) for name, value in command_line.items() if value is not None},
    ]
    return [
        {name: (_spelled(name, _at_home(value)), origin) for name, (value, origin) in layer.items()} for layer in layers
    ]


def _at_home(value: Any) -> Any:
    """A value whose texts and paths that begin with `~/` lie in the home folder, as a shell has it."""
    if isinstance(value, Path):
        return Path(_at_home(str(value)))
    if isinstance(value, str):
        return str(Path(value).expanduser()) if value == "~" or value.startswith(HOME) else value
    if isinstance(value, Mapping):
        return {name: _at_home(each) for name, each in value.items()}
    return [_at_home(each) for each in value] if isinstance(value, list) else value


def _spelled(name: str, value: Any) -> Any:
    """Paths of what is one's own as they stand in records, however they were spelled: of optimizers with dots."""
    if name == "optimizers":
        if isinstance(value, str):
            return ",".join(with_dots(part.strip()) for part in value.split(","))
        return [_dotted(each) for each in value] if isinstance(value, (list, tuple)) else value
    if name in OWN_OBJECTS and isinstance(value, str):
        return with_colon(value)
    if name == "spaces" and isinstance(value, Mapping):
        return {_dotted(each): space for each, space in value.items()}
    if name == "fixed" and isinstance(value, (list, tuple)):
        return [
            each | {"optimizer": _dotted(each["optimizer"])} if isinstance(each, dict) and "optimizer" in each else each
            for each in value
        ]
    return value


def _dotted(value: Any) -> Any:
    return with_dots(value) if isinstance(value, str) else value


def _study_layer(path: Path, kind: str, known: Sequence[str]) -> dict[str, Given]:
    document = read_file(path, kind, known)
    lines = key_lines(_text(path))
    return {name: (value, FileOrigin(path, lines, name)) for name, value in document.items()}


def read_file(path: Path, kind: str, known: Iterable[str]) -> dict[str, Any]:
    """Settings of a TOML study file of this kind; SettingsError names the file, the line and the field."""
    text = _text(path)
    document = _parsed(path, text)
    found = document.pop("kind", kind)
    if found != kind:
        raise _other_kind(
            path, text, found, f"`posebench study {kind}` runs studies of kind {kind!r}; run this one with "
        )
    names = list(known)
    for name in document:
        if name not in names:
            place = FileOrigin(path, key_lines(text)).place(name)
            raise PlacedError(f"{place}: {dotted((name,))}: there is no such setting.{nearest(name, names)}")
    return document


def kind_of_file(path: Path) -> Setting | None:
    """The kind of a study file and where it says so, None where it does not; SettingsError where none of it ships."""
    text = _text(path)
    kind = _parsed(path, text).get("kind")
    if kind is None:
        return None
    if kind not in kinds():
        raise _other_kind(path, text, kind)
    return Setting(kind, FileOrigin(path, key_lines(text), "kind"))


def _other_kind(path: Path, text: str, found: Any, asked: str = "") -> PlacedError:
    known = kinds()
    remedy = (
        f"{asked}`posebench study {found} --study {path}`."
        if found in known
        else f"there is no such kind.{nearest(str(found), known)} There are: {', '.join(known)}."
    )
    return PlacedError(f"{FileOrigin(path, key_lines(text)).place('kind')}: kind: is {found!r}: {remedy}")


def _text(path: Path) -> str:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise SettingsError(f"{path}: cannot be read ({error.strerror}).") from error
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) or b"\0" in content[:WIDE]:
        raise PlacedError(
            f"{path}:1: is UTF-16 text, as Windows PowerShell writes it, or UTF-32. Save the file as UTF-8."
        )
    try:
        # As text files are read: a mark of the byte order at the beginning is no part of it, a line ends in any way.
        return "\n".join(content.decode("utf-8-sig").replace("\r\n", "\n").split("\r"))
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        raise PlacedError(f"{path}:{line}: is not valid TOML: the line is no UTF-8. Save the file as UTF-8.") from error


def _parsed(path: Path, text: str) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        found = re.fullmatch(r"(.*?)(?: \(at line (\d+), column (\d+)\)| \(.*\))?", str(error))
        assert found is not None, "tomllib's messages are single lines"
        what, line, column = found.groups()
        where = f"{path}:{line or max(1, len(text.splitlines()))}"
        column = f"column {column}" if column else "at the end of the file"
        raise PlacedError(f"{where}: is not valid TOML: {what} ({column}).") from error


def checked(kind: Any, name: str, value: Any, origin: str) -> Setting:
    """A setting of its own type (the environment has only text); SettingsError names the field and its origin."""
    try:
        found = TypeAdapter(kind).validate_python(value)
    except ValidationError as error:
        fault = first_fault(error, value)
        raise refused(replace(fault, path=(name, *fault.path)), origin) from error
    if isinstance(found, Path) and not str(found).isprintable() and _undecoded(str(found)):
        raise refused(Fault((name,), NOT_DECODED, value), origin)
    path = _truth_for_number(value, found)
    if path is not None:
        raise refused(Fault((name, *path), "must be a number", value[path[0]] if path else value), origin)
    return Setting(found, origin)


def _undecoded(text: str) -> bool:
    """Whether a name holds bytes that this process could not decode: no record and no report can hold it."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return True
    return False


def _truth_for_number(value: Any, found: Any) -> KeyPath | None:
    """Where true or false was taken for 1 or 0, as pydantic does; None where it was not."""
    if isinstance(value, (list, tuple)) and isinstance(found, tuple):
        places = enumerate(zip(value, found, strict=True))
        return next(((place,) for place, pair in places if _truth_for_number(*pair) is not None), None)
    return () if isinstance(value, bool) and isinstance(found, (int, float)) and not isinstance(found, bool) else None


def refused(fault: Fault, origin: str) -> SettingsError:
    """The error of a value: with file and line where it came from a study file, else with its origin."""
    what = f"{dotted(fault.path)}: {fault.message} (got {fault.got!r}"
    if isinstance(origin, FileOrigin):
        return PlacedError(f"{origin.place(*fault.path)}: {what}).{fault.hint}")
    return SettingsError(f"{what}, from: {origin}).{fault.hint}")


def field_type(model: type[BaseModel], name: str) -> Any:
    """The type of a model's field, with its bounds."""
    found = model.model_fields[name]
    return Annotated[found.annotation, *found.metadata] if found.metadata else found.annotation


def build(model: type[Model], values: Mapping[str, Any], settings: Mapping[str, Setting]) -> Model:
    """The model of these values; SettingsError names the field and where its value came from."""
    try:
        return model(**values)
    except ValidationError as error:
        fault = first_fault(error, values)
        if not fault.path:
            raise _of_several(fault.message, settings) from error
        name = str(fault.path[0])
        raise refused(fault, settings[name].origin if name in settings else "derived") from error


def _of_several(message: str, settings: Mapping[str, Setting]) -> SettingsError:
    """The error of values that do not fit together, with the origins of those that it names."""
    named = named_in(message, settings)
    origins = ", ".join(f"{name} from: {settings[name].origin}" for name in named)
    message += f" ({origins})." if origins else "."
    text = _placed(settings, named, message)
    return PlacedError(text) if text else SettingsError(f"study: {message}")


@contextmanager
def about(settings: Mapping[str, Setting], *paths: str | KeyPath) -> Iterator[None]:
    """What is refused inside is refused about these settings: told with the line of one that a study file gives.

    Of several, the first of those that the message names; where it names none, of all.
    """
    try:
        yield
    except PlacedError:
        raise
    except (SettingsError, DataError) as error:
        named = named_in(str(error), [path for path in paths if isinstance(path, str)])
        text = _placed(settings, named or paths, str(error))
        if text is None:
            raise
        raise (DataError if isinstance(error, DataError) else PlacedError)(text) from error


def _placed(settings: Mapping[str, Setting], paths: Iterable[str | KeyPath], message: str) -> str | None:
    """The message after file, line and field of the first of these settings that a study file gives; None for none."""
    for path in paths:
        path = (path,) if isinstance(path, str) else path
        origin = settings[str(path[0])].origin
        if isinstance(origin, FileOrigin):
            name = dotted(path)
            return f"{origin.place(*path)}: {name}: {message.removeprefix(f'{path[0]}: ').removeprefix(f'{name}: ')}"
    return None


def refuse_unknown_variables(valid: Iterable[str], environ: Mapping[str, str]) -> None:
    """SettingsError for a variable that begins as ours do and is none of them."""
    names = list(valid)
    for variable in environ:
        if variable.startswith(ENVIRONMENT_PREFIX) and variable not in names:
            raise SettingsError(f"environment {variable}: there is no such setting.{nearest(variable, names)}")


def listed(value: Any, *, truths: bool) -> Any:
    """A text as the list that it stands for; a single value as a list of one; `auto` stays, `none` is an empty list.

    ``truths``: `both`, `yes`, `no` ... stand for true and false.
    """
    if isinstance(value, str):
        if value == AUTO:
            return value
        if value.strip().lower() == "none":
            return ()
        if truths and value.strip().lower() == "both":
            return (True, False)
        parts = [part.strip() for part in value.split(",") if part.strip()]
        return tuple(_TRUTHS.get(part.lower(), part) if truths else part for part in parts)
    return value if isinstance(value, (list, tuple)) else (value,)
