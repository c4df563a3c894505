"""Action of `posebench speed`: run benchmarks and print them."""

from pathlib import Path
from typing import TYPE_CHECKING, cast

import typer

from bench.cli.output import log, print_json, print_line, print_table
from bench.ledger import claim_speed
from bench.measure.machine import fingerprint
from bench.records.store_check import check_storage
from bench.report.speed_page import write_speed_report
from bench.speed.everything import Request, Speed, measure
from bench.speed.report import cells, facts_line, heading
from posemodel.device import choose_device

if TYPE_CHECKING:
    from posemodel.config import Device


def measure_speed(
    name: str,
    *,
    data: Path | None,
    device: str,
    parts: int | None,
    network: str | None,
    optimizers: tuple[str, ...] | None,
    repeats: int | None,
    as_json: bool,
    report: Path | None,
) -> None:
    """Run one benchmark, or all, and print the results; exits 1 if a measurement failed."""

    def log_start(benchmark_name: str) -> None:
        log(f"measuring {benchmark_name} ...")

    request = Request(data, choose_device(cast("Device", device)), repeats, parts, network, optimizers)
    results = measure(name, request, log_start)
    if report is not None:
        log(f"report: {write_speed_report(results, report)}")
    if as_json:
        print_json(results.as_document())
    else:
        _show(results)
    for benchmark, error in results.failed.items():
        log(f"{benchmark} failed: {error}")
    if results.failed:
        raise typer.Exit(1)


def measure_ledger(storage: str | None, *, trials: int, clients: int, repeats: int | None, as_json: bool) -> None:
    """Run the benchmark of claims on a database (None: a temporary SQLite file), and print the results."""
    if storage is not None:
        check_storage(storage, write=True)
    log("measuring ledger ...")
    how_often = {} if repeats is None else {"repeats": repeats}
    rows = claim_speed.measure(storage, trials=trials, clients=clients, **how_often)
    results = Speed("ledger", rows, {}, {}, fingerprint())
    if as_json:
        print_json(results.as_document())
    else:
        _show(results)


def _show(results: Speed) -> None:
    print_table(heading(), [cells(row) for row in results.rows])
    for row in results.rows:
        if row.facts:
            print_line(f"{row.name}: {facts_line(row)}")
    for benchmark, reason in results.skipped.items():
        print_line(f"{benchmark}: {reason}")
