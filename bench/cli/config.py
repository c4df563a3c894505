"""`posebench config`: what a study's settings are, and why."""

from pathlib import Path
from typing import Annotated

import typer

from bench.cli.study_new import NAMES
from bench.kinds import DEFAULT_KIND

app = typer.Typer(help="Show settings.", no_args_is_help=True, rich_markup_mode=None)


@app.command()
def show(
    study: Annotated[Path | None, typer.Option("--study", metavar="FILE", help="A TOML study file.")] = None,
    preset: Annotated[
        str | None, typer.Option("--preset", help="smoke, small or full (default: full with a GPU, else small).")
    ] = None,
    kind: Annotated[
        str | None, typer.Option("--kind", help=f"{NAMES} (default: the file's, else {DEFAULT_KIND}).")
    ] = None,
    typed: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="NAME=VALUE", help="As if typed on the study's command line; repeatable."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False,
) -> None:
    """Print every setting of a study with its origin: command line, environment, file and line, preset or default.

    `auto` is shown as what it means on this machine.
    """
    from bench.cli.actions.config import show_settings  # PyTorch takes seconds; the help does without

    show_settings(study, preset, kind, typed or [], as_json=as_json)
