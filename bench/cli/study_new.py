"""`posebench study new`: write a commented study file to start from."""

from pathlib import Path
from typing import Annotated

import typer

from bench.kinds import KINDS

NAMES = f"{', '.join([*KINDS][:-1])} or {[*KINDS][-1]}"


def new(
    kind: Annotated[str, typer.Argument(metavar="KIND", help=f"Kind of study: {NAMES}.")],
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Study file to write; must not exist.")],
    preset: Annotated[str, typer.Option("--preset", help="Preset whose values the file has.")] = "full",
) -> None:
    """Write a commented study file with every setting.

    Each setting has its meaning, allowed values and default. The file runs as it is.
    """
    from bench.cli.actions.study_new import write_study_file  # PyTorch takes seconds; the help does without

    write_study_file(kind, file, preset)
