"""Action of `posebench compare`: print how two studies differ."""

from pathlib import Path

import typer

from bench.cli.exit_codes import DONE_WITH_FAULTS
from bench.cli.output import print_json, print_line, print_table
from bench.kinds.optimizers.compare import compare
from bench.kinds.optimizers.report.comparison import (
    score_columns,
    score_rows,
    speed_columns,
    speed_rows,
    write_comparison,
)
from bench.report.text import plain


def show_comparison(a: str, b: str, tracking_uri: str, out: Path | None, *, as_json: bool) -> None:
    """Print how two studies differ, and write a page about it to the folder ``out``; exits 3 if there is no result."""
    comparison = compare(a, b, tracking_uri)
    page = write_comparison(comparison, out) if out is not None else None
    if as_json:
        print_json(comparison.document() | {"report": None if page is None else page.as_posix()})
        _exit(has_no_result=comparison.has_no_result)
        return
    title = comparison.measure.title
    print_table(
        score_columns(comparison),
        score_rows(comparison),
        title=f"{title} (A: {comparison.a.source}, B: {comparison.b.source})",
    )
    print_table(speed_columns(comparison), speed_rows(comparison), title="Speed")
    for title, lines in (("Settings", comparison.settings), ("Machine", comparison.machines)):
        for line in lines:
            print_line(f"{title} differ{'s' if title == 'Machine' else ''}: {line}")
    if comparison.schedule_note:
        print_line(plain(comparison.schedule_note))
    print_line(plain(comparison.verdict))
    if page is not None:
        print_line(f"Report: {page}")
    _exit(has_no_result=comparison.has_no_result)


def _exit(*, has_no_result: bool) -> None:
    if has_no_result:
        raise typer.Exit(DONE_WITH_FAULTS)
