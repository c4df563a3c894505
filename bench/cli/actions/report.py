"""Writes a study's report again, of any kind."""

import typer

from bench.cli.actions.stores import study_paths
from bench.cli.exit_codes import DONE_WITH_FAULTS
from bench.cli.print_shown import print_shown
from bench.kinds import kind_of
from bench.storage.locks import path_lock
from bench.study.status import results_of


def write_again(study: str, *, as_json: bool) -> None:
    """Write the report of what MLflow holds, and print it; exit code 3 where the study ended without any result."""
    paths = study_paths()
    runs = results_of(paths.storage_url, paths.tracking_uri, study)
    kind = kind_of(runs.study_document())
    folder = paths.report_of(study)
    with path_lock(folder):  # the study itself may be writing it
        result, path = kind.write_report(runs, folder)
    print_shown(kind.shown(result, path.as_posix()), as_json=as_json)
    if result.nothing_found:
        raise typer.Exit(DONE_WITH_FAULTS)
