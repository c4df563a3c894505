"""`posebench study resume` and `posebench study extend`: go on with a study by its name, and make it larger."""

from pathlib import Path
from types import ModuleType
from typing import Annotated

import typer

from bench.cli.stores import stores

Name = Annotated[str, typer.Argument(metavar="NAME", help="A study of this folder.")]
Data = Annotated[
    Path | None, typer.Option("--data", metavar="DIR", help="Where its data set stands now (default: where it did).")
]
Workers = Annotated[
    str | None, typer.Option("--workers", metavar="INTEGER|cores", help="Trials at once (default: as before).")
]
Json = Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")]


def resume(name: Name, data: Data = None, workers: Workers = None, as_json: Json = False) -> None:
    """Go on with a study that was interrupted, with the settings it was begun with; show a finished one again."""
    actions().resume(name, data=data, workers=workers, as_json=as_json)


def extend(
    name: Name,
    tunings: Annotated[
        int | None, typer.Option("--tunings", min=1, help="Of an optimizers study: tunings of each optimizer in all.")
    ] = None,
    trials: Annotated[
        int | None, typer.Option("--trials", min=1, help="Of a joint study: trials of the search in all.")
    ] = None,
    data: Data = None,
    workers: Workers = None,
    as_json: Json = False,
) -> None:
    """Make a study larger: what it has recorded stays, what is new runs, and the report is written anew.

    An optimizers study that had ended has been looked at: that halves the level of its later claims (not where it goes
    on until it is decided). Other data, another class of machine and other versions of the libraries are refused.
    """
    amount = {"tunings": tunings, "trials": trials}
    given = {name: value for name, value in amount.items() if value is not None}
    actions().extend(name, given, data=data, workers=workers, as_json=as_json)


def actions() -> ModuleType:
    """What these verbs do, once it is known that there are records to go on with."""
    stores().require_records()
    from bench.cli.actions import study_again  # PyTorch and MLflow take seconds; the help does without

    return study_again
