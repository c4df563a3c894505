"""`posebench optimizers`: list the optimizers that can be named, and check some of them."""

from types import ModuleType
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

LIST = "list"


class ListedByDefault(TyperGroup):
    """A group whose verb `list` may be left out: `posebench optimizers lion`."""

    # Newer Typers bundle click, older ones import it: contexts have no common type.
    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Take what begins with no verb as the arguments of `list`."""
        if not args or args[0] not in {*self.commands, *ctx.help_option_names}:
            args = [LIST, *args]
        return super().parse_args(ctx, args)


app = typer.Typer(
    help="List the optimizers that can be named, and check them.\n\n"
    "`posebench optimizers` lists all, `posebench optimizers lion` those with lion in their names, and `posebench "
    "optimizers my_package` those of a module of yours.",
    cls=ListedByDefault,
    subcommand_metavar="[list] [FILTER] | check NAME...",
    rich_markup_mode=None,
)


@app.command(LIST)
def list_optimizers(
    text: Annotated[
        str | None,
        typer.Argument(
            metavar="FILTER",
            help="Part of a name (lion), or a module whose classes are listed (my_package), also of this folder.",
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as one JSON document on stdout.")] = False,
) -> None:
    """List the optimizers that can be named, by where they come from.

    Each takes a few steps here on a small network: the list says which pass, how the others are driven or why they
    fail. Up to eight are shown in full, with hyperparameters, default space, source and own schedule. The word `list`
    may be left out.
    """
    _actions().show_list(text, as_json=as_json)


@app.command()
def check(
    names: Annotated[
        list[str],
        typer.Argument(
            metavar="NAME",
            help="Optimizers: names of the list, paths of classes (my_package.Lion), wrappers over another "
            "(my_package.SAM(adamw)), or one for matrices with one for the rest (muon+adamw).",
        ),
    ],
    option: Annotated[
        list[str] | None,
        typer.Option(
            "--option",
            "-O",
            metavar="NAME=VALUE",
            help="A hyperparameter of them, for instance one without a default, e.g. -O momentum=0.95; repeatable.",
        ),
    ] = None,
    space: Annotated[
        list[str] | None,
        typer.Option(
            "--space",
            metavar="NAME:lr=log(A,B),...",
            help="Space of one of them, as for a study, whose corners are checked (default: its own); repeatable.",
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as one JSON document on stdout.")] = False,
) -> None:
    """Check optimizers by a few steps, and say what to type next.

    Finds how each is driven and what its state needs, tries the corners of its space, and restores its state. Exits 1
    if one does not pass.
    """
    _actions().check(names, option or [], space or [], as_json=as_json)


def _actions() -> ModuleType:
    from bench.cli.actions import optimizers  # PyTorch: seconds that --help must not take

    return optimizers
