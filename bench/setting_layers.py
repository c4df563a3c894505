"""Settings in layers, of any kind of study: files read, values checked, unknown names refused with the nearest one."""

import difflib
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, TypeAdapter, ValidationError

from posemodel.errors import SettingsError

Model = TypeVar("Model", bound=BaseModel)

ENVIRONMENT_PREFIX = "POSEBENCH_"
COMMAND_LINE = "command line"
"""Origin of settings that were typed."""
AUTO = "auto"
"""In place of a list: what fits this machine."""
_TRUTHS = {"true": True, "yes": True, "on": True, "false": False, "no": False, "off": False}


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
        origins = {name: lower.origins[name] for name in kept} | dict.fromkeys(self.value, self.origin)
        return Setting(kept | self.value, f"{lower.origin}, {self.origin}" if lower.value else self.origin, origins)


def space_key(name: str) -> str:
    """The name by which the space of an optimizer is found: in lower case, unless it is a dotted path."""
    return name if "." in name else name.lower()


def read_file(path: Path, kind: str, known: Iterable[str]) -> dict[str, Any]:
    """Settings of a TOML study file of this kind; SettingsError names the file and the field."""
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise SettingsError(f"{path}: cannot be read ({error.strerror}).") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsError(f"{path}: is not valid TOML ({error}).") from error
    found = document.pop("kind", kind)
    if found != kind:
        raise SettingsError(
            f"{path}: kind: is {found!r}; `posebench study {kind}` runs studies of kind {kind!r}. The kinds are "
            "'optimizers' and 'loaders'."
        )
    names = list(known)
    for name in document:
        if name not in names:
            raise SettingsError(f"{path}: {name}: there is no such setting.{nearest(name, names)}")
    return document


def checked(kind: Any, name: str, value: Any, origin: str) -> Setting:
    """A setting of its own type (the environment has only text); SettingsError names the field and its origin."""
    try:
        return Setting(TypeAdapter(kind).validate_python(value), origin)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, (name, *first["loc"])))
        raise SettingsError(
            f"{where}: {first['msg'].removeprefix('Value error, ')} (got {first['input']!r}, from: {origin})."
        ) from error


def field_type(model: type[BaseModel], name: str) -> Any:
    """The type of a model's field, with its bounds."""
    found = model.model_fields[name]
    return Annotated[found.annotation, *found.metadata] if found.metadata else found.annotation


def build(model: type[Model], values: Mapping[str, Any], settings: Mapping[str, Setting]) -> Model:
    """The model of these values; SettingsError names the field and where its value came from."""
    try:
        return model(**values)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        message = first["msg"].removeprefix("Value error, ")
        if not where:  # of several fields at once, which it names
            raise SettingsError(f"study: {message}.") from error
        origin = settings[str(first["loc"][0])].origin if first["loc"][0] in settings else "derived"
        raise SettingsError(f"{where}: {message} (got {first['input']!r}, from: {origin}).") from error


def refuse_unknown_variables(valid: Iterable[str], environ: Mapping[str, str]) -> None:
    """SettingsError for a variable that begins as ours do and is none of them."""
    names = list(valid)
    for variable in environ:
        if variable.startswith(ENVIRONMENT_PREFIX) and variable not in names:
            raise SettingsError(f"environment {variable}: there is no such setting.{nearest(variable, names)}")


def nearest(name: str, names: Iterable[str]) -> str:
    """` Did you mean X?`; empty where nothing is near."""
    near = difflib.get_close_matches(name, list(names), n=1)
    return f" Did you mean {near[0]}?" if near else ""


def listed(value: Any, *, truths: bool) -> Any:
    """A text as the list that it stands for; a single value as a list of one; `auto` stays.

    ``truths``: `both`, `yes`, `no` ... stand for true and false.
    """
    if isinstance(value, str):
        if value == AUTO:
            return value
        if truths and value.strip().lower() == "both":
            return (True, False)
        parts = [part.strip() for part in value.split(",") if part.strip()]
        return tuple(_TRUTHS.get(part.lower(), part) if truths else part for part in parts)
    return value if isinstance(value, (list, tuple)) else (value,)
