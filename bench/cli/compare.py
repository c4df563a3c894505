"""`posebench compare`: compare two finished studies."""

from contextlib import suppress
from pathlib import Path
from typing import Annotated

import typer

from bench.cli.stores import stores
from bench.settings.shared_settings import store_settings
from posemodel.errors import SettingsError


def compare(
    a: Annotated[str, typer.Argument(metavar="STUDY", help="First study: its name or the folder of its report.")],
    b: Annotated[str, typer.Argument(metavar="STUDY", help="Second study: its name or the folder of its report.")],
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="DIR", help="Folder to write compare.md, its figure and its table to."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as one JSON document on stdout.")] = False,
) -> None:
    """Compare two studies and say which differences exceed noise.

    The studies may differ in machine, version, schedule or other settings. Exits 3 if there is nothing to compare.
    """
    tracking_uri = store_settings()["tracking_uri"].value
    if not all(Path(source).is_dir() for source in (a, b)):
        with suppress(SettingsError):  # the check remembers it; whoever looks the study up reports it
            stores().require_records()
    from bench.cli.actions.compare import show_comparison  # MLflow and pandas take seconds; the help does without

    show_comparison(a, b, tracking_uri, out, as_json=as_json)
