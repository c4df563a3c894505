"""`posebench compare`: two studies side by side."""

from contextlib import suppress
from pathlib import Path
from typing import Annotated

import typer

from bench.cli.exit_codes import DONE_WITH_FAULTS
from bench.cli.output import print_json, print_table


def compare(
    a: Annotated[str, typer.Argument(metavar="STUDY", help="A study's name, or the folder of its report.")],
    b: Annotated[str, typer.Argument(metavar="STUDY", help="The other one.")],
    out: Annotated[
        Path | None, typer.Option("--out", metavar="DIR", help="Write compare.md, its figure and table there.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False,
) -> None:
    """Say which differences between two studies (machine, version, schedule, ...) are beyond noise."""
    from bench.records.store_check import check_tracking
    from bench.settings.shared import places_settings
    from posemodel.errors import SettingsError

    tracking_uri = places_settings()["tracking_uri"].value
    if not all(Path(source).is_dir() for source in (a, b)):
        with suppress(SettingsError):  # remembered, and told of the study that is looked for there
            check_tracking(tracking_uri, write=False)  # before seconds of imports: a dead server takes its own seconds
    from bench.kinds.optimizers.compare import compare as compared
    from bench.kinds.optimizers.report.comparison import COLUMNS, SPEED_COLUMNS, ap_rows, speed_rows, write_comparison

    found = compared(a, b, tracking_uri)
    page = write_comparison(found, out) if out is not None else None
    if as_json:
        print_json(found.document() | {"report": None if page is None else page.as_posix()})
        _exit(nothing_found=found.nothing_found)
        return
    print_table(COLUMNS, ap_rows(found), title=f"AP (A: {found.a.source}, B: {found.b.source})")
    print_table(SPEED_COLUMNS, speed_rows(found), title="Speed")
    for title, lines in (("Settings", found.settings), ("Machine", found.machines)):
        for line in lines:
            print(f"{title} differ{'s' if title == 'Machine' else ''}: {line}")
    print(found.verdict)
    if page is not None:
        print(f"Report: {page}")
    _exit(nothing_found=found.nothing_found)


def _exit(*, nothing_found: bool) -> None:
    if nothing_found:
        raise typer.Exit(DONE_WITH_FAULTS)
