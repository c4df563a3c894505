"""`posebench report`: make a study's report again from what MLflow holds."""

from typing import Annotated

import typer

from bench.cli.stores import stores


def report(
    study: Annotated[str, typer.Argument(metavar="STUDY", help="Name of a study, finished or not.")],
    open_page: Annotated[bool, typer.Option("--open", help="Open report.html in a browser.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False,
) -> None:
    """Analyse the records of a study again and write reports/STUDY/report.html and report.md.

    Exit code 3 where the study has ended without any result: the report says why.
    """
    stores().require_records()
    from bench.cli.actions.report import write_again  # MLflow and pandas take seconds; the help does without

    write_again(study, as_json=as_json, open_page=open_page)
