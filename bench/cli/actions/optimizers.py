"""Actions of `posebench optimizers`: list what can be named, and check some of it."""

import io
import shutil
import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from typing import Any

import torch
import typer

from bench.cli.actions.optimizer_text import commands, group_lines, next_lines, paragraph
from bench.cli.exit_codes import DONE, FAILED
from bench.cli.output import log, log_wrapped, print_json, print_line, progress_bar
from bench.optimizers.description import Description, describe, examine
from bench.optimizers.listing import EXTRA, group_of, listed_optimizers, missing_packages
from bench.optimizers.spaces import parse_space, parse_value
from posemodel.dotted_paths import with_dots
from posemodel.errors import SettingsError

SHOWN_IN_FULL = 8
"""Number of optimizers up to which each is shown in full."""
UNWRAPPED = 10_000
"""Columns where the output is no terminal and COLUMNS is not set: a line stays one."""


def show_list(text: str | None, *, as_json: bool) -> None:
    """Print the optimizers that a filter means (None: all), each checked."""
    groups = listed_optimizers(text, on_broken=log_wrapped)
    descriptions = _describe_all(groups)
    missing = missing_packages()
    if as_json:
        documents = [each.as_document() for each in descriptions]
        print_json({"filter": text, "optimizers": documents, "not_installed": missing})
        return
    width = _width()
    if len(descriptions) <= SHOWN_IN_FULL:
        for each in descriptions:
            _print(paragraph(each, width))
        log_wrapped("Check one, with the commands to type next: posebench optimizers check NAME")
    else:
        for group in groups:
            _print(group_lines(group, [each for each in descriptions if each.group == group], width))
        log_wrapped(
            "A few in full, with hyperparameters and space: posebench optimizers FILTER (a part of their names)"
        )
    if missing:
        log_wrapped(f"Not installed: {', '.join(missing)}. To add them: pip install -e '.[{EXTRA}]'")


def check(names: Sequence[str], options: Sequence[str], spaces: Sequence[str], *, as_json: bool) -> None:
    """Check optimizers and print what was found; exits 1 if one does not pass."""
    names = list(dict.fromkeys(with_dots(name) for name in names))
    hyperparameters, changes = _hyperparameters(options), _changes(spaces, names)
    with _quiet_steps():
        results = [examine(name, group_of(name), hyperparameters, changes.get(name)) for name in names]
    passes = all(each.description.check.passes for each in results)
    if as_json:
        documents = [{**each.description.as_document(), **commands(each)} for each in results]
        print_json({"passes": passes, "optimizers": documents})
    else:
        width = _width()
        for each in results:
            label = "default space" if each.changed is None else "space"
            _print(paragraph(each.description, width, space_label=label))
            if each.description.check.passes:
                _print(next_lines(each, width))
    raise typer.Exit(DONE if passes else FAILED)


def _describe_all(groups: dict[str, list[str]]) -> list[Description]:
    pairs = [(name, group) for group, names in groups.items() for name in names]
    if len(pairs) > SHOWN_IN_FULL and not sys.stderr.isatty():
        log(f"checking {len(pairs)} optimizers ...")
    with _quiet_steps(), progress_bar() as bar:
        task = bar.add_task("checking", total=len(pairs))
        descriptions = []
        for name, group in pairs:
            descriptions.append(describe(name, group))
            bar.advance(task)
    return descriptions


@contextmanager
def _quiet_steps() -> Iterator[None]:
    """Take steps of a small network: in one thread, without warnings, and without what classes print."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with redirect_stdout(io.StringIO()), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        torch.set_num_threads(threads)


def _hyperparameters(options: Sequence[str]) -> dict[str, Any]:
    hyperparameters: dict[str, Any] = {}
    for option in options:
        name, equals, value = (part.strip() for part in option.partition("="))
        if not equals or not name:
            raise SettingsError(f"--option {option}: must be NAME=VALUE.")
        if name in hyperparameters:
            raise SettingsError(f"--option {option}: {name} is given twice.")
        try:
            hyperparameters[name] = parse_value(value)
        except ValueError as error:
            raise SettingsError(f"--option {option}: {error}.") from error
    return hyperparameters


def _changes(spaces: Sequence[str], names: Sequence[str]) -> dict[str, dict[str, Any]]:
    changes: dict[str, dict[str, Any]] = {}
    for text in spaces:
        name, space = parse_space(text)
        if name not in names:
            raise SettingsError(f"--space {text}: {name} is not among the optimizers to check: {', '.join(names)}.")
        if name in changes:
            raise SettingsError(f"--space {text}: {name} has a space already.")
        changes[name] = space
    return changes


def _width() -> int:
    return shutil.get_terminal_size((UNWRAPPED, 0)).columns


def _print(lines: Iterator[str]) -> None:
    for line in lines:
        print_line(line)
