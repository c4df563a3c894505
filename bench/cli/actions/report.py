"""Action of `posebench report`: write a study's report again, for any kind of study."""

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
from bench.cli.print_output import print_output
from bench.kinds import kind_of
from bench.report.files import HTML
from bench.storage.locks import path_lock
from bench.study.recorded_studies import open_records


def rewrite_report(study: str, *, as_json: bool, open_page: bool) -> None:
    """Write the report from the records in MLflow and print it; exits 3 if the study ended without a result.

    ``open_page``: also open the page in a browser.
    """
    paths = study_paths()
    runs = open_records(paths.storage_url, paths.tracking_uri, study)
    kind = kind_of(runs.study_document())
    folder = paths.report_of(study)
    with path_lock(folder):  # the study itself may be writing it
        result, path = kind.write_report(runs, folder)
    print_output(result.output(path.as_posix()), as_json=as_json)
    if open_page:
        _open(path.with_name(HTML))
    if result.has_no_result:
        raise typer.Exit(DONE_WITH_FAULTS)


def _open(page: Path) -> None:
    """Open a page in the default browser (or that of the variable BROWSER); log its path if there is none."""
    try:
        with _stdout_on_stderr():
            opened = webbrowser.open(page.resolve().as_uri())
    except (webbrowser.Error, OSError):
        opened = False
    if not opened:
        log(f"no browser could be started (set BROWSER to choose one); the page is {page.resolve()}")


@contextmanager
def _stdout_on_stderr() -> Iterator[None]:
    """Redirect what a browser prints to stderr: stdout may hold a JSON document, and nothing else."""
    sys.stdout.flush()
    saved_stdout = os.dup(1)
    os.dup2(2, 1)
    try:
        yield
    finally:
        os.dup2(saved_stdout, 1)
        os.close(saved_stdout)
