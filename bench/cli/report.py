"""`posebench report`: write a study's report again from its records in MLflow."""

from typing import Annotated

import typer

from bench.cli.stores import stores


def report(
    study: Annotated[str, typer.Argument(metavar="STUDY", help="Name of the study, finished or not.")],
    open_page: Annotated[bool, typer.Option("--open", help="Open the report in a browser.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as one JSON document on stdout.")] = False,
) -> None:
    """Write the report of a study again from its records.

    Writes reports/STUDY/report.html and report.md. Exits 3 if the study ended without a result; the report says why.
    """
    stores().require_records()
    from bench.cli.actions.report import rewrite_report  # MLflow and pandas take seconds; the help does without

    rewrite_report(study, as_json=as_json, open_page=open_page)
