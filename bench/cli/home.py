"""Paths of the command line that begin with `~`: a shell expands those that are words, but none in `--data=~/x`."""

from collections.abc import Callable
from pathlib import Path
from typing import Any


def at_home(value: Any) -> Any:
    """A path with the home folder in place of `~`; where there is no such home, and what is no path, as it is."""
    if isinstance(value, (list, tuple)):
        return type(value)(map(at_home, value))
    if not isinstance(value, Path) or not str(value).startswith("~"):
        return value
    try:
        return value.expanduser()
    except RuntimeError:  # nobody of that name: a file's name may begin so, too
        return value


def expand_homes(command: Any) -> Any:
    """Have every path that a command of Typer and its subcommands take begin in the home folder where it says `~`."""
    for parameter in command.params:
        parameter.process_value = _expanded(parameter.process_value)
    for each in getattr(command, "commands", {}).values():
        expand_homes(each)
    return command


def _expanded(process: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    return lambda context, value: at_home(process(context, value))
