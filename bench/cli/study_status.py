"""`posebench study list` and `posebench study status`: show studies, also running ones, without changing them."""

from typing import Annotated

import typer

from bench.cli.stores import stores


def list_studies(
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as one JSON document on stdout.")] = False,
) -> None:
    """List the studies of this folder, the last active first."""
    _look(None, as_json=as_json, every=True)


def status(
    name: Annotated[
        str | None, typer.Argument(metavar="NAME", help="Name of a study of this folder (default: the last active).")
    ] = None,
    watch: Annotated[bool, typer.Option("--watch", help="Keep updating until no process works on the study.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as one JSON document on stdout.")] = False,
) -> None:
    """Show a study's progress and the time left.

    Counts finished, running, waiting and failed trials.
    """
    _look(name, watch=watch, as_json=as_json)


def _look(name: str | None, *, as_json: bool, watch: bool = False, every: bool = False) -> None:
    checks, trouble = stores(), ""
    if name is None:
        trouble = checks.trouble_with_records()
    else:
        checks.refuse_shared()  # the ledger alone may know all of one study
    from bench.cli.actions import study_status  # SQLAlchemy takes half a second; the help does without

    if every:
        study_status.show_all(trouble, as_json=as_json)
    else:
        study_status.show_one(name, trouble, watch=watch, as_json=as_json)
