"""What `posebench speed` does."""

from pathlib import Path
from typing import TYPE_CHECKING, cast

import typer

from bench.cli.output import log, print_json, print_line, print_table
from bench.report.speed_page import write_speed_report
from bench.speed.everything import Request, Speed, measure
from bench.speed.report import cells, facts_line, heading
from posemodel.device import choose_device

if TYPE_CHECKING:
    from posemodel.config import Device


def measured(
    name: str, *, data: Path | None, device: str, repeats: int | None, as_json: bool, report: Path | None
) -> None:
    """Measure one thing, or all; exit code 1 where a measurement failed."""

    def say(each: str) -> None:
        log(f"measuring {each} ...")

    found = measure(name, Request(data, choose_device(cast("Device", device)), repeats), say)
    if report is not None:
        log(f"report: {write_speed_report(found, report)}")
    if as_json:
        print_json(found.as_document())
    else:
        _show(found)
    for what, error in found.failed.items():
        log(f"{what} failed: {error}")
    if found.failed:
        raise typer.Exit(1)


def _show(found: Speed) -> None:
    print_table(heading(), [cells(row) for row in found.rows])
    for row in found.rows:
        if row.facts:
            print_line(f"{row.name}: {facts_line(row)}")
    for what, why in found.skipped.items():
        print_line(f"{what}: {why}")
