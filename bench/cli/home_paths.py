"""Expand `~` in path arguments: shells do so at the start of a word, but not in `--data=~/x`."""

from collections.abc import Callable
from pathlib import Path
from typing import Any


def expand_home(value: Any) -> Any:
    """Return a path (or list of paths) with `~` expanded; other values, and paths without such a home, unchanged."""
    if isinstance(value, (list, tuple)):
        return type(value)(map(expand_home, value))
    if not isinstance(value, Path) or not str(value).startswith("~"):
        return value
    try:
        return value.expanduser()
    except RuntimeError:  # no such user: a file's name may begin with ~ too
        return value


def expand_homes(command: Any) -> Any:
    """Make a Typer command and its subcommands expand `~` in all their paths; returns the command."""
    for parameter in command.params:
        parameter.process_value = _with_expansion(parameter.process_value)
    for each in getattr(command, "commands", {}).values():
        expand_homes(each)
    return command


def _with_expansion(process: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    return lambda context, value: expand_home(process(context, value))
