"""`posebench study new`: write a commented study file to begin with."""

from pathlib import Path
from typing import Annotated

import typer

from bench.kinds import KINDS

NAMES = f"{', '.join([*KINDS][:-1])} or {[*KINDS][-1]}"


def new(
    kind: Annotated[str, typer.Argument(metavar="KIND", help=f"{NAMES}.")],
    file: Annotated[Path, typer.Argument(metavar="FILE", help="To be written; never overwritten.")],
    preset: Annotated[str, typer.Option("--preset", help="Whose values it has.")] = "full",
) -> None:
    """Write a study file with every setting, its meaning, allowed values and default; it runs as it is."""
    from bench.cli.actions.study_new import write_study_file  # PyTorch takes seconds; the help does without

    write_study_file(kind, file, preset)
