"""Command-line flags made from the declarations of settings: names, placeholders of values, help."""

import inspect
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any, Literal, get_args, get_origin

import typer

from bench.settings.declarations import Declaration, alternatives
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
    values: dict[str, str] = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals:
            raise SettingsError(f"--set {pair}: must be NAME=VALUE.")
        if name not in known:
            raise SettingsError(f"--set {pair}: there is no such setting.{did_you_mean(name, known)}")
        if name in values:
            raise SettingsError(f"--set {pair}: {name} is given twice.")
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
