"""`posebench config`: show a study's settings and their origins."""

from pathlib import Path
from typing import Annotated

import typer

from bench.cli.study_new import NAMES
from bench.kinds import DEFAULT_KIND

app = typer.Typer(help="Show the settings of a study.", no_args_is_help=True, rich_markup_mode=None)


@app.command()
def show(
    study: Annotated[
        Path | None, typer.Option("--study", metavar="FILE", help="Study file (TOML) to read settings from.")
    ] = None,
    preset: Annotated[
        str | None,
        typer.Option("--preset", help="Preset: smoke, small or full (default: full with a GPU, else small)."),
    ] = None,
    kind: Annotated[
        str | None, typer.Option("--kind", help=f"Kind of study: {NAMES} (default: the file's, else {DEFAULT_KIND}).")
    ] = None,
    typed: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="NAME=VALUE", help="Setting as on the study's command line; repeatable."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as one JSON document on stdout.")] = False,
) -> None:
    """Print every setting of a study and where its value comes from.

    That is the command line, the environment, a line of the study file, the preset or the default. `auto` is shown as
    the value that it has on this machine.
    """
    from bench.cli.actions.config import show_settings  # PyTorch takes seconds; the help does without

    show_settings(study, preset, kind, typed or [], as_json=as_json)
