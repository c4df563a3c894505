"""`posebench report`: make a study's report again from what MLflow holds."""

from typing import Annotated

import typer

from bench.cli.output import print_json
from bench.cli.study import show_result, study_places


def report(
    study: Annotated[str, typer.Argument(metavar="STUDY", help="Name of a study, finished or not.")],
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False,
) -> None:
    """Analyse the records of a study again and write reports/STUDY/report.md."""
    from bench.locks import alone_on
    from bench.report.sections.answer import unfinished
    from bench.report.write import write_report
    from bench.results import load_result
    from bench.tracking import Tracker

    places = study_places()
    result = load_result(Tracker(places.tracking_uri, study, create=False))
    folder = places.reports / study
    with alone_on(folder):  # the study itself may be writing it
        path = write_report(result, folder)
    if as_json:
        print_json(result.document(path.as_posix()))
    else:
        if unfinished(result):
            print(unfinished(result))
        show_result(result, path)
