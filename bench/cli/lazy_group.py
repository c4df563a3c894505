"""A Typer group that lists its verbs from a table and imports a verb's module only when the verb runs."""

import importlib
from collections.abc import Mapping
from typing import Any, ClassVar, NamedTuple

import typer
from typer.core import TyperCommand, TyperGroup

from bench.cli.home_paths import expand_homes


class Verb(NamedTuple):
    """Table entry of a verb or a group of verbs."""

    location: str
    """`module:attribute` of a function with flags, or of a group's Typer."""
    line: str
    """Text in the list of verbs: the first sentence of the verb's own help."""
    argument: str | None = None
    """If set, `location` is a function that returns the verb when it is called with this argument."""


class LazyGroup(TyperGroup):
    """A group of the verbs in `verbs`, which subclasses set."""

    verbs: ClassVar[Mapping[str, Verb]] = {}

    def __init__(self, **attributes: Any) -> None:
        super().__init__(**attributes)
        for name, verb in self.verbs.items():
            self.add_command(TyperCommand(name, help=verb.line))  # only listed, never run

    # Newer Typers bundle click, older ones import it: contexts and commands have no common type.
    def resolve_command(self, ctx: Any, args: list[str]) -> tuple[str | None, Any, list[str]]:
        """Return the verb to run, with its module loaded; Typer refuses a name that is not listed."""
        name, command, rest = super().resolve_command(ctx, args)
        if name is not None and name in self.verbs:
            command = self.loaded(name)
        return name, command, rest

    def loaded(self, name: str) -> Any:
        """Import a verb's module and return its command, as Typer builds it."""
        verb = self.verbs[name]
        module, _, attribute = verb.location.partition(":")
        target = getattr(importlib.import_module(module), attribute)
        if verb.argument is not None:
            target = target(verb.argument)
        single = typer.Typer(rich_markup_mode=self.rich_markup_mode)
        if isinstance(target, typer.Typer):
            single.add_typer(target, name=name)
        else:
            single.command(name)(target)
        return expand_homes(typer.main.get_group(single).commands[name])
