"""A group of verbs known by a table: listed without an import, each module imported once its verb is asked for."""

import importlib
from collections.abc import Mapping
from typing import Any, ClassVar, NamedTuple

import typer
from typer.core import TyperCommand, TyperGroup

from bench.cli.home import expand_homes


class Verb(NamedTuple):
    """One verb of a table, or one group of verbs."""

    location: str
    """`module:attribute`: a function with flags, or the Typer of a group."""
    line: str
    """What the list of verbs says of it: the first sentence of its own help."""
    argument: str | None = None
    """Where one function makes several verbs: it is called with this name, and returns the verb."""


class LazyGroup(TyperGroup):
    """The verbs of a table; subclasses give it."""

    verbs: ClassVar[Mapping[str, Verb]] = {}

    def __init__(self, **attributes: Any) -> None:
        super().__init__(**attributes)
        for name, verb in self.verbs.items():
            self.add_command(TyperCommand(name, help=verb.line))  # stands in the list, and is never run

    # Newer Typers carry a click of their own, older ones use the package: contexts and commands have no common type.
    def resolve_command(self, ctx: Any, args: list[str]) -> tuple[str | None, Any, list[str]]:
        """The verb that is to be run, with its module loaded; a name that is not listed is refused as by Typer."""
        name, command, rest = super().resolve_command(ctx, args)
        if name is not None and name in self.verbs:
            command = self.loaded(name)
        return name, command, rest

    def loaded(self, name: str) -> Any:
        """The command of a verb, as a Typer would have it that had been given the verb itself."""
        verb = self.verbs[name]
        module, _, attribute = verb.location.partition(":")
        found = getattr(importlib.import_module(module), attribute)
        if verb.argument is not None:
            found = found(verb.argument)
        single = typer.Typer(rich_markup_mode=self.rich_markup_mode)
        if isinstance(found, typer.Typer):
            single.add_typer(found, name=name)
        else:
            single.command(name)(found)
        return expand_homes(typer.main.get_group(single).commands[name])
