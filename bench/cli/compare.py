"""`posebench compare`: two studies side by side."""

from contextlib import suppress
from pathlib import Path
from typing import Annotated

import typer

from bench.cli.stores import stores
from bench.settings.shared import store_settings
from posemodel.errors import SettingsError


def compare(
    a: Annotated[str, typer.Argument(metavar="STUDY", help="A study's name, or the folder of its report.")],
    b: Annotated[str, typer.Argument(metavar="STUDY", help="The other one.")],
    out: Annotated[
        Path | None, typer.Option("--out", metavar="DIR", help="Write compare.md, its figure and table there.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False,
) -> None:
    """Say which differences between two studies (machine, version, schedule, ...) are beyond noise."""
    tracking_uri = store_settings()["tracking_uri"].value
    if not all(Path(source).is_dir() for source in (a, b)):
        with suppress(SettingsError):  # remembered, and told of the study that is looked for there
            stores().require_records()
    from bench.cli.actions.compare import show_comparison  # the report's libraries: seconds, see above

    show_comparison(a, b, tracking_uri, out, as_json=as_json)
