"""What `posebench compare` does."""

from pathlib import Path

import typer

from bench.cli.exit_codes import DONE_WITH_FAULTS
from bench.cli.output import print_json, print_line, print_table
from bench.kinds.optimizers.compare import compare
from bench.kinds.optimizers.report.comparison import (
    SPEED_COLUMNS,
    score_columns,
    score_rows,
    speed_rows,
    write_comparison,
)
from bench.report.text import plain


def show_comparison(a: str, b: str, tracking_uri: str, out: Path | None, *, as_json: bool) -> None:
    """Print how two studies differ, and write the page of it into ``out``."""
    found = compare(a, b, tracking_uri)
    page = write_comparison(found, out) if out is not None else None
    if as_json:
        print_json(found.document() | {"report": None if page is None else page.as_posix()})
        _exit(nothing_found=found.nothing_found)
        return
    title = found.measure.title
    print_table(
        score_columns(found),
        score_rows(found),
        title=f"{title} (A: {found.a.source}, B: {found.b.source})",
    )
    print_table(SPEED_COLUMNS, speed_rows(found), title="Speed")
    for title, lines in (("Settings", found.settings), ("Machine", found.machines)):
        for line in lines:
            print_line(f"{title} differ{'s' if title == 'Machine' else ''}: {line}")
    print_line(plain(found.verdict))
    if page is not None:
        print_line(f"Report: {page}")
    _exit(nothing_found=found.nothing_found)


def _exit(*, nothing_found: bool) -> None:
    if nothing_found:
        raise typer.Exit(DONE_WITH_FAULTS)
