"""Command-line flags made from the declarations of settings: names, placeholders of values, help."""

import inspect
import tomllib
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any, Literal, get_args, get_origin

import typer

from bench.settings.declarations import Declaration, alternatives
from bench.workloads import NAME
from posemodel.errors import SettingsError, did_you_mean

NUMBERS = {int: "INTEGER", float: "NUMBER"}


def setting_flags(
    declarations: Mapping[str, Declaration],
    names: Collection[str] | None = None,
    renamed: Mapping[str, str] = MappingProxyType({}),
) -> list[inspect.Parameter]:
    """Return a parameter for each setting that can be given as a flag.

    Values stay text (but booleans are a pair of flags, and paths are paths) until they are checked as those of study
    files are.

    Args:
        declarations: The settings, by name.
        names: Only these settings; None: all.
        renamed: Flags that differ from the setting's own, by setting.
    """
    return [
        inspect.Parameter(
            name,
            inspect.Parameter.KEYWORD_ONLY,
            default=None,
            annotation=_annotation(renamed.get(name, ""), name, declared),
        )
        for name, declared in declarations.items()
        if (names is None or name in names) and (declared.flag.names or not declared.is_table)
    ]


def parse_set_options(pairs: Iterable[str], known: Mapping[str, Declaration]) -> dict[str, str]:
    """Parse options NAME=VALUE into settings; SettingsError names the option and the nearest setting."""
    values = _parse_pairs("--set", pairs)
    for name, value in values.items():
        if name not in known:
            raise SettingsError(f"--set {name}={value}: there is no such setting.{did_you_mean(name, known)}")
    return values


def parse_workload_options(name: str | None, pairs: Iterable[str]) -> dict[str, Any] | None:
    """Return `--workload NAME` and each `--workload-setting NAME=VALUE` as the table `[workload]`; None without any.

    A value that begins with `[` or `{` is read as in a study file; any other is text, which the workload's settings
    convert. Raises SettingsError for an option that cannot be read.
    """
    table: dict[str, Any] = {} if name is None else {NAME: name}
    for key, value in _parse_pairs("--workload-setting", pairs).items():
        try:
            table[key] = tomllib.loads(f"value = {value}")["value"] if value.startswith(("[", "{")) else value
        except tomllib.TOMLDecodeError as error:
            raise SettingsError(f"--workload-setting {key}={value}: is not a valid list or table ({error}).") from error
    return table or None


def _parse_pairs(flag: str, pairs: Iterable[str]) -> dict[str, str]:
    values: dict[str, str] = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals or not name:
            raise SettingsError(f"{flag} {pair}: must be NAME=VALUE.")
        if name in values:
            raise SettingsError(f"{flag} {pair}: {name} is given twice.")
        values[name] = value
    return values


def _annotation(flag: str, name: str, declared: Declaration) -> Any:
    flags = (flag,) if flag else declared.flag.names or (f"--{name.replace('_', '-')}",)
    types, text = alternatives(declared.type), declared.flag.help or declared.meaning
    if types == [bool]:
        names = (f"{flags[0]}/--no-{flags[0].removeprefix('--')}",)
        return Annotated[bool | None, typer.Option(*names, help=text, show_default=False)]
    option = typer.Option(*flags, metavar=declared.flag.metavar or _metavar(types), help=text)
    if declared.flag.repeated:
        return Annotated[list[str] | None, option]
    return Annotated[Path | None, option] if types == [Path] else Annotated[str | None, option]


def _metavar(types: list[Any]) -> str:
    """Return the placeholder of a value: `INTEGER`, `A|B`, `A,B,...`"""
    return "|".join(dict.fromkeys(word for each in types for word in _value_words(each)))


def _value_words(kind: Any) -> list[str]:
    if get_origin(kind) is Literal:
        return [str(each) for each in get_args(kind)]
    if get_origin(kind) is tuple:
        kinds = alternatives(get_args(kind)[0])
        if kinds == [bool]:
            return ["true", "false", "both"]
        words = [word for each in kinds for word in _value_words(each)]
        return [f"{words[0]},..."] if len(words) == 1 else [f"{','.join(words)}"]
    return [NUMBERS.get(kind, "PATH" if kind is Path else "TEXT")]
