"""Flags of the command line from the declarations of settings: names, values and help."""

import inspect
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any, Literal, get_args, get_origin

import typer

from bench.settings.declared import Declaration, alternatives
from posemodel.errors import SettingsError, nearest

NUMBERS = {int: "INTEGER", float: "NUMBER"}


def setting_flags(
    declarations: Mapping[str, Declaration],
    names: Collection[str] | None = None,
    renamed: Mapping[str, str] = MappingProxyType({}),
) -> list[inspect.Parameter]:
    """A parameter for each setting that can be typed; ``names``: of these alone; ``renamed``: other flags, by setting.

    A value stays text (a truth is one of two flags, a path a path): it is checked with those of study files.
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
    """Settings typed as NAME=VALUE; SettingsError names the option and the nearest name."""
    found: dict[str, str] = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals:
            raise SettingsError(f"--set {pair}: must be NAME=VALUE.")
        if name not in known:
            raise SettingsError(f"--set {pair}: there is no such setting.{nearest(name, known)}")
        if name in found:
            raise SettingsError(f"--set {pair}: {name} is given twice.")
        found[name] = value
    return found


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
    """`INTEGER`, `A|B`, `A,B,...` ..."""
    return "|".join(dict.fromkeys(word for each in types for word in _words(each)))


def _words(kind: Any) -> list[str]:
    if get_origin(kind) is Literal:
        return [str(each) for each in get_args(kind)]
    if get_origin(kind) is tuple:
        among = alternatives(get_args(kind)[0])
        if among == [bool]:
            return ["true", "false", "both"]
        words = [word for each in among for word in _words(each)]
        return [f"{words[0]},..."] if len(words) == 1 else [f"{','.join(words)}"]
    return [NUMBERS.get(kind, "PATH" if kind is Path else "TEXT")]
