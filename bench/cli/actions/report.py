"""Writes a study's report again, of any kind."""

import os
import sys
import webbrowser
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import typer

from bench.cli.actions.stores import study_paths
from bench.cli.exit_codes import DONE_WITH_FAULTS
from bench.cli.output import log
from bench.cli.print_shown import print_shown
from bench.kinds import kind_of
from bench.report.files import HTML
from bench.storage.locks import path_lock
from bench.study.status import results_of


def write_again(study: str, *, as_json: bool, open_page: bool) -> None:
    """Write the report of what MLflow holds, and print it; exit code 3 where the study ended without any result.

    ``open_page``: then open its page in a browser.
    """
    paths = study_paths()
    runs = results_of(paths.storage_url, paths.tracking_uri, study)
    kind = kind_of(runs.study_document())
    folder = paths.report_of(study)
    with path_lock(folder):  # the study itself may be writing it
        result, path = kind.write_report(runs, folder)
    print_shown(result.shown(path.as_posix()), as_json=as_json)
    if open_page:
        _open(path.with_name(HTML))
    if result.nothing_found:
        raise typer.Exit(DONE_WITH_FAULTS)


def _open(page: Path) -> None:
    """Show a page in the browser that the machine, or the variable BROWSER, names; say where it is if there is none."""
    try:
        with _stdout_on_stderr():
            opened = webbrowser.open(page.resolve().as_uri())
    except (webbrowser.Error, OSError):
        opened = False
    if not opened:
        log(f"no browser could be started here (BROWSER names one); the page is {page.resolve()}")


@contextmanager
def _stdout_on_stderr() -> Iterator[None]:
    """A browser that says something says it on stderr: stdout may hold a JSON document, and nothing else."""
    sys.stdout.flush()
    kept = os.dup(1)
    os.dup2(2, 1)
    try:
        yield
    finally:
        os.dup2(kept, 1)
        os.close(kept)
